"""The graph of what was made from what, and how to walk it; pure.

Data is its md5: one content is one node, whatever it is called. So a run's output
that is another run's input joins the two, and no name has to be believed. Four rules
keep chance out of the answer:

- Nothing was made from what came later: of the runs that made a content, only those
  that had started when the run that used it ended can be where it had it from.
- A file leads to the folders it lies in, a folder to its files, but never through a
  folder to the file beside it; nor through a parent run to another of its parts.
- An empty file leads nowhere: it says nothing, and everybody has one.
- Code and environment are where a way ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple, Protocol

import msgspec

SHORT = 10  # characters of an id or hash as people are shown it
NODE_LIMIT = 50_000  # of one walk; enough for 10,000 runs, and no trap for the memory
_STEPS_A_NODE = 20  # on average; more is a tangle that somebody made on purpose
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


# Tens of thousands are made for one answer, and none refers to itself.
class Node(msgspec.Struct, frozen=True, gc=False):
    """A thing: its id is its kind's prefix and what identifies it, as in "run:01kb…"."""

    id: str
    kind: str
    """dataset (nothing recorded made it), artifact, run, stage (of DVC), code, environment."""
    label: str
    facts: dict[str, Any] = {}
    """More to show. Those that have a meaning here are a run's `started` and `ended`."""

    @property
    def key(self) -> str:
        """The id without its prefix: a run's id, an md5, a commit."""
        return self.id.partition(":")[2]


def kept(node: Node) -> str:
    """Returns what to say of data whose bytes were not kept; "" of all else."""
    return "" if node.facts.get("kept", True) else only(node.key)


def only(key: str) -> str:
    """Returns what is all that was kept of data without their bytes."""
    return "hash only" if _MD5.fullmatch(key) else "address only"


def brief(key: str) -> str:
    """Returns an md5 as people are shown it; of an address what its server called it, or "".

    >>> brief("58f7a0c1d2ab3746e5ffab10c2d3e4f5.dir")
    '58f7a0c1d2.dir'
    >>> brief('https://example.org/trips.csv W/"5f-1"')
    '5f-1'
    """
    if _MD5.fullmatch(key):
        return key[:SHORT] + ".dir" * key.endswith(".dir")
    tag = re.match(r'(?:W/)?"?([^" ,]+)"?(?: |$)', key.partition(" ")[2])
    return tag[1][:SHORT] if tag else ""


class Edge(msgspec.Struct, frozen=True, gc=False):
    """A fact that reads as a sentence: run:… used data:…"""

    subject: str
    kind: str
    """used, generated, ran (code), ran-in (an environment), contains, part-of (a parent),
    same-as (other bytes of the same values)."""
    object: str
    path: str | None = None
    name: str | None = None
    role: str | None = None


_EMPTY = {  # no bytes, and a folder of no files
    "d41d8cd98f00b204e9800998ecf8427e",
    "d751713988987e9331980363e24189ce.dir",
}
_ONE = {turn: (turn,) for turn in (-1, 0, 1)}
_PART = {"contains": "object", "part-of": "subject"}  # which end is the part of the other

Step = tuple[Edge, Node]  # an edge, and the node it leads to


class Source(Protocol):
    """Where the edges come from. Asked for many nodes at once; may answer in any order."""

    def flow(self, nodes: Collection[Node], up: bool) -> Iterable[Step]:
        """Yields what they were made from or ran, or with `up=False` what was made from them."""

    def family(self, nodes: Collection[Node], up: bool) -> Iterable[Step]:
        """Yields what they contain or lie in, as far as something made it (`up`) or used it,
        and what is the same.
        """


State = tuple[str, int]
"""A node as a walk came upon it: its id, and 1 after a step from a part to the whole, -1
after one to a part, else 0."""


class Walk:
    """What was found in one direction, and how."""

    def __init__(self, roots: Iterable[Node], up: bool) -> None:
        self.up = up
        self.roots = [node.id for node in roots]
        self.nodes = {node.id: node for node in roots}
        self.edges: dict[Edge, None] = {}  # an ordered set
        self.steps: dict[State, list[tuple[Edge, State]]] = {}
        """The ways the walk took from each node; a way not in here breaks a rule, and a node
        that is not in here is where the walk ended."""
        self.cut = False
        """Whether there was more than `limit` nodes."""
        self.ended = False
        """Whether `depth` ended it; there may be more beyond."""


