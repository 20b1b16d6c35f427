"""The user's DVC pipelines: the stages of the `dvc.lock` files beside the code of runs.

A stage's entry names its inputs and outputs by md5, so it joins runs as other runs
do. Looked for are the `dvc.lock` of the folders above what a run used, in the commit
or snapshot that it ran. What was read once is kept below the git directory, by commit
and path, which do not change; that file is only a cache.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from mlgit.data import pointers
from mlgit.data.hashing import Hash
from mlgit.data.pointers import Tracked
from mlgit.errors import Unreadable
from mlgit.ledger import Ledger
from mlgit.ledger.objects import Object, TooLarge
from mlgit.lineage.cache import Cache

LOCK_LIMIT = 4 * 1024 * 1024  # bytes of a dvc.lock; one of 5,000 stages has 2 MB
# Of each path and content the first row, which is of the oldest run.
_OLDEST = """
select name, stages, min(lock.rowid) from lock join content using (blob)
group by blob, substr(name, instr(name, ':')) order by 3
"""


class Stage(NamedTuple):
    """One stage, run once: another input or output is another stage."""

    id: str
    name: str
    lock: str
    """The path of the dvc.lock in the repository."""
    commit: str
    """A commit or snapshot that has it: of the oldest run that shows it."""
    inputs: list[Tracked]
    outputs: list[Tracked]


class Pipelines(NamedTuple):
    stages: dict[str, Stage]
    """By id."""
    problems: list[str]
    """What could not be read, for people."""


def load(ledger: Ledger, cache: Cache) -> Pipelines:
    """Returns the stages in the code of all runs."""

    def ask(database: sqlite3.Connection) -> Pipelines:
        _refresh(database, ledger)
        return _parsed(database.execute(_OLDEST).fetchall())

    return cache.ask(ask)


def _refresh(database: sqlite3.Connection, ledger: Ledger) -> None:
    """Reads the dvc.lock files of the code that runs came with since the last time."""
    if database.execute("select tree from seen").fetchone() == (ledger.root,):
        return
    known = {name for (name,) in database.execute("select name from lock")}
    wanted = _names(ledger.index().pointers.places())
    fresh = [name for name in wanted if name not in known]
    commits = dict.fromkeys(name.partition(":")[0] for name in fresh)
    here = dict(zip(commits, map(_is_here, ledger.reader.find_many(commits)), strict=True))
    # Code that is not here may come later, and is looked for again then.
    fresh = [name for name in fresh if here[name.partition(":")[0]]]
    with database:
        for name, found in zip(fresh, ledger.reader.find_many(fresh, LOCK_LIMIT), strict=True):
            blob = ""
            if isinstance(found, TooLarge):
                blob = name
                stages = json.dumps(f"the pipeline {name} is too large: {found.size:,} bytes")
            elif isinstance(found, Object) and found.kind == "blob":
                blob = found.sha
                stages = _read(found.data, name)
            if blob:
                database.execute("insert or ignore into content values (?, ?)", (blob, stages))
            database.execute("insert or ignore into lock values (?, ?)", (name, blob))
        database.execute("delete from seen")
        database.execute("insert into seen values (?)", (ledger.root,))


def _is_here(found: Any) -> bool:
    return isinstance(found, Object) and found.kind == "commit"


def _names(places: Iterable[tuple[str, str, str]]) -> list[str]:
    """Returns what git calls the dvc.lock files that can be about these commits and paths."""
    found: dict[str, None] = {}
    for commit, path, _ in places:
        while path:
            path = posixpath.dirname(path)
            name = f"{commit}:{posixpath.join(path, 'dvc.lock')}"
            if name in found:
                break
            found[name] = None
    return list(found)


def _read(content: bytes, name: str) -> str:
    """Returns the stages of a dvc.lock as JSON, or a sentence about what is wrong with it."""
    try:
        return json.dumps(pointers.read_lock(content, name))
    except Unreadable as error:
        return json.dumps("the pipeline " + error.message.partition("\n")[0])


def _parsed(rows: Iterable[tuple[str, str, int]]) -> Pipelines:
    found: dict[str, Stage] = {}
    problems: dict[str, None] = {}
    for name, content, _ in rows:
        commit, _, lock = name.partition(":")
        stages = json.loads(content)
        if isinstance(stages, str):
            problems[stages] = None
            continue
        for title, (inputs, outputs) in stages.items():
            identity = json.dumps([lock, title, inputs, outputs])
            digest = hashlib.sha256(identity.encode()).hexdigest()[:20]
            ends = [_placed(tracked, posixpath.dirname(lock)) for tracked in (inputs, outputs)]
            found.setdefault(digest, Stage(digest, title, lock, commit, *ends))
    return Pipelines(found, list(problems))


def _placed(tracked: list[Any], folder: str) -> list[Tracked]:
    """Returns pointers with their paths relative to the repository."""
    return [
        Tracked(posixpath.normpath(posixpath.join(folder, path)), Hash(*found))
        for path, found in tracked
    ]
