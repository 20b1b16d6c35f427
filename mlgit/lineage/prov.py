"""The graph as W3C PROV-JSON (https://www.w3.org/submissions/prov-json/).

Contents, code and environments are entities, runs and stages activities, people
agents; a folder is a collection, a nested run was started by its parent.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import Any
from urllib.parse import quote

from mlgit.lineage.formats import registered
from mlgit.lineage.graph import Edge, Graph, Node

_SPACE = "urn:mlgit:"
_ACTIVITIES = ("run", "stage")
# Edge kind -> PROV's relation, and what it calls the subject and the object.
_RELATIONS = {
    "used": ("used", "prov:activity", "prov:entity"),
    "ran": ("used", "prov:activity", "prov:entity"),
    "ran-in": ("used", "prov:activity", "prov:entity"),
    "generated": ("wasGeneratedBy", "prov:activity", "prov:entity"),
    "contains": ("hadMember", "prov:collection", "prov:entity"),
    "part-of": ("wasStartedBy", "prov:activity", "prov:starter"),
    "same-as": ("alternateOf", "prov:alternate1", "prov:alternate2"),
}
_OTHER = ("wasInfluencedBy", "prov:influencee", "prov:influencer")
_ROLES = {"ran": "code", "ran-in": "environment"}


def document(graph: Graph) -> dict[str, Any]:
    """Returns the PROV-JSON document."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    found["prefix"] = {"mlgit": _SPACE}
    for node in graph.nodes.values():
        part = "activity" if node.kind in _ACTIVITIES else "entity"
        found[part][_name(node.id)] = _attributes(node)
        if node.kind == "run":
            _add_agent(found, node)
    for number, edge in enumerate(graph.edges):
        relation, subject, object_ = _RELATIONS.get(edge.kind, _OTHER)
        ends = {subject: _name(edge.subject), object_: _name(edge.object)}
        found[relation][f"_:e{number}"] = ends | _told(edge)
    return dict(found)


def _name(node_id: str) -> str:
    kind, _, key = node_id.partition(":")
    return f"mlgit:{kind}-{quote(key, safe='')}"


def _attributes(node: Node) -> dict[str, Any]:
    folder = node.kind in ("dataset", "artifact") and node.key.endswith(".dir")
    types = [_type(f"mlgit:{node.kind}"), *([_type("prov:Collection")] if folder else [])]
    told: dict[str, Any] = {"prov:label": node.label, "prov:type": types}
    if node.kind == "run":
        told["prov:startTime"] = node.facts["started"]
        if node.facts["ended"]:
            told["prov:endTime"] = node.facts["ended"]
    for key, value in node.facts.items():
        if key == "versions":
            told["mlgit:version"] = registered(node)
        elif isinstance(value, int) and not isinstance(value, bool):
            told[f"mlgit:{key}"] = {"$": str(value), "type": "xsd:long"}
        elif value is not None and key not in ("started", "ended", "user", "email"):
            told[f"mlgit:{key}"] = value
    return told


def _type(name: str) -> dict[str, str]:
    return {"$": name, "type": "prov:QUALIFIED_NAME"}


def _add_agent(found: dict[str, dict[str, Any]], run: Node) -> None:
    user, email = run.facts["user"], run.facts["email"]
    digest = hashlib.sha256(f"{user} <{email}>".encode(errors="replace")).hexdigest()[:16]
    agent = f"mlgit:person-{digest}"
    found["agent"][agent] = {
        "prov:type": [_type("prov:Person")],
        "prov:label": user,
        "mlgit:email": email,
    }
    found["wasAssociatedWith"][f"_:a{len(found['wasAssociatedWith'])}"] = {
        "prov:activity": _name(run.id),
        "prov:agent": agent,
    }


def _told(edge: Edge) -> dict[str, str]:
    if edge.kind in ("contains", "same-as"):  # PROV allows them no attributes
        return {}
    role = " ".join(filter(None, (_ROLES.get(edge.kind), edge.role)))
    told = {"prov:role": role, "mlgit:path": edge.path, "mlgit:name": edge.name}
    return {key: value for key, value in told.items() if value}
