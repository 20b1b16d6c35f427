"""A run's artifacts, wherever they lie: on the branch, in the data store, on a remote.

A path may lead into a folder that was logged as one: "model/weights.bin" is a file of
the artifact "model". What is not on this machine is fetched when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mlgit import names, saved, transfer
from mlgit.data import checkout, store
from mlgit.data.hashing import Progress as Bytes
from mlgit.data.traffic import Progress
from mlgit.errors import NotFound, Unreadable
from mlgit.ledger import Ledger
from mlgit.records import Pointer, Run


def find(run: Run, path: str) -> tuple[Pointer, str]:
    """Returns the artifact that a path means, and the path within it; "" for all of it.

    Raises:
        NotFound: the run has none there.
    """
    for pointer in run.artifacts:
        if path == pointer.path:
            return pointer, ""
        if path.startswith(f"{pointer.path}/") and (pointer.md5 or "").endswith(".dir"):
            return pointer, path[len(pointer.path) + 1 :]
    known = ", ".join(sorted(pointer.path for pointer in run.artifacts)[:10])
    raise NotFound(
        f"the run {run.id} has no artifact {names.shown(path)}", f"it has {known or 'none'}"
    )


def read(ledger: Ledger, run: Run, path: str, progress: Progress | None = None) -> bytes:
    """Returns an artifact's bytes.

    Raises:
        NotFound: the run has none there, its bytes are nowhere, or it is a folder.
        Unreadable: they are not the bytes that were logged.
        RemoteFailed: the data remote cannot be reached.
    """
    pointer, inside = find(run, path)
    if pointer.stored == "git":
        return _blob(ledger, run, pointer)
    md5 = _md5_of(ledger, pointer, inside, progress)
    if md5.endswith(".dir"):
        inner = store.members(ledger.repository.data_store, md5)
        listed = ", ".join(f"{path}/{member.path}" for member in inner[:5])
        raise NotFound(f"{names.shown(path)} is a folder", f"name a file in it: {listed}")
    content = store.load(ledger.repository.data_store, md5)
    if content is None:
        raise store.absent(md5)
    return content


def write(
    ledger: Ledger,
    run: Run,
    path: str,
    destination: Path,
    fetching: Progress | None = None,
    writing: Bytes | None = None,
) -> bool:
    """Writes an artifact, a file or a folder, to `destination`; False if it is there already.

    It is a copy, checked on its way, and is there whole or not at all.

    Raises:
        NotFound: the run has none there, or its bytes are nowhere.
        Invalid: something else is at `destination`.
        Unreadable: they are not the bytes that were logged.
        RemoteFailed: the data remote cannot be reached.
        WriteFailed: it cannot be written; nothing is left behind.
    """
    pointer, inside = find(run, path)
    data_store = ledger.repository.data_store
    if pointer.stored == "git":
        md5 = store.put(data_store, _blob(ledger, run, pointer))
    else:
        md5 = _md5_of(ledger, pointer, inside, fetching)
    return checkout.checkout(data_store, md5, destination, writing)


def fetch(ledger: Ledger, md5s: Iterable[str], progress: Progress | None = None) -> None:
    """Fetches what is not on this machine of files and folders from the default remote.

    Raises:
        NotFound: it is nowhere, or there is no data remote.
        Unreadable: what the remote has was altered.
        RemoteFailed: it cannot be reached.
    """
    data_store = ledger.repository.data_store
    lacking = [md5 for md5 in dict.fromkeys(md5s) if not store.has_all(data_store, md5)]
    if not lacking:
        return
    try:
        moved = transfer.pull(ledger.repository, lacking, progress=progress)
    except NotFound as error:
        message = f"{store.absent(*lacking).message}, and {error.message}"
        raise NotFound(message, error.hint) from error
    if moved.damaged:
        raise Unreadable(f"the data {moved.damaged[0]} on the remote was altered")
    if moved.absent:
        raise NotFound(
            f"{store.absent(*moved.absent).message}, and not on the data remote",
            "whoever has them can send them: mlgit push",
        )


def _md5_of(ledger: Ledger, pointer: Pointer, inside: str, progress: Progress | None) -> str:
    """Returns the md5 of an artifact, or of a file in it, after fetching it if need be."""
    if pointer.md5 is None or pointer.stored is None:
        raise NotFound(f"of {names.shown(pointer.path)} only the hash was kept")
    data_store = ledger.repository.data_store
    if not inside:
        fetch(ledger, [pointer.md5], progress)
        return pointer.md5
    if not store.has(data_store, pointer.md5):
        fetch(ledger, [pointer.md5], progress)
    for member in store.members(data_store, pointer.md5):
        if member.path == inside:
            fetch(ledger, [member.md5], progress)
            return member.md5
    raise NotFound(f"the artifact {pointer.path} has no file {names.shown(inside)}")


def _blob(ledger: Ledger, run: Run, pointer: Pointer) -> bytes:
    content = saved.artifacts(ledger, run).get(pointer.path)
    if content is None:
        raise NotFound(f"the bytes of {names.shown(pointer.path)} are not on the branch")
    if store.md5_of(content) != pointer.md5:
        raise Unreadable(f"the artifact {names.shown(pointer.path)} was altered")
    return content
