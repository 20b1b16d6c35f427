"""Runs as people meet them: saved, listed, found by any name, annotated, read back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import add_runs, git, make_run

from mlgit import names, query, records, saved
from mlgit.errors import Invalid, NotFound, QueryError, Unreadable
from mlgit.ledger import Ledger, append, open_repository
from mlgit.records import Metric, Points, Run
from mlgit.records import history as histories

BEGIN = 1_767_225_600_000  # 2026-01-01


@pytest.fixture
def ledger(repo: Path) -> Iterator[Ledger]:
    with Ledger(repo) as ledger:
        yield ledger


def metric(value: float) -> Metric:
    return Metric(last=value, min=value, max=value, step=0, count=1)


def points(count: int, value: float = 0.5) -> Points:
    return Points(list(range(count)), list(range(count)), [value] * count)


def show(path: str) -> bytes:
    return git("show", f"mlgit:{path}").encode(errors="surrogateescape")


def annotate(run_id: str, kind: str, **data: Any) -> None:
    saved.annotate(open_repository(), [run_id], kind, data)


# --- saving -------------------------------------------------------------------------------


def test_a_run_is_one_commit_with_all_its_files(repo: Path, ledger: Ledger) -> None:
    head = git("rev-parse", "HEAD").strip()
    run = make_run(name="baseline", metrics={"rmse": metric(6.7412345), "system/cpu": metric(1)})
    environment = {"python": "3.11", "packages": {"numpy": "2"}}
    history = {"rmse": points(3)}
    files = {"a/b.txt": b"text", "c.bin": b"\0\xff"}
    commit = saved.save(ledger.repository, run, history, environment, files, head)
    folder = names.run_folder(run.id)
    digest = hashlib.sha256(records.canonical(environment)).hexdigest()
    listing = git("ls-tree", "-r", "--name-only", commit).splitlines()
    inside = ("files/a/b.txt", "files/c.bin", "metrics.json", "run.json")
    assert listing == sorted(
        [
            *(".dvcignore", f"environments/{digest}.json", "mlgit.json"),
            *(f"{folder}/{name}" for name in inside),
        ]
    )
    assert git("log", "-1", "--format=%P %B", commit).split("\n") == [
        f"{git('rev-parse', commit + '^1').strip()} {head} "
        f"run {run.id[:10]} finished: exp/baseline rmse=6.74123",
        "", f"Mlgit-Run: {run.id}", "Mlgit-Experiment: exp", "", "",
    ]  # fmt: skip
    (found,) = saved.select(ledger)
    assert found.environment == digest and found.name == "baseline"
    assert saved.environment(ledger, found) == environment
    assert saved.history(ledger, found) == history
    assert saved.artifacts(ledger, found) == files


def test_environments_are_shared(repo: Path, ledger: Ledger) -> None:
    for _ in range(3):
        saved.save(ledger.repository, make_run(), {}, {"python": "3.11"})
    assert git("ls-tree", "-r", "--name-only", "mlgit").count("environments/") == 1


def test_a_long_history_goes_whole_to_the_data_store(repo: Path, ledger: Ledger) -> None:
    whole = {"loss": points(90_000), "one": points(1)}
    whole["loss"].value[4567] = 99.0
    run = make_run()
    saved.save(ledger.repository, run, whole)
    (found,) = saved.select(ledger)
    (pointer,) = found.outputs
    assert (pointer.kind, pointer.stored) == ("history", "dvc")
    assert saved.history(ledger, found) == whole
    (stored,) = (repo / ".git" / "mlgit" / "data").rglob(pointer.md5[2:])
    stored.chmod(0o644)
    stored.write_bytes(b"x" * stored.stat().st_size)
    with pytest.raises(Unreadable, match="altered"):
        saved.history(ledger, found)
    stored.unlink()
    reduced = saved.history(ledger, found)
    assert reduced["loss"].reduced and len(reduced["loss"]) <= 1000
    assert max(reduced["loss"].value) == 99.0
    assert reduced["one"] == whole["one"]


def test_more_metrics_than_outlines_fit(
    repo: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The branch then keeps no points; the data store keeps all."""
    monkeypatch.setattr(histories, "HISTORY_LIMIT", 2000)
    monkeypatch.setattr(saved, "_PACKED_LIMIT", 1000)
    whole = {f"a metric with a long name, number {n}": points(5) for n in range(20)}
    saved.save(ledger.repository, make_run(), whole)
    (found,) = saved.select(ledger)
    assert show(names.run_file(found.id, "metrics.json")) == b"{}\n"
    assert saved.history(ledger, found) == whole


