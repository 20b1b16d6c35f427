"""A dataset's profile as a page shows it. It comes from a branch, so nothing of it is believed.

What is not as `mlgit.data.profiles` writes it is left out: a column without a name, a count
that is none, a histogram whose parts do not fit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from markupsafe import Markup

from mlgit import profiles
from mlgit.data.profiles import Difference
from mlgit.errors import Unreadable
from mlgit.records.canonical import unpack_number
from mlgit.site import svg
from mlgit.site.render import harmless
from mlgit.words import number

COLUMNS = 120  # that a page shows; the file beside it has all
_BINS = 60
_TOP = 6
_TEXT = 100  # characters of a name or value


class Column(NamedTuple):
    name: str
    type: str
    nulls: int | None
    share: float | None
    """Of the rows that were read, how many are null."""
    distinct: int | None
    low: str
    high: str
    mean: str
    picture: Markup
    """A histogram, or how frequent the most frequent values are."""
    about: str
    """The same in words."""
    is_text: bool
    """Whether the words say what numbers beside them do not."""


class Profile(NamedTuple):
    rows: int | None
    columns: list[Column]
    """The first ones."""
    total: int
    """Of all columns."""
    notes: list[str]
    """Why it is not of all."""


def parse(profile: dict[str, Any]) -> Profile:
    """Returns what can be shown of a stored profile."""
    columns = profiles.columns(profile)
    rows, read = _count(profile, "rows"), _count(profile, "read")
    notes = []
    if read is not None:
        notes.append(f"read were the first {read:,} rows")
    told = profile.get("notes")
    notes += [note for note in told if isinstance(note, str)][:10] if isinstance(told, list) else []
    total = read if read is not None else rows
    shown = [_column(each, total) for each in columns[:COLUMNS]]
    return Profile(rows, shown, len(columns), notes)


def shape(profile: dict[str, Any]) -> tuple[int | None, int | None]:
    """Returns the numbers of rows and columns."""
    columns = profile.get("columns")
    return _count(profile, "rows"), len(columns) if isinstance(columns, list) else None


def change(found: Difference) -> str:
    """Returns in words what has changed in a column."""
    if found.kind in ("added", "removed"):
        return f"{found.kind} ({_text(found.before or found.after)})"
    before, after = (_ends(found.kind, value) for value in (found.before, found.after))
    return f"{found.kind} {before} → {after}"


def _ends(kind: str, value: Any) -> str:
    if kind == "nulls" and isinstance(value, float):
        return f"{value:.1%}"
    if kind == "mean":
        return _value(value)
    if kind == "range" and isinstance(value, list):
        return " to ".join(_value(end) for end in value[:2])
    return _text(value)


def _column(column: dict[str, Any], total: int | None) -> Column:
    nulls = _count(column, "nulls")
    picture, about = _histogram(column.get("histogram"))
    is_text = not picture
    if is_text:
        picture, about = _top(column.get("top"), total)
    return Column(
        name=_text(column.get("name")),
        type=_text(column.get("type")),
        nulls=nulls,
        share=nulls / total if nulls is not None and total else None,
        distinct=_count(column, "distinct"),
        low=_value(column.get("min")),
        high=_value(column.get("max")),
        mean=_value(column.get("mean")),
        picture=picture,
        about=about,
        is_text=is_text,
    )


def _histogram(found: Any) -> tuple[Markup, str]:
    if not isinstance(found, dict):
        return Markup(""), ""
    edges, counts = found.get("edges"), found.get("counts")
    if not isinstance(edges, list) or not isinstance(counts, list):
        return Markup(""), ""
    if not _are_counts(counts) or len(edges) != len(counts) + 1:
        return Markup(""), ""
    ends = [_value(edge) for edge in edges]
    labels = [
        f"{low} to {high}: {count:,}"
        for low, high, count in zip(ends, ends[1:], counts, strict=False)
    ]
    most = max(range(len(counts)), key=counts.__getitem__)
    return svg.histogram(counts, labels), f"most between {ends[most]} and {ends[most + 1]}"


def _top(found: Any, total: int | None) -> tuple[Markup, str]:
    if not isinstance(found, list):
        return Markup(""), ""
    pairs = [
        (_text(pair[0]), pair[1])
        for pair in found
        if isinstance(pair, list) and len(pair) == 2 and _are_counts(pair[1:])
    ][:_BINS]
    if not pairs:
        return Markup(""), ""
    whole = total or sum(count for _, count in pairs)
    told = [f"{text} {_percent(count, whole)}" for text, count in pairs[:_TOP]]
    labels = [f"{text}: {count:,}" for text, count in pairs]
    picture = svg.histogram([count for _, count in pairs], labels, apart=True)
    return picture, ", ".join(told) + (", …" if len(found) > _TOP else "")


def _percent(count: int, whole: int) -> str:
    return f"{100 * count / whole:.0f} %" if whole else ""


def _are_counts(found: list[Any]) -> bool:
    return (
        0 < len(found) <= _BINS
        and all(type(count) is int and 0 <= count < 2**63 for count in found)
        and any(found)
    )


def _count(record: dict[str, Any], key: str) -> int | None:
    value = record.get(key)
    return value if type(value) is int and 0 <= value < 2**63 else None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(harmless(value[:_TEXT])) if isinstance(value, str) else _value(value)


def _value(value: Any) -> str:
    """Returns a bound for people: a number rounded, a time to the second."""
    if isinstance(value, str) and value[4:5] == "-" and value[10:11] == "T":
        return str(harmless(value[:19])).replace("T", " ").removesuffix(" 00:00:00")
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    try:
        found = unpack_number(value)
    except Unreadable:
        return str(harmless(value[:_TEXT])) if isinstance(value, str) else ""
    return number(found, 5) if isinstance(found, float) else _whole(found)


def _whole(found: int) -> str:
    if abs(found) < 10**4:
        return str(found)  # it may be a year
    return f"{found:,}" if abs(found) < 10**15 else f"{Decimal(found):.4g}"
