"""Killed between any two steps, out of disk, without rights: what was logged is there, once.

A forked process logs to a run and is killed with SIGKILL at its n-th step, for every n
until it comes through. A step is what Python tells audit hooks of files, locks and
processes, and every write to the journal. The process says through a pipe what it has
logged, each time the call has returned.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import git

import mlgit
from mlgit import MlgitWarning, NotFound, WriteFailed, WrongState
from mlgit.ledger import open_repository
from mlgit.tracking import finish, journal, session

Tell = Callable[[str], None]
STEPS = (
    "open",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "fcntl.flock",
    "subprocess.Popen",
)


def suicidal(act: Callable[[Tell], Any], step: int = 0, seconds: float = 0) -> list[str]:
    """Runs `act` in a process that kills itself at a step or time; returns what it said.

    The last is "through" if it came to its end.
    """
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads
        child = os.fork()
    if not child:
        write = os.write

        def tell(what: str) -> None:
            write(theirs, f"{what}\n".encode())

        try:
            signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            signal.setitimer(signal.ITIMER_REAL, seconds)
            _die_at(step)
            act(tell)
            tell("through")
        except BaseException as error:
            tell(f"broken: {error!r}")
        os._exit(0)
    os.close(theirs)
    with open(ours) as pipe:
        said = pipe.read().splitlines()
    os.waitpid(child, 0)
    assert not any(line.startswith("broken") for line in said), said
    return said


def _die_at(step: int) -> None:
    left, write = step, os.write

    def count() -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        where = str(arguments[0]) if arguments else ""
        if "/objects/" in where:  # one step for each, whether it is there already or not
            if event == "tempfile.mkstemp":
                count()
        elif event in STEPS and where != "/dev/null" and not where.isdigit():
            count()

    def counted(file: int, data: bytes) -> int:
        count()
        return write(file, data)

    sys.addaudithook(hook)
    os.write = counted


def killed(
    act: Callable[[Tell, Any], Any], before: Callable[[], Any] = lambda: None
) -> Iterator[tuple[list[str], Any]]:
    """Yields what was said until the kill, for each step, and what `before` returned."""
    for step in range(1, 1000):
        prepared = before()
        said = suicidal(lambda tell, prepared=prepared: act(tell, prepared), step)
        yield said, prepared
        if "through" in said:
            assert step > 30, "the steps are not counted"
            return
    raise AssertionError("it never came through")


def log(tell: Tell, resume: str | None = None) -> None:
    """Logs to a run, and says after each call what must be there from now on."""
    run = mlgit.start_run("fault", capture=["code", "command"], resume=resume)
    tell(run.id)
    for number in range(3):
        run.log_metric("loss", number / 2)
        tell("loss")
    run.log_params({"late": 1, "rate": 0.5})
    tell("params")
    run.log_text("kept", "a/b.txt")
    tell("artifact")
    run.log_metrics({"loss": 9, "last": 1})
    tell("loss")
    run.set_tag("k", "v")
    tell("tag")
    run.end()
    tell("ended")


def check(said: list[str]) -> None:
    """Checks that the run has what was said, once, and at most one thing more."""
    run = mlgit.get_run(said[0])
    points = run.history("loss") if "loss" in run.metrics else []
    count = said.count("loss")
    assert [(point.step, point.value) for point in points] in (
        [*enumerate([0, 0.5, 1, 9])][:count],
        [*enumerate([0, 0.5, 1, 9])][: count + 1],
    )
    assert ("last" in run.metrics) is (len(points) == 4)
    assert run.params == {"late": 1, "rate": 0.5} or "params" not in said
    assert run.tags == {"k": "v"} or "tag" not in said
    assert "artifact" not in said or run.read("a/b.txt") == b"kept"
    assert run.status == "finished" or "ended" not in said
    assert {run.id for run in mlgit.runs()} >= {run.id}


def check_repository(repo: Path) -> None:
    """Checks that git is content, and that nothing of dead runs is left."""
    for path in (repo / ".git/mlgit/live").iterdir():
        # Killed before its first line; a later start sweeps it.
        assert path.stat().st_size == 0 and path.suffix == ".jsonl"
        os.utime(path, (0, 0))
    journal.sweep(repo / ".git/mlgit")
    assert not [*(repo / ".git/mlgit/live").iterdir()]
    assert git("for-each-ref", "refs/mlgit") == ""
    assert git("fsck", "--strict", "--no-dangling", "--no-progress") == ""


def recover_all(repo: Path) -> None:
    for path in finish.dead_runs(repo / ".git"):
        finish.recover(open_repository(repo), path)


@pytest.fixture
def dirty(repo: Path) -> Path:
    """A repository with uncommitted work and a run; all that runs import is imported."""
    (repo / "train.py").write_text("print('changed')\n")
    log(lambda what: None)
    return repo


def finished_run() -> str:
    with mlgit.start_run(capture=()) as run:
        pass
    return run.id


# --- killed --------------------------------------------------------------------------


def test_killed_at_any_step(dirty: Path) -> None:
    count = len(mlgit.runs())
    for said, _ in killed(lambda tell, _: log(tell)):
        recover_all(dirty)
        check_repository(dirty)
        if said:
            check(said)
        more = len(mlgit.runs()) - count
        assert more == 1 or (more == 0 and not said)
        count += more


def test_killed_at_any_step_of_a_resumed_run(dirty: Path) -> None:
    for said, run_id in killed(log, finished_run):
        recover_all(dirty)
        check_repository(dirty)
        check(said or [run_id])


@pytest.mark.parametrize("resumed", [False, True], ids=["new", "resumed"])
def test_killed_at_any_step_of_the_recovery(dirty: Path, resumed: bool) -> None:
    def dead_run() -> list[str]:
        return suicidal(lambda tell: log(dying(tell), finished_run() if resumed else None))

    def dying(tell: Tell) -> Tell:
        def tell_and_die(what: str) -> None:
            tell(what)
            if what == "tag":
                os.kill(os.getpid(), signal.SIGKILL)

        return tell_and_die

    for _, said in killed(lambda tell, _: recover_all(dirty), dead_run):
        recover_all(dirty)
        check(said)
    check_repository(dirty)


def test_killed_at_any_moment(dirty: Path) -> None:
    moments = random.Random(7)
    for _ in range(25):
        said = suicidal(log, seconds=moments.uniform(0.001, 0.08))
        recover_all(dirty)
        if said:
            check(said)
    check_repository(dirty)


# --- a disk that takes nothing -------------------------------------------------------


class SmallDisk:
    """Lets this process write no file beyond a size, as far as the kernel is concerned."""

    def __init__(self) -> None:
        self.limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def leave(self, size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, self.limits[1]))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    disk = SmallDisk()
    yield disk
    disk.free()


def test_a_full_disk_while_logging(repo: Path, disk: SmallDisk) -> None:
    with mlgit.start_run(capture=()) as run:
        run.log_metric("loss", 0)
        disk.leave(journal.path_of(repo / ".git/mlgit", run.id).stat().st_size + 50)
        with pytest.warns(MlgitWarning, match="keeps what is logged in memory") as told:
            for value in range(1, 1000):
                run.log_metric("loss", value)
            run.log_param("late", "x" * 1000)
        assert len(told) == 1
        disk.free()
    found = mlgit.get_run(run.id)
    assert [point.value for point in found.history("loss")] == [*range(1000)]
    assert found.params == {"late": "x" * 1000}
    check_repository(repo)


def test_a_full_disk_for_an_artifact(repo: Path, disk: SmallDisk) -> None:
    with mlgit.start_run(capture=()) as run:
        disk.leave(1000)
        with pytest.raises(WriteFailed, match=r"cannot write .*: File too large"):
            run.log_text("x" * 5000, "a.txt")
        assert not [*(repo / ".git/mlgit/live").glob("*.files/*")]
        disk.free()
        run.log_text("kept", "a.txt")
    assert mlgit.get_run(run.id).read("a.txt") == b"kept"
    check_repository(repo)


def test_a_full_disk_when_saving(repo: Path, disk: SmallDisk) -> None:
    finished_run()
    with mlgit.start_run(capture=()) as run:
        run.log_metric("loss", 1)
        disk.leave(10)
        with pytest.warns(MlgitWarning) as told:
            run.end()
    messages = [str(warning.message) for warning in told]
    assert "keeps what is logged in memory" in messages[0]
    assert "not committed yet: the disk takes nothing more" in messages[1]
    assert "mlgit recover" in messages[1]
    disk.free()
    session._end_all()  # as the end of the process does
    assert mlgit.get_run(run.id).metrics == {"loss": 1}
    assert mlgit.get_run(run.id).status == "finished"
    check_repository(repo)


def test_an_object_store_that_takes_nothing(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gitdb

    def refuse(*arguments: Any) -> Any:
        raise OSError(30, "Read-only file system")

    finished_run()
    (repo / "train.py").write_text("print('changed')\n")
    with monkeypatch.context() as patched:
        with pytest.warns(MlgitWarning, match="not committed yet.*Read-only file system") as told:
            with mlgit.start_run(capture=()) as run:
                run.log_metric("loss", 1)
                patched.setattr(gitdb.LooseObjectDB, "store", refuse)
            assert mlgit.active_run() is None  # the script goes on
        assert "mlgit recover" in str(told[0].message)
        with pytest.raises(WriteFailed, match="Read-only file system"):
            mlgit.start_run()  # whose code cannot be kept
        assert [path.stem for path in finish.dead_runs(repo / ".git")] == [run.id]
    recover_all(repo)
    assert mlgit.get_run(run.id).metrics == {"loss": 1}
    assert mlgit.get_run(run.id).status == "finished"
    check_repository(repo)


def test_no_right_to_write_the_state(repo: Path) -> None:
    (repo / ".git/mlgit").write_text("in the way, as a folder without rights would be\n")
    with pytest.raises(WriteFailed, match=r"cannot make .*/\.git/mlgit"):
        mlgit.start_run()
    (repo / ".git/mlgit").unlink()
    (repo / ".git/mlgit").mkdir()
    (repo / ".git/mlgit/live").write_text("")
    with pytest.raises(WriteFailed, match=r"cannot write .*/live/.*"):
        mlgit.start_run()
    assert mlgit.active_run() is None


def test_folders_without_the_right_to_write(repo: Path) -> None:
    finished_run()
    for folder in (".git/mlgit/live", ".git/objects"):
        (repo / "train.py").write_text(f"print({folder!r})\n")
        os.chmod(repo / folder, 0o555)
        try:
            if os.access(repo / folder, os.W_OK):
                pytest.skip("root may write everywhere")
            with pytest.raises(WriteFailed, match=r"(?i)permission"):
                mlgit.start_run()
        finally:
            os.chmod(repo / folder, 0o755)
    check_repository(repo)


def test_a_disk_that_is_full_from_the_start(repo: Path, disk: SmallDisk) -> None:
    disk.leave(10)
    with pytest.raises(WriteFailed, match="cannot write"):
        mlgit.start_run(capture=())
    disk.free()
    finished_run()
    check_repository(repo)


# --- several at once -----------------------------------------------------------------

MANY = """
import sys, mlgit
for number in range(5):
    with mlgit.start_run(sys.argv[1], capture=()):
        mlgit.log_metric("loss", number)
"""


def test_many_processes_start_on_an_empty_ledger(repo: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", MANY]
    processes = [subprocess.Popen([*command, f"e{number}"]) for number in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    found = sorted((run.experiment, run.metrics["loss"]) for run in mlgit.runs())
    assert found == [(f"e{number}", loss) for number in range(4) for loss in range(5)]
    check_repository(repo)


def test_two_recoveries_at_once(dirty: Path) -> None:
    all_said = [suicidal(log, seconds=0.05) for _ in range(3)]
    command = [sys.executable, "-m", "mlgit", "recover"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        for _ in range(100):
            with contextlib.suppress(WrongState, NotFound):  # the other one has it, or had it
                recover_all(dirty)
    recover_all(dirty)
    for said in filter(None, all_said):
        check(said)
    check_repository(dirty)
