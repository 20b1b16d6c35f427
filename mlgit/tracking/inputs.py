"""What a run reads: files, folders, globs, addresses, tables in memory, by their content.

Each becomes a pointer: path, md5, size, and where it came from. The bytes go into
the data store unless `keep=False`, so that the link can be followed later.
"""

from __future__ import annotations

import configparser
import glob
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlgit import names
from mlgit.data import hashing, ingest, pointers, state
from mlgit.data.hashing import Hash, Member
from mlgit.errors import Invalid, MlgitError, Unreadable
from mlgit.ledger import Repository
from mlgit.records import Pointer

_ADDRESS = re.compile(r"(https?|s3)://", re.IGNORECASE)
_TIMEOUT = 30  # seconds to wait for a server's answer


def describe(
    repository: Repository,
    source: Any,
    role: str | None = None,
    name: str | None = None,
    keep: bool = True,
    fetch: bool = False,
) -> Pointer:
    """Returns the pointer to an input, storing its bytes if `keep`.

    Raises:
        Invalid: there is no such file, it cannot be read, or it is nothing that
            can be an input.
        WriteFailed: the data store cannot be written.
    """
    name = names.run_name(name) if name is not None else None
    role = names.key("role", role) if role is not None else None
    if isinstance(source, str) and _ADDRESS.match(source):
        found = _from_address(repository, source, fetch)
    elif isinstance(source, (str, os.PathLike)):
        found = _from_path(repository, os.fspath(source), keep)
    else:
        found = _from_memory(repository, source, name, keep)
    return found.with_(role=role, name=name or found.name)


def store_folder(repository: Repository) -> Path:
    """Returns where the repository's data store lies."""
    return repository.state / "data"


def take(repository: Repository, path: Path, keep: bool = True) -> Hash:
    """Returns the hash of a file or folder, storing its bytes if `keep`."""
    with state.open_state(repository.state / "state.sqlite") as known:
        if not keep:
            return ingest.measure(path, known)
        return ingest.take(store_folder(repository), path, known, lenders(repository))


def lenders(repository: Repository) -> list[Path]:
    """Returns the caches of the user's own DVC repository, whose objects may be linked."""
    root = repository.work_tree
    if root is None or not (root / ".dvc").is_dir():
        return []
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return []
    configured = parser.get("cache", "dir", fallback="cache")
    return [(root / ".dvc" / configured).resolve()]


def place_of(repository: Repository, path: Path) -> str:
    """Returns a path as records spell it: relative to the repository, or the bare name.

    What lies outside says nothing to others, and may name a person's folders.
    """
    real = path.parent.resolve() / path.name
    root = repository.work_tree
    if root and real != root and real.is_relative_to(root):
        return names.artifact_path(real.relative_to(root).as_posix())
    return names.artifact_path(real.name or "folder")


def _from_path(repository: Repository, text: str, keep: bool) -> Pointer:
    path = Path(os.path.expanduser(text)).absolute()
    if not path.exists():
        if glob.has_magic(text):
            return _from_glob(repository, text, keep)
        raise Invalid(f"there is no file or folder {text}", f"the working folder is {os.getcwd()}")
    found = take(repository, path, keep)
    tracked = _tracked(path)
    return Pointer(
        path=place_of(repository, path),
        md5=found.md5,
        size=found.size,
        files=found.files,
        origin="dvc" if tracked and tracked.md5 == found.md5 else "file",
        stored="dvc" if keep else None,
    )


def _tracked(path: Path) -> Hash | None:
    """Returns what the user's own DVC pointer says of a path, if one stands beside it."""
    beside = pointers.find_pointer(path)
    if beside is None:
        return None
    try:
        outputs = pointers.read_pointer(beside.read_bytes(), str(beside))
    except (OSError, Unreadable):
        return None  # theirs to repair; the bytes themselves were hashed
    return next((output.hash for output in outputs if output.path == path.name), None)


