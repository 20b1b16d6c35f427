"""`build`: the ledger as a site in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from mlgit.ledger import Ledger
from mlgit.site import pages, withheld, write
from mlgit.site.choice import Choice
from mlgit.site.gather import Site, gather
from mlgit.site.pages import common
from mlgit.site.redact import Redactor, Rules
from mlgit.site.whole import Source
from mlgit.site.write import Written

Progress = Callable[[str, int, int], None]  # what is counted, done, in all


def build(
    ledger: Ledger,
    out: Path,
    choice: Choice = Choice(),  # noqa: B008
    rules: Rules | None = None,
    progress: Progress | None = None,
    served: bool = False,
    alone: bool = False,
) -> Written:
    """Makes the site of a ledger, or brings it up to date.

    The same ledger gives the same bytes, in whatever clone, as long as the same artifacts
    are at hand. `rules` say what is taken out of it; None: nothing. `served` adds the page of
    live runs; `alone` keeps to this process, see `write.build`.

    Raises:
        NotFound: there is no ledger yet, or no such experiment.
        Unreadable: the branch as a whole cannot be read.
        Invalid: `out` is there and is no site of ours.
        WrongState: another build of it is going on.
        WriteFailed: it cannot be written; the old site is as it was.
    """
    told = progress or (lambda what, done, total: None)
    with reading(ledger, choice, rules, told) as (site, source, redactor):
        # A page of the same inputs says something else under other rules.
        rule = common.key(site.choice, redactor.rules.digest if redactor else None)
        units = [
            unit._replace(key=common.key(unit.key, rule))
            for unit in pages.units(site, source, served)
        ]
        return write.build(
            out,
            units,
            site.root,
            lambda done, total: told("pages", done, total),
            site.choice,
            site.tags,
            alone,
        )


@contextmanager
def reading(
    ledger: Ledger, choice: Choice, rules: Rules | None, progress: Progress
) -> Iterator[tuple[Site, Source, Redactor | None]]:
    """Gives what pages are made from: the site, the source of the rest, what met the rules.

    There is no redactor if there is nothing to be taken out.
    """
    choice = msgspec.structs.replace(choice, redacted=rules.kinds if rules else [])
    site = gather(ledger, choice, lambda done, total: progress("indexing", done, total))
    redactor = None
    if rules and rules.kinds:
        redactor = Redactor(rules, withheld.people(site))
        site = withheld.redacted(site, redactor)
    source = Source(ledger, redactor, choice.artifacts)
    try:
        yield site, source, redactor
    finally:
        source.close()
