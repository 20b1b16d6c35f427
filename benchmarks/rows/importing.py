"""Importing, over bare Python; and what is imported with it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import ledgers
from bench import MS, PYTHON, Bench, take_turns
from report import Line

UNWANTED = ("click", "dvc", "altair", "jinja2")


def rows(bench: Bench) -> Iterator[Line]:
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
    place = ledgers.make(bench.folder("importing"), 0)
    with bench.workers(place, ("mlgit",)) as (own,):
        own.ask("small_run")
        loaded = own.ask("loaded", UNWANTED)
    yield Line(f"of {', '.join(UNWANTED)} a run loads", "", [len(loaded)], 0, {}, "size")


def _python(bench: Bench, code: str) -> float:
    return bench.wall(bench.scratch, PYTHON, "-c", code)
