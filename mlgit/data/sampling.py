"""The first rows of a dataset as Arrow columns, as many as a budget allows.

What is sampled may be anybody's, so the budget is held while it is read, not afterwards.
`formats` does the same for files.
"""

from __future__ import annotations

import csv
import importlib.util
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from mlgit.data import content
from mlgit.data.spelling import need
from mlgit.errors import Invalid

WIDE = 2000  # columns; the others are left out
TROUBLE = (
    *(OSError, TypeError, ValueError, ArithmeticError, LookupError, NotImplementedError),
    *(RecursionError, MemoryError, csv.Error),
)
_VALUE = 16  # bytes that a value counts for at least; so much is needed to work on it
_BATCH = 2**16  # rows
_PROBE = 1000  # rows that tell how large the others are


class Budget(NamedTuple):
    """Half of it is for reading, so that as much is left to work on what was read."""

    memory: int
    """Bytes."""
    half: float
    """When reading has to end, by `time.monotonic`."""
    end: float

    @property
    def memory_to_read(self) -> int:
        return self.memory // 2

    def rows(self, columns: int) -> int:
        """Returns the number of rows to take at once."""
        return max(64, min(_BATCH, self.memory // (8 * _VALUE * max(columns, 1))))


class Sample(NamedTuple):
    """The first rows of a dataset."""

    rows: int | None
    """Of the whole dataset; None if nobody knows."""
    read: int
    columns: list[tuple[str, Any]]
    """Names and Arrow ChunkedArrays; or the type of a column that is not read."""
    notes: list[str]
    """What is left out, and why."""
    bounds: Mapping[str, dict[str, Any]] = MappingProxyType({})
    """nulls, min and max of columns that are not wholly read, where a file tells them."""


def start(seconds: float, memory: int) -> Budget | None:
    """Returns a budget that begins now; None if pyarrow or numpy is not installed."""
    if not all(importlib.util.find_spec(name) for name in ("pyarrow", "numpy")):
        return None
    need("pyarrow.compute")  # loading them does not count
    now = time.monotonic()
    return Budget(memory, now + seconds / 2, now + seconds)


def sample_table(x: Any, budget: Budget) -> Sample | None:
    """Returns the first rows of a table, or of an array of one or two dimensions.

    None for any other array, sparse ones too.

    Raises:
        Invalid: it is no table or array at all.
    """
    if hasattr(x, "tocsr") or getattr(x, "ndim", 2) not in (1, 2):
        return None
    sources = content.columns(x)
    total = sources[0].length if sources else 0
    probe = [_arrow_or_type(source, _PROBE) for source in sources[:WIDE]]
    size = sum(getattr(values, "nbytes", 0) for values in probe) // max(min(total, _PROBE), 1)
    read = min(total, budget.memory_to_read // max(size, _VALUE * len(probe), 1))
    columns = [(source.name, _arrow_or_type(source, read)) for source in sources[:WIDE]]
    return Sample(total, read, columns, too_wide(len(sources)))


def _arrow_or_type(source: content.Source, rows: int) -> Any:
    pa = need("pyarrow")
    try:
        values = source.to_arrow(rows)
    except Invalid:
        return "mixed"
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])


def too_wide(width: int) -> list[str]:
    """Returns the note about columns that are left out."""
    return [f"{WIDE} of {width} columns are described"] if width > WIDE else []


def collect(batches: Iterable[Any], budget: Budget) -> tuple[list[Any], list[str], bool]:
    """Takes record batches while the budget lasts: these, notes, and whether that was all."""
    taken: list[Any] = []
    cost = 0
    try:
        for batch in batches:
            taken.append(batch)
            cost += max(batch.nbytes, batch.num_rows * batch.num_columns * _VALUE)
            if cost > budget.memory_to_read or time.monotonic() > budget.half:
                return taken, [], False
    except TROUBLE:
        return taken, ["what follows cannot be read"], False
    return taken, [], True
