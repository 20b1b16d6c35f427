"""Looking into folders: which files a folder holds, which folders hold a file.

A folder's content is known by its manifest, an object of the data store. Manifests
are read when they are asked for, and their md5s kept, so that the second question is
fast; what cannot be looked into is kept in mind, so that no answer passes for whole
that is not.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mlgit import names
from mlgit.data import hashing, store
from mlgit.data.hashing import Member
from mlgit.errors import Invalid, Unreadable
from mlgit.lineage.cache import Cache

_FEW = 8  # hashes that are sought one by one, before a folder's list is taken apart


class Folders:
    """The folders whose manifests lie in one of the stores."""

    def __init__(self, stores: Sequence[Path], cache: Cache) -> None:
        self._stores = stores
        self._cache = cache
        self.missing: set[str] = set()
        """The md5s of folders that could not be looked into: the manifest is not here."""
        self.damaged: dict[str, str] = {}
        """And those whose manifest is here, but cannot be trusted; with the reason."""

    def members(self, folder: str) -> list[Member] | None:
        """Returns the files of a folder; None if it cannot be looked into."""
        content = self._load(folder)
        try:
            return None if content is None else hashing.parse_manifest(content, folder)
        except Unreadable as error:
            self.damaged[folder] = error.message
            return None

    def holding(
        self, folders: Mapping[str, int], files: Mapping[str, int]
    ) -> Iterator[tuple[str, str, str | None]]:
        """Yields which of the folders hold which of the files: folder, file, path in it.

        Both are given by md5, with their sizes in bytes: a folder smaller than any
        of the files need not be opened. A file that a folder holds more than once is
        yielded once; the path is None where only its md5 is still known.
        """
        least = min(files.values(), default=0)
        wanted = [md5 for md5, size in folders.items() if files and (size >= least or not size)]
        raw = {bytes.fromhex(md5): md5 for md5 in files if hashing.is_md5(md5)}
        for folder, listed in self._lists(wanted):
            if found := _among(listed, raw):
                paths = self._paths(folder, found)
                yield from ((folder, md5, paths.get(md5)) for md5 in found)

    def _lists(self, folders: Collection[str]) -> list[tuple[str, bytes]]:
        """Returns the md5s of the files of each folder, 16 bytes each."""
        if not folders:
            return []
        return self._cache.ask(lambda database: self._ask_lists(database, folders))

    def _ask_lists(
        self, database: sqlite3.Connection, folders: Collection[str]
    ) -> list[tuple[str, bytes]]:
        rows = database.execute(
            "select md5, files from folder where md5 in (select value from json_each(?))",
            (json.dumps(list(folders)),),
        )
        known: dict[str, bytes] = dict(rows.fetchall())
        fresh = {
            folder: b"".join(bytes.fromhex(member) for member in found)
            for folder in folders
            if folder not in known and (found := self._read(folder))
        }
        with database:
            database.executemany("insert or ignore into folder values (?, ?)", fresh.items())
        return [*known.items(), *fresh.items()]

    def _read(self, folder: str) -> dict[str, str]:
        """Returns the md5s of a folder's files, each with its first path, unchecked."""
        content = self._load(folder)
        try:
            found: dict[str, str] = {}
            for item in json.loads(content) if content is not None else ():
                if not hashing.is_md5(item["md5"]) or item["md5"].endswith(".dir"):
                    raise ValueError(f"{names.shown(item['md5'])} is not the md5 of a file")
                found.setdefault(item["md5"], item["relpath"])
            return found
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            self.damaged[folder] = f"the manifest {folder} is damaged: {error}"
            return {}

    def _paths(self, folder: str, files: Iterable[str]) -> dict[str, str]:
        found = self._read(folder)
        try:
            return {md5: names.artifact_path(found[md5]) for md5 in files if md5 in found}
        except Invalid as error:
            self.damaged[folder] = f"the manifest {folder} is damaged: {error.message}"
            return {}

    def _load(self, folder: str) -> bytes | None:
        if folder in self.missing or folder in self.damaged:
            return None
        try:
            for place in self._stores:
                # Most are not there, and asking the system first is ten times faster.
                path = os.path.join(place, "files", "md5", folder[:2], folder[2:])
                if os.path.exists(path):
                    if os.path.getsize(path) > hashing.MANIFEST_LIMIT:
                        raise Unreadable(f"the manifest {folder} is too large")
                    return store.load(place, folder)
            self.missing.add(folder)
        except (OSError, Unreadable) as error:
            self.damaged[folder] = str(error)
        return None


def _among(listed: bytes, files: Mapping[bytes, str]) -> list[str]:
    """Returns which of the md5s are in a list of them."""
    if len(files) <= _FEW:
        return [md5 for raw, md5 in files.items() if _stands_in(raw, listed)]
    pieces = {listed[start : start + 16] for start in range(0, len(listed), 16)}
    return [files[raw] for raw in pieces & files.keys()]


def _stands_in(raw: bytes, listed: bytes) -> bool:
    position = listed.find(raw)
    while position % 16 and position >= 0:
        position = listed.find(raw, position + 1)
    return position >= 0
