"""The data store: objects named by their md5, in DVC's own layout.

`files/md5/ab/cdef…`, mode 0444, written below `tmp/` and renamed; so an object is
there whole or not at all, no lock is needed, and a process that was killed leaves
nothing but a file below `tmp/`. Apart from the user's `.dvc/cache`, because `dvc gc`
deletes what it does not see.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from mlgit import names
from mlgit.data import hashing
from mlgit.data.hashing import Member
from mlgit.errors import Invalid, NotFound, Unreadable, WriteFailed

OBJECT_MODE = 0o444  # which DVC takes for "checked", without looking again
_YOUNG = 24 * 60 * 60  # seconds; of the two weeks for which `gc` lets an object be
_ABANDONED = 24 * 60 * 60  # seconds after which a file below tmp/ is nobody's any more


def object_path(folder: str | os.PathLike[str], md5: str) -> Path:
    """Returns where the object with this md5 (and `.dir`, for a manifest) lies in a store.

    Raises:
        Unreadable: this is no md5; it may come from somebody's record.
    """
    return Path(_place(folder, md5))


def _place(folder: str | os.PathLike[str], md5: str) -> str:
    # As text, because a Path costs as much as a system call, and folders have many files.
    if not hashing.is_md5(md5):
        raise Unreadable(f"{names.shown(md5)} names no object")
    return f"{os.fspath(folder)}/files/md5/{md5[:2]}/{md5[2:]}"


def has(folder: str | os.PathLike[str], md5: str, size: int | None = None) -> bool:
    """Tells whether an object is here, with `size` bytes if that is known.

    A power cut may leave an empty file where an object was just written; the size
    tells, for next to nothing.
    """
    try:
        found = os.stat(_place(folder, md5)).st_size
    except OSError:
        return False
    return size is None or found == size


def renew(folder: str | os.PathLike[str], md5: str) -> None:
    """Makes an old object as young as one that was just stored, so that `gc` lets it be.

    One that the user's own cache lent is theirs, too, and is left as it is; `gc` never
    drops those.
    """
    with contextlib.suppress(OSError):
        path = _place(folder, md5)
        found = os.stat(path)
        if found.st_nlink == 1 and time.time() - found.st_mtime > _YOUNG:
            os.utime(path)


def put(folder: Path, content: bytes, suffix: str = "") -> str:
    """Stores bytes below `folder` and returns their md5; the same bytes are stored once.

    `suffix` is ".dir" for a manifest. An object that was altered is replaced.

    Raises:
        WriteFailed: the disk is full or read-only; nothing is left behind.
    """
    digest = md5_of(content) + suffix
    with contextlib.suppress(Unreadable):
        if load(folder, digest) is not None:
            renew(folder, digest)
            return digest
    with writing(folder) as beside:
        beside.write_bytes(content)
        settle(folder, beside, digest)
    return digest


def load(folder: Path, digest: str) -> bytes | None:
    """Returns the bytes with this md5 (and `.dir`, for a folder's list), or None if not here.

    Raises:
        Unreadable: they are here, but are not those bytes any more, or cannot be read.
    """
    path = object_path(folder, digest)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(f"cannot read {path}: {error.strerror}") from error
    if md5_of(content) != digest.removesuffix(".dir"):
        raise altered(folder, digest)
    return content


def members(folder: Path, md5: str) -> list[Member]:
    """Returns the files of a stored folder, by its manifest.

    Raises:
        NotFound: the manifest is not here.
        Unreadable: it is damaged, or a path in it would leave the folder.
    """
    content = load(folder, md5)
    if content is None:
        raise absent(md5)
    return hashing.parse_manifest(content, f"the manifest {md5}")


def has_all(folder: Path, md5: str) -> bool:
    """Tells whether an object is here, and for a manifest whether all that it names is.

    Raises:
        Unreadable: the manifest is damaged.
    """
    if not has(folder, md5) or not md5.endswith(".dir"):
        return has(folder, md5)
    return all(has(folder, member.md5) for member in members(folder, md5))


def verify_object(folder: Path, md5: str) -> None:
    """Reads an object through and checks that it is what its name says.

    Of a folder this is the manifest only; its files are objects of their own.

    Raises:
        NotFound: it is not here.
        Unreadable: it is not those bytes any more, or cannot be read.
    """
    path = object_path(folder, md5)
    if not path.exists():
        raise absent(md5)
    try:
        found = hashing.hash_file(path)
    except Invalid as error:
        raise Unreadable(error.message) from error
    if found.md5 != md5.removesuffix(".dir"):
        raise altered(folder, md5)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Gives a new path to write to, and leaves nothing there that was not settled.

    Raises:
        WriteFailed: the disk is full or read-only.
    """
    beside = folder / "tmp" / f"{os.getpid()}-{secrets.token_hex(8)}"
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        yield beside
    except OSError as error:
        raise WriteFailed(
            f"cannot store data in {folder}: {error.strerror or error}",
            "free some space, or check the folder's permissions",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def settle(folder: Path, beside: Path, md5: str) -> None:
    """Makes a written file the object with this md5, which is what it must contain."""
    place = _place(folder, md5)
    os.chmod(beside, OBJECT_MODE)
    try:
        os.replace(beside, place)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.replace(beside, place)


def objects(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yields the md5 of every object in a store, a manifest's with `.dir`, and its status."""
    with contextlib.suppress(OSError):
        for above in sorted(os.scandir(folder / "files" / "md5"), key=lambda entry: entry.name):
            with contextlib.suppress(OSError):
                for entry in os.scandir(above):
                    md5 = above.name + entry.name
                    if hashing.is_md5(md5):
                        yield md5, entry.stat(follow_symlinks=False)


def usage(folder: Path) -> tuple[int, int]:
    """Returns the number of objects in a store, and their bytes."""
    sizes = [found.st_size for _, found in objects(folder)]
    return len(sizes), sum(sizes)


def sweep(folder: Path) -> None:
    """Removes what processes that were killed have left below `tmp/` a day ago or earlier."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder / "tmp")):
            with contextlib.suppress(OSError):
                if time.time() - entry.stat().st_mtime > _ABANDONED:
                    os.unlink(entry)


def md5_of(content: bytes) -> str:
    """Returns the md5 that names an object with these bytes."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def absent(*md5s: str) -> NotFound:
    """Returns the error that objects are not here."""
    what = f"the data {md5s[0]} is" if len(md5s) == 1 else f"{len(md5s):,} files' data are"
    return NotFound(f"{what} not on this machine", "fetch the data: mlgit data pull")


def altered(folder: Path, md5: str) -> Unreadable:
    """Returns the error that an object is not what its name says."""
    path = object_path(folder, md5)
    return Unreadable(f"the object {md5} in {folder} was altered", f"delete {path}")
