"""What a page is told of the runs that go on. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlgit import names
from mlgit.ledger.index import flat_params
from mlgit.records import History, Run
from mlgit.records.history import reduce, rows
from mlgit.saved import SYSTEM
from mlgit.site import tables
from mlgit.site.render import cut, text_of

POINTS = 120  # of a curve
METRICS = 24  # of a run
PARAMS = 16


def told(runs: Sequence[tuple[Run, History]], now: float) -> list[dict[str, Any]]:
    """Returns the runs as JSON; `now` is in seconds since 1970.

    A run has at most so many metrics, those of the machine last, and as many points of each
    as a small picture shows.
    """
    return [_told(run, history, now) for run, history in runs]


def _told(run: Run, history: History, now: float) -> dict[str, Any]:
    keys = sorted(run.metrics, key=lambda key: key.startswith(SYSTEM))
    shown = keys[:METRICS]
    few = reduce({key: history[key] for key in shown if key in history}, POINTS)
    params = [
        (key, value)
        for key, value in flat_params(run.params)
        if not (isinstance(value, dict) and value)
    ]
    return {
        "id": run.id,
        "name": run.name,
        "experiment": run.experiment,
        "elapsed": max(0.0, now - names.seconds(run.started) - (run.paused or 0)),
        "params": [(key, cut(text_of(value), 80)) for key, value in params[:PARAMS]],
        "metrics": [
            {
                "key": key,
                "last": tables.encode(run.metrics[key].last),
                "step": run.metrics[key].step,
                "points": [(step, tables.encode(value)) for step, _, value in rows(few[key])]
                if key in few
                else [],
            }
            for key in shown
        ],
        "more": len(keys) - len(shown),
    }
