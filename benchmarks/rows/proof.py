"""Answers about data: the lineage of a file over 10,000 runs, and checking 1,000 runs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import ledgers
from bench import PROGRAMS, Bench, take_turns
from report import Line

MLGIT = PROGRAMS / "mlgit"
RUNS = 10_000


def rows(bench: Bench) -> Iterator[Line]:
    bench.say(f"a ledger of {RUNS:,} runs with data")
    place = ledgers.make(bench.folder("lineage"), RUNS, ledgers.DATA)
    contents = ledgers.MONTHS | {ledgers.HOLDOUT: ledgers.HELD}
    for path, content in contents.items():
        (place / path).parent.mkdir(exist_ok=True)
        (place / path).write_bytes(content)
    month = next(iter(ledgers.MONTHS))
    acts = {
        name: partial(bench.wall, place, MLGIT, "lineage", path, "--json")
        for name, path in (("month", month), ("holdout", ledgers.HOLDOUT))
    }
    acts["month"]()  # the index is made once
    values = take_turns(acts, 5 if bench.quick else 9)
    act = f"`mlgit lineage` of a file, {RUNS:,} runs, of which"
    yield Line(f"{act} {-(-RUNS // len(ledgers.MONTHS))} used it", "s", values["month"], 0.4)
    yield Line(f"{act} all used it", "s", values["holdout"])
    yield from _verifying(bench)


def _verifying(bench: Bench) -> Iterator[Line]:
    runs = 1_000
    bench.say(f"{runs:,} runs that log data and a model")
    place = ledgers.make(bench.folder("verify"), 0)
    with bench.workers(place, ("mlgit",)) as (own,):
        own.ask("data_runs", runs)
    acts = {
        "known": partial(bench.wall, place, MLGIT, "verify"),
        "rehashed": partial(bench.wall, place, MLGIT, "verify", "--rehash"),
    }
    acts["known"]()
    values = take_turns(acts, 3 if bench.quick else 5)
    yield Line(f"`mlgit verify`, {runs:,} runs", "s", values["known"], 5)
    yield Line("the same with `--rehash`", "s", values["rehashed"])
