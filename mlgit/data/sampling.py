"""The first rows of a dataset as Arrow columns, as many as a budget allows.

A file may be anybody's. What could grow without bound when it is unpacked is not
unpacked: text in Parquet stays a dictionary, chunks larger than the budget, nested
values and bytes are not read at all, and JSON is never given to a parser that trusts
its depth. (A Parquet file that lies in its own footer can still cost one page.)
"""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from mlgit import names
from mlgit.data import content
from mlgit.data.spelling import from_arrow, need
from mlgit.errors import Invalid

WIDE = 2000  # columns; the others are left out
TROUBLE = (
    *(OSError, TypeError, ValueError, ArithmeticError, LookupError, NotImplementedError),
    *(RecursionError, MemoryError, csv.Error),
)
_VALUE = 16  # bytes that a value counts for at least: working on it takes as much
_BATCH = 2**16  # rows
_FOOTER = 32 * 2**20  # bytes of Parquet's metadata; to read them takes a second or more
_GROUPS = 1000  # row groups of a Parquet file
_CHUNKS = 100_000  # statistics of column chunks, a few microseconds each


class Budget(NamedTuple):
    """Half of it is for reading, so that as much is left to work on what was read."""

    memory: int
    """Bytes."""
    half: float
    end: float

    @classmethod
    def starting(cls, seconds: float, memory: int) -> Budget:
        now = time.monotonic()
        return cls(memory, now + seconds / 2, now + seconds)

    def batch(self, columns: int) -> int:
        """Returns the number of rows to take at once."""
        return max(64, min(_BATCH, self.memory // (8 * _VALUE * max(columns, 1))))


class Sample(NamedTuple):
    """The first rows of a dataset."""

    rows: int | None
    """Of the whole dataset; None if nobody knows."""
    read: int
    columns: list[tuple[str, Any]]
    """Names and Arrow ChunkedArrays, or the type of a column that is not read."""
    notes: list[str]
    """What is left out, and why."""
    bounds: Mapping[str, dict[str, Any]] = MappingProxyType({})
    """nulls, min and max of whole columns, where these are known but not wholly read."""


def sample_file(path: Path, budget: Budget) -> Sample | None:
    """Returns the first rows of a Parquet, CSV, TSV or JSON Lines file, told by its suffix.

    None for any other, for one that is damaged from the start, and without pyarrow.
    """
    reader = _READERS.get(path.suffix.lower())
    try:
        if reader is None or not path.is_file() or not _has_arrow():
            return None
        return reader(path, budget)
    except TROUBLE:
        return None


def sample_table(x: Any, budget: Budget) -> Sample | None:
    """Returns the first rows of a table, or of an array of one or two dimensions.

    None for any other array, sparse ones too, and without pyarrow.

    Raises:
        Invalid: it is no table or array at all.
    """
    if not _has_arrow() or hasattr(x, "tocsr") or getattr(x, "ndim", 2) not in (1, 2):
        return None
    sources = content.columns(x)
    total = sources[0].length if sources else 0
    probe = [_arrow_or_type(source, 1000) for source in sources[:WIDE]]
    size = sum(getattr(values, "nbytes", 0) for values in probe) // max(min(total, 1000), 1)
    read = min(total, budget.memory // 2 // max(size, _VALUE * len(probe), 1))
    columns = [(source.name, _arrow_or_type(source, read)) for source in sources[:WIDE]]
    return Sample(total, read, columns, _too_wide(len(sources)))


def _has_arrow() -> bool:
    return all(importlib.util.find_spec(name) for name in ("pyarrow", "numpy"))


def _arrow_or_type(source: content.Source, rows: int) -> Any:
    pa = need("pyarrow")
    try:
        values = source.to_arrow(rows)
    except Invalid:
        return "mixed"
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])


def _too_wide(width: int) -> list[str]:
    return [f"{WIDE} of {width} columns are described"] if width > WIDE else []


def _collect(batches: Iterator[Any], budget: Budget) -> tuple[list[Any], list[str], bool]:
    """Takes record batches while the budget lasts: these, notes, and whether that was all."""
    taken: list[Any] = []
    cost = 0
    try:
        for batch in batches:
            taken.append(batch)
            cost += max(batch.nbytes, batch.num_rows * batch.num_columns * _VALUE)
            if cost > budget.memory // 2 or time.monotonic() > budget.half:
                return taken, [], False
    except TROUBLE:
        return taken, ["what follows cannot be read"], False
    return taken, [], True


def _read_parquet(path: Path, budget: Budget) -> Sample | None:
    with path.open("rb") as raw:
        raw.seek(-8, 2)
        if int.from_bytes(raw.read(4), "little") > _FOOTER:
            return None
    pa, parquet = need("pyarrow"), need("pyarrow.parquet")
    options = {"pre_buffer": False, "buffer_size": 2**16}
    with parquet.ParquetFile(path, **options) as file:
        metadata, schema = file.metadata, file.schema_arrow
    groups = range(min(metadata.num_row_groups, _GROUPS))
    large = [
        chunks
        for chunks in map(metadata.row_group, groups)
        if chunks.total_byte_size > budget.memory
    ]
    leaves = {metadata.schema.column(i).path: i for i in range(metadata.num_columns)}
    seen = Counter(schema.names)
    fields = [schema.field(i) for i in range(min(len(schema), WIDE))]
    wanted, text, notes = [], [], _too_wide(len(schema))
    for field in fields:
        leaf = leaves.get(field.name)
        if leaf is None or seen[field.name] > 1 or not _is_flat(field.type):
            continue
        is_text = "string" in str(field.type)
        # A few bytes in a delta encoding may stand for many; Arrow makes no dictionary of them.
        delta = is_text and groups and "DELTA" in str(metadata.row_group(0).column(leaf).encodings)
        if delta or any(g.column(leaf).total_uncompressed_size > budget.memory for g in large):
            notes.append(f"the column {names.shown(field.name)} is not read")
            continue
        text += [field.name] * is_text
        wanted.append(field.name)
    taken: list[Any] = []
    if wanted and groups:
        with parquet.ParquetFile(path, read_dictionary=text, **options) as file:
            batches = file.iter_batches(budget.batch(len(wanted)), list(groups), wanted)
            taken, trouble, _ = _collect(batches, budget)
            notes += trouble
    table = pa.Table.from_batches(taken) if taken else pa.table({})
    columns = [
        (f.name, table[f.name] if f.name in table.column_names else _type_name(f.type))
        for f in fields
    ]
    rows = metadata.num_rows
    read = table.num_rows if wanted else rows
    bounds = {}
    if metadata.num_row_groups * len(fields) <= _CHUNKS:
        for name, values in columns:
            if name in leaves and seen[name] == 1 and (read < rows or isinstance(values, str)):
                bounds[name] = _bounds(metadata, leaves[name])
    return Sample(rows, read, columns, notes, bounds)


def _is_flat(kind: Any) -> bool:
    is_ = need("pyarrow").types
    kind = kind.value_type if is_.is_dictionary(kind) else kind
    tests = (is_.is_boolean, is_.is_integer, is_.is_floating, is_.is_decimal, is_.is_temporal)
    return "string" in str(kind) or is_.is_null(kind) or any(test(kind) for test in tests)


def _type_name(kind: Any) -> str:
    try:
        return from_arrow(need("pyarrow").nulls(0, kind)).type
    except TROUBLE:
        return str(kind)


def _bounds(metadata: Any, leaf: int) -> dict[str, Any]:
    """Adds up a column's statistics in a Parquet file; empty if some are missing."""
    found = [metadata.row_group(i).column(leaf).statistics for i in range(metadata.num_row_groups)]
    if not all(one is not None and one.has_null_count for one in found):
        return {}
    whole: dict[str, Any] = {"nulls": sum(one.null_count for one in found)}
    found = [one for one in found if one.num_values]
    with contextlib.suppress(*TROUBLE):
        if found and all(one.has_min_max for one in found):
            whole |= {"min": min(o.min for o in found), "max": max(o.max for o in found)}
    return whole


def _read_csv(path: Path, budget: Budget) -> Sample | None:
    pa, arrow_csv = need("pyarrow"), need("pyarrow.csv")
    block = budget.memory // 16
    with path.open("rb") as raw:
        header = raw.readline(block)
    if len(header) == block:
        return None
    line = header.decode("utf-8-sig", "replace")
    tabs = path.suffix.lower() == ".tsv"
    delimiter = "\t" if tabs else max(",;\t|", key=line.count)
    titles = next(csv.reader([line], delimiter=delimiter), [])
    bad: list[Any] = []

    def skip(row: Any) -> str:
        bad.append(row.number)
        return "skip"

    stream = arrow_csv.open_csv(
        pa.OSFile(str(path)),
        read_options=arrow_csv.ReadOptions(block_size=block),
        parse_options=arrow_csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip
        ),
        convert_options=arrow_csv.ConvertOptions(
            strings_can_be_null=True, include_columns=titles[:WIDE] if len(titles) > WIDE else None
        ),
    )
    with stream:
        taken, notes, all_of_it = _collect(stream, budget)
    table = pa.Table.from_batches(taken, stream.schema)
    columns = list(zip(table.column_names, table.columns, strict=True))
    if bad:
        notes.append(f"{len(bad)} rows have another number of values and are left out")
    rows = table.num_rows if all_of_it else None
    return Sample(rows, table.num_rows, columns, _too_wide(len(titles)) + notes)


