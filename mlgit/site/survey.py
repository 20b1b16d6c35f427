"""What leaves with a site: the texts that rules of redaction know of, and pictures.

It asks for all that pages ask for; what that holds meets the rules on its way here as it does
on its way to a page (`withheld`, `whole`), and is counted there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from mlgit.ledger.walk import Problem
from mlgit.site import previews
from mlgit.site.build import Progress
from mlgit.site.gather import Site
from mlgit.site.pages import run
from mlgit.site.pages.code import Pair
from mlgit.site.redact import Redactor
from mlgit.site.whole import Source


class Survey(NamedTuple):
    """What was found, in a site that leaves."""

    found: dict[str, Counter[str]]
    """By kind the texts that rules know of, and how often each was met; of "patches" and
    "console" the ids of runs, of "code" the commits between which there are differences."""
    pictures: Counter[str]
    """In which no rule sees what is drawn: how many different ones there are, by path."""


NOTHING = Survey({}, Counter())


def survey(
    site: Site,
    source: Source,
    redactor: Redactor | None,
    differences: Iterable[Pair],
    progress: Progress,
) -> Survey:
    """Looks through all that the pages of a site are made from.

    `differences` are those that the site has pages of.
    """
    pictures: dict[str, str] = {}
    for done, folder in enumerate(site.folders, 1):
        whole = source.whole(folder)
        if not isinstance(whole, Problem):
            source.patch(whole.run)
            for pointer in run.artifacts(whole.run):
                if previews.is_picture(source, whole, pointer):
                    pictures.setdefault(str(pointer.md5), pointer.path)
        progress("looking through runs", done, len(site.folders))
    for content in site.flow.contents.values():
        profile = site.flow.profiles.get(content.hash) if content.is_dataset else None
        if profile:
            source.profile(profile)
    for key in site.flow.opened:
        source.members(key)
    for pair in differences:
        source.difference(pair.old.commit, pair.new.commit)
    return Survey(redactor.found if redactor else {}, Counter(pictures.values()))
