"""Starting, nesting, resuming and ending runs, and what they capture of code and machine."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest
from conftest import add_runs, git, make_run

import mlgit
from mlgit import Invalid, MlgitWarning, NotFound, WrongState, names, saved
from mlgit.ledger import Ledger, open_repository
from mlgit.records import Run
from mlgit.tracking import finish, journal, session


@pytest.fixture(autouse=True)
def no_run_is_left(repo: Path) -> Iterator[None]:
    yield
    while left := mlgit.active_run():
        left.end()
    assert not session._open
    assert journals(repo) == []


def journals(repo: Path) -> list[str]:
    return sorted(path.name for path in (repo / ".git/mlgit/live").glob("*"))


def in_child(act: Callable[[], Any]) -> int:
    """Runs `act` in a forked process that then dies without any farewell; returns its exit code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads
        child = os.fork()
    if not child:
        try:
            act()
            os._exit(0)
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}")
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def dead_run(repo: Path, act: Callable[[mlgit.ActiveRun], Any], **options: Any) -> str:
    """Returns the id of a run whose process died after `act`."""
    before = {*journals(repo)}
    assert in_child(lambda: act(mlgit.start_run(**{"capture": (), **options}))) == 0
    (name,) = {name for name in {*journals(repo)} - before if name.endswith(".jsonl")}
    return Path(name).stem


def run_script(repo: Path, code: str, *arguments: str, **options: Any) -> str:
    """Runs an untracked script and returns what it printed."""
    (repo / "script.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-W", "error", "script.py", *arguments],
        cwd=repo,
        capture_output=True,
        text=True,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- start and end -------------------------------------------------------------------


def test_a_block_is_a_run(repo: Path) -> None:
    with mlgit.start_run("churn", "baseline", params={"lr": 0.1}, tags={"team": "growth"}) as run:
        assert mlgit.active_run() is run and run.status == "running"
        assert repr(run) == f"<mlgit run {run.id} of churn/baseline: running>"
        mlgit.log_metric("loss", 0.5)
        mlgit.set_note("*hm*")
    assert mlgit.active_run() is None and run.status == "finished"
    found = mlgit.get_run(run.id)
    assert (found.experiment, found.name, found.status) == ("churn", "baseline", "finished")
    assert (found.params, found.metrics) == ({"lr": 0.1}, {"loss": 0.5})
    assert (found.tags, found.note) == ({"team": "growth"}, "*hm*")
    assert found.record.by.email == "ada@example.org"
    assert 0 <= (found.duration or -1) < 60
    subjects = git("log", "--first-parent", "--format=%s", "mlgit").splitlines()
    assert subjects[0] == f"run {run.id[:10]} finished: churn/baseline loss=0.5"
    assert len(subjects) == 2  # after the one that began the ledger


def test_start_and_end_without_a_block(repo: Path) -> None:
    for status in ("finished", "failed", "interrupted"):
        run = mlgit.start_run(capture=())
        mlgit.end_run(status)
        assert mlgit.get_run(run.id).status == run.status == status
        assert mlgit.get_run(run.id).experiment == "default"


def test_a_block_whose_run_was_ended_inside(repo: Path) -> None:
    with mlgit.start_run(capture=()) as run:
        mlgit.end_run("failed")
    assert mlgit.get_run(run.id).status == "failed"


