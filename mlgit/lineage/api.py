"""Lineage in Python: `mlgit.get_lineage`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from mlgit.ledger import Ledger, Repository
from mlgit.ledger.pointers import identity
from mlgit.ledger.snapshot import remote_url
from mlgit.lineage import formats, openlineage, prov
from mlgit.lineage.collect import LedgerSource
from mlgit.lineage.graph import Edge, Graph, Node, Walk, completed
from mlgit.lineage.trace import trace
from mlgit.records import Pointer


class Lineage:
    """What something was made from, and what was made from it. It does not change by itself."""

    def __init__(
        self, graph: Graph, walks: Sequence[Walk], notes: Sequence[str], repository: Repository
    ) -> None:
        self._graph = graph
        self._walks = walks
        self._repository = repository
        self.notes = list(notes)
        """Why there may be more than was found, for people."""

    def __repr__(self) -> str:
        labels = ", ".join(node.label for node in self.roots)
        sides = f"from {len(self.upstream())} things, led to {len(self.downstream())}"
        return f"<mlgit lineage of {labels}: {sides}>"

    @property
    def roots(self) -> list[Node]:
        """What was asked about; of a name or path all versions, the last used first."""
        return [self._graph.nodes[each] for each in self._graph.roots]

    @property
    def edges(self) -> list[Edge]:
        """The facts that join the nodes; each reads as a sentence: run:… used data:…"""
        return list(self._graph.edges)

    def upstream(self, kind: str | None = None) -> list[Node]:
        """Returns what it was made from, the nearest first.

        `kind` is "run", "dataset", "artifact", "model", "stage", "code" or "environment";
        None means all. A node's `key` is a run's id, the md5 of data, or a commit; its
        `facts` are those that `mlgit lineage --json` shows.
        """
        return self._side(True, kind)

    def downstream(self, kind: str | None = None) -> list[Node]:
        """Returns what was made from it, the nearest first; `kind` as for `upstream`."""
        return self._side(False, kind)

    def _side(self, up: bool, kind: str | None) -> list[Node]:
        found = (node_id for walk in self._walks if walk.up == up for node_id in walk.nodes)
        nodes = (self._graph.nodes[each] for each in found if each not in self._graph.roots)
        return [node for node in nodes if kind in (None, node.kind, node.facts.get("type"))]

    def to_dict(self) -> dict[str, Any]:
        """Returns nodes and edges in the types of JSON, as `mlgit lineage --json` shows them."""
        return formats.document(self._graph, self.notes)

    def to_dot(self) -> str:
        """Returns the graph in Graphviz's language."""
        return formats.dot(self._graph)

    def to_mermaid(self) -> str:
        """Returns the graph as a Mermaid flowchart."""
        return formats.mermaid(self._graph)

    def to_prov(self) -> dict[str, Any]:
        """Returns the graph as W3C PROV-JSON."""
        return prov.document(self._graph)

    def to_openlineage(self) -> list[dict[str, Any]]:
        """Returns the runs as OpenLineage events, the oldest first, each run with all it used."""
        with Ledger(self._repository) as ledger:
            return list(events(self._graph, LedgerSource(ledger)))


def events(graph: Graph, source: LedgerSource) -> Iterable[dict[str, Any]]:
    """Returns OpenLineage events, which stand for all of a run, not the part asked about."""
    whole = completed(graph, source, lambda node: node.kind in ("run", "stage"))
    return openlineage.events(whole, remote_url(source.ledger.repository))


def get_lineage(
    x: Any,
    *,
    up: bool = True,
    down: bool = True,
    depth: int | None = None,
    repository: str | os.PathLike[str] = ".",
) -> Lineage:
    """Returns what x was made from (`up`) and what was made from it (`down`).

    `x` is what `mlgit lineage` understands: a file or folder here, an md5 or the
    beginning of one, the name or path of a dataset, a run's id or name; or a run, an
    input as `log_input` returns it, a `Path`. `depth` is a number of steps: from a file
    to the runs that used it is one; None means all.

    Raises:
        NotFound: nothing is meant by x, or no run or pipeline knows it.
    """
    with Ledger(repository) as ledger:
        found = trace(ledger, _spelled(x), up, down, depth)
        return Lineage(found.graph, found.walks, found.notes, ledger.repository)


def _spelled(x: Any) -> str:
    """Returns x as it is written on the command line."""
    if isinstance(x, Pointer):
        return f"data:{identity(x)}"
    if isinstance(x, (str, os.PathLike)):
        return os.fsdecode(x)
    return f"run:{x.id}"
