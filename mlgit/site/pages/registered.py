"""What pages say of models, versions and events: links, rows, and the words for signatures."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from mlgit.records import Run
from mlgit.registry import Event, Model, Version
from mlgit.registry.approvals import Approval
from mlgit.registry.history import sentence
from mlgit.saved import SYSTEM, may_be_best
from mlgit.site import goals, urls
from mlgit.site.flow import Release
from mlgit.site.gather import Site
from mlgit.site.render import cut

REASON = 1000  # characters of a reason that are shown
TITLE = 80


class VersionLink(NamedTuple):
    """A version as other pages mention it."""

    model: str
    """The model's title."""
    short: str
    url: str
    stage: str | None
    aliases: list[str]
    withdrawn: bool
    deprecated: bool
    """Whether its model is."""


def link(model: Model, version: Version) -> VersionLink:
    return VersionLink(
        model=model.title,
        short=version.short,
        url=urls.version(model.name, version.short),
        stage=version.stage,
        aliases=version.aliases,
        withdrawn=version.withdrawn,
        deprecated=model.deprecated,
    )


class Came(NamedTuple):
    """A version that came of some data or code."""

    link: VersionLink
    time: str
    by: str
    run: str | None


def came(found: Iterable[Release]) -> list[Came]:
    """Returns versions as pages of what they came of mention them: those in use first."""
    rows = [
        Came(link(model, version), version.time, version.by, version.run)
        for model, version in found
    ]
    return sorted(rows, key=lambda row: (row.link.withdrawn, row.link.stage is None))


def of_runs(site: Site) -> dict[str, list[VersionLink]]:
    """Returns the versions that were registered from each run, by its id."""
    found: dict[str, list[VersionLink]] = {}
    for model in site.models:
        for version in model.versions:
            if version.run:
                found.setdefault(version.run, []).append(link(model, version))
    return found


def state(model: Model) -> list[Any]:
    """Returns what a page about a model depends on: its git tags, and what facts say of it."""
    return [
        model.name,
        model.title,
        model.description,
        model.tags,
        model.former,
        [(version.description, version.tags) for version in model.versions],
        [(event.tag, event.sha) for event in model.events],
    ]


class EventRow(NamedTuple):
    """One event of a model as a row of its history."""

    event: Event
    what: str
    reason: str
    url: str | None
    """Of the version's page."""
    problem: str | None
    """Why it changes nothing."""

    @property
    def forced(self) -> str | None:
        return self.event.trailers.get("Forced")


def events(model: Model, chosen: Iterable[Event]) -> list[EventRow]:
    """Returns events of a model as rows, the newest first."""
    wrong = {problem.tag: problem.message for problem in model.problems}
    by_commit = {version.commit: version for version in reversed(model.versions)}
    rows = []
    for event in sorted(chosen, key=lambda event: (event.time, event.order), reverse=True):
        version = by_commit.get(event.commit)
        rows.append(
            EventRow(
                event=event,
                what=cut(sentence(model, event), 120),
                reason=cut(event.reason, REASON),
                url=urls.version(model.name, version.short) if version else None,
                problem=wrong.get(event.tag),
            )
        )
    return rows


class Said(NamedTuple):
    """An approval of a version for a stage, or that one is taken back."""

    approval: Approval
    is_void: bool
    """An approval that its maker, by the address in the git tag, took back later."""

    @property
    def stands(self) -> bool:
        return not self.is_void and not self.approval.name.withdrawn


def statements(site: Site, model: Model) -> list[Approval]:
    """Returns the approvals that are of the very commits of a model's versions; oldest first."""
    commits = {(version.version, version.commit) for version in model.versions}
    return [
        each for each in site.approvals[model.name] if (each.name.version, each.commit) in commits
    ]


def approvals(site: Site, model: Model) -> dict[str, list[Said]]:
    """Returns what was said of the versions of a model, by their numbers; the newest first.

    Whether a signature is good is not known here, so none of them is said to count.
    """
    found: dict[str, list[Said]] = {version.version: [] for version in model.versions}
    back: set[tuple[str, str, str]] = set()
    for each in reversed(statements(site, model)):
        name = each.name
        about = (name.version, name.stage, each.email)
        found[name.version].append(Said(each, about in back and not name.withdrawn))
        if name.withdrawn:
            back.add(about)
    return found


class Held(NamedTuple):
    """A stage or an alias with the version that has it."""

    label: str
    is_stage: bool
    version: VersionLink
    event: Event | None
    """That gave it."""