def test_an_exception_in_the_block(repo: Path) -> None:
    with pytest.raises(ZeroDivisionError), mlgit.start_run(capture=()) as run:
        mlgit.log_metric("loss", 1)
        _ = 1 / 0
    found = mlgit.get_run(run.id)
    assert (found.status, found.metrics) == ("failed", {"loss": 1})
    assert found.record.error == "ZeroDivisionError: division by zero"


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError(), "ValueError"),
        (ValueError("two\n  lines"), "ValueError: two lines"),
        (ValueError("a byte \udce9"), "ValueError: a byte ?"),
        (ValueError("x" * 5000), "ValueError: " + "x" * 988),
        (Unspeakable(), "Unspeakable"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_whatever_an_exception_says_is_stored(repo: Path, error: Exception, told: str) -> None:
    with pytest.raises(type(error)), mlgit.start_run(capture=()) as run:
        raise error
    assert mlgit.get_run(run.id).record.error == told


def test_an_error_does_not_name_the_folders_of_this_machine(repo: Path, hermetic: Path) -> None:
    with pytest.raises(FileNotFoundError), mlgit.start_run(capture=()) as run:
        (repo / "data" / "x.csv").read_text()
    with pytest.raises(FileNotFoundError), mlgit.start_run(capture=()) as other:
        (hermetic / "x.csv").read_text()
    assert str(mlgit.get_run(run.id).record.error).endswith("directory: 'data/x.csv'")
    assert str(mlgit.get_run(other.id).record.error).endswith("directory: '~/x.csv'")


def test_ending_what_has_ended(repo: Path) -> None:
    run = mlgit.start_run(capture=())
    with pytest.raises(Invalid, match="'done'") as refused:
        run.end("done")
    assert "finished, failed, interrupted" in str(refused.value)
    run.end()
    with pytest.raises(WrongState, match="has ended already, as finished") as told:
        run.end()
    assert f"start_run(resume='{run.id}')" in str(told.value)
    with pytest.raises(WrongState, match="no run is active here"):
        mlgit.end_run()


def test_logging_after_the_end_and_without_a_run(repo: Path) -> None:
    with mlgit.start_run(capture=()) as run:
        pass
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("log_metric", ("a", 1)),
        ("log_metrics", ({"a": 1},)),
        ("log_batch", ([("a", 1)],)),
        ("log_param", ("a", 1)),
        ("set_tag", ("a",)),
        ("set_note", ("a",)),
        ("log_text", ("a", "a.txt")),
        ("log_figure", (None, "a.png")),
        ("log_chart", (None,)),
        ("log_artifact", ("README.md",)),
    ]
    for name, arguments in calls:
        with pytest.raises(WrongState, match="has ended") as told:
            getattr(run, name)(*arguments)
        assert "resume=" in str(told.value.hint)
        with pytest.raises(WrongState, match="no run is active here") as told:
            getattr(mlgit, name)(*arguments)
        assert "with mlgit.start_run()" in str(told.value.hint)


def test_a_run_that_cannot_start_leaves_nothing(repo: Path) -> None:
    (repo / "train.py").write_text("print('changed')\n")  # so there is a snapshot, too
    attempts: list[dict[str, Any]] = [
        {"params": {"a": object()}},
        {"tags": {"": 1}},
        {"experiment": ""},
        {"experiment": "x" * 1000},
        {"name": "two\nlines"},
        {"parent": "01kb"},
        {"capture": ["codes"]},
        {"capture": "code"},
    ]
    for options in attempts:
        with pytest.raises(Invalid):
            mlgit.start_run(**options)
        assert mlgit.active_run() is None and not journals(repo)
    assert git("for-each-ref", "refs/mlgit") == ""
    with pytest.raises(mlgit.NotARepository, match="not in a git repository"):
        mlgit.start_run(repository=repo.parent)


