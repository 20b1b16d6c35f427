"""What the registry's events and facts add up to; pure.

Events of a model are applied in order of number, then the tag's time, then name, whatever
order they arrived in. The rules are MLflow's where people rely on them: a version is in
one stage at a time. A stage has one version, the last that took it, but `archived` may
have many; an alias is one version's. A withdrawn version holds nothing. A model whose latest
event, by the tags' own time, deprecates it is deprecated; any later event brings it back.
A number cannot tell that, because the registration of a version has none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from mlgit import names, tags
from mlgit.errors import Invalid
from mlgit.records import Fact
from mlgit.registry.events import Event

STAGES = ("staging", "production", "archived")
MANY = ("archived",)  # stages that several versions may be in


class Problem(NamedTuple):
    """An event that changes nothing, and why."""

    tag: str
    message: str


class Version(msgspec.Struct, kw_only=True):
    """A registered version of a model, as it stands."""

    model: str
    """The model's title."""
    version: str
    """As in "v2.0.0"."""
    commit: str
    run: str | None
    path: str | None
    """Of the artifact in the run."""
    hash: str | None
    """Its DVC hash, the model's identity."""
    time: str
    by: str
    email: str
    reason: str
    stage: str | None = None
    aliases: list[str] = msgspec.field(default_factory=list)
    withdrawn: bool = False
    description: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def short(self) -> str:
        """As people write it: "v2" for "v2.0.0"."""
        return self.version.removesuffix(".0.0") if _is_major(self.version) else self.version

    @property
    def name(self) -> str:
        return f"{self.model}@{self.short}"


class Model(msgspec.Struct, kw_only=True):
    """A model and its versions, the newest first."""

    name: str
    """As its git tags have it; `title` is how it is shown, after a rename."""
    title: str
    versions: list[Version] = msgspec.field(default_factory=list)
    events: list[Event] = msgspec.field(default_factory=list)
    description: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    deprecated: bool = False
    former: list[str] = msgspec.field(default_factory=list)
    """Titles it had before; they still find it."""
    problems: list[Problem] = msgspec.field(default_factory=list)
    """Events that change nothing, and why."""

    @property
    def present(self) -> list[Version]:
        """The versions that are not withdrawn."""
        return [version for version in self.versions if not version.withdrawn]

    @property
    def deprecation(self) -> Event | None:
        """The event that deprecated it and stands: the latest of all, as GTO tells it."""
        last = max(self.events, key=lambda event: (event.when, event.order), default=None)
        return last if last and last.name.action == "deprecate" else None

    @property
    def latest(self) -> Version | None:
        """The version with the highest number of those that are not withdrawn."""
        return next(iter(self.present), None)

    def holder(self, label: str) -> Version | None:
        """Returns the version in a stage or with an alias; of several the newest."""
        for version in self.present:
            if version.stage == label or label in version.aliases:
                return version
        return None


class Registry(NamedTuple):
    """All models by the name their tags have."""

    models: dict[str, Model]


def fold(
    events: Iterable[Event],
    facts: Mapping[str, Iterable[Fact]],
    stages: Collection[str] = STAGES,
    as_of: str | None = None,
) -> Registry:
    """Returns the registry as events, in any order, and facts by model's name make it.

    `stages` tells stages from aliases where a tag does not say which it is; `as_of` is a
    stored time: what came later is left out.
    """
    models: dict[str, Model] = {}
    foldings: dict[str, Folding] = {}
    for event in sorted(events, key=lambda event: event.order):
        if as_of is not None and event.time > as_of:
            continue
        name = event.name.model
        if name not in models:
            models[name] = Model(name=name, title=name)
            foldings[name] = Folding(models[name], stages)
        model = models[name]
        problem = foldings[name].apply(event)
        model.events.append(event)
        if problem:
            model.problems.append(Problem(event.tag, problem))
    for name, told in facts.items():
        if name in models:
            for fact in sorted(told, key=lambda fact: fact.id):
                if as_of is None or fact.time <= as_of:
                    _apply_fact(models[name], fact)
    for model in models.values():
        model.versions.sort(key=lambda version: semver_key(version.version), reverse=True)
        for version in model.versions:
            version.model = model.title
            version.aliases.sort()
        model.deprecated = model.deprecation is not None
    return Registry(dict(sorted(models.items())))


