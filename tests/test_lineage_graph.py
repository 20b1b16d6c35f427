"""The walk through the graph: which ways count, in both directions, and where it ends."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from mlgit.lineage.graph import Edge, Node, Step, completed, joined, walk

_KIN = ("contains", "part-of", "same-as")
EMPTY = "d41d8cd98f00b204e9800998ecf8427e"


@dataclass
class World:
    """A `Source` in memory: runs with their times, and edges."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)

    def run(
        self, name: str, start: int, end: int | None, used: str, made: str, parent: str = ""
    ) -> World:
        facts = {"started": f"{start:04}", "ended": None if end is None else f"{end:04}"}
        run = self.node(f"run:{name}", "run", facts)
        self.edges += [Edge(run, "used", self.node(f"data:{each}")) for each in used.split()]
        self.edges += [Edge(run, "generated", self.node(f"data:{each}")) for each in made.split()]
        self.edges += [Edge(run, "part-of", f"run:{each}") for each in parent.split()]
        return self

    def folder(self, name: str, files: str) -> World:
        folder = self.node(f"data:{name}")
        self.edges += [Edge(folder, "contains", self.node(f"data:{f}")) for f in files.split()]
        return self

    def same(self, one: str, other: str) -> World:
        edge = Edge(self.node(f"data:{one}"), "same-as", self.node(f"data:{other}"))
        self.edges += [edge] * (edge not in self.edges)
        return self

    def node(
        self, node_id: str, kind: str = "dataset", facts: dict[str, object] | None = None
    ) -> str:
        self.nodes.setdefault(node_id, Node(node_id, kind, node_id, facts or {}))
        return node_id

    def _from(
        self, ends: Iterator[tuple[Edge, str, str]], nodes: Collection[Node]
    ) -> Iterator[Step]:
        asked = {node.id for node in nodes}
        for edge, near, far in ends:
            if near in asked and far in self.nodes:
                yield edge, self.nodes[far]

    def flow(self, nodes: Collection[Node], up: bool) -> Iterator[Step]:
        later = (
            (
                edge,
                *(
                    (edge.subject, edge.object)
                    if (edge.kind == "used") is up
                    else (edge.object, edge.subject)
                ),
            )
            for edge in self.edges
            if edge.kind in ("used", "generated")
        )
        return self._from(later, nodes)

    def family(self, nodes: Collection[Node], up: bool) -> Iterator[Step]:
        kin = [edge for edge in self.edges if edge.kind in _KIN]
        yield from self._from(((e, e.subject, e.object) for e in kin), nodes)
        yield from self._from(((e, e.object, e.subject) for e in kin), nodes)

    def reach(self, name: str, up: bool, **limits: int) -> set[str]:
        return set(walk(self, [self.nodes[name]], up, **limits).nodes) - {name}


def reached(world: World, name: str) -> tuple[str, str]:
    """Returns what is up and what is down, without the kinds, sorted."""
    ways = (world.reach(name, up) for up in (True, False))
    up, down = (" ".join(sorted(each.partition(":")[2] for each in way)) for way in ways)
    return up, down


def test_a_chain_is_followed_to_both_ends() -> None:
    world = World().run("prep", 1, 2, "raw", "clean").run("train", 3, 4, "clean other", "model")
    assert reached(world, "data:clean") == ("prep raw", "model train")
    assert reached(world, "data:model") == ("clean other prep raw train", "")
    assert reached(world, "data:raw") == ("", "clean model prep train")
    assert reached(world, "run:train") == ("clean other prep raw", "model")


def test_nothing_was_made_from_what_came_later() -> None:
    # The same preparation ran on Monday and on Friday, with the same result from other data.
    world = (
        World()
        .run("monday", 1, 2, "raw1", "clean")
        .run("train", 3, 4, "clean", "model")
        .run("friday", 5, 6, "raw2", "clean")
        .run("late", 7, None, "clean", "model2")
    )
    assert reached(world, "run:train") == ("clean monday raw1", "model")
    assert reached(world, "run:late") == ("clean friday monday raw1 raw2", "model2")
    assert reached(world, "data:raw2") == ("", "clean friday late model2")
    # Of the content itself, both times are told.
    assert reached(world, "data:clean")[0] == "friday monday raw1 raw2"


def test_a_file_is_followed_into_folders_and_out_but_not_to_its_neighbours() -> None:
    world = (
        World()
        .run("make", 1, 2, "", "a")
        .folder("both", "a b")
        .run("on folder", 3, 4, "both", "m1")
        .run("on a", 3, 4, "a", "m2")
        .run("on b", 3, 4, "b", "m3")
        .folder("other", "b")
        .run("on other", 3, 4, "other", "m4")
    )
    assert reached(world, "run:make")[1] == "a both m1 m2 on a on folder"
    assert reached(world, "run:on folder")[0] == "a b both make"
    assert reached(world, "run:on b")[0] == "b both other"
    assert "m4" not in reached(world, "data:both")[1]


