"""The command line over many runs, and the index beneath it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import ledgers
import peers
from bench import MS, PROGRAMS, Bench, take_turns
from report import Line

MLGIT = PROGRAMS / "mlgit"
WHERE = ("--where", "metrics.rmse < 7 and params.depth = 6", "--sort", "metrics.rmse")
TARGETS = {10_000: (0.2, 0.3), 100_000: (0.3, 1.2)}  # seconds: the newest, a search


def rows(bench: Bench) -> Iterator[Line]:
    for size in (10_000,) if bench.quick else (10_000, 100_000):
        bench.say(f"a ledger of {size:,} runs")
        place = ledgers.make(bench.folder("listing"), size)
        newest, searched = TARGETS[size]
        log = (MLGIT, "log", "-n", "20", "--json")
        rounds = 5 if bench.quick else 11
        values = take_turns({"mlgit": partial(_without_index, bench, place, log)}, rounds)
        yield Line(f"`mlgit log -n 20`, {size:,} runs, no index", "s", values["mlgit"], 0.4)
        bench.wall(place, *log, *WHERE)
        acts = {
            "newest": partial(bench.wall, place, *log),
            "searched": partial(bench.wall, place, *log, *WHERE),
        }
        values = take_turns(acts, rounds)
        yield Line(f"`mlgit log -n 20`, {size:,} runs", "s", values["newest"], newest)
        act = f"`mlgit log --where … --sort … -n 20`, {size:,} runs"
        yield Line(act, "s", values["searched"], searched)
        yield from _indexing(bench, place, size)
    yield from _listing_fifty(bench)


def _without_index(bench: Bench, place: Path, command: tuple[str | Path, ...]) -> float:
    (place / ".git" / "mlgit" / "index.sqlite").unlink(missing_ok=True)
    return bench.wall(place, *command)


def _indexing(bench: Bench, place: Path, size: int) -> Iterator[Line]:
    with bench.workers(place, ("mlgit",)) as (own,):

        def refresh() -> float:
            own.ask("small_runs", 10)
            return MS * own.ask("open_index", False)

        values = [refresh() for _ in range(5 if bench.quick else 9)]
        yield Line(f"the index after 10 new runs, {size:,} runs", "ms", values, 50)
        afresh = [own.ask("open_index", True) for _ in range(3)]
        target = 2.0 if size == 10_000 else None
        yield Line(f"the index made from nothing, {size:,} runs", "s", afresh, target)


def _listing_fifty(bench: Bench) -> Iterator[Line]:
    place = ledgers.make(bench.folder("fifty"), 50)
    acts = {"mlgit": partial(bench.wall, place, MLGIT, "log", "--json")}
    if dvc := peers.dvc(bench):
        with bench.workers(dvc, ("dvc",)) as (saver,):
            for _ in range(50):
                saver.ask("small_run")
        acts["DVC, `dvc exp show`"] = partial(
            bench.wall, dvc, PROGRAMS / "dvc", "exp", "show", "--json"
        )
    for name, tool in peers.mlflow(bench, 50).items():
        command = (PROGRAMS / "mlflow", "runs", "list", "--experiment-id", peers.experiment(tool))
        acts[f"{name}, `mlflow runs list`"] = partial(
            bench.wall, place, "env", f"MLFLOW_TRACKING_URI={tool[1]}", *command
        )
    values = take_turns(acts, 2 if bench.quick else 7)
    yield Line("listing 50 runs, whole process", "s", values.pop("mlgit"), None, values)
