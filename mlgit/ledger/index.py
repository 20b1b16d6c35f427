"""The index: what conditions and sort keys need of every run, in one SQLite file.

It is a cache below the git directory, keyed by the tree it was made from: safe to
delete, brought up to date by the folders that changed, and never trusted over the
ledger. Values lie by column, so that a condition on two fields of 100,000 runs
reads two columns; the language itself is evaluated in one place, mlgit.query.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from mlgit import names, records
from mlgit.errors import Unreadable
from mlgit.ledger import pointers, walk
from mlgit.ledger.objects import Reader
from mlgit.ledger.repository import Repository
from mlgit.query import ATTRIBUTES, PARTS, Field

FORMAT = 4
_ATTRIBUTES = (*ATTRIBUTES, "snapshot", "deleted")  # of these two no condition can speak
_SCHEMA = f"""
create table meta (key text primary key, value text);
create table run (number integer primary key, {", ".join(f'"{name}"' for name in _ATTRIBUTES)});
create unique index run_id on run (id);
create index run_parent on run (parent) where parent is not null;
create table field (number integer primary key, kind text, key text, unique (kind, key));
create table value (field integer, run integer, value, primary key (field, run)) without rowid;
create table metric (field integer, run integer, "last", "min", "max", "step", "count",
                     primary key (field, run)) without rowid;
create table problem (path text primary key, message text);
{pointers.SCHEMA}"""

Progress = Callable[[int, int], None]  # runs done, runs in all


Row = tuple[Any, ...]
T = TypeVar("T")


class Table(NamedTuple):
    """All that the index holds of the runs, for who shows all of it; newest first."""

    ids: list[str]
    attributes: dict[str, list[Any]]
    """Of each attribute one list, alike in order with the ids; None where a run has none."""
    values: dict[tuple[str, str], dict[int, Any]]
    """By kind ("param", "metric", "tag") and key the values of the runs that have one, by
    position; of a metric its `PARTS` as a tuple. Both in order, whatever the index was
    made from, and when."""


class Index:
    """The index as of one tree of the ledger; whoever asks it brings it there first.

    Where it cannot be kept (a read-only or full disk), it is made in memory.
    """

    def __init__(
        self, path: Path, reader: Reader, root: str, progress: Progress | None = None
    ) -> None:
        self._path = path
        self._reader = reader
        self._root = root
        self._progress = progress
        self._db: sqlite3.Connection | None = None
        self.pointers = pointers.Pointers(self._ask)

    def close(self) -> None:
        if self._db:
            self._db.close()
            self._db = None

    def refresh(self) -> None:
        """Brings the index up to its tree, which all the questions below do too."""
        self._ask(lambda db: None)

    def columns(self, fields: Sequence[Field]) -> tuple[list[str], list[list[Any]]]:
        """Returns the ids of all runs, and for each field one list of values, alike in order.

        A value that a run does not have is None. Runs come in no particular order.
        """
        return self._ask(lambda db: _columns(db, fields))

    def table(self) -> Table:
        """Returns every value of every run."""
        return self._ask(_table)

    def keys(self) -> list[tuple[str, str, int]]:
        """Returns every param, metric and tag key in use: kind, key, number of runs."""
        return self._ask(
            lambda db: [
                row
                for table in ("value", "metric")
                for row in db.execute(
                    f"select kind, key, count(*) from {table} join field on field = number "
                    "group by field order by kind, key"
                )
            ]
        )

    def children(self, run_id: str) -> list[str]:
        """Returns the ids of the runs that have this one as their parent."""
        statement = "select id from run where parent = ?"
        return self._ask(lambda db: [row for (row,) in db.execute(statement, (run_id,))])

    def problems(self) -> list[walk.Problem]:
        """Returns what on the branch could not be read."""
        statement = "select path, message from problem order by path"
        return self._ask(lambda db: [walk.Problem(*row) for row in db.execute(statement)])

    def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Answers a question, of an index made anew or in memory if this one cannot be used."""
        busy = False
        for place in (str(self._path), str(self._path), ":memory:"):
            if busy and place != ":memory:":
                continue
            try:
                if self._db is None:
                    self._db = _connect(place)
                self._settle(self._db)
                try:
                    return question(self._db)
                finally:
                    self._db.rollback()
            except (OSError, sqlite3.Error) as error:
                # Damaged, or the disk is full, or somebody holds it: it is only a cache.
                self.close()
                busy = "locked" in str(error)
                if not busy:
                    _discard(self._path)
        raise AssertionError("an index in memory cannot fail to open")

    def _settle(self, db: sqlite3.Connection) -> None:
        """Begins a transaction in which the index is, and stays, as of our tree."""
        while True:
            db.execute("begin")
            known = _tree(db)
            if known == self._root:
                return
            db.rollback()
            db.execute("begin immediate")  # better to know now that it cannot be written
            db.rollback()
            # Reading takes long, and keeps nobody from asking meanwhile.
            news = self._read(known)
            db.execute("begin immediate")
            if _tree(db) == known:
                _write(db, news, self._root)
            db.commit()

    def _read(self, known: str | None) -> _News:
        """Reads what is new on the branch since the tree `known`."""
        folders, gone = None, None
        if known:
            try:
                folders = list(walk.changed_folders(self._reader, known, self._root))
                gone = [folder.run_id for folder in folders]
            except Unreadable:
                folders = None  # that tree is gone from the object store; start over
        if folders is None:
            folders = list(walk.run_folders(self._reader, self._root))
        news = _News(gone, {}, [], [], [], [], [])
        present = [folder for folder in folders if folder.sha]
        for found in walk.load_runs(self._reader, present):
            if isinstance(found, walk.Problem):
                news.problems.append(found)
                continue
            news.add(found)
            if self._progress and not len(news.runs) % 500:
                self._progress(len(news.runs), len(present))
        return news


