"""Which code the runs ran: states of it, as git's trees, that many runs may share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from mlgit.ledger.index import Table
from mlgit.ledger.objects import Object, Reader

_LIMIT = 64 * 1024  # bytes of a commit; a larger one is nobody's code
_SUBJECT = 200  # characters
_TREE = re.compile(rb"tree ([0-9a-f]{40})\n")


class Code(NamedTuple):
    """One state of the code; commits that differ only in what they say share it."""

    tree: str
    commit: str
    """What ran it first: a commit, or the snapshot of uncommitted work."""
    subject: str
    """First line of its message; of a snapshot that of the commit it was made on."""
    is_snapshot: bool
    rows: list[int]
    """The runs that ran it, newest first, without deleted ones."""


def read(reader: Reader, table: Table, deleted: Sequence[bool]) -> dict[str, Code]:
    """Returns the code by tree, in the order of first use, as far as it is in this repository."""
    every = table.attributes
    ran = list(zip(every["snapshot"], every["commit"], strict=True))
    wanted = sorted({commit for pair in ran for commit in pair if commit})
    known = dict(zip(wanted, map(_parse, reader.find_many(wanted, _LIMIT)), strict=True))
    found: dict[str, Code] = {}
    for row in range(len(ran) - 1, -1, -1):
        snapshot, commit = ran[row]
        commit_of = snapshot or commit
        parsed = known.get(commit_of) if commit_of else None
        if parsed is None or deleted[row]:
            continue
        tree, subject = parsed
        if snapshot:
            base = known.get(commit) if commit else None
            subject = base[1] if base else ""
        code = found.setdefault(tree, Code(tree, commit_of, subject, snapshot is not None, []))
        code.rows.append(row)
    for code in found.values():
        code.rows.reverse()
    return found


def _parse(found: object) -> tuple[str, str] | None:
    """Returns the tree of a commit and the first line of its message."""
    if not isinstance(found, Object) or found.kind != "commit":
        return None
    match = _TREE.match(found.data)
    if match is None:
        return None
    message = found.data.partition(b"\n\n")[2]
    subject = message.lstrip().split(b"\n", 1)[0].decode(errors="replace").strip()
    return match[1].decode(), subject[:_SUBJECT]