class Folding:
    """A model that takes its events one after another, in a time that does not grow with it."""

    def __init__(self, model: Model, stages: Collection[str] = STAGES) -> None:
        self.model = model
        self._stages = stages
        self._numbered: dict[str, Version] = {}
        self._at: dict[str, Version] = {}
        """The last that was registered at a commit."""
        self._in_stage: dict[str, Version] = {}
        """That took a stage last, of those for one alone; it may have left since."""
        self._called: dict[str, Version] = {}
        """That got an alias last; it may have lost it since."""
        for version in model.versions:
            self._note(version)

    def _note(self, version: Version) -> None:
        self._numbered.setdefault(version.version, version)
        self._at[version.commit] = version
        if version.stage is not None and version.stage not in MANY:
            self._in_stage[version.stage] = version
        for alias in version.aliases:
            self._called[alias] = version

    def apply(self, event: Event) -> str | None:
        """Changes the model by its next event, or returns why it cannot be."""
        action, number = event.name.action, str(event.name.version)
        if action == "deprecate":
            return None
        if action == "register":
            return self._register(number, event)
        if action == "withdraw":
            version = self._numbered.get(number)
            if version is None:
                return f"there is no version {number} to withdraw"
            version.withdrawn, version.stage, version.aliases = True, None, []
            return None
        version = self._at.get(event.commit)
        label = str(event.name.stage)
        if version is None:
            return f"its commit {event.commit[:12]} is no version of {self.model.name}"
        if action == "unassign":
            if version.stage == label:
                version.stage = None
            version.aliases = [alias for alias in version.aliases if alias != label]
            return None
        if version.withdrawn:
            return f"{version.version} was withdrawn before"
        self._assign(version, label, is_stage(event, self._stages))
        return None

    def _assign(self, version: Version, label: str, to_stage: bool) -> None:
        before = self._in_stage.get(label)
        if to_stage and before is not None and before.stage == label:
            before.stage = None
        called = self._called.get(label)
        if called is not None and label in called.aliases:
            called.aliases.remove(label)
        if to_stage:
            version.stage = label
        else:
            version.aliases.append(label)
        self._note(version)

    def _register(self, number: str, event: Event) -> str | None:
        known = self._numbered.get(number)
        if known is not None:
            if known.commit != event.commit:
                return f"{number} is another commit already"
            known.withdrawn = False  # restored
            return None
        told = event.trailers
        run = told.get("Run")
        version = Version(
            model=self.model.title,
            version=number,
            commit=event.commit,
            run=run if run and names.is_id(run) else None,
            path=told.get("Path"),
            hash=told.get("Hash"),
            time=event.time,
            by=event.by,
            email=event.email,
            reason=event.reason,
        )
        self.model.versions.append(version)
        self._note(version)
        return None


def is_stage(event: Event, stages: Collection[str] = STAGES) -> bool:
    """Tells whether what an event gives is a stage, not an alias."""
    known = "stage" if event.name.stage in stages else "alias"
    return event.trailers.get("Kind", known) == "stage"


def _apply_fact(model: Model, fact: Fact) -> None:
    data: dict[str, Any] = fact.data
    number = data.get("version")
    target: Model | Version | None = model
    if number is not None:
        target = next((v for v in model.versions if v.version == number), None)
    if target is None:
        return
    key, value, text, name = (data.get(part) for part in ("key", "value", "text", "name"))
    if fact.kind == "describe" and isinstance(text, str):
        target.description = text or None
    elif fact.kind == "tag" and isinstance(key, str) and isinstance(value, str):
        target.tags[key] = value
    elif fact.kind == "untag" and isinstance(key, str):
        target.tags.pop(key, None)
    elif fact.kind == "rename" and target is model and isinstance(name, str):
        try:
            title = tags.model_name(name)
            model.former.append(model.title)
            model.title = title
        except Invalid:
            return


def semver_key(version: str) -> tuple[Any, ...]:
    """Returns what orders versions as https://semver.org/#spec-item-11 does."""
    numbers, _, _ = version.removeprefix("v").partition("+")
    core, dash, before = numbers.partition("-")
    parts = [
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in before.split(".") if part
    ]
    return (*map(int, core.split(".")), not dash, parts)


def _is_major(version: str) -> bool:
    return version.endswith(".0.0") and version.count(".") == 2 and "-" not in version
