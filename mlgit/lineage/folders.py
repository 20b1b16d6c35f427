"""Looking into folders: which files a folder holds, which folders hold a file.

A folder's content is known by its manifest, an object of the data store. Manifests
are read when they are asked for, and their md5s kept, so that the second question is
fast; what cannot be looked into is kept in mind, so that no answer passes for whole
that is not.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from mlgit import names
from mlgit.data import hashing, store
from mlgit.data.hashing import Member
from mlgit.errors import Invalid, Unreadable
from mlgit.lineage.cache import Cache

_FEW = 16  # hashes that are sought one by one, before the lists are taken apart

Held = tuple[str, str, str | None]  # a folder, a file, its path in it if that is still known


class Folders:
    """The folders whose manifests lie in one of the stores."""

    def __init__(self, stores: Sequence[Path], cache: Cache) -> None:
        self._stores = [os.path.join(place, "files", "md5") for place in stores]
        self._cache = cache
        self.missing: set[str] = set()
        """The md5s of folders that could not be looked into: the manifest is not here."""
        self.damaged: dict[str, str] = {}
        """And those whose manifest is here, but cannot be trusted; with the reason."""
        self._on_disk: dict[str, bytes] = {}

    def add(self, folder: str, manifest: bytes) -> None:
        """Adds a folder that lies on the disk, with a manifest that was just made of it."""
        self._on_disk[folder] = manifest

    def members(self, folder: str) -> list[Member] | None:
        """Returns the files of a folder; None if it cannot be looked into."""
        content = self._load(folder)
        try:
            return None if content is None else hashing.parse_manifest(content, folder)
        except Unreadable as error:
            self.damaged[folder] = error.message
            return None

    def inside(
        self, folders: Collection[str], files: Callable[[], Mapping[bytes, str]]
    ) -> Iterator[Held]:
        """Yields which of the files lie in each of the folders.

        `files` gives the files by the bytes of their md5s; it is called if it is needed.
        A file that lies in a folder more than once is yielded once.
        """
        for folder, listed in self.lists(folders):
            wanted = files()
            found = [wanted[raw] for raw in {*_pieces(listed)} & wanted.keys()]
            yield from self.placed(folder, found)

    def lists(self, folders: Collection[str]) -> list[tuple[str, bytes]]:
        """Returns the md5s of the files of each folder that can be looked into, 16 bytes each."""
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
        if fresh:
            with database:
                database.executemany("insert or ignore into folder values (?, ?)", fresh.items())
        return [*known.items(), *fresh.items()]

    def placed(self, folder: str, files: Iterable[str]) -> Iterator[Held]:
        """Yields files of a folder with their paths in it."""
        if not files:
            return
        found = self._read(folder)
        try:
            paths = {md5: names.artifact_path(found[md5]) for md5 in files if md5 in found}
        except Invalid as error:
            self.damaged[folder] = f"the manifest {folder} is damaged: {error.message}"
            paths = {}
        yield from ((folder, md5, paths.get(md5)) for md5 in files)

    def file(self, folder: str, path: str) -> str | None:
        """Returns the md5 of the file at a path in a folder; None if it is not known."""
        content = self._load(folder)
        # Taking a list apart takes long, and a folder may have many versions.
        if content is None or json.dumps(path).encode() not in content:
            return None
        paths = ((at, md5) for md5, at in self._items(folder, content))
        return dict(paths).get(path)

    def _read(self, folder: str) -> dict[str, str]:
        """Returns the md5s of a folder's files, each with its first path, unchecked."""
        content = self._load(folder)
        found: dict[str, str] = {}
        for md5, path in self._items(folder, content) if content is not None else ():
            found.setdefault(md5, path)
        return found

    def _items(self, folder: str, content: bytes) -> list[tuple[str, str]]:
        """Returns the md5s and paths of a manifest, paths unchecked; nothing if it is damaged."""
        try:
            found = [(item["md5"], item["relpath"]) for item in json.loads(content)]
            for md5, path in found:
                if not hashing.is_md5(md5) or md5.endswith(".dir"):
                    raise ValueError(f"{names.shown(md5)} is not the md5 of a file")
                if not isinstance(path, str):
                    raise ValueError(f"{names.shown(path)} is not the path of a file")
            return found
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            self.damaged[folder] = f"the manifest {folder} is damaged: {error}"
            return []

    def _load(self, folder: str) -> bytes | None:
        if folder in self.missing or folder in self.damaged:
            return None
        if folder in self._on_disk:
            return self._on_disk[folder]
        above, name = folder[:2], folder[2:]
        try:
            for place, parts in self._parts:
                # Most are not here, and the system is asked as little as can be.
                if above in parts and os.path.exists(path := f"{place}/{above}/{name}"):
                    if os.path.getsize(path) > hashing.MANIFEST_LIMIT:
                        raise Unreadable(f"the manifest {folder} is too large")
                    return store.load(Path(place).parents[1], folder)
            self.missing.add(folder)
        except (OSError, Unreadable) as error:
            self.damaged[folder] = str(error)
        return None

    @cached_property
    def _parts(self) -> list[tuple[str, set[str]]]:
        """The stores that are there, with the beginnings of md5s that they have objects of."""
        found = []
        for place in self._stores:
            try:
                found.append((place, set(os.listdir(place))))
            except OSError:
                continue  # nothing was stored there yet
        return found


