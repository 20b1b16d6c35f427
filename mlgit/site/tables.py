"""Tables of runs: which columns are worth showing, and all of them as data for the browser.

The data is columnar. Values that JSON has no word for are lists of one or two: `["n"]` NaN,
`["+"]` and `["-"]` infinity, `["i", "1180591620717411303424"]` an integer that a double cannot
hold, `["j", "[1,2]"]` a list or object as the query language sees it. null is that a run has no
value, `[]` that its value is null: the same to the query language, but not to the eye.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from mlgit import query
from mlgit.query import ATTRIBUTES, PARTS, Field
from mlgit.records.canonical import BIG
from mlgit.saved import SYSTEM
from mlgit.site.gather import Site
from mlgit.site.numbers import is_finite, is_number
from mlgit.site.render import text_of

FIELDS_LIMIT = 150  # keys of one kind in one table; those that most runs have
TEXT_LIMIT = 1000  # characters of a text in a table's data
METRICS_SHOWN, PARAMS_SHOWN = 6, 8  # columns a table begins with

_HEADINGS = {"duration": "took", "started": "started", "id": "run", "user": "by"}


class Column(NamedTuple):
    """One field of some runs."""

    field: Field
    values: list[Any]
    """Of a metric the last value of each run, of all else the value; None where it has none."""
    parts: list[Any] | None
    """Of a metric the tuples of all its `PARTS`."""
    is_number: bool
    digits: int | None
    """Decimals that its cells show; None: as many as each needs for four digits."""
    varies: bool
    nulls: frozenset[int] = frozenset()
    """Of a param the places of the runs that have it, but as None."""

    @property
    def heading(self) -> str:
        return _HEADINGS.get(self.field.key, self.field.key)


class Table(NamedTuple):
    rows: list[int]
    """Positions in the site's table."""
    columns: list[Column]
    shown: list[int]
    """Positions in `columns` of those that the table begins with."""
    left_out: int
    """Fields that have no column because there are too many."""


def build(site: Site, rows: Sequence[int], one_experiment: bool, metric: str | None) -> Table:
    """Returns the table of some runs; `metric` is what they are ranked by."""
    columns = [_attribute(site, rows, name) for name in ATTRIBUTES]
    left_out = 0
    position = {row: place for place, row in enumerate(rows)}
    for kind in ("metric", "param", "tag"):
        found = [
            (key, values)
            for (of, key), every in site.table.values.items()
            if of == kind and (values := _of(every, position))
        ]
        found.sort(key=lambda pair: (-len(pair[1]), pair[0]))
        left_out += max(0, len(found) - FIELDS_LIMIT)
        columns += [_column(kind, key, values, len(rows)) for key, values in found[:FIELDS_LIMIT]]
    return Table(list(rows), columns, _shown(columns, one_experiment, metric), left_out)


def column(site: Site, rows: Sequence[int], field: Field) -> Column:
    """Returns one column, of a metric the part that the field names."""
    if field.kind == "attribute":
        return _attribute(site, rows, field.key)
    every = site.table.values.get((field.kind, field.key), {})
    found = {place: value(site, row, field) for place, row in enumerate(rows) if row in every}
    made = _column(field.kind if field.kind != "metric" else "param", field.key, found, len(rows))
    return made._replace(field=field)


def value(site: Site, row: int, field: Field) -> Any:
    """Returns a field of a run; None if it has none."""
    if field.kind == "attribute":
        if field.key == "experiment":
            return site.experiment(row).title
        return site.table.attributes[field.key][row]
    found = site.table.values.get((field.kind, field.key), {}).get(row)
    if field.kind == "metric" and found is not None:
        return found[PARTS.index(field.part or "last")]
    return found


def _of(every: dict[int, Any], position: dict[int, int]) -> dict[int, Any]:
    if len(position) < len(every):
        return {place: every[row] for row, place in position.items() if row in every}
    return {position[row]: value for row, value in every.items() if row in position}


def _attribute(site: Site, rows: Sequence[int], name: str) -> Column:
    if name == "experiment":
        values: list[Any] = [site.experiment(row).title for row in rows]
    else:
        every = site.table.attributes[name]
        values = [every[row] for row in rows]
    is_time = name == "duration"
    return Column(Field("attribute", name), values, None, is_time, None, _varies(values))


def _column(kind: str, key: str, found: dict[int, Any], count: int) -> Column:
    values: list[Any] = [None] * count
    parts: list[Any] | None = None
    if kind == "metric":
        parts = [None] * count
        for place, summary in found.items():
            parts[place], values[place] = summary, summary[0]
    else:
        for place, value in found.items():
            values[place] = value
    numbers = (
        [value for value in found.values() if is_number(value)]
        if parts is None
        else [value for value in values if is_number(value)]
    )
    are_numbers = bool(numbers) and len(numbers) * 2 >= len(found)
    field = Field(kind, key, "last" if kind == "metric" else "")
    digits = decimals(numbers) if are_numbers else None
    nulls = frozenset(place for place, value in found.items() if value is None)
    return Column(field, values, parts, are_numbers, digits, _varies(values), nulls)


