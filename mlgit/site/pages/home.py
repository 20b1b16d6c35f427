"""The first page: the experiments with their latest and best, and what happened when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from markupsafe import Markup

from mlgit.registry import Event, Model
from mlgit.registry.approvals import Approval
from mlgit.registry.history import latest, sentence
from mlgit.site import svg, urls
from mlgit.site.gather import Experiment, Site
from mlgit.site.pages import common, ranking, registered
from mlgit.site.whole import Source
from mlgit.site.write import Unit

RECENT = 12  # runs
CHANGES = 8  # of the registry
_BARS = 60  # of the activity, at most
_SPARK = 60  # runs of an experiment's little line
STATUSES = ("finished", "interrupted", "failed")


class Row(NamedTuple):
    """An experiment as the list shows it."""

    experiment: Experiment
    latest: common.RunLink | None
    best: ranking.Ranked | None
    metric: str | None
    picture: Markup


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields the one unit of the home page, which depends on everything."""

    def make() -> Iterator[tuple[str, bytes]]:
        yield common.page(site, "home.html", urls.HOME, site.title, **_context(site))

    states = [registered.state(model) for model in site.models]
    said = [(each.tag, each.sha) for every in site.approvals.values() for each in every]
    yield Unit("home", common.key("home", site.root, site.title, states, said, site.reports), make)


def _context(site: Site) -> dict[str, Any]:
    every = site.table.attributes
    shown = [row for row in range(len(site.deleted)) if not site.deleted[row]]
    return {
        "rows": [_row(site, experiment) for experiment in site.experiments if experiment.rows],
        "empty": [each for each in site.experiments if not each.rows and not each.hidden],
        "recent": [common.link(site, row) for row in shown[:RECENT]],
        "count": len(shown),
        "people": len({every["email"][row] for row in shown}),
        "first": every["started"][shown[-1]] if shown else None,
        "last": every["started"][shown[0]] if shown else None,
        "failed": sum(every["status"][row] == "failed" for row in shown),
        "deleted": len(site.deleted) - len(shown),
        "activity": _activity([(every["started"][row], every["status"][row]) for row in shown]),
        "statuses": STATUSES,
        "serving": _serving(site),
        "reports": [(report.title, urls.report(report.path)) for report in site.reports],
        "changes": _changes(site),
    }


def _serving(site: Site) -> list[registered.Held]:
    """Returns the versions that are in production."""
    return [
        held
        for model in site.models
        if not model.deprecated
        for held in registered.held(model)
        if held.is_stage and held.label == "production"
    ]


class Change(NamedTuple):
    """What happened to a model, or was said of one."""

    model: Model
    told: Event | Approval
    what: str
    url: str


def _changes(site: Site) -> list[Change]:
    """Returns what happened last to the models of the registry.

    What a version leaves because it, or another, takes a stage is no news beside that.
    """
    said = {model.name: registered.statements(site, model) for model in site.models}
    every = latest(site.models, said, 4 * CHANGES)
    acts = {(model.name, told.time) for model, told in every if _does(told) == "assign"}
    return [
        Change(model, told, sentence(model, told), _place(model, told))
        for model, told in every
        if _does(told) != "unassign" or (model.name, told.time) not in acts
    ][:CHANGES]


def _does(told: Event | Approval) -> str:
    return told.name.action if isinstance(told, Event) else "approve"


def _place(model: Model, told: Event | Approval) -> str:
    """Returns the page of the version that it is about, else of the model."""
    version = next((each for each in model.versions if each.commit == told.commit), None)
    return urls.version(model.name, version.short) if version else urls.model(model.name)


def _row(site: Site, experiment: Experiment) -> Row:
    metric = ranking.primary(site, experiment.rows)
    ranked = ranking.ranked(site, experiment.rows, metric) if metric else []
    best = ranked[0] if ranked else None
    latest = common.link(site, experiment.rows[0])
    return Row(experiment, latest, best, metric, _picture(site, experiment, metric, best))


def _picture(
    site: Site, experiment: Experiment, metric: str | None, best: ranking.Ranked | None
) -> Markup:
    if metric is None:
        return Markup("")
    values = site.table.values[("metric", metric)]
    rows = [row for row in reversed(experiment.rows[:_SPARK]) if row in values]
    line = [values[row][0] for row in rows]
    return svg.spark(line, rows.index(best.row) if best and best.row in rows else None)


class Activity(NamedTuple):
    picture: Markup
    unit: str
    first: str
    last: str
    most: int
    bins: list[tuple[str, list[int]]]


def _activity(runs: Sequence[tuple[str, str]]) -> Activity | None:
    """Returns how many runs there were each day, week or month, by how they ended.

    None if all were on one day, of which a picture says no more than a word.
    """
    days = [date.fromisoformat(started[:10]) for started, _ in runs]
    if len({*days}) < 2:
        return None
    first, last = min(days), max(days)
    unit = "day" if (last - first).days < _BARS else "week"
    if unit == "week" and (last - first).days >= 7 * _BARS:
        unit = "month"
    bins: dict[str, list[int]] = {name: [0] * len(STATUSES) for name in _bins(first, last, unit)}
    for day, (_, status) in zip(days, runs, strict=True):
        counts = bins.get(_bin(day, unit))
        if counts is not None and status in STATUSES:
            counts[STATUSES.index(status)] += 1
    labelled = [(_label(name, counts), counts) for name, counts in bins.items()]
    names = list(bins)
    most = max(sum(counts) for counts in bins.values())
    picture = svg.bars(labelled, STATUSES)
    return Activity(picture, unit, names[0], names[-1], most, list(bins.items()))


def _bins(first: date, last: date, unit: str) -> list[str]:
    step = timedelta(days=1 if unit == "day" else 7)
    found: list[str] = []
    if unit == "month":
        day = first.replace(day=1)
        while day <= last:
            found.append(_bin(day, unit))
            if day > date.max - timedelta(days=32):
                break
            day = (day + timedelta(days=32)).replace(day=1)
        return found[-_BARS:]
    day = first
    while _bin(day, unit) <= _bin(last, unit):
        found.append(_bin(day, unit))
        if day > date.max - step:
            break
        day += step
    # A picture of two bars says nothing: so many days before them are shown as well.
    while len(found) < 14 and first - step >= date.min:
        first -= step
        found.insert(0, _bin(first, unit))
    return found[-_BARS:]


def _bin(day: date, unit: str) -> str:
    if unit == "month":
        return day.strftime("%Y-%m")
    if unit == "week":
        day -= timedelta(days=min(day.weekday(), (day - date.min).days))
    return day.isoformat()


def _label(name: str, counts: Sequence[int]) -> str:
    parts = [f"{count} {status}" for status, count in zip(STATUSES, counts, strict=True) if count]
    return f"{name}: {', '.join(parts) or 'no runs'}"
