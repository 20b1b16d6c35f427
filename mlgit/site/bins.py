"""How some runs spread over the values of one field: what a histogram counts. Pure.

Numbers fall into stretches with round ends; where a few values come again and again, as those of
a grid of params do, each is counted by itself, as texts are.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from mlgit.site.numbers import is_finite, is_number
from mlgit.site.render import text_of
from mlgit.words import counted, number

VALUES = 12  # that are counted one by one
_STRETCHES = 10  # of numbers, about


class Bin(NamedTuple):
    """A bar of a histogram."""

    label: str
    runs: int
    ends: tuple[float, float] | None
    """From where up to where it reaches, the last end included; None of a value by itself."""


class Histogram(NamedTuple):
    bins: list[Bin]
    scale: Literal["linear", "log", "text"]
    """How the ends of stretches lie along the axis; of values by themselves "text"."""
    odd: int
    """Runs that have no finite number where others have one: they are not counted."""


def histogram(values: Sequence[Any]) -> Histogram:
    """Counts the values of runs; those of runs that have none are None, and not counted."""
    here = [value for value in values if value is not None]
    if not all(map(is_number, here)):
        return Histogram(_texts(here), "text", 0)
    finite = sorted(float(value) for value in here if is_finite(value))
    odd = len(here) - len(finite)
    distinct = Counter(finite)
    if len(distinct) == 1 or len(distinct) <= min(VALUES, len(finite) // 2):
        return Histogram(
            [Bin(number(value), count, None) for value, count in distinct.items()], "text", odd
        )
    is_bent = _is_bent(finite)
    edges = _powers(finite[0], finite[-1]) if is_bent else _round(finite[0], finite[-1])
    places = Counter(min(bisect_right(edges, value), len(edges) - 1) for value in finite)
    bins = [
        Bin(f"{number(low)} to {number(high)}", places[place], (low, high))
        for place, (low, high) in enumerate(pairwise(edges), 1)
    ]
    return Histogram(bins, "log" if is_bent else "linear", odd)


def _texts(values: Sequence[Any]) -> list[Bin]:
    """Counts texts and the like, the most frequent first; what is left is one bin."""
    found = Counter(map(text_of, values)).most_common()
    found.sort(key=lambda pair: (-pair[1], pair[0]))
    shown = found if len(found) <= VALUES else found[: VALUES - 1]
    bins = [Bin(text, count, None) for text, count in shown]
    rest = found[len(shown) :]
    if rest:
        label = counted(len(rest), "other value")
        bins.append(Bin(label, sum(count for _, count in rest), None))
    return bins


def _is_bent(finite: Sequence[float]) -> bool:
    """Tells whether most values would lie at the foot of a plain axis, as `site/plots.js` does."""
    low, middle, high = finite[0], finite[len(finite) // 2], finite[-1]
    return low > 0 and high / low >= 100 and (middle - low) / (high - low) < 0.2


def _round(low: float, high: float) -> list[float]:
    """Returns ends of stretches of the same width: 1, 2 or 5 of some power of ten."""
    rough = (high - low) / _STRETCHES
    if rough < 1e-300:
        return [low, high]
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(times * size for times in (1, 2, 5, 10) if times * size >= rough)
    digits = max(0, 1 - math.floor(math.log10(step)))
    first, last = math.floor(low / step), math.ceil(high / step)
    edges = sorted({round(place * step, digits) for place in range(first, last + 1)})
    return _around(edges, low, high)


def _powers(low: float, high: float) -> list[float]:
    """Returns ends of stretches that grow: 1, 2, 5, 10 …, over many powers of ten those alone."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    parts = (1, 2, 5) if last - first <= 4 else (1,)
    every = math.ceil((last - first) / (2 * _STRETCHES))
    texts = (f"{part}e{power}" for power in range(first, last + 1, every) for part in parts)
    edges = [edge for edge in map(float, texts) if edge]  # of the smallest there is no power
    below = bisect_right(edges, low) - 1
    above = next((place for place, edge in enumerate(edges) if edge >= high), len(edges))
    return _around(edges[max(below, 0) : above + 1], low, high)


def _around(edges: list[float], low: float, high: float) -> list[float]:
    """Returns ends that all values lie between, though doubles have been rounded."""
    inner = [edge for edge in edges if low < edge < high]
    first = edges[0] if edges[0] <= low else low
    last = edges[-1] if edges[-1] >= high else high
    return [first, *inner, last]
