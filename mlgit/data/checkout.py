"""Files and folders out of the data store, as copies that are the user's own.

Cloned or copied, never linked: what happens to a file in a work tree must not reach
the object. Everything is written beside the destination, hashed on the way, and
renamed when it is whole.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlgit.data import ingest
from mlgit.data.copying import copy
from mlgit.data.hashing import Member, Progress
from mlgit.data.state import State
from mlgit.data.store import absent, altered, has, members, object_path
from mlgit.data.threads import each
from mlgit.errors import Invalid, MlgitError, Unreadable, WriteFailed

_WORKERS = min(8, os.cpu_count() or 1)


def checkout(store: Path, md5: str, destination: Path, progress: Progress | None = None) -> bool:
    """Writes a stored file or folder to `destination`; False if the very same is there.

    Raises:
        NotFound: it, or a part of it, is not on this machine.
        Invalid: something else is at `destination`; it is left as it is.
        Unreadable: an object was altered, or a manifest is damaged; nothing is written.
        WriteFailed: the disk is full or read-only; nothing is left behind.
    """
    wanted = members(store, md5) if md5.endswith(".dir") else None
    if os.path.lexists(destination):
        if _is_same(destination, md5):
            return False
        raise Invalid(
            f"{destination} is there already, and is not {md5}", "move it away, or name another"
        )
    needed = [member.md5 for member in wanted] if wanted is not None else [md5]
    if lacking := [md5 for md5 in needed if not has(store, md5)]:
        raise absent(*lacking)
    tell = ingest.one_at_a_time(progress)
    with _beside(destination) as beside:
        if wanted is None:
            _write(store, md5, beside, tell)
        else:
            _write_folder(store, wanted, beside, tell)
        _place(beside, destination)
    return True


def _is_same(path: Path, md5: str) -> bool:
    if path.is_dir() != md5.endswith(".dir"):
        return False
    try:
        return ingest.measure(path, State()).md5 == md5
    except MlgitError:
        return False


def _write_folder(
    store: Path, wanted: Sequence[Member], folder: Path, progress: Progress | None
) -> None:
    folder.mkdir()
    for above in sorted({member.path.rpartition("/")[0] for member in wanted} - {""}):
        (folder / above).mkdir(parents=True, exist_ok=True)

    def write(member: Member) -> None:
        _write(store, member.md5, folder / member.path, progress)

    for _ in each(write, wanted, _WORKERS):
        pass


def _write(store: Path, md5: str, path: Path, progress: Progress | None) -> None:
    try:
        found = copy(object_path(store, md5), path, progress)
    except Invalid as error:
        raise Unreadable(error.message) from error
    if found.md5 != md5:
        raise altered(store, md5)


@contextlib.contextmanager
def _beside(destination: Path) -> Iterator[Path]:
    """Gives a new path beside the destination, and leaves nothing there."""
    beside = destination.parent / f".{destination.name[:100]}.{secrets.token_hex(8)}.mlgit"
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        yield beside
    except OSError as error:
        raise WriteFailed(
            f"cannot write {destination}: {error.strerror or error}", "free some space"
        ) from error
    finally:
        if beside.is_dir():
            shutil.rmtree(beside, ignore_errors=True)
        with contextlib.suppress(OSError):
            beside.unlink()


def _place(beside: Path, destination: Path) -> None:
    """Renames, without replacing what somebody may have put there meanwhile."""
    if beside.is_dir():
        beside.rename(destination)  # which replaces nothing but an empty folder
        return
    try:
        os.link(beside, destination)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        beside.rename(destination)
