"""What runs used and made, all of it in memory: contents, datasets, and what came of them.

A page of data tells what depends on it, so it has to be known which model versions came of
which contents before any page is made. It is found from the versions, of which there are
few, by the same walk that `mlgit lineage` takes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from mlgit import profiles
from mlgit.data import store
from mlgit.data.hashing import is_md5
from mlgit.ledger import Ledger
from mlgit.ledger.index import Table
from mlgit.ledger.pointers import Use
from mlgit.lineage.collect import LedgerSource
from mlgit.lineage.folders import Held
from mlgit.lineage.graph import Edge, Node, Step, walk
from mlgit.lineage.stages import Stage
from mlgit.registry import Model, Version

Release = tuple[Model, Version]

FILES = 200_000  # of folders that are looked into; of those used last first


class Touch(NamedTuple):
    """What one run has to do with one content."""

    row: int
    """The run's position in the table."""
    path: str
    name: str | None
    role: str | None
    kept: bool


class Content(NamedTuple):
    """Bytes that runs used or made, whatever they are called."""

    hash: str
    """An md5; of an address that was not fetched, the address and what its server said."""
    label: str
    """What the newest run calls it that used it, else made it."""
    kind: str | None
    size: int | None
    files: int | None
    kept: bool
    """Whether a run kept the bytes; otherwise the hash is all there is."""
    used: list[Touch]
    """The newest run's first."""
    made: list[Touch]

    @property
    def is_dataset(self) -> bool:
        """Whether a run used it: then it has a page."""
        return bool(self.used)


class Dataset(NamedTuple):
    """What runs called by one name, or by one path where they gave no name."""

    name: str
    versions: list[str]
    """The hashes of its contents: the one that was new last first."""


@dataclass(frozen=True)
class Flow:
    """All that the pages of data are made from."""

    rows: dict[str, int]
    """The position of each run in the table, by id."""
    contents: dict[str, Content]
    """By hash, those that were used or made last first."""
    datasets: list[Dataset]
    """The last used first."""
    inputs: list[dict[str, None]]
    """The contents that each run of the table used, in its own order."""
    outputs: list[dict[str, None]]
    code: dict[str, list[tuple[int, bool]]]
    """Commits with the runs that had them as their code: whether it is uncommitted work."""
    snapshots: dict[int, str]
    """The commits of uncommitted work, by run."""
    environments: dict[str, list[int]]
    held: list[Held]
    """Which recorded file lies in which recorded folder."""
    opened: dict[str, None]
    """The folders that are looked into, used last first: their manifests are on this machine."""
    closed: list[str]
    """And those that are not."""
    profiles: dict[str, str]
    """The git ids of the folders with profiles, by hash."""
    dependents: dict[str, list[Release]]
    """The registered versions that a content led to, the newest first."""
    of_row: dict[int, list[Release]]
    """And those that a run led to."""
    releases: dict[str, Release]
    """All registered versions, by model and number: "churn@v2.0.0"."""


def gather(ledger: Ledger, table: Table, models: Iterable[Model]) -> Flow:
    """Reads what runs used and made, and follows every registered version back to it."""
    source = LedgerSource(ledger)
    uses = source.pointers.every()
    position = {run_id: row for row, run_id in enumerate(table.ids)}
    found = _Found(len(table.ids))
    for use in uses:
        if use.run in position:  # a site may be of some runs only
            found.add(use, position[use.run])
    contents = {key: _content(key, touched) for key, touched in found.data.items()}
    opened, closed = _folders(ledger, source, contents)
    held = _held(source, opened, contents)
    stages = source.pipelines.stages
    links = _Links(
        table, position, contents, found, held, source.pointers.same(list(contents)), stages
    )
    dependents, of_row = _followed(links, models, position)
    return Flow(
        rows=position,
        contents=contents,
        datasets=datasets(contents),
        inputs=found.inputs,
        outputs=found.outputs,
        code=found.code,
        snapshots=found.snapshots,
        environments=found.environments,
        held=held,
        opened=dict.fromkeys(opened),
        closed=closed,
        profiles=profiles.folders(ledger),
        dependents=dependents,
        of_row=of_row,
        releases={tag(*release): release for release in _every(models)},
    )