def walk(
    source: Source,
    roots: Collection[Node],
    up: bool,
    depth: int | None = None,
    limit: int = NODE_LIMIT,
) -> Walk:
    """Follows the edges from the roots, level by level; `depth` is the number of steps."""
    found = Walk(roots, up)
    nodes, edges, steps = found.nodes, found.edges, found.steps
    bounds: dict[State, str] = {(root.id, 0): _bound(root, up) for root in roots}
    frontier = dict(bounds)
    level = taken = 0
    while frontier and taken < limit * _STEPS_A_NODE:
        if level == depth:
            found.ended = True
            break
        level += 1
        following: dict[State, str] = {}
        for state, edge, far, turn in _steps(source, found, frontier):
            taken += 1
            bound = frontier[state]
            if far.kind == "run":
                if not turn and not _possible(far, bound, up):
                    continue
                bound = _bound(far, up)
            if far.id not in nodes:
                if len(nodes) >= limit:
                    found.cut = True
                    continue
                nodes[far.id] = far
            reached = (far.id, turn)
            edges[edge] = None
            if state in steps:
                steps[state].append((edge, reached))
            else:
                steps[state] = [(edge, reached)]
            if reached not in bounds or _looser(bound, bounds[reached], up):
                bounds[reached] = following[reached] = bound
        frontier = following
    found.cut = found.cut or bool(frontier and not found.ended)
    return found


_EARLIEST, _LATEST = "", "~"  # below and above every time


def _possible(run: Node, bound: str, up: bool) -> bool:
    """Tells whether a run can have made (or used) what was used (or made) at that time."""
    if up:
        return bool(run.facts["started"] <= bound)
    return bool((run.facts.get("ended") or _LATEST) >= bound)


def _bound(node: Node, up: bool) -> str:
    """Returns the time by which (or from which) what comes next must have been made."""
    if node.kind != "run" or (up and not node.facts.get("ended")):
        return _LATEST if up else _EARLIEST
    return str(node.facts["ended" if up else "started"])


def _looser(bound: str, than: str, up: bool) -> bool:
    return bound > than if up else bound < than


def _steps(
    source: Source, found: Walk, frontier: Collection[State]
) -> Iterator[tuple[State, Edge, Node, int]]:
    """Yields the steps that the rules allow from these states: whence, edge, whither, turn."""
    turns: dict[str, tuple[int, ...]] = {}
    for node_id, turn in frontier:
        if node_id.partition(":")[2] not in _EMPTY or node_id in found.roots:
            turns[node_id] = (*turns[node_id], turn) if node_id in turns else _ONE[turn]
    nodes = [found.nodes[node_id] for node_id in turns]
    for edge, far in chain(source.flow(nodes, found.up), source.family(nodes, found.up)):
        near = edge.subject if far.id == edge.object else edge.object
        turned = _turn(edge, far) if edge.kind in _PART else 0
        for turn in turns.get(near, ()):
            if turned * turn >= 0:
                yield (near, turn), edge, far, turn if edge.kind == "same-as" else turned


def _turn(edge: Edge, far: Node) -> int:
    """Returns 1 if this leads from a part to the whole, -1 if to a part."""
    return -1 if getattr(edge, _PART[edge.kind]) == far.id else 1


class Graph(NamedTuple):
    """What was found, in both directions."""

    roots: list[str]
    nodes: dict[str, Node]
    edges: list[Edge]


def joined(walks: Iterable[Walk]) -> Graph:
    """Returns the union of walks from the same roots."""
    roots: list[str] = []
    nodes: dict[str, Node] = {}
    edges: dict[Edge, None] = {}
    for each in walks:
        roots = each.roots
        nodes |= each.nodes
        edges |= each.edges
    return Graph(roots, nodes, list(edges))


def completed(graph: Graph, source: Source, wanted: Callable[[Node], bool]) -> Graph:
    """Returns the graph with all that these nodes used and made, also what no walk met."""
    nodes, edges = dict(graph.nodes), dict.fromkeys(graph.edges)
    chosen = [node for node in graph.nodes.values() if wanted(node)]
    for up in (True, False):
        for edge, far in source.flow(chosen, up) if chosen else ():
            nodes.setdefault(far.id, far)
            edges[edge] = None
    return Graph(graph.roots, nodes, list(edges))
