"""The page of an experiment: its runs as a table, the best of them, its curves and its notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from mlgit.site import goals, importance, markdown, tables, urls
from mlgit.site.gather import Experiment, Site
from mlgit.site.pages import common, ranking
from mlgit.site.whole import Source
from mlgit.site.write import Unit

STATIC_ROWS = 60  # of the table without JavaScript
LEADERS = 8
_PARAMS = 4  # of a leader


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields a unit for every experiment, and one for each of its other names."""
    for experiment in site.experiments:
        runs = [site.folders[row] for row in experiment.rows]
        facts = experiment._replace(rows=[], gone=[])
        gone = [site.table.ids[row] for row in experiment.gone]
        key = common.key("experiment", site.title, facts, runs, gone)
        yield Unit(f"experiment/{experiment.names[0]}", key, partial(_files, site, experiment))
        for name in experiment.names[1:]:
            key = common.key("moved", site.title, experiment.title, experiment.url)
            yield Unit(f"experiment/{name}", key, partial(_moved, site, name, experiment))


def _moved(site: Site, name: str, experiment: Experiment) -> Iterator[tuple[str, bytes]]:
    url = urls.experiment(name)
    yield common.page(site, "moved.html", url, name, experiment=experiment)


def _files(site: Site, experiment: Experiment) -> Iterator[tuple[str, bytes]]:
    stored = experiment.names[0]
    metric = ranking.primary(site, experiment.rows)
    table = tables.build(site, experiment.rows, True, metric)
    if experiment.rows:
        name = f"experiment/{urls.slug(stored)}"
        yield urls.experiment_data(stored), common.script(name, tables.data(table))
        yield urls.experiment_csv(stored), tables.as_csv(table)
    context = _context(site, experiment, table, metric)
    yield common.page(site, "experiment.html", experiment.url, experiment.title, **context)


class Leader(NamedTuple):
    ranked: ranking.Ranked
    share: float
    """How long its bar is, from 0 to 1."""
    place: int
    """Its position in the table."""


def _context(
    site: Site, experiment: Experiment, table: tables.Table, metric: str | None
) -> dict[str, Any]:
    statuses = Counter(site.table.attributes["status"][row] for row in experiment.rows)
    stored = experiment.names[0]
    ranked = ranking.ranked(site, experiment.rows, metric) if metric else []
    telling = _telling(table, metric) if metric else []
    order = {each.param: place for place, each in enumerate(telling)}
    may_be_best = {each.row for each in ranked}
    among = [place for place, row in enumerate(table.rows) if row in may_be_best]
    differing = sorted(
        (each for each in tables.differing_params(table) if _tells_apart(each, among)),
        key=lambda each: order.get(each.field.key, len(order)),
    )[:_PARAMS]
    return {
        "experiment": experiment,
        "description": markdown.to_html(experiment.description, partial(common.run_url, site))
        if experiment.description
        else None,
        "statuses": statuses,
        "views": [
            (name, urls.view(view)) for name, view in sorted(experiment.views.items()) if any(view)
        ],
        "table": table,
        "static": static_rows(site, table),
        "metric": metric,
        "goal": goals.goal(metric) if metric else None,
        "has_best": bool(ranked),
        "leaders": _leaders(table, ranked),
        "leaders_params": differing,
        "digits": tables.decimals([each.value for each in ranked[:LEADERS]]),
        "telling": telling,
        "telling_shown": importance.SHOWN,
        "gone": [common.link(site, row) for row in experiment.gone],
        "data_name": f"experiment/{urls.slug(stored)}",
        "data_url": urls.experiment_data(stored),
        "csv_url": urls.experiment_csv(stored),
    }


def static_rows(site: Site, table: tables.Table) -> list[common.RunLink]:
    """Returns the runs of the first rows, which the page has without JavaScript."""
    return [common.link(site, row) for row in table.rows[:STATIC_ROWS]]


def _leaders(table: tables.Table, ranked: Sequence[ranking.Ranked]) -> list[Leader]:
    if len(ranked) < 2:
        return []
    # Bars from the worst of all: zero is not where most metrics begin.
    best, worst = ranked[0].value, ranked[-1].value
    place = {row: index for index, row in enumerate(table.rows)}
    leaders = []
    for each in ranked[:LEADERS]:
        share = (worst - each.value) / (worst - best) if worst != best else 1.0
        leaders.append(Leader(each, share, place[each.row]))
    return leaders


def _tells_apart(column: tables.Column, places: Sequence[int]) -> bool:
    """Whether not all of these runs have the same of it."""
    first, *rest = [column.values[place] for place in places] or [None]
    return any(value != first for value in rest)


def _telling(table: tables.Table, metric: str) -> list[importance.Importance]:
    for column in table.columns:
        if column.field.kind == "metric" and column.field.key == metric:
            return importance.telling(table, column.values)
    return []
