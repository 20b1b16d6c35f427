"""The journal of a running run: one line for each thing logged, on disk at once.

`<git directory>/mlgit/live/<run id>.jsonl`, its first line the header, each other
a small JSON array. A line is one `write` to a file opened for appending, so it is
whole or absent after a kill at any moment, and threads and forked workers may
write at once. Whoever logs to the run holds a lock on the file; the kernel lets
go of it when the process dies, however it dies. A heartbeat touches the file, for
readers on another host that cannot see the lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import time
import warnings
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlgit import names, records
from mlgit.errors import MlgitWarning, NotFound, Unreadable, WriteFailed, WrongState
from mlgit.records import Points
from mlgit.records.canonical import unpack_number

FORMAT = 1
STALE_SECONDS = 120.0  # a run of another host without a heartbeat for so long is dead
PENDING_LIMIT = 16 * 1024 * 1024  # bytes held in memory while the disk takes nothing


class Journal:
    """Writes one run's journal. `append` may be called from any thread and forked worker."""

    def __init__(self, path: Path, header: dict[str, Any] | None, fsync: bool = False) -> None:
        """Makes the journal, or with `header=None` opens one that is there.

        Raises:
            NotFound: there is none to open.
            WrongState: another process is logging to this run.
            WriteFailed: the file cannot be written.
        """
        self.path = path
        self.files = path.with_suffix(".files")
        self._fsync = fsync
        self._pending = b""
        self._warned = False
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        try:
            if header is not None:
                path.parent.mkdir(exist_ok=True)
                flags |= os.O_CREAT | os.O_EXCL
            self._file = os.open(path, flags, 0o644)
        except FileNotFoundError as error:
            raise NotFound(f"there is no journal of the run {path.stem}") from error
        except OSError as error:
            raise WriteFailed(f"cannot write {path}: {error.strerror}") from error
        if not _lock(self._file):
            os.close(self._file)
            raise WrongState(
                f"another process is logging to the run {path.stem}", "wait until it has ended"
            )
        if header is not None:
            self.append(json.dumps({"format": FORMAT, **header}))
        else:
            self.append("")  # ends a line that a kill or a full disk may have cut

    def append(self, lines: str) -> None:
        """Writes whole lines, given without the last newline.

        While the disk takes nothing they are held in memory and tried again.

        Raises:
            WriteFailed: more than 16 MiB are held.
        """
        data = lines.encode() + b"\n"
        if self._pending:
            data = self._pending + data
        try:
            written = os.write(self._file, data)
            if self._fsync:
                os.fsync(self._file)
        except OSError as error:
            self._hold(data, error.strerror or str(error))
            return
        if written == len(data):
            self._pending = b""
        else:
            self._hold(data[written:], "the disk is full")

    def _hold(self, data: bytes, reason: str) -> None:
        self._pending = data
        if len(data) > PENDING_LIMIT:
            raise WriteFailed(
                f"cannot write {self.path}: {reason}; too much is waiting in memory",
                "free some space",
            )
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"cannot write {self.path}: {reason}; mlgit keeps what is logged in memory "
                "and tries again with the next call",
                MlgitWarning,
                stacklevel=2,
            )

    @property
    def pending(self) -> bool:
        """Tells whether something logged is not on disk yet."""
        return bool(self._pending)

    def keep_file(self, content: bytes) -> str:
        """Stores the bytes of a small artifact beside the journal and returns their name.

        Raises:
            WriteFailed: the file cannot be written; nothing is left behind.
        """
        digest = hashlib.sha256(content).hexdigest()
        path = self.files / digest
        beside = path.with_suffix(f".{os.getpid()}")
        try:
            self.files.mkdir(exist_ok=True)
            beside.write_bytes(content)
            os.replace(beside, path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise WriteFailed(f"cannot write {path}: {error.strerror}") from error
        return digest

    def beat(self) -> None:
        """Says that the run is alive, and tries again to write what is held."""
        if self._pending:
            self.append("")
        os.utime(self._file)

    def reopen(self) -> None:
        """Gives a forked worker a file of its own, so that the lock stays with its parent."""
        inherited = self._file
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        self._pending = b""
        os.close(inherited)

    def close(self) -> None:
        """Lets go of the lock; the journal stays."""
        os.close(self._file)
        self._file = -1

    def discard(self) -> None:
        """Deletes the journal, its run being saved, and closes it."""
        self.path.unlink(missing_ok=True)
        shutil.rmtree(self.files, ignore_errors=True)
        self.close()


def _lock(file: int) -> bool:
    for _ in range(4):  # `is_live` holds a shared lock for a moment
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.005)
        except OSError:
            return True  # a file system without locks; the heartbeat has to do
    return False


