"""Later facts folded into runs and experiments: in any order, and whatever they say."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit import names, records
from mlgit.records import Fact, Metric, Person, Pointer, Run, View, fold, fold_experiment

ADA = Person(name="Ada Example", email="ada@example.org")
TIME = "2026-11-23T10:00:00.000000Z"
MD5 = "18bbdc4032f46c1f4b828ba071fc05c2"
CSV = Pointer(path="a.csv", kind="table", md5=MD5, size=24, stored="git")
HISTORY = Pointer(path="metrics.json", kind="history", md5=MD5, size=2**21, stored="dvc")
RUN = Run(
    id=names.new_id(1_700_000_000_000),
    experiment="churn",
    name="baseline",
    status="interrupted",
    started="2026-11-22T10:00:00.000000Z",
    ended="2026-11-22T11:00:00.000000Z",
    by=ADA,
    params={"alpha": 0.1},
    metrics={"loss": Metric(last=0.5, min=0.4, max=0.9, step=9, count=10)},
    tags={"team": "growth"},
    error="KeyboardInterrupt:",
    outputs=[HISTORY, CSV],
)
AGAIN = {"started": TIME, "ended": TIME, "status": "finished", "error": None}
MORE = {"loss": {"step": [10, 11], "time": [7, 8], "value": [0.3, "NaN"]}}
NEW_CSV = Pointer(path="a.csv", kind="table", md5="0" * 32, size=1, stored="git").document()
USERS_METRICS = Pointer(path="metrics.json", kind="json", md5=MD5, size=2, stored="git").document()

_ms = itertools.count(1_800_000_000_000)


def fact(kind: str, data: Any = None, time: str = TIME) -> Fact:
    return Fact(id=names.new_id(next(_ms)), time=time, by=ADA, kind=kind, data=data or {})


def changed(run: Run) -> dict[str, Any]:
    fields = [
        field for field in RUN.__struct_fields__ if getattr(run, field) != getattr(RUN, field)
    ]
    return {field: getattr(run, field) for field in fields}


# --- runs ------------------------------------------------------------------------------------

LATER = AGAIN | {"started": "2026-11-24T10:00:00.000000Z", "ended": "2026-11-24T11:00:00.000000Z"}
LONGER = LATER | {"started": "2026-11-24T10:30:00.000000Z", "ended": "2026-11-24T12:00:00.000000Z"}


def resumed(ended: str, paused: float) -> dict[str, Any]:
    """Returns what changes in a run that is taken up again and comes to its end."""
    return {"status": "finished", "ended": ended, "paused": float(paused), "error": None}


@pytest.mark.parametrize(
    ("facts", "changes"),
    [
        ([], {}),
        ([("note", {"text": "good"})], {"note": "good"}),
        ([("note", {"text": "good"}), ("note", {"text": "better"})], {"note": "better"}),
        ([("note", {"text": "good"}), ("note", {"text": ""})], {}),
        ([("tag", {"key": "new", "value": ""})], {"tags": {"team": "growth", "new": ""}}),
        ([("tag", {"key": "team", "value": "ads"})], {"tags": {"team": "ads"}}),
        ([("untag", {"key": "team"})], {"tags": {}}),
        ([("untag", {"key": "team"}), ("tag", {"key": "team", "value": "growth"})], {}),
        ([("untag", {"key": "other"})], {}),
        ([("rename", {"name": "v2"})], {"name": "v2"}),
        ([("rename", {"name": ""})], {"name": None}),
        ([("delete", {})], {"deleted": TIME}),
        ([("delete", {}), ("restore", {})], {}),
        ([("delete", {}), ("restore", {}), ("delete", {})], {"deleted": TIME}),
        # A param has one value: what the run said first stays.
        (
            [("params", {"params": {"alpha": 9, "big": {"$int": str(2**60)}}})],
            {"params": {"alpha": 0.1, "big": 2**60}},
        ),
        (
            [("metrics", {"history": MORE})],
            {"metrics": {"loss": Metric(last=math.nan, min=0.3, max=0.9, step=11, count=12)}},
        ),
        (
            [("metrics", {"history": {"mae": MORE["loss"]}}), ("metrics", {"history": MORE})],
            {
                "metrics": {
                    "loss": Metric(last=math.nan, min=0.3, max=0.9, step=11, count=12),
                    "mae": Metric(last=math.nan, min=0.3, max=0.3, step=11, count=2),
                }
            },
        ),
        (
            [("artifact", {"pointer": NEW_CSV, "base64": "eA=="})],
            {"outputs": [HISTORY, records.schema.load_pointer(NEW_CSV)]},
        ),
        # An artifact may have the name that the whole of a long history has.
        (
            [("artifact", {"pointer": USERS_METRICS, "base64": "e30="})],
            {"outputs": [HISTORY, CSV, records.schema.load_pointer(USERS_METRICS)]},
        ),
        ([("resume", AGAIN)], resumed(TIME, 23 * 3600)),
        (
            [("resume", AGAIN), ("resume", {**LATER, "paused": 0.5})],
            resumed(LATER["ended"], 47 * 3600 + 0.5),
        ),
        # In two clones at once: from the first start to the last end it ran somewhere.
        ([("resume", LATER), ("resume", LONGER)], resumed(LONGER["ended"], 47 * 3600)),
    ],
    ids=lambda part: " ".join(kind for kind, _ in part) if isinstance(part, list) else "",
)
def test_facts_change_a_run_so(facts: list[tuple[str, Any]], changes: dict[str, Any]) -> None:
    assert repr(changed(fold(RUN, [fact(*each) for each in facts]))) == repr(changes)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("applaud", {"hands": 2}),  # of a later version
        ("describe", {"text": "of experiments only"}),
        ("note", {}),
        ("note", {"text": None}),
        ("note", {"text": ["x"]}),
        ("tag", {"key": "team"}),
        ("tag", {"key": "team", "value": 5}),
        ("tag", {"key": ["team"], "value": "x"}),
        ("untag", {"key": {}}),
        ("rename", {"name": 5}),
        ("params", {}),
        ("params", {"params": ["x"]}),
        ("params", {"params": {"good": 1, "bad": {"$int": "x"}}}),
        ("metrics", {"history": None}),
        ("metrics", {"history": {"mae": MORE["loss"], "loss": {"step": []}}}),
        ("metrics", {"history": {"mae": {**MORE["loss"], "value": [1, "x"]}}}),
        ("artifact", {}),
        ("artifact", {"pointer": "a.csv"}),
        ("artifact", {"pointer": {"path": "a.csv"}}),
        ("artifact", {"pointer": {**NEW_CSV, "path": "../../.ssh/authorized_keys"}}),
        ("artifact", {"pointer": {**NEW_CSV, "md5": "ab/etc/passwd"}}),
        ("artifact", {"pointer": {**NEW_CSV, "size": "1"}}),
        ("resume", {}),
        ("resume", {**AGAIN, "status": "running"}),
        ("resume", {**AGAIN, "status": ["finished"]}),
        ("resume", {**AGAIN, "ended": "later"}),
        ("resume", {**AGAIN, "ended": None}),
        ("resume", {**AGAIN, "error": {"x": 1}}),
        ("resume", {**AGAIN, "started": None}),
        ("resume", {**AGAIN, "started": "2026-11-22"}),
        ("resume", {**AGAIN, "source": {"commit": "HEAD"}}),
        ("resume", {**AGAIN, "environment": "../../mlgit"}),
        ("resume", {**AGAIN, "paused": -1}),
        ("resume", {**AGAIN, "paused": "1"}),
        ("resume", {**AGAIN, "paused": True}),
        ("resume", {**AGAIN, "paused": 1e300}),
    ],
    ids=str,
)
def test_a_fact_that_makes_no_sense_changes_nothing(kind: str, data: Any) -> None:
    assert changed(fold(RUN, [fact(kind, data)])) == {}
    assert changed(fold(RUN, [fact(kind, data), fact("note", {"text": "x"})])) == {"note": "x"}


word = st.sampled_from(["team", "x", ""])
some = st.one_of(
    st.builds(lambda text: fact("note", {"text": text}), word),
    st.builds(lambda key, value: fact("tag", {"key": key, "value": value}), word, word),
    st.builds(lambda key: fact("untag", {"key": key}), word),
    st.builds(lambda name: fact("rename", {"name": name}), word),
    st.builds(lambda text: fact("describe", {"text": text}), word),
    st.builds(lambda key, value: fact("params", {"params": {key: value}}), word, st.integers()),
    st.builds(lambda: fact("metrics", {"history": MORE})),
    st.builds(
        lambda status: fact("resume", {**AGAIN, "status": status}), st.sampled_from(["failed", "x"])
    ),
    st.builds(fact, st.sampled_from(["delete", "restore", "applaud"])),
    st.builds(fact, word, st.dictionaries(word, st.none() | st.integers() | word)),
)


@given(st.lists(some, max_size=8), st.randoms(use_true_random=False))
def test_the_order_in_which_facts_arrive_does_not_matter(facts: list[Fact], random: Any) -> None:
    shuffled = random.sample(facts, len(facts))
    assert repr(fold(RUN, shuffled)) == repr(fold(RUN, facts))
    assert fold_experiment("churn", shuffled) == fold_experiment("churn", facts)


@given(st.lists(some, max_size=8), st.integers(0, 8))
def test_folding_twice_is_folding_once(facts: list[Fact], cut: int) -> None:
    facts.sort(key=lambda fact: fact.id)
    at_once = fold(RUN, facts)
    in_two = fold(fold(RUN, facts[:cut]), facts[cut:])
    assert repr(in_two) == repr(at_once)


def test_the_folded_run_is_another_object() -> None:
    before = repr(RUN)
    fold(RUN, [fact("tag", {"key": "x", "value": "y"}), fact("metrics", {"history": MORE})])
    assert repr(RUN) == before


# --- experiments -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "changes"),
    [
        ([], {}),
        ([("rename", {"name": "retention"})], {"title": "retention"}),
        ([("rename", {"name": "a/b"}), ("rename", {"name": "churn"})], {}),
        ([("rename", {"name": ""})], {}),  # an experiment needs a name
        ([("rename", {"name": "a\nb"})], {}),
        ([("rename", {"name": 5})], {}),
        ([("describe", {"text": "Who leaves?"})], {"description": "Who leaves?"}),
        ([("describe", {"text": "Who leaves?"}), ("describe", {"text": ""})], {}),
        ([("describe", {"text": None})], {}),
        ([("tag", {"key": "owner", "value": "ada"})], {"tags": {"owner": "ada"}}),
        ([("tag", {"key": "owner", "value": "ada"}), ("untag", {"key": "owner"})], {}),
        ([("untag", {})], {}),
        ([("delete", {}), ("restore", {})], {}),
        ([("applaud", {})], {}),
        ([("note", {"text": "of runs only"})], {}),
        (
            [("view", {"name": "best", "where": "name", "columns": ["id"]})],
            {"views": {"best": View("name", "", ("id",))}},
        ),
        (
            [("view", {"name": "best"}), ("view", {"name": "best", "sort": "id", "new": 1})],
            {"views": {"best": View(sort="id")}},
        ),
        (
            [
                (
                    "view",
                    {"name": "all", "pins": ["id"], "group": "name", "colour": "id", "part": "max"},
                )
            ],
            {"views": {"all": View(pins=("id",), group="name", colour="id", part="max")}},
        ),
        ([("view", {"name": "best"}), ("unview", {"name": "best"})], {}),
        ([("view", {"name": "best", "columns": "id"}), ("unview", {"name": "other"})], {}),
        *(
            ([("view", {"name": "best", part: wrong})], {})
            for part, wrong in (("pins", "id"), ("pins", [1]), ("group", ["id"]), ("part", None))
        ),
        ([("view", {"name": 1}), ("view", {"name": "a", "where": None}), ("unview", {})], {}),
    ],
    ids=lambda part: " ".join(kind for kind, _ in part) if isinstance(part, list) else "",
)
def test_facts_change_an_experiment_so(
    facts: list[tuple[str, Any]], changes: dict[str, Any]
) -> None:
    plain = {"name": "churn", "title": "churn", "description": None, "tags": {}, "hidden": ""}
    plain["views"] = {}
    found = fold_experiment("churn", [fact(*each) for each in facts])
    assert {field: getattr(found, field) for field in plain} == plain | changes


def test_deleting_an_experiment_hides_only_the_runs_before() -> None:
    earlier = names.new_id(next(_ms))
    deletion = fact("delete")
    later = names.new_id(next(_ms))
    experiment = fold_experiment("churn", [deletion])
    assert earlier < experiment.hidden < later
    again = fact("delete")
    assert fold_experiment("churn", [again, deletion]).hidden == again.id
