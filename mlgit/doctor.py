"""What `mlgit doctor` looks at: the repository, the ledger, the journals, the cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mlgit import names
from mlgit.errors import MlgitError, NotFound, Unreadable
from mlgit.ledger import Ledger, sync, walk
from mlgit.ledger.append import checked_out
from mlgit.tracking import finish, journal


class Finding(NamedTuple):
    """One thing looked at."""

    level: str
    """"ok", "note" (worth knowing) or "problem"."""
    what: str
    hint: str | None = None


def examine(path: str = ".") -> Iterator[Finding]:
    """Yields what is well and what is not, from the repository inwards.

    Raises:
        NotARepository: there is no repository to look at.
    """
    with Ledger(path) as ledger:
        repository = ledger.repository
        version = repository.line("version").split()[2]
        yield Finding("ok", f"git {version}, repository {repository.common_dir}")
        yield _identity(ledger)
        yield from _journals(ledger)
        try:
            root = ledger.root
        except NotFound as error:
            yield Finding("note", error.message, error.hint)
            return
        except Unreadable as error:
            yield Finding("problem", error.message, error.hint)
            return
        if place := checked_out(repository):
            yield Finding(
                "problem",
                f"the branch {repository.branch} is checked out in {place}; no run can be saved",
                f"git -C {place} switch -",
            )
        yield from _records(ledger, root)
        yield from _sharing(ledger)


def _identity(ledger: Ledger) -> Finding:
    try:
        person = ledger.repository.person
    except MlgitError as error:
        return Finding("problem", error.message, error.hint)
    return Finding("ok", f"runs are made by {person.name} <{person.email}>")


def _journals(ledger: Ledger) -> Iterator[Finding]:
    common = ledger.repository.common_dir
    dead = {path.stem for path in finish.dead_runs(common)}
    live = {run.id for run in finish.live_runs(common)}
    if live:
        yield Finding("ok", f"{len(live)} running now")
    for run_id in sorted(dead):
        yield Finding("note", f"the run {run_id} ended without being saved", "mlgit recover")
    for path in journal.all_paths(common):
        if path.stem not in dead | live:
            yield Finding("problem", f"the journal {path} cannot be read", "move it away")


def _records(ledger: Ledger, root: str) -> Iterator[Finding]:
    """Reads every file of the ledger."""
    runs = 0
    problems: list[walk.Problem] = list(walk.stray(ledger.repository, root))
    for found in walk.load_runs(ledger.reader, walk.run_folders(ledger.reader, root)):
        if isinstance(found, walk.Problem):
            problems.append(found)
            continue
        runs += 1
    problems += walk.bad_facts(ledger.reader, root)
    for problem in problems:
        yield Finding("problem", f"{names.shown(problem.path, 120)}: {problem.message}")
    yield Finding("ok", f"{runs:,} runs can be read, {len(problems)} problems")


def _sharing(ledger: Ledger) -> Iterator[Finding]:
    waiting = sync.unpushed(ledger.repository)
    if waiting is None:
        yield Finding("note", "no git remote shares this ledger", "git remote add origin URL")
    elif waiting:
        yield Finding("note", f"{waiting:,} runs have news that is not pushed", "mlgit push")
    else:
        yield Finding("ok", f"everything is pushed to {ledger.repository.remote}")
