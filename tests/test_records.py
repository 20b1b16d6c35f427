"""Records and their JSON: exact inverses, one spelling, unknown fields kept, nothing trusted."""

from __future__ import annotations

import contextlib
import enum
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlgit import names, records
from mlgit.errors import Invalid, Unreadable
from mlgit.records.canonical import pack_number, unpack_number

LEDGER = Path(__file__).parent / "formats" / "v1" / "ledger"
FULL = (LEDGER / names.run_file("01kb2q6v6r8m3x0c5t1w9y7zab", names.RUN_FILE)).read_bytes()
MINIMAL = (LEDGER / names.run_file("01kb2tmptrn08ya8w390xamvdt", names.RUN_FILE)).read_bytes()
FACT = next(LEDGER.glob("experiments/nyc-taxi/facts/*.json")).read_bytes()

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
keys = st.one_of(texts, texts.map("$".__add__), st.sampled_from(["$int", "$float", "$$int"]))
numbers = st.one_of(
    st.integers(),
    st.integers(2**53 - 2, 2**53 + 2),
    st.just(2**70),
    st.just(-(10**999)),
    st.floats(),
)
leaves = st.one_of(st.none(), st.booleans(), numbers, texts, st.sampled_from(["NaN", "Infinity"]))
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)
)


def same(one: Any, other: Any) -> bool:
    """Equal in value and type, NaN equal to NaN, 0.0 not to -0.0; the order of keys is free."""
    return repr(in_order(one)) == repr(in_order(other))


def in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value)}
    return [in_order(item) for item in value] if isinstance(value, list) else value


def with_changes(data: bytes, changes: dict[str, Any]) -> bytes:
    """Returns a record's bytes with these parts replaced; a part is named as "source/commit"."""
    document = json.loads(data)
    for path, value in changes.items():
        *above, last = path.split("/")
        place: Any = document
        for part in above:
            place = place[int(part) if isinstance(place, list) else part]
        place[last] = value
    return json.dumps(document).encode()


# --- params: pack and unpack -------------------------------------------------------------


@given(values)
@example({"$int": "12"})
@example({"$float": "NaN", "": {"$$": [2**70, math.inf, math.nan, -0.0]}})
def test_unpack_is_the_exact_inverse_of_pack(value: Any) -> None:
    packed = records.pack(value)
    stored = records.parse(records.canonical({"value": packed}), "it")["value"]
    assert same(records.unpack(stored), value)


class Depth(enum.IntEnum):
    DEEP = 6


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (numpy.float64(0.1), 0.1),
        (numpy.float32(0.5), 0.5),
        (numpy.float16("nan"), {"$float": "NaN"}),
        (numpy.int64(-(2**63)), {"$int": "-9223372036854775808"}),
        (numpy.uint8(255), 255),
        (numpy.bool_(True), True),
        (numpy.str_("adam"), "adam"),
        (numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (numpy.array(7), 7),
        ((1, (2, "x")), [1, [2, "x"]]),
        (Depth.DEEP, 6),
        (2**53, 2**53),
        (2**53 + 1, {"$int": "9007199254740993"}),
        (-math.inf, {"$float": "-Infinity"}),
        ({"$lr": 1, "lr": 2, "$$": 3}, {"$$lr": 1, "lr": 2, "$$$": 3}),
        ("Infinity", "Infinity"),
    ],
    ids=repr,
)
def test_this_param_is_stored_so(value: Any, stored: Any) -> None:
    assert same(records.pack(value), stored)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        object(),
        b"bytes",
        {1, 2},
        1j,
        {1: "a"},
        {"a": {None: 1}},
        "half a character: \ud83d",
        {"\ud83d": 1},
        nested(57),
        10**1000,
        -(10**5000),
        numpy.zeros(1001),
        numpy.datetime64("2026-01-01"),
        numpy.array([1j]),
        int,
        numpy.float32,
    ],
    ids=lambda value: type(value).__name__,
)
def test_this_param_is_refused(value: Any) -> None:
    with pytest.raises(Invalid):
        records.pack(value)


def test_what_can_be_packed_can_be_read_back() -> None:
    value = nested(55)
    stored = records.canonical({"format": 1, "params": {"p": records.pack(value)}})
    assert records.unpack(records.parse(stored, "it")["params"]["p"]) == value


@given(numbers)
def test_a_metric_value_comes_back_exactly(number: records.canonical.Number) -> None:
    stored = json.loads(json.dumps(pack_number(number), allow_nan=False))
    assert same(unpack_number(stored), number)


@pytest.mark.parametrize(
    "stored", [None, True, "", "nan", "inf", "1.5", "1e3", "--1", "٣", "1" * 1001, [], {}, 10**1000]
)
def test_this_is_no_metric_value(stored: Any) -> None:
    with pytest.raises(Unreadable):
        unpack_number(stored)