def test_the_same_values_are_as_good_as_the_same_bytes() -> None:
    world = World().run("make", 1, 2, "raw", "a").run("use", 3, 4, "b", "m").same("a", "b")
    world.run("before", 0, 0, "b", "early")
    assert reached(world, "data:raw") == ("", "a b m make use")
    assert reached(world, "data:m") == ("a b make raw use", "")
    # It is no way out of a folder and into the file beside it.
    world = (
        World().folder("d", "x y").same("x", "z").run("r", 1, 2, "z", "m").run("s", 1, 2, "y", "n")
    )
    assert reached(world, "data:z") == ("d x", "d m r x")


def test_parts_of_a_run_share_what_the_whole_has_but_not_with_each_other() -> None:
    world = (
        World()
        .run("search", 1, 9, "train", "best")
        .run("one", 2, 3, "extra", "m1", parent="search")
        .run("two", 4, 5, "", "m2", parent="search")
    )
    assert reached(world, "run:two") == ("search train", "best m2 search")
    assert reached(world, "data:best")[0] == "extra one search train two"
    assert reached(world, "data:train")[1] == "best m1 m2 one search two"
    assert reached(world, "data:extra")[1] == "best m1 one search"


def test_an_empty_file_joins_nothing() -> None:
    world = World().run("a", 1, 2, "x", EMPTY).run("b", 3, 4, EMPTY, "y")
    assert reached(world, "run:b") == (EMPTY, "y")
    assert reached(world, f"data:{EMPTY}") == ("a x", "b y")  # unless it is what was asked for


def test_cycles_end() -> None:
    own = World().run("a", 1, 2, "x", "x")
    assert reached(own, "run:a") == ("x", "x")
    mutual = World().run("a", 1, 9, "x", "y").run("b", 2, 8, "y", "x")
    assert reached(mutual, "data:x") == ("a b y", "a b y")
    parents = World().run("a", 1, 2, "", "", parent="b").run("b", 1, 2, "", "", parent="a")
    assert reached(parents, "run:a") == ("b", "b")
    assert reached(World().run("a", 1, 2, "", "", parent="a"), "run:a") == ("", "")


def test_depth_counts_steps() -> None:
    world = World().run("a", 1, 2, "x", "y").run("b", 3, 4, "y", "z")
    found = walk(world, [world.nodes["data:x"]], False, depth=2)
    assert list(found.nodes) == ["data:x", "run:a", "data:y"] and found.ended and not found.cut
    assert not walk(world, [world.nodes["data:x"]], False, depth=5).ended


def test_thousands_end_at_the_limit() -> None:
    world = World()
    for number in range(3000):
        world.run(f"r{number}", number, number + 2, "x", f"y{number} x")
    found = walk(world, [world.nodes["data:x"]], False, limit=1000)
    assert found.cut and len(found.nodes) == 1000
    # Each overlaps the next, and so each level of the walk finds two more of them.
    assert walk(world, [world.nodes["run:r0"]], True, limit=1000).cut


def test_only_ways_that_keep_the_rules_are_steps() -> None:
    world = World().folder("d", "a b").run("r", 1, 2, "a d", "m")
    steps = walk(world, [world.nodes["run:r"]], True).steps
    beyond = {state: {node_id for _, (node_id, _) in ways} for state, ways in steps.items()}
    assert beyond["data:a", 0] == {"data:d"}
    assert ("data:d", 1) not in beyond  # from a into d, not out of it to b
    assert beyond["data:d", 0] == {"data:a", "data:b"}


def test_completing_adds_what_no_walk_met() -> None:
    world = World().run("a", 1, 2, "x y", "m n")
    part = joined([walk(world, [world.nodes["data:x"]], False, depth=1)])
    whole = completed(part, world, lambda node: node.kind == "run")
    assert set(part.nodes) == {"data:x", "run:a"}
    assert {edge.object for edge in whole.edges} == {"data:x", "data:y", "data:m", "data:n"}


NAMES = st.lists(st.sampled_from("uvwxyz"), max_size=3).map(" ".join)
TIMES = st.integers(0, 9)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    world = World()
    count = draw(st.integers(1, 6))
    for number in range(count):
        start = draw(TIMES)
        end = draw(st.none() | st.integers(start, 10))
        parent = draw(st.just("") | st.sampled_from([f"r{each}" for each in range(count)]))
        world.run(f"r{number}", start, end, draw(NAMES), draw(NAMES), parent)
    for folder in draw(st.lists(st.sampled_from("uvw"), max_size=2, unique=True)):
        world.folder(folder, draw(NAMES.map(lambda names: " ".join(set(names) & set("xyz")))))
    for one, other in draw(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("xyz")))):
        if one < other:
            world.same(one, other)
    return world


@given(worlds(), st.none() | st.integers(1, 4))
def test_up_is_the_inverse_of_down(world: World, depth: int | None) -> None:
    for name in world.nodes:
        for up in (True, False):
            for other in world.reach(name, up, depth=depth):
                assert name in world.reach(other, not up, depth=depth), (name, other, up)


@given(worlds())
def test_every_edge_found_is_a_fact_and_leads_to_nodes_found(world: World) -> None:
    for node in world.nodes.values():
        for up in (True, False):
            found = walk(world, [node], up)
            assert set(found.edges) <= set(world.edges)
            ends = {end for edge in found.edges for end in (edge.subject, edge.object)}
            assert ends | {node.id} == set(found.nodes)
