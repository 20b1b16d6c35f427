"""The journal of a running run: one line for each thing logged, on disk at once.

`<git directory>/mlgit/live/<run id>.jsonl`, its first line the header, each other
a small JSON array. A line is one `write` to a file opened for appending, so it is
whole or absent after a kill at any moment, and threads and forked workers may
write at once. Whoever logs to the run holds a lock on the file; the kernel lets
go of it when the process dies, however it dies. A heartbeat touches the file, for
readers on another host that cannot see the lock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
import warnings
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mlgit import names, records
from mlgit.errors import Invalid, MlgitWarning, NotFound, Unreadable, WriteFailed, WrongState
from mlgit.records import Points
from mlgit.records.canonical import BIG, Number, unpack_number

FORMAT = 1
STALE_SECONDS = 120.0  # a run of another host without a heartbeat for so long is dead
PENDING_LIMIT = 16 * 1024 * 1024  # bytes held in memory while the disk takes nothing


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line of a journal: which run it is, and whose process."""

    format: int = FORMAT
    id: str
    experiment: str
    name: str | None
    parent: str | None
    started: str
    by: dict[str, str]
    pid: int
    host: str
    resumed: str | None = None
    """When the run was taken up again, if it is in the ledger already."""
    paused: float | None = None
    """Seconds in which it had not run until then."""


