"""Repositories with a ledger of many runs, made through mlgit's own `append`.

The runs are spread over days, 300 a day. Making 100,000 takes minutes, so what is made
is kept below .cache, packed as `git gc` packs it, and copied for use. A copy gets the
newest 300 runs, which are of today and not packed, as where work is going on.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench import CACHE, git

import mlgit
from mlgit import names, records
from mlgit.ledger import append, open_repository
from mlgit.records import history

A_DAY = 300
A_COMMIT = 2000
SOURCES = 200  # files of code in the repository
MONTHS = {f"data/2021-{month:02}.csv": b"month,%d\n" % month * 500 for month in range(1, 13)}
PLAIN, DATA, CURVES, CHARTS, WIDE = "plain", "data", "curves", "charts", "wide"
CURVES_A_RUN, CHARTS_A_RUN, POINTS = 10, 40, 300
WIDE_PARAMS = 25
HOLDOUT, HELD = "data/holdout.csv", b"month,2022\n" * 500


class Contents(NamedTuple):
    """What a run logged."""

    experiment: str
    params: dict[str, Any]
    metrics: dict[str, float]
    tags: dict[str, str]


def contents(number: int) -> Contents:
    """Returns what the run of this number logged; always the same."""
    noise = random.Random(number)
    depth = noise.randint(2, 9)
    lr = round(10 ** noise.uniform(-4, -1), 6)
    rmse = noise.gauss(7.4, 0.5) - depth / 20
    return Contents(
        f"experiment-{number % 5}",
        {
            "lr": lr,
            "depth": depth,
            "batch": noise.choice([32, 64, 128, 256]),
            "optimizer": noise.choice(["adam", "sgd", "lion"]),
            "seed": number,
        },
        {"rmse": rmse, "mae": rmse * 0.68 + noise.gauss(0, 0.05), "r2": 1 - rmse / 20},
        {"team": noise.choice(["growth", "risk", "search"]), "stage": "trial"},
    )


def make(place: Path, runs: int, kind: str = PLAIN) -> Path:
    """Makes a repository with some code and a ledger of so many runs; returns its place.

    Of the kind DATA each run read one of the `MONTHS`, and the HOLDOUT, and made a model. They
    are pointers: the bytes are nowhere. Of the kinds CURVES and CHARTS each has so many curves,
    of POINTS each. Of the kind WIDE all are of one experiment, with WIDE_PARAMS more params.
    """
    now = time.time()
    today = min(A_DAY, runs)
    if runs > today:
        shutil.copytree(_packed(runs - today, kind), place, symlinks=True)
    else:
        place.mkdir(parents=True)
        git(place, "init", "--quiet")
    _write_code(place)
    if today:
        midnight = now - now % 86400
        moments = [midnight + (now - midnight) * part / today for part in range(today)]
        _append(place, enumerate(moments, runs - today), kind)
    return place


def add(place: Path, number: int, kind: str = PLAIN) -> None:
    """Appends one more run, of this moment."""
    _append(place, [(number, time.time())], kind)


def _write_code(place: Path) -> None:
    shutil.copyfile(Path(__file__).with_name("train.py"), place / "train.py")
    for number in range(SOURCES):
        file = place / f"package_{number % 10}" / f"module_{number}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"VALUE = {number}\n" * 40)
    git(place, "add", ".")
    git(place, "commit", "--quiet", "--message", "code")


def _packed(runs: int, kind: str) -> Path:
    """Returns a repository of so many runs, the last of them yesterday's; made once."""
    name = f"ledger-{runs}-{kind}"
    place = CACHE / f"{name}-{_version()}"
    if place.exists():
        return place
    for outdated in CACHE.glob(f"{name}-*"):
        shutil.rmtree(outdated)
    beside = place.with_suffix(".new")
    beside.mkdir(parents=True)
    git(beside, "init", "--quiet")
    git(beside, "config", "gc.auto", "0")
    midnight = time.time() // 86400 * 86400
    moments = (midnight - (runs - number) * 86400 / A_DAY for number in range(runs))
    _append(beside, enumerate(moments), kind)
    git(beside, "gc", "--quiet")
    git(beside, "config", "--unset", "gc.auto")
    beside.rename(place)
    return place


def _version() -> str:
    """Returns a name for how ledgers look: of this file, and of what mlgit stores."""
    root = Path(mlgit.__file__).parent
    sources = [root / "names.py", *sorted((root / "records").glob("*.py")), Path(__file__)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:10]


def _append(place: Path, moments: Iterable[tuple[int, float]], kind: str) -> None:
    repository = open_repository(place)
    files: dict[str, bytes] = {}
    count = 0
    for count, (number, moment) in enumerate(moments, 1):
        files.update(_files(number, moment, repository.person, kind))
        if not count % A_COMMIT:
            append(repository, files, f"{A_COMMIT} runs\n")
            files = {}
    if files:
        append(repository, files, f"{count % A_COMMIT} runs\n")


def _files(
    number: int, moment: float, by: records.Person, kind: str
) -> Iterator[tuple[str, bytes]]:
    """Yields the files of one run, by their paths on the branch."""
    logged = contents(number)
    points = {key: records.Points([0], [61_250], [value]) for key, value in logged.metrics.items()}
    if kind in (CURVES, CHARTS):
        points |= _curves(number, CURVES_A_RUN if kind == CURVES else CHARTS_A_RUN)
    if kind == WIDE:
        more = {f"p{part}": number * (part + 1) % 997 / 8 for part in range(WIDE_PARAMS)}
        logged = logged._replace(experiment="wide", params=logged.params | more)
    run = records.Run(
        id=names.new_id(int(moment * 1000)),
        experiment=logged.experiment,
        name=f"trial-{number}",
        status="finished" if number % 20 else "failed",
        started=names.timestamp(moment),
        ended=names.timestamp(moment + 61.5),
        by=by,
        params=logged.params,
        metrics={key: history.summary(column) for key, column in points.items()},
        tags=logged.tags,
        source=records.Source(
            commit=hashlib.sha1(b"%d" % (number // 20)).hexdigest(), branch="main", entry="train.py"
        ),
        inputs=_inputs(number) if kind == DATA else [],
        outputs=[_pointer("model", b"model %d" % number, kind="model")] if kind == DATA else [],
    )
    yield names.run_file(run.id, names.RUN_FILE), records.dump_run(run)
    yield names.run_file(run.id, names.METRICS_FILE), history.dump(points)


def _curves(number: int, count: int) -> dict[str, records.Points]:
    """Returns losses that fall, each with a noise of its own; what a training of an hour logs."""
    noise = random.Random(number)
    found = {}
    for curve in range(count):
        start, speed = noise.uniform(1, 4), noise.uniform(0.002, 0.02)
        values = [start / (1 + speed * step) + noise.gauss(0, 0.02) for step in range(POINTS)]
        steps = list(range(POINTS))
        times = [12_000 * step + noise.randint(0, 900) for step in steps]
        found[f"loss/{curve}"] = records.Points(steps, times, values)
    return found


def _inputs(number: int) -> list[records.Pointer]:
    path, content = list(MONTHS.items())[number % 12]
    return [
        _pointer(path, content, role="train", origin="file"),
        _pointer(HOLDOUT, HELD, role="test", origin="file"),
    ]


def _pointer(path: str, content: bytes, **fields: str) -> records.Pointer:
    md5 = hashlib.md5(content).hexdigest()
    return records.Pointer(path=path, md5=md5, size=len(content), stored="dvc", **fields)
