"""What may be logged, how exactly it is kept, and how the rest is refused."""

from __future__ import annotations

import argparse
import datetime
import math
import random
import struct
import threading
import unicodedata
from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy
import pytest
from conftest import git

import mlgit
from mlgit import Invalid
from mlgit.tracking import active

NAN, INFINITY = math.nan, math.inf
BIG = 2**53


@pytest.fixture
def run(repo: Path) -> Iterator[mlgit.ActiveRun]:
    with mlgit.start_run(capture=()) as run:
        yield run


def saved(run: mlgit.ActiveRun) -> mlgit.SavedRun:
    run.end()
    return mlgit.get_run(run.id)


def same(found: Any, expected: Any) -> bool:
    """Tells whether two values are equal and of one type, NaN and -0.0 included."""
    return type(found) is type(expected) and repr(found) == repr(expected)


class Tensor:
    """What torch, jax and tensorflow have in common."""

    def __init__(self, *values: Any) -> None:
        self.values = values

    def item(self) -> Any:
        if len(self.values) != 1:
            raise RuntimeError(f"a Tensor with {len(self.values)} elements cannot be converted")
        return self.values[0]

    def tolist(self) -> Any:
        return list(self.values)

    def numel(self) -> int:
        return len(self.values)


class Level(IntEnum):
    HIGH = 3


# --- params --------------------------------------------------------------------------

PARAMS: dict[str, tuple[Any, Any]] = {
    "none": (None, None),
    "bool": (True, True),
    "integer": (-7, -7),
    "huge integer": (-(2**200), -(2**200)),
    "float": (0.1, 0.1),
    "not a number": (NAN, NAN),
    "infinity": (-INFINITY, -INFINITY),
    "text": ("ärger 🎉\n\x00", "ärger 🎉\n\x00"),
    "empty text": ("", ""),
    "list": ([1, [2.5, None], {}], [1, [2.5, None], {}]),
    "object": ({"a": {"$int": "5", "b": NAN}}, {"a": {"$int": "5", "b": NAN}}),
    "tuple": ((1, 2), [1, 2]),
    "enum": (Level.HIGH, 3),
    "numpy scalar": (numpy.float32(0.5), 0.5),
    "numpy array": (numpy.arange(3), [0, 1, 2]),
    "tensor": (Tensor(1, 2), [1, 2]),
}


def test_params_of_every_type(run: mlgit.ActiveRun) -> None:
    run.log_params({key: value for key, (value, _) in PARAMS.items()})
    for key, (value, _) in PARAMS.items():
        run.log_param(key, value)  # the same again is no second value
    found = saved(run).params
    assert found.keys() == PARAMS.keys()
    for key, (_, expected) in PARAMS.items():
        assert same(found[key], expected), key


class Stranger:
    def __repr__(self) -> str:
        return "<a stranger>"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Stranger(), "a Stranger cannot be stored as JSON"),
        ({1, 2}, "a set cannot be stored as JSON"),
        (b"bytes", "a bytes cannot be stored as JSON"),
        (1j, "a complex cannot be stored as JSON"),
        (datetime.date(2026, 1, 1), "a date cannot be stored as JSON"),
        ({1: 2}, "a key inside the value is 1, not a string"),
        ([[Stranger()]], "a Stranger cannot be stored as JSON"),
        (numpy.zeros(2000), "a ndarray cannot be stored as JSON"),
        ("\ud800", "is not valid Unicode"),
    ],
    ids=repr,
)
def test_a_param_that_is_not_json(run: mlgit.ActiveRun, value: Any, reason: str) -> None:
    with pytest.raises(Invalid, match=r"^the param 'model': ") as told:
        run.log_params({"fine": 1, "model": value})
    assert reason in told.value.message
    assert saved(run).params == {}  # all or none


