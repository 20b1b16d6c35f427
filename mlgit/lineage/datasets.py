"""Datasets as things: their versions, who used them, what changed between two.

A dataset is what runs called by one name, or by one path where they gave no name;
its versions are the contents that were meant.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from mlgit import profiles, saved
from mlgit.data.profiles import Difference as Change
from mlgit.data.profiles import schema_difference
from mlgit.errors import NotFound
from mlgit.ledger.pointers import Pointers, Use, Version
from mlgit.lineage.collect import LedgerSource
from mlgit.lineage.find import find
from mlgit.lineage.graph import SHORT, Node, kept
from mlgit.names import shown


class Dataset(NamedTuple):
    name: str
    versions: list[Version]
    """The last used first."""

    @property
    def latest(self) -> Version:
        return self.versions[0]


def list_datasets(pointers: Pointers) -> list[Dataset]:
    """Returns what runs used, by name or path, the last used first."""
    found: dict[str, list[Version]] = {}
    for version in pointers.versions():
        found.setdefault(version.dataset, []).append(version)
    return [Dataset(name, versions) for name, versions in found.items()]


class Shown(NamedTuple):
    """One content, and every use of it."""

    node: Node
    versions: list[Version]
    """By each of the names it was used under."""
    used: list[Use]
    """By runs, the newest first; an input may have two roles."""
    made: list[Use]
    profile: dict[str, Any] | None
    others: dict[str, int]
    """How many other versions there are, by each of those names; not of what was shown too."""


def show(source: LedgerSource, text: str) -> list[Shown]:
    """Returns the contents that a name, path or md5 means, the last used first.

    Raises:
        NotFound: no run used or made it.
    """
    nodes = _contents(source, text)
    versions = source.pointers.versions()
    keys = {node.key: None for node in nodes}
    others = Counter(each.dataset for each in versions if each.hash not in keys)
    uses = source.pointers.find("hash", keys, "input", "output")
    return [
        Shown(
            node,
            [version for version in versions if version.hash == node.key],
            [use for use in uses if use.hash == node.key and use.direction == "input"],
            [use for use in uses if use.hash == node.key and use.direction == "output"],
            profiles.find(source.ledger, node.key),
            {
                each.dataset: others[each.dataset]
                for each in versions
                if each.hash == node.key and others[each.dataset]
            },
        )
        for node in nodes
    ]


def _contents(source: LedgerSource, text: str) -> list[Node]:
    nodes = [node for node in find(source, text) if node.id.startswith("data:")]
    known = source.data([node.key for node in nodes])
    if not known:
        raise NotFound(f"no run used or made {shown(text)}", "list what they used: mlgit data ls")
    return [known[node.key] for node in nodes if node.key in known]


def meant(source: LedgerSource, text: str) -> list[str]:
    """Returns the md5s that can be fetched for what a person means: a run's, or a dataset's.

    Raises:
        NotFound: nothing is meant, or no run kept the bytes of what is meant.
    """
    (first, *_) = find(source, text)
    if first.kind != "run":
        newest = _contents(source, text)[0]
        if told := kept(newest):
            raise NotFound(
                f"no run kept the bytes of {shown(newest.label)}, only its {told.split()[0]}",
                "log_input keeps them unless keep=False, those of an address with fetch=True",
            )
        return [newest.key]
    (run,) = saved.load(source.ledger, [first.key])
    found = [p.md5 for p in (*run.inputs, *run.outputs) if p.stored == "dvc" and p.md5]
    if not found:
        raise NotFound(f"{shown(text)} has no data to fetch", f"mlgit show {first.key[:SHORT]}")
    return list(dict.fromkeys(found))


class Files(NamedTuple):
    """Paths within a folder, sorted."""

    added: list[str]
    removed: list[str]
    changed: list[str]


class Difference(NamedTuple):
    """What differs between two contents, from the old one to the new."""

    old: Node
    new: Node
    files: Files | None
    """None where one is no folder, or cannot be looked into."""
    rows: tuple[int | None, int | None]
    """As the profiles say that were recorded, None where they do not."""
    columns: list[Change]


def compare(source: LedgerSource, old: str, new: str) -> Difference:
    """Returns what differs between two contents; of a name the last used version is meant.

    Raises:
        NotFound: no run used or made one of them.
        Unreadable: what was recorded of one is no profile.
    """
    before, after = _contents(source, old)[0], _contents(source, new)[0]
    files = None
    if before.key.endswith(".dir") and after.key.endswith(".dir"):
        inside = [source.folders.members(node.key) for node in (before, after)]
        if None not in inside:
            files = compared(*(dict(members or ()) for members in inside))
    was, now = (profiles.find(source.ledger, node.key) or {} for node in (before, after))
    columns = schema_difference(was, now) if was and now else []
    return Difference(before, after, files, (rows(was), rows(now)), columns)


def compared(was: dict[str, str], now: dict[str, str]) -> Files:
    """Returns what differs between the files of two folders, md5s by path."""
    both = was.keys() & now.keys()
    return Files(
        sorted(now.keys() - was.keys()),
        sorted(was.keys() - now.keys()),
        sorted(path for path in both if was[path] != now[path]),
    )


def rows(profile: dict[str, Any]) -> int | None:
    """Returns the number of rows that a stored profile tells, None if it tells none."""
    found = profile.get("rows")
    return found if isinstance(found, int) else None