@dataclass
class Story:
    """What a journal tells so far."""

    header: dict[str, Any]
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    note: str | None = None
    history: dict[str, Points] = field(default_factory=dict)
    artifacts: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Path on the branch: kind, and the name of the file beside the journal."""
    environment: dict[str, Any] | None = None
    source: dict[str, Any] = field(default_factory=dict)
    ended: tuple[str, str, str | None] | None = None
    """Status, time, error."""
    cut: int = 0
    """Lines that a kill or a full disk cut in two; nobody was told they are logged."""

    @property
    def id(self) -> str:
        return str(self.header["id"])


def read(path: Path) -> Story:
    """Returns what a journal tells. Points are kept in arrays: 24 bytes each.

    Raises:
        NotFound: there is no such file.
        Unreadable: its first line is not a header this version knows.
    """
    try:
        with path.open("rb") as file:
            story = Story(_header(file.readline(), path))
            for line in file:
                if line.strip():
                    _apply(story, line)
    except FileNotFoundError as error:
        raise NotFound(f"there is no journal of the run {path.stem}") from error
    return story


def _header(line: bytes, path: Path) -> dict[str, Any]:
    header = records.parse(line, str(path))
    if header.get("format") != FORMAT or header.get("id") != path.stem:
        raise Unreadable(
            f"{path} is damaged, or from another version of mlgit",
            "move it away if it is not yours",
        )
    return header


def _apply(story: Story, line: bytes) -> None:
    try:
        verb, *rest = json.loads(line)
        if verb == "m":
            key, step, ms, value = rest
            points = story.history.get(key)
            if points is None:
                points = story.history[key] = Points(array("q"), array("q"), array("d"))
            _add_point(points, step, ms, unpack_number(value))
        elif verb == "p":
            story.params.setdefault(rest[0], rest[1])
        elif verb == "t":
            story.tags[rest[0]] = rest[1]
        elif verb == "n":
            story.note = rest[0]
        elif verb == "a":
            story.artifacts[rest[0]] = (rest[1], rest[2])
        elif verb == "source":
            story.source = rest[0]
        elif verb == "environment":
            story.environment = rest[0]
        elif verb == "end":
            story.ended = (rest[0], rest[1], rest[2])
        elif verb == "resume":
            story.ended = None
    except (ValueError, TypeError, LookupError, OverflowError, Unreadable):
        story.cut += 1


def _add_point(points: Points, step: int, ms: int, value: float) -> None:
    if type(value) is int and isinstance(points.value, array):
        # Integers stay integers: a count of 3 is not 3.0. Then the column is a list.
        points.value = list(points.value)
    points.append(step, ms, value)


# --- the journals of a repository ------------------------------------------------------


def folder(state: Path) -> Path:
    """Returns where a repository's journals lie."""
    return state / "live"


def path_of(state: Path, run_id: str) -> Path:
    return folder(state) / f"{run_id}.jsonl"


def all_paths(common_dir: Path) -> Iterator[Path]:
    """Yields the journals below a git directory, newest first."""
    found = (common_dir / "mlgit" / "live").glob("*.jsonl")
    yield from sorted((path for path in found if names.is_id(path.stem)), reverse=True)


def is_live(path: Path) -> bool:
    """Tells whether a process is still logging to this journal.

    Raises:
        NotFound, Unreadable: as `read`.
    """
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except OSError:
                pass  # a file system without locks
            header = _header(file.readline(), path)
            age = time.time() - os.fstat(file.fileno()).st_mtime
    except FileNotFoundError as error:
        raise NotFound(f"there is no journal of the run {path.stem}") from error
    return header.get("host") != socket.gethostname() and age < STALE_SECONDS
