"""`mlgit reproduce`: a run's command again, on its code, data and packages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mlgit import names, saved
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
    with worktree.at(ledger.repository, commit, kept) as (folder, owner):
        say(f"code {commit[:12]} in {folder}")
        notes += _left_out(run, folder)
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
        begun = names.new_id()
        env, told = _variables(python.python, run.id, ledger.repository.work_tree, folder)
        notes += told
        code = _execute(python.python, command, where, env, owner)
    again = _corresponding(ledger, run, begun)
    if code and not (again and again.status == run.status == "failed"):
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


def _left_out(run: Run, folder: Path) -> list[str]:
    """Returns notes of code that the run had and the work tree has not."""
    notes = [
        f"{item.get('path')} was not kept with the code: {item.get('reason')}"
        for item in run.source.skipped
    ]
    if (folder / ".gitmodules").is_file():
        notes.append("submodules are left empty; fetch them in a work tree of --keep")
    return notes


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
    arguments = [_with_home(argument) for argument in source.argv]
    if source.module is not None:
        return ["-m", source.module, *arguments]
    # Relative to the folder the command was given in.
    script = os.path.relpath(source.entry or "", source.cwd or ".")
    return [script, *arguments]


def _with_home(argument: str) -> str:
    """Returns an argument with the home folder, which records spell `~`, as a shell gives it."""
    return re.sub(r"(^|[=:,])~(?=/|$)", lambda m: m[1] + os.path.expanduser("~"), argument)


def _variables(
    python: Path, origin: str, root: Path | None, folder: Path
) -> tuple[dict[str, str], list[str]]:
    """Returns the environment variables for the command, and notes."""
    kept = {
        key: value
        for key, value in os.environ.items()
        # What git sets for its own children would lead to the user's work tree.
        if key not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "PYTHONHOME")
    }
    notes: list[str] = []
    if python != Path(sys.executable):
        kept.pop("PYTHONPATH", None)
        kept["VIRTUAL_ENV"] = str(python.parent.parent)
    elif root:
        given = [place for place in kept.get("PYTHONPATH", "").split(os.pathsep) if place]
        places = [_moved(place, root, folder) for place in given]
        for place in environment.editable(python, root):
            if (moved := _moved(place, root, folder)) != place:
                places.append(moved)
            else:
                notes.append(f"what is installed from {place} is imported as it is there today")
        if places:
            kept["PYTHONPATH"] = os.pathsep.join(places)
    path = os.pathsep.join([str(python.parent), kept.get("PATH", "")])
    return {**kept, "PATH": path, ORIGIN_VARIABLE: origin}, notes


def _moved(place: str, root: Path, folder: Path) -> str:
    """Returns a folder of the user's work tree as the one in the new work tree."""
    real = Path(place).resolve()
    if not os.path.isabs(place) or not real.is_relative_to(root):
        return place
    moved = folder / real.relative_to(root)
    return str(moved) if moved.is_dir() else place


def _execute(
    python: Path, command: list[str], where: Path, env: dict[str, str], owner: int | None
) -> int:
    if not where.is_dir():
        raise NotFound(f"the folder {where.name} in which the command was given is not in the code")
    stderr = 2  # the descriptor: ours may have been replaced
    shared = [] if owner is None else [owner]
    process = subprocess.Popen(
        [str(python), *command], cwd=where, env=env, stdout=stderr, pass_fds=shared
    )
    try:
        return process.wait()
    except BaseException:
        process.terminate()  # its run ends as interrupted
        process.wait()
        raise


def _corresponding(ledger: Ledger, run: Run, begun: str) -> Run | None:
    """Returns the run that corresponds, of those that the command has just recorded.

    One of the same name, of several the first with the same params, else the first.
    """
    with Ledger(ledger.repository) as now:
        try:
            found = saved.select(now, f'tags."{ORIGIN}" = "{run.id}" and id > {begun}')
        except MlgitError:
            return None

    def unlike(other: Run) -> tuple[bool, bool, str]:
        titles = (other.experiment, other.name) != (run.experiment, run.name)
        return titles, other.params != run.params, other.id

    return min(found, key=unlike, default=None)
