"""The index: what conditions and sort keys need of every run, in one SQLite file.

It is a cache below the git directory, keyed by the tree it was made from: safe to
delete, brought up to date by the folders that changed, and never trusted over the
ledger. Values lie by column, so that a condition on two fields of 100,000 runs
reads two columns; the language itself is evaluated in one place, mlgit.query.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from mlgit import records
from mlgit.errors import Unreadable
from mlgit.ledger import walk
from mlgit.ledger.objects import Reader
from mlgit.ledger.repository import Repository
from mlgit.query import ATTRIBUTES, Field

FORMAT = 1
_ATTRIBUTES = (*ATTRIBUTES, "deleted")
_SCHEMA = f"""
create table meta (key text primary key, value text);
create table run (number integer primary key, {", ".join(f'"{name}"' for name in _ATTRIBUTES)});
create unique index run_id on run (id);
create table field (number integer primary key, kind text, key text, unique (kind, key));
create table value (field integer, run integer, value, primary key (field, run)) without rowid;
create table metric (field integer, run integer, "last", "min", "max", "step", "count",
                     primary key (field, run)) without rowid;
create table problem (path text primary key, message text);
"""
_PARTS = ("last", "min", "max", "step", "count")

Progress = Callable[[int, int], None]  # runs done, runs in all


class Index:
    """An open index. Use `open_index`, which also brings it up to date."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._fields: dict[tuple[str, str], int] = {
            (kind, key): number
            for number, kind, key in connection.execute("select number, kind, key from field")
        }

    def close(self) -> None:
        self._db.close()

    def columns(self, fields: Sequence[Field]) -> tuple[list[str], list[list[Any]]]:
        """Returns the ids of all runs, and for each field one list of values, alike in order.

        A value that a run does not have is None. Runs come in no particular order.
        """
        numbers = self._column("select number from run order by number")
        ids = self._column("select id from run order by number")
        position = {number: index for index, number in enumerate(numbers)}
        found: list[list[Any]] = []
        for field in fields:
            if field.kind == "attribute":
                found.append(self._column(f'select "{field.key}" from run order by number'))
                continue
            column: list[Any] = [None] * len(ids)
            number = self._fields.get((field.kind, field.key), -1)
            table, name = ("metric", field.part) if field.kind == "metric" else ("value", "value")
            rows = self._db.execute(f'select run, "{name}" from {table} where field = ?', (number,))
            for run, value in rows:
                column[position[run]] = json.loads(value) if type(value) is bytes else value
            found.append(column)
        return ids, found

    def keys(self) -> Iterator[tuple[str, str, int]]:
        """Yields every param, metric and tag key in use: kind, key, number of runs."""
        for table in ("value", "metric"):
            yield from self._db.execute(
                f"select kind, key, count(*) from {table} join field on field = number "
                "group by field order by kind, key"
            )

    def problems(self) -> list[walk.Problem]:
        """Returns what on the branch could not be read."""
        rows = self._db.execute("select path, message from problem order by path")
        return [walk.Problem(*row) for row in rows]

    def _column(self, statement: str) -> list[Any]:
        return [value for (value,) in self._db.execute(statement)]

    def refresh(self, reader: Reader, root: str, progress: Progress | None = None) -> None:
        """Brings the index up to the tree `root`."""
        known = dict(self._db.execute("select key, value from meta")).get("tree")
        if known == root:
            return
        try:
            folders = list(
                walk.changed_folders(reader, known, root)
                if known
                else walk.run_folders(reader, root)
            )
        except Unreadable:
            if not known:
                raise
            # The old tree is gone from the object store; start over.
            self._db.executescript(
                "delete from run; delete from value; delete from metric; delete from problem"
            )
            folders = list(walk.run_folders(reader, root))
        with self._db:
            if known:
                self._forget(folder.run_id for folder in folders)
            present = [folder for folder in folders if folder.sha]
            self._add(walk.load_runs(reader, present), len(present), progress)
            self._db.execute("insert or replace into meta values ('tree', ?)", (root,))

    def _forget(self, run_ids: Iterable[str]) -> None:
        for run_id in run_ids:
            row = self._db.execute("select number from run where id = ?", (run_id,)).fetchone()
            for table, column in (("value", "run"), ("metric", "run"), ("run", "number")):
                if row:
                    self._db.execute(f"delete from {table} where {column} = ?", row)
            self._db.execute("delete from problem where path like ?", (f"%/{run_id}/%",))

    def _add(
        self, runs: Iterable[records.Run | walk.Problem], total: int, progress: Progress | None
    ) -> None:
        (number,) = self._db.execute("select coalesce(max(number), 0) from run").fetchone()
        values: list[tuple[Any, ...]] = []
        metrics: list[tuple[Any, ...]] = []
        rows: list[tuple[Any, ...]] = []
        for done, run in enumerate(runs, 1):
            if isinstance(run, walk.Problem):
                self._db.execute("insert or replace into problem values (?, ?)", run)
                continue
            number += 1
            rows.append((number, *attributes(run).values()))
            values += [
                (self._field("param", key), number, _stored(value))
                for key, value in flat_params(run.params)
            ]
            values += [(self._field("tag", key), number, value) for key, value in run.tags.items()]
            metrics += [
                (self._field("metric", key), number, *(_stored(getattr(m, p)) for p in _PARTS))
                for key, m in run.metrics.items()
            ]
            if progress and not done % 500:
                progress(done, total)
        values.sort(key=_place)
        metrics.sort(key=_place)
        for table, content in (("run", rows), ("value", values), ("metric", metrics)):
            if content:
                marks = ", ".join("?" * len(content[0]))
                self._db.executemany(f"insert or replace into {table} values ({marks})", content)

    def _field(self, kind: str, key: str) -> int:
        number = self._fields.get((kind, key))
        if number is None:
            cursor = self._db.execute("insert into field (kind, key) values (?, ?)", (kind, key))
            number = self._fields[kind, key] = int(cursor.lastrowid or 0)
        return number


