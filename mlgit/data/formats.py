"""The first rows of a Parquet, CSV or JSON Lines file, within a budget.

What could grow without bound when it is unpacked is not unpacked: text in Parquet stays
a dictionary; chunks larger than the budget, nested values and bytes are not read at all;
JSON is not given to Arrow, whose parser trusts its depth. (A Parquet file that lies about
itself can still cost one page more than the budget.)
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from mlgit import names
from mlgit.data.sampling import TROUBLE, WIDE, Budget, Sample, collect, too_wide
from mlgit.data.spelling import need, type_name

_FOOTER = 16 * 2**20  # bytes of Parquet's metadata; to read them takes up to a second
_GROUPS = 1000  # row groups of a Parquet file
_CHUNKS = 100_000  # statistics of column chunks; each takes a few microseconds
_REST = "what follows cannot be read"


def sample_file(path: Path, budget: Budget, suffix: str) -> Sample | None:
    """Returns the first rows of a Parquet, CSV, TSV or JSON Lines file, told by its suffix.

    None for any other, and for one that is damaged from the start.
    """
    read = _READERS.get(suffix.lower())
    try:
        return read(path, budget) if read and path.is_file() else None
    except TROUBLE:
        return None


def _read_parquet(path: Path, budget: Budget) -> Sample | None:
    with path.open("rb") as raw:
        raw.seek(-8, io.SEEK_END)
        if int.from_bytes(raw.read(4), "little") > _FOOTER:
            return None
    pa, parquet = need("pyarrow"), need("pyarrow.parquet")
    options = {"pre_buffer": False, "buffer_size": 2**16}
    with parquet.ParquetFile(path, **options) as file:
        metadata, schema = file.metadata, file.schema_arrow
    groups = range(min(metadata.num_row_groups, _GROUPS))
    fields = [schema.field(i) for i in range(min(len(schema), WIDE))]
    leaves = {metadata.schema.column(i).path: i for i in range(metadata.num_columns)}
    for name, count in Counter(schema.names).items():
        if count > 1:
            leaves.pop(name, None)  # nobody can ask for one of them
    flat = [field.name for field in fields if field.name in leaves and _is_flat(field.type)]
    text = {field.name for field in fields if "string" in str(field.type)}
    wanted = [name for name in flat if _fits(metadata, leaves[name], name in text, budget)]
    notes = [f"the column {names.shown(name)} is not read" for name in set(flat) - set(wanted)]
    taken: list[Any] = []
    if wanted and groups:
        dictionaries = [name for name in wanted if name in text]
        with parquet.ParquetFile(
            path, metadata=metadata, read_dictionary=dictionaries, **options
        ) as file:
            batches = file.iter_batches(budget.rows(len(wanted)), list(groups), wanted)
            taken, trouble, _ = collect(batches, budget)
            notes += trouble
    table = pa.Table.from_batches(taken) if taken else pa.table({})
    found = set(table.column_names)
    columns = [(f.name, table[f.name] if f.name in found else type_name(f.type)) for f in fields]
    rows = metadata.num_rows
    read = table.num_rows if wanted else rows
    bounds = {}
    if metadata.num_row_groups * len(fields) <= _CHUNKS:
        lacking = [name for name, _ in columns if read < rows or name not in found]
        bounds = {n: _bounds(metadata, leaves[n]) for n in lacking if n in leaves}
    return Sample(rows, read, columns, [*too_wide(len(schema)), *sorted(notes)], bounds)


def _is_flat(kind: Any) -> bool:
    is_ = need("pyarrow").types
    kind = kind.value_type if is_.is_dictionary(kind) else kind
    tests = (is_.is_boolean, is_.is_integer, is_.is_floating, is_.is_decimal, is_.is_temporal)
    return "string" in str(kind) or is_.is_null(kind) or any(test(kind) for test in tests)


def _fits(metadata: Any, leaf: int, text: bool, budget: Budget) -> bool:
    """Tells whether a column can be unpacked without fear."""
    groups = range(min(metadata.num_row_groups, _GROUPS))
    # A few bytes in a delta encoding may stand for much text, and Arrow keeps no dictionary.
    if text and groups and "DELTA" in str(metadata.row_group(0).column(leaf).encodings):
        return False
    return not any(
        metadata.row_group(i).total_byte_size > budget.memory
        and metadata.row_group(i).column(leaf).total_uncompressed_size > budget.memory
        for i in groups
    )


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
        first = raw.read(block)
    coding = _coding(first)
    header = first.partition(b"\n")[0].decode(coding)
    tabs = path.suffix.lower() == ".tsv"
    delimiter = "\t" if tabs else max(",;\t|", key=header.count)
    titles = next(csv.reader([header], delimiter=delimiter), [])
    uneven = 0

    def skip(row: Any) -> str:
        nonlocal uneven
        uneven += 1
        return "skip"

    with arrow_csv.open_csv(
        # Text that is not valid has to fail here: in `skip` Arrow could only print it.
        pa.transcoding_input_stream(pa.OSFile(str(path)), coding, "utf-8"),
        read_options=arrow_csv.ReadOptions(block_size=block),
        parse_options=arrow_csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip
        ),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=titles[:WIDE] if len(titles) > WIDE else None,
            strings_can_be_null=True,
        ),
    ) as stream:
        taken, notes, all_of_it = collect(stream, budget)
        table = pa.Table.from_batches(taken, stream.schema)
    if uneven:
        notes.append(f"{uneven} rows have another number of values and are left out")
    columns = list(zip(table.column_names, table.columns, strict=True))
    rows = table.num_rows if all_of_it else None
    return Sample(rows, table.num_rows, columns, too_wide(len(titles)) + notes)


def _coding(start: bytes) -> str:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"


def _read_json_lines(path: Path, budget: Budget) -> Sample | None:
    with path.open("rb") as raw:
        data = raw.read(budget.memory // 16)
        more = bool(raw.read(1))
    if more:
        data = data[: data.rfind(b"\n") + 1]
    columns: dict[str, list[Any]] = {}
    others: set[str] = set()
    notes = []
    read = 0
    for line in io.BytesIO(data):
        if not line.strip():
            continue
        if read % 1024 == 0 and time.monotonic() > budget.half:
            more = True
            break
        try:
            row = msgspec.json.decode(line, type=dict[str, Any])
        except TROUBLE:
            more, notes = True, [_REST]
            break
        for name, value in row.items():
            if name not in columns and len(columns) == WIDE:
                others.add(name)
            else:
                column = columns.setdefault(name, [])
                column.extend([None] * (read - len(column)))
                column.append(value)
        read += 1
    if not read:
        return None
    full = [(name, [*column, *[None] * (read - len(column))]) for name, column in columns.items()]
    found = [(name, _column(values)) for name, values in full]
    return Sample(None if more else read, read, found, too_wide(WIDE + len(others)) + notes)


def _column(values: list[Any]) -> Any:
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
