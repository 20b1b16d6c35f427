"""The graph as JSON, as Graphviz's DOT and as a Mermaid flowchart.

Names come from everybody's records; whatever is in them is text here and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mlgit.lineage.graph import SHORT, Edge, Graph, Node, brief, kept

_AGAINST = {"used", "ran", "ran-in"}  # edges whose object came before their subject


def document(graph: Graph, notes: Iterable[str] = ()) -> dict[str, Any]:
    """Returns the graph as an object of JSON types."""
    return {
        "roots": graph.roots,
        "nodes": [
            {"id": node.id, "kind": node.kind, "label": node.label, **node.facts}
            for node in graph.nodes.values()
        ],
        "edges": [_edge(edge) for edge in graph.edges],
        "notes": list(notes),
    }


def _edge(edge: Edge) -> dict[str, str]:
    ends = {"from": edge.subject, "kind": edge.kind, "to": edge.object}
    named = {"path": edge.path, "name": edge.name, "role": edge.role}
    return ends | {key: value for key, value in named.items() if value is not None}


def registered(node: Node) -> list[str]:
    """Returns what to say of the versions that data are in the registry, one by one."""
    told = []
    for each in node.facts.get("versions", ()):
        parts = [each["name"], *("withdrawn" for _ in range(each["withdrawn"]))]
        if each["stage"]:
            parts.append(f"in {each['stage']} since {(each['since'] or 'long ago')[:10]}")
        told.append(", ".join([*parts, *each["aliases"]]))
    return told


def caption(node: Node) -> tuple[str, str]:
    """Returns what a box says: a title and a line of detail, which may be empty."""
    if node.kind == "run":
        return node.label, f"run {node.key[:SHORT]} {node.facts['status']}"
    if node.kind in ("dataset", "artifact"):
        size = node.facts.get("size")
        told = [
            brief(node.key),
            *([f"{size:,} bytes"] if size is not None else []),
            kept(node),
            *registered(node),
        ]
        return node.label, " ".join(filter(None, told))
    if node.kind == "stage":
        return f"stage {node.label}", str(node.facts["lock"])
    return f"{node.kind} {node.label}", str(node.facts.get("summary") or "")


def _arrows(graph: Graph) -> Iterator[tuple[str, str, str, bool]]:
    """Yields the edges as arrows from what came before: from, to, label, a main line."""
    for edge in graph.edges:
        ends = edge.subject, edge.object
        before, after = reversed(ends) if edge.kind in _AGAINST else ends
        label = edge.role or ("" if edge.kind in ("used", "generated", "ran") else edge.kind)
        yield before, after, label, edge.kind in ("used", "generated")


# --- Graphviz ------------------------------------------------------------------------------

_SHAPES = {"run": "box", "stage": "box", "dataset": "cylinder", "artifact": "note"}


def dot(graph: Graph) -> str:
    """Returns the graph in Graphviz's language; time runs from left to right."""
    number = {node_id: f"n{index}" for index, node_id in enumerate(graph.nodes)}
    lines = ["digraph lineage {", "  rankdir=LR;", '  node [fontname="sans-serif"];']
    for node in graph.nodes.values():
        label = _quoted(*caption(node))
        style = ", style=bold" if node.id in graph.roots else ""
        shape = _SHAPES.get(node.kind, "plaintext")
        lines.append(f"  {number[node.id]} [label={label}, shape={shape}{style}];")
    for before, after, label, main in _arrows(graph):
        style = "solid" if main else "dashed"
        lines.append(
            f"  {number[before]} -> {number[after]} [label={_quoted(label)}, style={style}];"
        )
    return "\n".join([*lines, "}"])


def _quoted(*lines: str) -> str:
    """Returns lines as one string of DOT, which reads escapes and HTML's entities in it."""
    safe = (
        _plain(line).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
        for line in lines
        if line
    )
    return '"' + "\\n".join(safe) + '"'


# --- Mermaid -------------------------------------------------------------------------------

_BRACKETS = {"run": "([{}])", "stage": "([{}])", "dataset": "[({})]"}


def mermaid(graph: Graph) -> str:
    """Returns the graph as a Mermaid flowchart, which GitHub and GitLab draw in Markdown."""
    number = {node_id: f"n{index}" for index, node_id in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for node in graph.nodes.values():
        text = "<br/>".join(_entities(line) for line in caption(node) if line)
        lines.append("  " + number[node.id] + _BRACKETS.get(node.kind, "[{}]").format(f'"{text}"'))
    for before, after, label, main in _arrows(graph):
        arrow = "-->" if main else "-.->"
        text = f'|"{_entities(label)}"|' if label else ""
        lines.append(f"  {number[before]} {arrow}{text} {number[after]}")
    return "\n".join(lines)


# All else in ASCII means something to Mermaid somewhere: quotes and brackets, `#` and `;`
# of its entities, backticks of its Markdown, a colon after "style".
_HARMLESS = set(" ,._/@+=-")


def _entities(text: str) -> str:
    return "".join(
        char if char.isalnum() or char > "\x7f" or char in _HARMLESS else f"#{ord(char)};"
        for char in _plain(text)
    )


def _plain(text: str) -> str:
    """Returns a text on one line, without characters that would act on whoever shows it."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