# --- canonical JSON ------------------------------------------------------------------------


@given(st.dictionaries(texts, values.map(records.pack)))
def test_canonical_json_is_one_spelling(document: dict[str, Any]) -> None:
    data = records.canonical(document)
    again = records.parse(data, "it")
    assert records.canonical(again) == data
    assert records.canonical(dict(reversed(document.items()))) == data
    assert json.loads(data) == document


def test_canonical_json_looks_so() -> None:
    value = {
        "z": [],
        "é": {},
        "a": [1, 2.5, "ü"],
        "B": [[1], {"b": None, "a": True}],
        "": (1, (2,)),
    }
    assert records.canonical(value).decode() == (
        "{\n"
        '  "": [\n    1,\n    [2]\n  ],\n'
        '  "B": [\n    [1],\n    {\n      "a": true,\n      "b": null\n    }\n  ],\n'
        '  "a": [1, 2.5, "ü"],\n'
        '  "z": [],\n'
        '  "é": {}\n'
        "}\n"
    )


@pytest.mark.parametrize(
    "value",
    [math.nan, [math.inf], {1: 2}, {"a": 1, 2: 3}, {1, 2}, "\ud800", nested(5000), 10**5000],
    ids=lambda value: type(value).__name__,
)
def test_json_has_no_word_for_this(value: Any) -> None:
    with pytest.raises(Invalid):
        records.canonical(value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b"[]", "not a JSON object"),
        (b"1", "not a JSON object"),
        (b"{} {}", "damaged"),
        (b"\xef\xbb\xbf{}", "damaged"),  # a byte order mark
        (b'{"a": "\xff"}', "damaged"),
        (b'{"a": 1, "b": 2, "a": 1}', "'a' stands twice"),
        (b'{"a": {"b": 1, "\\u0062": 1}}', "'b' stands twice"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a":-1.5E+0400}', "too large"),
        (b'{"a":[1,' + b"9" * 300 + b".0e99]}", "too large"),
        (b'{"a": ' + b"9" * 309 + b".5}", "too large"),
        (b'{"a": ' + b"1" * 5000 + b"}", "damaged"),
        (b'{"a": "\\ud83d"}', "damaged"),  # half a character
        (b'{"\\uDE00": 1}', "damaged"),
        (b'{"a": "\n"}', "damaged"),
        (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", "deeper than 64"),
        (b'{"a":' + b"[" * 100_000, "damaged|nested"),
        (b'{"a":' * 100_000, "damaged|nested"),
        ("{}".encode("utf-16"), "damaged"),
    ],
    ids=lambda part: repr(part)[:30],
)
def test_these_bytes_are_not_trusted(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=f"^THE FILE .*({reason})"):
        records.parse(data, "THE FILE")


def test_whole_characters_may_be_escaped() -> None:
    assert records.parse(b'{"a": "\\ud83d\\ude80"}', "it") == {"a": "\N{ROCKET}"}


def test_a_repeated_key_is_found_quickly_in_a_large_file() -> None:
    keys = ",".join(f'"{number}":0' for number in range(300_000))
    with pytest.raises(Unreadable, match="'299999' stands twice"):
        records.parse(f'{{{keys},"299999":0}}'.encode(), "it")


# --- run.json --------------------------------------------------------------------------------


def a_run(**fields: Any) -> records.Run:
    required = {
        "id": names.new_id(),
        "experiment": "churn",
        "status": "finished",
        "started": "2026-11-22T20:32:01.123456Z",
        "by": records.Person(name="Ada Example", email="ada@example.org"),
    }
    return records.Run(**(required | fields))


metrics = st.builds(
    records.Metric,
    last=numbers,
    min=numbers,
    max=numbers,
    step=st.integers(-(2**53), 2**53),
    count=st.integers(1, 2**40),
)
runs = st.builds(
    a_run,
    name=st.none() | texts,
    status=st.sampled_from(records.STATUSES),
    ended=st.none() | st.just("2026-11-22T20:33:00.000001Z"),
    paused=st.none() | st.floats(0, 1e9),
    parent=st.none() | st.just(names.new_id()),
    params=st.dictionaries(keys, values),
    metrics=st.dictionaries(texts, metrics, max_size=3),
    tags=st.dictionaries(texts, texts),
    note=st.none() | texts,
    error=st.none() | texts,
)


@given(runs)
def test_a_run_comes_back_from_its_bytes(run: records.Run) -> None:
    data = records.dump_run(run)
    again = records.load_run(data)
    assert records.dump_run(again) == data
    assert same(records.run_document(again), records.run_document(run))
    assert same(again.params, run.params)
    assert same(again.metrics, run.metrics)