def test_without_an_identity_nothing_starts(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("config", "--global", "user.useConfigOnly", "true")
    git("config", "--global", "--unset", "user.email")
    with pytest.raises(mlgit.NotARepository, match="does not know who you are") as told:
        mlgit.start_run()
    assert "git config --global user.name" in str(told.value.hint)


def test_a_name_in_another_encoding(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_AUTHOR_NAME", os.fsdecode(b"Ren\xe9"))
    with mlgit.start_run(capture=()) as run:
        pass
    assert mlgit.get_run(run.id).record.by.name == "Ren?"


def test_a_state_folder_that_vanished(repo: Path) -> None:
    mlgit.start_run(capture=()).end()
    for path in sorted((repo / ".git/mlgit").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (repo / ".git/mlgit").rmdir()
    run = mlgit.start_run(capture=())
    (repo / ".git/mlgit").mkdir(exist_ok=True)
    run.end()
    assert len(mlgit.runs()) == 2


# --- nested runs, threads, tasks -----------------------------------------------------


def test_nested_runs(repo: Path) -> None:
    with mlgit.start_run("sweep", capture=()) as outer:
        with mlgit.start_run(name="inner", nested=True, capture=()) as inner:
            mlgit.log_metric("loss", 1)
            with mlgit.start_run("other", nested=True, capture=()) as innermost:
                assert mlgit.active_run() is innermost
        assert mlgit.active_run() is outer
        mlgit.log_metric("best", 2)
    assert mlgit.get_run(inner.id).record.parent == outer.id
    assert mlgit.get_run(inner.id).experiment == "sweep"
    assert mlgit.get_run(innermost.id).record.parent == inner.id
    assert mlgit.get_run(innermost.id).experiment == "other"
    assert mlgit.get_run(outer.id).metrics == {"best": 2}
    with mlgit.start_run(nested=True, capture=()) as alone:
        pass
    assert mlgit.get_run(alone.id).record.parent is None
    with mlgit.start_run(parent=outer.id, capture=()) as child:
        pass
    assert mlgit.get_run(child.id).record.parent == outer.id


def test_a_second_run_must_say_that_it_is_nested(repo: Path) -> None:
    with mlgit.start_run(capture=()) as run:
        with pytest.raises(WrongState, match=f"the run {run.id} is active") as told:
            mlgit.start_run()
        assert "nested=True" in str(told.value.hint)
    assert len(mlgit.runs()) == 1


def test_nested_runs_that_end_in_another_order_or_thread(repo: Path) -> None:
    outer = mlgit.start_run(capture=())
    inner = mlgit.start_run(nested=True, capture=())
    thread = threading.Thread(target=inner.end)
    thread.start()
    thread.join()
    assert mlgit.active_run() is outer
    inner = mlgit.start_run(nested=True, capture=())
    outer.end()
    assert mlgit.active_run() is inner
    inner.end()
    assert mlgit.active_run() is None
    assert {run.status for run in mlgit.runs()} == {"finished"}


def test_a_thread_has_no_run_unless_told(repo: Path) -> None:
    told: list[Any] = []

    def work(run: mlgit.ActiveRun) -> None:
        try:
            mlgit.log_metric("a", 1)
        except WrongState as error:
            told.append(error)
        with run.as_active() as same:
            assert same is run
            mlgit.log_metric("a", 2)
        assert mlgit.active_run() is None

    with mlgit.start_run(capture=()) as run:
        thread = threading.Thread(target=work, args=(run,))
        thread.start()
        thread.join()
    assert "run.as_active()" in str(told[0].hint)
    assert [point.value for point in mlgit.get_run(run.id).history("a")] == [2]


def test_each_thread_and_task_may_have_its_own(repo: Path) -> None:
    async def task(number: int) -> None:
        with mlgit.start_run(name=str(number), capture=()):
            await asyncio.sleep(0)
            mlgit.log_param("number", number)
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(*map(task, range(3)))

    asyncio.run(main())
    threads = [threading.Thread(target=lambda n=n: asyncio.run(task(n))) for n in range(3, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {run.name: run.params["number"] for run in mlgit.runs()} == {str(n): n for n in range(6)}


# --- resume --------------------------------------------------------------------------


def log_some(run: mlgit.ActiveRun) -> None:
    run.log_params({"lr": 0.1, "big": 2**70})
    run.log_metrics({"loss": 0.5, "acc": 1}, step=7)
    run.set_tags({"a": "1", "b": "1"})
    run.log_text("first", "notes/a.txt")


def log_more(run: mlgit.ActiveRun) -> None:
    run.log_params({"lr": 0.1, "later": [1, None]})
    run.log_metric("loss", 0.25)
    run.log_metric("new", float("nan"))
    run.set_tags({"b": "2"})
    run.set_note("went on")
    run.log_text("second", "notes/a.txt")
    with pytest.raises(Invalid, match=r"'lr' is 0\.1 already"):
        run.log_param("lr", 0.2)


def check_resumed(run_id: str, status: str = "finished") -> None:
    (found,) = mlgit.runs()
    assert (found.id, found.status, found.note) == (run_id, status, "went on")
    assert found.params == {"lr": 0.1, "big": 2**70, "later": [1, None]}
    assert found.tags == {"a": "1", "b": "2"}
    assert [(p.step, p.value) for p in found.history("loss")] == [(7, 0.5), (8, 0.25)]
    assert [(p.step, p.value) for p in found.history("acc")] == [(7, 1)]
    summary = found.record.metrics["loss"]
    assert (summary.last, summary.min, summary.max, summary.step) == (0.25, 0.25, 0.5, 8)
    assert (summary.count, len(found.history("new"))) == (2, 1)
    assert found.artifacts() == ["notes/a.txt"] and found.read("notes/a.txt") == b"second"


def test_resume_a_run_whose_process_died(repo: Path) -> None:
    run_id = dead_run(repo, log_some)
    with mlgit.start_run(resume=run_id, capture=()) as run:
        log_more(run)
        with pytest.raises(Invalid, match="file and a folder"):
            run.log_text("", "notes")
    assert run.id == run_id
    check_resumed(run_id)


def test_resume_a_run_that_was_recovered(repo: Path) -> None:
    run_id = dead_run(repo, log_some)
    (path,) = finish.dead_runs(repo / ".git")
    finish.recover(open_repository(repo), path)
    assert mlgit.get_run(run_id).status == "interrupted"
    with mlgit.start_run(resume=run_id, capture=()) as run:
        log_more(run)
    check_resumed(run_id)


def test_resume_a_finished_run_and_die_and_resume_again(repo: Path) -> None:
    with mlgit.start_run(capture=()) as first:
        log_some(first)
    assert dead_run(repo, lambda run: run.log_metric("loss", 0.25), resume=first.id) == first.id
    with mlgit.start_run(resume=first.id, capture=()) as run:
        with pytest.raises(Invalid, match=r"'lr' is 0\.1 already"):
            run.log_param("lr", 0.2)
        run.log_metric("loss", 0.125)
    (found,) = mlgit.runs()
    assert [(p.step, p.value) for p in found.history("loss")] == [(7, 0.5), (8, 0.25), (9, 0.125)]
    times = [p.time for p in found.history("loss")]
    assert times == sorted(times)


def test_resume_by_what_names_a_run(repo: Path) -> None:
    with mlgit.start_run("churn", "baseline", capture=()) as run:
        log_some(run)
    with mlgit.start_run(resume="baseline", capture=()) as again:
        assert (again.id, again.experiment, again.name) == (run.id, "churn", "baseline")
    with mlgit.start_run(resume=run.id[:12], capture=()) as again:
        log_more(again)
        again.end("failed")
    check_resumed(run.id, "failed")
    assert git("log", "-1", "--format=%s", "mlgit") == f"run {run.id[:10]} went on: failed\n"


def test_resume_a_dead_run_by_what_names_it(repo: Path) -> None:
    run_id = dead_run(repo, log_some, name="großes")
    older = dead_run(repo, lambda run: None, name="other")
    with pytest.raises(NotFound, match="2 runs begin with") as told:
        mlgit.start_run(resume=run_id[:4])
    assert f"{older}, {run_id}" in str(told.value.hint)
    with mlgit.start_run(resume="großes", capture=()) as run:
        assert run.id == run_id
        run.end("failed")
    assert dead_run(repo, log_more, resume="großes") == run_id
    with mlgit.start_run(resume=run_id[:12], capture=()) as run:
        assert run.id == run_id
    finish.recover(open_repository(repo), journal.path_of(open_repository(repo).state, older))
    assert mlgit.get_run(older).status == "interrupted"
    assert mlgit.get_run("großes").note == "went on"


def test_a_name_that_a_dead_and_a_saved_run_have(repo: Path) -> None:
    with mlgit.start_run(name="same", capture=()) as first:
        pass
    second = dead_run(repo, log_some, name="same")
    with pytest.raises(NotFound, match="2 runs are named 'same'"):
        mlgit.start_run(resume="same")
    with mlgit.start_run(resume=second, capture=()) as run:
        log_more(run)
    assert mlgit.get_run(first.id).status == "finished"


def test_resume_keeps_the_code_it_ran(repo: Path) -> None:
    with mlgit.start_run() as run:
        pass
    (repo / "train.py").write_text("print('changed')\n")
    with mlgit.start_run(resume=run.id):
        pass
    assert git("show", "mlgit^2:train.py") == "print('changed')\n"
    facts = git("ls-tree", "-r", "--name-only", "mlgit").split()
    (fact,) = [path for path in facts if "/facts/" in path]
    data = json.loads(git("show", f"mlgit:{fact}"))["data"]
    assert data["source"]["snapshot"] == git("rev-parse", "mlgit^2").strip()


def test_resume_keeps_the_packages_it_ran_with(repo: Path) -> None:
    with mlgit.start_run(capture=["packages"]) as run:
        pass
    with mock.patch.object(session, "capture_environment", lambda path: {"packages": {"a": "2"}}):
        for _ in range(2):
            with mlgit.start_run(resume=run.id, capture=["packages"]):
                pass
    with Ledger() as ledger:
        found = saved.find(ledger, run.id)
        first, *others = saved.stretches(ledger, found)
        assert first.environment == found.environment
        assert "packages" in (saved.environment(ledger, found) or {})
        for later in others:
            assert later.environment
            assert saved.described(ledger, later.environment) == {"packages": {"a": "2"}}


def hours_ago(hours: float) -> float:
    return time.time() - hours * 3600


def died(run: Run, hours: float, **changes: Any) -> None:
    """Makes the journal of a run whose process died so long ago."""
    path = journal.path_of(open_repository().state, run.id)
    header = journal.Header(
        id=run.id, experiment="exp", name=None, parent=None, started=run.started,
        by={"name": "Ada", "email": ""}, pid=1, host=journal.this_host(), **changes,
    )  # fmt: skip
    journal.Journal(path, header).close()
    os.utime(path, (hours_ago(hours),) * 2)


@pytest.mark.parametrize(
    ("ended", "resumed", "died_at", "ran"),
    [
        (3, None, None, 1),  # hours ago, and how long it ran in all
        (None, None, 3, 1),
        (3, 2, 0.5, 2.5),
    ],
)
def test_the_time_between_is_no_time_it_ran(
    repo: Path, ended: float | None, resumed: float | None, died_at: float | None, ran: float
) -> None:
    run = make_run(int(hours_ago(4) * 1000))
    if ended:
        run = msgspec.structs.replace(run, ended=names.timestamp(hours_ago(ended)))
        add_runs(repo, run)
    if died_at:
        again = {"resumed": names.timestamp(hours_ago(resumed)), "paused": 3600} if resumed else {}
        died(run, died_at, **again)
    with mlgit.start_run(resume=run.id, capture=()):
        (going_on,) = finish.live_runs(repo / ".git")
        assert going_on.paused == pytest.approx((4 - ran) * 3600, abs=60)
    found = mlgit.get_run(run.id)
    assert found.duration == pytest.approx(ran * 3600, abs=60)
    assert found.duration + (found.record.paused or 0) == pytest.approx(4 * 3600, abs=60)


def test_resume_a_run_that_ended_but_could_not_be_committed(repo: Path) -> None:
    git("config", "commit.gpgsign", "true")
    git("config", "gpg.program", "false")
    with pytest.warns(MlgitWarning, match="not committed yet.*sign"):  # noqa: SIM117
        with mlgit.start_run(capture=()) as run:
            log_some(run)
    assert journals(repo) == [f"{run.id}.files", f"{run.id}.jsonl"]
    git("config", "commit.gpgsign", "false")
    session._repositories.clear()  # which keep the configuration of before
    with mlgit.start_run(resume=run.id, capture=()) as again:
        log_more(again)
    check_resumed(run.id)


def test_what_cannot_be_resumed(repo: Path) -> None:
    with pytest.raises(NotFound, match="no runs in this repository yet"):
        mlgit.start_run(resume="01kb2q6v6r8m3x0c5t1w9y7zab")
    with mlgit.start_run(capture=()) as run:
        with pytest.raises(WrongState, match="is being logged to"):
            mlgit.start_run(resume=run.id, nested=True)
        assert in_child(lambda: resume_is_refused(run.id)) == 0
    with pytest.raises(NotFound, match="there is no run 'nowhere'"):
        mlgit.start_run(resume="nowhere")
    with mlgit.start_run(resume=run.id, capture=()):
        assert in_child(lambda: resume_is_refused(run.id)) == 0
    saved.annotate(open_repository(repo), [run.id], "delete", {})
    with pytest.raises(WrongState, match="is deleted"):
        mlgit.start_run(resume=run.id)
    assert mlgit.active_run() is None


def resume_is_refused(run_id: str) -> None:
    with pytest.raises(WrongState, match="is being logged to"):
        mlgit.start_run(resume=run_id, nested=True)


def test_a_resume_that_fails_keeps_what_was_there(repo: Path) -> None:
    run_id = dead_run(repo, log_some)
    with pytest.raises(Invalid):
        mlgit.start_run(resume=run_id, params={"lr": "another"}, capture=())
    assert [path.stem for path in finish.dead_runs(repo / ".git")] == [run_id]
    with mlgit.start_run(resume=run_id, capture=()):
        pass
    with pytest.raises(Invalid):
        mlgit.start_run(resume=run_id, params={"lr": "another"}, capture=())
    assert not journals(repo)
    assert mlgit.get_run(run_id).status == "finished"


def test_live_and_dead_runs_are_told_apart(repo: Path) -> None:
    run_id = dead_run(repo, log_some, name="dead")
    with mlgit.start_run(name="alive", capture=()) as run:
        run.log_metric("loss", 3)
        (live,) = finish.live_runs(repo / ".git")
        assert (live.id, live.status, live.ended) == (run.id, "running", None)
        assert live.metrics["loss"].last == 3
        (path,) = finish.dead_runs(repo / ".git")
        assert path.stem == run_id
        with pytest.raises(WrongState, match="still being logged to"):
            finish.recover(open_repository(repo), journal.path_of(repo / ".git/mlgit", run.id))
        assert finish.recover(open_repository(repo), path).status == "interrupted"
    assert sorted(run.name for run in mlgit.runs()) == ["alive", "dead"]


# --- what is captured ----------------------------------------------------------------

SCRIPT = """
import sys
import mlgit

with mlgit.start_run(include=["settings.yaml"]) as run:
    import helper
    print("\\x1b[31mtraining\\x1b[0m")
    print("warned", file=sys.stderr)
print(run.id)
"""


def test_capture(repo: Path, hermetic: Path) -> None:
    (repo / "helper.py").write_text("")
    (repo / "settings.yaml").write_text("lr: 1\n")
    (repo / "unused.py").write_text("")
    (repo / "README.md").write_text("# Changed\n")
    arguments = [f"--data={hermetic}/data.csv", str(repo / "README.md"), "--api-key", "0123456789"]
    printed = run_script(repo, SCRIPT, *arguments)
    run = mlgit.get_run(printed.split()[-1])
    source = run.record.source
    assert source.commit == git("rev-parse", "HEAD").strip() and source.branch == "main"
    assert git("rev-parse", "mlgit^2").strip() == source.snapshot
    kept = git("diff", "--name-only", source.commit, str(source.snapshot)).split()
    assert kept == ["README.md", "helper.py", "script.py", "settings.yaml"]
    assert source.entry == "script.py"
    assert source.argv == ["--data=~/data.csv", "README.md", "--api-key", "***"]
    assert run.artifacts() == ["console.txt"]
    assert run.read("console.txt") == b"training\nwarned\n"
    environment = run.environment()
    assert environment and {"packages", "hardware", "platform"} < environment.keys()
    assert environment["packages"]["pytest"]
    digest = str(run.record.environment)
    for path in (names.run_file(run.id, names.RUN_FILE), names.environment_file(digest)):
        stored = git("show", f"mlgit:{path}")
        for private in (str(hermetic), str(repo), os.uname().nodename, "0123456789"):
            # As a word: a host may be called `vm`, which a random id may well hold.
            assert not re.search(rf"(?<!\w){re.escape(private)}(?!\w)", stored)
    assert git("for-each-ref", "refs/mlgit") == ""
    assert git("status", "--porcelain") == " M README.md\n" + "".join(
        f"?? {name}\n" for name in ("helper.py", "script.py", "settings.yaml", "unused.py")
    )


def test_the_same_without_keeping_code(repo: Path) -> None:
    git("config", "mlgit.code", "sha")
    (repo / "helper.py").write_text("")
    (repo / "settings.yaml").write_text("")
    run = mlgit.get_run(run_script(repo, SCRIPT).split()[-1])
    source = run.record.source
    assert source.commit == git("rev-parse", "HEAD").strip() and source.snapshot is None
    assert {entry["path"] for entry in source.skipped} >= {"script.py", "settings.yaml"}
    assert git("rev-list", "--count", "--merges", "mlgit").strip() == "0"


PARTS = {
    "code": lambda run: run.record.source.commit,
    "command": lambda run: run.record.source.entry,
    "console": lambda run: run.artifacts(),
    "machine": lambda run: (run.environment() or {}).get("hardware"),
    "packages": lambda run: (run.environment() or {}).get("packages"),
}

ONE_PART = """
import sys
import mlgit

for part in [*sys.argv[1:], None, ""]:
    capture = () if part == "" else [part] if part else None
    with mlgit.start_run(name=part, capture=capture) if part else mlgit.start_run(capture=capture):
        print("hello")
"""


def test_each_part_of_the_capture_can_be_switched(repo: Path) -> None:
    git("config", "mlgit.capture", "code, console")
    run_script(repo, ONE_PART, *PARTS)
    *named, configured, none = reversed(mlgit.runs())
    for run in named:
        assert [part for part, of in PARTS.items() if of(run)] == [run.name]
    assert [part for part, of in PARTS.items() if of(configured)] == ["code", "console"]
    assert not any(of(none) for of in PARTS.values())
    assert none.environment() is None


def test_an_unknown_part_is_refused(repo: Path) -> None:
    git("config", "mlgit.capture", "code camera")
    with pytest.raises(Invalid, match="cannot capture 'camera'") as told:
        mlgit.start_run()
    assert "code, command, console, machine, packages, system" in str(told.value.hint)


def test_system_metrics(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fast(log: Any, beat: Any) -> Any:
        return real(log, beat, interval=0.02)

    real = session.Sampler
    monkeypatch.setattr(session, "Sampler", fast)
    with mlgit.start_run(capture=["system"]) as run:
        enough = threading.Event()
        while not run._next_step.get('"system/memory_mb"'):
            assert not enough.wait(0.01)
    assert mlgit.get_run(run.id).metrics["system/memory_mb"] > 1
    with mlgit.start_run(capture=()) as quiet:
        enough.wait(0.1)
    assert mlgit.get_run(quiet.id).metrics == {}


def test_a_console_file_of_the_users_own_stays(repo: Path, capsys: Any) -> None:
    with mlgit.start_run(capture=["console"]) as run:
        print("printed")
        mlgit.log_text("mine", "console.txt")
    assert mlgit.get_run(run.id).read("console.txt") == b"mine"


def test_in_a_bare_repository_and_without_commits(
    tmp_path: Path, bare: Callable[..., Path], repo: Path
) -> None:
    git("init", "--quiet", tmp_path / "empty")
    for place in (bare(), tmp_path / "empty"):
        with mlgit.start_run(repository=place) as run:
            mlgit.log_metric("loss", 1)
        found = mlgit.get_run(run.id, repository=place)
        assert found.record.source.commit is None and found.metrics == {"loss": 1}
        assert git("fsck", "--strict", cwd=place) == ""


def test_names_in_other_encodings_among_the_code(repo: Path) -> None:
    odd = os.fsdecode(b"d\xe9tail.txt")
    (repo / odd).write_text("x" * (2 << 20))  # too large for a snapshot, so it is listed
    with mlgit.start_run(include=[repo / odd]) as run:
        pass
    (skipped,) = mlgit.get_run(run.id).record.source.skipped
    assert skipped["path"] == "d?tail.txt"
