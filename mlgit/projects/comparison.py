"""Is the outcome of two runs the same? Pure."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from mlgit import names
from mlgit.records import Run

SYSTEM = "system/"  # what the machine did is never the same


class Row(NamedTuple):
    """One value, as it was recorded and as it came out again."""

    field: str
    recorded: Any
    again: Any
    same: bool
    counts: bool
    """Whether a difference makes the outcome another one."""


def compare(recorded: Run, again: Run, rtol: float, atol: float) -> list[Row]:
    """Returns params that differ, the last values of all metrics, and outputs.

    Of a metric's lowest and highest value only those that differ. Numbers are the same if
    |a - b| <= atol + rtol * |a|; NaN is NaN. The bytes of outputs
    may differ for reasons that do not matter (a time in a file), so they do not count.
    """
    rows = []
    for key in sorted(recorded.params.keys() | again.params.keys()):
        was, now = recorded.params.get(key), again.params.get(key)
        if repr(was) != repr(now):
            rows.append(Row(f"params.{key}", was, now, False, True))
    keys = recorded.metrics.keys() | again.metrics.keys()
    for key in sorted(key for key in keys if not key.startswith(SYSTEM)):
        was = recorded.metrics[key].last if key in recorded.metrics else None
        now = again.metrics[key].last if key in again.metrics else None
        rows.append(Row(f"metrics.{key}", was, now, _close(was, now, rtol, atol), True))
        if was is None or now is None or not rows[-1].same:
            continue
        for part in ("min", "max"):  # said only where they tell of another way to one end
            was, now = getattr(recorded.metrics[key], part), getattr(again.metrics[key], part)
            if not _close(was, now, rtol, atol):
                rows.append(Row(f"metrics.{key}.{part}", was, now, False, True))
    before = {p.path: p.md5 for p in recorded.artifacts}
    after = {p.path: p.md5 for p in again.artifacts}
    for path in sorted((before.keys() | after.keys()) - {names.CONSOLE_FILE}):
        was, now = before.get(path), after.get(path)
        rows.append(Row(f"outputs.{path}", was, now, was == now, False))
    return rows


def _close(was: float | None, now: float | None, rtol: float, atol: float) -> bool:
    if was is None or now is None:
        return was is now
    if math.isnan(was) or math.isnan(now):
        return math.isnan(was) and math.isnan(now)
    return was == now or abs(was - now) <= atol + rtol * abs(was)