def test_unknown_fields_survive_at_every_level() -> None:
    new = {"hue": [1, {"b": 2.5, "a": None}], "unknown": {"$unknown": 1}, "$unknown": {"x": "y"}}
    document = json.loads(FULL)
    places = [
        document,
        document["by"],
        document["source"],
        document["source"]["skipped"][0],
        *document["inputs"],
        *document["outputs"],
        *document["metrics"].values(),
    ]
    for place in places:
        place.update(new)
    data = records.canonical(document)
    assert records.dump_run(records.load_run(data)) == data
    fact = records.canonical(json.loads(FACT) | new | {"by": json.loads(FACT)["by"] | new})
    assert records.dump_fact(records.load_fact(fact)) == fact


def test_what_is_absent_has_a_meaning() -> None:
    run = records.load_run(MINIMAL)
    assert (run.params, run.metrics, run.tags, run.inputs, run.outputs) == ({}, {}, {}, [], [])
    assert (run.name, run.ended, run.parent, run.note, run.error, run.duration) == (None,) * 6
    assert run.source == records.Source()


def test_an_address_that_was_not_fetched_has_neither_hash_nor_size() -> None:
    told = {"origin": "url", "url": "https://example.org/t.csv", "etag": '"5f"'}
    pointer = records.Pointer(path="t.csv", md5=None, size=None, **told)
    run = a_run(inputs=[pointer])
    assert records.load_run(records.dump_run(run)) == run
    (written,) = records.run_document(run)["inputs"]
    assert told.items() <= written.items()
    assert not {"version", "modified", "content", "profile"} & written.keys()
    kept = msgspec.structs.replace(pointer, stored="dvc")
    with pytest.raises(Unreadable, match="no hash or size"):
        records.load_run(records.dump_run(a_run(inputs=[kept])))


WRONG = [None, True, 5, 1.5, "x", [], [1], {}, {"x": 1}]
OPTIONAL = {
    **{f"{name}": [None, "x"] for name in ("name", "note", "error", "environment")},
    **{f"source/{name}": [None, "x"] for name in ("branch", "remote", "entry")},
    **{f"outputs/0/{name}": [None, "x"] for name in ("kind", "name", "role", "stored", "origin")},
    **{f"outputs/0/{name}": [None, "x"] for name in ("url", "etag", "version", "modified")},
    "outputs/0/content": [None],
    "outputs/0/profile": [None, {}, {"x": 1}],
    "outputs/0/files": [None, 5],
    "outputs/0/size": [5],
    "outputs/0/md5": [],
    "outputs/0/path": ["x"],
    "format": [],
    "id": [],
    "experiment": ["x"],
    "status": [],
    "started": [],
    "ended": [None],
    "paused": [None, 5, 1.5],
    "parent": [None],
    "by": [],
    "by/name": ["x"],
    "by/email": ["x"],
    "params": [{}, {"x": 1}],
    "metrics": [{}],
    "metrics/rmse": [],
    **{f"metrics/rmse/{name}": [5, 1.5] for name in ("last", "min", "max")},
    **{f"metrics/rmse/{name}": [5] for name in ("step", "count")},
    "tags": [{}],
    "tags/team": ["x"],
    "source": [{}, {"x": 1}],
    "source/commit": [None],
    "source/snapshot": [None],
    "source/argv": [[]],
    "source/skipped": [[]],
    "inputs": [[]],
    "outputs": [[]],
    "deleted": [None],
    "missing": [None],
}