class _Lists(NamedTuple):
    """The lists of many folders, one after another."""

    joined: bytes
    starts: list[int]
    folders: list[str]

    def holding(self, files: Mapping[bytes, str]) -> Iterator[tuple[str, str]]:
        """Yields the folders that hold one of these files, each with the file."""
        for raw, at in self._few(files) if len(files) <= _FEW else self._many(files):
            yield self.folders[bisect_right(self.starts, at) - 1], files[raw]

    def _few(self, files: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
        for raw in files:
            at = self.joined.find(raw)
            while at >= 0:
                if not at % 16:
                    yield raw, at
                at = self.joined.find(raw, at + 1)

    def _many(self, files: Mapping[bytes, str]) -> Iterator[tuple[bytes, int]]:
        pieces = enumerate(_pieces(self.joined))
        yield from ((raw, number * 16) for number, raw in pieces if raw in files)


class Shelf:
    """Many folders, to be asked again and again which of them hold a file."""

    def __init__(self, folders: Folders, sizes: Mapping[str, int | None]) -> None:
        """`sizes` are those of the folders' files in bytes, if known, by the folders' md5s."""
        self._folders = folders
        self._sizes = {folder: size or math.inf for folder, size in sizes.items()}
        self._closed = sorted(self._sizes, key=self._sizes.__getitem__)
        self._open: list[_Lists] = []

    def holding(self, files: Mapping[str, int]) -> Iterator[Held]:
        """Yields which of the folders hold which of the files, given by md5 with their sizes.

        A folder that is smaller than all of the files is not looked into.
        """
        wanted = {bytes.fromhex(md5): md5 for md5 in files if hashing.is_md5(md5)}
        if not wanted:
            return
        self._look(min(files.values()))
        held: dict[str, list[str]] = {}
        for lists in self._open:
            for folder, md5 in lists.holding(wanted):
                held.setdefault(folder, []).append(md5)
        for folder, found in held.items():
            yield from self._folders.placed(folder, found)

    def _look(self, least: int) -> None:
        """Gets the lists of all folders that are at least so large."""
        wanted = []
        while self._closed and self._sizes[self._closed[-1]] >= least:
            wanted.append(self._closed.pop())
        if found := self._folders.lists(wanted):
            starts = [0]
            for _, listed in found:
                starts.append(starts[-1] + len(listed))
            joined = b"".join(listed for _, listed in found)
            self._open.append(_Lists(joined, starts[:-1], [folder for folder, _ in found]))


def _pieces(listed: bytes) -> Iterator[bytes]:
    return (listed[start : start + 16] for start in range(0, len(listed), 16))
