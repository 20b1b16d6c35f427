"""What a run with 300 metric points takes on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import ledgers
import peers
from bench import KB, Bench, git
from report import Line


def rows(bench: Bench) -> Iterator[Line]:
    runs, others = (60, 5) if bench.quick else (200, 20)
    place = ledgers.make(bench.folder("storing"), 0)
    stores = peers.mlflow(bench)
    objects = place / ".git" / "objects"
    with bench.workers(place, ("mlgit",), *stores.values()) as (own, *workers):
        own.ask("long_runs", 1, 300)
        git(place, "gc", "--quiet")
        before = _disk(objects)
        git(place, "config", "gc.auto", "0")
        own.ask("long_runs", runs, 300)
        loose = (_disk(objects) - before) / runs
        git(place, "gc", "--quiet")
        packed = (_disk(objects) - before) / runs
        values = {}
        for (name, tool), worker in zip(stores.items(), workers, strict=True):
            folder = peers.place_of(tool)
            worker.ask("long_runs", 1, 300)
            before = _disk(folder)
            worker.ask("long_runs", others, 300)
            values[name] = [(_disk(folder) - before) / others * KB]
    yield Line(
        "a run with 300 points on disk, after `git gc`", "kB", [packed * KB], 5, values, "size"
    )
    yield Line("the same before `git gc`", "kB", [loose * KB], None, values, "size")


def _disk(folder: Path) -> int:
    """Returns the bytes that a folder takes on the disk, in whole blocks."""
    return sum(
        os.lstat(os.path.join(above, name)).st_blocks * 512
        for above, folders, files in os.walk(folder)
        for name in (*folders, *files)
    )
