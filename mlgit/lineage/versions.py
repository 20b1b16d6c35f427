"""What became of data in the registry: the versions they are, and the stages these are in."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from mlgit.ledger import Ledger, tagging
from mlgit.lineage.graph import Graph


def described(ledger: Ledger, graph: Graph) -> Graph:
    """Returns the graph with `versions` in the facts of data that are registered models."""
    if not any(node.kind == "artifact" for node in graph.nodes.values()):
        return graph
    if not tagging.here(ledger.repository):
        return graph
    found = _registered(ledger)
    nodes = {
        node_id: replace(node, facts={**node.facts, "versions": found[node.key]})
        if node.id == f"data:{node.key}" and node.key in found
        else node
        for node_id, node in graph.nodes.items()
    }
    return graph._replace(nodes=nodes)


def _registered(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    """Returns the versions of all models by the hash of their bytes, as they stand."""
    from mlgit import registry
    from mlgit.registry.fold import is_stage

    found: dict[str, list[dict[str, Any]]] = {}
    for model in registry.load(ledger).models.values():
        for version in model.versions:
            if version.hash is None:
                continue
            entered = [
                event.time
                for event in model.events
                if event.commit == version.commit
                and event.name.stage == version.stage
                and is_stage(event)
            ]
            told = {
                "name": version.name,
                "stage": version.stage,
                "since": max(entered) if version.stage and entered else None,
                "aliases": version.aliases,
                "withdrawn": version.withdrawn,
            }
            found.setdefault(version.hash, []).append(told)
    return found
