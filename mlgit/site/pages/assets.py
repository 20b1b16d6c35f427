"""What every page takes verbatim: stylesheet, script, icon."""

from __future__ import annotations

from collections.abc import Iterator

from mlgit.site import resources, urls
from mlgit.site.gather import Site
from mlgit.site.pages import common
from mlgit.site.whole import Source
from mlgit.site.write import Unit


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields the one unit of all of them."""

    def make() -> Iterator[tuple[str, bytes]]:
        for name, content in resources.assets().items():
            yield urls.asset(name), content

    yield Unit("assets", common.key("assets"), make)
