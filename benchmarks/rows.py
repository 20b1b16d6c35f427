"""The rows: one function for each kind of act, which yields lines of the table."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import ledgers
import peers
from bench import PROGRAMS, PYTHON, Bench, Failed, Worker, git, take_turns
from report import Line

US, MS, MB, KB = 1e6, 1e3, 1e-6, 1e-3  # of a second, of a byte
MLGIT = PROGRAMS / "mlgit"
BARE = "bare git"
UNWANTED = ("click", "dvc", "altair", "jinja2")
WHERE = ("--where", "metrics.rmse < 7 and params.depth = 6", "--sort", "metrics.rmse")


def logging(bench: Bench) -> Iterator[Line]:
    """Points of a run: how fast they are logged, and what a million of them costs."""
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
                    name: partial(_asked, US, tool, act, a_turn[name] // share)
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


def saving(bench: Bench) -> Iterator[Line]:
    """A small run: starting it, leaving its block, and all of it."""
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
        acts = {name: partial(_asked, MS, worker, "small_run") for name, worker in workers.items()}
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


def _asked(scale: float, worker: Worker, act: str, *arguments: object) -> float:
    """Has an act done and returns its seconds, all parts of it, in another unit."""
    answer = worker.ask(act, *arguments)
    return scale * (sum(answer) if isinstance(answer, list) else answer)


def _dvc_save(bench: Bench, place: Path, numbers: Iterator[int]) -> float:
    number = next(numbers)
    (place / "params.yaml").write_text(f"lr: 0.05\nseed: {number}\n")
    (place / "metrics.json").write_text(f'{{"rmse": {number / 1000}}}')
    return bench.wall(place, PROGRAMS / "dvc", "exp", "save", "--quiet")


def importing(bench: Bench) -> Iterator[Line]:
    """Importing, over bare Python; and what is imported with it."""
    acts = {
        "bare": "pass",
        "mlgit": "import mlgit",
        "used": "import mlgit; mlgit.start_run",
        "MLflow": "import mlflow",
        "DVC": "import dvc.api",
    }
    for name, module in (("MLflow", "mlflow"), ("DVC", "dvc")):
        # The first import also compiles what nobody compiled before.
        if not bench.attempt(name, partial(_python, bench, f"import {module}")):
            del acts[name]
    _python(bench, acts["used"])
    values = take_turns(
        {name: partial(_python, bench, code) for name, code in acts.items()},
        3 if bench.quick else 15,
    )
    bare = values.pop("bare")
    over = {
        name: [MS * (value - floor) for value, floor in zip(column, bare, strict=False)]
        for name, column in values.items()
    }
    own, used = over.pop("mlgit"), over.pop("used")
    yield Line("`import mlgit`, over bare Python", "ms", own, 80, over)
    yield Line("`import mlgit` and what logging needs, over bare Python", "ms", used, 80, over)
    test = f"import mlgit, sys; mlgit.start_run; sys.exit(len({{*{UNWANTED}}} & {{*sys.modules}}))"
    try:
        _python(bench, test)
        count = 0
    except Failed as error:
        count = int(str(error).rpartition(" ")[2])
    yield Line(f"of {', '.join(UNWANTED)} it loads", "", [count], 0, {}, "size")


def _python(bench: Bench, code: str) -> float:
    return bench.wall(bench.scratch, PYTHON, "-c", code)


def listing(bench: Bench) -> Iterator[Line]:
    """The command line over many runs, and the index beneath it."""
    targets = {10_000: (0.2, 0.3), 100_000: (0.3, 1.2)}
    for size in (10_000,) if bench.quick else (10_000, 100_000):
        bench.say(f"a ledger of {size:,} runs")
        place = ledgers.make(bench.folder("listing"), size)
        newest, searched = targets[size]
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


def searching(bench: Bench) -> Iterator[Line]:
    """A search with a condition and an order, the best 100, in a process that has its imports."""
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


def writing(bench: Bench) -> Iterator[Line]:
    """Many processes that save runs into one repository at once."""
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


def storing(bench: Bench) -> Iterator[Line]:
    """What a run with 300 metric points takes on disk."""
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


ROWS = {
    "log": logging,
    "save": saving,
    "import": importing,
    "list": listing,
    "search": searching,
    "writers": writing,
    "disk": storing,
}
