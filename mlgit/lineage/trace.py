"""The whole answer about X: the walks, the graph they make, and what stands in the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mlgit.errors import NotFound
from mlgit.ledger import Ledger
from mlgit.lineage import versions
from mlgit.lineage.collect import LedgerSource
from mlgit.lineage.find import find
from mlgit.lineage.graph import NODE_LIMIT, SHORT, Graph, Node, Walk, joined, walk
from mlgit.names import shown


class Lineage(NamedTuple):
    source: LedgerSource
    walks: list[Walk]
    graph: Graph
    """What the walks found, with code, environments and registered versions described."""
    notes: list[str]
    """Why there may be more than was found."""


def trace(
    ledger: Ledger,
    text: str,
    up: bool = True,
    down: bool = True,
    depth: int | None = None,
    limit: int = NODE_LIMIT,
) -> Lineage:
    """Returns what X was made from and what was made from it; see `find.find` for what X is.

    `depth` is a number of steps: from a file to the runs that used it is one.

    Raises:
        NotFound: nothing is meant by X, or no run or pipeline knows it.
    """
    source = LedgerSource(ledger)
    roots = find(source, text)
    walks = [walk(source, roots, way, depth, limit) for way in (True, False) if (down, up)[way]]
    if not any(each.edges for each in walks) and _unknown(source, roots):
        raise _nothing(source, text, roots[0])
    graph = versions.described(ledger, source.described(joined(walks)))
    return Lineage(source, walks, graph, _notes(source, walks, depth))


def _unknown(source: LedgerSource, roots: Sequence[Node]) -> bool:
    """Tells whether this is a file from the disk that nothing recorded."""
    (root, *others) = roots
    if others or not root.id.startswith("data:") or source.data([root.key]):
        return False
    return not any(walk(source, roots, way, depth=1).edges for way in (True, False))


def _nothing(source: LedgerSource, text: str, root: Node) -> NotFound:
    hint = "list what they used: mlgit data ls"
    if source.folders.missing:
        hint = f"but {_unseen(source)}"
    elif source.called(root.label, root.label):
        hint = f"they did know other contents of this path: mlgit lineage 'data:{root.label}'"
    what = shown(text)
    if root.key not in text.lower():
        what += f" as it is here (md5 {root.key[:SHORT]}…)"
    return NotFound(f"no run used or made {what}", hint)


def _unseen(source: LedgerSource) -> str:
    """Says which folders could not be looked into."""
    missing = sorted(source.folders.missing)
    folders = f"{len(missing):,} folder" + "s" * (len(missing) != 1)
    named = ", ".join(md5[:SHORT] for md5 in missing[:3]) + ", …" * (len(missing) > 3)
    return (
        f"cannot look inside {folders} ({named}): no list of files on this machine; "
        "fetch what was kept: mlgit pull"
    )


def _notes(source: LedgerSource, walks: Sequence[Walk], depth: int | None) -> list[str]:
    notes = []
    if any(each.cut for each in walks):
        count = sum(len(each.nodes) for each in walks)
        notes.append(f"there is more: this is where the search ended, after {count:,} things")
    if any(each.ended for each in walks):
        notes.append(f"the search ended at a depth of {depth}; there may be more")
    if source.folders.missing:
        notes.append(_unseen(source))
    if unread := len(source.ledger.index().problems()):
        records = "record" + "s" * (unread != 1)
        notes.append(f"{unread:,} {records} cannot be read and may be missing here: mlgit doctor")
    return [*notes, *source.folders.damaged.values(), *source.problems]
