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

from mlgit import remotes
from mlgit.data import store, transfer
from mlgit.data.hashing import Member
from mlgit.data.remote import connect
from mlgit.errors import MlgitError, Unreadable, WriteFailed
from mlgit.ledger import Ledger, walk, worktrees
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
    trees: list[Path]
    """Work trees that a killed `mlgit reproduce` left."""

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
        # What the user's cache lent takes no space of its own, and its age is not ours.
        if md5 not in needed and found.st_nlink == 1
        # A copy may have an old mtime; its ctime is when it came.
        if now - max(found.st_mtime, found.st_ctime) > GRACE
    }
    return Waste(objects, _abandoned(repository, now), worktrees.abandoned(repository))


def drop(repository: Repository, waste: Waste) -> int:
    """Deletes what was found, manifests before the files they name; returns the bytes.

    It is looked for once more: since a person was asked, a run may have stored the same.

    Raises:
        Unreadable: see `find`.
        WriteFailed: something cannot be deleted.
    """
    now = find(repository)
    objects = {md5: size for md5, size in waste.objects.items() if md5 in now.objects}
    waste = Waste(objects, waste.files, [tree for tree in waste.trees if tree in now.trees])
    paths = [
        store.object_path(repository.data_store, md5)
        for md5 in sorted(waste.objects, key=lambda md5: (not md5.endswith(".dir"), md5))
    ]
    for path in (*paths, *waste.files):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise WriteFailed(f"cannot delete {path}: {error.strerror}") from error
    for tree in waste.trees:
        worktrees.remove(repository, tree)
    return waste.size


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
    lists = [md5 for md5 in named if md5.endswith(".dir")]
    absent = [md5 for md5 in lists if not store.has(repository.data_store, md5)]
    elsewhere = _manifests(repository, absent)
    for md5 in lists:
        members = elsewhere.get(md5) or store.members(repository.data_store, md5)
        named |= {member.md5 for member in members}
    return named


def _manifests(repository: Repository, absent: list[str]) -> dict[str, list[Member]]:
    """Returns the files of folders whose lists are not here, from the data remote."""
    if not absent:
        return {}
    found: dict[str, list[Member]] = {}
    why = "there is no data remote"
    try:
        with Ledger(repository) as ledger:
            remote = remotes.here(repository, remotes.find(ledger))
        with connect(remote) as connection:
            found = transfer.manifests(connection, absent)
            why = f"not on {remote.name}"
    except MlgitError as error:
        why = error.message
    if len(found) < len(absent):
        raise Unreadable(
            f"the list of files of {len(absent) - len(found):,} folders that runs keep is not "
            f"here, and {why}; what they need is not known, so nothing was deleted",
            "bring the lists: mlgit pull, or mlgit data pull RUN",
        )
    return found


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
