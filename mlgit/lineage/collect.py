"""The graph's edges, from the ledger's index, the user's pipelines and the folders."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from msgspec.structs import asdict, replace

from mlgit import names, records, saved
from mlgit.data import dvc_repo
from mlgit.data.hashing import is_md5
from mlgit.data.pointers import Tracked
from mlgit.errors import Unreadable
from mlgit.ledger import Ledger, walk
from mlgit.ledger.objects import Object
from mlgit.ledger.pointers import Content, Direction, RunRow, Use
from mlgit.lineage import stages
from mlgit.lineage.cache import Cache
from mlgit.lineage.folders import Folders, Shelf
from mlgit.lineage.graph import SHORT, Edge, Graph, Node, Step
from mlgit.lineage.stages import Pipelines, Stage

_ENDS = {  # what a run has to do with it, and the prefix of its id
    "input": ("used", "data"),
    "output": ("generated", "data"),
    "code": ("ran", "code"),
    "environment": ("ran-in", "environment"),
}
_FEW = 20  # environments that are read for what they are


class LedgerSource:
    """A `graph.Source`. Reads what a walk asks for, many nodes at a time."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.pointers = ledger.index().pointers
        state = ledger.repository.common_dir / "mlgit"
        self._cache = Cache(state / "lineage.sqlite")
        stores = [ledger.repository.data_store, *dvc_repo.caches(ledger.repository.start)]
        self.folders = Folders(stores, self._cache)
        self._shelves: dict[Direction, Shelf] = {}
        self._files: dict[Direction, dict[bytes, str]] = {}

    @cached_property
    def pipelines(self) -> Pipelines:
        return stages.load(self.ledger, self._cache)

    @property
    def problems(self) -> list[str]:
        """What could not be read of the pipelines, as far as they were looked at."""
        return self.pipelines.problems if "pipelines" in self.__dict__ else []

    # --- nodes ---------------------------------------------------------------------------

    def runs(self, ids: Collection[str]) -> dict[str, Node]:
        """Returns the nodes of runs, by id; those not in the ledger are left out."""
        return {row.id: self._run(row) for row in self.pointers.runs(ids)}

    def data(self, hashes: Collection[str]) -> dict[str, Node]:
        """Returns the nodes of contents, by hash; those that nothing recorded are left out."""
        found = {content.hash: _recorded(content) for content in self.pointers.describe(hashes)}
        for md5 in self._staged.keys() & set(hashes) - found.keys():
            tracked = self._staged[md5]
            found[md5] = Node(f"data:{md5}", "dataset", tracked.path, tracked.hash._asdict())
        return found

    def stage(self, stage: Stage) -> Node:
        facts = {"lock": stage.lock, "commit": stage.commit}
        return Node(f"stage:{stage.id}", "stage", stage.name, facts)

    @cached_property
    def _experiments(self) -> dict[str, Any]:
        return dict(saved.experiments(self.ledger))

    def _run(self, row: RunRow) -> Node:
        facts = asdict(row)
        del facts["id"]
        if known := self._experiments.get(row.experiment):
            facts["experiment"] = known.title
        title = facts["experiment"]
        facts["deleted"] = row.deleted is not None or bool(known and row.id < known.hidden)
        return Node(f"run:{row.id}", "run", f"{title}/{row.name}" if row.name else title, facts)

    # --- looking up ----------------------------------------------------------------------

    def beginning(self, prefix: str) -> list[str]:
        """Returns the md5s that runs or stages used or made and that begin so."""
        staged = (md5 for md5 in self._staged if md5.startswith(prefix))
        return sorted({*staged, *self.pointers.beginning(prefix)})

    def called(self, name: str, path: str) -> list[str]:
        """Returns the hashes of what had this name, path or address, the last used first."""
        staged = (md5 for md5, tracked in self._staged.items() if tracked.path == path)
        return list(dict.fromkeys([*self.pointers.called(name, path), *staged]))

    def within(self, path: str) -> list[Node]:
        """Returns the files that lay at this path in a folder that was used or made.

        Of the folder used last first; of a folder that cannot be looked into none.
        """
        found: dict[str, None] = {}
        for above in PurePosixPath(path).parents[:-1]:
            place = PurePosixPath(path).relative_to(above).as_posix()
            for folder in self.called(str(above), str(above)):
                if folder.endswith(".dir") and (md5 := self.folders.file(folder, place)):
                    found[md5] = None
        known = self.data(found.keys())
        unknown = (Node(f"data:{md5}", "dataset", path, {"md5": md5}) for md5 in found)
        return [known.get(node.key, node) for node in unknown]

    def commit(self, rev: str) -> str | None:
        """Returns the commit that git takes this for."""
        found = self.ledger.reader.find(f"{rev}^{{commit}}") if rev.isprintable() else None
        return found.sha if isinstance(found, Object) else None

    def described(self, graph: Graph) -> Graph:
        """Returns the graph with what git and the ledger tell of code and environments."""
        nodes = dict(graph.nodes)
        told = [node for node in nodes.values() if node.kind in ("code", "stage")]
        commits = [node.facts.get("commit") or node.key for node in told]
        for node, found in zip(told, self.ledger.reader.find_many(commits), strict=True):
            if isinstance(found, Object) and found.kind == "commit":
                facts = _of_commit(found.data, subject=node.kind == "code")
                nodes[node.id] = replace(node, facts=node.facts | facts)
        for node in [node for node in nodes.values() if node.kind == "environment"][:_FEW]:
            nodes[node.id] = replace(node, facts={"summary": self._environment(node.key)})
        return graph._replace(nodes=nodes)

    def _environment(self, digest: str) -> str | None:
        path, limit = names.environment_file(digest), records.SIZE_LIMITS["environment"]
        try:
            content = walk.read_file(self.ledger.reader, self.ledger.root, path, limit)
            found = records.parse(content, path) if content else {}
            python, packages = found["python"]["version"], len(found["packages"])
        except (Unreadable, KeyError, TypeError):
            return None
        return f"Python {python}, {packages} package" + "s" * (packages != 1)

    # --- edges: what was used and made ---------------------------------------------------

    def flow(self, nodes: Collection[Node], up: bool) -> Iterator[Step]:
        keys = _by_kind(nodes)
        yield from self._of_runs(keys["run"], up)
        yield from self._of_contents(keys["data"], up)
        if up:
            yield from self._of_stages(keys["stage"], up)
        else:
            yield from self._uses(keys["code"], "code")
            yield from self._uses(keys["environment"], "environment")
            yield from self._of_stages(keys["stage"], up)

    def _of_runs(self, ids: list[str], up: bool) -> Iterator[Step]:
        """Yields what runs used and ran, or made."""
        if not ids:
            return
        wanted: tuple[Direction, ...] = ("input", "code", "environment") if up else ("output",)
        uses = self.pointers.find("run", ids, *wanted)
        nodes = self.data({use.hash for use in uses if use.direction == "input"})
        for use in uses:
            if use.hash not in nodes:
                nodes[use.hash] = _end(use)
            yield _edge(use), nodes[use.hash]

    def _of_contents(self, hashes: list[str], up: bool) -> Iterator[Step]:
        """Yields the runs and stages that made contents, or used them."""
        if not hashes:
            return
        yield from self._uses(hashes, "output" if up else "input")
        for md5 in hashes:
            for stage, tracked in (self._makers if up else self._users).get(md5, ()):
                yield _staged_edge(stage, tracked, not up), self.stage(stage)

    def _uses(self, hashes: list[str], direction: Direction) -> Iterator[Step]:
        if not hashes:
            return
        runs: dict[str, Node] = {}
        for use, row in self.pointers.users(hashes, direction):
            if row.id not in runs:
                runs[row.id] = self._run(row)
            yield _edge(use), runs[row.id]

    def _of_stages(self, ids: list[str], up: bool) -> Iterator[Step]:
        chosen = [self.pipelines.stages[each] for each in ids]
        ends = [(stage, t) for stage in chosen for t in (stage.inputs if up else stage.outputs)]
        known = self.data({tracked.hash.md5 for _, tracked in ends})
        for stage, tracked in ends:
            yield _staged_edge(stage, tracked, up), known[tracked.hash.md5]

    # --- edges: parts and wholes -----------------------------------------------------------

    def family(self, nodes: Collection[Node], up: bool) -> Iterator[Step]:
        keys = _by_kind(nodes)
        if keys["run"]:
            yield from self._parts([node for node in nodes if node.kind == "run"])
        if keys["data"]:
            yield from self._contained(nodes, "output" if up else "input")
            yield from self._same(keys["data"])

    def _parts(self, nodes: list[Node]) -> Iterator[Step]:
        parents = self.runs({parent for node in nodes if (parent := node.facts.get("parent"))})
        for node in nodes:
            if whole := parents.get(node.facts.get("parent") or ""):
                yield Edge(node.id, "part-of", whole.id), whole
        for row in self.pointers.parts([node.key for node in nodes]):
            part = self._run(row)
            yield Edge(part.id, "part-of", f"run:{row.parent}"), part

    def _contained(self, nodes: Collection[Node], direction: Direction) -> Iterator[Step]:
        """Yields files and folders of which one holds the other, if a run used or made them."""
        data = [node for node in nodes if node.id.startswith("data:")]
        ours = {node.key: node.facts.get("size") or 0 for node in data}
        files = {md5: size for md5, size in ours.items() if not md5.endswith(".dir")}
        pairs = [
            *self._shelf(direction).holding(files),
            *self.folders.inside(ours.keys() - files.keys(), lambda: self._single(direction)),
        ]
        known = self.data({end for pair in pairs for end in pair[:2]})
        for folder, file, path in pairs:
            edge = Edge(f"data:{folder}", "contains", f"data:{file}", path)
            yield from ((edge, known[end]) for end in (folder, file) if end in known)

    def _same(self, hashes: list[str]) -> Iterator[Step]:
        pairs = self.pointers.same(hashes)
        known = self.data({other for _, other in pairs})
        for pair in pairs:
            ends = [f"data:{md5}" for md5 in sorted(pair)]  # one fact, from whichever end
            yield Edge(ends[0], "same-as", ends[1]), known[pair[1]]

    def _shelf(self, direction: Direction) -> Shelf:
        """Returns all folders that runs or stages used (or made)."""
        if direction not in self._shelves:
            self._shelves[direction] = Shelf(self.folders, self._recorded(direction, folders=True))
        return self._shelves[direction]

    def _single(self, direction: Direction) -> dict[bytes, str]:
        """Returns all files that runs or stages used (or made), by the bytes of their md5s."""
        if direction not in self._files:
            found = filter(is_md5, self._recorded(direction, folders=False))
            self._files[direction] = {bytes.fromhex(md5): md5 for md5 in found}
        return self._files[direction]

    def _recorded(self, direction: Direction, folders: bool) -> dict[str, int | None]:
        ends = self._makers if direction == "output" else self._users
        staged = {md5: found[0][1].hash.size for md5, found in ends.items()}
        wanted = {md5: size for md5, size in staged.items() if md5.endswith(".dir") == folders}
        return wanted | self.pointers.contents(direction, folders)

    # --- the pipelines, by md5 -------------------------------------------------------------

    @cached_property
    def _makers(self) -> dict[str, list[tuple[Stage, Tracked]]]:
        return _by_md5(
            (stage, t) for stage in self.pipelines.stages.values() for t in stage.outputs
        )

    @cached_property
    def _users(self) -> dict[str, list[tuple[Stage, Tracked]]]:
        stages = self.pipelines.stages.values()
        return _by_md5((stage, tracked) for stage in stages for tracked in stage.inputs)

    @cached_property
    def _staged(self) -> dict[str, Tracked]:
        return {md5: found[0][1] for md5, found in [*self._users.items(), *self._makers.items()]}


