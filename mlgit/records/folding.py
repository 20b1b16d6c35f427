"""Later facts folded into the present: one run, or one experiment, as it stands now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from mlgit import names
from mlgit.errors import Unreadable
from mlgit.records import history
from mlgit.records.canonical import unpack
from mlgit.records.schema import STATUSES, Fact, Pointer, Run, load_pointer

# What a fact that somebody made by hand can raise; `doctor` lists it.
_NONSENSE = (KeyError, TypeError, ValueError, AttributeError, Unreadable)


def fold(run: Run, facts: Iterable[Fact]) -> Run:
    """Returns the run as it stands after the facts, whatever order they come in.

    The last word per field wins, by fact id. A fact of a kind that this version
    does not know, or with data that makes no sense, changes nothing.
    """
    state: dict[str, Any] = {
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


def _fold_resume(state: dict[str, Any], fact: Fact) -> None:
    status, ended, error = fact.data["status"], _str(fact.data["ended"]), fact.data.get("error")
    if status in STATUSES:
        names.seconds(ended)
        state.update(status=status, ended=ended, error=error if error is None else _str(error))


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


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment as its facts tell it; one without facts has only its name."""

    name: str
    """As its runs store it; `title` is how it is shown, after a rename."""
    title: str
    description: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    hidden: str = ""
    """Runs with ids below this are hidden: the id of the fact that deleted them."""


def fold_experiment(name: str, facts: Iterable[Fact]) -> Experiment:
    """Returns the experiment as it stands after the facts, whatever order they come in.

    Deleting hides the runs made until then; runs logged later are shown.
    """
    title, description, hidden = name, None, ""
    tags: dict[str, str] = {}
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
            elif fact.kind == "delete":
                hidden = fact.id
            elif fact.kind == "restore":
                hidden = ""
        except _NONSENSE:
            continue
    return Experiment(name=name, title=title, description=description, tags=tags, hidden=hidden)
