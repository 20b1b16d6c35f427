"""Hashes as DVC computes them: md5 of a file's bytes, md5 of a folder's manifest.

A folder's identity is the md5 of a JSON list of its files' md5s and relative
paths, with `.dir` appended (dvc_data.hashfile.tree.Tree). Symbolic links to files
count as what they point at, links to folders and empty folders do not count.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable
from io import FileIO
from typing import NamedTuple

from mlgit import names
from mlgit.errors import Invalid, Unreadable

CHUNK = 1024 * 1024
MANIFEST_LIMIT = 256 * 1024 * 1024  # bytes; two million files or so

Progress = Callable[[int], None]
"""Told the bytes done since it was last called; from any thread, one at a time."""


class Hash(NamedTuple):
    """The identity of a file's or a folder's content."""

    md5: str
    """32 hex digits, for a folder with `.dir` appended."""
    size: int
    """Bytes; of a folder, those of its files."""
    files: int | None
    """The number of files in a folder; None for a file."""


class Member(NamedTuple):
    """A file of a folder: its path relative to it, POSIX style, and its md5."""

    path: str
    md5: str


def hash_file(path: str | os.PathLike[str], progress: Progress | None = None) -> Hash:
    """Returns the hash of a file's bytes.

    Raises:
        Invalid: it cannot be read, or is no plain file.
    """
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    with open_plain(path) as file:
        view = buffer_for(file)
        while count := read(file, view):
            digest.update(view[:count])
            size += count
            if progress:
                progress(count)
    return Hash(digest.hexdigest(), size, None)


def open_plain(path: str | os.PathLike[str]) -> FileIO:
    """Opens a file for unbuffered reading.

    Raises:
        Invalid: it cannot be read, or is no plain file.
    """
    try:
        file = FileIO(os.fspath(path), opener=_open_at_once)
    except OSError as error:
        raise Invalid(f"cannot read {os.fspath(path)}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise Invalid(f"{os.fspath(path)} is not a plain file")
    return file


def _open_at_once(path: str, flags: int) -> int:
    """Opens a pipe, too, without waiting for somebody to write."""
    return os.open(path, flags | os.O_NONBLOCK)


def buffer_for(file: FileIO) -> memoryview:
    """Returns room for the next bytes of a file; clearing a megabyte for each of many is slow."""
    return memoryview(bytearray(min(CHUNK, max(64 * 1024, os.fstat(file.fileno()).st_size + 1))))


def read(file: FileIO, view: memoryview) -> int:
    """Reads the next bytes of a file into `view` and returns how many; 0 is the end.

    Raises:
        Invalid: it cannot be read, so that this is never taken for a full disk.
    """
    try:
        return file.readinto(view) or 0
    except OSError as error:
        raise Invalid(f"cannot read {file.name}: {error.strerror}") from error


def format_manifest(members: Iterable[Member]) -> bytes:
    """Returns the bytes of a folder's manifest, which DVC calls its `.dir` object."""
    ordered = sorted(members)
    return json.dumps([{"md5": md5, "relpath": path} for path, md5 in ordered]).encode()


def parse_manifest(content: bytes, what: str = "a folder's manifest") -> list[Member]:
    """Returns the files that a manifest names. Manifests come from others, too.

    Raises:
        Unreadable: it is damaged, or a path in it would leave the folder.
    """
    try:
        members = [
            Member(names.member_path(item["relpath"]), item["md5"]) for item in json.loads(content)
        ]
        for member in members:
            if not is_md5(member.md5) or member.md5.endswith(".dir"):
                raise Invalid(f"{names.shown(member.md5)} is not a file's md5")
        _check_tree({member.path for member in members}, len(members))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = error.message if isinstance(error, Invalid) else names.shown(str(error))
        raise Unreadable(f"{what} is damaged: {reason}") from error
    return members


def _check_tree(paths: set[str], count: int) -> None:
    """Raises Invalid unless these paths can be files of one folder."""
    if len(paths) != count:
        raise Invalid("a path stands in it twice")
    folders = {path.rpartition("/")[0] for path in paths} - {""}
    while folders:
        if folders & paths:
            raise Invalid(f"{names.shown(min(folders & paths))} is a file and a folder")
        folders = {folder.rpartition("/")[0] for folder in folders} - {""}


def manifest_md5(content: bytes) -> str:
    """Returns the md5 that names a manifest, `.dir` included."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest() + ".dir"


_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


def is_md5(text: object) -> bool:
    """Tells whether this is an md5 as DVC writes it, with or without `.dir`."""
    return isinstance(text, str) and _MD5.fullmatch(text) is not None