@pytest.mark.parametrize("field", OPTIONAL)
def test_a_field_is_of_its_type_or_the_run_is_refused(field: str) -> None:
    allowed = OPTIONAL[field]
    for value in WRONG:
        data = with_changes(FULL, {field: value})
        if any(same(value, good) for good in allowed):
            records.load_run(data)
        else:
            with pytest.raises(Unreadable, match=r"^runs/x "):
                records.load_run(data, "runs/x")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": 2}, r"later mlgit \(format 2, this one reads 1\)"),
        ({"format": 0}, "does not tell its format"),
        ({"format": "1"}, "does not tell its format"),
        ({"id": "01KB2Q6V6R8M3X0C5T1W9Y7ZAB"}, "not a run id"),
        ({"id": "../../../etc/passwd"}, "not a run id"),
        ({"parent": ""}, "not a run id"),
        ({"experiment": ""}, "empty"),
        ({"experiment": "a\x1b[31m"}, "control characters"),
        ({"experiment": "cafe\u0301"}, "NFC"),
        ({"status": "running"}, "status 'running' is unknown"),
        ({"started": "2026-11-22T20:32:01Z"}, "not a time"),
        ({"ended": "later"}, "not a time"),
        ({"paused": -0.5}, "no pause"),
        ({"paused": 1e300}, "no pause"),
        ({"deleted": "2026-11-22T20:32:01.123456Z"}, "only a fact"),
        ({"source/commit": "--output=/etc/passwd"}, "not a commit id"),
        ({"source/snapshot": "HEAD"}, "not a commit id"),
        ({"outputs/0/path": "../model"}, "plain relative path"),
        ({"inputs/0/path": ".git/config"}, "git does not allow"),
        ({"outputs/0/md5": "ab/etc/passwd"}, "not a hash"),
        ({"outputs/0/md5": "A" * 32}, "not a hash"),
        ({"inputs/0/size": -1}, "no size"),
        ({"inputs/0/files": -1}, "no number of files"),
        ({"inputs/0/content": "../x"}, "not a hash"),
        ({"inputs/0/md5": None}, "no hash or size"),
        ({"inputs/0/size": None, "inputs/0/origin": "url"}, "no hash or size"),
        (
            {"inputs/0/size": None, "inputs/0/origin": "memory", "inputs/0/stored": "dvc"},
            "no hash or size",
        ),
        (
            {f"inputs/0/{name}": None for name in ("md5", "stored")}
            | {"inputs/0/origin": "memory"},
            "no hash or size",
        ),
        ({"params": {"p": {"$int": "x"}}}, "not an integer"),
        ({"params": {"p": {"$int": "9" * 1001}}}, "not an integer"),
        ({"params": {"p": [10**1000]}}, "not a number"),
        ({"metrics/rmse/last": "x"}, "not an integer"),
        ({"metrics/rmse/max": 10**1000}, "not a number"),
    ],
    ids=str,
)
def test_this_run_is_refused_and_named(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unreadable, match=rf"^runs/x .*{reason}"):
        records.load_run(with_changes(FULL, changes), "runs/x")


@pytest.mark.parametrize("field", ["id", "experiment", "status", "started", "by", "format"])
def test_a_run_needs_this(field: str) -> None:
    document = json.loads(FULL)
    del document[field]
    with pytest.raises(Unreadable, match=field):
        records.load_run(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": 2}, "later mlgit"),
        ({"id": "x"}, "not a fact id"),
        ({"time": "x"}, "not a time"),
        ({"kind": 5}, "kind"),
        ({"data": []}, "data"),
        ({"by": None}, "by"),
    ],
    ids=str,
)
def test_this_fact_is_refused_and_named(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unreadable, match=f"^facts/x .*{reason}"):
        records.load_fact(with_changes(FACT, changes), "facts/x")


def test_the_mark_tells_the_format() -> None:
    records.load_mark(records.MARK_BYTES)
    records.load_mark(b'{"format": 1, "since": 2026}')
    for data, reason in ((b'{"format": 2}', "later mlgit"), (b"{}", "format"), (b"", "damaged")):
        with pytest.raises(Unreadable, match=reason):
            records.load_mark(data)


# --- bytes from anybody ------------------------------------------------------------------------

LOADERS: list[Callable[[bytes], Any]] = [
    records.load_run,
    records.load_fact,
    records.load_mark,
    records.history.load,
]


@given(st.binary() | values.map(lambda value: json.dumps(value).encode()))
def test_arbitrary_bytes_raise_nothing_but_unreadable(data: bytes) -> None:
    for load in LOADERS:
        try:
            load(data)
        except Unreadable as error:
            assert error.message.isprintable()


@given(st.sampled_from([FULL, MINIMAL, FACT]), st.data())
def test_a_damaged_record_is_refused_or_can_be_written_again(
    data: bytes, draw: st.DataObject
) -> None:
    start = draw.draw(st.integers(0, len(data)))
    end = draw.draw(st.integers(start, min(start + 20, len(data))))
    damaged = data[:start] + draw.draw(st.binary(max_size=5)) + data[end:]
    with contextlib.suppress(Unreadable):
        records.dump_fact(records.load_fact(damaged))
    try:
        run = records.load_run(damaged)
    except Unreadable:
        return
    records.dump_run(run)
    assert isinstance(run.duration, float | None)


@given(st.fixed_dictionaries(dict.fromkeys(json.loads(FULL), values)), st.data())
def test_a_hostile_run_is_refused_or_can_be_written_again(
    hostile: dict[str, Any], draw: st.DataObject
) -> None:
    chosen = draw.draw(st.sets(st.sampled_from(sorted(hostile)), min_size=1, max_size=3))
    document = json.loads(FULL) | {key: hostile[key] for key in chosen}
    try:
        run = records.load_run(json.dumps(document).encode())
    except Unreadable:
        return
    records.dump_run(run)
