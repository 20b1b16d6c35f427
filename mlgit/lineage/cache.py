"""What was read once of pipelines and folders, below the git directory.

Both are known by hashes, so what is kept never becomes wrong; it is only a cache and
may be deleted. Where it cannot be kept (a read-only or full disk), it is made in memory.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

_FORMAT = 1
_SCHEMA = {
    "lock": "(name text primary key, blob text)",  # "commit:path" -> blob; "" if none is there
    "content": "(blob text primary key, stages text) without rowid",
    "seen": "(tree text)",  # the ledger's tree up to which `lock` is complete
    "folder": "(md5 text primary key, files blob) without rowid",  # md5s of 16 bytes
}
T = TypeVar("T")


class Cache:
    """The cache at `path`, opened for each question anew."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Answers a question, which may be put again to an empty cache in memory."""
        for place in (str(self._path), ":memory:"):
            with contextlib.suppress(sqlite3.Error, OSError), _opened(place) as database:
                return question(database)
        raise AssertionError("a cache in memory cannot fail to open")


@contextlib.contextmanager
def _opened(place: str) -> Iterator[sqlite3.Connection]:
    if place != ":memory:":
        Path(place).parent.mkdir(exist_ok=True)
    database = sqlite3.connect(place, timeout=10)
    try:
        database.execute("pragma synchronous = off")
        (version,) = database.execute("pragma user_version").fetchone()
        if version != _FORMAT:
            _make(database)
        yield database
    except sqlite3.DatabaseError as error:
        if "not a database" in str(error) or "malformed" in str(error):
            Path(place).unlink(missing_ok=True)  # damaged: the next call makes a new one
        raise
    finally:
        database.close()


def _make(database: sqlite3.Connection) -> None:
    tables = [
        f"drop table if exists {name}; create table {name} {columns};"
        for name, columns in _SCHEMA.items()
    ]
    script = f"begin immediate; {' '.join(tables)} pragma user_version = {_FORMAT}; commit"
    database.executescript(script)
