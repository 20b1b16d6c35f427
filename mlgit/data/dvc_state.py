"""What DVC remembers of files that it hashed, so that a tracked gigabyte is not read again.

DVC keeps that outside the repository, in a database whose place and layout are its own
affair (DVC 3: `Repo.site_cache_dir`; dvc-data 3: `hashfile/state.py`). So it is only read, it
is believed of a file that shows no change since, and where it is not found as it is known
here, files are hashed as ever.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlgit.data import dvc_repo
from mlgit.data.hashing import is_md5

Recall = Callable[[str, os.stat_result], str | None]
"""Told a path and its status; returns the md5 of the file if that is remembered."""

_PATIENCE = 0.2  # seconds to wait for DVC
_VERSION = 1  # of an entry; those without one are hashes of texts without carriage returns


@contextlib.contextmanager
def recalling(path: Path) -> Iterator[Recall | None]:
    """Opens what DVC remembers of the repository that a path lies in.

    Gives None where there is nothing, or where somebody else may have written it.
    """
    place = _database(path)
    written = _written(place) if place else 0
    database = _open(place) if place else None
    if database is None:
        yield None
        return
    lock = threading.Lock()

    def recall(file: str, found: os.stat_result) -> str | None:
        # DVC compares no time of change; what has one later than its notes is read again.
        if found.st_ctime_ns > written:
            return None
        parent, name = os.path.split(os.path.abspath(file))
        key = os.path.join(os.path.realpath(parent), name)
        with lock, contextlib.suppress(sqlite3.Error):
            query = "select value from Cache where key = ? and raw = 1"
            row = database.execute(query, (key,)).fetchone()
            return _md5(row[0], found) if row else None
        return None

    try:
        yield recall
    finally:
        database.close()


def _md5(entry: Any, found: os.stat_result) -> str | None:
    """Returns the md5 that an entry gives to a file, if it is of this status."""
    told = hashlib.md5(
        str(([found.st_ino, found.st_mtime, found.st_size],)).encode(), usedforsecurity=False
    )
    try:
        known = json.loads(entry)
        if known["version"] == _VERSION and known["checksum"] == str(int(told.hexdigest(), 16)):
            md5 = known["hash_info"]["md5"]
            return md5 if is_md5(md5) and not md5.endswith(".dir") else None
    except (ValueError, KeyError, TypeError, RecursionError):
        pass  # it was not written by a DVC that is known here
    return None


def _database(path: Path) -> Path | None:
    """Returns where DVC 3 keeps the hashes of the repository that a path lies in."""
    root = dvc_repo.find_root(path)
    if root is None:
        return None
    root = Path(os.path.realpath(root))
    try:
        born = os.path.getmtime(root / ".dvc" / "tmp" / "btime")
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no DVC has been here, or nobody has a name
        return None
    token = hashlib.md5(str((str(root), None, born, user, 3, 0)).encode(), usedforsecurity=False)
    top = os.environ.get("DVC_SITE_CACHE_DIR") or dvc_repo.site_cache(root) or _default()
    place = Path(top, "repo", token.hexdigest(), "hashes", "local", "cache.db")
    with contextlib.suppress(OSError):
        # Everybody may write where DVC keeps it, so it could be made up.
        if place.stat().st_uid == os.geteuid():
            return place
    return None


def _default() -> str:
    return "/Library/Caches/dvc" if sys.platform == "darwin" else "/var/tmp/dvc"


def _open(place: Path) -> sqlite3.Connection | None:
    with contextlib.suppress(sqlite3.Error):
        uri = f"{place.as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, timeout=_PATIENCE, check_same_thread=False)
    return None


def _written(place: Path) -> int:
    """Returns when DVC last wrote to its database, in nanoseconds since 1970."""
    times = [0]
    for file in (place, place.with_name(f"{place.name}-wal")):
        with contextlib.suppress(OSError):
            found = file.stat()
            if found.st_size:  # an empty one is as old as the last reader
                times.append(found.st_mtime_ns)
    return max(times)
