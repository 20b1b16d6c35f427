"""Charts that a run logged: what of a Vega-Lite specification the site draws.

Whoever can write to the branch wrote it. Vega asks for data, pictures and links by address, makes
form elements with any attribute, and computes as much as it is told; the page's policy, the
loader and the interpreter in `site/charts.js` stop what acts, and here it is not let in.
"""

from __future__ import annotations

import re
from typing import Any

from mlgit.site.numbers import is_number

Spec = dict[str, Any]

_PARTS = {"mark", "layer", "concat", "hconcat", "vconcat", "facet", "repeat", "spec"}
_DROPPED = {
    "$schema", "usermeta",  # options of Vega-Embed
    "href",  # links
    "__proto__", "constructor", "prototype",
}  # fmt: skip
_EXPRESSIONS = {"calculate", "expr", "filter", "labelExpr", "signal", "test", "update"}
_MAKES_MANY = re.compile(r"\b(sequence|repeat|pad)\s*\(|\\u", re.IGNORECASE)
_CONTROL = {"input", "name", "min", "max", "step", "options", "labels", "debounce"}
_CONTROLS = {"checkbox", "radio", "range", "select", "number", "text", "color"}
_LIMITS = {
    "width": 4000, "height": 4000, "tickCount": 1000,
    "steps": 10_000, "minsteps": 10_000, "maxsteps": 10_000, "maxbins": 10_000,
}  # fmt: skip
_SEQUENCE = 100_000  # numbers
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
            if key == "url":
                raise Refused("it takes data or pictures from elsewhere")
            if key == "cursor" and not (isinstance(value, str) and re.fullmatch("[a-z-]+", value)):
                continue  # it may be the address of a picture
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


def _check_size(key: str, value: Any) -> None:
    if key in _LIMITS and is_number(value) and not value <= _LIMITS[key]:
        raise Refused(f"its {key} is larger than {_LIMITS[key]:,}")
    if key == "sequence" and isinstance(value, dict):
        start, stop, step = value.get("start"), value.get("stop"), value.get("step", 1)
        if not (is_number(start) and is_number(stop) and is_number(step) and step):
            raise Refused("it makes values without end")
        if not abs(stop - start) <= _SEQUENCE * abs(step):
            raise Refused("it makes values without end")
