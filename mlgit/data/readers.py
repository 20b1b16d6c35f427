"""Which spelling the values of a column have, whichever library holds them.

Three ways lead to the same blocks: numpy's arrays, Arrow's buffers, and Python objects,
whose common type has to be found first. What pandas and numpy hold is read without
pyarrow, too, except nested values.
"""

from __future__ import annotations

import datetime
import decimal
import sys
from collections.abc import Callable
from typing import Any

from mlgit.data.spelling import (
    Plain,
    decimal_text,
    from_arrow,
    from_numpy,
    from_text,
    from_times,
    need,
    timestamp_type,
)

Reader = Callable[[int, int], Plain]  # spells the values from here up to there

_BLANKS = ("NoneType", "NAType", "NaTType")


def reader(values: Any) -> Reader:
    """Returns what spells the blocks of a pandas Series, Arrow ChunkedArray or numpy array.

    An array of several dimensions is read row by row.

    Raises:
        TypeError, ValueError, OverflowError: there is no spelling for these values; so does
            what is returned.
        MlgitError: pyarrow is needed and not installed.
    """
    if not hasattr(values, "dtype"):
        return lambda start, stop: from_arrow(values.slice(start, stop - start))
    if not hasattr(values, "array"):
        return _array_reader(values)
    np, array, dtype = need("numpy"), values.array, values.dtype
    kind = type(dtype).__name__
    if isinstance(dtype, np.dtype):
        return _array_reader(values.to_numpy())
    if kind == "DatetimeTZDtype":
        instants = values.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
        zoned = timestamp_type(str(dtype.tz))
        return lambda start, stop: from_times(instants[start:stop], None, zoned)
    if kind == "SparseDtype":
        return lambda start, stop: from_numpy(np.asarray(array[start:stop]))
    if hasattr(dtype, "numpy_dtype") and kind != "ArrowDtype":  # pandas' own with a mask
        return lambda start, stop: from_numpy(
            array[start:stop].to_numpy(dtype.numpy_dtype, na_value=0), ~array[start:stop].isna()
        )
    if pa := sys.modules.get("pyarrow"):
        arrow = pa.array(values, from_pandas=True)
        return reader(arrow if isinstance(arrow, pa.ChunkedArray) else pa.chunked_array([arrow]))
    objects = values.astype(object).tolist()
    return _object_reader(objects, "string" if kind == "StringDtype" else "null")


def _array_reader(array: Any) -> Reader:
    kind = array.dtype.kind
    if kind in "OT":
        return _object_reader(array.ravel().tolist(), "null" if kind == "O" else "string")
    flat = array.reshape(-1) if array.ndim == 1 or array.flags.c_contiguous else array.flat
    if kind in "US":
        text = "string" if kind == "U" else "binary"
        return lambda start, stop: from_text(flat[start:stop].tolist(), text)
    return lambda start, stop: from_numpy(flat[start:stop])


def _object_reader(values: list[Any], empty: str) -> Reader:
    """Finds the one type of Python objects; `empty` is that of nothing but nulls."""
    np = need("numpy")
    if any(issubclass(kind, np.generic) for kind in set(map(type, values))):
        values = [
            value.item()
            if isinstance(value, np.generic) and value.dtype.kind in "biufUS"
            else value
            for value in values
        ]
    if set(map(type, values)) != {str}:
        values = [None if _is_blank(value) else value for value in values]
    kinds = set(map(type, values)) - {type(None)}

    def numbers(dtype: str, zero: object) -> Reader:
        def read(start: int, stop: int) -> Plain:
            part = values[start:stop]
            valid = np.array([value is not None for value in part], "?")
            plain = [zero if value is None else value for value in part]
            return from_numpy(np.array(plain, dtype), valid)

        return read

    def text(kind: str, spell: Callable[[Any], Any] = lambda value: value) -> Reader:
        return lambda start, stop: from_text(
            [None if value is None else spell(value) for value in values[start:stop]], kind
        )

    if not kinds:
        return text("string") if empty == "string" else lambda start, stop: Plain("null", [])
    if kinds == {bool}:
        return numbers("?", False)
    if kinds == {int}:
        small = max(value for value in values if value is not None) < 2**63
        return numbers("<i8" if small else "<u8", 0)
    if kinds <= {int, float}:
        return numbers("<f8", 0)
    if kinds == {datetime.date}:
        return numbers("M8[D]", datetime.date(1970, 1, 1))
    if kinds == {decimal.Decimal}:
        return text("decimal", decimal_text)
    if kinds in ({str}, {bytes}):
        return text("string" if kinds == {str} else "binary")
    if kinds <= {bool, int, float, str, bytes}:
        return text("mixed", lambda value: f"{type(value).__name__} {value!r}")
    pa = need("pyarrow")
    return reader(pa.chunked_array([pa.array(values, from_pandas=True)]))


def _is_blank(value: Any) -> bool:
    nan = isinstance(value, (float, decimal.Decimal)) and value != value
    return nan or type(value).__name__ in _BLANKS
