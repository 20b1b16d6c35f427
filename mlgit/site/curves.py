"""Curves as the browser gets them: few points with the outline of all, in short numbers.

The whole history is in the ledger; a page needs no more than its screen can show.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import msgspec

from mlgit.records import History, Points
from mlgit.records.history import reduce
from mlgit.site import tables

POINTS = 250  # of one curve; fewer where there are many curves
ALL_POINTS = 3000
DIGITS = 7  # of a value


def reduced(history: History) -> History:
    """Returns those metrics that have a curve, with so many points as one page may load."""
    curves = {key: points for key, points in history.items() if len(points) > 1}
    most = max(64, min(POINTS, ALL_POINTS // max(len(curves), 1))) // 2 * 2
    return reduce(curves, most)


def encode(points: Points) -> dict[str, Any]:
    """Returns a curve for JSON: steps and milliseconds as a first value and differences."""
    found: dict[str, Any] = {
        "s": _differences(points.step),
        "t": _differences(points.time),
        "v": _values(points),
    }
    if points.reduced:
        found["reduced"] = True
    return found


def _differences(numbers: Any) -> list[int]:
    """Returns the first number and what each next one adds; if that is always the same, once."""
    steps = [after - before for before, after in pairwise(numbers)]
    if len(set(steps)) == 1:
        return [numbers[0], steps[0]]
    return [numbers[0], *steps]


def _values(points: Points) -> Any:
    values = points.value
    if set(map(type, values)) == {float} and all(map(math.isfinite, values)):
        # Written here, because a number that is rounded and parsed again takes four times as long.
        return msgspec.Raw(f"[{','.join([f'{value:.{DIGITS}g}' for value in values])}]".encode())
    return [tables.encode(_brief(value)) for value in values]


def _brief(value: float) -> float:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
