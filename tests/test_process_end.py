"""However a process ends, its run says how, and nothing that was logged is lost.

Every test is a script of its own in a process of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import git

import mlgit
from mlgit.ledger import open_repository
from mlgit.tracking import finish

START = """
import os, signal, sys, time, mlgit
def wait():
    print("ready", flush=True)
    for _ in range(600):  # a signal that comes just before one long sleep does not end it
        time.sleep(0.1)
"""
IN_A_BLOCK = """
with mlgit.start_run(capture=()) as run:
    mlgit.log_metric("loss", 1)
    {}
"""
WITHOUT_ONE = """
run = mlgit.start_run(capture=())
mlgit.log_metric("loss", 1)
{}
"""
BOTH = pytest.mark.parametrize("form", [IN_A_BLOCK, WITHOUT_ONE], ids=["block", "open"])


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def runs(self) -> list[mlgit.SavedRun]:
        return mlgit.runs()

    @property
    def run(self) -> mlgit.SavedRun:
        (run,) = self.runs
        assert run.metrics["loss"] == 1
        return run


@pytest.fixture(autouse=True)
def nothing_is_left(repo: Path) -> Iterator[None]:
    yield
    assert [*(repo / ".git/mlgit/live").iterdir()] == []
    assert git("for-each-ref", "refs/mlgit") == ""
    assert git("fsck", "--strict", "--no-dangling") == ""


def start(code: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", START + code]
    return subprocess.Popen(command, stdout=-1, stderr=-1, text=True, start_new_session=True)


def ended(process: subprocess.Popen[str]) -> Ended:
    with process:
        out, err = process.communicate(timeout=60)
    return Ended(process.returncode, out, err)


def signalled(code: str, *signals: signal.Signals) -> Ended:
    """Runs a script and sends it signals, one for each "ready" that it prints.

    They go to its git processes as well, as those of a terminal do.
    """
    process = start(code)
    assert process.stdout
    for number in signals:
        if process.stdout.readline() == "ready\n":
            os.killpg(process.pid, number)
    return ended(process)


# --- exceptions and exit codes -------------------------------------------------------


@BOTH
def test_an_exception(repo: Path, form: str) -> None:
    done = ended(start(form.format("raise ValueError('bad\\nluck')")))
    assert done.code == 1
    assert done.err.count("Traceback") == done.err.count("ValueError: bad\nluck") == 1
    assert (done.run.status, done.run.record.error) == ("failed", "ValueError: bad luck")


@BOTH
def test_a_clean_exit(repo: Path, form: str) -> None:
    for way in ("pass", "sys.exit()", "sys.exit(0)"):
        done = ended(start(form.format(way)))
        assert (done.code, done.err, done.runs[0].status) == (0, "", "finished")


def test_an_exit_code_is_a_failure_of_the_block(repo: Path) -> None:
    done = ended(start(IN_A_BLOCK.format("sys.exit(3)")))
    assert (done.code, done.run.status, done.run.record.error) == (3, "failed", "SystemExit: 3")


def test_a_hook_of_others_and_an_earlier_exception(repo: Path) -> None:
    hook = "sys.excepthook = lambda *told: print('theirs')\n"
    done = ended(start(WITHOUT_ONE.format(f"{hook}1 / 0")))
    assert (done.code, done.out, done.run.status) == (1, "theirs\n", "failed")
    earlier = "sys.last_value = OSError()\n"  # of a debugger, say
    done = ended(start(earlier + WITHOUT_ONE.format("")))
    assert done.runs[0].status == "finished"


def test_nested_runs_left_open(repo: Path) -> None:
    code = "inner = mlgit.start_run(nested=True, capture=()); mlgit.log_metric('loss', 2); 1 / 0"
    done = ended(start(WITHOUT_ONE.format(code)))
    inner, outer = done.runs
    assert (inner.metrics, outer.metrics) == ({"loss": 2}, {"loss": 1})
    assert inner.record.parent == outer.id
    assert inner.record.error == outer.record.error == "ZeroDivisionError: division by zero"


def test_a_warning_that_is_an_error_ends_every_run_all_the_same(repo: Path) -> None:
    code = """
