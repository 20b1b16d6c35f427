"""The page that compares runs: which ones says its address, so it is one page for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from mlgit.errors import NotFound
from mlgit.registry.find import version_meant
from mlgit.registry.fold import Model
from mlgit.site import urls
from mlgit.site.gather import Site
from mlgit.site.pages import common, ranking
from mlgit.site.whole import Source
from mlgit.site.write import Unit


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields the page, and apart from it what it knows of all runs, which changes more often."""

    def page() -> Iterator[tuple[str, bytes]]:
        yield common.page(site, "compare.html", urls.COMPARE, "Compare runs")

    found = {"best": _best(site), "models": [_model(model) for model in site.models]}

    def known() -> Iterator[tuple[str, bytes]]:
        yield urls.COMPARE_DATA, common.script("compare", msgspec.json.encode(found))

    yield Unit("compare", common.key("compare", site.title), page)
    yield Unit("compare/known", common.key("compare/known", found), known)


def _model(model: Model) -> dict[str, Any]:
    """Returns a model's names, and the run behind all that may be said after its name and "@"."""
    labels = [
        *("latest", "none"),
        *(label for version in model.present for label in (version.stage, *version.aliases)),
        *(version.version for version in model.versions),
    ]
    runs = {}
    for label in labels:
        if label:
            with suppress(NotFound):  # nothing is latest, or the version was withdrawn
                runs[label] = version_meant(model, label).run
    return {"title": model.title, "names": [model.name, *model.former], "runs": runs}


def _best(site: Site) -> dict[str, tuple[str | None, str]]:
    """Returns of each experiment the best run, if one may be it, and the metric that says so."""
    found: dict[str, tuple[str | None, str]] = {}
    for experiment in site.experiments:
        metric = ranking.primary(site, experiment.rows)
        if metric:
            ranked = ranking.ranked(site, experiment.rows, metric)
            found[experiment.title] = (ranked[0].link.id if ranked else None, metric)
    return found
