"""The one spelling of a block of values, whichever library holds them.

validity   0; or 1 and a bit per value, least significant first, if some are null
numbers    little-endian, a boolean is a byte, a null is 0; a float's NaN and null
           are both the quiet NaN: pandas and Arrow turn the one into the other
times      seconds as int64 and nanoseconds as int32, so that units do not count;
           dates are days, times of day nanoseconds, as int64
text       the lengths in bytes as int64, then UTF-8 (or the bytes), end to end;
           decimals are text without zeros at the end
lists      the lengths as int64, then the elements; structs: their fields in order
"""

from __future__ import annotations

import decimal
import importlib
import json
import re
import sys
from typing import Any, NamedTuple

from mlgit.errors import MlgitError


class Plain(NamedTuple):
    """A block of values: its type, and the buffers that spell it."""

    type: str
    parts: list[Any]


_FLOATS = ("float16", "float32", "float64", "complex64", "complex128")
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_WIDER = {  # Arrow's types that differ only in how they lie in memory
    **{"string": "large_string", "string_view": "large_string", "binary": "large_binary"},
    **{"binary_view": "large_binary", "fixed_size_binary": "large_binary"},
    **{"time32": "time64[ns]", "time64": "time64[ns]", "date64": "date32"},
}


def need(module: str) -> Any:
    """Returns a module that comes with one of mlgit's extras.

    Raises:
        MlgitError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MlgitError(f"{package} is not installed", "pip install mlgit[data]") from error


def decimal_text(value: decimal.Decimal) -> str:
    text = format(value, "f") if value else "0"
    return text.rstrip("0").rstrip(".") if "." in text else text


def from_text(values: list[Any], kind: str) -> Plain:
    """Spells str or bytes; None is null."""
    if pa := sys.modules.get("pyarrow"):  # several times as fast
        wide = "large_binary" if kind == "binary" else "large_string"
        return Plain(kind, from_arrow(pa.array(values, wide)).parts)
    np = need("numpy")
    coded = [value.encode() if isinstance(value, str) else value or b"" for value in values]
    valid = np.array([value is not None for value in values], "?")
    lengths = np.fromiter(map(len, coded), "<i8", len(coded))
    return Plain(kind, [*_sealed(valid, lengths), b"".join(coded)])


def from_numpy(values: Any, valid: Any = None) -> Plain:
    """Spells numbers and times; where `valid` is false stands a null."""
    np = need("numpy")
    values = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    kind = values.dtype.name
    if kind in _FLOATS:
        reals = values.view(values.real.dtype)
        blank = np.isnan(reals) if valid is None else np.isnan(reals) | ~valid
        return Plain(
            kind,
            [b"\0", np.where(blank, reals.dtype.type("nan"), reals) if blank.any() else reals],
        )
    if values.dtype.kind in "biu":
        return Plain(kind, _sealed(valid, values))
    if values.dtype.kind in "Mm":
        return from_times(values, valid, "timestamp" if values.dtype.kind == "M" else "duration")
    raise TypeError(f"the type {kind} has no spelling here")


def from_times(values: Any, valid: Any, kind: str) -> Plain:
    """Spells instants, dates and durations of any unit down to nanoseconds."""
    np = need("numpy")
    code, (unit, _) = values.dtype.kind, np.datetime_data(values.dtype)
    if code == "M" and unit in "YMWD":
        kind, unit = "date", "D"
    elif unit in "WDhm":
        unit = "s"
    valid = ~np.isnat(values) if valid is None else ~np.isnat(values) & valid
    ticks = values.astype(f"<{code}8[{unit}]", copy=False).view("<i8")
    if kind == "date":
        return Plain(kind, _sealed(valid, ticks))
    if unit not in PER_SECOND:
        raise TypeError(f"times in units of {unit} have no spelling here")
    seconds, rest = np.divmod(ticks, PER_SECOND[unit])
    return Plain(kind, _sealed(valid, seconds, (rest * (10**9 // PER_SECOND[unit])).astype("<i4")))


def timestamp_type(zone: str | None) -> str:
    """Returns the type of instants: the time zone they are shown in belongs to it."""
    if zone is None:
        return "timestamp"
    zone = re.sub(r"^UTC(?=[+-])", "", zone)
    if not re.fullmatch(r"[\w+:-][\w+:/-]*", zone):
        raise TypeError(f"the time zone {zone} has no name: convert the times to UTC")
    return f"timestamp[{'UTC' if zone == '+00:00' else zone}]"


def _sealed(valid: Any, *values: Any) -> list[Any]:
    """Puts the validity first and clears what lies under the nulls."""
    np = need("numpy")
    if valid is None or valid.all():
        return [b"\0", *values]
    cleared = [np.where(valid, part, part.dtype.type(0)) for part in values]
    return [b"\1", np.packbits(valid, bitorder="little"), *cleared]


def from_arrow(data: Any) -> Plain:
    """Spells an Arrow Array or ChunkedArray."""
    pa, pc, np = need("pyarrow"), need("pyarrow.compute"), need("numpy")
    is_, wider = pa.types, _WIDER.get(str(data.type).partition("[")[0])
    if is_.is_dictionary(data.type):
        return from_arrow(data.cast(data.type.value_type))
    if is_.is_run_end_encoded(data.type):
        return from_arrow(pc.run_end_decode(data))
    if is_.is_map(data.type):
        pair = [("key", data.type.key_type), ("value", data.type.item_type)]
        return from_arrow(data.cast(pa.list_(pa.struct(pair))))
    if wider and str(data.type) != wider:
        data = data.cast(wider)
    if isinstance(data, pa.ChunkedArray):
        # Of one block. (Without any chunk Arrow would import pandas, to make it one.)
        data = data.combine_chunks() if data.num_chunks else pa.nulls(0, data.type)
    kind = data.type
    if is_.is_null(kind):
        return Plain("null", [])
    if isinstance(kind, pa.BaseExtensionType):
        inner = from_arrow(data.storage)
        more = getattr(kind, "__arrow_ext_serialize__", bytes)().decode("utf-8", "replace")
        return Plain(f"{kind.extension_name}{more}<{inner.type}>", inner.parts)
    valid = _bits(data.is_valid()) if data.null_count else None
    values = to_numpy(data)
    if is_.is_time64(kind):
        return Plain("time", _sealed(valid, values.view("i8")))
    if is_.is_timestamp(kind):
        return from_times(values, valid, timestamp_type(kind.tz))
    if values is not None:
        return from_numpy(values, valid)
    if is_.is_large_string(kind) or is_.is_large_binary(kind):
        if data.null_count:
            data = data.fill_null("" if is_.is_large_string(kind) else b"")
        ends = _buffer(data, "i8", 1)
        text = memoryview(data.buffers()[2] or b"")[ends[0] : ends[-1]]
        return Plain(str(kind).removeprefix("large_"), [*_sealed(valid, np.diff(ends)), text])
    if is_.is_decimal(kind):
        texts = [None if value is None else decimal_text(value) for value in data.to_pylist()]
        return from_text(texts, "decimal")
    if is_.is_struct(kind):
        fields = [from_arrow(field) for field in data.flatten()]  # null where the struct is
        members = [f"{json.dumps(kind[i].name)}:{field.type}" for i, field in enumerate(fields)]
        parts = [part for field in fields for part in field.parts]
        return Plain(f"struct<{','.join(members)}>", [*_sealed(valid), *parts])
    if hasattr(data, "flatten"):  # the several kinds of lists
        lengths = pc.list_value_length(data).cast("int64")
        lengths = lengths.fill_null(0) if data.null_count else lengths
        items = from_arrow(data.flatten())
        return Plain(f"list<{items.type}>", [*_sealed(valid, _buffer(lengths, "i8")), *items.parts])
    raise TypeError(f"the type {kind} has no spelling here")


def type_name(kind: Any) -> str:
    """Returns the type that values of an Arrow type have here; its own name, if none."""
    try:
        return from_arrow(need("pyarrow").nulls(0, kind)).type
    except (TypeError, ValueError, NotImplementedError):
        return str(kind)


def to_numpy(data: Any) -> Any:
    """Returns the numbers or times of an Arrow Array as they lie, whatever is under the nulls.

    None for other types. (Arrow's own method imports pandas wherever that is installed.)
    """
    is_, kind = need("pyarrow").types, data.type
    if is_.is_boolean(kind):
        return _bits(data)
    if is_.is_integer(kind) or is_.is_floating(kind):
        return _buffer(data, kind.to_pandas_dtype())
    if is_.is_timestamp(kind):
        return _buffer(data, f"M8[{kind.unit}]")
    if is_.is_duration(kind) or is_.is_time64(kind):
        return _buffer(data, f"m8[{kind.unit}]")
    return _buffer(data, "i4").astype("M8[D]") if is_.is_date32(kind) else None


def _bits(data: Any) -> Any:
    np = need("numpy")
    stop = data.offset + len(data)
    packed = np.frombuffer(data.buffers()[1] or b"", "u1", (stop + 7) // 8 if len(data) else 0)
    return np.unpackbits(packed, bitorder="little")[data.offset : stop].view("?")


def _buffer(data: Any, dtype: Any, more: int = 0) -> Any:
    """Returns the values of an Arrow array as they lie in memory; offsets are one more."""
    np, buffer = need("numpy"), data.buffers()[1]
    if not len(data) or buffer is None:
        return np.zeros(len(data) + more, dtype)
    return np.frombuffer(buffer, dtype, data.offset + len(data) + more)[data.offset :]
