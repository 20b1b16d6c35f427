"""Later facts folded into the present: one run, or one experiment, as it stands now."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from mlgit import names
from mlgit.errors import Unreadable
from mlgit.records import history
from mlgit.records.canonical import unpack
from mlgit.records.schema import (
    STATUSES,
    Fact,
    Pointer,
    Run,
    Source,
    check_pause,
    load_pointer,
    load_source,
    ran,
)

# What a fact that somebody made by hand can raise; `doctor` lists it.
_NONSENSE = (KeyError, TypeError, ValueError, AttributeError, Unreadable)


def fold(run: Run, facts: Iterable[Fact]) -> Run:
    """Returns the run as it stands after the facts, whatever order they come in.

    The last word per field wins, by fact id. A fact of a kind that this version
    does not know, or with data that makes no sense, changes nothing.
    """
    state: dict[str, Any] = {
        "ended": run.ended,
        "paused": run.paused,
        "params": dict(run.params),
        "metrics": dict(run.metrics),
        "tags": dict(run.tags),
        "inputs": list(run.inputs),
        "outputs": {_slot(pointer): pointer for pointer in run.outputs},
    }
    applied = False
    for fact in sorted(facts, key=lambda fact: fact.id):
        change = _RUN_FACTS.get(fact.kind)
        if change is not None:
            try:
                change(state, fact)
                applied = True
            except _NONSENSE:
                continue
    if not applied:
        return run
    state["outputs"] = list(state["outputs"].values())
    return msgspec.structs.replace(run, **state)


def _fold_note(state: dict[str, Any], fact: Fact) -> None:
    state["note"] = _str(fact.data["text"]) or None


def _fold_tag(state: dict[str, Any], fact: Fact) -> None:
    state["tags"][_str(fact.data["key"])] = _str(fact.data["value"])


def _fold_untag(state: dict[str, Any], fact: Fact) -> None:
    state["tags"].pop(_str(fact.data["key"]), None)


def _fold_rename(state: dict[str, Any], fact: Fact) -> None:
    state["name"] = _str(fact.data["name"]) or None


def _fold_delete(state: dict[str, Any], fact: Fact) -> None:
    state["deleted"] = fact.time


def _fold_restore(state: dict[str, Any], fact: Fact) -> None:
    state["deleted"] = None


def _slot(pointer: Pointer) -> tuple[bool, str]:
    # The whole of a long history is called metrics.json, as an artifact may be too.
    return pointer.kind == "history", pointer.path


def _fold_params(state: dict[str, Any], fact: Fact) -> None:
    new = {key: unpack(value) for key, value in fact.data["params"].items()}
    state["params"] = {**state["params"], **new, **state["params"]}


def _fold_metrics(state: dict[str, Any], fact: Fact) -> None:
    for key, later in history_of(fact).items():
        state["metrics"][key] = history.joined(state["metrics"].get(key), history.summary(later))


def _fold_artifact(state: dict[str, Any], fact: Fact) -> None:
    pointer = load_pointer(fact.data["pointer"])
    state["outputs"][_slot(pointer)] = pointer


def _fold_input(state: dict[str, Any], fact: Fact) -> None:
    pointer = load_pointer(fact.data["pointer"])
    if pointer not in state["inputs"]:
        state["inputs"].append(pointer)


def _fold_data(state: dict[str, Any], fact: Fact) -> None:
    state["missing"] = [_str(md5) for md5 in fact.data["missing"]] or None


class Stretch(NamedTuple):
    """A time in which a run ran; one that was taken up again has several."""

    started: str
    ended: str | None
    status: str
    error: str | None
    source: Source
    environment: str | None
    paused: float | None
    """Seconds in between in which it did not run, its process having died."""

    @property
    def duration(self) -> float | None:
        """Seconds it ran; None if its end is not known."""
        return ran(self.started, self.ended, self.paused)


def stretches(run: Run, facts: Iterable[Fact]) -> list[Stretch]:
    """Returns the times in which a run as it is stored ran, in order."""
    fields = (getattr(run, field) for field in Stretch._fields)
    found = [Stretch(*fields)]
    for fact in sorted(facts, key=lambda fact: fact.id):
        if fact.kind == "resume":
            with contextlib.suppress(*_NONSENSE):
                found.append(_stretch(fact))
    return found


def _stretch(fact: Fact) -> Stretch:
    told = fact.data
    status, started, ended = told["status"], _str(told["started"]), _str(told["ended"])
    error, environment, paused = (told.get(key) for key in ("error", "environment", "paused"))
    if status not in STATUSES:
        raise ValueError("a run has no such status")
    for stamp in (started, ended):
        names.seconds(stamp)
    if environment is not None and not _SHA256.fullmatch(environment):
        raise ValueError("an environment is named by its hash")
    check_pause(paused)
    return Stretch(
        started=started,
        ended=ended,
        status=status,
        error=error if error is None else _str(error),
        source=load_source(told.get("source") or {}),
        environment=environment,
        paused=paused,
    )


_SHA256 = re.compile(r"[0-9a-f]{64}")


def _fold_resume(state: dict[str, Any], fact: Fact) -> None:
    later = _stretch(fact)
    pause = later.paused or 0
    if state["ended"] is not None:
        # Taken up in two clones at once, it ran in both, and paused in neither.
        pause += max(0, names.seconds(later.started) - names.seconds(state["ended"]))
    state.update(
        status=later.status,
        ended=later.ended,
        error=later.error,
        paused=round((state["paused"] or 0) + pause, 6) or None,
    )


def history_of(fact: Fact) -> history.History:
    """Returns the points that a fact of the kind "metrics" adds.

    Raises:
        KeyError, AttributeError, Unreadable: the fact makes no sense.
    """
    columns = fact.data["history"].items()
    return {key: history.from_columns(points, f"the fact {fact.id}") for key, points in columns}


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a string is expected")
    return value


_RUN_FACTS: dict[str, Callable[[dict[str, Any], Fact], None]] = {
    "note": _fold_note,
    "tag": _fold_tag,
    "untag": _fold_untag,
    "rename": _fold_rename,
    "delete": _fold_delete,
    "restore": _fold_restore,
    "params": _fold_params,
    "metrics": _fold_metrics,
    "artifact": _fold_artifact,
    "input": _fold_input,
    "data": _fold_data,
    "resume": _fold_resume,
}


class View(NamedTuple):
    """A way to look at an experiment's runs, in the query language; empty is what is usual."""

    where: str = ""
    sort: str = ""
    columns: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    """Columns that stay at the left."""
    group: str = ""
    """The field that runs are grouped by."""
    colour: str = ""
    """The field that says their colour."""
    part: str = ""
    """Which part of a metric its column shows: `last`, as usual, `min` or `max`."""


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment as its facts tell it; one without facts has only its name."""

    name: str
    """As its runs store it; `title` is how it is shown, after a rename."""
    title: str
    description: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    hidden: str = ""
    """Runs with ids below this are hidden: the id of the fact that deleted them."""
    views: dict[str, View] = msgspec.field(default_factory=dict)


def fold_experiment(name: str, facts: Iterable[Fact]) -> Experiment:
    """Returns the experiment as it stands after the facts, whatever order they come in.

    Deleting hides the runs made until then; runs logged later are shown.
    """
    title, description, hidden = name, None, ""
    tags: dict[str, str] = {}
    views: dict[str, View] = {}
    for fact in sorted(facts, key=lambda fact: fact.id):
        try:
            if fact.kind == "rename":
                title = names.experiment_name(fact.data["name"])
            elif fact.kind == "describe":
                description = _str(fact.data["text"]) or None
            elif fact.kind == "tag":
                tags[_str(fact.data["key"])] = _str(fact.data["value"])
            elif fact.kind == "untag":
                tags.pop(_str(fact.data["key"]), None)
            elif fact.kind == "view":
                views[_str(fact.data["name"])] = _view(fact)
            elif fact.kind == "unview":
                views.pop(_str(fact.data["name"]), None)
            elif fact.kind == "delete":
                hidden = fact.id
            elif fact.kind == "restore":
                hidden = ""
        except _NONSENSE:
            continue
    return Experiment(
        name=name, title=title, description=description, tags=tags, hidden=hidden, views=views
    )


def _view(fact: Fact) -> View:
    def text(part: str) -> str:
        return _str(fact.data.get(part, ""))

    def fields(part: str) -> tuple[str, ...]:
        found = fact.data.get(part, [])
        if not isinstance(found, list):
            raise TypeError("a list is expected")
        return tuple(map(_str, found))

    return View(
        where=text("where"),
        sort=text("sort"),
        columns=fields("columns"),
        pins=fields("pins"),
        group=text("group"),
        colour=text("colour"),
        part=text("part"),
    )