def tag(model: Model, version: Version) -> str:
    """Returns what tells a version from all others."""
    return f"{model.name}@{version.version}"


def _every(models: Iterable[Model]) -> list[Release]:
    return [(model, version) for model in models for version in model.versions]


@dataclass
class _Found:
    """Uses sorted by what they are of."""

    runs: int
    data: dict[str, list[tuple[Use, int]]] = field(default_factory=dict)
    code: dict[str, list[tuple[int, bool]]] = field(default_factory=dict)
    snapshots: dict[int, str] = field(default_factory=dict)
    environments: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.inputs: list[dict[str, None]] = [{} for _ in range(self.runs)]  # ordered sets
        self.outputs: list[dict[str, None]] = [{} for _ in range(self.runs)]

    def add(self, use: Use, row: int) -> None:
        if use.direction == "code":
            self.code.setdefault(use.hash, []).append((row, use.name == "snapshot"))
            if use.name == "snapshot":
                self.snapshots[row] = use.hash
        elif use.direction == "environment":
            self.environments.setdefault(use.hash, []).append(row)
        else:
            self.data.setdefault(use.hash, []).append((use, row))
            (self.inputs if use.direction == "input" else self.outputs)[row][use.hash] = None


def _content(key: str, touched: list[tuple[Use, int]]) -> Content:
    used = [_touch(use, row) for use, row in touched if use.direction == "input"]
    made = [_touch(use, row) for use, row in touched if use.direction == "output"]
    newest = (used or made)[0]
    every = [use for use, _ in touched]
    return Content(
        hash=key,
        label=called(newest),
        kind=max((use.kind for use in every if use.kind), default=None),
        size=next((use.size for use in every if use.size is not None), None),
        files=next((use.files for use in every if use.files is not None), None),
        kept=any(use.stored is not None for use in every),
        used=used,
        made=made,
    )


def _touch(use: Use, row: int) -> Touch:
    return Touch(row, use.path or "", use.name, use.role, use.stored is not None)


def called(touch: Touch) -> str:
    """Returns the dataset that a run says it used: by its name, else by its path."""
    return touch.name or touch.path


def datasets(contents: Mapping[str, Content]) -> list[Dataset]:
    """Returns the contents that runs used, by what they called them."""
    first: dict[str, dict[str, int]] = {}
    last: dict[str, int] = {}
    for content in contents.values():
        for touch in content.used:  # from the newest run, which has the smallest row
            name = called(touch)
            first.setdefault(name, {})[content.hash] = touch.row
            last[name] = min(touch.row, last.get(name, touch.row))
    return [
        Dataset(name, sorted(first[name], key=lambda key: (first[name][key], key)))
        for name in sorted(first, key=lambda name: (last[name], name))
    ]


# --- folders -----------------------------------------------------------------------------


