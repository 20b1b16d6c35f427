"""`build`: the ledger as a site in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlgit.ledger import Ledger
from mlgit.site import pages, write
from mlgit.site.gather import gather
from mlgit.site.whole import Source
from mlgit.site.write import Written

Progress = Callable[[str, int, int], None]  # what is counted, done, in all


def build(
    ledger: Ledger, out: Path, title: str | None = None, progress: Progress | None = None
) -> Written:
    """Makes the site of a ledger, or brings it up to date.

    The same ledger gives the same bytes, in whatever clone, as long as the same artifacts
    are at hand.

    Raises:
        NotFound: there is no ledger yet.
        Unreadable: the branch as a whole cannot be read.
        Invalid: `out` is there and is no site of ours.
        WrongState: another build of it is going on.
        WriteFailed: it cannot be written; the old site is as it was.
    """
    told = progress or (lambda what, done, total: None)
    site = gather(ledger, title, lambda done, total: told("indexing", done, total))
    source = Source(ledger)
    try:
        units = list(pages.units(site, source))
        return write.build(out, units, site.root, lambda done, total: told("pages", done, total))
    finally:
        source.close()
