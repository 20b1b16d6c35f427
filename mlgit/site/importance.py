"""How much of a metric each param tells, by ranks: no model, and no line to lie on.

For a param of numbers it is Spearman's rank correlation, for one of categories the share of the
metric's ranks that lies between the categories (eta squared on ranks, what the Kruskal-Wallis
test is made of). Both are shares of a variance and so stand in one list, freed of what mere
chance would give with so few runs. Numbers are taken as groups too, because the best learning
rate lies in the middle, where a correlation sees nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import mul
from typing import Any, NamedTuple

from mlgit.site import tables
from mlgit.site.numbers import is_finite, is_number

ENOUGH = 5  # runs; of fewer there is nothing to say
GROUPS = 5  # that numbers fall into
SHOWN = 8  # params that a page lists
_GROUP = 4  # runs that each of them has at least
_ASKED = 30  # params that are looked into: those that most runs have


class Importance(NamedTuple):
    """What a param says about a metric."""

    param: str
    share: float
    """How much of the metric's order it tells, from 0 to 1."""
    rho: float | None
    """Spearman's correlation, from -1 to 1; None for categories."""
    runs: int
    """How many have both."""


def telling(table: tables.Table, metric: Sequence[float | None]) -> list[Importance]:
    """Returns the params of a table's runs by how much they tell; none if no one tells anything."""
    asked = tables.differing_params(table)[:_ASKED]
    found = importances([(each.field.key, each.values) for each in asked], metric)
    return found if any(each.share for each in found) else []


def importances(
    params: Iterable[tuple[str, Sequence[Any]]], metric: Sequence[float | None]
) -> list[Importance]:
    """Returns the params that tell something, the most telling first.

    Each has a value for every run, as the metric has; None where a run has none.
    """
    found = [
        each for key, values in params if (each := _importance(key, values, metric)) is not None
    ]
    return sorted(found, key=lambda each: (-each.share, each.param))


def _importance(
    key: str, values: Sequence[Any], metric: Sequence[float | None]
) -> Importance | None:
    pairs = [
        (value, measured)
        for value, measured in zip(values, metric, strict=True)
        if value is not None and measured is not None and is_finite(measured)
    ]
    if len(pairs) < ENOUGH:
        return None
    mine = [value for value, _ in pairs]
    order = ranks([measured for _, measured in pairs])
    if all(is_number(value) and is_finite(value) for value in mine):
        places = ranks(mine)
        rho = correlation(places, order)
        if rho is None:
            return None
        share = _adjusted(rho * rho, len(pairs), 2)
        return Importance(key, max(share, _between(_groups(mine, places), order)), rho, len(pairs))
    names = [repr(value) for value in mine]
    if eta_squared(names, order) is None:
        return None
    return Importance(key, _between(names, order), None, len(pairs))


def ranks(values: Sequence[float]) -> list[float]:
    """Returns the place of each value among all, from 1; equal ones share the middle of theirs.

    >>> ranks([10, 30, 20, 20])
    [1.0, 4.0, 2.5, 2.5]
    """
    found = [0.0] * len(values)
    order = sorted(range(len(values)), key=values.__getitem__)
    place = 1
    for _, equal in groupby(order, key=values.__getitem__):
        same = list(equal)
        middle = place + (len(same) - 1) / 2
        for index in same:
            found[index] = middle
        place += len(same)
    return found


def correlation(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Returns Pearson's correlation, of ranks Spearman's; None if one does not vary."""
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    dx, dy = [x - x_mean for x in xs], [y - y_mean for y in ys]
    xx, yy = sum(x * x for x in dx), sum(y * y for y in dy)
    if not xx or not yy:
        return None
    xy: float = sum(map(mul, dx, dy))
    return max(-1.0, min(1.0, xy / math.sqrt(xx * yy)))


def eta_squared(groups: Sequence[Any], ys: Sequence[float]) -> float | None:
    """Returns the share of the variance that lies between groups; None if nothing varies."""
    mean = sum(ys) / len(ys)
    whole = sum((y - mean) ** 2 for y in ys)
    members: dict[Any, list[float]] = {}
    for group, y in zip(groups, ys, strict=True):
        members.setdefault(group, []).append(y)
    if not whole or len(members) < 2:
        return None
    between = sum(len(each) * (sum(each) / len(each) - mean) ** 2 for each in members.values())
    return min(1.0, between / whole)


def _between(groups: Sequence[Any], order: Sequence[float]) -> float:
    share = eta_squared(groups, order)
    return 0.0 if share is None else _adjusted(share, len(order), len(set(groups)))


def _adjusted(share: float, count: int, groups: int) -> float:
    """Returns a share of a variance without what so many groups share by chance."""
    if count <= groups:
        return 0.0  # every run a group of its own: that says nothing
    return max(0.0, 1 - (1 - share) * (count - 1) / (count - groups))


def _groups(numbers: Sequence[float], places: Sequence[float]) -> Sequence[float]:
    """Returns a group for each number: itself if there are few, else one of equal stretches."""
    if len(set(numbers)) <= GROUPS:
        return numbers
    stretches = min(GROUPS, len(numbers) // _GROUP)
    return [min((place - 1) * stretches // len(numbers), stretches - 1) for place in places]
