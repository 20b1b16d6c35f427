"""What only `mlgit site serve` shows: the page of the runs that go on, and the script that asks."""

from __future__ import annotations

from collections.abc import Iterator

from mlgit.site import resources, urls
from mlgit.site.gather import Site
from mlgit.site.pages import common
from mlgit.site.whole import Source
from mlgit.site.write import Unit

_FILES = ("serve.js", "serve.css")


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields the page, and what the server adds to every page."""

    def page() -> Iterator[tuple[str, bytes]]:
        yield common.page(site, "live.html", urls.LIVE, "Live runs")

    files = {
        urls.asset(name): (resources.folder("templates") / name).read_bytes() for name in _FILES
    }
    yield Unit("live", common.key("live", site.title), page)
    yield Unit("serve", common.key("serve", files), lambda: files.items())