def _read_json_lines(path: Path, budget: Budget) -> Sample | None:
    limit = budget.memory // 16
    with path.open("rb") as raw:
        data = raw.read(limit + 1)
    all_of_it, left_out, notes = len(data) <= limit, 0, []
    columns: dict[str, list[Any]] = {}
    read = 0
    for line in io.BytesIO(data if all_of_it else data[: data.rfind(b"\n") + 1]):
        if read % 1024 == 0 and time.monotonic() > budget.half:
            all_of_it = False
            break
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line, type=dict[str, Any])
        except TROUBLE:
            notes.append("what follows cannot be read")
            all_of_it = False
            break
        for name, value in row.items():
            if name not in columns and len(columns) == WIDE:
                left_out += 1
                continue
            column = columns.setdefault(name, [])
            column.extend([None] * (read - len(column)))
            column.append(value)
        read += 1
    if not read:
        return None
    if left_out:
        notes.append(f"{WIDE} columns are described, there are more")
    found = [
        (name, _column_of(column + [None] * (read - len(column))))
        for name, column in columns.items()
    ]
    return Sample(read if all_of_it else None, read, found, notes)


def _column_of(values: list[Any]) -> Any:
    pa, kinds = need("pyarrow"), set(map(type, values))
    if kinds & {dict, list}:
        return "struct" if dict in kinds else "list"
    try:
        return pa.chunked_array([pa.array(values)])
    except TROUBLE:
        return "mixed"


_READERS: dict[str, Callable[[Path, Budget], Sample | None]] = {
    **dict.fromkeys((".parquet", ".pq"), _read_parquet),
    **dict.fromkeys((".csv", ".tsv"), _read_csv),
    **dict.fromkeys((".jsonl", ".ndjson"), _read_json_lines),
}
