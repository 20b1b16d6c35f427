"""What a dataset looks like, found out within a budget of time and memory.

As many of the first rows as the budget allows are read (see `sampling`), then each
column is described (see `summary`); what is said of them is exact. A profile is JSON:

    {"format": 1, "rows": 76518, "complete": true, "columns": [{
        "name": "trip_distance", "type": "float64", "nulls": 0, "distinct": 1881,
        "min": 0.0, "max": 244152.01, "mean": 29.1, "std": 1904.5,
        "histogram": {"edges": [0.0, …], "counts": [8123, …]}}, …],
     "engine": {"numpy": "2.4.6", "pyarrow": "26.0.1"}}

`nulls` counts NaN, too. `mean`, `std` (of a sample, as pandas has it) and the histogram
are of the finite values; `infinite` counts the others. Times are ISO 8601, with a Z if
they have a time zone; their `std` and all durations are in seconds. `distinct` is absent
beyond 10,000. `top` are the values of booleans, and of text with at most 50 different
ones that come twice or more on average: so hardly ever of names or addresses.
If `complete` is false, `read` says of how many rows this is, `notes` what else is
missing, and `rows` is null if nobody knows; `min` and `max` are of all rows where
Parquet's statistics have them.
"""

from __future__ import annotations

import contextlib
import datetime
import time
from pathlib import Path
from typing import Any, NamedTuple

from mlgit import names
from mlgit.data.formats import sample_file
from mlgit.data.sampling import Budget, Sample, sample_table, start
from mlgit.data.spelling import need
from mlgit.data.summary import bound, summarize
from mlgit.errors import Unreadable
from mlgit.records.canonical import unpack_number

FORMAT = 1
MEMORY = 256 * 2**20  # bytes
_NAME = 1000  # characters
_NULLS, _RANGE, _MEAN = 0.01, 0.05, 0.1  # of the rows, of the range, of the standard deviation


def profile_file(
    path: Path, seconds: float = 2.0, memory: int = MEMORY, suffix: str | None = None
) -> dict[str, Any] | None:
    """Returns the profile of a Parquet, CSV, TSV or JSON Lines file, told by its suffix.

    `suffix` is that of an object of the data store, whose name has none.

    None for any other, for one that is damaged from the start, and where pyarrow is not
    installed. If it is complete, the same bytes and engine always give the same.
    """
    budget = start(seconds, memory)
    sample = budget and sample_file(path, budget, path.suffix if suffix is None else suffix)
    return _profile(sample, budget) if sample and budget else None


def profile_table(x: Any, seconds: float = 2.0, memory: int = MEMORY) -> dict[str, Any] | None:
    """Returns the profile of a table, or of an array of one or two dimensions.

    None for any other array, sparse ones too, and where pyarrow is not installed.

    Raises:
        Invalid: it is no table or array at all.
    """
    budget = start(seconds, memory)
    sample = budget and sample_table(x, budget)
    return _profile(sample, budget) if sample and budget else None


def _profile(sample: Sample, budget: Budget) -> dict[str, Any]:
    columns, late, part = [], False, sample.read != sample.rows
    for name, values in sample.columns:
        late = late or time.monotonic() > budget.end
        column = {"type": values} if isinstance(values, str) else summarize(values, late)
        known = {key: bound(value) for key, value in sample.bounds.get(name, {}).items()}
        if part:
            known.pop("nulls", None)  # all counts are of what was read
        known = {key: value for key, value in known.items() if value is not None}
        columns.append({"name": name[:_NAME], **column, **known})
    notes = [*sample.notes, *["the time was up"] * late]
    return {
        "format": FORMAT,
        "rows": sample.rows,
        "complete": not part and not notes,
        **({"read": sample.read} if part else {}),
        **({"notes": notes} if notes else {}),
        "columns": columns,
        "engine": {name: need(name).__version__ for name in ("numpy", "pyarrow")},
    }


class Difference(NamedTuple):
    """What has changed in a column from one profile to another."""

    column: str
    kind: str
    """added, removed, type, nulls (their share of the rows), range or mean."""
    before: Any
    """As the profile has it, a range as a list of both ends; None for what was not there."""
    after: Any

    def __str__(self) -> str:
        name = names.shown(self.column)
        if self.kind in ("added", "removed"):
            return f"{name} ({self.before or self.after}) was {self.kind}"
        return f"{name}: {self.kind} {self._shown(self.before)} → {self._shown(self.after)}"

    def _shown(self, value: Any) -> str:
        if self.kind == "nulls":
            return f"{value:.1%}"
        return " to ".join(map(str, value)) if self.kind == "range" else str(value)


def schema_difference(a: dict[str, Any], b: dict[str, Any]) -> list[Difference]:
    """Returns what has changed from profile `a` to `b`, in the order of b's columns.

    The share of nulls counts if it differs by 1 % of the rows, a range if an end moved by
    5 % of it, a mean if it moved by a tenth of the standard deviation in `a`.

    Raises:
        Unreadable: one of them is no profile.
    """
    before, after = _columns(a), _columns(b)
    found = []
    for name, new in after.items():
        if name not in before:
            found.append(Difference(name, "added", None, new.get("type")))
            continue
        old = before[name]
        if old.get("type") != new.get("type"):
            found.append(Difference(name, "type", old.get("type"), new.get("type")))
        shares = [_share(old, a), _share(new, b)]
        if _moved(shares[:1], shares[1:], _NULLS):
            found.append(Difference(name, "nulls", *shares))
        low, high = _number(old, "min"), _number(old, "max")
        width = high - low if low is not None and high is not None else 0.0
        if _moved([low, high], [_number(new, "min"), _number(new, "max")], _RANGE * width):
            ends = ([column["min"], column["max"]] for column in (old, new))
            found.append(Difference(name, "range", *ends))
        if _moved(
            [_number(old, "mean")], [_number(new, "mean")], _MEAN * (_number(old, "std") or 0)
        ):
            found.append(Difference(name, "mean", old["mean"], new["mean"]))
    found += [
        Difference(name, "removed", old.get("type"), None)
        for name, old in before.items()
        if name not in after
    ]
    return found


def _moved(old: list[float | None], new: list[float | None], tolerance: float) -> bool:
    pairs = [(o, n) for o, n in zip(old, new, strict=True) if o is not None and n is not None]
    return len(pairs) == len(old) and any(abs(n - o) > tolerance for o, n in pairs)


def _columns(profile: dict[str, Any]) -> dict[str, dict[str, Any]]:
    columns = profile.get("columns")
    try:
        return {str(column["name"]): dict(column) for column in columns or ()}
    except (TypeError, KeyError, ValueError) as error:
        raise Unreadable("this is no profile of a dataset") from error


def _share(column: dict[str, Any], profile: dict[str, Any]) -> float | None:
    nulls, rows = column.get("nulls"), profile.get("read", profile.get("rows"))
    return nulls / rows if isinstance(nulls, int) and isinstance(rows, int) and rows > 0 else None


def _number(column: dict[str, Any], key: str) -> float | None:
    """Returns a value of a profile to compare by: a number, or a time in seconds."""
    value = column.get(key)
    with contextlib.suppress(ValueError, OverflowError, Unreadable):
        if isinstance(value, str) and "-" in value[1:] and value != "-Infinity":
            time_ = datetime.datetime.fromisoformat(value.removesuffix("Z"))
            return time_.replace(tzinfo=datetime.timezone.utc).timestamp()
        return float(unpack_number(value))
    return None
