"""A search with a condition and an order, the best 100, in a process that has its imports."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import ledgers
import peers
from bench import MS, Bench, Failed, Worker, take_turns
from report import Line


def rows(bench: Bench) -> Iterator[Line]:
    for size in (1_000,) if bench.quick else (1_000, 10_000):
        place = ledgers.make(bench.folder("searching"), size)
        stores = peers.mlflow(bench, size)
        with bench.workers(place, ("mlgit",), *stores.values()) as workers:
            answers: dict[str, list[float]] = {}
            acts = {}
            for name, worker in zip(("mlgit", *stores), workers, strict=True):
                answers[name] = worker.ask("search")[1:]
                acts[name] = partial(_searched, worker)
            if any(answer != answers["mlgit"] for answer in answers.values()):
                raise Failed(f"the tools find different runs: {answers}")
            values = take_turns(acts, 5 if bench.quick else 9)
            own = values.pop("mlgit")
        yield Line(f"searching {size:,} runs, in process", "ms", own, None, values)


def _searched(worker: Worker) -> float:
    return MS * worker.ask("search")[0]