class Journal:
    """Writes one run's journal. `append` may be called from any thread and forked worker."""

    def __init__(self, path: Path, header: Header | None, fsync: bool = False) -> None:
        """Makes the journal, or with `header=None` opens one that is there.

        Raises:
            NotFound: there is none to open.
            WrongState: somebody is logging to this run.
            WriteFailed: the file cannot be written.
        """
        self.path = path
        self.files = path.with_suffix(".files")
        self._fsync = fsync
        self._pending = b""
        self._warned = False
        self._is_workers = False
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        try:
            if header is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                flags |= os.O_CREAT | os.O_EXCL
            self._file = os.open(path, flags, 0o644)
        except OSError as error:
            if header is None and isinstance(error, FileNotFoundError):
                raise NotFound(f"there is no journal of the run {path.stem}") from error
            if path.exists() and isinstance(error, FileExistsError):
                raise taken(path) from error
            raise WriteFailed(f"cannot write {path}: {error.strerror}") from error
        try:
            if not _lock(self._file):
                raise taken(path)
            if header is None:
                self._take_up()
            else:
                self._begin(header)
        except BaseException:
            self.close()
            raise

    def _begin(self, header: Header) -> None:
        line = f"{one_line(msgspec.to_builtins(header))}\n".encode()
        try:
            if os.write(self._file, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self.path.unlink(missing_ok=True)
            raise WriteFailed(f"cannot write {self.path}: {error.strerror}") from error

    def _take_up(self) -> None:
        info = os.fstat(self._file)
        if not info.st_nlink:  # it was saved and deleted while we waited for the lock
            raise NotFound(f"there is no journal of the run {self.path.stem}")
        if info.st_size and os.pread(self._file, 1, info.st_size - 1) != b"\n":
            self.append("")  # ends a line that a full disk or a lost power supply cut in two

    def append(self, lines: str) -> None:
        """Writes whole lines, given without the last newline.

        While the disk takes nothing they are held in memory and tried again.

        Raises:
            WriteFailed: more than 16 MiB are held.
            WrongState: in a forked worker, its parent has ended the run.
        """
        if self._is_workers and not os.fstat(self._file).st_nlink:
            raise WrongState(
                f"the run {self.path.stem} has ended; nothing can be logged to it",
                "let the parent process wait for its workers before it ends the run",
            )
        new = lines.encode() + b"\n"
        data = self._pending + new
        try:
            rest = data[os.write(self._file, data) :]
        except OSError as error:
            self._hold(data, len(new), error.strerror or str(error))
            return
        if rest:
            self._hold(rest, len(new), "the disk is full")
            return
        self._pending = b""
        if self._fsync:
            self._sync()

    def _sync(self) -> None:
        try:
            os.fsync(self._file)
        except OSError as error:
            raise WriteFailed(
                f"what was logged may not survive a power cut: {self.path}: {error.strerror}"
            ) from error

    def _hold(self, rest: bytes, new: int, reason: str) -> None:
        """Keeps what the disk did not take; its last `new` bytes are this call's."""
        if len(rest) > max(PENDING_LIMIT, new):
            self._pending = rest[:-new]
            raise WriteFailed(
                f"cannot write {self.path}: {reason}; too much is waiting in memory",
                "free some space",
            )
        self._pending = rest
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
            with beside.open("wb") as file:
                file.write(content)
                if self._fsync:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(beside, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise WriteFailed(f"cannot write {path}: {error.strerror}") from error
        return digest

    def beat(self) -> None:
        """Says that the run is alive, and tries again to write what is held."""
        if self._pending:
            self.append("")
        os.utime(self._file)

    def reopen(self) -> None:
        """Gives a forked worker a file of its own, so that the lock stays with its parent."""
        inherited, self._is_workers, self._pending = self._file, True, b""
        with contextlib.suppress(FileNotFoundError):  # the run ended at this very moment
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            os.close(inherited)

    def close(self) -> None:
        """Lets go of the lock; the journal stays. Closing twice is harmless."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def discard(self) -> None:
        """Deletes the journal, its run being saved, and closes it."""
        # In this order: what is left after a kill is still a journal, and is discarded later.
        shutil.rmtree(self.files, ignore_errors=True)
        self.path.unlink(missing_ok=True)
        self.close()


def one_line(value: Any) -> str:
    """Returns JSON on one line, with a question mark for what UTF-8 has no bytes for.

    For what the system tells: a path or a user's name may be in any encoding.
    """
    return json.dumps(value, ensure_ascii=False).encode(errors="replace").decode()


def taken(path: Path) -> WrongState:
    """Returns the error that a second writer gets."""
    return WrongState(
        f"the run {path.stem} is being logged to", "end it there, or wait until it has ended"
    )


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


class Small(NamedTuple):
    """An artifact that the branch will keep itself."""

    kind: str
    name: str
    """Of the file beside the journal that holds its bytes: their SHA-256."""


@dataclass
class Story:
    """What a journal tells so far."""

    header: Header
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    note: str | None = None
    history: dict[str, Points] = field(default_factory=dict)
    inputs: list[records.Pointer] = field(default_factory=list)
    outputs: dict[str, Small | records.Pointer] = field(default_factory=dict)
    """By path, in the order of logging; pointers are of what lies in the data store."""
    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By md5 of the data."""
    environment: dict[str, Any] | None = None
    source: records.Source = field(default_factory=records.Source)
    ended: tuple[str, str, str | None] | None = None
    """Status, time, error."""
    paused: float = 0
    """Seconds in which nobody logged, between a death and a resumption."""
    fact_ids: list[str] = field(default_factory=list)
    """Of a resumed run: the ids of the facts to be made, once that was tried."""
    saved: bool = False
    """True if the ledger has it all, and only the journal was not deleted."""
    cut: int = 0
    """Lines that make no sense: cut in two by a full disk or a lost power supply."""

    @property
    def id(self) -> str:
        return self.header.id


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


def header(path: Path) -> Header:
    """Returns the first line of a journal.

    Raises:
        NotFound, Unreadable: as `read`.
    """
    try:
        with path.open("rb") as file:
            return _header(file.readline(), path)
    except FileNotFoundError as error:
        raise NotFound(f"there is no journal of the run {path.stem}") from error


def _header(line: bytes, path: Path) -> Header:
    try:
        header = msgspec.convert(records.parse(line, str(path)), Header)
        names.experiment_name(header.experiment)
        names.seconds(header.started)
        if header.format != FORMAT or header.id != path.stem:
            raise Unreadable("of another format, or another run")
    except (msgspec.ValidationError, Invalid, Unreadable) as error:
        raise Unreadable(
            f"{path} is damaged, or from another version of mlgit",
            "move it away if it is not yours",
        ) from error
    return header


def _apply(story: Story, line: bytes) -> None:
    try:
        match _decode(line):
            case ["m", key, step, ms, value]:  # as str(key) it would take four times as long
                _add_point(story.history, key, step, ms, unpack_number(value))
            case ["p", str(key), value]:
                story.params.setdefault(key, value)
            case ["t", str(key), str(value)]:
                story.tags[key] = value
            case ["n", str(text)]:
                story.note = text
            case ["a", str(path), str(kind), str(digest)]:
                story.outputs[names.artifact_path(path)] = Small(kind, digest)
            case ["o", dict(document)]:
                pointer = records.load_pointer(document)
                story.outputs[pointer.path] = pointer
            case ["i", dict(document)]:
                pointer = records.load_pointer(document)
                if pointer not in story.inputs:
                    story.inputs.append(pointer)
            case ["profile", str(md5), dict(profile)]:
                story.profiles[md5] = profile
            case ["source", dict(source)]:
                story.source = msgspec.convert(source, records.Source)
            case ["environment", dict(described)]:
                story.environment = described
            case ["end", str(status), str(moment), str() | None as error]:
                story.ended = (status, moment, error)
            case ["resume", *told]:
                story.paused += _pause(*told)
                story.ended = None
            case ["facts", *fact_ids]:
                story.fact_ids = fact_ids
            case ["saved"]:
                story.saved = True
            case _:
                story.cut += 1
    except (msgspec.MsgspecError, ValueError, RecursionError, Unreadable):
        story.cut += 1


def _pause(resumed: Any = None, _pid: Any = None, touched: Any = None, *_: Any) -> float:
    """Returns the seconds between the last word of a dead process and the next one's first."""
    if not (isinstance(resumed, str) and isinstance(touched, str)):
        return 0
    return max(0, names.seconds(resumed) - names.seconds(touched))


_decode = msgspec.json.Decoder().decode


def _add_point(history: records.History, key: Any, step: Any, ms: Any, value: Number) -> None:
    if not (type(key) is str and type(step) is type(ms) is int and abs(step) <= BIG >= abs(ms)):
        raise ValueError("not a point")
    points = history.get(key)
    if points is None:
        points = history[key] = Points(array("q"), array("q"), array("d"))
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


def this_host() -> str:
    return os.uname().nodename  # as socket.gethostname(), without loading sockets


def sweep(state: Path) -> None:
    """Deletes the journals that a kill left before their first line: nobody logged to them."""
    for path in folder(state).glob("*.jsonl"):
        with contextlib.suppress(OSError):
            info = path.stat()
            if not info.st_size and time.time() - info.st_mtime > STALE_SECONDS:
                path.unlink()


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
    return header.host != this_host() and age < STALE_SECONDS