def _place(row: tuple[Any, ...]) -> tuple[int, int]:
    return row[0], row[1]


def attributes(run: records.Run) -> dict[str, Any]:
    """Returns the attributes that conditions and sort keys can name, and `deleted`."""
    return {
        "id": run.id,
        "name": run.name,
        "experiment": run.experiment,
        "status": run.status,
        "started": run.started,
        "ended": run.ended,
        "duration": run.duration,
        "user": run.by.name,
        "email": run.by.email,
        "commit": run.source.commit,
        "branch": run.source.branch,
        "parent": run.parent,
        "note": run.note,
        "deleted": run.deleted,
    }


def flat_params(params: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields every param, and the parts of those that are objects as `outer.inner`."""
    for key, value in params.items():
        yield key, value
        if isinstance(value, dict):
            for inner, part in flat_params(value):
                if f"{key}.{inner}" not in params:
                    yield f"{key}.{inner}", part


def _stored(value: Any) -> Any:
    """Returns a value in SQLite's types; bytes hold as JSON what SQLite has no type for."""
    if isinstance(value, str) or (type(value) is float and math.isfinite(value)):
        return value
    if type(value) is int and -(2**63) <= value < 2**63:
        return value
    return json.dumps(value, default=str).encode()


def open_index(
    repository: Repository, reader: Reader, root: str, progress: Progress | None = None
) -> Index:
    """Opens the index, makes it if need be, and brings it up to the tree `root`.

    Where it cannot be kept (a read-only or full disk), it is made in memory.
    """
    path = repository.common_dir / "mlgit" / "index.sqlite"
    for place in (str(path), str(path), ":memory:"):
        index = None
        try:
            if place != ":memory:":
                path.parent.mkdir(exist_ok=True)
            index = Index(_connect(place))
            index.refresh(reader, root, progress)
            return index
        except (OSError, sqlite3.Error):
            # Damaged, or another process's disk is full: it is only a cache.
            if index:
                index.close()
            if place != ":memory:":
                _discard(repository)
    raise AssertionError("an index in memory cannot fail to open")


def _discard(repository: Repository) -> None:
    try:
        (repository.common_dir / "mlgit" / "index.sqlite").unlink(missing_ok=True)
    except OSError:
        return  # the next attempt is in memory


def _connect(place: str) -> sqlite3.Connection:
    connection = sqlite3.connect(place, timeout=10)
    try:
        connection.execute("pragma synchronous = off")
        (version,) = connection.execute("pragma user_version").fetchone()
        if version != FORMAT:
            if version:
                raise sqlite3.DatabaseError("an index of another version")
            with connection:
                connection.executescript(f"begin; {_SCHEMA} pragma user_version = {FORMAT}; commit")
        return connection
    except sqlite3.Error:
        connection.close()
        raise
