"""Taking files and folders into the data store.

A file is read once, unless its hash is known or somebody lends the object: it is
copied into the store while it is hashed, and what was copied decides its name. So
whatever the user does to it, now or afterwards, what was stored is consistent. No
lock is taken: whoever comes second finds the object there.
"""

from __future__ import annotations

import os
import stat
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from mlgit.data import hashing, pointers
from mlgit.data.copying import copy
from mlgit.data.dvc_repo import Found, walk
from mlgit.data.hashing import Hash, Member, Progress
from mlgit.data.state import State, start
from mlgit.data.store import (
    OBJECT_MODE,
    has,
    members,
    object_path,
    put,
    renew,
    settle,
    sweep,
    verify_object,
    writing,
)
from mlgit.data.threads import each
from mlgit.errors import Invalid, MlgitError, MlgitWarning

T = TypeVar("T")

_WORKERS = min(8, os.cpu_count() or 1)
_READINGS = 3  # of a file that changes meanwhile
_BATCH = 64  # small files are stored faster than they are handed to a thread


def take(
    store: Path,
    path: Path,
    state: State,
    lenders: Sequence[Path] = (),
    progress: Progress | None = None,
) -> Hash:
    """Stores a file or folder in the data store and returns its hash.

    The same content is stored once. `lenders` are caches in DVC's layout whose
    objects are hard-linked (see `dvc_repo.lenders`). A symbolic link is followed.

    Raises:
        Invalid: there is nothing at `path`, or a part of it cannot be read.
        WriteFailed: the disk is full or read-only; no part of an object is left.
    """
    taker = _Taker(store, state, lenders, progress)
    sweep(store)
    if not os.path.isdir(path):
        return taker.take(str(path), taker.promised(path).get(""))
    files = sorted(walk(path))
    promised = taker.promised(path)
    hashes = _each(lambda file: taker.take(file.path, promised.get(file.name)), files)
    found, manifest = _fold(files, hashes)
    put_manifest(store, manifest)
    return found


def receive(store: Path, write: Callable[[Path], T]) -> tuple[Hash, T]:
    """Stores what `write` writes to the new path it is given; returns its hash, and what it did.

    Raises:
        WriteFailed: the disk is full or read-only; no part of an object is left.
    """
    with writing(store) as beside:
        told = write(beside)
        found = hashing.hash_file(beside)
        settle(store, beside, found.md5)  # in place of the same bytes, if they are there
    return found, told


def put_manifest(store: Path, manifest: bytes) -> str:
    """Stores a folder's manifest and returns its md5. Last, after all that it names.

    Raises:
        WriteFailed: the disk is full or read-only.
    """
    md5 = hashing.manifest_md5(manifest)
    if has(store, md5, len(manifest)):
        renew(store, md5)
        return md5
    return put(store, manifest, ".dir")


def measure(path: Path, state: State, progress: Progress | None = None) -> Hash:
    """Returns the hash of a file or folder and stores nothing.

    Raises:
        Invalid: there is nothing at `path`, or a part of it cannot be read.
    """
    return listed(path, state, progress)[0]


def listed(path: Path, state: State, progress: Progress | None = None) -> tuple[Hash, bytes | None]:
    """Returns the hash of a file or folder and the manifest of a folder, and stores nothing.

    Raises:
        Invalid: there is nothing at `path`, or a part of it cannot be read.
    """
    tell = one_at_a_time(progress)
    if not os.path.isdir(path):
        return _measure_file(str(path), state, tell), None
    files = sorted(walk(path))
    return _fold(files, _each(lambda file: _measure_file(file.path, state, tell), files))


def _fold(files: Sequence[Found], hashes: Sequence[Hash]) -> tuple[Hash, bytes]:
    """Returns the hash of a folder, and its manifest."""
    manifest = hashing.format_manifest(
        Member(file.name, found.md5) for file, found in zip(files, hashes, strict=True)
    )
    size = sum(found.size for found in hashes)
    return Hash(hashing.manifest_md5(manifest), size, len(files)), manifest


