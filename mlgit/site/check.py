"""`check`: makes a site again and compares, so that anybody can tell whether it is true."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import msgspec

from mlgit import __version__
from mlgit.errors import Unreadable
from mlgit.ledger import Ledger, domain
from mlgit.site import write
from mlgit.site.build import Progress, build
from mlgit.site.choice import Choice
from mlgit.site.redact import Rules
from mlgit.site.write import MANIFEST, Made

_NOT_OURS = (".git", write.IGNORE)  # of a checkout of a published site


class Difference(NamedTuple):
    url: str
    how: str
    """ "differs", "missing" (from the folder) or "extra"."""


class Verdict(NamedTuple):
    """What came of it."""

    files: int
    """Of the site as it is made now."""
    differences: list[Difference]
    reasons: list[str]
    """Why it may be that they differ, as far as can be told; none if it was altered."""


def check(ledger: Ledger, out: Path, rules: Rules, progress: Progress | None = None) -> Verdict:
    """Makes the site in `out` again, in a temporary folder, and compares byte for byte.

    What it shows, and whether it is redacted, is taken from its manifest; `rules` are those
    of today.

    Raises:
        NotFound: there is no site, or no ledger.
        Unreadable: the site's manifest is damaged.
    """
    made = write.made_from(out)
    try:
        choice = msgspec.convert(made.choice or {}, Choice)
    except msgspec.ValidationError as error:
        raise Unreadable(f"{out / MANIFEST} is of a later mlgit", "update mlgit") from error
    with tempfile.TemporaryDirectory(prefix="mlgit-site-") as folder:
        again = Path(folder, "site")
        build(ledger, again, choice, rules if choice.redacted else None, progress)
        differences = compare(again, out)
        files = len(_listing(again))
        now = write.made_from(again)
    reasons = _reasons(made, now, choice, rules, differences) if differences else []
    return Verdict(files, differences, reasons)


def compare(again: Path, out: Path) -> list[Difference]:
    """Returns in what files of a site differ from those of the same site made again."""
    new, old = _listing(again), _listing(out)
    found = []
    for url in sorted(new | old):
        if url not in old:
            found.append(Difference(url, "missing"))
        elif url not in new:
            found.append(Difference(url, "extra"))
        elif (again / url).read_bytes() != (out / url).read_bytes():
            found.append(Difference(url, "differs"))
    return found


def _is_ours(site: Path, url: str) -> bool:
    """Tells whether a file is of a site, and not the domain that the site has been given."""
    path = site / url
    if url != domain.FILE or path.is_symlink():
        return True
    with path.open("rb") as file:
        return domain.host_name(file.read(domain.SIZE + 1)) is None


def _listing(site: Path) -> set[str]:
    found = set()
    for folder, folders, names in os.walk(site):
        folders[:] = [name for name in folders if name not in _NOT_OURS]
        below = os.path.relpath(folder, site)
        for name in names:
            if name not in _NOT_OURS:
                found.add(name if below == "." else f"{below}/{name}")
    return {url for url in found if _is_ours(site, url)}


def _reasons(
    made: Made, now: Made, choice: Choice, rules: Rules, differences: list[Difference]
) -> list[str]:
    found = []
    if made.ledger != now.ledger:
        found.append(
            f"the ledger moved on: the site shows its tree {made.ledger[:12]}, "
            f"the branch has {now.ledger[:12]}"
        )
    if made.tags != now.tags:
        found.append("the registry moved on: it has other git tags than the site shows")
    if made.mlgit != __version__:
        found.append(f"it was made by mlgit {made.mlgit or 'of before'}, this is {__version__}")
    if choice.redacted and choice.redacted != rules.kinds:
        kinds = ", ".join(choice.redacted)
        found.append(f"the rules in mlgit.toml are others now: it was made without {kinds}")
    for how, where in (("extra", "on this machine"), ("missing", "on the one that made it")):
        count = sum(each.how == how and each.url.startswith("files/") for each in differences)
        if count:
            files = "1 artifact was" if count == 1 else f"{count:,} artifacts were"
            found.append(f"{files} not {where}")
    return found
