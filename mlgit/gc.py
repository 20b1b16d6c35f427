"""What nobody needs any more below the git directory: `mlgit gc`.

An object goes only if no run names it: saved or running, deleted ones included, because
they can be restored. What is younger than the grace period stays, because a training may
have stored it and not written its journal yet. Nothing on any remote is touched.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import NamedTuple

from mlgit.data import store
from mlgit.errors import Unreadable, WriteFailed
from mlgit.ledger import Ledger, walk
from mlgit.ledger.repository import Repository
from mlgit.records import Run
from mlgit.tracking import finish, journal

GRACE = 14 * 24 * 60 * 60  # seconds; git's own, before it drops what nothing names
_ABANDONED = 24 * 60 * 60  # seconds after which a temporary file is nobody's any more


class Waste(NamedTuple):
    """What can go."""

    objects: dict[str, int]
    """Bytes, by md5."""
    files: dict[Path, int]
    """Bytes of temporary files that killed processes left, by path."""

    @property
    def size(self) -> int:
        return sum(self.objects.values()) + sum(self.files.values())


def find(repository: Repository) -> Waste:
    """Returns what can go; deletes nothing.

    Raises:
        Unreadable: a run cannot be read, so that nobody knows what it needs.
    """
    now = time.time()
    needed = _needed(repository)
    objects = {
        md5: found.st_size
        for md5, found in store.objects(repository.data_store)
        # A link that was lent by the user's cache has that file's mtime; its ctime is ours.
        if md5 not in needed and now - max(found.st_mtime, found.st_ctime) > GRACE
    }
    return Waste(objects, _abandoned(repository, now))


def drop(repository: Repository, waste: Waste) -> None:
    """Deletes what was found, manifests before the files they name.

    Raises:
        WriteFailed: something cannot be deleted.
    """
    paths = [
        store.object_path(repository.data_store, md5)
        for md5 in sorted(waste.objects, key=lambda md5: (not md5.endswith(".dir"), md5))
    ]
    for path in (*paths, *waste.files):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise WriteFailed(f"cannot delete {path}: {error.strerror}") from error


def _needed(repository: Repository) -> set[str]:
    named = set()
    with Ledger(repository) as ledger:
        if ledger.exists:
            folders = walk.run_folders(ledger.reader, ledger.root)
            for run in walk.load_runs(ledger.reader, folders):
                if not isinstance(run, Run):
                    raise Unreadable(
                        f"{run.message}; what it needs is not known, so nothing was deleted",
                        "mlgit doctor",
                    )
                named |= _md5s(run)
    for path in journal.all_paths(repository.common_dir):
        named |= _md5s(finish.peek(path))
    for md5 in [md5 for md5 in named if md5.endswith(".dir")]:
        if store.has(repository.data_store, md5):
            named |= {member.md5 for member in store.members(repository.data_store, md5)}
    return named


def _md5s(run: Run) -> set[str]:
    return {pointer.md5 for pointer in (*run.inputs, *run.outputs) if pointer.md5}


def _abandoned(repository: Repository, now: float) -> dict[Path, int]:
    state = repository.common_dir / "mlgit"
    found = [
        *(repository.data_store / "tmp").glob("*"),
        *state.glob("snapshot-*.index*"),
        *repository.objects.glob("obj*"),  # gitdb writes there before it renames
    ]
    sizes = {}
    for path in found:
        with contextlib.suppress(OSError):
            status = os.lstat(path)
            if path.is_file() and now - max(status.st_mtime, status.st_ctime) > _ABANDONED:
                sizes[path] = status.st_size
    return sizes
