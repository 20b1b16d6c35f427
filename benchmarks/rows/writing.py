"""Many processes that save runs into one repository at once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import partial

import ledgers
import peers
from bench import BARE, Bench, Failed, git, take_turns
from report import Line


def rows(bench: Bench) -> Iterator[Line]:
    each, rounds = (10, 1) if bench.quick else (50, 3)
    for writers in (8, 32):
        tools = {"mlgit": ("mlgit",), f"{BARE}, a branch each": ("git",)}
        # 32 processes of MLflow would need 5 GB.
        tools |= peers.mlflow(bench) if writers == 8 else {}
        lost = dict.fromkeys(tools, 0.0)
        acts = {
            name: partial(_write, bench, name, tool, writers, each, lost)
            for name, tool in tools.items()
        }
        rates = take_turns(acts, rounds, patience=90)
        act = f"{writers} processes saving {each} runs each"
        yield Line(act, "runs/s", rates.pop("mlgit"), 60, rates, "rate")
        losses = {name: [count] for name, count in lost.items()}
        act = f"lost of {rounds * writers * each:,} runs of {writers} processes"
        yield Line(act, "", losses.pop("mlgit"), 0, losses, "size")


def _write(
    bench: Bench,
    name: str,
    tool: tuple[str, ...],
    writers: int,
    each: int,
    lost: dict[str, float],
) -> float:
    """Returns how many runs were saved in a second, and adds to what was `lost`."""
    bench.say(f"{writers} writers: {name}")
    place = ledgers.make(bench.folder("writing"), 1_000)
    with bench.workers(place, *[tool] * writers) as workers:
        for worker in workers:
            worker.send("small_runs", 1)
        for worker in workers:
            worker.answer()
        known = workers[0].ask("count")
        before = time.perf_counter()
        for worker in workers:
            worker.send("small_runs", each)
        for worker in workers:
            with contextlib.suppress(Failed):  # what it did not save is counted as lost
                worker.answer()
        seconds = time.perf_counter() - before
    with bench.workers(place, tool) as (counter,):
        saved = counter.ask("count") - known
    lost[name] += writers * each - saved
    git(place, "fsck", "--connectivity-only", "--no-dangling")
    return saved / seconds