from mlgit.tracking import session
inner = mlgit.start_run(nested=True, capture=())
def capture(opened): raise mlgit.WriteFailed("no room")
session._end_capture = capture
"""
    done = ended(start(WITHOUT_ONE.format(code)))
    assert [run.status for run in done.runs] == ["finished", "finished"]
    assert "MlgitWarning" in done.err and "was not captured: no room" in done.err


def test_an_exception_in_a_thread_is_not_the_scripts(repo: Path) -> None:
    code = "import threading; t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()"
    assert ended(start(WITHOUT_ONE.format(code))).run.status == "finished"


# --- signals -------------------------------------------------------------------------


@BOTH
def test_ctrl_c(repo: Path, form: str) -> None:
    done = signalled(form.format("wait()"), signal.SIGINT)
    assert done.code == -signal.SIGINT
    assert (done.run.status, done.run.record.error) == ("interrupted", "KeyboardInterrupt")


@BOTH
def test_sigterm(repo: Path, form: str) -> None:
    done = signalled(form.format("wait()"), signal.SIGTERM)
    assert (done.code, done.err) == (128 + signal.SIGTERM, "")
    assert (done.run.status, done.run.record.error) == ("interrupted", "SIGTERM")


def test_sigterm_lets_finally_blocks_run(repo: Path) -> None:
    code = """
    try:
        wait()
    finally:
        mlgit.log_metric("cleaned up", 1)
"""
    done = signalled(IN_A_BLOCK.format(code), signal.SIGTERM)
    assert done.run.metrics["cleaned up"] == 1 and done.run.status == "interrupted"


def test_a_handler_of_the_users_own_is_left_alone(repo: Path) -> None:
    code = """
def theirs(number, frame): print("theirs"); sys.exit(7)
signal.signal(signal.SIGTERM, theirs)
with mlgit.start_run(capture=()) as run:
    mlgit.log_metric("loss", 1)
    wait()
"""
    done = signalled(code, signal.SIGTERM)
    assert (done.code, done.out, done.run.status) == (7, "theirs\n", "failed")


def test_signals_are_as_before_when_no_run_is_open(repo: Path) -> None:
    code = (
        IN_A_BLOCK.format("pass")
        + """
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
wait()
"""
    )
    done = signalled(code, signal.SIGTERM)
    assert (done.code, done.run.status) == (-signal.SIGTERM, "finished")


def test_a_kill_leaves_the_run_to_be_recovered(repo: Path) -> None:
    done = signalled(IN_A_BLOCK.format("run.log_text('x', 'a.txt'); wait()"), signal.SIGKILL)
    assert done.code == -signal.SIGKILL
    (path,) = finish.dead_runs(repo / ".git")
    run = finish.recover(open_repository(repo), path)
    assert (run.status, run.error) == ("interrupted", None)
    assert mlgit.get_run(run.id).read("a.txt") == b"x"
    assert mlgit.get_run(run.id).metrics == {"loss": 1}


SLOW_COMMIT = """
import mlgit.ledger.append
append = sys.modules["mlgit.ledger.append"]
real, pauses = append.write_commit, {}
def slow(*arguments):
    global pauses
    if pauses:
        pauses -= 1
        wait()
    return real(*arguments)
append.write_commit = slow
"""


@pytest.mark.parametrize("numbers", [(2,), (15,), (2, 15), (15, 15, 15)], ids=str)
@BOTH
def test_signals_during_the_commit(repo: Path, form: str, numbers: tuple[int, ...]) -> None:
    mlgit.start_run("other", capture=()).end()
    code = SLOW_COMMIT.replace("{}", str(len(numbers))) + form.format("pass")
    done = signalled(code, *map(signal.Signals, numbers))
    dead = finish.dead_runs(repo / ".git")
    assert len(dead) <= (len(numbers) > 1)  # a second one may leave it to `recover`
    for path in dead:
        finish.recover(open_repository(repo), path)
    run, _ = mlgit.runs()
    assert (run.experiment, run.status, run.metrics) == ("default", "finished", {"loss": 1})
    assert len(run.history("loss")) == 1
    assert git("rev-list", "--count", "--first-parent", "mlgit") == "3\n"
    assert "not committed" not in done.err
    if form is WITHOUT_ONE:
        assert (done.code, done.err) == (0, "")
    else:
        assert done.code == (-signal.SIGINT if numbers == (2,) else 128 + signal.SIGTERM)


# --- forks ---------------------------------------------------------------------------

FORK = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # forking beside a thread
with mlgit.start_run(capture=()) as run:
    mlgit.log_metric("loss", 1)
    child = os.fork()
    if not child:
        mlgit.log_metric("child", 5)
        {}
    os.waitpid(child, 0)
    mlgit.log_metric("parent", 6)
print("ended", os.getpid() == run._pid, flush=True)
"""


