"""What happened to a model, in words and as spans of time; pure.

A span begins and ends with the events that did it, in the order in which events are
applied. Whoever's clock went backwards sees it in the times; nothing is straightened.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from mlgit.registry.approvals import Approval
from mlgit.registry.events import Event
from mlgit.registry.fold import STAGES, Folding, Model, Version

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
    folding = Folding(again, stages)
    numbers: dict[str, Version] = {}
    at: dict[str, str] = {}  # by commit the number that was registered last
    last: dict[Label, str] = {}  # who had it last
    holding: dict[str, dict[Label, int]] = {}  # by number the places in `found` of what it holds
    found: list[Span] = []
    for event in model.events:
        known = len(again.versions)
        folding.apply(event)
        for version in again.versions[known:]:
            numbers[version.version] = version
            at[version.commit] = version.version
            holding[version.version] = {}
        # What an event can change: its version, and who had its label.
        name = event.name
        label = name.stage or ""
        touched = {name.version or at.get(event.commit), last.get((label, True))}
        touched.add(last.get((label, False)))
        for number in sorted(each for each in touched if each in numbers):
            version, had = numbers[number], holding[number]
            held = {(alias, False) for alias in version.aliases}
            if version.stage:
                held.add((version.stage, True))
            for what in sorted(had.keys() - held):
                place = had.pop(what)
                found[place] = found[place]._replace(until=event)
            for what in sorted(held - had.keys()):
                had[what] = len(found)
                last[what] = number
                found.append(Span(number, *what, event, None))
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


def latest(
    models: Iterable[Model], approvals: Mapping[str, Iterable[Approval]], limit: int
) -> list[tuple[Model, Event | Approval]]:
    """Returns what happened last to several models, the newest first; approvals by model."""
    every = [
        (model, each)
        for model in models
        for each in together(model.events, approvals.get(model.name, ()))
    ]
    every.sort(key=lambda pair: pair[1].time)  # those of one time stay in their order
    return every[::-1][:limit]
