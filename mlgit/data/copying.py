"""Copies that are exact: cloned where the file system can, else hashed on the way.

The hash is that of the copy, whatever happens to the source meanwhile. A copy is
never a hard link, so a change of one is no change of the other.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import sys
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from mlgit.data.hashing import CHUNK, Hash, Progress, buffer_for, hash_file, open_plain, read
from mlgit.data.threads import helper

_FICLONE = 0x40049409  # linux/fs.h: share the blocks of another file
_LARGE = 8 * CHUNK  # from here on a second thread is worth its start


def copy(source: str | os.PathLike[str], target: Path, progress: Progress | None = None) -> Hash:
    """Clones or copies a file to a new path and returns the hash of what stands there.

    Raises:
        Invalid: the source cannot be read, or is no plain file.
        OSError: the target is there already, or cannot be written.
    """
    with open_plain(source) as reader:
        if sys.platform == "darwin" and _clone_on_macos(reader, target):
            return hash_file(target, progress)
        with target.open("xb") as writer:
            if _clone(reader, writer):
                return hash_file(target, progress)
            return _copy_and_hash(reader, writer, progress)


def _copy_and_hash(reader: FileIO, writer: BinaryIO, progress: Progress | None) -> Hash:
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    view = buffer_for(reader)
    is_large = os.fstat(reader.fileno()).st_size >= _LARGE
    # Hashing takes longest and holds no lock of Python's, so writing goes on beside it.
    hasher = helper() if is_large else None
    try:
        while count := read(reader, view):
            hashed = hasher.submit(digest.update, view[:count]) if hasher else None
            writer.write(view[:count])
            if hashed:
                hashed.result()
            else:
                digest.update(view[:count])
            size += count
            if progress:
                progress(count)
    finally:
        if hasher:
            hasher.shutdown()
    return Hash(digest.hexdigest(), size, None)


def _clone(reader: FileIO, writer: BinaryIO) -> bool:
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        return False  # two file systems, or one that cannot
    return True


def _clone_on_macos(reader: FileIO, target: Path) -> bool:
    import ctypes

    libc = ctypes.CDLL(None)
    if libc.fclonefileat(reader.fileno(), _AT_FDCWD, os.fsencode(target), 0):
        return False
    target.chmod(0o644)  # a clone has its source's permissions
    return True


_AT_FDCWD = -2  # macOS's sys/fcntl.h
