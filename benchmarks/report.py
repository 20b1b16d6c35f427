"""What was measured, as a Markdown table and as JSON."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# How one says of which of two values is the better one.
_WORDS = {"time": ("faster", "slower"), "rate": ("faster", "slower"), "size": ("smaller", "larger")}


@dataclass
class Line:
    """One act: what mlgit needs for it, what it should need, and what others need.

    `kind` is "time" or "size", of which less is better, or "rate", of which more is. Values
    of one round stand at one place in their lists; the ratio is the median of the rounds'.
    """

    act: str
    unit: str
    ours: Sequence[float]
    target: float | None = None
    peers: Mapping[str, Sequence[float]] = field(default_factory=dict)
    kind: str = "time"
    others: float | None = None
    """The share of all cores that other programs had meanwhile."""

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        value = statistics.median(self.ours)
        return value >= self.target if self.kind == "rate" else value <= self.target

    def ratio(self, peer: str) -> float:
        """Returns how many times better mlgit is than a peer; below 1 it is worse."""
        theirs = self.peers[peer]
        pairs = list(zip(self.ours, theirs, strict=False))
        if len(self.ours) != len(theirs):
            pairs = [(statistics.median(self.ours), statistics.median(theirs))]
        if self.kind != "rate":
            pairs = [(other, own) for own, other in pairs]
        return statistics.median(better / worse if worse else math.inf for better, worse in pairs)

    def document(self) -> dict[str, Any]:
        return {
            "act": self.act,
            "unit": self.unit,
            "kind": self.kind,
            "target": self.target,
            "met": self.met,
            "others": self.others,
            "mlgit": _summary(self.ours),
            "peers": {
                name: {**_summary(values), "ratio": self.ratio(name)}
                for name, values in self.peers.items()
            },
        }


def _summary(values: Sequence[float]) -> dict[str, Any]:
    low, high = spread(values)
    return {
        "median": statistics.median(values),
        "quartiles": [low, high],
        "values": [float(f"{value:.6g}") for value in values],
    }


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Returns the lower and the upper quartile."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def table(lines: Sequence[Line]) -> str:
    """Returns the Markdown table of all lines, a row for each peer."""
    rows = [
        "| act | mlgit: median (quartiles) | reach | | beside it | median (quartiles) | mlgit is |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        first = [line.act, _value(line.ours, line.unit), _target(line), _verdict(line)]
        for name, values in line.peers.items():
            cells = [*first, name, _value(values, line.unit), _comparison(line, name)]
            rows.append("| " + " | ".join(cells) + " |")
            first = ["", "", "", ""]
        if not line.peers:
            rows.append("| " + " | ".join([*first, "", "", ""]) + " |")
    return "\n".join(rows)


def plain(line: Line) -> str:
    """Returns a line as a sentence, for the terminal."""
    beside = [
        f"{name} {_value(values, line.unit)}: {_comparison(line, name)}"
        for name, values in line.peers.items()
    ]
    reach = f" {_target(line)} {_verdict(line)}" if line.target is not None else ""
    return "; ".join([f"{line.act}: {_value(line.ours, line.unit)}{reach}", *beside])


def _value(values: Sequence[float], unit: str) -> str:
    low, high = spread(values)
    around = f" ({_number(low)}–{_number(high)})" if len(values) > 1 else ""
    return f"{_number(statistics.median(values))} {unit}".rstrip() + around


def _target(line: Line) -> str:
    if line.target is None:
        return ""
    return f"{'≥' if line.kind == 'rate' else '≤'} {_number(line.target)}"


def _verdict(line: Line) -> str:
    if line.met is not False:
        return "met" if line.met else ""
    text = "**missed**"
    if line.kind != "size" and line.others is not None and line.others > 0.15:
        best = max(line.ours) if line.kind == "rate" else min(line.ours)
        text += f"; at best {_number(best)}, and others had {line.others:.0%} of the cores"
    return text


def _comparison(line: Line, peer: str) -> str:
    ratio = line.ratio(peer)
    if not 0 < ratio < math.inf:
        return ""
    better, worse = _WORDS[line.kind]
    return f"{_number(ratio)} × {better}" if ratio >= 1 else f"{_number(1 / ratio)} × {worse}"


def _number(value: float) -> str:
    """Returns a number with two or three digits that count.

    >>> [_number(value) for value in (0, 0.0123, 4.56, 78.9, 1234.5)]
    ['0', '0.012', '4.6', '79', '1,234']
    """
    if abs(value) >= 10:
        return f"{value:,.0f}"
    return f"{value:.2g}" if abs(value) < 1 else f"{value:.1f}"
