"""Objects between the store and a data remote: only what is missing, several at once.

A file goes before the manifests that name it, in both directions, because DVC takes
a manifest that is there for a folder that is whole. Every object is read through and
checked on its way, is written under another name and renamed (S3 does that itself),
and what has arrived stays: a transfer that was cut off goes on where it was.

An object that the other side refuses does not keep back the others, but so many in a
row that the other side seems to be gone end the transfer.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from fsspec.callbacks import Callback

from mlgit.data import copying, hashing
from mlgit.data.hashing import MANIFEST_LIMIT, Member
from mlgit.data.remote import S3_PART, Connection
from mlgit.data.store import (
    OBJECT_MODE,
    has,
    members,
    object_path,
    put,
    settle,
    verify_object,
    writing,
)
from mlgit.data.store import absent as absent_here
from mlgit.data.threads import each, together
from mlgit.data.traffic import Meter, Progress
from mlgit.errors import Invalid, NotFound, RemoteFailed, Unreadable, WriteFailed

_JOBS = 16  # mostly they wait for the network
_GONE = 2 * _JOBS  # refusals in a row after which it is not about single objects
_ASK_EACH = 16  # up to so many objects one by one; for more, the folders are listed
_FEW = 64  # objects in one of the 256 folders, below which S3 lists all of them sooner


class Moved(NamedTuple):
    """What a transfer did."""

    objects: int
    size: int
    """Bytes."""
    absent: list[str]
    """The objects that neither side had, and the folders that lack one of them."""
    damaged: list[str]
    """The objects that are not what their name says, where they are; they stayed there."""


def missing(remote: Connection, md5s: Iterable[str]) -> set[str]:
    """Returns which of these objects a remote does not have.

    Raises:
        RemoteFailed: it cannot be reached.
    """
    wanted = set(md5s)
    return wanted - _sizes(remote, wanted).keys()


def manifests(remote: Connection, md5s: Iterable[str]) -> dict[str, list[Member]]:
    """Returns the files of folders on a remote, by the folder's md5, and stores nothing.

    Raises:
        RemoteFailed: it cannot be reached.
        Unreadable: one is damaged.
    """
    wanted = list(md5s)
    sizes = _sizes(remote, wanted)
    return {
        md5: hashing.parse_manifest(
            _fetch_manifest(remote, md5, sizes[md5]), f"the manifest {md5} on {remote.name}"
        )
        for md5 in sizes
    }


def push(
    store: Path, remote: Connection, hashes: Iterable[str], progress: Progress | None = None
) -> Moved:
    """Sends files and folders to a remote, by md5, with `.dir`; what is no md5 is passed over.

    Raises:
        RemoteFailed: it cannot be reached, or refuses.
        WriteFailed: it has no space left.
    """
    folders, files = _split(hashes)
    contents, absent, damaged = {}, set[str](), set[str]()
    for md5 in folders:
        try:
            if has(store, md5):
                contents[md5] = members(store, md5)
        except Unreadable:
            damaged.add(md5)
    files |= {member.md5 for inside in contents.values() for member in inside}
    lacking = missing(remote, files | folders)
    here = {md5 for md5 in lacking if has(store, md5)}
    absent |= lacking - here
    sizes = {md5: os.stat(object_path(store, md5)).st_size for md5 in here - damaged}
    meter = Meter(progress, len(sizes), sum(sizes.values()))
    if sizes:
        _sweep(remote)
    made: set[str] = set()

    def send(md5: str) -> None:
        try:
            _send(store, remote, md5, sizes[md5], meter, made)
        except Unreadable:
            damaged.add(md5)
        except NotFound:  # somebody deleted it meanwhile
            absent.add(md5)

    refused = _move(send, files & sizes.keys(), meter)
    unsent = {*absent, *damaged, *refused}
    ready = {md5 for md5 in folders & sizes.keys() if _is_whole(contents[md5], unsent)}
    for md5 in folders & sizes.keys() - ready:
        if _is_whole(contents[md5], absent | damaged):
            refused[md5] = next(iter(refused.values()))
        else:
            absent.add(md5)
    refused |= _move(send, ready, meter)
    _check_taken(refused, meter)
    return _moved(meter, absent, damaged)


def pull(
    store: Path, remote: Connection, hashes: Iterable[str], progress: Progress | None = None
) -> Moved:
    """Fetches files and folders from a remote into the store, named as in `push`.

    Raises:
        RemoteFailed: it cannot be reached, or refuses.
        WriteFailed: there is no space left here.
    """
    folders, files = _split(hashes)
    contents, absent, damaged = {}, set[str](), set[str]()
    manifests: dict[str, bytes] = {}
    for md5 in folders:
        with contextlib.suppress(Unreadable):
            if has(store, md5):
                contents[md5] = members(store, md5)
    sizes = _sizes(remote, folders - contents.keys())
    absent |= folders - contents.keys() - sizes.keys()

    def look(md5: str) -> None:
        try:
            manifests[md5] = _fetch_manifest(remote, md5, sizes[md5])
            contents[md5] = hashing.parse_manifest(manifests[md5], f"the manifest {md5}")
        except Unreadable:
            damaged.add(md5)

    _each(look, sizes.keys())
    files |= {member.md5 for inside in contents.values() for member in inside}
    files = {md5 for md5 in files if not has(store, md5)}
    sizes = _sizes(remote, files)
    absent |= files - sizes.keys()
    meter = Meter(progress, len(sizes), sum(sizes.values()))

    def fetch(md5: str) -> None:
        try:
            _fetch(store, remote, md5, sizes[md5], meter)
        except Unreadable:
            damaged.add(md5)

    refused = _move(fetch, sizes.keys(), meter)
    unfetched = {*absent, *damaged, *refused}
    for md5, inside in contents.items():
        if not _is_whole(inside, unfetched):
            absent.add(md5)
        elif md5 in manifests:
            put(store, manifests[md5], ".dir")
    _check_taken(refused, meter)
    return _moved(meter, absent, damaged)


def _split(hashes: Iterable[str]) -> tuple[set[str], set[str]]:
    wanted = {md5 for md5 in hashes if hashing.is_md5(md5)}
    folders = {md5 for md5 in wanted if md5.endswith(".dir")}
    return folders, wanted - folders


def _is_whole(inside: Iterable[Member], lacking: Collection[str]) -> bool:
    return not any(member.md5 in lacking for member in inside)


def _each(work: Callable[[str], None], md5s: Collection[str]) -> None:
    for _ in each(work, sorted(md5s), _JOBS):
        pass


def _move(
    work: Callable[[str], None], md5s: Collection[str], meter: Meter
) -> dict[str, RemoteFailed]:
    """Moves objects and returns those that the remote refused, with its reasons."""
    refused: dict[str, RemoteFailed] = {}
    row: list[str] = []  # of refusals with no success between

    def move(md5: str) -> None:
        try:
            work(md5)
            row.clear()
        except RemoteFailed as error:
            refused[md5] = error
            row.append(md5)
            if len(row) >= _GONE:
                raise

    # Not by folder, because one that refuses all would look like a remote that is gone.
    mixed = sorted(md5s, key=lambda md5: md5[8:])
    try:
        together(move, mixed, _JOBS, meter.stop)
    except (RemoteFailed, WriteFailed) as error:
        raise type(error)(f"{error.message}; {meter.now.told}", error.hint) from error
    except KeyboardInterrupt as error:
        error.args = (f"{meter.now.told}, and are kept; the same command goes on from there",)
        raise
    return refused


def _check_taken(refused: dict[str, RemoteFailed], meter: Meter) -> None:
    for error in refused.values():
        raise RemoteFailed(f"{error.message}; {meter.now.told}", error.hint) from error


def _sizes(remote: Connection, md5s: Collection[str]) -> dict[str, int]:
    """Returns the bytes of those of these objects that a remote has."""
    found: dict[str, int] = {}

    def ask(md5: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            found[md5] = remote.fs.info(remote.path(md5))["size"]

    def list_folder(prefix: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            note(remote.fs.ls(os.path.dirname(remote.path(prefix)), detail=True))

    def note(entries: Iterable[dict[str, Any]]) -> None:
        for entry in entries:
            above, _, name = entry["name"].rpartition("/")
            found[above[-2:] + name] = entry["size"]

    with remote.reaching():
        if len(md5s) <= _ASK_EACH:
            _each(ask, md5s)
        else:
            first, *rest = sorted({md5[:2] for md5 in md5s})
            list_folder(first)
            if remote.is_s3 and len(found) < _FEW:
                everything = remote.fs.find(f"{remote.root}/files/md5", detail=True)
                note(everything.values())
            else:
                _each(list_folder, rest)
    return {md5: found[md5] for md5 in md5s if md5 in found}


def _send(
    store: Path, remote: Connection, md5: str, size: int, meter: Meter, made: set[str]
) -> None:
    # What is spoilt here DVC would trust there for ever.
    if not remote.is_folder:
        verify_object(store, md5)
    elif not has(store, md5):
        raise absent_here(md5)
    source = object_path(store, md5)
    target = remote.path(md5)
    with remote.reaching():
        if remote.is_s3:
            with meter.counting(size) as callback:
                remote.fs.put_file(str(source), target, callback=callback, chunksize=S3_PART)
            return
        beside = f"{remote.root}/tmp/{_day(time.time())}-{secrets.token_hex(8)}"
        try:
            for folder in {os.path.dirname(target), os.path.dirname(beside)} - made:
                remote.fs.makedirs(folder, exist_ok=True)
                made.add(folder)
            with meter.counting(size) as callback:
                if remote.is_folder:
                    _copy(source, Path(beside), md5, callback)
                    os.chmod(beside, OBJECT_MODE)
                else:
                    remote.fs.put_file(str(source), beside, callback=callback)
                remote.fs.mv(beside, target)
        except BaseException:
            with contextlib.suppress(Exception):
                remote.fs.rm_file(beside)
            raise


def _copy(source: Path, target: Path, md5: str, callback: Callback) -> None:
    """Copies between folders, and checks what came of it."""
    try:
        found = copying.copy(source, target, callback.relative_update)
    except Invalid as error:
        raise Unreadable(error.message) from error
    if found.md5 != md5.removesuffix(".dir"):
        raise Unreadable(f"the object {md5} was altered")


def _sweep(remote: Connection) -> None:
    """Removes what transfers that were killed before yesterday have left on a remote."""
    before = time.time() - 24 * 60 * 60
    if remote.is_s3:
        with contextlib.suppress(Exception):
            _sweep_parts(remote, before)
        return
    yesterday = _day(before)
    with contextlib.suppress(Exception):
        for path in remote.fs.ls(f"{remote.root}/tmp", detail=False):
            if path.rpartition("/")[2] < yesterday:
                remote.fs.rm_file(path)


def _sweep_parts(remote: Connection, before: float) -> None:
    """Removes the parts of objects that never became whole; nobody sees them, but they cost."""
    bucket, _, key = remote.root.partition("/")
    prefix = f"{key}/files/md5/".lstrip("/")
    found = remote.fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix)
    for upload in found.get("Uploads", []):
        if upload["Initiated"].timestamp() < before:
            remote.fs.call_s3(
                "abort_multipart_upload",
                Bucket=bucket,
                Key=upload["Key"],
                UploadId=upload["UploadId"],
            )


def _day(seconds: float) -> str:
    return time.strftime("%Y%m%d", time.gmtime(seconds))


def _fetch_manifest(remote: Connection, md5: str, size: int) -> bytes:
    if size > MANIFEST_LIMIT:
        raise Unreadable(f"the manifest {md5} is too large: {size:,} bytes")
    with remote.reaching():
        content = bytes(remote.fs.cat_file(remote.path(md5)))
    if hashing.manifest_md5(content) != md5:
        raise Unreadable(f"the manifest {md5} on {remote.name} was altered")
    return content


def _fetch(store: Path, remote: Connection, md5: str, size: int, meter: Meter) -> None:
    with writing(store) as beside, meter.counting(size) as callback:
        with remote.reaching(writes_here=True):
            if remote.is_folder:
                _copy(Path(remote.path(md5)), beside, md5, callback)
                return settle(store, beside, md5)
            remote.fs.get_file(remote.path(md5), str(beside), callback=callback)
        if hashing.hash_file(beside).md5 != md5:
            raise Unreadable(f"the object {md5} on {remote.name} was altered")
        settle(store, beside, md5)


def _moved(meter: Meter, absent: Iterable[str], damaged: Iterable[str]) -> Moved:
    return Moved(meter.now.objects, meter.now.bytes, sorted(absent), sorted(damaged))
