"""The graph as OpenLineage events (https://openlineage.io), one JSON object each.

A run is two events, its start and its end, both with all that it used and made; a
stage of a pipeline, of which only the result is known, is a job event. A dataset is
named by its path, and its version is its md5.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from mlgit import __version__
from mlgit.lineage.graph import Edge, Graph, Node, kept

_PRODUCER = f"urn:mlgit:{__version__}"
_SPEC = "https://openlineage.io/spec"
_ENDS = {"finished": "COMPLETE", "failed": "FAIL", "interrupted": "ABORT"}
_DIGITS = str.maketrans("0123456789abcdefghjkmnpqrstvwxyz", "0123456789abcdefghijklmnopqrstuv")

Event = dict[str, Any]


def events(graph: Graph, remote: str | None = None) -> Iterator[Event]:
    """Yields the events, those of the oldest run first; see `graph.completed`.

    `remote` is the address of the repository, which becomes the namespace.
    """
    ends: dict[str, list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        ends[edge.subject].append(edge)
    made = [node for node in graph.nodes.values() if node.kind in ("run", "stage")]
    for node in sorted(made, key=lambda node: (node.kind == "run", node.id)):
        writer = _Writer(graph, ends[node.id], remote)
        yield from writer.run(node) if node.kind == "run" else [writer.stage(node)]


def run_uuid(run_id: str) -> str:
    """Returns a run's id as a UUID: the same 128 bits.

    >>> run_uuid("01kb2q6v6r8m3x0c5t1w9y7zab")
    '019ac573-6cd8-4507-d030-ba0f13e3fd4b'
    """
    digits = f"{int(run_id.translate(_DIGITS), 32):032x}"
    return "-".join(digits[start:end] for start, end in pairwise((0, 8, 12, 16, 20, 32)))


class _Writer:
    """Writes the events of one run or stage."""

    def __init__(self, graph: Graph, edges: list[Edge], remote: str | None) -> None:
        self._nodes = graph.nodes
        self._edges = edges
        self._remote = remote
        self._namespace = remote or "mlgit"

    def run(self, node: Node) -> Iterator[Event]:
        facets = {"tags": _facet("TagsRunFacet", "1-0-0", tags=_tags(node))}
        for edge in self._edges:
            if edge.kind == "part-of" and edge.object in self._nodes:
                parent = self._nodes[edge.object]
                job = {"namespace": self._namespace, "name": parent.facts["experiment"]}
                run = {"runId": run_uuid(parent.key)}
                facets["parent"] = _facet("ParentRunFacet", "1-2-0", run=run, job=job)
        event = {
            **self._event("RunEvent", node.facts["experiment"], "RUN"),
            "run": {"runId": run_uuid(node.key), "facets": facets},
        }
        yield {"eventType": "START", "eventTime": node.facts["started"], **event}
        ended = node.facts["ended"] or node.facts["started"]
        yield {"eventType": _ENDS[node.facts["status"]], "eventTime": ended, **event}

    def stage(self, node: Node) -> Event:
        name = node.facts["lock"].removesuffix("dvc.lock") + node.label
        return {"eventTime": node.facts["time"], **self._event("JobEvent", name, "STAGE")}

    def _event(self, kind: str, job: str, job_type: str) -> Event:
        types = {"processingType": "BATCH", "integration": "MLGIT", "jobType": job_type}
        facets = {"jobType": _facet("JobTypeJobFacet", "2-0-4", **types), **self._code()}
        return {
            "producer": _PRODUCER,
            "schemaURL": f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/{kind}",
            "job": {"namespace": self._namespace, "name": job, "facets": facets},
            "inputs": list(self._datasets("used", "input", "1-0-0")),
            "outputs": list(self._datasets("generated", "output", "1-0-2")),
        }

    def _code(self) -> dict[str, Any]:
        commits = [edge.object for edge in self._edges if edge.kind == "ran"]
        if not commits or not self._remote or not self._remote.startswith("http"):
            return {}
        # git takes any text for an address, a URI does not.
        url = quote(self._remote, safe="%!$&'()*+,/:;=?@[]~", errors="replace")
        told = {"type": "git", "url": url, "version": self._nodes[commits[0]].key}
        return {"sourceCodeLocation": _facet("SourceCodeLocationJobFacet", "1-1-0", **told)}

    def _datasets(self, kind: str, side: str, version: str) -> Iterator[dict[str, Any]]:
        for edge in self._edges:
            if edge.kind == kind:
                data = self._nodes[edge.object]
                counts = {"size": data.facts.get("size"), "fileCount": data.facts.get("files")}
                counts = {key: value for key, value in counts.items() if value is not None}
                title = f"{side.title()}Statistics{side.title()}DatasetFacet"
                facets = {
                    "version": _facet(
                        "DatasetVersionDatasetFacet", "1-0-1", datasetVersion=data.key
                    )
                }
                if told := kept(data):
                    tag = {"key": "mlgit.kept", "value": told, "source": "MLGIT"}
                    facets["tags"] = _facet("TagsDatasetFacet", "1-0-0", tags=[tag])
                yield {
                    "namespace": self._namespace,
                    "name": edge.path or data.label,
                    "facets": facets,
                    f"{side}Facets": {f"{side}Statistics": _facet(title, version, **counts)},
                }


def _facet(name: str, version: str, /, **content: Any) -> dict[str, Any]:
    url = f"{_SPEC}/facets/{version}/{name}.json#/$defs/{name}"
    return {"_producer": _PRODUCER, "_schemaURL": url, **content}


def _tags(run: Node) -> list[dict[str, str]]:
    told = {"mlgit.run": run.key, "mlgit.name": run.facts["name"]}
    return [{"key": key, "value": value, "source": "MLGIT"} for key, value in told.items() if value]
