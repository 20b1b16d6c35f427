"""What there is to say of one column: bounds, mean, spread, histogram, frequent values.

Works on Arrow's columns by numpy; a pure function of the values. Times of all kinds are
integers until they are shown.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

from mlgit.data.sampling import TROUBLE
from mlgit.data.spelling import PER_SECOND, need, to_numpy, type_name
from mlgit.records.canonical import pack_number

BINS = 20
DISTINCT = 10_000  # values; more are not counted
TOP, TOP_OF, CUT = 20, 50, 100  # values shown, of how many at most, characters of each
_FIRST = 2**16  # rows that tell whether there are more than DISTINCT
_SAMPLE = 100_000  # values that tell where the percentiles are

_WIDER = {
    **{"halffloat": "float", "date64[ms]": "date32"},
    **{"time32[s]": "time64[us]", "time32[ms]": "time64[us]"},
}

Shown = int | float | str


def summarize(values: Any, only_type: bool = False) -> dict[str, Any]:
    """Describes an Arrow ChunkedArray; see `profiles` for the words."""
    kind = type_name(values.type)
    try:
        return {"type": kind} | ({} if only_type else _described(values, kind))
    except TROUBLE:  # a type that Arrow cannot count or cast
        return {"type": kind}


def _described(values: Any, kind: str) -> dict[str, Any]:
    pa, pc = need("pyarrow"), need("pyarrow.compute")
    found = {"nulls": values.null_count}
    values = values.drop_null()
    if not len(values):
        return found
    if kind == "string":
        return found | _text(values)
    if kind == "bool":
        yes = pc.sum(values).as_py()
        counts = [pair for pair in ([True, yes], [False, len(values) - yes]) if pair[1]]
        return found | {"top": sorted(counts, key=lambda pair: -pair[1])}
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if wider := _WIDER.get(str(values.type)) or ("float64" if kind == "decimal" else None):
        values = values.cast(wider)
    values = values.combine_chunks()
    numbers = to_numpy(values)
    if numbers is None:
        return found
    found |= _distinct(values)
    if kind == "date" or kind.startswith("timestamp"):
        return found | _instants(numbers, kind)
    if numbers.dtype.kind == "m":
        return found | _spread(numbers / need("numpy").timedelta64(1, "s"))
    blank = need("numpy").isnan(numbers)
    found["nulls"] += int(blank.sum())
    return found | (_spread(numbers[~blank]) if not blank.all() else {})


def _distinct(values: Any) -> dict[str, int]:
    """Counts different values; a NaN is none."""
    pc = need("pyarrow.compute")
    if pc.count_distinct(values[:_FIRST]).as_py() > DISTINCT:
        return {}
    nan = need("pyarrow").types.is_floating(values.type) and pc.any(pc.is_nan(values)).as_py()
    count = pc.count_distinct(values).as_py() - bool(nan)
    return {"distinct": count} if count <= DISTINCT else {}


def _text(values: Any) -> dict[str, Any]:
    """Counts the values of text, which may come as a dictionary."""
    pa, pc = need("pyarrow"), need("pyarrow.compute")
    if pa.types.is_dictionary(values.type):
        coded = values.unify_dictionaries().combine_chunks()
        counts = need("numpy").bincount(to_numpy(coded.indices)).tolist()
        found = [(code, count) for code, count in enumerate(counts) if count]
        label = coded.dictionary.__getitem__
    elif pc.count_distinct(values[:_FIRST]).as_py() <= DISTINCT:
        labels, counted = pc.value_counts(values).flatten()
        found, label = list(enumerate(counted.to_pylist())), labels.__getitem__
    else:
        return {}
    if len(found) > DISTINCT:
        return {}
    if len(found) > min(TOP_OF, len(values) / 2):
        return {"distinct": len(found)}
    ranked = sorted((-count, label(code).as_py()[:CUT]) for code, count in found)
    return {"distinct": len(found), "top": [[text, -count] for count, text in ranked[:TOP]]}


def _instants(times: Any, kind: str) -> dict[str, Any]:
    """Describes numpy's datetime64 without NaT."""
    np = need("numpy")
    times = times.astype("M8[s]") if kind == "date" else times
    unit = np.datetime_data(times.dtype)[0]

    def show(tick: float) -> str:
        whole, _, fraction = str(np.datetime64(round(tick), unit)).partition(".")
        return f"{whole}.{fraction[:6]:0<6}" + "Z" * ("[" in kind)

    found = _spread(times.view("i8"), show, PER_SECOND[unit])
    if kind == "date":
        found |= {end: found[end].partition("T")[0] for end in ("min", "max")}
    return found


def _number(value: float) -> Shown:
    return pack_number(value)


def _spread(
    numbers: Any, show: Callable[[float], Shown] = _number, second: int = 1
) -> dict[str, Any]:
    """Describes a numpy array without NaN; times come with their spelling and unit."""
    np = need("numpy")
    found: dict[str, Any] = {"min": show(numbers.min().item()), "max": show(numbers.max().item())}
    finite = numbers[np.isfinite(numbers)] if numbers.dtype.kind == "f" else numbers
    if len(finite) < len(numbers):
        found["infinite"] = len(numbers) - len(finite)
    if not len(finite):
        return found
    with np.errstate(all="ignore"):  # sums of very large numbers overflow
        found["mean"] = show(_rounded(finite.mean(dtype="f8").item()))
        if len(finite) > 1:
            found["std"] = pack_number(_rounded(finite.std(dtype="f8", ddof=1).item() / second))
        edges = _edges(finite) if show is _number else np.rint(_edges(finite.astype("f8")))
    edges = np.unique(edges)
    if len(edges) > 1:
        bins = np.searchsorted(edges[1:-1], finite, side="right")
        counts = np.bincount(bins, minlength=len(edges) - 1).tolist()
        found["histogram"] = {"edges": [show(edge) for edge in edges.tolist()], "counts": counts}
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.12g}")  # not every processor adds up in the same order


def _edges(finite: Any) -> Any:
    """Returns where the bins of a histogram end; nothing if all values are the same.

    At equal distances; but where outliers would flatten all the rest, the first and last
    bin take them, and the others lie between the 1st and the 99th percentile.
    """
    np = need("numpy")
    low, high = finite.min().item(), finite.max().item()
    if low == high or not np.isfinite(float(high) - float(low)):
        return np.array([])
    if finite.dtype.kind in "iu" and max(-low, high) > 2**53:
        # As doubles, edges would lie beside the values: integers are compared as integers.
        ends = {low + (high - low) * part // BINS for part in range(BINS + 1)}
        return np.array(sorted(ends), finite.dtype)
    if finite.dtype.kind in "iu" and high - low < BINS:
        return np.arange(low, high + 2) - 0.5
    inner = np.percentile(finite[:: max(1, len(finite) // _SAMPLE)], [1, 99])
    if 0 < inner[1] - inner[0] < (high - low) / 4:
        return np.array([low, *np.linspace(*inner, BINS - 1), high])
    return np.linspace(low, high, BINS + 1)


def bound(value: Any) -> Shown | None:
    """Spells what a file's statistics say; None for text, and what is not put in order here."""
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, datetime.date):
        return value.isoformat()
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return pack_number(value) if number else None
