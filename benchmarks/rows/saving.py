"""A small run: starting it, leaving its block, and all of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import ledgers
import peers
from bench import BARE, MS, PROGRAMS, PYTHON, Bench, seconds_of, take_turns
from report import Line


def rows(bench: Bench) -> Iterator[Line]:
    sizes = (0, 1_000, 10_000) if bench.quick else (0, 1_000, 10_000, 100_000)
    for size in sizes:
        bench.say(f"a ledger of {size:,} runs")
        place = ledgers.make(bench.folder("saving"), size)
        yield from _leaving(bench, place, size)
        if size == 1_000:
            values = [_first_start(bench, place) for _ in range(5)]
            yield Line("starting the first run of a process", "ms", values)
            yield from _whole_runs(bench, place)


def _leaving(bench: Bench, place: Path, size: int) -> Iterator[Line]:
    with bench.workers(place, ("mlgit",), ("git",)) as (own, bare):
        parts: list[list[float]] = []

        def leave() -> float:
            parts.append(own.ask("small_run"))
            return MS * parts[-1][2]

        own.ask("small_run")
        bare.ask("small_run")
        values = take_turns(
            {"mlgit": leave, BARE: lambda: MS * bare.ask("small_run")[2]}, 20 if bench.quick else 40
        )
        starts = [MS * start for start, _, _ in parts]
        yield Line(f"starting a run, {size:,} runs on the branch", "ms", starts)
        own_values = values.pop("mlgit")
        act = f"leaving a small run's block, {size:,} runs on the branch"
        yield Line(act, "ms", own_values, 25, values)


def _first_start(bench: Bench, place: Path) -> float:
    with bench.workers(place, ("mlgit",)) as (own,):
        return MS * own.ask("small_run")[0]


def _whole_runs(bench: Bench, place: Path) -> Iterator[Line]:
    tools = {"mlgit": ("mlgit",), **peers.mlflow(bench, 1_000)}
    dvc = peers.dvc(bench)
    with contextlib.ExitStack() as stack:
        started = stack.enter_context(bench.workers(place, *tools.values()))
        workers = dict(zip(tools, started, strict=True))
        if dvc:
            (workers[peers.DVC],) = stack.enter_context(bench.workers(dvc, ("dvc",)))
        for worker in workers.values():
            worker.ask("small_run")
        acts = {
            name: partial(seconds_of, MS, worker, "small_run") for name, worker in workers.items()
        }
        values = take_turns(acts, 7 if bench.quick else 15)
    yield Line("a small run in all, 1,000 runs before", "ms", values.pop("mlgit"), None, values)

    acts = {
        name: partial(bench.wall, place, PYTHON, "train.py", "--once", *tool)
        for name, tool in tools.items()
    }
    if dvc:
        acts["DVC, `dvc exp save`"] = partial(_dvc_save, bench, dvc, iter(range(10_000, 20_000)))
    values = take_turns(acts, 3 if bench.quick else 7)
    yield Line("a script that saves a small run", "s", values.pop("mlgit"), None, values)


def _dvc_save(bench: Bench, place: Path, numbers: Iterator[int]) -> float:
    number = next(numbers)
    (place / "params.yaml").write_text(f"lr: 0.05\nseed: {number}\n")
    (place / "metrics.json").write_text(f'{{"rmse": {number / 1000}}}')
    return bench.wall(place, PROGRAMS / "dvc", "exp", "save", "--quiet")
