"""Which runs are the best by the metric that an experiment is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mlgit.saved import SYSTEM, may_be_best
from mlgit.site import goals
from mlgit.site.gather import Site
from mlgit.site.numbers import is_finite
from mlgit.site.pages import common


class Ranked(NamedTuple):
    row: int
    value: float
    link: common.RunLink


def metrics(site: Site, rows: Sequence[int]) -> list[tuple[str, int]]:
    """Returns the metrics of some runs with the number of runs that have each."""
    here = set(rows)
    found = []
    for (kind, key), values in site.table.values.items():
        if kind == "metric" and not key.startswith(SYSTEM):
            count = sum(row in here for row in values)
            if count:
                found.append((key, count))
    return found


def primary(site: Site, rows: Sequence[int]) -> str | None:
    """Returns the metric that these runs are ranked by, if one's name tells which way is better.

    Runs that were stopped, and so lack what is measured in the end, have a say only if none
    has finished.
    """
    statuses = site.table.attributes["status"]
    finished = [row for row in rows if statuses[row] == "finished"]
    return goals.primary(metrics(site, finished) or metrics(site, rows))


def ranked(site: Site, rows: Sequence[int], metric: str) -> list[Ranked]:
    """Returns the runs that may be the best by the last value of a metric, the best first.

    Of equals the earlier one is.
    """
    values, statuses = site.table.values[("metric", metric)], site.table.attributes["status"]
    sign = -1 if goals.goal(metric) == "max" else 1
    found = [
        (sign * value, -row, row, value)
        for row in rows
        if row in values
        and may_be_best(statuses[row], value := values[row][0])
        and is_finite(value)
    ]
    return [Ranked(row, value, common.link(site, row)) for _, _, row, value in sorted(found)]