class _Taker:
    """What taking each of many files has in common; used by several threads."""

    def __init__(
        self, store: Path, state: State, lenders: Sequence[Path], progress: Progress | None
    ) -> None:
        self._store = store
        self._state = state
        self._lenders = lenders
        self._progress = one_at_a_time(progress)

    def promised(self, path: Path) -> dict[str, str]:
        """Returns which objects of the lenders the files at `path` should be, by a `.dvc` file.

        A folder's by relative path, a single file's under "". Those are hashed first,
        so that nothing is copied if the promise holds.
        """
        tracked = pointers.tracked_as(path) if self._lenders else None
        if tracked is None:
            return {}
        if tracked.files is None:
            return {"": tracked.md5}
        for lender in self._lenders:
            try:
                return {member.path: member.md5 for member in members(lender, tracked.md5)}
            except MlgitError:
                continue
        return {}

    def take(self, path: str, promised: str | None) -> Hash:
        before = _status(path)
        md5 = self._state.known(path, before)
        if md5 is None and promised is not None and self._lender_of(promised):
            md5 = _measure_file(path, self._state, None).md5
        if md5 is not None and self._is_here(md5, before.st_size):
            if self._progress:
                self._progress(before.st_size)
            return Hash(md5, before.st_size, None)
        began = start(before)
        with writing(self._store) as beside:
            found = copy(path, beside, self._progress)
            if not self._is_here(found.md5, found.size):
                settle(self._store, beside, found.md5)
        after = _status(path)
        self._state.remember(before, after, began, found.md5)
        if _has_changed(before, after):
            warnings.warn(
                f"{path} changed while it was read; what was kept is what was read, "
                f"md5 {found.md5}",
                MlgitWarning,
                stacklevel=2,
            )
        return found

    def _is_here(self, md5: str, size: int) -> bool:
        if has(self._store, md5, size):
            renew(self._store, md5)
            return True
        return self._borrow(md5)

    def _lender_of(self, md5: str) -> Path | None:
        return next((lender for lender in self._lenders if has(lender, md5)), None)

    def _borrow(self, md5: str) -> bool:
        """Hard-links an object from a lender, if one has it and nobody can write to it."""
        lender = self._lender_of(md5)
        if lender is None:
            return False
        lent = object_path(lender, md5)
        try:
            found = lent.stat()
            # A second name may be a file of the user's, and its changes would be ours.
            if found.st_nlink != 1 or stat.S_IMODE(found.st_mode) != OBJECT_MODE:
                return False
            if self._state.known(str(lent), found) != md5:
                verify_object(lender, md5)
            place = object_path(self._store, md5)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.link(lent, place)
        except FileExistsError:
            return has(self._store, md5, found.st_size)
        except (OSError, MlgitError):
            return False  # altered, or on another file system
        return True


def _measure_file(path: str, state: State, progress: Progress | None) -> Hash:
    for _ in range(_READINGS):
        before = _status(path)
        md5 = state.known(path, before)
        if md5 is not None:
            if progress:
                progress(before.st_size)
            return Hash(md5, before.st_size, None)
        began = start(before)
        found = hashing.hash_file(path, progress)
        after = _status(path)
        if not _has_changed(before, after):
            state.remember(before, after, began, found.md5)
            return found
    # Half of one content and half of another may have been read, and nothing keeps it.
    raise Invalid(f"{path} changes while it is read", "wait until it has been written")


def _has_changed(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns, before.st_ino) != (
        after.st_size,
        after.st_mtime_ns,
        after.st_ino,
    )


def _status(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error  # a name with a NUL is no OSError
        raise Invalid(f"cannot read {path}: {reason}") from error


def _each(work: Callable[[T], Hash], items: Sequence[T]) -> list[Hash]:
    size = max(1, min(_BATCH, len(items) // (4 * _WORKERS)))
    batches = [items[first : first + size] for first in range(0, len(items), size)]
    done = each(lambda batch: [work(item) for item in batch], batches, _WORKERS)
    return [result for batch in done for result in batch]


def one_at_a_time(progress: Progress | None) -> Progress | None:
    """Returns a callback for several threads that calls this one from one at a time."""
    if progress is None:
        return None
    lock = threading.Lock()

    def tell(count: int) -> None:
        with lock:
            progress(count)

    return tell