class _News(NamedTuple):
    """Rows to be written; fields and runs are numbered from 0 here."""

    gone: list[str] | None
    """Runs to be forgotten first; None: all of them."""
    fields: dict[tuple[str, str], int]
    runs: list[Row]
    values: list[Row]
    metrics: list[Row]
    pointers: list[Row]
    problems: list[walk.Problem]

    def add(self, run: records.Run) -> None:
        number = len(self.runs)
        self.runs.append(tuple(attributes(run).values()))
        self.values.extend(
            (self._field("param", key), number, _stored(value))
            for key, value in flat_params(run.params)
        )
        self.values.extend(
            (self._field("tag", key), number, value) for key, value in run.tags.items()
        )
        self.metrics.extend(
            (self._field("metric", key), number, *(_stored(getattr(m, p)) for p in PARTS))
            for key, m in run.metrics.items()
        )
        self.pointers.extend((number, *row) for row in pointers.rows_of(run))

    def _field(self, kind: str, key: str) -> int:
        return self.fields.setdefault((kind, key), len(self.fields))


def _write(db: sqlite3.Connection, news: _News, root: str) -> None:
    if news.gone is None:
        for table in ("run", "value", "metric", "pointer", "problem"):
            db.execute(f"delete from {table}")
    else:
        _forget(db, news.gone)
    db.executemany("insert or ignore into field (kind, key) values (?, ?)", news.fields)
    numbers = {(kind, key): n for n, kind, key in db.execute("select number, kind, key from field")}
    fields = [numbers[field] for field in news.fields]
    (first,) = db.execute("select coalesce(max(number), 0) + 1 from run").fetchone()
    _insert(db, "run", ((first + number, *row) for number, row in enumerate(news.runs)))
    for table, content in (("value", news.values), ("metric", news.metrics)):
        content.sort(key=_place)
        _insert(db, table, ((fields[f], first + run, *rest) for f, run, *rest in content))
    _insert(db, "pointer", ((first + run, *rest) for run, *rest in news.pointers))
    _insert(db, "problem", news.problems)
    db.execute("insert or replace into meta values ('tree', ?)", (root,))


def _insert(db: sqlite3.Connection, table: str, rows: Iterable[Sequence[Any]]) -> None:
    width = len(db.execute(f"select * from {table} limit 0").description)
    marks = ", ".join("?" * width)
    db.executemany(f"insert or replace into {table} values ({marks})", rows)


def _forget(db: sqlite3.Connection, run_ids: Iterable[str]) -> None:
    numbers = []
    for run_id in run_ids:
        numbers += db.execute("select number from run where id = ?", (run_id,)).fetchall()
        above = names.run_folder(run_id)
        # All paths below the folder: the character after "/" is "0".
        db.execute("delete from problem where path > ? and path < ?", (f"{above}/", f"{above}0"))
    for table in ("value", "metric"):
        # Naming the fields, all of them, lets SQLite use the key.
        every = "field in (select number from field)"
        db.executemany(f"delete from {table} where {every} and run = ?", numbers)
    db.executemany("delete from pointer where run = ?", numbers)
    db.executemany("delete from run where number = ?", numbers)


