"""Merging two ledgers: the union of their trees.

Only new paths are ever added and what is written never changes, so two ledgers
can differ only in what one has and the other lacks. Their union is the same in
any order, needs no work tree, and reads only the folders that differ.
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from mlgit import names
from mlgit.errors import Unreadable
from mlgit.ledger.objects import FILE, TREE, Entry, Reader, Store, format_tree
from mlgit.ledger.repository import Repository

PATH_LIMIT = names.PATH_LIMIT + 100  # characters; the longest of ours is an artifact's
PATHS_LIMIT = 3_000_000  # files and folders, of 500,000 runs
DEPTH_LIMIT = PATH_LIMIT // 2 + 1  # folders inside each other, by that


def union(
    reader: Reader, store: Store, ours: str, theirs: str, above: str = "", depth: int = 0
) -> str:
    """Returns the tree that has every path of both trees.

    Raises:
        Unreadable: one path has two contents; the message names it.
    """
    if ours == theirs:
        return ours
    if depth > DEPTH_LIMIT:
        raise Unreadable(f"the path {names.shown(above)} is nested too deeply")
    merged, right = reader.tree(ours), reader.tree(theirs)
    before = dict(merged)
    for name, entry in right.items():
        mine = merged.setdefault(name, entry)
        if mine == entry:
            continue
        if mine.is_tree and entry.is_tree:
            sha = union(reader, store, mine.sha, entry.sha, f"{above}{name}/", depth + 1)
            merged[name] = Entry(TREE, sha)
        else:
            raise Unreadable(
                f"{names.shown(above + name, 120)} has two contents, "
                "and what is written never changes",
                "one of them was altered by hand; compare them with 'git diff' and repair "
                "the branch it is on",
            )
    if merged == before:
        return ours
    return theirs if merged == right else store.put("tree", format_tree(merged))


def check_incoming(repository: Repository, ours: str | None, theirs: str) -> None:
    """Checks every path that merging the tree `theirs` would add to the tree `ours`.

    A few hostile trees that hold each other several times make billions of paths, on
    which git itself runs out of memory. So each pair of folders is looked at once, level
    by level, with the number of places it stands at.

    Raises:
        Unreadable: a path climbs out of its folder, is too long or no plain file, or
            there are more of them than a ledger can have.
    """
    level: dict[tuple[str | None, str], _Places] = {(ours, theirs): _Places("", 1)}
    paths = 0
    with contextlib.closing(Reader(repository)) as reader:
        while level:
            below: dict[tuple[str | None, str], _Places] = {}
            found = reader.trees(their_sha for _, their_sha in level)
            for ((our_sha, _), (above, times)), right in zip(level.items(), found, strict=True):
                if right is None:
                    raise Unreadable(f"the folder {names.shown(above)} is missing, or damaged")
                left = reader.tree(our_sha) if our_sha else {}
                for name, entry in right.items():
                    mine = left.get(name)
                    if mine == entry:
                        continue
                    paths += times
                    _check(f"{above}{name}", name, entry, mine)
                    if entry.is_tree:
                        pair = (mine.sha if mine and mine.is_tree else None, entry.sha)
                        known = below.get(pair, _Places("", 0))
                        longest = max(known.longest, f"{above}{name}/", key=len)
                        below[pair] = _Places(longest, known.times + times)
            if paths > PATHS_LIMIT:
                raise Unreadable("there are more paths than a ledger can have")
            level = below


class _Places(NamedTuple):
    """Where a folder stands."""

    longest: str
    times: int


def _check(path: str, name: str, entry: Entry, mine: Entry | None) -> None:
    if not names.is_safe_component(name):
        raise Unreadable(f"the path {names.shown(path, 120)} would climb out of its folder")
    if len(path) > PATH_LIMIT:
        raise Unreadable(f"the path {names.shown(path)} is too long")
    if mine is None and not entry.is_tree and entry.mode != FILE:
        raise Unreadable(f"{names.shown(path, 120)} is not a plain file")
