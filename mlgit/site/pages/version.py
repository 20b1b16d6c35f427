"""The page of a version: what made it, how good it is, where it stood when, how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

from mlgit.registry import Event, Model, Version
from mlgit.registry.history import Span, spans
from mlgit.site import markdown, urls
from mlgit.site.gather import Site
from mlgit.site.pages import common, registered
from mlgit.site.pages.model import HISTORY, row_of
from mlgit.site.whole import Source
from mlgit.site.write import Unit

Around = tuple[Version | None, Version | None]
"""The version before and the one after."""


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields a unit for every version, withdrawn ones too."""
    for model in site.models:
        older = {new.version: old for new, old in pairwise(model.versions)}
        newer = {old.version: new for new, old in pairwise(model.versions)}
        held: dict[str, list[Span]] = {}
        for span in spans(model):
            held.setdefault(span.version, []).append(span)
        events = _events(model)
        for version in model.versions:
            around = older.get(version.version), newer.get(version.version)
            mine = held.get(version.version, [])
            told = events[version.version]
            key = common.key("version", *_inputs(site, model, version, around, told, mine))
            make = partial(_files, site, source, model, version, around, told, mine)
            yield Unit(f"version/{model.name}/{version.version}", key, make)


def _inputs(
    site: Site,
    model: Model,
    version: Version,
    around: Around,
    told: list[Event],
    mine: list[Span],
) -> list[Any]:
    """Returns what the page depends on: little of its model's other versions."""
    runs = []
    for each in (version, around[0]):  # whose metrics stand beside its own
        row = site.find(each.run) if each and each.run else None
        if row is not None:
            facts = site.deleted[row], site.label(row), site.experiment(row).title
            runs.append([site.folders[row].sha, *facts])
    return [
        model.name,
        model.deprecated,
        version,
        [each.short if each else None for each in around],
        [(event.tag, event.sha) for event in told],
        [(span.label, span.since.tag, span.until and span.until.sha) for span in mine],
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


def _files(
    site: Site,
    source: Source,
    model: Model,
    version: Version,
    around: Around,
    told: list[Event],
    mine: list[Span],
) -> Iterator[tuple[str, bytes]]:
    url = urls.version(model.name, version.short)
    context = _context(site, source, model, version, around, told, mine)
    yield common.page(site, "version.html", url, version.name, **context)


def _context(
    site: Site,
    source: Source,
    model: Model,
    version: Version,
    around: Around,
    told: list[Event],
    mine: list[Span],
) -> dict[str, Any]:
    row = row_of(site, source, model, version)
    event = registered.register_event(model, version)
    history = registered.events(model, told)
    older, newer = around
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
        "spans": mine[::-1],
        "history": history[:HISTORY],
        "forced": [each for each in history if each.forced],
        "withdrawal": _withdrawal(history) if version.withdrawn else None,
        "event": event,
        "commands": registered.commands(version, event and event.tag, row.record),
    }


def _withdrawal(history: list[registered.EventRow]) -> registered.EventRow | None:
    return next((each for each in history if each.event.name.action == "withdraw"), None)