def _of_commit(content: bytes, subject: bool) -> dict[str, str]:
    """Returns what a commit object tells: when it was made and, if asked for, its subject."""
    head, _, message = content.decode(errors="replace").partition("\n\n")
    facts = {"summary": message.partition("\n")[0].strip()} if subject else {}
    if match := re.search(r"^committer .*> (\d{1,11}) ", head, re.MULTILINE):
        facts["time"] = names.timestamp(int(match[1]))
    return facts


def _by_md5(ends: Iterable[tuple[Stage, Tracked]]) -> dict[str, list[tuple[Stage, Tracked]]]:
    found = defaultdict(list)
    for stage, tracked in ends:
        found[tracked.hash.md5].append((stage, tracked))
    return dict(found)


def _by_kind(nodes: Iterable[Node]) -> dict[str, list[str]]:
    keys = defaultdict(list)
    for node in nodes:
        prefix, _, key = node.id.partition(":")
        keys[prefix].append(key)
    return keys


def _edge(use: Use) -> Edge:
    kind, prefix = _ENDS[use.direction]
    name, role = (use.name, use.role) if prefix != "code" else (None, use.name)
    return Edge(f"run:{use.run}", kind, f"{prefix}:{use.hash}", use.path, name, role)


def _staged_edge(stage: Stage, tracked: Tracked, used: bool) -> Edge:
    kind = "used" if used else "generated"
    return Edge(f"stage:{stage.id}", kind, f"data:{tracked.hash.md5}", tracked.path)


def _end(use: Use) -> Node:
    """Returns the node of what a run made or ran, as that run calls it."""
    _, prefix = _ENDS[use.direction]
    if prefix != "data":
        return Node(f"{prefix}:{use.hash}", prefix, use.hash[:SHORT])
    facts = _facts(use.hash, use.name, use.kind, use.size, use.files, use.stored is not None)
    return Node(f"data:{use.hash}", "artifact", use.path or "", facts)


def _recorded(content: Content) -> Node:
    md5, path, name, kind, size, files, kept, made = content
    facts = _facts(md5, name, kind, size, files, kept)
    return Node(f"data:{md5}", "artifact" if made else "dataset", path, facts)


def _facts(
    md5: str, name: str | None, kind: str | None, size: int | None, files: int | None, kept: bool
) -> dict[str, Any]:
    return {
        "md5": md5, "name": name, "type": kind, "size": size, "files": files, "kept": kept
    }  # fmt: skip
