"""The data that runs keep, to a data remote and back.

What was sent is noted below the git directory: the tree of the ledger up to which
everything is there, so that the next push looks only at runs that are new since. It
is a note for speed; without it, all runs are looked at and nothing is sent twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mlgit import remotes
from mlgit.data import transfer
from mlgit.data.hashing import is_md5
from mlgit.data.remote import Remote, connect
from mlgit.data.traffic import Progress
from mlgit.data.transfer import Moved
from mlgit.errors import MlgitError
from mlgit.ledger import Ledger, walk
from mlgit.ledger.repository import Repository
from mlgit.records import Run


def push(
    repository: Repository,
    name: str | None = None,
    progress: Progress | None = None,
    *,
    everything: bool = False,
) -> Moved:
    """Sends what runs keep in the data store and a data remote does not have.

    To be called before the ledger is pushed, so that nobody reads of data that are
    not there yet. What `absent` and `damaged` name is tried again the next time. With
    `everything` also what was sent before is looked for, and sent if it is gone.

    Raises:
        NotFound: there is no such remote, or none and no ledger.
        Invalid: the remote's folder or library is lacking on this machine.
        RemoteFailed, WriteFailed: see `mlgit.data.transfer.push`.
    """
    with Ledger(repository) as ledger:
        remote = remotes.here(repository, remotes.find(ledger, name))
        note = _note_of(repository, remote)
        noted = {} if everything else _read(note)
        wanted = kept(ledger, noted.get("tree")) | set(noted.get("unsent", ()))
        moved = Moved(0, 0, [], [])
        if wanted:
            with connect(remote) as connection:
                moved = transfer.push(repository.data_store, connection, wanted, progress)
        unsent = sorted({*moved.absent, *moved.damaged})
        _write(note, {"tree": ledger.root, "unsent": unsent})
        return moved


def pull(
    repository: Repository,
    md5s: Iterable[str],
    name: str | None = None,
    progress: Progress | None = None,
) -> Moved:
    """Fetches files and folders, by md5, that are not on this machine, from a data remote.

    Raises:
        NotFound: there is no such remote.
        Invalid: the remote's folder or library is lacking on this machine.
        RemoteFailed, WriteFailed: see `mlgit.data.transfer.pull`.
    """
    with Ledger(repository) as ledger:
        remote = remotes.here(repository, remotes.find(ledger, name))
    with connect(remote) as connection:
        return transfer.pull(repository.data_store, connection, md5s, progress)


def kept(ledger: Ledger, since: str | None = None) -> set[str]:
    """Returns the md5s of all that runs keep in the data store.

    Only of runs that have something the tree `since` has not, where that is known.
    """
    if since == ledger.root:
        return set()
    with contextlib.suppress(MlgitError):  # the tree may have been swept by git gc
        if since is not None:
            changed = walk.changed_folders(ledger.reader, since, ledger.root)
            return _kept(ledger, [folder for folder in changed if folder.sha])
    return _kept(ledger, walk.run_folders(ledger.reader, ledger.root))


def _kept(ledger: Ledger, folders: Iterable[walk.Folder]) -> set[str]:
    return {
        pointer.md5
        for run in walk.load_runs(ledger.reader, folders)
        if isinstance(run, Run) and run.deleted is None
        for pointer in (*run.inputs, *run.outputs)
        if pointer.stored == "dvc" and pointer.md5
    }


def _note_of(repository: Repository, remote: Remote) -> Path:
    # By place, because under the same name there may be another one tomorrow.
    place = json.dumps([remote.name, remote.url, sorted(remote.options.items())])
    digest = hashlib.sha256(place.encode()).hexdigest()[:16]
    return repository.state / "sent" / f"{remote.name}-{digest}.json"


def _read(note: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(note.read_bytes())
        if all(map(is_md5, content["unsent"])) and isinstance(content["tree"], str):
            return {"tree": content["tree"], "unsent": content["unsent"]}
    return {}


def _write(note: Path, content: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        note.parent.mkdir(exist_ok=True)
        beside = note.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(content))
        beside.replace(note)
