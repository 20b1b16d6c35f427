"""What every page takes along: stylesheet, scripts, icon; Vega and what it draws charts from."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from mlgit.site import resources, urls
from mlgit.site.gather import Site
from mlgit.site.pages import common
from mlgit.site.whole import Source
from mlgit.site.write import Unit


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields a unit of what is taken verbatim, and one of what charts need."""
    yield Unit("assets", common.key("assets"), _assets)
    yield Unit("charts", common.key("charts"), _charts)


def _assets() -> Iterator[tuple[str, bytes]]:
    for name, content in resources.assets().items():
        yield urls.asset(name), content


def _charts() -> Iterator[tuple[str, bytes]]:
    from mlgit.site import charts, vega

    yield urls.VEGA, vega.script()
    yield urls.CHARTS_DATA, common.script("charts", msgspec.json.encode(charts.specs()))
