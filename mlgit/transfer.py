"""The data that runs keep, to a data remote and back.

How far that went is noted (see `mlgit.whereabouts`), so the next time only runs that are
new since are looked at. Without the note, all runs are looked at and nothing is sent twice.

A run of which the remote lacks something is marked so by a fact of the kind "data", for
everybody; when that has arrived, another fact says so.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from mlgit import remotes, saved, whereabouts
from mlgit.data import transfer
from mlgit.data.remote import Remote, connect
from mlgit.data.traffic import Progress
from mlgit.data.transfer import Moved
from mlgit.errors import MlgitError, RemoteFailed
from mlgit.ledger import Ledger, walk
from mlgit.ledger.repository import Repository
from mlgit.records import Run

NOTHING = Moved(0, 0, [], [])
Kept = dict[str, set[str]]
"""What runs keep in the data store: md5s, by run id."""


def push(
    repository: Repository, name: str | None = None, progress: Progress | None = None
) -> Moved:
    """Sends what runs keep in the data store and a data remote does not have.

    To be called before the ledger is pushed, so that nobody reads of data that are
    not there yet. What `absent` and `damaged` name is tried again the next time, and the
    runs are marked. To a folder that is empty now, also what was sent before is sent.

    Raises:
        NotFound: there is no such remote, or none and no ledger.
        Invalid: the remote's folder or library is not known or installed on this machine.
        RemoteFailed: its folder, in which something lay, is gone; or see below.
        WriteFailed: see `mlgit.data.transfer.push`.
    """
    with Ledger(repository) as ledger:
        remote = remotes.here(repository, remotes.find(ledger, name))
        note = whereabouts.note_of(repository, "sent", remote)
        noted = whereabouts.read(note)
        wanted = _wanted(ledger, noted)
        if wanted and noted and _is_empty(remote):
            again = _wanted(ledger, {})
            if again != wanted:  # something lay there, and does not any more
                _check_there(remote)
            wanted = again
        root, moved = ledger.root, NOTHING
        if wanted:
            with connect(remote) as connection:
                moved = transfer.push(
                    repository.data_store, connection, set().union(*wanted.values()), progress
                )
    lacking = {*moved.absent, *moved.damaged}
    if mark(repository, wanted, lacking):
        with Ledger(repository) as ledger:
            root = ledger.root
    whereabouts.write(note, root, {run: md5s & lacking for run, md5s in wanted.items()})
    return moved


def withhold(repository: Repository, name: str | None = None) -> int:
    """Marks the runs whose data stay here while the runs are pushed; returns how many.

    What the remote has already, from other runs, is not lacking; if it cannot be
    reached, nothing is taken for granted.

    Raises:
        NotFound: there is no such remote.
    """
    with Ledger(repository) as ledger:
        remote = remotes.here(repository, remotes.find(ledger, name))
        wanted = _wanted(ledger, whereabouts.read(whereabouts.note_of(repository, "sent", remote)))
    everything = set().union(*wanted.values()) if wanted else set()
    lacking = everything
    with contextlib.suppress(RemoteFailed), connect(remote) as connection:
        # Of a folder the manifest goes last, so a remote that has it has its files, too.
        lacking = transfer.missing(connection, everything)
    mark(repository, wanted, lacking)
    return sum(bool(md5s & lacking) for md5s in wanted.values())


def mark(repository: Repository, kept: Mapping[str, Collection[str]], lacking: set[str]) -> bool:
    """Adds facts for the runs whose mark is not true any more; False if there are none."""
    with Ledger(repository) as ledger:
        new = {}
        for run in saved.load(ledger, list(kept)):
            missing = sorted(lacking.intersection(kept[run.id]))
            if missing != (run.missing or []):
                new[run.id] = [saved.fact(repository, "data", {"missing": missing})]
    if new:
        saved.add_facts(repository, new, f"say what the data remote has of {len(new)} runs")
    return bool(new)


def pull(
    repository: Repository,
    md5s: Iterable[str],
    name: str | None = None,
    progress: Progress | None = None,
) -> Moved:
    """Fetches files and folders, by md5, that are not on this machine, from a data remote.

    Raises:
        NotFound: there is no such remote.
        Invalid: the remote's folder or library is not known or installed on this machine.
        RemoteFailed: its folder is not there; or see below.
        WriteFailed: see `mlgit.data.transfer.pull`.
    """
    with Ledger(repository) as ledger:
        remote = remotes.here(repository, remotes.find(ledger, name))
    _check_there(remote)
    with connect(remote) as connection:
        return transfer.pull(repository.data_store, connection, md5s, progress)


def pull_new(
    repository: Repository, name: str | None = None, progress: Progress | None = None
) -> Moved:
    """Fetches what runs keep that came since this was last done here.

    Raises:
        NotFound, Invalid, RemoteFailed, WriteFailed: see `pull`.
    """
    with Ledger(repository) as ledger:
        remote = remotes.here(repository, remotes.find(ledger, name))
        note = whereabouts.note_of(repository, "fetched", remote)
        wanted = _wanted(ledger, whereabouts.read(note))
        root, moved = ledger.root, NOTHING
        if wanted:
            _check_there(remote)
            with connect(remote) as connection:
                everything = set().union(*wanted.values())
                moved = transfer.pull(repository.data_store, connection, everything, progress)
    lacking = {*moved.absent, *moved.damaged}
    whereabouts.write(note, root, {run: md5s & lacking for run, md5s in wanted.items()})
    return moved


def _is_empty(remote: Remote) -> bool:
    """Tells whether a remote is a folder in which nothing has arrived, or not any more."""
    return remote.url.startswith("/") and not os.path.isdir(f"{remote.url}/files")


def _check_there(remote: Remote) -> None:
    """Checks that a remote's folder exists, lest the place where a disk belongs be taken for it.

    Raises:
        RemoteFailed: it does not.
    """
    if remote.url.startswith("/") and not os.path.isdir(remote.url):
        raise RemoteFailed(
            f"the folder of the data remote {remote.name}, {remote.url}, is not there",
            f"is its disk mounted? If it is lost, 'mkdir -p {shlex.quote(remote.url)}', "
            "and the next push sends all that is here",
        )


def _wanted(ledger: Ledger, noted: Mapping[str, Any]) -> Kept:
    """Returns what new runs keep, and what was lacking of others the last time."""
    wanted = kept(ledger, noted.get("tree"))
    for run, md5s in noted.get("lacking", {}).items():
        wanted.setdefault(run, set()).update(md5s)
    return {run: md5s for run, md5s in wanted.items() if md5s}


def kept(ledger: Ledger, since: str | None = None) -> Kept:
    """Returns what runs keep in the data store; deleted ones keep nothing.

    Only of runs that have something the tree `since` has not, where that is known.
    """
    if since == ledger.root:
        return {}
    with contextlib.suppress(MlgitError):  # the tree may have been swept by git gc
        if since is not None:
            changed = walk.changed_folders(ledger.reader, since, ledger.root)
            return _kept(ledger, [folder for folder in changed if folder.sha])
    return _kept(ledger, walk.run_folders(ledger.reader, ledger.root))


def _kept(ledger: Ledger, folders: Iterable[walk.Folder]) -> Kept:
    return {
        run.id: of_run(run)
        for run in walk.load_runs(ledger.reader, folders)
        if isinstance(run, Run) and run.deleted is None
    }


def of_run(run: Run) -> set[str]:
    """Returns the md5s of what a run keeps in the data store."""
    pointers = (*run.inputs, *run.outputs)
    return {pointer.md5 for pointer in pointers if pointer.stored == "dvc" and pointer.md5}
