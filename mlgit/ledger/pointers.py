"""The part of the index that knows what runs used and made, by hash and by path.

One row an input or output of a run; its code and its environment are rows too, so
that all of where a run comes from is found in one table. Histories are left out.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from mlgit.records import Pointer, Run

SCHEMA = """\
create table pointer (run integer, direction text, hash text, path text, name text, role text,
                      kind text, size integer, files integer);
create index pointer_hash on pointer (direction, hash, size);
create index pointer_run on pointer (run);
"""

Direction = Literal["input", "output", "code", "environment"]
T = TypeVar("T")


class Use(NamedTuple):
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


class Content(NamedTuple):
    """What all runs together say of one content; the newest has the word."""

    hash: str
    path: str
    name: str | None
    kind: str | None
    size: int | None
    files: int | None
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
    runs: int
    first: str
    """When the first of the runs started, and the last."""
    last: str
    roles: list[str]


class RunRow(NamedTuple):
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
            if pointer.kind != "history" and (identity := _identity(pointer)):
                yield (direction, identity, *_rest(pointer))
    source = run.source
    if source.snapshot:
        yield ("code", source.snapshot, source.entry, "snapshot", *[None] * 4)
    if source.commit:
        base = "base" if source.snapshot else None
        yield ("code", source.commit, source.entry, base, *[None] * 4)
    if run.environment:
        yield ("environment", run.environment, *[None] * 6)


def _identity(pointer: Pointer) -> str | None:
    """Returns the md5, or of an address that was not fetched what its server said of it."""
    if pointer.md5:
        return pointer.md5
    told = (pointer.url, pointer.etag, pointer.version, pointer.modified)
    return " ".join(part for part in told if part) or None


def _rest(pointer: Pointer) -> tuple[Any, ...]:
    counts = [
        None if count is None else min(max(count, 0), 2**63 - 1)  # SQLite's largest integer
        for count in (pointer.size, pointer.files)
    ]
    return pointer.path, pointer.name, pointer.role, pointer.kind, *counts


class Ask(Protocol):
    """Puts a question to the index, which is brought up to date first."""

    def __call__(self, question: Callable[[sqlite3.Connection], T]) -> T: ...


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
            "select run.id, direction, hash, path, pointer.name, role, kind, size, files"
            " from pointer join run on pointer.run = run.number"
            f" where {column} in (select value from json_each(?))"
            " and direction in (select value from json_each(?)) order by run.id desc",
            json.dumps(list(values)),
            json.dumps(directions),
        )
        return list(map(Use._make, rows))

    def describe(self, hashes: Collection[str]) -> list[Content]:
        """Returns what is known of these contents; those that no run has are left out."""
        rows = self._rows(
            "select hash, path, pointer.name, max(kind), max(size), max(files),"
            " max(direction = 'output'), max(run.id)"
            " from pointer join run on pointer.run = run.number"
            " where hash in (select value from json_each(?))"
            " and direction in ('input', 'output') group by hash",
            json.dumps(list(hashes)),
        )
        return [Content._make(row[:7]) for row in rows]

    def beginning(self, prefix: str) -> list[str]:
        """Returns the hashes of data that begin with some hex digits."""
        rows = self._rows(
            "select distinct hash from pointer where hash >= ? and hash < ?"
            " and direction in ('input', 'output')",
            prefix,
            prefix + "~",
        )
        return [row[0] for row in rows]

    def called(self, name: str, path: str) -> list[str]:
        """Returns the hashes of data that had this name or path, the last used first."""
        rows = self._rows(
            "select hash, max(run.id) from pointer join run on pointer.run = run.number"
            " where (pointer.name = ? or path = ?) and direction in ('input', 'output')"
            " group by hash order by 2 desc",
            name,
            path,
        )
        return [row[0] for row in rows]

    def contents(self, direction: Direction) -> dict[str, int]:
        """Returns the hashes of all that was used or made, with the sizes in bytes."""
        return dict(
            self._rows(
                "select hash, max(size) from pointer where direction = ? group by hash", direction
            )
        )

    def versions(self) -> list[Version]:
        """Returns every content that was used under a name, the last used first."""
        rows = self._rows(
            "select coalesce(pointer.name, path), hash, max(path), max(size), max(files),"
            " count(distinct run), min(started), max(started), json_group_array(distinct role)"
            " from pointer join run on pointer.run = run.number where direction = 'input'"
            " group by 1, 2 order by 8 desc, 1, 2"
        )
        return [
            Version._make((*row, sorted(filter(None, json.loads(roles))))) for *row, roles in rows
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
        least = text.lower() if len(text) >= 4 else "~"
        return bool(
            self._rows(
                "select 1 from run where name = ? or id between ? and ? limit 1",
                text,
                least,
                least + "~",
            )
        )

    def runs(self, ids: Iterable[str]) -> list[RunRow]:
        """Returns these runs, newest first; those not in the index are left out."""
        return self._runs("id", ids)

    def parts(self, ids: Iterable[str]) -> list[RunRow]:
        """Returns the runs whose parent is one of these, newest first."""
        return self._runs("parent", ids)

    def _runs(self, column: str, values: Iterable[str]) -> list[RunRow]:
        rows = self._rows(
            'select id, experiment, name, status, started, ended, "user", email, parent, deleted'
            f" from run where {column} in (select value from json_each(?)) order by id desc",
            json.dumps(list(values)),
        )
        return list(map(RunRow._make, rows))

    def _rows(self, statement: str, *parameters: str) -> list[Any]:
        return self._ask(lambda db: db.execute(statement, parameters).fetchall())
