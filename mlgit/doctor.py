"""What `mlgit doctor` looks at: the repository, the journals, the ledger, its sharing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from mlgit import names, records, registry
from mlgit.errors import MlgitError, NotFound, Unreadable
from mlgit.ledger import Ledger, Repository, sync, walk
from mlgit.ledger.append import checked_out
from mlgit.tracking import finish, journal


class Finding(NamedTuple):
    """One thing looked at."""

    level: str
    """"ok", "note" (worth knowing) or "problem"."""
    what: str
    hint: str | None = None


def examine(repository: Repository) -> Iterator[Finding]:
    """Yields what is well and what is not, from the repository inwards."""
    with Ledger(repository) as ledger:
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
        yield from _models(ledger)
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
    reader, runs = ledger.reader, 0
    everything = chain(
        walk.stray(ledger.repository, root),
        walk.load_runs(reader, walk.run_folders(reader, root)),
        walk.load_experiments(reader, root),
        *(walk.bad_facts(reader, root, top) for top in ("models", "remotes")),
    )
    try:
        for found in everything:
            runs += isinstance(found, records.Run)
            if isinstance(found, walk.Problem):
                named = found.message.startswith(found.path)
                where = "" if named else f"{names.shown(found.path, 120)} "
                yield Finding("problem", where + found.message)
    except Unreadable as error:
        yield Finding("problem", error.message, error.hint)
    yield Finding("ok", f"{_counted(runs)} can be read")


def _models(ledger: Ledger) -> Iterator[Finding]:
    """Tells of git tags with names as the registry's that change nothing there."""
    found = registry.load(ledger).models.values()
    for model in found:
        for tag, message in model.problems:
            yield Finding("problem", f"the git tag {tag} changes nothing: {message}")
    if found:
        count = sum(len(model.events) for model in found)
        yield Finding("ok", f"{len(found):,} registered models, {count:,} events")


def _sharing(ledger: Ledger) -> Iterator[Finding]:
    waiting = sync.unpushed(ledger.repository)
    remote = ledger.repository.remote
    if waiting is None and remote:
        yield Finding(
            "note", f"this is the ledger of {remote}", "mlgit init, or a first run, makes it yours"
        )
    elif waiting is None:
        yield Finding("note", "no git remote shares this ledger", "git remote add origin URL")
    elif waiting:
        news = f"{_counted(waiting)} {'is' if waiting == 1 else 'are'} new or changed"
        remote = ledger.repository.remote
        yield Finding("note", f"{news} since the last push to {remote}", "mlgit push")
    else:
        yield Finding("ok", f"everything is pushed to {ledger.repository.remote}")


def _counted(runs: int) -> str:
    return f"{runs:,} run" + "s" * (runs != 1)
