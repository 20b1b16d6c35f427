"""Charts that a run logged: what of a Vega-Lite specification the site draws, and its data.

Whoever can write to the branch wrote it. Vega asks for data, pictures and links by address, makes
form elements with any attribute, and computes as much as it is told; the page's policy, the
loader and the interpreter in `site/charts.js` stop what acts, and here it is not let in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from mlgit.site.numbers import is_finite, is_number

Spec = dict[str, Any]

_PARTS = {"mark", "layer", "concat", "hconcat", "vconcat", "facet", "repeat", "spec"}
_DROPPED = {
    "$schema", "usermeta",  # options of Vega-Embed
    "href",  # links
    "signals",  # of Vega, which configuration may bring along
    "__proto__", "constructor", "prototype",
}  # fmt: skip
_EXPRESSIONS = {"calculate", "expr", "filter", "labelExpr", "signal", "test", "update"}
_MAKES_MANY = re.compile(r"(sequence|repeat|pad)\s*\(|\\u", re.IGNORECASE)
_CONTROL = {"input", "name", "min", "max", "step", "options", "labels", "debounce"}
_CONTROLS = {"checkbox", "radio", "range", "select", "number", "text", "color"}
_LIMITS = {
    "width": 4000, "height": 4000, "continuousWidth": 4000, "continuousHeight": 4000,
    "discreteWidth": 4000, "discreteHeight": 4000, "padding": 1000, "tickCount": 1000, "order": 20,
    "steps": 10_000, "minsteps": 10_000, "maxsteps": 10_000, "maxbins": 10_000,
}  # fmt: skip
_SEQUENCE = 100_000  # numbers
_EVENTS = {"on", "clear", "translate", "zoom"}
_SOURCE = re.compile(r"([@#.*\w-]+)\s*:")
_SOURCES = {
    "view", "arc", "area", "group", "image", "line", "path", "rect", "rule", "shape", "symbol",
    "text", "trail",
}  # fmt: skip
_DEPTH = 60
_NODES = 20_000  # without the data


class Refused(Exception):
    """Says why a chart is not drawn."""


def tame(spec: Any) -> Spec:
    """Returns a specification without what acts or reaches out; its data are as they were.

    Raises:
        Refused: it is no Vega-Lite, or it needs what is not let in.
    """
    if not isinstance(spec, dict) or not spec.keys() & _PARTS:
        raise Refused("it is no Vega-Lite specification")
    if "vega-lite" not in str(spec.get("$schema", "vega-lite")):
        raise Refused("it is no Vega-Lite specification")
    rows = {"datasets": spec["datasets"]} if isinstance(spec.get("datasets"), dict) else {}
    rest = {key: value for key, value in spec.items() if key != "datasets"}
    return _Tamer().object(rest) | rows


class _Tamer:
    def __init__(self) -> None:
        self._nodes = 0

    def value(self, value: Any, depth: int, in_expression: bool) -> Any:
        self._nodes += 1
        if depth > _DEPTH or self._nodes > _NODES:
            raise Refused("it is too large")
        if isinstance(value, dict):
            return self.object(value, depth, in_expression)
        if isinstance(value, list):
            return [self.value(each, depth + 1, in_expression) for each in value]
        if in_expression and isinstance(value, str) and _MAKES_MANY.search(value):
            raise Refused("it makes values without end")
        return value

    def object(self, found: Spec, depth: int = 0, in_expression: bool = False) -> Spec:
        tamed: Spec = {}
        for key, value in found.items():
            if key in _DROPPED:
                continue
            if key == "graticule":
                raise Refused("it makes lines without end")
            if key == "url":
                raise Refused("it takes data or pictures from elsewhere")
            if key == "cursor" and not (isinstance(value, str) and re.fullmatch("[a-z-]+", value)):
                continue  # it may be the address of a picture
            if key in _EVENTS and _reaches_out(value):
                continue  # to answer what happens on the whole page it could keep from the page
            _check_size(key, value)
            inside = in_expression or key in _EXPRESSIONS
            if key == "data" and isinstance(value, dict) and "values" in value:
                rest = {name: each for name, each in value.items() if name != "values"}
                tamed[key] = self.object(rest, depth + 1, inside) | {"values": value["values"]}
            else:
                tamed[key] = self.value(value, depth + 1, inside)
        if "input" in tamed:
            # Vega gives the element every attribute that it finds here.
            if str(tamed["input"]) not in _CONTROLS:
                raise Refused("it has a control of another kind")
            return {key: value for key, value in tamed.items() if key in _CONTROL}
        return tamed


def _reaches_out(events: Any) -> bool:
    """Tells whether a selection listens to more than its chart."""
    if isinstance(events, str):
        sources = _SOURCE.findall(events)
        return not all(each in _SOURCES or each.startswith("@") for each in sources)
    if isinstance(events, dict):
        return "source" in events or any(map(_reaches_out, events.values()))
    return isinstance(events, list) and any(map(_reaches_out, events))


def _check_size(key: str, value: Any) -> None:
    if key in ("width", "height", "view") and isinstance(value, dict):
        value = value.get("step")
        key = "width"
    if key in _LIMITS and is_number(value) and not value <= _LIMITS[key]:
        raise Refused(f"its {key} is larger than {_LIMITS[key]:,}")
    if key in ("sequence", "keyvals") and isinstance(value, dict):
        start, stop, step = value.get("start"), value.get("stop"), value.get("step", 1)
        if not (is_number(start) and is_number(stop) and is_number(step) and step):
            raise Refused("it makes values without end")
        if not abs(stop - start) <= _SEQUENCE * abs(step):
            raise Refused("it makes values without end")


# --- its data, for print and without JavaScript ------------------------------------------------

_ROWS, _COLUMNS, _TEXT = 20, 12, 60  # rows, columns, characters of a text
_CHARTS = ("layer", "concat", "hconcat", "vconcat")  # lists of charts within a chart


class Rows(NamedTuple):
    """The first of a chart's data."""

    names: list[str]
    cells: list[list[Any]]
    """Of each row: numbers, booleans, None, and short texts."""
    total: int
    """Rows that there are."""
    more: str
    """What of them is not here, in words."""


def rows(spec: Spec) -> Rows | None:
    """Returns the data that a specification holds, if several sets the first; None if none."""
    datasets = spec.get("datasets")
    every = next(_sets(spec, datasets if isinstance(datasets, dict) else {}), [])
    # What is no object is a row with one field, as Vega has it.
    first = [row if isinstance(row, dict) else {"data": row} for row in every[:_ROWS]]
    found = dict.fromkeys(name for row in first for name in row)
    names = list(islice(found, _COLUMNS))
    if not names:
        return None
    cells = [[_cell(row.get(name)) for name in names] for row in first]
    more = []
    if len(every) > _ROWS:
        more.append(f"the first {_ROWS} of {len(every):,} rows")
    if len(found) > _COLUMNS:
        more.append(f"the first {_COLUMNS} of {len(found):,} columns")
    return Rows(names, cells, len(every), ", ".join(more))


def _sets(chart: Any, datasets: dict[str, Any]) -> Iterator[list[Any]]:
    if not isinstance(chart, dict):
        return
    data = chart.get("data")
    if isinstance(data, dict):
        values = data.get("values") or datasets.get(str(data.get("name")))
        if isinstance(values, list) and values:
            yield values
    for key in _CHARTS:
        for each in chart[key] if isinstance(chart.get(key), list) else ():
            yield from _sets(each, datasets)
    yield from _sets(chart.get("spec"), datasets)


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool) or (is_number(value) and is_finite(value)):
        return value
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"
