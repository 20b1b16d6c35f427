"""`mlgit reproduce`: a run's command again, on its code, data and packages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mlgit import saved
from mlgit.data.traffic import Progress
from mlgit.errors import MlgitError, NotFound, WrongState
from mlgit.ledger import Ledger
from mlgit.projects import environment, worktree
from mlgit.projects.comparison import Row, compare
from mlgit.records import Run
from mlgit.tracking.session import ORIGIN, ORIGIN_VARIABLE


class Outcome(NamedTuple):
    """What came of it."""

    recorded: Run
    again: Run
    rows: list[Row]
    notes: list[str]
    """What is not as it was."""

    @property
    def same(self) -> bool:
        return all(row.same for row in self.rows if row.counts)


def reproduce(
    ledger: Ledger,
    run: Run,
    *,
    recorded_packages: bool = True,
    kept: Path | None = None,
    rtol: float = 1e-6,
    atol: float = 0.0,
    say: Callable[[str], None],
    progress: Progress | None = None,
) -> Outcome:
    """Runs a run again in a work tree of its own and compares; a new run names its origin.

    The command's output goes to stderr. `kept` is where the work tree stays; otherwise it
    is removed.

    Raises:
        NotFound: code, command or data of the run are not to be had.
        WrongState: the command cannot be run as it was, fails, or records no run.
        WriteFailed: no work tree or environment can be made.
    """
    commit, command = _code(ledger, run), command_of(run)
    notes: list[str] = []
    with worktree.at(ledger.repository, commit, kept) as folder:
        say(f"code {commit[:12]} in {folder}")
        placed, told = worktree.place_data(ledger, run, folder, progress)
        notes += told
        if placed:
            say(f"data: {', '.join(placed)}")
        python = environment.current()
        if recorded_packages:
            described = saved.environment(ledger, run)
            if described is None or run.environment is None:
                notes.append("the run recorded no packages; those of this environment were used")
            else:
                python = environment.build(ledger.repository, run.environment, described, say)
        notes += python.notes
        where = folder / (run.source.cwd or ".")
        say(f"$ python {' '.join(command)}")
        code = _execute(python.python, command, where, run.id)
    again = _newest(ledger, run)
    if code:
        also = f"; it is recorded as {again.id}" if again else ""
        raise WrongState(
            f"the command ended with exit code {code}{also}",
            "its output is above; --keep leaves the work tree to look at",
        )
    if again is None:
        raise WrongState("the command recorded no run that could be compared")
    return Outcome(run, again, compare(run, again, rtol, atol), notes)


def _code(ledger: Ledger, run: Run) -> str:
    commit = run.source.snapshot or run.source.commit
    if commit is None:
        raise NotFound(f"the run {run.id} recorded no code")
    if not ledger.has_commit(commit):
        raise NotFound(
            f"the code of the run {run.id}, commit {commit[:12]}, is not in this repository",
            "fetch it where it is: git fetch (git fetch --unshallow in a shallow clone); "
            "with mlgit.code = sha only its id was kept",
        )
    return commit


def command_of(run: Run) -> list[str]:
    """Returns the arguments of Python that run the command again.

    Raises:
        NotFound: the run recorded none.
        WrongState: it cannot be run as it was.
    """
    source = run.source
    if source.module is None and source.entry is None:
        raise NotFound(
            f"the run {run.id} recorded no script",
            "it came from a prompt, an installed program, or a run without the capture 'command'",
        )
    if (source.entry or "").endswith(".ipynb"):
        raise WrongState(f"{source.entry} is a notebook, which has no command to run again")
    if any("***" in argument for argument in source.argv):
        raise WrongState(
            "an argument was a secret and was not recorded",
            "give secrets by the environment, not as arguments",
        )
    if source.module is not None:
        return ["-m", source.module, *source.argv]
    # Relative to the folder the command was given in.
    script = os.path.relpath(source.entry or "", source.cwd or ".")
    return [script, *source.argv]


def _execute(python: Path, command: list[str], where: Path, origin: str) -> int:
    kept = {
        key: value
        for key, value in os.environ.items()
        # What git sets for its own children would lead to the user's work tree.
        if key not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "PYTHONHOME")
    }
    if python != Path(sys.executable):
        kept.pop("PYTHONPATH", None)
        kept["VIRTUAL_ENV"] = str(python.parent.parent)
    path = os.pathsep.join([str(python.parent), kept.get("PATH", "")])
    env = {**kept, "PATH": path, ORIGIN_VARIABLE: origin}
    if not where.is_dir():
        raise NotFound(f"the folder {where.name} in which the command was given is not in the code")
    stderr = 2  # the descriptor: ours may have been replaced
    process = subprocess.Popen([str(python), *command], cwd=where, env=env, stdout=stderr)
    try:
        return process.wait()
    except BaseException:
        process.terminate()  # its run ends as interrupted
        process.wait()
        raise


def _newest(ledger: Ledger, run: Run) -> Run | None:
    """Returns the run that corresponds, of those that the command has just recorded."""
    with Ledger(ledger.repository) as now:
        try:
            found = saved.select(now, f'tags."{ORIGIN}" = "{run.id}" and id > {run.id}')
        except MlgitError:
            return None
    like = [r for r in found if (r.experiment, r.name) == (run.experiment, run.name)]
    return next(iter(like or found), None)
