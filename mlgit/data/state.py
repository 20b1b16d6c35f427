"""The hashes of files seen before, so that an unchanged gigabyte is not read again.

A file is known again by device, inode, size, and the times of its last modification
and change in nanoseconds, as in git's index. Only a cache: it may be deleted, and
where it cannot be kept, files are hashed every time.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from mlgit.data.dvc_state import Recall

_SCHEMA = """
create table if not exists file (place text primary key, status text, md5 text) without rowid
"""
_PATIENCE = 0.5  # seconds to wait for another process; hashing again costs no more
_TICK = 2 * 10**7  # nanoseconds within which two changes may bear the same time
_COARSE_TICK = 2 * 10**9  # the same on file systems that keep whole seconds
_LARGE = 2**24  # bytes that take longer to hash than a tick


class State:
    """An open state file, for all threads. Made by `open_state`."""

    def __init__(
        self, database: sqlite3.Connection | None = None, recall: Recall | None = None
    ) -> None:
        self._db = database
        self._recall = recall
        self._lock = threading.Lock()
        self._new: list[tuple[str, str, str]] = []

    def known(self, path: str, found: os.stat_result) -> str | None:
        """Returns the md5 of the file at a path, of this status, if it was hashed before."""
        return self._kept(found) or (self._recall(path, found) if self._recall else None)

    def _kept(self, found: os.stat_result) -> str | None:
        if self._db is None:
            return None
        with self._lock, contextlib.suppress(sqlite3.Error):
            row = self._db.execute(
                "select md5 from file where place = ? and status = ?", _key(found)
            ).fetchone()
            return row[0] if row else None
        return None

    def remember(self, before: os.stat_result, after: os.stat_result, now: int, md5: str) -> None:
        """Keeps the md5 of a file that had these statuses before it was read and after.

        `now` is when reading began, by `start`. A file that had just been written then
        is not kept: it may have changed since and show the same times.
        """
        changed = max(before.st_mtime_ns, before.st_ctime_ns)
        tick = _TICK if changed % 10**9 else _COARSE_TICK
        if _key(before) == _key(after) and now - changed > tick:
            with self._lock:
                self._new.append((*_key(before), md5))

    def save(self) -> None:
        """Writes down what is new, in one short transaction, so that nobody waits long."""
        if self._db is None or not self._new:
            return
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.executemany("insert or replace into file values (?, ?, ?)", self._new)
            self._db.commit()
        self._new.clear()


def start(found: os.stat_result) -> int:
    """Returns the time in nanoseconds since 1970, when a file is about to be read.

    Waits for the clock to tick if a large file was written this very moment.
    """
    age = time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns)
    if found.st_size > _LARGE and 0 <= age <= _TICK:
        time.sleep((_TICK - age + 1) / 10**9)
    return time.time_ns()


def _key(found: os.stat_result) -> tuple[str, str]:
    place = f"{found.st_dev}:{found.st_ino}"
    return place, f"{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"


@contextlib.contextmanager
def open_state(path: Path, recall: Recall | None = None) -> Iterator[State]:
    """Opens the state file at `path`, making it if need be; saves and closes it afterwards.

    With `recall` it knows files, too, that somebody else remembers.
    """
    database = _open(path)
    state = State(database, recall)
    try:
        yield state
    finally:
        state.save()
        if database:
            with contextlib.suppress(sqlite3.Error):
                database.close()


def _open(path: Path, again: bool = True) -> sqlite3.Connection | None:
    database = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(path, timeout=_PATIENCE, check_same_thread=False)
        database.execute("pragma synchronous = off")
        database.execute(_SCHEMA)
        database.execute("select place, status, md5 from file limit 1")
        return database
    except (sqlite3.Error, OSError) as error:
        if database:
            database.close()
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, _BUSY) and again:
            with contextlib.suppress(OSError):
                path.unlink()  # damaged; it is only a cache
            return _open(path, again=False)
        return None


_BUSY = sqlite3.OperationalError  # a locked or unreachable file, not a damaged one
