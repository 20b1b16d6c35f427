"""What `mlgit doctor` looks at: the repository, the journals, the ledger, its sharing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from mlgit import names, records, registry, remotes, whereabouts
from mlgit.data import store
from mlgit.errors import MlgitError, NotFound, Unreadable
from mlgit.ledger import Ledger, Repository, sync, walk, worktrees
from mlgit.ledger.append import checked_out
from mlgit.tracking import finish, journal
from mlgit.words import listed


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
        yield from _data(ledger)


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
    for path in worktrees.abandoned(ledger.repository):
        yield Finding("note", f"a killed 'mlgit reproduce' left the work tree {path}", "mlgit gc")
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


def _data(ledger: Ledger) -> Iterator[Finding]:
    """Tells of runs whose data may be lost, or lie on this machine only; asks nobody.

    Of a folder its list is looked for, not every file: that is for `mlgit verify`.
    """
    keepers = ledger.index().pointers.keepers()
    here = {md5 for md5, _ in store.objects(ledger.repository.data_store)}
    there = whereabouts.on_remote(ledger, keepers)
    lost = _runs_of(md5s := keepers.keys() - here - there.keys(), keepers)
    only_here = _runs_of(keepers.keys() - there.keys() - md5s, keepers) - lost
    if lost:
        yield Finding(
            "note",
            f"the data of {_counted(len(lost))} are neither here nor on a data remote that is "
            f"known: {listed([run[:10] for run in sorted(lost, reverse=True)], 3)}",
            "whoever made them can send them: mlgit push; "
            "what exactly is missing: mlgit verify, mlgit data show",
        )
    if only_here:
        is_set_up = bool(remotes.list_remotes(ledger))
        yield Finding(
            "note",
            f"the data of {_counted(len(only_here))} are on this machine only",
            "mlgit push" if is_set_up else "mlgit remote add NAME s3://bucket/path (or a folder)",
        )
    if keepers and not lost and not only_here:
        yield Finding("ok", f"the data of {_counted(len(_runs_of(keepers, keepers)))} are shared")


def _runs_of(md5s: Iterable[str], keepers: dict[str, list[str]]) -> set[str]:
    return {run for md5 in md5s for run in keepers[md5]}


def _counted(runs: int) -> str:
    return f"{runs:,} run" + "s" * (runs != 1)
