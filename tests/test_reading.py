"""Runs read back in Python: lists, single runs, histories, artifacts, tables."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import git

import mlgit
from mlgit import MlgitError, MlgitWarning, NotFound, QueryError, names, records, saved
from mlgit.data import store
from mlgit.ledger import Ledger, append, open_repository
from mlgit.records import history


@pytest.fixture
def ledger(repo: Path) -> Path:
    """Four runs: churn/a, churn/b, churn/c (failed), and one of the experiment default."""
    for name, rmse, depth in (("a", 3.0, 6), ("b", 1.0, 8), ("c", 2.0, 6)):
        with mlgit.start_run("churn", name, capture=(), params={"depth": depth}) as run:
            run.log_metrics({"rmse": rmse * 2})
            run.log_metrics({"rmse": rmse})
            run.set_tag("team", "growth" if name == "a" else "risk")
            if name == "c":
                run.end("failed")
    with mlgit.start_run(capture=["packages"], params={"net": {"layers": [1, 2]}}) as run:
        run.log_text("hello", "notes/a.txt")
        run.log_metric("loss", math.nan)
    return repo


def listed(*arguments: Any, **options: Any) -> list[str | None]:
    return [run.name for run in mlgit.runs(*arguments, **options)]


def test_lists(ledger: Path) -> None:
    assert listed() == [None, "c", "b", "a"]
    assert listed(limit=2) == [None, "c"]
    assert listed("metrics.rmse < 3") == ["c", "b"]
    assert listed("params.depth = 6 and tags.team = 'risk'") == ["c"]
    assert listed(sort="metrics.rmse", limit=2) == ["b", "c"]
    assert listed("name is not null", "-metrics.rmse") == ["a", "c", "b"]
    assert listed(experiment="churn", limit=1) == ["c"]
    assert listed("status = failed") == ["c"]
    assert listed("metrics.rmse > 100") == []


def test_lists_that_cannot_be_made(ledger: Path) -> None:
    with pytest.raises(QueryError):
        mlgit.runs("metrics.rmse <")
    with pytest.raises(QueryError):
        mlgit.runs(sort="-")
    with pytest.raises(NotFound, match="no experiment 'chrun'") as told:
        mlgit.runs(experiment="chrun")
    assert "did you mean churn?" in str(told.value.hint)


def test_before_the_first_run(repo: Path) -> None:
    for read in (mlgit.runs, mlgit.experiments, lambda: mlgit.get_run("@latest")):
        with pytest.raises(NotFound, match="no runs in this repository yet"):
            read()
    with pytest.raises(mlgit.NotARepository):
        mlgit.runs(repository=repo.parent)


def test_one_run_by_whatever_names_it(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newest, _, second, first = mlgit.runs()
    for name in (second.id, second.id[:14], second.id.upper(), "b", "@best:metrics.rmse"):
        assert mlgit.get_run(name).id == second.id
    assert mlgit.get_run("@latest").id == newest.id
    assert mlgit.get_run("@best:-metrics.rmse").id == first.id
    with pytest.raises(NotFound, match="there is no run 'd'"):
        mlgit.get_run("d")
    monkeypatch.chdir(ledger.parent)
    assert mlgit.get_run("b", repository=ledger).id == second.id


def test_what_a_run_tells(ledger: Path) -> None:
    run = mlgit.get_run("a")
    assert repr(run) == f"<mlgit run {run.id} of churn/a: finished>"
    assert (run.experiment, run.name, run.status, run.note) == ("churn", "a", "finished", None)
    assert run.started == run.record.started and run.started.endswith("Z")
    assert run.duration is not None and 0 <= run.duration < 60
    assert (run.params, run.tags, run.metrics) == ({"depth": 6}, {"team": "growth"}, {"rmse": 3.0})
    assert (run.record.metrics["rmse"].max, run.record.metrics["rmse"].count) == (6.0, 2)
    run.params["depth"] = run.metrics["rmse"] = run.tags["team"] = 0  # type: ignore[assignment]
    assert (run.params, run.tags, run.metrics) == ({"depth": 6}, {"team": "growth"}, {"rmse": 3.0})


def test_a_history(ledger: Path) -> None:
    points = mlgit.get_run("a").history("rmse")
    assert [(point.step, point.value) for point in points] == [(0, 6.0), (1, 3.0)]
    assert all(0 <= point.time < 60 for point in points)
    with pytest.raises(NotFound, match="has no metric 'rsme'") as told:
        mlgit.get_run("a").history("rsme")
    assert told.value.hint == "it has rmse"
    assert str(mlgit.get_run("@latest").history("loss")[0].value) == "nan"


def test_artifacts_and_environment(ledger: Path) -> None:
    run = mlgit.get_run("@latest")
    assert run.artifacts() == ["notes/a.txt"] and run.read("notes/a.txt") == b"hello"
    with pytest.raises(NotFound, match=r"no artifact 'b\.txt'") as told:
        run.read("b.txt")
    assert told.value.hint == "it has notes/a.txt"
    environment = run.environment()
    assert environment and environment["packages"]["pytest"] == pytest.__version__
    assert mlgit.get_run("a").environment() is None
    with pytest.raises(NotFound) as told:
        mlgit.get_run("a").read("b.txt")
    assert told.value.hint == "it has none"


def test_later_facts_are_folded_in(ledger: Path) -> None:
    repository = open_repository(ledger)
    run_id = mlgit.get_run("a").id
    before = mlgit.get_run(run_id)
    saved.annotate(repository, [run_id], "note", {"text": "the best"})
    saved.annotate(repository, [run_id], "rename", {"name": "winner"})
    saved.annotate(repository, [run_id], "untag", {"key": "team"})
    run = mlgit.get_run("winner")
    assert (run.id, run.note, run.tags) == (run_id, "the best", {})
    assert (before.name, before.note) == ("a", None)
    saved.annotate(repository, [run_id], "delete", {})
    assert listed(experiment="churn") == ["c", "b"]
    assert listed(deleted=True) == ["winner"]
    assert mlgit.get_run(run_id).record.deleted


def test_experiments(ledger: Path) -> None:
    assert [(found.name, found.runs) for found in mlgit.experiments()] == [
        ("default", 1),
        ("churn", 3),
    ]
    repository = open_repository(ledger)
    saved.annotate_experiment(repository, "churn", "rename", {"name": "attrition"})
    saved.annotate_experiment(repository, "churn", "describe", {"text": "who leaves"})
    _, renamed = mlgit.experiments()
    assert (renamed.name, renamed.description, renamed.runs) == ("attrition", "who leaves", 3)
    assert listed(experiment="attrition") == listed(experiment="churn") == ["c", "b", "a"]
    assert mlgit.get_run("a").experiment == "attrition"


def test_a_record_that_cannot_be_read_is_left_out(ledger: Path) -> None:
    run_id = names.new_id()
    content = {names.run_file(run_id, names.RUN_FILE): b'{"format": 1, "id": "x"}'}
    append(open_repository(ledger), content, "damage\n")
    for limit in (None, 3):
        with pytest.warns(MlgitWarning, match=rf"{run_id}/run\.json is damaged") as told:
            assert listed(limit=limit) == [None, "c", "b", "a"][:limit]
        assert told[0].filename == __file__
    with pytest.raises(mlgit.Unreadable, match="damaged"):
        mlgit.get_run(run_id)


def test_a_long_history_that_is_elsewhere(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "HISTORY_LIMIT", 1000)
    monkeypatch.setattr(history, "REDUCED_POINTS", 20)
    with mlgit.start_run(capture=()) as run:
        for step in range(500):
            run.log_metric("loss", -5 if step == 333 else 99 if step == 111 else step / 500)
    found = mlgit.get_run(run.id)
    assert [point.step for point in found.history("loss")] == [*range(500)]
    assert found.artifacts() == []
    (pointer,) = found.record.outputs
    data = ledger / ".git/mlgit/data"
    assert store.load(data, pointer.md5)
    for file in data.rglob(pointer.md5[2:]):
        file.unlink()
    reduced = found.history("loss")  # what the branch itself has
    assert len(reduced) <= 20
    assert {-5, 99} < {point.value for point in reduced}
    assert (reduced[0].step, reduced[-1].step) == (0, 499)


def test_in_a_clone(ledger: Path, tmp_path: Path) -> None:
    git("clone", "--quiet", ledger, tmp_path / "clone")
    assert listed(repository=tmp_path / "clone") == [None, "c", "b", "a"]
    with mlgit.start_run(name="d", repository=tmp_path / "clone", capture=()):
        pass
    assert listed(repository=tmp_path / "clone", limit=1) == ["d"]
    with Ledger(ledger) as opened:
        assert len(saved.select(opened)) == 4


# --- tables --------------------------------------------------------------------------


def test_rows_of_a_table(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = ModuleType("pandas")
    pandas.DataFrame = lambda rows: rows  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    first, *_, last = mlgit.runs().to_pandas()
    assert last["id"] == mlgit.get_run("a").id and last["user"] == "Ada Example"
    assert (last["params.depth"], last["metrics.rmse"], last["tags.team"]) == (6, 3.0, "growth")
    assert first["params.net"] == {"layers": [1, 2]}


def test_a_data_frame(ledger: Path) -> None:
    pytest.importorskip("pandas", reason="pip install pandas")
    frame = mlgit.runs(experiment="churn").to_pandas()
    assert frame.sort_values("metrics.rmse")["name"].tolist() == ["b", "c", "a"]
    assert frame["params.depth"].tolist() == [6, 8, 6]
    assert mlgit.Runs().to_pandas().empty


def test_without_pandas(ledger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MlgitError, match="pandas is not installed") as told:
        mlgit.runs().to_pandas()
    assert told.value.hint == "pip install pandas"


def test_what_is_stored_is_what_is_read(ledger: Path) -> None:
    run = mlgit.get_run("a")
    stored = git("show", f"mlgit:{names.run_file(run.id, names.RUN_FILE)}")
    assert records.load_run(stored.encode()) == run.record
