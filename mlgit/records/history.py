"""Metric histories: every point of every metric of a run, in columns.

On the branch a history is metrics.json, columnar because three lists of numbers
compress far better than a list of points. In memory it is `{key: Points}`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, MutableSequence
from dataclasses import dataclass, field
from typing import Any

from mlgit import names
from mlgit.errors import Unreadable
from mlgit.records.canonical import BIG, Number, canonical, pack_number, parse, unpack_number
from mlgit.records.schema import Metric

HISTORY_LIMIT = 1024 * 1024  # bytes; a longer metrics.json is reduced
REDUCED_POINTS = 1000  # points a key in a reduced history, at most


@dataclass
class Points:
    """The points of one metric, in order of logging: three sequences of one length."""

    step: MutableSequence[int] = field(default_factory=list)
    time: MutableSequence[int] = field(default_factory=list)
    """Milliseconds since the run started."""
    value: MutableSequence[Number] = field(default_factory=list)
    reduced: bool = False
    """True if points were left out; the extremes are among those kept."""

    def __len__(self) -> int:
        return len(self.value)

    def append(self, step: int, time: int, value: Number) -> None:
        self.step.append(step)
        self.time.append(time)
        self.value.append(value)


History = dict[str, Points]


def rows(points: Points) -> Iterator[tuple[int, int, Number]]:
    """Yields the points as (step, milliseconds, value)."""
    return zip(points.step, points.time, points.value, strict=True)


def _comparable(value: Number) -> bool:
    return value == value


def summary(points: Points) -> Metric:
    """Returns last, min, max, last step and count; NaN counts but is no extreme."""
    values = [value for value in points.value if _comparable(value)]
    return Metric(
        last=points.value[-1],
        min=min(values, default=math.nan),
        max=max(values, default=math.nan),
        step=points.step[-1],
        count=len(points),
    )


def joined(earlier: Metric | None, later: Metric) -> Metric:
    """Returns the summary of two stretches of one metric, one logged after the other."""
    if earlier is None:
        return later
    lows = [low for low in (earlier.min, later.min) if _comparable(low)]
    highs = [high for high in (earlier.max, later.max) if _comparable(high)]
    return Metric(
        last=later.last,
        min=min(lows, default=math.nan),
        max=max(highs, default=math.nan),
        step=later.step,
        count=earlier.count + later.count,
    )


def to_columns(points: Points) -> dict[str, Any]:
    """Returns the JSON object of one metric's points."""
    columns: dict[str, Any] = {
        "step": list(points.step),
        "time": list(points.time),
        "value": [pack_number(value) for value in points.value],
    }
    if points.reduced:
        columns["reduced"] = True
    return columns


def from_columns(columns: Any, what: str = "a history") -> Points:
    """Returns the points that such an object holds.

    Raises:
        Unreadable: not three lists of numbers of one length, or empty.
    """
    if not isinstance(columns, dict):
        raise Unreadable(f"{what} is damaged: a metric is no object")
    step, time, value = (columns.get(name) for name in ("step", "time", "value"))
    if not (isinstance(step, list) and isinstance(time, list) and isinstance(value, list)):
        raise Unreadable(f"{what} is damaged: a metric's columns are missing")
    if not len(step) == len(time) == len(value) > 0:
        raise Unreadable(f"{what} is damaged: a metric's columns differ in length")
    for column in (step, time):
        if {*map(type, column)} != {int} or max(column) > BIG or min(column) < -BIG:
            raise Unreadable(f"{what} is damaged: a step or time is not an integer up to 2**53")
    try:
        numbers = [unpack_number(item) for item in value]
    except Unreadable as error:
        raise Unreadable(f"{what} is damaged: {error.message}") from error
    return Points(step, time, numbers, columns.get("reduced") is True)


def dump(history: Mapping[str, Points]) -> bytes:
    """Returns the bytes of metrics.json."""
    return canonical({key: to_columns(points) for key, points in history.items()})


def load(data: bytes, what: str = names.METRICS_FILE) -> History:
    """Returns the history that metrics.json holds.

    Raises:
        Unreadable: damaged or hostile; the message names `what`.
    """
    return {key: from_columns(columns, what) for key, columns in parse(data, what).items()}


def reduce(history: Mapping[str, Points], limit: int = REDUCED_POINTS) -> History:
    """Returns a history of at most `limit` points a key (an even number, at least 4)."""
    return {key: _reduce(points, limit) for key, points in history.items()}


def _reduce(points: Points, limit: int) -> Points:
    """Keeps the first and last point, and the lowest and highest of equal stretches.

    The curve drawn from them has the outline of the full one; choosing every
    n-th point would lose the spikes people look for. A stretch without numbers keeps
    one point that is none: a gap stays a gap.
    """
    count = len(points)
    if count <= limit:
        return points
    stretches = limit // 2 - 1
    kept = {0, count - 1}
    for index in range(stretches):
        first = 1 + index * (count - 2) // stretches
        end = 1 + (index + 1) * (count - 2) // stretches
        stretch = points.value[first:end]
        if numbers := [value for value in stretch if value == value]:  # NaN is no extreme
            kept.add(first + stretch.index(min(numbers)))
            kept.add(first + stretch.index(max(numbers)))
        else:
            kept.add(first)
    order = sorted(kept)
    return Points(
        [points.step[i] for i in order],
        [points.time[i] for i in order],
        [points.value[i] for i in order],
        reduced=True,
    )
