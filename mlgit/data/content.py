"""What a table or array in memory is: one digest for the same data, whoever holds it.

The digest is the md5 of a version byte, a header (kind, shape, names and types of the
columns as JSON, newline) and the md5 of each block of 131,072 values, column by column,
in the one spelling of `spelling`. So neither library, chunks, strides nor byte order count.

Types count (int32 is not int64), so do the names and order of columns and the order of
rows. How values are encoded does not: a category is its value. An index counts where
`reset_index` would make data of it, as leading columns: if it has a name, several
levels, or holds anything but integers; what filtering leaves behind does not.
A sparse matrix is its non-zero entries, row by row: row, column, value.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from mlgit import names
from mlgit.data.readers import Reader, reader
from mlgit.data.spelling import need
from mlgit.errors import Invalid, MlgitError, WriteFailed

VERSION = b"\x01"
BLOCK = 2**17  # values
WIDE = 2000  # columns; an array with more is not stored as Parquet
_ROW_GROUP = 2**20  # rows
_THREADS = min(8, os.cpu_count() or 1)

_SPARSE = ("scipy.spmatrix", "scipy.sparray")
_FAMILIES = (
    *("pandas.DataFrame", "pandas.Series", "polars.DataFrame", "polars.Series"),
    *("pyarrow.Table", "pyarrow.RecordBatch", "numpy.ndarray", *_SPARSE),
)
_REFUSED = {
    "polars.LazyFrame": ("a polars LazyFrame holds no data yet", "pass frame.collect()"),
    "numpy.MaskedArray": ("a masked array hides a part of its data", "pass array.filled(value)"),
}


class Content(NamedTuple):
    """The identity and the outline of a table or array."""

    digest: str
    """32 hex digits."""
    kind: str
    """table, array or sparse."""
    shape: tuple[int, ...]
    """Of a table, rows and columns."""
    columns: tuple[tuple[str, str], ...]
    """Names and types; an array has one, without a name; a sparse one row, column and value."""

    @property
    def rows(self) -> int:
        return self.shape[0] if self.shape else 1


class Source(NamedTuple):
    """A column where it lies: a pandas Series, an Arrow ChunkedArray or a numpy array."""

    name: str
    length: int
    values: Any

    def to_arrow(self, rows: int | None = None) -> Any:
        """Returns the first rows, or all, as an Arrow Array or ChunkedArray.

        Raises:
            Invalid: Arrow has no type for them.
        """
        pa = need("pyarrow")
        values = getattr(self.values, "iloc", self.values)[:rows]
        with _naming(self.name):
            if "Sparse" in type(getattr(values, "dtype", None)).__name__:
                values = values.sparse.to_dense()
            known = isinstance(values, pa.ChunkedArray)
            return values if known else pa.array(values, from_pandas=True)


def is_table(x: object) -> bool:
    """Tells whether `describe` is for this: of pandas, polars, pyarrow, numpy or scipy.sparse.

    Imports nothing. True for a LazyFrame, too, so that `describe` can say what to do.
    """
    return _family(x) is not None


def describe(x: Any) -> Content:
    """Returns the identity of a table or array; two with the same data have the same digest.

    Raises:
        Invalid: it is none, or holds something that has no type here.
        MlgitError: pyarrow is needed (polars, nested values) and not installed.
    """
    kind, shape, sources = _sources(x)
    readers: list[Reader] = []
    outline = []
    for name, _, values in sources:
        with _naming(name):
            readers.append(reader(values))
            outline.append((name, readers[-1](0, 0).type))
    jobs = [
        (name, read, start, min(start + BLOCK, length))
        for (name, length, _), read in zip(sources, readers, strict=True)
        for start in range(0, length, BLOCK)
    ]
    header = json.dumps([kind, shape, outline], separators=(",", ":")) + "\n"
    with ThreadPoolExecutor(_THREADS) as pool:  # numpy and hashing let go of the interpreter
        leaves: Iterable[bytes] = (pool.map if len(jobs) > len(sources) else map)(_leaf, jobs)
        digest = _md5([VERSION, header.encode(), *leaves])
    return Content(digest.hex(), kind, shape, tuple(outline))


def _leaf(job: tuple[str, Reader, int, int]) -> bytes:
    name, read, start, stop = job
    with _naming(name):
        return _md5(read(start, stop).parts)


def _md5(parts: Iterable[Any]) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    for part in parts:
        digest.update(part)
    return digest.digest()


def write_parquet(x: Any, path: Path) -> str:
    """Stores a table or array at exactly this path; returns the suffix that says how.

    `.parquet` for tables and most arrays of one or two dimensions; `.npz` for sparse ones
    and `.npy` for what Parquet has no place for, both without pickle. The same object and
    the same version of pyarrow give the same bytes. What is read back has the same
    digest, save that an array has become a table with the columns "0", "1", ….

    Raises:
        Invalid: it holds something that cannot be stored.
        WriteFailed: the disk is full or read-only.
        MlgitError: pyarrow is needed and not installed.
    """
    try:
        with _naming(), path.open("wb") as file:
            return _write(x, file)
    except MlgitError:
        path.unlink()
        raise
    except OSError as error:
        raise WriteFailed(f"cannot store data at {path}: {error.strerror or error}") from error


def _write(x: Any, file: BinaryIO) -> str:
    family = _family(x)
    if family in _SPARSE:
        need("scipy.sparse").save_npz(file, _canonical(x))
        return ".npz"
    if family == "numpy.ndarray" and not _fits_parquet(x):
        np = need("numpy")
        np.save(file, np.asarray(x, x.dtype.newbyteorder("<"), order="C"), allow_pickle=False)
        return ".npy"
    sources = columns(x)
    table = need("pyarrow").table(
        [source.to_arrow() for source in sources], [source.name for source in sources]
    )
    with need("pyarrow.parquet").ParquetWriter(file, table.schema, compression="zstd") as writer:
        for start in range(0, max(table.num_rows, 1), _ROW_GROUP):
            writer.write_table(table.slice(start, _ROW_GROUP).combine_chunks())
    return ".parquet"


def _fits_parquet(x: Any) -> bool:
    return x.ndim in (1, 2) and 0 < x[:1].size <= WIDE and x.dtype.kind in "biufUSO"


def columns(x: Any) -> list[Source]:
    """Returns the columns of a table, or of an array of one or two dimensions.

    They are those that `describe` sees; what pandas or others note beside is left out.
    """
    kind, shape, sources = _sources(x)
    if kind == "array":
        array = sources[0].values
        array = array.reshape(-1, 1) if len(shape) == 1 else array
        return [Source(str(i), shape[0], array[:, i]) for i in range(array.shape[1])]
    return sources


def _family(x: object) -> str | None:
    for base in type(x).__mro__:
        found = f"{base.__module__.partition('.')[0]}.{base.__name__}"
        if found in _FAMILIES or found in _REFUSED:
            return found
    return None


def _sources(x: Any) -> tuple[str, tuple[int, ...], list[Source]]:
    """Takes a table or array apart: kind, shape, columns."""
    family = _family(x) or ""
    if family in _REFUSED:
        raise Invalid(*_REFUSED[family])
    if family == "numpy.ndarray":
        x = need("numpy").asarray(x, x.dtype.newbyteorder("="))
        return "array", x.shape, [Source("", x.size, x)]
    if family in _SPARSE:
        entries = _canonical(x).tocoo()
        places = {"row": entries.row.astype("i8"), "column": entries.col.astype("i8")}
        entry = {**places, "value": entries.data}.items()
        return "sparse", x.shape, [Source(name, entries.nnz, values) for name, values in entry]
    if family.startswith("polars"):
        x, family = _polars_to_arrow(x), "pyarrow.Table"
    if family.startswith("pyarrow"):
        x = need("pyarrow").Table.from_batches([x]) if family.endswith("Batch") else x
        found: Iterable[Any] = zip(x.column_names, x.columns, strict=True)
    elif family.startswith("pandas"):
        found = [*_index(x.index), *(x.items() if hasattr(x, "columns") else [(x.name, x)])]
    else:
        raise Invalid(
            f"a {type(x).__name__} is no table or array",
            "pass one of pandas, polars, pyarrow, numpy or scipy.sparse",
        )
    sources = [Source("" if name is None else str(name), len(x), col) for name, col in found]
    return "table", (len(x), len(sources)), sources


def _index(index: Any) -> Iterator[tuple[Any, Any]]:
    """Yields the columns that a pandas index would become, if it is data."""
    if index.nlevels == 1 and index.name is None and getattr(index.dtype, "kind", "") in "iu":
        return
    for level, name in enumerate(index.names):
        default = "index" if index.nlevels == 1 else f"level_{level}"
        yield default if name is None else name, index.get_level_values(level).to_series()


def _polars_to_arrow(x: Any) -> Any:
    need("pyarrow")
    frame = x if hasattr(x, "columns") else x.to_frame()
    for name, dtype in frame.schema.items():
        if str(dtype) == "Object":  # polars would hand on addresses in memory
            raise Invalid(f"the column {names.shown(name)} holds Python objects")
    with _naming():
        return frame.to_arrow()


def _canonical(sparse: Any) -> Any:
    """Returns a sparse matrix by rows, sorted, each entry once and none zero."""
    if sparse.ndim != 2:
        raise Invalid(f"a sparse array of {sparse.ndim} dimensions", "reshape it to two")
    rows = sparse.tocsr()
    if rows.has_canonical_format and rows.data.all():
        return rows
    rows = rows.copy() if rows is sparse else rows
    rows.sum_duplicates()
    rows.eliminate_zeros()
    return rows


@contextlib.contextmanager
def _naming(column: str = "") -> Iterator[None]:
    """Turns what the libraries raise about values into an `Invalid` that names the column."""
    try:
        yield
    except MlgitError:
        raise
    except (TypeError, ValueError, ArithmeticError, LookupError, NotImplementedError) as error:
        what = f"the column {names.shown(column)}" if column else "this data"
        reason = str(error).partition("\n")[0]
        raise Invalid(f"{what} cannot be kept by its content: {reason}") from error
