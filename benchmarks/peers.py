"""What mlgit is measured beside: stores of MLflow, repositories of DVC.

MLflow would need an hour to save 10,000 runs. A store of many is made of copies of one
run that MLflow saved, with the params, metrics and tags that our ledgers have.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import uuid
from functools import partial
from pathlib import Path

import ledgers
from bench import PROGRAMS, PYTHON, Bench, git

FILES, SQLITE, DVC = "MLflow, files", "MLflow, sqlite", "DVC"
TRAIN = Path(__file__).with_name("train.py")
URIS = {FILES: "file://{}/mlruns", SQLITE: "sqlite:///{}/mlflow.db"}

Tool = tuple[str, ...]  # what follows `python train.py`


def mlflow(bench: Bench, runs: int = 1) -> dict[str, Tool]:
    """Returns MLflow's tools by name, each with a new store of so many runs, one at least."""
    found: dict[str, Tool] = {}
    for name, uri in URIS.items():
        template = bench.scratch / f"template-{name.rpartition(' ')[2]}"
        if name not in bench.missing and not template.exists():
            # Making the tables of a database takes MLflow seconds; it does so once.
            template.mkdir()
            command = (PYTHON, TRAIN, "--once", "mlflow", uri.format(template))
            bench.attempt(name, partial(bench.wall, template, *command))
        if name not in bench.missing:
            place = bench.folder("mlflow")
            shutil.copytree(template, place)
            _move(template, place)
            if runs > 1:
                bench.say(f"{name}: a store of {runs:,} runs")
                (_fill_files if name == FILES else _fill_sqlite)(place, runs)
            found[name] = ("mlflow", uri.format(place))
    return found


def _move(template: Path, place: Path) -> None:
    """Has a copied store know where it lies now."""
    for file in place.glob("mlruns/**/meta.yaml"):
        file.write_text(file.read_text().replace(str(template), str(place)))
    if (place / "mlflow.db").exists():
        with contextlib.closing(sqlite3.connect(place / "mlflow.db")) as store, store:
            for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
                change = f"update {table} set {column} = replace({column}, ?, ?)"
                store.execute(change, (str(template), str(place)))


def place_of(tool: Tool) -> Path:
    """Returns the folder of a store of MLflow."""
    return Path(tool[1].partition("://")[2].replace("//", "/")).parent


def experiment(tool: Tool) -> str:
    """Returns the id of the experiment that holds a store's runs."""
    folders = {run.parents[1].name for run in place_of(tool).glob("mlruns/*/*/params")}
    return folders.pop() if folders else "1"


def _fill_files(place: Path, runs: int) -> None:
    (params,) = (place / "mlruns").glob("*/*/params")
    template = params.parent
    about = (template / "meta.yaml").read_text()
    for number in range(runs):
        logged = ledgers.contents(number)
        # YAML reads an unquoted id of digits only as a number: a letter leads.
        run = template.with_name(f"f{uuid.uuid4().hex[1:]}")
        shutil.copytree(template, run)
        (run / "meta.yaml").write_text(about.replace(template.name, run.name))
        for key, value in logged.params.items():
            (run / "params" / key).write_text(str(value))
        for key, number_ in logged.metrics.items():
            stamp = (template / "metrics" / key).read_text().split()[0]
            (run / "metrics" / key).write_text(f"{stamp} {number_!r} 0\n")
        for key, text in logged.tags.items():
            (run / "tags" / key).write_text(text)
    shutil.rmtree(template)


def _fill_sqlite(place: Path, runs: int) -> None:
    with contextlib.closing(sqlite3.connect(place / "mlflow.db")) as store, store:
        store.row_factory = sqlite3.Row
        tables = ("runs", "params", "metrics", "latest_metrics", "tags")
        template = {
            table: list(map(dict, store.execute(f"select * from {table}"))) for table in tables
        }
        for table in tables:
            store.execute(f"delete from {table}")
        for number in range(runs):
            logged = ledgers.contents(number)
            own = {
                "params": {key: str(value) for key, value in logged.params.items()},
                "metrics": logged.metrics,
                "latest_metrics": logged.metrics,
                "tags": logged.tags,
            }
            run = uuid.uuid4().hex
            for table in tables:
                for row in template[table]:
                    changed = {**row, "run_uuid": run}
                    if row.get("key") in own.get(table, {}):
                        changed["value"] = own[table][row["key"]]
                    marks = ", ".join("?" * len(changed))
                    names = ", ".join(f'"{name}"' for name in changed)
                    store.execute(
                        f"insert into {table} ({names}) values ({marks})", list(changed.values())
                    )


def dvc(bench: Bench) -> Path | None:
    """Returns a repository of DVC's that holds params and metrics; None if it cannot be made."""
    if DVC in bench.missing:
        return None
    place = ledgers.make(bench.folder("dvc"), 0)
    (place / "dvc.yaml").write_text("params:\n- params.yaml\nmetrics:\n- metrics.json\n")
    (place / "params.yaml").write_text("lr: 0.05\nseed: 0\n")
    (place / "metrics.json").write_text('{"rmse": 7.0}')
    program = PROGRAMS / "dvc"
    if not bench.attempt(DVC, partial(bench.wall, place, program, "init", "--quiet")):
        return None
    for name in ("core.analytics", "core.check_update"):
        bench.wall(place, program, "config", name, "false")
    git(place, "add", ".")
    git(place, "commit", "--quiet", "--message", "dvc")
    return place