def test_a_param_too_deep_or_too_long(run: mlgit.ActiveRun) -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    for value in (deep, 10**1001):
        with pytest.raises(Invalid, match="the param 'x'"):
            run.log_param("x", value)
    with pytest.raises(Invalid, match="1,048,576 bytes in all") as told:
        run.log_params({"fine": 1, "x": "y" * (1 << 20)})
    assert "log_dict" in str(told.value.hint)
    run.log_param("x", 10**999)
    assert saved(run).params == {"x": 10**999}


def test_a_second_value_is_an_error(run: mlgit.ActiveRun) -> None:
    run.log_params({"lr": 0.1, "nan": NAN})
    for other in (0.2, "0.1", None, [0.1]):
        with pytest.raises(Invalid, match=r"the param 'lr' is 0\.1 already and cannot become"):
            run.log_params({"new": 1, "lr": other})
    with pytest.raises(Invalid, match="log what changes during a run as a metric"):
        run.log_params({"n\u00e9": 1, "ne\u0301": 2})  # one key in two spellings
    assert saved(run).params.keys() == {"lr", "nan"}


def test_what_is_no_dict(run: mlgit.ActiveRun) -> None:
    for log in (run.log_params, run.log_metrics, run.set_tags):
        with pytest.raises(Invalid, match="given as a dict") as told:
            log(argparse.Namespace(lr=1))  # type: ignore[arg-type]
        assert "vars(namespace)" in str(told.value.hint)


# --- metrics -------------------------------------------------------------------------

NUMBERS: dict[str, tuple[Any, Any]] = {
    "integer": (3, 3),
    "huge integer": (2**80 + 1, 2**80 + 1),
    "largest plain integer": (BIG, BIG),
    "float": (0.1, 0.1),
    "minus zero": (-0.0, -0.0),
    "smallest": (5e-324, 5e-324),
    "not a number": (NAN, NAN),
    "infinity": (INFINITY, INFINITY),
    "minus infinity": (-INFINITY, -INFINITY),
    "bool": (True, 1),
    "enum": (Level.HIGH, 3),
    "float32": (numpy.float32(0.1), float(numpy.float32(0.1))),
    "float64": (numpy.float64(0.1), 0.1),
    "longdouble": (numpy.longdouble(0.5), 0.5),
    "int64": (numpy.int64(-5), -5),
    "numpy bool": (numpy.bool_(True), 1),
    "array without axes": (numpy.array(0.25), 0.25),
    "array of one": (numpy.array([0.25]), 0.25),
    "tensor": (Tensor(0.75), 0.75),
    "tensor of an integer": (Tensor(4), 4),
    "decimal": (Decimal("0.1"), 0.1),
    "fraction": (Fraction(1, 4), 0.25),
}


def test_metrics_of_every_kind_of_number(run: mlgit.ActiveRun, repo: Path) -> None:
    for key, (value, _) in NUMBERS.items():
        run.log_metric(key, value)
    run.log_metrics({key: value for key, (value, _) in NUMBERS.items()})
    run.log_batch([(key, value) for key, (value, _) in NUMBERS.items()])
    found = saved(run)
    for key, (_, expected) in NUMBERS.items():
        assert same(found.metrics[key], expected), key
        points = found.history(key)
        assert [point.step for point in points] == [0, 1, 2]
        assert all(same(point.value, expected) for point in points), key
    assert "NaN" not in git("grep", "-hw", "-e", "NaN", "mlgit", "--", "runs").replace('"NaN"', "")


def test_every_bit_of_a_float_is_kept(run: mlgit.ActiveRun) -> None:
    bits = random.Random(1)
    values = [struct.unpack("<d", bits.randbytes(8))[0] for _ in range(5000)]
    integers = [bits.randrange(-(2 ** bits.randrange(1, 300)), 2**300) for _ in range(500)]
    for value in values:
        run.log_metric("floats", value)
    for integer in integers:
        run.log_metric("integers", integer)
    run.log_metrics({"mixed": 1})
    run.log_metrics({"mixed": 1.0})
    found = saved(run)
    kept = [point.value for point in found.history("floats")]
    assert [*map(repr, kept)] == [*map(repr, values)]
    assert [point.value for point in found.history("integers")] == integers
    assert [*map(repr, (p.value for p in found.history("mixed")))] == ["1", "1.0"]


