"""The registry's page: every model with what is in its stages, now and as of any date."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from mlgit.registry import Event, Model, Version
from mlgit.registry.fold import is_stage, semver_key
from mlgit.site import svg_timeline, urls
from mlgit.site.gather import Site
from mlgit.site.pages import common, registered
from mlgit.site.render import cut, harmless
from mlgit.site.whole import Source
from mlgit.site.write import Unit

TIMELINES = 12  # of the models changed last
DATA_NAME = "registry"


class Row(NamedTuple):
    """A model as the list shows it."""

    model: Model
    url: str
    held: list[registered.Held]
    latest: registered.VersionLink | None
    changed: Event
    timeline: svg_timeline.Timeline | None


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields the one unit; none if there is no model."""
    if not site.models:
        return

    def make() -> Iterator[tuple[str, bytes]]:
        yield urls.REGISTRY_DATA, common.script(DATA_NAME, data(site.models))
        yield common.page(site, "models.html", urls.MODELS, "Registry", **_context(site))

    states = [registered.state(model) for model in site.models]
    yield Unit("models", common.key("models", states), make)


def _context(site: Site) -> dict[str, Any]:
    drawn = sorted(site.models, key=lambda model: _changed(model).time, reverse=True)[:TIMELINES]
    rows = [_row(model, any(model is each for each in drawn)) for model in site.models]
    present = [row for row in rows if not row.model.deprecated]
    return {
        "rows": rows,
        "present": present,
        "deprecated": [row for row in rows if row.model.deprecated],
        "count": len(present),
        "versions": sum(len(row.model.present) for row in present),
        "serving": sum(any(e.label == "production" for e in row.held) for row in present),
        "timelines": [row for row in present if row.timeline],
        "first_day": min(event.time for m in site.models for event in m.events)[:10],
        "last_day": max(event.time for m in site.models for event in m.events)[:10],
        "data_name": DATA_NAME,
        "data_url": urls.REGISTRY_DATA,
    }


def _row(model: Model, is_drawn: bool) -> Row:
    latest = model.latest
    return Row(
        model=model,
        url=urls.model(model.name),
        held=registered.held(model),
        latest=registered.link(model, latest) if latest else None,
        changed=_changed(model),
        timeline=svg_timeline.timeline(model) if is_drawn else None,
    )


def _changed(model: Model) -> Event:
    return max(model.events, key=lambda event: (event.time, event.order))


# --- what the script folds -------------------------------------------------------------------


def data(models: Sequence[Model]) -> bytes:
    """Returns the events of all models, for site/registry.js to fold as of any date.

    Of each model: `versions` as [number, short, rank, page], where equal ranks are equal by
    semantic versioning; `events` in the order they are applied in, as [time, action, what,
    commit, is a stage, by whom, when], where `what` is the place of the version that is
    registered or withdrawn (null: there is none) or else a label, commits and people are
    numbers, and `when` is the git tag's own time.
    """
    people: dict[str, int] = {}
    found = [_model_data(model, people) for model in models]
    names = [cut(str(harmless(name)), registered.TITLE) for name in people]
    return msgspec.json.encode({"models": found, "people": names})


def _model_data(model: Model, people: dict[str, int]) -> dict[str, Any]:
    ranks = {key: rank for rank, key in enumerate(sorted(map(_key, model.versions)))}
    place = {version.version: number for number, version in enumerate(model.versions)}
    commits: dict[str, int] = {}
    events = []
    for event in model.events:
        name = event.name
        what = name.stage if name.version is None else place.get(name.version)
        events.append(
            [
                event.time,
                name.action,
                what,
                commits.setdefault(event.commit, len(commits)),
                is_stage(event),
                people.setdefault(event.by, len(people)),
                event.when,
            ]
        )
    versions = [
        [v.version, v.short, ranks[_key(v)], urls.version(model.name, v.short)]
        for v in model.versions
    ]
    return {"name": model.name, "versions": versions, "events": events}


def _key(version: Version) -> tuple[Any, ...]:
    *numbers, before = semver_key(version.version)
    return *numbers, tuple(before)
