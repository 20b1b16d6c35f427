"""What a run reads: files, folders, patterns, addresses, tables in memory, by their content.

Each becomes a pointer: path, md5, size, and where it came from. The bytes go into
the data store unless `keep=False`, so that the link can be followed later.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import threading
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from mlgit import names, records
from mlgit.data import address, content, dvc_repo, dvc_state, hashing, ingest, pointers, profiles
from mlgit.data.content import Content
from mlgit.data.hashing import Hash, Member
from mlgit.data.state import open_state
from mlgit.data.store import object_path
from mlgit.errors import Invalid
from mlgit.ledger import Repository
from mlgit.records import Pointer


def describe(
    repository: Repository, source: Any, name: str | None, keep: bool, fetch: bool
) -> Pointer:
    """Returns the pointer to an input, after storing its bytes if `keep`.

    Raises:
        Invalid: there is no such file, it cannot be read, or this can be no input.
        WriteFailed: the data store cannot be written.
    """
    if address.is_address(source):
        return _from_address(repository, source, fetch)
    if isinstance(source, (str, os.PathLike)):
        return _from_path(repository, os.fsdecode(source), keep)
    return _from_memory(repository, source, name, keep)


def take(repository: Repository, path: Path, keep: bool = True) -> Hash:
    """Returns the hash of a file or folder, after storing its bytes if `keep`.

    Raises:
        Invalid: there is nothing at `path`, or a part of it cannot be read.
        WriteFailed: the data store cannot be written.
    """
    file = repository.state / "state.sqlite"
    with dvc_state.recalling(path) as recall, open_state(file, recall) as known:
        if not keep:
            return ingest.measure(path, known)
        return ingest.take(repository.data_store, path, known, dvc_repo.lenders(path))


def recorded_path(repository: Repository, path: Path) -> str:
    """Returns a path as records spell it: relative to the work tree, or the bare name.

    What lies outside says nothing to others, and may name a person's folders.

    Raises:
        Invalid: the name has control characters, or is no Unicode.
    """
    real = path.parent.resolve() / path.name
    root = repository.work_tree
    if root and real != root and real.is_relative_to(root):
        return names.artifact_path(real.relative_to(root).as_posix())
    return names.artifact_path(real.name or "folder")


def _from_path(repository: Repository, text: str, keep: bool) -> Pointer:
    if not text:
        raise Invalid("an empty path is no input", "the working folder is called '.'")
    path = Path(os.path.expanduser(text)).absolute()
    if not os.path.lexists(path):
        if glob.has_magic(text):
            return _from_pattern(repository, text, keep)
        where = f"the working folder is {os.getcwd()}"
        if "://" in text:
            where = "of addresses, those that begin with http://, https:// and s3:// can be inputs"
        if pointers.find_pointer(path):
            where = f"DVC tracks it, and it is not here: dvc pull {text}"
        raise Invalid(f"there is no file or folder {names.shown(text)}", where)
    place = recorded_path(repository, path)
    found = take(repository, path, keep)
    tracked = pointers.tracked_as(path)
    return Pointer(
        path=place,
        md5=found.md5,
        size=found.size,
        files=found.files,
        origin="dvc" if tracked and tracked.md5 == found.md5 else "file",
        stored="dvc" if keep else None,
    )


def _from_pattern(repository: Repository, pattern: str, keep: bool) -> Pointer:
    """Takes the files that match as one dataset, as if they were all of one folder."""
    matches = glob.glob(os.path.expanduser(pattern), recursive=True)
    files = sorted(Path(found).absolute() for found in matches if os.path.isfile(found))
    if not files:
        raise Invalid(
            f"no file matches {names.shown(pattern)}", f"the working folder is {os.getcwd()}"
        )
    base = Path(os.path.commonpath([path.parent for path in files]))
    hashes = [take(repository, path, keep) for path in files]
    manifest = hashing.format_manifest(
        Member(names.member_path(path.relative_to(base).as_posix()), found.md5)
        for path, found in zip(files, hashes, strict=True)
    )
    if keep:
        ingest.put_manifest(repository.data_store, manifest)
    return Pointer(
        path=recorded_path(repository, base),
        name=None if os.path.isabs(pattern) else pattern,
        md5=hashing.manifest_md5(manifest),
        size=sum(found.size for found in hashes),
        files=len(files),
        origin="glob",
        stored="dvc" if keep else None,
    )


def _from_address(repository: Repository, place: str, fetch: bool) -> Pointer:
    """Records what a server says of its content; with `fetch` takes the content in."""
    path = names.artifact_path(address.name_of(place))
    found = None
    if fetch:
        found, told = ingest.receive(repository.data_store, lambda to: address.ask(place, to))
    else:
        told = address.ask(place)
    return Pointer(
        path=path,
        md5=found.md5 if found else None,
        size=found.size if found else told.size,
        origin="url",
        stored="dvc" if found else None,
        url=address.without_secrets(place),
        etag=told.etag,
        version=told.version,
        modified=told.modified,
    )


def _from_memory(repository: Repository, source: Any, name: str | None, keep: bool) -> Pointer:
    if not content.is_table(source):
        raise Invalid(
            f"a {type(source).__name__} cannot be an input",
            "pass a path, a pattern, an http(s) or s3 address, a table or an array",
        )
    described = content.describe(source)
    path = names.artifact_path((name or described.kind).replace("/", "_"))
    found = None
    if keep:
        write = partial(content.write_parquet, source)
        found, suffix = ingest.receive(repository.data_store, write)
        path = names.artifact_path(path.removesuffix(suffix) + suffix)
    return Pointer(
        path=path,
        md5=found.md5 if found else described.digest,
        size=found.size if found else None,
        origin="memory",
        stored="dvc" if found else None,
        content=described.digest,
        profile=_outline(described),
    )


def _outline(described: Content) -> dict[str, int]:
    rows = {"rows": described.rows}
    return rows | ({"columns": described.shape[1]} if len(described.shape) == 2 else {})


# --- profiles ----------------------------------------------------------------------------


def profiled(
    repository: Repository, source: Any, pointer: Pointer
) -> tuple[Pointer, dict[str, Any] | None]:
    """Returns the pointer with the outline of its profile, and the profile if it has one.

    Computed once for each content, within two seconds; `git config mlgit.profile false`
    saves them too. A profile is worth nothing to a run that could not go on without.
    """
    if pointer.md5 is None or not repository.flag("mlgit.profile", True):
        return pointer, None
    kept = repository.state / "profiles" / f"{pointer.md5}.json"
    profile = _read(kept)
    if profile is None:
        profile = _compute(repository, source, pointer)
        if profile is None:
            return pointer, None
        _write(kept, profile)
    outline = {"rows": profile.get("rows"), "columns": len(profile.get("columns") or ())}
    return msgspec.structs.replace(pointer, profile=pointer.profile or outline), profile


def _compute(repository: Repository, source: Any, pointer: Pointer) -> dict[str, Any] | None:
    if pointer.origin == "memory":
        return profiles.profile_table(source)
    if pointer.origin == "url":
        path = object_path(repository.data_store, str(pointer.md5))
        return profiles.profile_file(path, suffix=PurePosixPath(pointer.path).suffix)
    if pointer.files is None:
        return profiles.profile_file(Path(os.path.expanduser(os.fsdecode(source))))
    return None


def _read(kept: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(kept.read_bytes())
        if isinstance(found, dict) and found.get("format") == profiles.FORMAT:
            return found
    return None


def _write(kept: Path, profile: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # only a cache
        kept.parent.mkdir(exist_ok=True)
        beside = kept.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        beside.write_bytes(records.canonical(profile))
        beside.replace(kept)