@pytest.mark.parametrize(
    "way",
    [
        *("os._exit(0)", "sys.exit(0)", "1 / 0", "os.kill(os.getpid(), signal.SIGKILL)", "pass"),
        "os.kill(os.getpid(), signal.SIGTERM)",
    ],
)
def test_a_forked_child_ends_without_the_run(repo: Path, way: str) -> None:
    done = ended(start(FORK.format(way if way != "pass" else "child = os.getpid()")))
    assert done.code == 0 and "ended True" in done.out
    assert done.run.status == "finished"
    assert done.run.metrics == {"loss": 1, "child": 5, "parent": 6}
    assert done.err.count("Traceback") <= 1 and "mlgit" not in done.err.replace("mlgit.log", "")


def test_a_forked_child_cannot_end_the_run_and_may_have_its_own(repo: Path) -> None:
    code = """
        try:
            run.end()
        except mlgit.WrongState as error:
            print(error)
        with mlgit.start_run(name="own", nested=True, capture=()) as own:
            mlgit.log_metric("loss", 7)
        mlgit.start_run(name="left open", nested=True, capture=())
        sys.exit()"""
    done = ended(start(FORK.format(code)))
    assert "a forked worker cannot end its parent's run" in done.out
    assert {run.name: run.status for run in done.runs} == dict.fromkeys(
        [None, "own", "left open"], "finished"
    )
    (outer,) = (run for run in done.runs if run.name is None)
    assert {run.record.parent for run in done.runs if run.name} == {outer.id}
    assert outer.metrics == {"loss": 1, "child": 5, "parent": 6}


def test_a_worker_that_outlives_the_run_is_told(repo: Path) -> None:
    code = """
import multiprocessing
def work(pipe):
    mlgit.log_metric("worker", 1)
    pipe.send("logged")
    pipe.recv()
    try:
        mlgit.log_metric("worker", 2)
    except mlgit.WrongState as error:
        pipe.send(str(error))

ours, theirs = multiprocessing.Pipe()
with mlgit.start_run(capture=()) as run:
    mlgit.log_metric("loss", 1)
    worker = multiprocessing.get_context("fork").Process(target=work, args=(theirs,))
    worker.start()
    ours.recv()
ours.send("go on")
print(ours.recv())
worker.join()
"""
    done = ended(start("import warnings; warnings.simplefilter('ignore')\n" + code))
    assert "has ended; nothing can be logged to it" in done.out and done.code == 0
    assert done.run.metrics == {"loss": 1, "worker": 1}


def test_a_pool_of_forked_workers(repo: Path) -> None:
    code = """
import multiprocessing, warnings
warnings.simplefilter("ignore")
def work(number):
    for step in range(200):
        mlgit.log_metric("shared", number * 1000 + step, step=step)
    mlgit.log_param(f"p{number}", number)
    mlgit.log_text(str(number), f"{number}.txt")
    return number

with mlgit.start_run(capture=()) as run:
    mlgit.log_metric("loss", 1)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert sorted(pool.map(work, range(12), chunksize=1)) == [*range(12)]
"""
    done = ended(start(code))
    assert done.code == 0, done.err
    values = [point.value for point in done.run.history("shared")]
    assert sorted(values) == [n * 1000 + step for n in range(12) for step in range(200)]
    assert done.run.params == {f"p{n}": n for n in range(12)}
    assert {done.run.read(f"{n}.txt").decode() for n in range(12)} == {*map(str, range(12))}


def test_threads_that_still_log_when_the_script_ends(repo: Path) -> None:
    code = """
import threading
def work():
    with run.as_active():
        for step in range(1000):
            mlgit.log_metric("thread", step)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
"""
    done = ended(start(WITHOUT_ONE.format(code)))
    assert (done.code, done.err) == (0, "")
    assert done.run.record.metrics["thread"].count == 8000