def _varies(values: Sequence[Any]) -> bool:
    first = values[0] if values else None
    return any(value != first for value in values)


def decimals(values: Iterable[float]) -> int | None:
    """Returns how many decimals a column needs: four digits of its largest, none for nothing.

    None if one number of decimals would leave the small ones without digits.

    >>> decimals([0.91, 0.9087512]), decimals([0.1, 0.05]), decimals([12, 7]), decimals([1e-5, 0.3])
    (4, 2, 0, None)
    """
    finite = [abs(value) for value in values if is_finite(value)]
    if all(type(value) is int for value in finite):
        return 0
    most = max(finite)
    least = min((value for value in finite if value), default=most)
    if most >= 10**12 or most == 0 or least < most / 10**12:
        return None if most else 0
    places = max(0, 3 - math.floor(math.log10(most)))
    if least < 10.0 ** (1 - places) or places > 8:
        return None
    return min(places, max(map(_decimals_of, finite)))


def _decimals_of(value: float) -> int:
    text = repr(value)
    if "e" in text:
        return 9
    return len(text.partition(".")[2].rstrip("0"))


def _shown(columns: Sequence[Column], one_experiment: bool, metric: str | None) -> list[int]:
    """Returns what is worth a column from the start: of the params, those that vary."""
    fixed = ["name", "status", "started", "duration"]
    if not one_experiment:
        fixed.insert(1, "experiment")
    chosen = [
        place
        for name in fixed
        for place, column in enumerate(columns)
        if column.field == Field("attribute", name)
    ]
    if any(c.field.key == "user" and c.varies for c in columns if c.field.kind == "attribute"):
        chosen.append([column.field.key for column in columns].index("user"))
    metrics = [
        place
        for place, column in enumerate(columns)
        if column.field.kind == "metric" and not column.field.key.startswith(SYSTEM)
    ]
    metrics.sort(key=lambda place: columns[place].field.key != metric)
    params = [place for place, column in enumerate(columns) if _is_differing_param(column)]
    return [*chosen, *metrics[:METRICS_SHOWN], *params[:PARAMS_SHOWN]]


def differing_params(table: Table) -> list[Column]:
    """Returns the params in which runs differ, those that most runs have first."""
    return [column for column in table.columns if _is_differing_param(column)]


def _is_differing_param(column: Column) -> bool:
    # The parts of an object have columns of their own.
    is_object = any(isinstance(value, dict) for value in column.values)
    return column.field.kind == "param" and column.varies and not is_object


# --- for the browser ---------------------------------------------------------------------


def data(table: Table) -> bytes:
    """Returns the table as JSON.

    A column has its values in "v", or its distinct texts in "d" and the place of each in "i":
    -1 where a run has none, -2 where it is null.
    """
    columns = [
        {
            "kind": column.field.kind,
            "key": column.field.key,
            "head": column.heading,
            "number": column.is_number,
            "digits": column.digits,
            "varies": column.varies,
            **_packed(column),
        }
        for column in table.columns
    ]
    return msgspec.json.encode({"rows": len(table.rows), "shown": table.shown, "columns": columns})


def _packed(column: Column) -> dict[str, Any]:
    values = [
        [] if place in column.nulls else encode(value) for place, value in enumerate(column.values)
    ]
    if column.parts is None:
        return _by_dictionary(values)
    packed: dict[str, Any] = {"v": values}
    for place, part in enumerate(PARTS[1:], 1):
        other = [None if each is None else encode(each[place]) for each in column.parts]
        if other != values:
            present = [value for value in other if value is not None]
            is_same = all(value == present[0] for value in present)
            packed[part] = present[0] if is_same and part in ("step", "count") else other
    return packed


def _by_dictionary(values: list[Any]) -> dict[str, Any]:
    """Returns a column of texts that repeat as the texts and the place of each."""
    if not any(type(value) is str for value in values):
        return {"v": values}
    places: dict[str, int] = {}
    found = []
    for value in values:
        if value is None or value == []:
            found.append(-1 if value is None else -2)
        elif type(value) is not str or len(places) * 2 > len(values):
            return {"v": values}
        else:
            found.append(places.setdefault(value, len(places)))
    return {"d": list(places), "i": found}


def encode(value: Any) -> Any:
    """Returns a value as the browser gets it, in the types of JSON."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return value if len(value) <= TEXT_LIMIT else value[:TEXT_LIMIT] + "…"
    if kind is int:
        return value if -BIG <= value <= BIG else ["i", str(value)]
    if kind is float:
        if math.isfinite(value):
            return value
        return ["n"] if value != value else ["+" if value > 0 else "-"]
    text = query.text_of(value)
    return ["j", text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "…"]


def as_csv(table: Table) -> bytes:
    """Returns all columns as CSV, by RFC 4180 but with bare newlines; metrics by last value.

    What a run does not have is an empty field, a param that is None is `null`.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(str(column.field) for column in table.columns)
    columns = [
        ["null" if place in of.nulls else _plain(value) for place, value in enumerate(of.values)]
        for of in table.columns
    ]
    writer.writerows(zip(*columns, strict=True))
    return buffer.getvalue().encode(errors="replace")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, float)) or type(value) is int:
        return value
    return text_of(value)
