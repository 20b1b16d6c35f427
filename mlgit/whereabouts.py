"""Where the bytes are that runs keep, as far as this machine knows without asking anybody.

It knows what lies in the data store; up to which tree of the ledger everything went to,
or came from, a data remote, which each transfer notes below the git directory; and what
the runs that others have shared say of themselves. The notes are for speed, too: the next
transfer looks only at runs that are new since.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mlgit import names, remotes, saved
from mlgit.data import store
from mlgit.data.hashing import is_md5
from mlgit.data.remote import Remote
from mlgit.errors import MlgitError, NotFound
from mlgit.ledger import Ledger, walk
from mlgit.ledger.append import commit_at, root_tree
from mlgit.ledger.repository import Repository
from mlgit.records import Run

Way = Literal["sent", "fetched"]


class Place(NamedTuple):
    """Where the bytes of one content are."""

    here: bool
    """All of them are on this machine."""
    remote: str | None
    """The data remote that has them, as far as is known here."""


def look(ledger: Ledger, md5s: Collection[str]) -> dict[str, Place]:
    """Returns where contents are whose bytes runs kept; the others are left out."""
    keepers = ledger.index().pointers.keepers(md5s)
    there = on_remote(ledger, keepers)
    place = ledger.repository.data_store
    return {md5: Place(_is_whole(place, md5), there.get(md5)) for md5 in keepers}


def _is_whole(place: Path, md5: str) -> bool:
    with contextlib.suppress(MlgitError):
        return store.has_all(place, md5)
    return False


def on_remote(ledger: Ledger, keepers: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Returns the data remote that has these contents, by md5, as far as is known.

    `keepers` are the runs that keep each, the newest first. One run's word is enough.
    """
    try:
        remote = remotes.here(ledger.repository, remotes.find(ledger))
    except NotFound:
        return {}
    runs = {run for ids in keepers.values() for run in ids}
    noted = [
        (_present(ledger, note["tree"], runs), note["lacking"])
        for note in _notes(ledger.repository, remote)
    ]
    found = {
        md5
        for md5, ids in keepers.items()
        for present, lacking in noted
        if any(run in present and md5 not in lacking.get(run, ()) for run in ids)
    }
    fetched = read(note_of(ledger.repository, "fetched", remote))
    in_vain = set[str]().union(*fetched.get("lacking", {}).values())  # whatever others say
    shared = _present(ledger, _their_root(ledger), runs)
    told = {
        md5: newest
        for md5, ids in keepers.items()
        if md5 not in found | in_vain
        and (newest := next((run for run in ids if run in shared), None))
    }
    marks = {run.id: run.missing or [] for run in saved.load(ledger, sorted(set(told.values())))}
    found |= {md5 for md5, run in told.items() if md5 not in marks.get(run, [md5])}
    return dict.fromkeys(found, remote.name)


def _notes(repository: Repository, remote: Remote) -> list[dict[str, Any]]:
    ways: tuple[Way, ...] = ("sent", "fetched")
    notes = [read(note_of(repository, way, remote)) for way in ways]
    return [note for note in notes if note]


def _their_root(ledger: Ledger) -> str | None:
    """Returns the tree of the ledger that the git remote has, as far as is known."""
    repository = ledger.repository
    if repository.remote is not None:
        with contextlib.suppress(MlgitError):
            theirs = commit_at(ledger.reader, repository.tracking_ref(repository.remote))
            return root_tree(ledger.reader, theirs) if theirs else None
    return None


def _present(ledger: Ledger, root: str | None, runs: Collection[str]) -> set[str]:
    """Returns those of the runs that a tree of the ledger has, and has not as deleted."""
    if root is None:
        return set()
    with contextlib.suppress(MlgitError):  # the tree may have been swept by git gc
        then, now = (
            {each.run_id: each for each in walk.find_folders(ledger.reader, tree, sorted(runs))}
            for tree in (root, ledger.root)
        )
        changed = [folder for run, folder in then.items() if folder != now.get(run)]
        gone = {
            run.id
            for run in walk.load_runs(ledger.reader, changed)
            if isinstance(run, Run) and run.deleted is not None
        }
        return then.keys() - gone
    return set()


# --- the notes -----------------------------------------------------------------------------


def note_of(repository: Repository, way: Way, remote: Remote) -> Path:
    """Returns where it is noted how far transfers to or from a remote went."""
    # By place, because under the same name there may be another one tomorrow.
    place = json.dumps([remote.name, remote.url, sorted(remote.options.items())])
    digest = hashlib.sha256(place.encode()).hexdigest()[:16]
    return repository.state / way / f"{remote.name}-{digest}.json"


def read(note: Path) -> dict[str, Any]:
    """Returns the "tree" up to which all was moved, and the md5s "lacking", by run; or {}."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        content = json.loads(note.read_bytes())
        lacking = {
            run: set(md5s)
            for run, md5s in content["lacking"].items()
            if names.is_id(run) and all(map(is_md5, md5s))
        }
        if isinstance(content["tree"], str):
            return {"tree": content["tree"], "lacking": lacking}
    return {}


def write(note: Path, root: str, lacking: Mapping[str, set[str]]) -> None:
    """Notes that all runs of a tree were moved, except for what was lacking."""
    still = {run: sorted(md5s) for run, md5s in lacking.items() if md5s}
    with contextlib.suppress(OSError):
        note.parent.mkdir(exist_ok=True)
        beside = note.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps({"tree": root, "lacking": still}))
        beside.replace(note)