def test_what_no_reader_would_take_is_not_written(repo: Path, ledger: Ledger) -> None:
    run = make_run(params={"text": "x" * (9 << 20)})
    with pytest.raises(Invalid, match="the record of the run has 9,4"):
        saved.save(ledger.repository, run, {})
    with pytest.raises(Invalid, match="the record of the environment"):
        saved.save(ledger.repository, make_run(), {}, {"text": "x" * (5 << 20)})
    assert not ledger.exists


@pytest.mark.parametrize(
    "text", ["bell\x07 and\x1b[31m\0", "two\nlines", "x" * 500, "ünï\u202e", ""]
)
def test_notes_do_not_break_the_log(repo: Path, text: str) -> None:
    (run_id,) = add_runs(repo, make_run())
    annotate(run_id, "note", text=text)
    subject = git("log", "-1", "--format=%s", "mlgit").rstrip("\n")
    assert subject.startswith(f"note run {run_id[:10]}")
    assert len(subject) < 100 and subject.isprintable()
    git("fsck", "--strict", "--no-dangling")
    with Ledger() as ledger:
        assert saved.select(ledger)[0].note == (text or None)


def test_several_runs_at_once(repo: Path, ledger: Ledger) -> None:
    ids = add_runs(repo, *(make_run() for _ in range(5)))
    saved.annotate(ledger.repository, ids[:3], "tag", {"key": "keep", "value": "yes"})
    assert git("rev-list", "--count", "mlgit").strip() == "3"
    assert git("log", "-1", "--format=%s", "mlgit") == "tag 3 runs: keep=yes\n"
    assert {run.id for run in saved.select(ledger, "tags.keep = yes")} == {*ids[:3]}


# --- selecting -------------------------------------------------------------------------------


@pytest.fixture
def some(repo: Path) -> list[str]:
    """Six runs a day apart, the oldest first: scores 3 0 4 1 5 2, the last without; one deleted."""
    scores = [3, 0, 4, 1, 5, None]
    runs = [
        make_run(
            BEGIN + number * 86_400_000, name=f"run {number}", experiment="ab"[number % 2],
            params={"n": number}, metrics={} if score is None else {"score": metric(score)},
        )
        for number, score in enumerate(scores)
    ]  # fmt: skip
    ids = add_runs(repo, *runs)
    annotate(ids[2], "delete")
    return ids


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, [5, 4, 3, 1, 0]),
        ({"limit": 2}, [5, 4]),
        ({"limit": 0}, []),
        ({"limit": 99}, [5, 4, 3, 1, 0]),
        ({"deleted": True}, [2]),
        ({"deleted": True, "limit": 1}, [2]),
        ({"where": "params.n >= 1"}, [5, 4, 3, 1]),
        ({"where": "params.n >= 1", "limit": 2}, [5, 4]),
        ({"where": "metrics.score > 2", "deleted": True}, [2]),
        ({"sort": "metrics.score"}, [1, 3, 0, 4, 5]),
        ({"sort": "-metrics.score"}, [4, 0, 3, 1, 5]),
        ({"sort": "-metrics.score", "limit": 1}, [4]),
        ({"sort": "experiment, -started"}, [4, 0, 5, 3, 1]),
        ({"sort": "id", "where": "experiment = a"}, [0, 4]),
        ({"experiment": "b"}, [5, 3, 1]),
        ({"experiment": "b", "limit": 2}, [5, 3]),
        ({"experiment": "a", "where": "metrics.score < 4", "sort": "metrics.score"}, [0]),
        ({"where": "name = 'run 3' or id = 'zzzz'"}, [3]),
    ],
)
def test_select(some: list[str], ledger: Ledger, how: dict[str, Any], expected: list[int]) -> None:
    for _ in range(2):  # with the index made, and then present
        assert [some.index(run.id) for run in saved.select(ledger, **how)] == expected
        ledger.reload()


def test_the_newest_of_many_that_are_deleted(repo: Path, ledger: Ledger) -> None:
    """They are read in batches; at no seam is a run lost."""
    ids = add_runs(repo, *(make_run(BEGIN + number) for number in range(100)))[::-1]
    gone = [run_id for number, run_id in enumerate(ids) if number % 7]
    saved.annotate(ledger.repository, gone, "delete", {})
    for limit in (1, 2, 3, 10, 15):
        assert [run.id for run in saved.select(ledger, limit=limit)] == ids[::7][:limit]
        deleted = saved.select(ledger, limit=limit, deleted=True)
        assert [run.id for run in deleted] == gone[:limit]


