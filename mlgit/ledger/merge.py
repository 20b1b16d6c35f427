"""Merging two ledgers: the union of their trees.

Only new paths are ever added and what is written never changes, so two ledgers
can differ only in what one has and the other lacks. Their union is the same in
any order, needs no work tree, and reads only the folders that differ.
"""

from __future__ import annotations

from mlgit import names
from mlgit.errors import Unreadable
from mlgit.ledger.objects import TREE, Entry, Reader, Store, format_tree
from mlgit.ledger.repository import Repository


def union(reader: Reader, store: Store, ours: str, theirs: str, above: str = "") -> str:
    """Returns the tree that has every path of both trees.

    Raises:
        Unreadable: one path has two contents; the message names it.
    """
    if ours == theirs:
        return ours
    left, right = reader.tree(ours), reader.tree(theirs)
    for name, entry in right.items():
        mine = left.setdefault(name, entry)
        if mine == entry:
            continue
        if mine.is_tree and entry.is_tree:
            sha = union(reader, store, mine.sha, entry.sha, f"{above}{name}/")
            left[name] = Entry(TREE, sha)
        else:
            raise Unreadable(
                f"{above}{name} has two contents, and what is written never changes",
                "one of them was altered by hand; compare them with 'git diff' and repair "
                "the branch it is on",
            )
    return store.put("tree", format_tree(left))


def check_incoming(repository: Repository, ours: str | None, theirs: str) -> None:
    """Checks every path that merging the tree `theirs` would add to the tree `ours`.

    Raises:
        Unreadable: one climbs out of its folder, or is no plain file.
    """
    if ours is None:
        listing = repository.git("ls-tree", "-r", "-z", theirs)
        changes = [line.split(b"\t", 1) for line in listing.split(b"\0") if line]
        added = [(head.split(b" ")[0], path) for head, path in changes]
    else:
        listing = repository.git("diff-tree", "-r", "-z", "--no-renames", ours, theirs)
        parts = listing.split(b"\0")
        added = [
            (head.split(b" ")[1], path)
            for head, path in zip(parts[::2], parts[1::2], strict=False)
            if head.endswith(b"A")
        ]
    for mode, path in added:
        text = path.decode(errors="surrogateescape")
        if not all(names.is_safe_component(part) for part in text.split("/")):
            raise Unreadable(f"the path {names.shown(text)} would climb out of its folder")
        if mode != b"100644":
            raise Unreadable(f"{names.shown(text)} is not a plain file")
