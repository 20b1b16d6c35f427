"""The part of the index that knows what runs used and made, by hash and by path.

One row an input or output of a run; its code and its environment are rows too, so
that all of where a run comes from is found in one table. Histories are left out.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

import msgspec

from mlgit.records import Pointer, Run

SCHEMA = """\
create table pointer (run integer, direction text, hash text, path text, name text, role text,
                      kind text, size integer, files integer, stored text, url text, same text);
create index pointer_hash on pointer (direction, hash, size);
create index pointer_run on pointer (run);
create index pointer_same on pointer (same) where same is not null;
"""

Direction = Literal["input", "output", "code", "environment"]
T = TypeVar("T")


class Use(msgspec.Struct, frozen=True, gc=False):
    """What one run has to do with one content, commit or environment."""

    run: str
    direction: Direction
    hash: str
    """An md5; of an address that was not fetched, the address and what its server said."""
    path: str | None
    """Of code: the program that was run."""
    name: str | None
    """Of code: "snapshot" if it holds uncommitted work, "base" if that was added to it."""
    role: str | None
    kind: str | None
    size: int | None
    files: int | None
    stored: str | None
    """Where the bytes were put: "dvc", "git"; None: the hash is all that was kept."""


class Content(NamedTuple):
    """What all runs together say of one content; the newest has the word."""

    hash: str
    path: str
    name: str | None
    kind: str | None
    size: int | None
    files: int | None
    kept: bool
    """Whether a run kept the bytes; otherwise its hash is all there is."""
    made: bool
    """Whether it is an output of a run."""


class Version(NamedTuple):
    """One content of a dataset, as its runs used it."""

    dataset: str
    """The name it was given, else its path."""
    hash: str
    path: str
    size: int | None
    files: int | None
    kept: bool
    runs: int
    first: str
    """When the first of the runs started, and the last."""
    last: str
    roles: list[str]


class RunRow(msgspec.Struct, frozen=True, gc=False):
    """What a listing tells of a run."""

    id: str
    experiment: str
    name: str | None
    status: str
    started: str
    ended: str | None
    user: str
    email: str
    parent: str | None
    deleted: str | None


def rows_of(run: Run) -> Iterator[tuple[Any, ...]]:
    """Yields the rows of a run, without its number."""
    for direction, pointers in (("input", run.inputs), ("output", run.outputs)):
        for pointer in pointers:
            if pointer.kind != "history" and (known := identity(pointer)):
                yield (direction, known, *_rest(pointer))
    source = run.source
    if source.snapshot:
        yield ("code", source.snapshot, source.entry, "snapshot", *[None] * 7)
    if source.commit:
        base = "base" if source.snapshot else None
        yield ("code", source.commit, source.entry, base, *[None] * 7)
    if run.environment:
        yield ("environment", run.environment, *[None] * 9)


def identity(pointer: Pointer) -> str | None:
    """Returns the md5, or of an address that was not fetched what its server said of it."""
    return pointer.md5 or _told(pointer) or None


def _told(pointer: Pointer) -> str:
    told = (pointer.url, pointer.etag, pointer.version, pointer.modified)
    return " ".join(part for part in told if part)


def _same(pointer: Pointer) -> str | None:
    """Returns what other bytes, or none, may have in common with this content.

    Of a table the digest of its values, however it was stored. Of an address what its
    server said, if that names exact bytes: then it does not matter whether one fetched.
    """
    if pointer.content:
        return pointer.content
    is_exact = pointer.version or (pointer.etag and not pointer.etag.startswith("W/"))
    return _told(pointer) if pointer.url and is_exact else None


def _rest(pointer: Pointer) -> tuple[Any, ...]:
    counts = [
        None if count is None else min(max(count, 0), 2**63 - 1)  # SQLite's largest integer
        for count in (pointer.size, pointer.files)
    ]
    named = pointer.path, pointer.name, pointer.role, pointer.kind
    return *named, *counts, pointer.stored, pointer.url, _same(pointer)


class Ask(Protocol):
    """Puts a question to the index, which is brought up to date first."""

    def __call__(self, question: Callable[[sqlite3.Connection], T]) -> T: ...


_USE = "run.id, direction, hash, path, pointer.name, role, kind, size, files, stored"
_RUN = 'run.id, experiment, run.name, status, started, ended, "user", email, parent, deleted'
_JOINED = "pointer join run on pointer.run = run.number"


class Pointers:
    """The table, for reading."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def find(
        self,
        by: Literal["hash", "run", "path", "name"],
        values: Collection[str],
        *directions: Direction,
    ) -> list[Use]:
        """Returns the rows that have one of these values, those of the newest run first."""
        column = "run.id" if by == "run" else f'pointer."{by}"'
        rows = self._rows(
            f"select {_USE} from {_JOINED} where {column} in (select value from json_each(?))"
            " and direction in (select value from json_each(?)) order by run.id desc",
            json.dumps(list(values)),
            json.dumps(directions),
        )
        return [Use(*row) for row in rows]

    def every(self) -> list[Use]:
        """Returns all rows, those of the newest run first, of a run as it recorded them."""
        rows = self._rows(f"select {_USE} from {_JOINED} order by run.id desc, pointer.rowid")
        return [Use(*row) for row in rows]

    def users(self, hashes: Collection[str], direction: Direction) -> list[tuple[Use, RunRow]]:
        """Returns the uses of these contents with the runs, those of the newest run first."""
        rows = self._rows(
            f"select {_USE}, {_RUN} from {_JOINED} where direction = ?"
            " and hash in (select value from json_each(?)) order by run.id desc",
            direction,
            json.dumps(list(hashes)),
        )
        width = len(Use.__struct_fields__)
        return [(Use(*row[:width]), RunRow(*row[width:])) for row in rows]

    def describe(self, hashes: Collection[str]) -> list[Content]:
        """Returns what is known of these contents; those that no run has are left out."""
        if not hashes:
            return []
        # Of columns that are not summed up SQLite takes the row with the one maximum.
        rows = self._rows(
            "select hash, path, pointer.name, json_group_array(distinct kind), size, files,"
            " sum(stored is not null) > 0, sum(direction = 'output') > 0, max(run.id)"
            f" from {_JOINED} where hash in (select value from json_each(?))"
            " and direction in ('input', 'output') group by hash",
            json.dumps(list(hashes)),
        )
        return [
            Content(md5, path, name, _most(kinds), size, files, bool(kept), bool(made))
            for md5, path, name, kinds, size, files, kept, made, _ in rows
        ]

    def keepers(self, hashes: Collection[str] | None = None) -> dict[str, list[str]]:
        """Returns the runs that keep each content in the data store, the newest first.

        Of these contents, or of all; deleted runs keep nothing.
        """
        chosen = "" if hashes is None else " and hash in (select value from json_each(?))"
        rows = self._rows(
            f"select distinct hash, run.id from {_JOINED} where stored = 'dvc' and deleted is null"
            f" and direction in ('input', 'output'){chosen} order by run.id desc",
            *([] if hashes is None else [json.dumps(list(hashes))]),
        )
        found: dict[str, list[str]] = {}
        for md5, run in rows:
            found.setdefault(md5, []).append(run)
        return found

    def beginning(self, prefix: str) -> list[str]:
        """Returns the hashes of data that begin with some hex digits."""
        rows = self._rows(
            "select distinct hash from pointer where hash >= ? and hash < ?"
            " and direction in ('input', 'output')",
            prefix,
            prefix + "~",
        )
        return [row[0] for row in rows]

    def called(self, *names: str) -> list[str]:
        """Returns the hashes of data with such a name, path or address, the last used first."""
        rows = self._rows(
            f"with told as (select value from json_each(?)) select hash, max(run.id) from {_JOINED}"
            " where (pointer.name in told or path in told or url in told)"
            " and direction in ('input', 'output') group by hash order by 2 desc",
            json.dumps(names),
        )
        return [row[0] for row in rows]

    def contents(self, direction: Direction, folders: bool) -> dict[str, int | None]:
        """Returns the hashes of all folders or all else that was used or made, with their sizes."""
        return dict(
            self._rows(
                "select hash, max(size) from pointer where direction = ?"
                f" and substr(hash, -4) {'=' if folders else '<>'} '.dir' group by hash",
                direction,
            )
        )

    def same(self, hashes: Collection[str]) -> list[tuple[str, str]]:
        """Returns these hashes, each with another that is known to be of the same content."""
        if not self._has_same:
            return []
        return self._rows(
            "select distinct mine.hash, other.hash from pointer mine join pointer other"
            " on other.same = mine.same and other.hash <> mine.hash where mine.same is not null"
            " and mine.hash in (select value from json_each(?))"
            " and mine.direction in ('input', 'output')",
            json.dumps(list(hashes)),
        )

    @cached_property
    def _has_same(self) -> bool:
        return bool(self._rows("select 1 from pointer where same is not null limit 1"))

    def versions(self) -> list[Version]:
        """Returns every content that was used under a name, the last used first."""
        rows = self._rows(
            "select coalesce(pointer.name, path), hash, max(path), max(size), max(files),"
            " sum(stored is not null) > 0, count(distinct run), min(started), max(started),"
            f" json_group_array(distinct role) from {_JOINED} where direction = 'input'"
            " group by 1, 2 order by 9 desc, 1, 2"
        )
        return [
            Version._make(
                (*told, bool(kept), runs, first, last, sorted(filter(None, json.loads(roles))))
            )
            for *told, kept, runs, first, last, roles in rows
        ]

    def places(self) -> list[tuple[str, str, str]]:
        """Returns each commit or snapshot, a path its runs used or ran, the oldest of them."""
        return self._rows(
            "select code.hash, used.path, min(run.id) from pointer code"
            " join pointer used using (run) join run on run.number = used.run"
            " where code.direction = 'code' and coalesce(code.name, '') <> 'base'"
            " and used.direction in ('input', 'code') and used.path is not null"
            " group by 1, 2 order by 3, 2"
        )

    def is_run(self, text: str) -> bool:
        """Tells whether a run has this name, or an id that begins so."""
        least = text.lower() if len(text) >= 4 and text.isascii() else "~"
        return bool(
            self._rows(
                # As JSON, which carries also what no UTF-8 does and somebody may type.
                "select 1 from run where name in (select value from json_each(?))"
                " or id between ? and ? limit 1",
                json.dumps([text]),
                least,
                least + "~",
            )
        )

    def runs(self, ids: Collection[str]) -> list[RunRow]:
        """Returns these runs, newest first; those not in the index are left out."""
        return self._runs("id", ids)

    def parts(self, ids: Collection[str]) -> list[RunRow]:
        """Returns the runs whose parent is one of these, newest first."""
        return self._runs("parent", ids)

    def _runs(self, column: str, values: Collection[str]) -> list[RunRow]:
        if not values:
            return []
        rows = self._rows(
            f"select {_RUN} from run where {column} in (select value from json_each(?))"
            " order by id desc",
            json.dumps(list(values)),
        )
        return [RunRow(*row) for row in rows]

    def _rows(self, statement: str, *parameters: str) -> list[Any]:
        return self._ask(lambda db: db.execute(statement, parameters).fetchall())


def _most(kinds: str) -> str | None:
    """Returns the one kind that is told of a content: a model is one, whoever reads it."""
    return max(filter(None, json.loads(kinds)), default=None)
