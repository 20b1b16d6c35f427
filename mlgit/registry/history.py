"""What happened to a model, in words and as spans of time; pure.

A span begins and ends with the events that did it, in the order in which events are
applied. Whoever's clock went backwards sees it in the times; nothing is straightened.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from mlgit.registry.events import Event
from mlgit.registry.fold import STAGES, Model, apply, is_stage


class Span(NamedTuple):
    """A version in a stage, or with an alias, from one event to another."""

    version: str
    """As in "v2.0.0"."""
    label: str
    is_stage: bool
    since: Event
    until: Event | None
    """None: it still is."""


def spans(model: Model, stages: Collection[str] = STAGES) -> list[Span]:
    """Returns who was in which stage, and had which alias, when; in the order of beginning."""
    again = Model(name=model.name, title=model.title)
    open_at: dict[tuple[str, str], int] = {}  # by version and label, where in `found`
    found: list[Span] = []
    for event in model.events:
        apply(again, event, stages)
        held = {
            (version.version, label)
            for version in again.versions
            for label in (version.stage, *version.aliases)
            if label
        }
        for key in [key for key in open_at if key not in held]:
            place = open_at.pop(key)
            found[place] = found[place]._replace(until=event)
        for version, label in sorted(held - open_at.keys()):
            open_at[version, label] = len(found)
            found.append(Span(version, label, is_stage(event, stages), event, None))
    return found


def sentence(model: Model, event: Event) -> str:
    """Says what an event is, for those that we wrote and those of GTO alike."""
    number = next((v.short for v in model.versions if v.commit == event.commit), "?")
    name = event.name
    return {
        "register": f"{number} registered",
        "withdraw": f"{number} withdrawn",
        "assign": f"{number} → {name.stage}",
        "unassign": f"{number} leaves {name.stage}",
        "deprecate": "deprecated",
    }[name.action] + (" (forced)" if "Forced" in event.trailers else "")


def latest(models: Iterable[Model], limit: int) -> list[tuple[Model, Event]]:
    """Returns the last events of several models, the newest first."""
    every = [(model, event) for model in models for event in model.events]
    every.sort(key=lambda pair: (pair[1].time, pair[1].order), reverse=True)
    return every[:limit]