@pytest.mark.parametrize(
    "value",
    [
        *("0.5", b"1", "", None, 1j, numpy.complex128(1), [1], {}, Stranger(), object),
        *(numpy.zeros(2), numpy.array([]), numpy.array(["1"]), Tensor(1, 2), Tensor("x")),
        *(Decimal("sNaN"), Fraction(10**400), datetime.datetime(2026, 1, 1), 10**1000),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_is_not_one_number(run: mlgit.ActiveRun, value: Any) -> None:
    for log in (
        lambda: run.log_metric("loss", value),
        lambda: run.log_metrics({"fine": 1, "loss": value}),
        lambda: run.log_batch([("fine", 1), ("loss", value)]),
    ):
        with pytest.raises(Invalid, match=r"^the metric 'loss' (is .* not a number|has more)"):
            log()
    assert saved(run).metrics == {}


def test_steps_count_on_by_themselves(run: mlgit.ActiveRun) -> None:
    run.log_metric("a", 0)
    run.log_metric("a", 0)
    run.log_metric("b", 0)
    run.log_metrics({"a": 0, "b": 0})
    run.log_metric("a", 0, step=10)
    run.log_metrics({"a": 0, "b": 0, "c": 0})
    run.log_metric("a", 0, step=5)  # as given, even if it goes back
    run.log_batch([("a", 0), ("a", 0), ("b", 0, -1), ("b", 0), ("b", 0, None)])
    run.log_metric("n\u00e9", 0)
    run.log_metric("ne\u0301", 0)  # the same name in another spelling
    run.log_metric("d", 0, step=numpy.int64(3))  # type: ignore[arg-type]
    run.log_metric("d", 0)
    run.log_metric("e", 0, step=-BIG)
    found = saved(run)
    steps = {key: [point.step for point in found.history(key)] for key in found.metrics}
    assert steps == {
        "a": [0, 1, 2, 10, 11, 5, 6, 7],
        "b": [0, 1, 2, -1, 0, 1],
        "c": [0],
        "n\u00e9": [0, 1],
        "d": [3, 4],
        "e": [-BIG],
    }


@pytest.mark.parametrize("step", [1.0, "1", True, numpy.float64(1), BIG + 1, -(2**70), Stranger()])
def test_a_step_is_an_integer(run: mlgit.ActiveRun, step: Any) -> None:
    for log in (
        lambda: run.log_metric("loss", 1, step=step),
        lambda: run.log_metrics({"loss": 1}, step=step),
        lambda: run.log_batch([("fine", 1, 1), ("loss", 1, step)]),
    ):
        with pytest.raises(Invalid, match=r"^the step .* (not an integer|beyond 2\*\*53)"):
            log()
    run.log_metric("loss", 1)
    assert [point.step for point in saved(run).history("loss")] == [0]


def test_times(run: mlgit.ActiveRun) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=5))
    moment = datetime.datetime.fromtimestamp(run.started + 2, zone)
    for time in (None, run.started + 1, moment, numpy.float64(run.started + 3), run.started - 1.5):
        run.log_metric("loss", 1, time=time)
    run.log_batch([("loss", 1, None, run.started + 4)])
    run.log_batch([SimpleNamespace(key="loss", value=1, timestamp=int(run.started * 1000) + 5001)])
    now, *given = (point.time for point in saved(run).history("loss"))
    assert 0 <= now < 60
    assert given == pytest.approx([1, 2, 3, -1.5, 4, 5], abs=0.0025)