def _tree(db: sqlite3.Connection) -> str | None:
    row = db.execute("select value from meta where key = 'tree'").fetchone()
    return row[0] if row else None


def _columns(db: sqlite3.Connection, fields: Sequence[Field]) -> tuple[list[str], list[list[Any]]]:
    keys = ["number", "id", *(field.key for field in fields if field.kind == "attribute")]
    # One pass over the table for all of them: its rows are wide.
    rows = db.execute(f"select {', '.join(map(_quoted, keys))} from run order by number").fetchall()
    numbers, ids, *attributes = map(list, zip(*rows, strict=True)) if rows else [[] for _ in keys]
    position = {number: index for index, number in enumerate(numbers)}
    found: list[list[Any]] = []
    for field in fields:
        if field.kind == "attribute":
            found.append(attributes.pop(0))
            continue
        column: list[Any] = [None] * len(rows)
        table, name = ("metric", field.part) if field.kind == "metric" else ("value", "value")
        number = "(select number from field where kind = ? and key = ?)"
        cells = db.execute(
            f'select run, "{name}" from {table} where field = {number}', (field.kind, field.key)
        )
        for run, value in cells:
            column[position[run]] = _loaded(value)
        found.append(column)
    return ids, found


def _table(db: sqlite3.Connection) -> Table:
    every = ", ".join(map(_quoted, _ATTRIBUTES))
    rows = db.execute(f"select number, {every} from run order by id desc").fetchall()
    columns = [[row[place] for row in rows] for place in range(1 + len(_ATTRIBUTES))]
    numbers, attributes = columns[0], dict(zip(_ATTRIBUTES, columns[1:], strict=True))
    position = {number: index for index, number in enumerate(numbers)}
    fields = {number: (kind, key) for number, kind, key in db.execute("select * from field")}
    values: dict[tuple[str, str], dict[int, Any]] = {}
    for field, run, value in db.execute("select field, run, value from value"):
        found = values.setdefault(fields[field], {})
        found[position[run]] = _loaded(value)
    parts = ", ".join(map(_quoted, PARTS))
    for field, run, *summary in db.execute(f"select field, run, {parts} from metric"):
        found = values.setdefault(fields[field], {})
        found[position[run]] = tuple(map(_loaded, summary))
    ordered = {field: dict(sorted(values[field].items())) for field in sorted(values)}
    return Table(attributes["id"], attributes, ordered)


def _loaded(value: Any) -> Any:
    return json.loads(value) if type(value) is bytes else value


def _quoted(name: str) -> str:
    return f'"{name}"'


def _place(row: Row) -> tuple[int, int]:
    return row[0], row[1]


def attributes(run: records.Run) -> dict[str, Any]:
    """Returns the attributes that conditions and sort keys can name, `snapshot` and `deleted`."""
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
        "snapshot": run.source.snapshot,
        "deleted": run.deleted,
    }


def flat_params(params: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields every param, and the parts of those that are objects as `outer.inner`.

    Parts with a name that nobody writes have none: a megabyte of them, in objects with long
    names in each other, would be as many names of a megabyte.
    """
    for key, value in params.items():
        yield key, value
        if isinstance(value, dict):
            for inner, part in flat_params(value):
                name = f"{key}.{inner}"
                if len(name) <= _LONGEST_NAME and name not in params:
                    yield name, part


_LONGEST_NAME = 2000  # characters of a part of a param, as of eight in each other


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
    """Opens the index, makes it if need be, and brings it up to the tree `root`."""
    index = Index(repository.common_dir / "mlgit" / "index.sqlite", reader, root, progress)
    index.refresh()
    return index


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):  # the next attempt is in memory
        path.unlink(missing_ok=True)


def _connect(place: str) -> sqlite3.Connection:
    if place != ":memory:":
        Path(place).parent.mkdir(exist_ok=True)
    # Transactions are begun by hand; a thread may close what another has opened.
    db = sqlite3.connect(place, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        db.execute("pragma synchronous = off")
        (version,) = db.execute("pragma user_version").fetchone()
        if version not in (0, FORMAT):
            raise sqlite3.DatabaseError("an index of another version")
        if not version:
            _make(db)
        return db
    except sqlite3.Error:
        db.close()
        raise


def _make(db: sqlite3.Connection) -> None:
    db.execute("begin immediate")
    if db.execute("pragma user_version").fetchone() == (0,):  # nobody was faster
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"pragma user_version = {FORMAT}")
    db.commit()
