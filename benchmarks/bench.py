"""The bench that rows are measured on: an environment, scratch folders, processes, turns."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

CACHE = Path(__file__).resolve().parent / ".cache"
PYTHON = sys.executable
PROGRAMS = Path(PYTHON).parent

BARE = "bare git"
US, MS, MB, KB = 1e6, 1e3, 1e-6, 1e-3  # of a second, of a byte

_FOREIGN = ("GIT_", "MLGIT_", "MLFLOW_", "DVC_", "PYTHON", "XDG_")


class Failed(Exception):
    """A process that was to be measured ended with an error."""


class Bench:
    """What rows share. `quick` asks for fewer rounds and smaller ledgers."""

    def __init__(self, quick: bool, scratch: Path) -> None:
        self.quick = quick
        self.scratch = scratch
        self.missing: dict[str, str] = {}
        """Peers that could not be run, and why."""
        self._errors = scratch / "errors.txt"

    def say(self, text: str) -> None:
        print(f"  {text}", file=sys.stderr, flush=True)

    def folder(self, name: str) -> Path:
        """Returns the place of a new folder, which is not made."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.scratch)) / name

    @contextlib.contextmanager
    def workers(self, place: Path, *tools: Sequence[str]) -> Iterator[list[Worker]]:
        """Starts a process of train.py for each tool; ends them with the block."""
        with contextlib.ExitStack() as stack:
            errors = stack.enter_context(self._errors.open("ab"))
            yield [stack.enter_context(Worker(place, tool, errors)) for tool in tools]

    def wall(self, place: Path, *command: str | Path) -> float:
        """Returns the seconds that a process takes from start to end.

        Raises:
            Failed: it ended with another exit code than 0.
        """
        with self._errors.open("ab") as errors:
            before = time.perf_counter()
            done = subprocess.run(
                command, cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
            )
            seconds = time.perf_counter() - before
        if done.returncode:
            *_, reason = ["", *self.last_error().splitlines()]
            raise Failed(f"{Path(command[0]).name} ended with {done.returncode}: {reason}")
        return seconds

    @contextlib.contextmanager
    def server(self, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
        """Starts a server; ends it, and whatever it started, with the block."""
        with self._errors.open("ab") as errors:
            process = psutil.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
            )
        try:
            yield process
        finally:
            every = [*process.children(recursive=True), process]
            for each in every:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            psutil.wait_procs(every, timeout=10)

    def last_error(self) -> str:
        """Returns the end of what the measured processes wrote to stderr."""
        text = self._errors.read_text(errors="replace") if self._errors.exists() else ""
        return "\n".join(text.splitlines()[-15:])

    def attempt(self, peer: str, act: Callable[[], Any]) -> bool:
        """Tells whether a peer can do what a row asks of it; notes why not."""
        try:
            act()
        except (Failed, OSError, subprocess.SubprocessError) as error:
            self.missing[peer] = str(error)
            self.say(f"{peer} cannot be run: {error}")
            return False
        return True


class Worker:
    """A process of train.py; a context manager."""

    def __init__(self, place: Path, tool: Sequence[str], errors: Any) -> None:
        self.tool = tool
        self._process = subprocess.Popen(
            (PYTHON, "train.py", *tool),
            cwd=place,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def ask(self, act: str, *arguments: object) -> Any:
        """Has the act done and returns the answer."""
        self.send(act, *arguments)
        return self.answer()

    def send(self, act: str, *arguments: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # `answer` tells of it
            self._process.stdin.write(json.dumps([act, *arguments]) + "\n")
            self._process.stdin.flush()

    def answer(self) -> Any:
        line = self._process.stdout.readline()
        if not line:
            raise Failed(f"{' '.join(self.tool)} ended with {self._process.wait()}")
        return json.loads(line)


def seconds_of(scale: float, worker: Worker, act: str, *arguments: object) -> float:
    """Has an act done and returns its seconds, all parts of it, in a unit of `scale` a second."""
    answer = worker.ask(act, *arguments)
    return scale * (sum(answer) if isinstance(answer, list) else answer)


def percent(own: Sequence[float], other: Sequence[float]) -> list[float]:
    """Returns what share of the other's each value is, round by round."""
    return [100 * one / two for one, two in zip(own, other, strict=False)]


class Others:
    """Tells how much of the machine went to programs that are not of the benchmark."""

    def __init__(self) -> None:
        self._before = self._read()
        self._share: float | None = None

    def share(self) -> float | None:
        """Returns their share of all cores since the last call; None where nothing tells it."""
        now = self._read()
        every, busy, own = (then - before for then, before in zip(now, self._before, strict=True))
        if every > 1.0:  # core seconds; two lines may come of one measurement
            self._before = now
            self._share = max(0.0, busy - own) / every
        return self._share

    def _read(self) -> tuple[float, float, float]:
        times = psutil.cpu_times()
        every = sum(times[:8])  # what guests use is in "user" too
        idle = times.idle + getattr(times, "iowait", 0.0)
        own = sum(os.times()[:4])
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                own += sum(child.cpu_times()[:4])
        return every, every - idle, own


def take_turns(
    acts: Mapping[str, Callable[[], float]], rounds: int, patience: float = 30.0
) -> dict[str, list[float]]:
    """Runs the acts A B C, A B C, … and returns what each returned, round by round.

    An act that has taken more than `patience` seconds is left out after its third turn.
    """
    found: dict[str, list[float]] = {name: [] for name in acts}
    spent = dict.fromkeys(acts, 0.0)
    for number in range(rounds):
        for name, act in acts.items():
            if number < 3 or spent[name] < patience:
                before = time.perf_counter()
                found[name].append(act())
                spent[name] += time.perf_counter() - before
    return found


def environment(home: Path) -> dict[str, str]:
    """Returns the environment of all that is measured: nothing of the person's, no network."""
    home.mkdir(parents=True, exist_ok=True)
    config = home / ".gitconfig"
    config.write_text(
        "[user]\n\tname = Ada Example\n\temail = ada@example.org\n"
        "[init]\n\tdefaultBranch = main\n[commit]\n\tgpgsign = false\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    nowhere = "http://127.0.0.1:9"
    return kept | {
        "HOME": str(home),
        "PATH": os.pathsep.join([str(PROGRAMS), kept.get("PATH", os.defpath)]),
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": str(CACHE),
        "GIT_TERMINAL_PROMPT": "0",
        # MLflow and DVC report usage and look for updates unless they are told not to.
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "DVC_NO_ANALYTICS": "true",
        "DVC_STUDIO_OFFLINE": "true",
        "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
        "DVC_SYSTEM_CONFIG_DIR": str(home / "dvc-system"),
        "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc-global"),
        "http_proxy": nowhere,
        "https_proxy": nowhere,
        # MLflow's file store is in maintenance and refuses to start without this.
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }


@contextlib.contextmanager
def scratch_folder(keep: bool) -> Iterator[Path]:
    """Makes a folder on the same disk as the cache; removes it with the block."""
    CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="scratch-", dir=CACHE))
    try:
        yield folder
    finally:
        if keep:
            print(f"Kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def git(place: Path, *arguments: str, stdin: str = "") -> str:
    """Runs git and returns what it printed, without the last newline."""
    done = subprocess.run(
        ("git", *arguments), cwd=place, check=True, input=stdin, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.rstrip("\n")
