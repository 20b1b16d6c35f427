"""What was deleted: it stays in the ledger, and so it stays to be seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mlgit.site import urls
from mlgit.site.gather import Site
from mlgit.site.pages import common
from mlgit.site.whole import Source
from mlgit.site.write import Unit


class Gone(NamedTuple):
    link: common.RunLink
    time: str | None
    """None if its experiment was deleted, not the run itself."""


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields the one page, also when nothing was deleted: links to it stay good."""
    gone = [
        Gone(common.link(site, row), site.table.attributes["deleted"][row])
        for row, is_deleted in enumerate(site.deleted)
        if is_deleted
    ]
    experiments = [each for each in site.experiments if each.hidden and not each.rows]

    def make() -> Iterator[tuple[str, bytes]]:
        context = {"gone": gone, "experiments": experiments}
        yield common.page(site, "deleted.html", urls.DELETED, "Deleted", **context)

    named = [each.title for each in experiments]
    yield Unit("deleted", common.key("deleted", site.title, gone, named), make)