def test_select_refuses(some: list[str], ledger: Ledger) -> None:
    with pytest.raises(QueryError):
        saved.select(ledger, "params.n >")
    with pytest.raises(NotFound, match="there is no experiment 'c'"):
        saved.select(ledger, experiment="c")


def test_nothing_there(repo: Path, ledger: Ledger) -> None:
    for read in (saved.select, saved.list_experiments, lambda here: saved.find(here, "@latest")):
        with pytest.raises(NotFound, match="there are no runs in this repository yet"):
            read(ledger)
    append(ledger.repository, {}, "begin")
    assert saved.select(ledger) == saved.select(ledger, limit=1) == []
    assert saved.list_experiments(ledger) == []
    with pytest.raises(NotFound, match="no run answers to @latest"):
        saved.find(ledger, "@latest")


def test_what_a_ledger_sees_stays_until_it_is_reloaded(some: list[str], ledger: Ledger) -> None:
    seen = [run.id for run in saved.select(ledger)]
    new = add_runs(ledger.repository.start, make_run(params={"n": 9}))
    for how in ({}, {"limit": 99}, {"where": "params.n >= 0"}):
        assert [run.id for run in saved.select(ledger, **how)] == seen  # type: ignore[arg-type]
    ledger.reload()
    assert [run.id for run in saved.select(ledger)] == new + seen


# --- finding one -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("{4}", 4), ("{4:.12}", 4), ("{2}", 2), ("run 3", 3), ("@latest", 5), ("RUN 3", None),
        ("@best:metrics.score", 1), ("@best:-metrics.score", 4), ("@best:duration", 5),
        ("@best:-params.n", 5), ("@best:metrics.none", None), ("@best", None), ("@best:", None),
        ("@best: ", None), ("@newest", None), ("@", None), ("", None), ("zzzz", None),
    ],
)  # fmt: skip
def test_find(some: list[str], ledger: Ledger, name: str, expected: int | None) -> None:
    name = name.format(*some)
    if expected is None:
        with pytest.raises(NotFound) as caught:
            saved.find(ledger, name)
        assert caught.value.hint
    else:
        assert some.index(saved.find(ledger, name).id) == expected
        assert some.index(saved.find(ledger, name.upper() if name in some else name).id) == expected


def test_the_best_has_finished_with_a_finite_value(repo: Path, ledger: Ledger) -> None:
    runs = [
        make_run(status="failed", metrics={"loss": metric(0.1), "late": metric(1.0)}),
        make_run(status="interrupted", metrics={"loss": metric(9.0)}),
        make_run(metrics={"loss": metric(float("-inf")), "odd": metric(float("nan"))}),
        make_run(metrics={"loss": metric(float("nan"))}),
        make_run(metrics={"loss": metric(2.0)}, params={"model": "nan"}),
        make_run(metrics={"loss": metric(3.0)}),
    ]
    ids = add_runs(repo, *runs)
    for name, expected in (
        *(("@best:metrics.loss", 4), ("@best:-metrics.loss", 5), ("@best:metrics.loss.max", 4)),
        *(("@best:params.model", 4), ("@best:id", 2), ("@best:status, -id", 5)),
    ):
        assert ids.index(saved.find(ledger, name).id) == expected, name
    for key in ("metrics.late", "metrics.odd"):
        with pytest.raises(NotFound) as caught:
            saved.find(ledger, f"@best:-{key}")
        assert caught.value.message == f"no run has finished with a finite {key}"
        assert caught.value.hint == f"those that have one: mlgit log --where {key}"
    with pytest.raises(NotFound, match=r"^no run has metrics\.none\n"):
        saved.find(ledger, "@best:metrics.none")


def test_prefixes(repo: Path, ledger: Ledger) -> None:
    """Four characters do if they are enough; days far apart are looked through too."""
    times = [BEGIN, BEGIN + 1, BEGIN + 86_400_000, BEGIN + 3000 * 86_400_000]
    ids = add_runs(repo, *(make_run(ms) for ms in times))
    assert saved.find(ledger, ids[3][:4]).id == ids[3]
    assert saved.find(ledger, ids[1][:10]).id == ids[1]
    with pytest.raises(NotFound, match="3 runs begin with") as caught:
        saved.find(ledger, ids[0][:4])
    assert all(run_id in (caught.value.hint or "") for run_id in ids[:3])
    for text in (ids[3][:3], ids[3][:25] + "!", f"{ids[3]}0"):
        with pytest.raises(NotFound, match="there is no run"):
            saved.find(ledger, text)


