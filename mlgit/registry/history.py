"""What happened to a model, in words and as spans of time; pure.

A span begins and ends with the events that did it, in the order in which events are
applied. Whoever's clock went backwards sees it in the times; nothing is straightened.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from mlgit.registry.approvals import Approval
from mlgit.registry.events import Event
from mlgit.registry.fold import STAGES, Model, Version, apply

Label = tuple[str, bool]
"""A name, and whether it is a stage's, not an alias's."""


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
    numbers: dict[str, Version] = {}
    at: dict[str, list[str]] = {}  # numbers by commit
    having: dict[Label, set[str]] = {}  # numbers by what they hold
    places: dict[tuple[str, Label], int] = {}  # of what is held, in `found`
    found: list[Span] = []
    for event in model.events:
        known = len(again.versions)
        apply(again, event, stages)
        for version in again.versions[known:]:
            numbers[version.version] = version
            at.setdefault(version.commit, []).append(version.version)
        # What an event can change: its version, and who had its label.
        touched = {*at.get(event.commit, ())}
        if event.name.version is not None and event.name.version in numbers:
            touched.add(event.name.version)
        for is_stage in (True, False):
            touched |= having.get((event.name.stage or "", is_stage), set())
        for number in sorted(touched):
            version = numbers[number]
            held = {(alias, False) for alias in version.aliases}
            if version.stage:
                held.add((version.stage, True))
            had = {label for label, every in having.items() if number in every}
            for label in sorted(had - held):
                place = places.pop((number, label))
                found[place] = found[place]._replace(until=event)
                having[label].remove(number)
            for label in sorted(held - had):
                places[number, label] = len(found)
                having.setdefault(label, set()).add(number)
                found.append(Span(number, *label, event, None))
    return found


def sentence(model: Model, event: Event | Approval) -> str:
    """Says what an event or approval is, for those that we wrote and those of GTO alike."""
    number = next((v.short for v in model.versions if v.commit == event.commit), "?")
    if isinstance(event, Approval):
        no_longer = "no longer " * event.name.withdrawn
        return f"{number} {no_longer}approved for {event.name.stage}"
    name = event.name
    return {
        "register": f"{number} registered",
        "withdraw": f"{number} withdrawn",
        "assign": f"{number} → {name.stage}",
        "unassign": f"{number} leaves {name.stage}",
        "deprecate": "deprecated",
    }[name.action] + (" (forced)" if "Forced" in event.trailers else "")


def together(events: Iterable[Event], approvals: Iterable[Approval]) -> list[Event | Approval]:
    """Returns both; events stay in their order, and an approval is before what came after it."""
    waiting = sorted(approvals, key=lambda approval: approval.name.id)
    found: list[Event | Approval] = []
    for event in events:
        earlier = [approval for approval in waiting if approval.time < event.time]
        waiting = waiting[len(earlier) :]
        found += [*earlier, event]
    return [*found, *waiting]


def latest(models: Iterable[Model], limit: int) -> list[tuple[Model, Event]]:
    """Returns the last events of several models, the newest first."""
    every = [(model, event) for model in models for event in model.events]
    every.sort(key=lambda pair: (pair[1].time, pair[1].order), reverse=True)
    return every[:limit]
