"""Points of a run: how fast they are logged, and what a million of them costs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import ledgers
import peers
from bench import MB, US, Bench, seconds_of, take_turns
from report import Line


def rows(bench: Bench) -> Iterator[Line]:
    place = ledgers.make(bench.folder("logging"), 0)
    stores = peers.mlflow(bench)
    a_turn = {"mlgit": 10_000, peers.FILES: 500, peers.SQLITE: 50}
    with bench.workers(place, ("mlgit",), *stores.values()) as workers:
        tools = dict(zip(("mlgit", *stores), workers, strict=True))
        for worker in workers:
            worker.ask("open")
            worker.ask("log_metric", 10)

        def turns(act: str, share: int) -> dict[str, list[float]]:
            return take_turns(
                {
                    name: partial(seconds_of, US, tool, act, a_turn[name] // share)
                    for name, tool in tools.items()
                },
                rounds=5 if bench.quick else 9,
            )

        own = tools["mlgit"]
        values = turns("log_metric", 1)
        yield Line("`log_metric`, the first calls", "µs", values.pop("mlgit"), 10, values)
        values = turns("log_metrics", 10)
        yield Line("`log_metrics` with 10 keys", "µs", values.pop("mlgit"), 40, values)
        before = own.ask("memory")
        for _ in range(10):
            own.ask("log_metric", 100_000)
        memory = own.ask("memory") - before
        values = {"mlgit": [US * own.ask("log_metric", 10_000) for _ in range(9)]}
        yield Line("`log_metric`, after a million calls", "µs", values["mlgit"], 10)
        yield Line(
            "memory of the training process for a million points",
            "MB",
            [memory * MB],
            10,
            {},
            "size",
        )
        yield Line("leaving the block of a run with a million points", "s", [own.ask("close")])
        most = own.ask("peak") - before
        yield Line("memory at most while leaving it", "MB", [most * MB], kind="size")