def test_names_that_several_have(repo: Path, ledger: Ledger) -> None:
    runs = [make_run(name="same") for _ in range(8)]
    ids = add_runs(repo, *runs, make_run(name="other"), make_run(name=runs[0].id[:5]))
    with pytest.raises(NotFound, match="8 runs are named 'same'") as caught:
        saved.find(ledger, "same")
    assert f"{ids[7]}, {ids[6]}" in (caught.value.hint or "")
    assert "and 3 more" in (caught.value.hint or "")
    saved.annotate(ledger.repository, ids[:7], "delete", {})
    ledger.reload()
    assert saved.find(ledger, "same").id == ids[7], "the others are deleted"
    annotate(ids[7], "delete")
    annotate(ids[8], "rename", name="better")
    ledger.reload()
    with pytest.raises(NotFound, match="8 runs are named"):
        saved.find(ledger, "same")
    assert saved.find(ledger, "better").id == ids[8]
    with pytest.raises(NotFound, match="there is no run 'othe'") as caught:
        saved.find(ledger, "othe")
    with pytest.raises(NotFound, match="no run 'bettre'") as caught:
        saved.find(ledger, "bettre")
    assert caught.value.hint == "did you mean better?"


def test_names_in_either_unicode_form(repo: Path, ledger: Ledger) -> None:
    """A Mac's file names and keyboards may give the decomposed form."""
    add_runs(repo, make_run(name="größe", experiment="größe"))
    decomposed = "gro\u0308ße"
    assert saved.find(ledger, decomposed).name == "größe"
    assert len(saved.select(ledger, experiment=decomposed)) == 1
    assert saved.find_experiment(ledger, decomposed) == ["größe"]


# --- experiments -------------------------------------------------------------------------------


def names_of(ledger: Ledger, **how: Any) -> list[tuple[str, int, bool]]:
    ledger.reload()
    return [(e.name, e.runs, e.deleted) for e in saved.list_experiments(ledger, **how)]


def said(ledger: Ledger, experiment: str, kind: str, **content: str) -> None:
    saved.annotate_experiment(ledger.repository, experiment, kind, content)


def test_an_experiment_renamed(some: list[str], ledger: Ledger) -> None:
    said(ledger, "a", "rename", name="new/name")
    assert names_of(ledger) == [("b", 3, False), ("new/name", 2, False)]
    for name in ("new/name", "a"):
        found = saved.select(ledger, experiment=name)
        assert [(some.index(run.id), run.experiment) for run in found] == [
            (4, "new/name"),
            (0, "new/name"),
        ]
        assert saved.find_experiment(ledger, name) == ["a"]
    assert len(saved.select(ledger, "experiment = 'new/name'")) == 2
    assert saved.select(ledger, "experiment = a") == []
    assert saved.find(ledger, some[0]).experiment == "new/name"
    add_runs(ledger.repository.start, make_run(experiment="a"))
    assert names_of(ledger) == [("new/name", 3, False), ("b", 3, False)]


def test_an_experiment_renamed_into_another(some: list[str], ledger: Ledger) -> None:
    said(ledger, "a", "rename", name="b")
    assert names_of(ledger) == [("b", 5, False)]
    assert saved.find_experiment(ledger, "b") == ["a", "b"]
    assert len(saved.select(ledger, experiment="a")) == 5


def test_an_experiment_deleted(some: list[str], ledger: Ledger) -> None:
    """What was logged until then is hidden; what is logged later is shown."""
    said(ledger, "a", "describe", text="about a")
    said(ledger, "a", "delete")
    assert names_of(ledger) == [("b", 3, False)]
    assert names_of(ledger, deleted=True) == [("b", 3, False), ("a", 0, True)]
    for how in ({}, {"limit": 9}, {"where": "params.n >= 0"}, {"sort": "-id"}):
        assert [some.index(r.id) for r in saved.select(ledger, **how)] == [5, 3, 1]  # type: ignore[arg-type]
        gone = saved.select(ledger, **how, deleted=True)  # type: ignore[arg-type]
        assert [some.index(r.id) for r in gone] == [4, 2, 0]
    assert saved.select(ledger, experiment="a") == []
    assert saved.find(ledger, "@latest").id == some[5]
    (new,) = add_runs(ledger.repository.start, make_run(experiment="a"))
    assert names_of(ledger) == [("a", 1, False), ("b", 3, False)]
    assert [run.id for run in saved.select(ledger, experiment="a")] == [new]
    said(ledger, "a", "restore")
    assert names_of(ledger) == [("a", 3, False), ("b", 3, False)]
    (summary, _) = saved.list_experiments(ledger)
    assert summary.description == "about a"


