"""The page that compares runs: which ones says its address, so it is one page for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from mlgit.site import urls
from mlgit.site.gather import Site
from mlgit.site.pages import common, ranking
from mlgit.site.whole import Source
from mlgit.site.write import Unit


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields the page, and apart from it what it knows of all runs, which changes more often."""

    def page() -> Iterator[tuple[str, bytes]]:
        yield common.page(site, "compare.html", urls.COMPARE, "Compare runs")

    best = _best(site)

    def known() -> Iterator[tuple[str, bytes]]:
        content = msgspec.json.encode({"best": best})
        yield urls.COMPARE_DATA, common.script("compare", content)

    yield Unit("compare", common.key("compare", site.title), page)
    yield Unit("compare/known", common.key("compare/known", best), known)


def _best(site: Site) -> dict[str, tuple[str | None, str]]:
    """Returns of each experiment the best run, if one may be it, and the metric that says so."""
    found: dict[str, tuple[str | None, str]] = {}
    for experiment in site.experiments:
        metric = ranking.primary(site, experiment.rows)
        if metric:
            ranked = ranking.ranked(site, experiment.rows, metric)
            found[experiment.title] = (ranked[0].link.id if ranked else None, metric)
    return found