def held(model: Model) -> list[Held]:
    """Returns what the versions hold: production, other stages, aliases; without `archived`."""
    given = {
        (event.name.stage, event.commit): event
        for event in model.events
        if event.name.action == "assign"
    }
    found = []
    for version in model.present:
        here = link(model, version)
        for label in (version.stage, *version.aliases):
            if label and label != "archived":
                event = given.get((label, version.commit))
                found.append(Held(label, label == version.stage, here, event))
    return sorted(found, key=lambda each: (_rank(each), each.label))


def _rank(held: Held) -> int:
    """Returns the place of a label among others; site/registry.js has the same."""
    known = {"production": 0, "staging": 1}
    return known.get(held.label, 2 if held.is_stage else 3)


def register_event(model: Model, version: Version) -> Event | None:
    """Returns the event that a version began with."""
    for event in model.events:
        is_begin = event.name.action == "register" and event.name.version == version.version
        if is_begin and event.commit == version.commit:
            return event
    return None


# --- versions beside each other --------------------------------------------------------------


class Compared(NamedTuple):
    """One metric or param of several versions."""

    key: str
    kind: str
    values: list[Any]
    best: list[int]
    """Of a metric the places of the best, if its name tells which way is better and they differ."""


def compared(site: Site, versions: Sequence[Version]) -> list[Compared]:
    """Returns the metrics of the runs of versions, and the params in which they differ."""
    rows = [site.find(version.run) if version.run else None for version in versions]
    statuses = ["" if row is None else site.table.attributes["status"][row] for row in rows]
    found = []
    for (kind, key), every in site.table.values.items():
        values = [every.get(row) if row is not None else None for row in rows]
        if kind == "tag" or key.startswith(SYSTEM) or all(value is None for value in values):
            continue
        if kind == "metric":
            last = [None if value is None else value[0] for value in values]
            found.append(Compared(key, kind, last, _best(key, last, statuses)))
        elif any(isinstance(value, dict) and value for value in values):
            continue  # its parts are params of their own
        elif any(value != values[0] for value in values):
            found.append(Compared(key, kind, values, []))
    return sorted(found, key=lambda each: (each.kind != "metric", each.key))


def _best(metric: str, values: Sequence[Any], statuses: Sequence[str]) -> list[int]:
    may_be = {
        place: value
        for place, (status, value) in enumerate(zip(statuses, values, strict=True))
        if value is not None and may_be_best(status, value)
    }
    goal = goals.goal(metric)
    if goal is None or len(set(may_be.values())) < 2:
        return []
    best = min(may_be.values()) if goal == "min" else max(may_be.values())
    return [place for place, value in may_be.items() if value == best]


def comparison(site: Site, versions: Sequence[Version]) -> str | None:
    """Returns the page that compares the runs of versions; None if there are not two."""
    runs = [v.run for v in versions if v.run and site.find(v.run) is not None]
    different = list(dict.fromkeys(runs))
    return urls.comparison(*different) if len(different) > 1 else None


# --- how to get it ---------------------------------------------------------------------------


class Command(NamedTuple):
    what: str
    text: str


def commands(version: Version, event: Event | None, run: Run | None) -> list[Command]:
    """Returns how the version is fetched: with mlgit, Python, plain DVC and plain git."""
    name = shlex.quote(version.name)
    to = f"{urls.slug(version.model)}-{version.short}"
    found = []
    if version.hash:
        found.append(Command("mlgit", f"mlgit model pull {name} -o {to}"))
        call = f"from mlgit import registry; registry.download({version.name!r}, {to!r})"
        found.append(Command("Python", call))
    if event is None:
        return found
    tag = event.tag
    rev = shlex.quote(tag)
    stored = (
        next((p.stored for p in run.artifacts if p.path == version.path), None) if run else None
    )
    if stored == "dvc":
        found.append(Command("DVC", f"dvc get REPO model --rev {rev} -o {to}"))
    elif stored == "git":
        found.append(Command("git", f"git show {shlex.quote(f'{tag}:model')} > {to}"))
    if version.run is None:  # a tag that GTO made stands on the code itself
        found.append(Command("code", f"git worktree add ../{to} {rev}"))
    elif run is None or run.source.commit or run.source.snapshot:
        code = shlex.quote(f"{tag}^")
        found.append(Command("code", f"git worktree add ../{to} {code}"))
    if event.is_signed:
        found.append(Command("signature", f"git verify-tag {rev}"))
    return found