@pytest.mark.parametrize(
    "time",
    [
        *("now", 1.7e12, NAN, -INFINITY, 1j, datetime.date(2026, 1, 1), 10**400),
        datetime.datetime(1, 1, 1),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_bad_time(run: mlgit.ActiveRun, time: Any) -> None:
    with pytest.raises(Invalid, match="not in seconds since 1970"):
        run.log_metric("loss", 1, time=time)
    with pytest.raises(Invalid, match="not in seconds since 1970"):
        run.log_batch([("fine", 1), ("loss", 1, 0, time)])
    assert saved(run).metrics == {}


def test_a_bad_timestamp(run: mlgit.ActiveRun) -> None:
    with pytest.raises(Invalid, match="the time 'now' is not in seconds since 1970"):
        run.log_batch([SimpleNamespace(key="loss", value=1, timestamp="now")])


class Metric(NamedTuple):
    """A tuple with names, like mlflow.entities.Metric is an object with them."""

    key: str
    value: float
    step: int


def test_a_batch(run: mlgit.ActiveRun) -> None:
    mlflow = SimpleNamespace(key="d", value=4.0, timestamp=None, step=2)
    run.log_batch(
        [("a", 1), ("b", 2, 7), Metric("c", 3, 8), mlflow],
        params={"lr": 1},
        tags={"team": "growth"},
    )
    run.log_batch()
    found = saved(run)
    assert found.metrics == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert {key: found.history(key)[0].step for key in found.metrics} == {
        **{"a": 0, "b": 7, "c": 8, "d": 2}
    }
    assert (found.params, found.tags) == ({"lr": 1}, {"team": "growth"})


@pytest.mark.parametrize("item", [("a",), ("a", 1, 2, 3, 4), "ab", ["a", 1], {"a": 1}, None])
def test_what_a_batch_cannot_hold(run: mlgit.ActiveRun, item: Any) -> None:
    with pytest.raises(Invalid, match="is not a metric"):
        run.log_batch([("fine", 1), item], params={"fine": 1})
    found = saved(run)
    assert (found.metrics, found.params) == ({}, {})


def test_a_run_has_only_so_many_metrics(
    run: mlgit.ActiveRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active, "KEYS_LIMIT", 3)
    run.log_metrics({"a": 1, "b": 1, "c": 1})
    with pytest.raises(Invalid, match="a run may have 3 metrics") as told:
        run.log_metric("d", 1)
    assert "table" in str(told.value.hint)
    run.log_metric("c", 2)


# --- tags and notes ------------------------------------------------------------------


def test_tags_are_text_and_the_last_one_counts(run: mlgit.ActiveRun) -> None:
    run.set_tags({"a": 1, "b": None, "c": ["x"]})
    run.set_tag("a", "two\nlines 🎉")
    run.set_tag("flag")
    for epoch in range(20_000):  # more than fits, were all of them kept
        run.set_tag("epoch", f"{epoch} of {'many' * 25}")
    run.set_note("first")
    run.set_note("# Title\n\ntext")
    found = saved(run)
    last = f"19999 of {'many' * 25}"
    assert found.tags == {
        "a": "two\nlines 🎉",
        "b": "None",
        "c": "['x']",
        "flag": "",
        "epoch": last,
    }
    assert found.note == "# Title\n\ntext"


def test_tags_and_notes_too_long(run: mlgit.ActiveRun) -> None:
    for log in (lambda text: run.set_tag("a", text), run.set_note):
        with pytest.raises(Invalid, match="has 65,537 characters, 65,536 are allowed"):
            log("x" * 65_537)
        with pytest.raises(Invalid, match="not valid Unicode"):
            log("\udfff")
    for number in range(15):
        run.set_tag(f"a{number}", "x" * 65_536)
    with pytest.raises(Invalid, match="1,048,576 bytes in all"):
        run.set_tags({"fine": 1, "b": "x" * 65_536})
    assert len(saved(run).tags) == 15


# --- names ---------------------------------------------------------------------------

NAMES: list[Any] = [
    *("plain", "a/b", "..", "../../etc/passwd", "a/../b", ".git", ".git/config", "/etc", "a\\b"),
    *("tab\there", "line\nbreak", "nul\0", "esc\x1b[31m", "\x85", "\u2028", " blank", "blank "),
    *("", ".", "🎉", "e\u0301", "a" * 250, "a" * 10_000, "🎉" * 250, "\ud800", "CON", "a:b", "-x"),
    *("$int", "metrics.loss", '"quoted"', "%2F", "ünïcödé", "a//b", "a/", None, 5, b"a", ["a"]),
]

LOG: dict[str, Callable[[mlgit.ActiveRun, Any], Any]] = {
    "param": lambda run, name: run.log_param(name, 1),
    "metric": lambda run, name: run.log_metric(name, 1),
    "metrics": lambda run, name: run.log_batch([(name, 1)]),
    "tag": lambda run, name: run.set_tag(name, 1),
    "artifact": lambda run, name: run.log_text("x", name),
}
FOUND: dict[str, Callable[[mlgit.SavedRun], Any]] = {
    "param": lambda run: run.params,
    "metric": lambda run: [key for key in run.metrics if run.history(key)],
    "metrics": lambda run: run.metrics,
    "tag": lambda run: run.tags,
    "artifact": lambda run: [path for path in run.artifacts() if run.read(path) == b"x"],
}
TAKEN = ["plain", "a/b", "🎉", "e\u0301", "ünïcödé", "CON", "a:b", "-x", "$int", "%2F"]
WORD = {"metrics": "metric", "artifact": "artifact path"}


@pytest.mark.parametrize("kind", LOG)
def test_a_name_is_stored_or_refused(run: mlgit.ActiveRun, repo: Path, kind: str) -> None:
    stored = []
    for name in NAMES:
        try:
            LOG[kind](run, name)
            stored.append(name)
        except Invalid as error:
            word = WORD.get(kind, kind)
            assert error.message.startswith((f"the {word} ", f"a {word} ", f"an {word} ")), name
            assert len(error.message) < 200 and error.message.isprintable()
    assert {*stored} >= {*TAKEN}
    assert {*FOUND[kind](saved(run))} == {unicodedata.normalize("NFC", name) for name in stored}
    assert git("fsck", "--strict", cwd=repo) == ""


@pytest.mark.parametrize("kind", ["experiment", "name"])
def test_a_run_is_named_or_refused(repo: Path, kind: str) -> None:
    for name in NAMES[::2] if kind == "name" else NAMES:  # each is a whole run
        if name is None:
            continue
        options: dict[str, Any] = {kind: name}
        try:
            run = mlgit.start_run(**options, capture=())
        except Invalid as error:
            assert "name" in error.message and error.message.isprintable()
            assert name not in TAKEN
        else:
            assert getattr(saved(run), kind) == unicodedata.normalize("NFC", name)
    assert git("fsck", "--strict", cwd=repo) == ""


# --- several threads -----------------------------------------------------------------


def test_threads_lose_nothing(run: mlgit.ActiveRun) -> None:
    def work(number: int) -> None:
        for i in range(1000):
            run.log_metric("shared", i)
            run.log_metric(f"own{number}", i)
        run.log_param(f"p{number}", number)
        run.log_text(str(number), f"{number}.txt")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = saved(run)
    shared = found.history("shared")
    assert [point.step for point in shared] == [*range(8000)]
    assert sorted(point.value for point in shared) == sorted([*range(1000)] * 8)
    for number in range(8):
        assert [point.value for point in found.history(f"own{number}")] == [*range(1000)]
    assert found.params == {f"p{number}": number for number in range(8)}
    assert [found.read(f"{number}.txt").decode() for number in range(8)] == [*map(str, range(8))]
