"""Data: hashing it and storing it, beside md5sum and DVC in process."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import ledgers
import peers
from bench import MS, Bench, Worker, percent, seconds_of, take_turns
from report import Line

BIG, SMALL = "big.bin", "small"  # names of a file and a folder
SIZE, FILES = 1_000_000_000, 10_000
ADD = "DVC, `Repo.add`"


def rows(bench: Bench) -> Iterator[Line]:
    places = {"mlgit": ledgers.make(bench.folder("data"), 0)}
    if dvc := peers.dvc(bench):
        places[ADD] = dvc
    for place in places.values():
        _fill(place)
    rounds = 3 if bench.quick else 7
    yield from _hashing(bench, places["mlgit"], rounds)
    with contextlib.ExitStack() as stack:
        workers = {}
        for name, place in places.items():
            tool = ("mlgit",) if name == "mlgit" else ("dvc",)
            (workers[name],) = stack.enter_context(bench.workers(place, tool))
            place.joinpath("first.txt").write_text("1\n")
        workers["mlgit"].ask("open")
        for worker in workers.values():
            worker.ask("store", "first.txt")  # what a process does once is not the data's
        yield from _storing(bench, BIG, places, workers, rounds)
        yield from _storing(bench, SMALL, places, workers, rounds)
        workers["mlgit"].ask("close")


def _fill(place: Path) -> None:
    (place / ".git" / "info" / "exclude").write_text(f"/{BIG}\n/{SMALL}\n")
    with (place / BIG).open("wb") as file:
        for _ in range(SIZE // 1_000_000):
            file.write(os.urandom(1_000_000))
    for number in range(FILES):
        small = place / SMALL / f"{number % 100:02}" / f"{number}.txt"
        small.parent.mkdir(parents=True, exist_ok=True)
        small.write_bytes(b"%d\n" % number * 200)


def _hashing(bench: Bench, place: Path, rounds: int) -> Iterator[Line]:
    with bench.workers(place, ("mlgit",)) as (own,):
        own.ask("hash", BIG)
        acts = {
            "mlgit": partial(own.ask, "hash", BIG),
            "md5sum": partial(bench.wall, place, "md5sum", BIG),
        }
        values = take_turns(acts, rounds)
    ours = values.pop("mlgit")
    yield Line("hashing 1 GB, one thread", "s", ours, None, values)
    speed = percent(values["md5sum"], ours)
    yield Line("the speed of that, in parts of md5sum's", "%", speed, 90, kind="rate")


def _storing(
    bench: Bench, name: str, places: dict[str, Path], workers: dict[str, Worker], rounds: int
) -> Iterator[Line]:
    what = f"{SIZE // 10**9} GB" if name == BIG else f"{FILES:,} small files"
    acts = {
        tool: partial(_store_new, worker, places[tool], name) for tool, worker in workers.items()
    }
    if name == BIG:
        acts["`md5sum`, then `cp`"] = partial(_hash_and_copy, bench, places["mlgit"])
    values = take_turns(acts, rounds)
    ours = values.pop("mlgit")
    yield Line(f"storing {what}", "s", ours, None, values)
    if ADD in values:
        yield Line("the time of that, in parts of DVC's", "%", percent(ours, values[ADD]), 100)
    acts = {
        tool: partial(seconds_of, MS, worker, "store", name) for tool, worker in workers.items()
    }
    values = take_turns(acts, rounds)
    target = 50 if name == BIG else None
    yield Line(f"storing {what} again, unchanged", "ms", values.pop("mlgit"), target, values)


def _store_new(worker: Worker, place: Path, name: str) -> float:
    """Returns the seconds in which data is stored that nobody has seen before."""
    for stored in (".git/mlgit/data", ".dvc/cache"):
        shutil.rmtree(place / stored, ignore_errors=True)
    (place / f"{name}.dvc").unlink(missing_ok=True)
    for file in (place / name, *(place / name).rglob("*.txt")):
        file.touch()  # so that it is read again
    os.sync()  # what was written before is not this act's
    return float(worker.ask("store", name))


def _hash_and_copy(bench: Bench, place: Path) -> float:
    """Returns the seconds of the least that storing a file is: hash plus disk."""
    (place / "copy.bin").unlink(missing_ok=True)
    os.sync()
    seconds = bench.wall(place, "md5sum", BIG)
    seconds += bench.wall(place, "cp", "--reflink=auto", BIG, "copy.bin")
    (place / "copy.bin").unlink()
    return seconds
