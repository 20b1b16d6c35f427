"""The page of a version: what made it, how good it is, where it stood when, how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from mlgit.registry import Event, Model, Version
from mlgit.registry.history import Span, spans
from mlgit.site import markdown, neighbours, urls
from mlgit.site.gather import Site
from mlgit.site.pages import common, registered
from mlgit.site.pages.model import HISTORY, row_of
from mlgit.site.whole import Source
from mlgit.site.write import Unit


class Life(NamedTuple):
    """What the page of a version says, but for what its run does."""

    model: Model
    version: Version
    older: Version | None
    newer: Version | None
    events: list[Event]
    spans: list[Span]
    said: list[registered.Said]
    view: neighbours.View


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields a unit for every version, withdrawn ones too."""
    for model in site.models:
        for life in _lives(site, model):
            key = common.key("version", *_inputs(site, life))
            name = f"version/{model.name}/{life.version.version}"
            yield Unit(name, key, partial(_files, site, source, life))


def _lives(site: Site, model: Model) -> Iterator[Life]:
    held: dict[str, list[Span]] = {}
    for span in spans(model):
        held.setdefault(span.version, []).append(span)
    events = _events(model)
    said = registered.approvals(site, model)
    around = [None, *model.versions, None]
    for newer, version, older in zip(around, model.versions, around[2:], strict=False):
        view = neighbours.of_version(site, model, version)
        number = version.version
        mine = events[number], held.get(number, []), said[number]
        yield Life(model, version, older, newer, *mine, view)


def _inputs(site: Site, life: Life) -> list[Any]:
    """Returns what the page depends on: little of its model's other versions."""
    runs = []
    for each in (life.version, life.older):  # whose metrics stand beside its own
        row = site.find(each.run) if each and each.run else None
        if row is not None:
            facts = site.deleted[row], site.label(row), site.experiment(row).title
            runs.append([site.folders[row].sha, *facts])
    return [
        life.model.name,
        life.model.deprecated,
        life.version,
        [each and [each.short, each.stage, each.withdrawn] for each in (life.older, life.newer)],
        [(event.tag, event.sha) for event in life.events],
        [(span.label, span.since.tag, span.until and span.until.sha) for span in life.spans],
        [(said.approval.tag, said.approval.sha) for said in life.said],
        life.view,
        runs,
    ]


def _events(model: Model) -> dict[str, list[Event]]:
    """Returns the events of a model by the version that they are about."""
    found: dict[str, list[Event]] = {version.version: [] for version in model.versions}
    at: dict[str, set[str]] = {}
    for version in model.versions:
        at.setdefault(version.commit, set()).add(version.version)
    for event in model.events:
        for number in sorted({*at.get(event.commit, ()), event.name.version or ""}):
            if number in found:
                found[number].append(event)
    return found


def _files(site: Site, source: Source, life: Life) -> Iterator[tuple[str, bytes]]:
    url = urls.version(life.model.name, life.version.short)
    context = _context(site, source, life)
    yield common.page(site, "version.html", url, life.version.name, **context)


def _context(site: Site, source: Source, life: Life) -> dict[str, Any]:
    model, version, older, newer = life[:4]
    row = row_of(site, source, model, version, life.said)
    event = registered.register_event(model, version)
    history = registered.events(model, life.events)
    artifacts = row.record.artifacts if row.record else []
    describe = partial(common.run_url, site)
    return {
        "model": model,
        "row": row,
        "older": registered.link(model, older) if older else None,
        "newer": registered.link(model, newer) if newer else None,
        "description": markdown.to_html(version.description, describe)
        if version.description
        else None,
        "pointer": next((p for p in artifacts if p.path == version.path), None),
        "comparison": registered.comparison(site, [older, version]) if older else None,
        "compared": registered.compared(site, [version, older] if older else [version]),
        "spans": life.spans[::-1],
        "picture": life.view.draw(),
        "history": history[:HISTORY],
        "forced": [each for each in history if each.forced],
        "withdrawal": _withdrawal(history) if version.withdrawn else None,
        "event": event,
        "commands": registered.commands(version, event, row.record),
    }


def _withdrawal(history: list[registered.EventRow]) -> registered.EventRow | None:
    return next((each for each in history if each.event.name.action == "withdraw"), None)
