"""What a histogram of runs counts: every value once, in stretches with ends that can be read."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.site.bins import VALUES, histogram
from mlgit.site.numbers import is_finite

NUMBERS = st.floats() | st.integers() | st.integers(-(10**500), 10**500)


def told(values: list[Any]) -> list[tuple[str, int]]:
    return [(each.label, each.runs) for each in histogram(values).bins]


def test_numbers_fall_into_stretches_with_round_ends() -> None:
    found = histogram([6.74, 7.76, 9.1, 8.2, 11.0, None])
    assert found.scale == "linear" and found.odd == 0
    assert [each.label for each in found.bins] == [
        "6.5 to 7", "7 to 7.5", "7.5 to 8", "8 to 8.5", "8.5 to 9", "9 to 9.5", "9.5 to 10",
        "10 to 10.5", "10.5 to 11",
    ]  # fmt: skip
    assert [each.runs for each in found.bins] == [1, 0, 1, 1, 0, 1, 0, 0, 1]


def test_a_grid_is_counted_value_by_value() -> None:
    assert told([4, 8, 8, 4, 16, 4]) == [("4", 3), ("8", 2), ("16", 1)]
    assert told([0.5, 0.5]) == [("0.5", 2)] and told([3]) == [("3", 1)]


def test_learning_rates_go_by_their_size() -> None:
    found = histogram([1.3e-4, 2.1e-4, 9e-4, 1.2e-3, 7e-3, 0.2])
    assert found.scale == "log"
    assert [each.label for each in found.bins][:3] == [
        "0.0001 to 0.0002", "0.0002 to 0.0005", "0.0005 to 0.001",
    ]  # fmt: skip
    assert sum(each.runs for each in found.bins) == 6


def test_texts_are_counted_the_most_frequent_first() -> None:
    assert told(["b", "a", "b", True, None, 1]) == [("b", 2), ("1", 1), ("a", 1), ("true", 1)]
    many = told([f"v{n:02}" for n in range(30)])
    assert len(many) == VALUES and many[-1] == ("19 other values", 19)


@pytest.mark.parametrize("values", [[], [None], [math.nan], [math.inf, 10**400, -1e301]])
def test_of_nothing_there_is_nothing(values: list[Any]) -> None:
    found = histogram(values)
    assert found.bins == [] and found.odd == len([each for each in values if each is not None])


@given(st.lists(NUMBERS | st.none(), max_size=60))
def test_every_finite_number_is_in_one_stretch(values: list[Any]) -> None:
    found = histogram(values)
    here = [value for value in values if value is not None]
    assert sum(each.runs for each in found.bins) == len(here) - found.odd
    assert len(found.bins) <= 30
    ends = [each.ends for each in found.bins if each.ends is not None]
    assert len(ends) in (0, len(found.bins))
    assert all(low < high for low, high in ends)
    assert all(one[1] == other[0] for one, other in pairwise(ends))
    if ends:
        finite = [each for each in here if is_finite(each)]
        assert ends[0][0] <= min(finite) and max(finite) <= ends[-1][1]
        assert found.scale != "log" or ends[0][0] > 0