def _from_glob(repository: Repository, pattern: str, keep: bool) -> Pointer:
    """Takes the files that match as one dataset, as if they were all of a folder."""
    matches = sorted(Path(found) for found in glob.glob(pattern, recursive=True))
    files = [path for path in matches if path.is_file()]
    if not files:
        raise Invalid(f"no file matches {pattern}", f"the working folder is {os.getcwd()}")
    base = Path(os.path.commonpath([path.absolute().parent for path in files]))
    hashes = [take(repository, path, keep) for path in files]
    members = [
        Member(path.absolute().relative_to(base).as_posix(), found.md5)
        for path, found in zip(files, hashes, strict=True)
    ]
    manifest = hashing.format_manifest(members)
    if keep:
        ingest.put_manifest(store_folder(repository), manifest)
    return Pointer(
        path=place_of(repository, base),
        name=pattern,
        md5=hashing.manifest_md5(manifest),
        size=sum(found.size for found in hashes),
        files=len(files),
        origin="glob",
        stored="dvc" if keep else None,
    )


# --- addresses -------------------------------------------------------------------------


def _from_address(repository: Repository, address: str, fetch: bool) -> Pointer:
    """Records what a server says of its content; with `fetch` brings the content in."""
    plain = re.sub(r"^([a-z0-9+.-]+://)[^/@]*@", r"\1", address, flags=re.IGNORECASE)
    plain = plain.partition("?")[0] if plain.lower().startswith("http") else plain
    path = names.artifact_path(plain.rstrip("/").rpartition("/")[2] or "download")
    with tempfile.TemporaryDirectory(prefix="mlgit-") as folder:
        beside = Path(folder, "content") if fetch else None
        if address.lower().startswith("http"):
            told = _ask_http(address, beside)
        else:
            told = _ask_s3(address, beside)
        found = take(repository, beside) if beside else None
    return Pointer(
        path=path,
        md5=found.md5 if found else None,
        size=found.size if found else told.pop("size", None),
        origin="url",
        stored="dvc" if found else None,
        unknown={"url": plain, **{key: value for key, value in told.items() if key != "size"}},
    )


def _ask_http(address: str, beside: Path | None) -> dict[str, Any]:
    import urllib.error
    import urllib.request

    request = urllib.request.Request(address, method="GET" if beside else "HEAD")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            headers = answer.headers
            if beside:
                with beside.open("wb") as file:
                    shutil.copyfileobj(answer, file)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise Invalid(f"{address} cannot be asked: {error}") from error
    length = headers.get("Content-Length", "")
    told = {"size": int(length) if length.isdecimal() else None}
    told |= {"etag": headers.get("ETag"), "modified": headers.get("Last-Modified")}
    return {key: value for key, value in told.items() if value is not None}


def _ask_s3(address: str, beside: Path | None) -> dict[str, Any]:
    try:
        import fsspec

        system, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise MlgitError("reading from S3 needs s3fs", "pip install 'mlgit[s3]'") from error
    try:
        info = system.info(path)
        if beside:
            system.get_file(path, str(beside))
    except Exception as error:  # botocore raises classes it makes at run time
        raise Invalid(f"{address} cannot be asked: {error}") from error
    told = {"size": info.get("size"), "etag": info.get("ETag"), "version": info.get("VersionId")}
    return {key: value for key, value in told.items() if value is not None}


# --- memory ----------------------------------------------------------------------------


def _from_memory(repository: Repository, source: Any, name: str | None, keep: bool) -> Pointer:
    from mlgit.data import content

    if not content.is_table(source):
        raise Invalid(
            f"a {type(source).__name__} cannot be an input",
            "pass a path, a glob, an http(s) or s3 address, a table or an array",
        )
    described = content.describe(source)
    found = None
    suffix = ""
    if keep:
        with tempfile.TemporaryDirectory(prefix="mlgit-") as folder:
            suffix = content.write_parquet(source, Path(folder, "content"))
            found = take(repository, Path(folder, "content"))
    return Pointer(
        path=names.artifact_path((name or described.kind).replace("/", "_") + suffix),
        md5=found.md5 if found else described.digest,
        size=found.size if found else 0,
        origin="memory",
        stored="dvc" if found else None,
        unknown={"content": described.digest, "rows": described.rows},
    )