def _folders(
    ledger: Ledger, source: LedgerSource, contents: Mapping[str, Content]
) -> tuple[list[str], list[str]]:
    """Returns the folders to look into, and those that cannot be, or would be too many.

    Only the data store is looked at, not the caches of DVC that this machine may have:
    whoever has pulled the same data makes the same site.
    """
    every = [key for key in contents if key.endswith(".dir") and is_md5(key)]
    here = [key for key in every if store.has(ledger.repository.data_store, key)]
    lengths = {folder: len(listed) // 16 for folder, listed in source.folders.lists(here)}
    opened: list[str] = []
    count = 0
    for folder in here:
        count += lengths.get(folder, 0)
        if folder in lengths and count <= FILES:
            opened.append(folder)
    there = {*opened}
    return opened, [folder for folder in every if folder not in there]


def _held(
    source: LedgerSource, folders: Collection[str], contents: Mapping[str, Content]
) -> list[Held]:
    files = {bytes.fromhex(key): key for key in contents if is_md5(key) and key[-4:] != ".dir"}
    found = source.folders.inside(folders, lambda: files)
    return sorted(found, key=lambda held: (held[0], held[1]))


# --- what came of what ---------------------------------------------------------------------


class _Links:
    """A `lineage.graph.Source` over what is in memory, which asks nobody."""

    def __init__(
        self,
        table: Table,
        position: Mapping[str, int],
        contents: Mapping[str, Content],
        found: _Found,
        held: Iterable[Held],
        same: Iterable[tuple[str, str]],
        stages: Mapping[str, Stage],
    ) -> None:
        self._table = table
        self._contents = contents
        self._found = found
        self._position = position
        self._wholes: dict[str, list[Edge]] = {}
        for folder, file, path in held:
            edge = Edge(f"data:{folder}", "contains", f"data:{file}", path)
            self._wholes.setdefault(folder, []).append(edge)
            self._wholes.setdefault(file, []).append(edge)
        self._same: dict[str, list[str]] = {}
        for one, other in sorted(same):
            self._same.setdefault(one, []).append(other)
        self._parts: dict[str, list[int]] = {}
        for row, parent in enumerate(table.attributes["parent"]):
            if parent:
                self._parts.setdefault(parent, []).append(row)
        self._stages = stages
        self._makers: dict[str, list[str]] = {}
        self._users: dict[str, list[str]] = {}
        for stage in stages.values():
            for ends, by in ((stage.outputs, self._makers), (stage.inputs, self._users)):
                for tracked in ends:
                    by.setdefault(tracked.hash.md5, []).append(stage.id)

    def run(self, row: int) -> Node:
        every = self._table.attributes
        times = {"started": every["started"][row], "ended": every["ended"][row]}
        return Node(f"run:{self._table.ids[row]}", "run", "", times)

    def data(self, key: str) -> Node:
        return Node(f"data:{key}", "data", "")

    def flow(self, nodes: Collection[Node], up: bool) -> Iterator[Step]:
        for node in nodes:
            if node.kind == "run":
                row = self._position[node.key]
                for key in (self._found.inputs if up else self._found.outputs)[row]:
                    yield _edge(node.id, key, up), self.data(key)
            elif node.kind == "stage":
                stage = self._stages[node.key]
                for tracked in stage.inputs if up else stage.outputs:
                    yield _edge(node.id, tracked.hash.md5, up), self.data(tracked.hash.md5)
            else:
                yield from self._of_data(node.key, up)

    def _of_data(self, key: str, up: bool) -> Iterator[Step]:
        content = self._contents.get(key)
        for touch in (content.made if up else content.used) if content else ():
            run = self.run(touch.row)
            yield _edge(run.id, key, not up), run
        for stage in (self._makers if up else self._users).get(key, ()):
            yield _edge(f"stage:{stage}", key, not up), Node(f"stage:{stage}", "stage", "")

    def family(self, nodes: Collection[Node], up: bool) -> Iterator[Step]:
        for node in nodes:
            if node.kind == "run":
                yield from self._relatives(node)
            for edge in self._wholes.get(node.key, ()):
                far = edge.object if edge.subject == node.id else edge.subject
                content = self._contents[far.removeprefix("data:")]
                if content.made if up else content.used:
                    yield edge, self.data(content.hash)
            for other in self._same.get(node.key, ()):
                yield Edge(node.id, "same-as", f"data:{other}"), self.data(other)

    def _relatives(self, node: Node) -> Iterator[Step]:
        above = self._position.get(self._table.attributes["parent"][self._position[node.key]])
        if above is not None:
            whole = self.run(above)
            yield Edge(node.id, "part-of", whole.id), whole
        for row in self._parts.get(node.key, ()):
            part = self.run(row)
            yield Edge(part.id, "part-of", node.id), part


def _edge(subject: str, key: str, used: bool) -> Edge:
    return Edge(subject, "used" if used else "generated", f"data:{key}")


def _followed(
    links: _Links, models: Iterable[Model], position: Mapping[str, int]
) -> tuple[dict[str, list[Release]], dict[int, list[Release]]]:
    """Returns the versions that each content, and each run, led to."""
    of_data: dict[str, list[Release]] = {}
    of_row: dict[int, list[Release]] = {}
    releases = _every(models)
    releases.sort(key=lambda each: (each[1].time, each[0].name), reverse=True)
    for model, version in releases:
        roots = [links.data(version.hash)] if version.hash else []
        if version.run and version.run in position:
            roots.append(links.run(position[version.run]))
        for node in walk(links, roots, up=True).nodes.values():
            if node.kind == "run":
                of_row.setdefault(position[node.key], []).append((model, version))
            elif node.kind == "data":
                of_data.setdefault(node.key, []).append((model, version))
    return of_data, of_row
