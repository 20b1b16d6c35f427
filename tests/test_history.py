"""Metric histories: columns, summaries, and what a reduced history keeps."""

from __future__ import annotations

import json
import math
from array import array
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import Unreadable
from mlgit.records import Points
from mlgit.records.history import (
    HISTORY_LIMIT,
    REDUCED_POINTS,
    dump,
    from_columns,
    joined,
    load,
    reduce,
    rows,
    summary,
    to_columns,
)

nan, inf = math.nan, math.inf

steps = st.integers(-(2**53), 2**53)
values = st.one_of(st.floats(), st.integers(), st.just(2**70), st.sampled_from([nan, inf, 0.0, 1]))
series = st.lists(st.tuples(steps, steps, values), min_size=1, max_size=60)
long_series = st.lists(values, min_size=1, max_size=300).map(lambda found: points_of(*found))


def points_of(*found: Any) -> Points:
    return Points(list(range(len(found))), [10 * i for i in range(len(found))], list(found))


# --- columns -------------------------------------------------------------------------------


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), series, max_size=3))
def test_every_point_comes_back_exactly(found: dict[str, list[tuple[int, int, Any]]]) -> None:
    history = {key: Points(*map(list, zip(*points, strict=True))) for key, points in found.items()}
    again = load(dump(history))
    assert {key: repr(list(rows(points))) for key, points in again.items()} == {
        key: repr(points) for key, points in found.items()
    }


def test_columns_look_so() -> None:
    points = Points(array("q", [0, 5]), array("q", [-3, 10]), [nan, 2**60])
    columns = {"step": [0, 5], "time": [-3, 10], "value": ["NaN", str(2**60)]}
    assert to_columns(points) == columns
    points.reduced = True
    assert to_columns(points) == columns | {"reduced": True}
    assert from_columns(to_columns(points)).reduced


GOOD: dict[str, Any] = {"step": [0, 1], "time": [5, 6], "value": [0.5, "NaN"]}


@pytest.mark.parametrize(
    "columns",
    [
        None,
        [],
        {},
        {"step": [], "time": [], "value": []},  # a metric has a point, or is not there
        {**GOOD, "step": [0]},
        {**GOOD, "value": [0.5, 0.5, 0.5]},
        {**GOOD, "time": None},
        {**GOOD, "time": "56"},
        {**GOOD, "step": [0, 1.0]},
        {**GOOD, "step": [0, True]},
        {**GOOD, "step": [0, "1"]},
        {**GOOD, "step": [0, 2**53 + 1]},
        {**GOOD, "time": [-(2**53) - 1, 0]},
        {**GOOD, "value": [0.5, None]},
        {**GOOD, "value": [0.5, False]},
        {**GOOD, "value": [0.5, "half"]},
        {**GOOD, "value": [0.5, [1]]},
    ],
    ids=str,
)
def test_these_columns_are_refused_and_named(columns: Any) -> None:
    with pytest.raises(Unreadable, match=r"^THE FILE is damaged: "):
        load(json.dumps({"loss": columns}).encode(), "THE FILE")


def test_what_else_stands_in_a_history_is_no_obstacle() -> None:
    points = from_columns({**GOOD, "wall": [1, 2], "reduced": "yes"})
    assert len(points) == 2 and not points.reduced


# --- summaries -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "last", "low", "high"),
    [
        ([3], 3, 3, 3),
        ([0.5, 0.25, 0.75], 0.75, 0.25, 0.75),
        ([1, nan, 3], 3, 1, 3),
        ([1, nan], nan, 1, 1),
        ([nan, nan], nan, nan, nan),
        ([inf, 0, -inf], -inf, -inf, inf),
        ([2**70, 2**70 + 1], 2**70 + 1, 2**70, 2**70 + 1),  # exact, as no float would be
    ],
    ids=str,
)
def test_a_summary_has_last_and_extremes(found: list[Any], last: Any, low: Any, high: Any) -> None:
    metric = summary(points_of(*found))
    assert repr((metric.last, metric.min, metric.max)) == repr((last, low, high))
    assert (metric.step, metric.count) == (len(found) - 1, len(found))


def test_the_step_is_that_of_the_last_point_not_the_highest() -> None:
    assert summary(Points([5, 2], [0, 1], [1.0, 2.0])).step == 2


@given(series, series)
def test_two_stretches_joined_are_summed_up_as_one(
    one: list[tuple[int, int, Any]], other: list[tuple[int, int, Any]]
) -> None:
    first, second, both = (
        summary(Points(*map(list, zip(*part, strict=True)))) for part in (one, other, one + other)
    )
    found = joined(joined(None, first), second)
    assert found == both or repr(found) == repr(both)


# --- reduced histories -----------------------------------------------------------------------


def comparable(points: Points) -> list[Any]:
    return [value for value in points.value if value == value]


@given(long_series, st.integers(2, 60).map(lambda half: 2 * half))
def test_a_reduced_history_keeps_ends_extremes_and_order(points: Points, limit: int) -> None:
    small = reduce({"m": points}, limit)["m"]
    assert len(small) <= limit
    assert small.reduced is (len(points) > limit)
    whole, kept = list(rows(points)), list(rows(small))
    assert repr(kept[0]) == repr(whole[0]) and repr(kept[-1]) == repr(whole[-1])
    assert small.step == sorted(small.step)
    assert {repr(point) for point in kept} <= {repr(point) for point in whole}
    if comparable(points):
        assert min(comparable(small)) == min(comparable(points))
        assert max(comparable(small)) == max(comparable(points))


def test_a_spike_of_one_point_in_a_million_is_kept() -> None:
    values = array("d", [1.0]) * 1_000_000
    values[654_321] = 99.0
    points = Points(array("q", range(len(values))), array("q", range(len(values))), values)
    small = reduce({"loss": points})["loss"]
    assert len(small) <= REDUCED_POINTS
    assert (654_321, 654_321, 99.0) in rows(small)
    assert len(dump({"loss": small})) < HISTORY_LIMIT


def test_a_gap_stays_a_gap() -> None:
    values = [math.nan if 400 <= step < 600 else 1.0 for step in range(1000)]
    small = reduce({"loss": points_of(*values)}, 100)["loss"]
    gaps = [step for step, value in zip(small.step, small.value, strict=True) if value != value]
    assert 400 <= min(gaps) < max(gaps) < 600 and len(small) <= 100
    assert not [step for step in small.step if 400 <= step < 600 and step not in gaps]


def test_a_history_that_is_short_enough_stays_as_it_is() -> None:
    points = points_of(*range(REDUCED_POINTS))
    assert reduce({"m": points})["m"] is points
