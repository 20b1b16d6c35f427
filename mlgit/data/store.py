"""The data store: objects named by their md5, in DVC's own layout.

`files/md5/ab/cdef…`, mode 0444, written beside and renamed. Apart from the user's
`.dvc/cache`, because `dvc gc` deletes what it does not see.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from mlgit.errors import Unreadable, WriteFailed


def put(folder: Path, content: bytes) -> str:
    """Stores bytes below `folder` and returns their md5; the same bytes are stored once.

    Raises:
        WriteFailed: the disk is full or read-only; nothing is left behind.
    """
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    path = _path(folder, digest)
    if path.exists():
        return digest
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(beside, 0o444)
            os.replace(beside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise
    except OSError as error:
        raise WriteFailed(f"cannot store data in {folder}: {error.strerror}") from error
    return digest


def load(folder: Path, digest: str) -> bytes | None:
    """Returns the bytes with this md5, or None if they are not here.

    Raises:
        Unreadable: they are here, but are not those bytes any more.
    """
    path = _path(folder, digest)
    if not path.is_file():
        return None
    content = path.read_bytes()
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != digest:
        raise Unreadable(f"the object {digest} in {folder} was altered", f"delete {path}")
    return content


def _path(folder: Path, digest: str) -> Path:
    return folder / "files" / "md5" / digest[:2] / digest[2:]