def test_an_experiment_without_runs(some: list[str], ledger: Ledger) -> None:
    said(ledger, "planned", "describe", text="for next week")
    said(ledger, "planned", "tag", key="team", value="growth")
    assert names_of(ledger)[-1] == ("planned", 0, False)
    summary = saved.list_experiments(ledger)[-1]
    assert (summary.description, summary.tags, summary.latest) == (
        "for next week", {"team": "growth"}, None,
    )  # fmt: skip
    assert saved.find_experiment(ledger, "planned") == ["planned"]
    with pytest.raises(NotFound, match="no experiment 'plannde'") as caught:
        saved.find_experiment(ledger, "plannde")
    assert "planned" in (caught.value.hint or "")


# --- what belongs to a run ------------------------------------------------------------------------


def test_history_and_artifacts_that_came_later(repo: Path, ledger: Ledger) -> None:
    run = make_run()
    saved.save(ledger.repository, run, {"a": points(2)}, files={"first.txt": b"1"})
    columns = {key: histories.to_columns(points(1, 9.0)) for key in ("a", "b")}
    annotate(run.id, "metrics", history=columns)
    md5 = hashlib.md5(b"2", usedforsecurity=False).hexdigest()
    pointer = {"path": "second.txt", "md5": md5, "size": 1, "stored": "git"}
    annotate(run.id, "artifact", pointer=pointer, base64="Mg==")
    (found,) = saved.select(ledger)
    history = saved.history(ledger, found)
    assert history["a"].value == [0.5, 0.5, 9.0] and history["b"].value == [9.0]
    assert found.metrics["a"].last == 9.0
    assert saved.artifacts(ledger, found) == {"first.txt": b"1", "second.txt": b"2"}


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("metrics", {}), ("metrics", {"history": []}), ("metrics", {"history": {"a": 1}}),
        ("metrics", {"history": {"a": {"step": [1], "time": [1], "value": ["x"]}}}),
        ("artifact", {}), ("artifact", {"base64": "%", "pointer": {"path": "a"}}),
        ("artifact", {"base64": "Mg==", "pointer": {"path": "../../outside"}}),
        ("artifact", {"base64": "Mg==", "pointer": []}), ("artifact", {"base64": 7}),
        ("rename", {"name": 7}), ("params", {"params": []}), ("unheard of", {}),
    ],
)  # fmt: skip
def test_facts_that_make_no_sense_change_nothing(
    repo: Path, ledger: Ledger, kind: str, data: dict[str, Any]
) -> None:
    run = make_run(name="kept")
    saved.save(ledger.repository, run, {"a": points(2)}, files={"first.txt": b"1"})
    annotate(run.id, kind, **data)
    (found,) = saved.select(ledger, "name = kept")
    assert saved.history(ledger, found) == {"a": points(2)}
    assert saved.artifacts(ledger, found) == {"first.txt": b"1"}


def test_environments_that_cannot_be_trusted(repo: Path, ledger: Ledger) -> None:
    digest = "a" * 64
    append(ledger.repository, {names.environment_file(digest): b"{}"}, "another content")
    with pytest.raises(Unreadable, match="was altered"):
        saved.environment(ledger, make_run(environment=digest))
    assert saved.environment(ledger, make_run(environment="b" * 64)) is None
    assert saved.environment(ledger, make_run()) is None
    for name in ("../../mlgit", "a" * 63, "A" * 64, ""):
        with pytest.raises(Unreadable, match="is no hash"):
            saved.environment(ledger, make_run(environment=name))


def test_values_of_fields() -> None:
    run = make_run(
        params={"a": {"b": {"c": 1}}, "a.b": 2}, metrics={"m": metric(0.5)}, tags={"t": "x"}
    )
    table = {
        "params.a": {"b": {"c": 1}}, "params.a.b": 2, "params.a.b.c": 1, "params.none": None,
        "metrics.m": 0.5, "metrics.m.count": 1, "metrics.none": None, "tags.t": "x",
        "tags.none": None, "experiment": "exp", "duration": 0.0, "user": "Ada Example",
    }  # fmt: skip
    assert {name: saved.value(run, query.parse_field(name)) for name in table} == table


def test_nothing_here_needs_a_work_tree(bare: Any, tmp_path: Path) -> None:
    path = bare()
    ids = add_runs(path, make_run(name="a"), make_run(name="b"))
    annotate_there = saved.annotate
    annotate_there(open_repository(path), [ids[0]], "note", {"text": "x"})
    os.chdir(tmp_path)
    with Ledger(path) as ledger:
        assert [run.note for run in saved.select(ledger, "name is not null")] == [None, "x"]
        assert isinstance(saved.find(ledger, "a"), Run)
