"""Finding and reading what lies on the branch, newest first, without an index.

Runs lie in folders by day, so the newest are found by reading a few trees. All
reading is pipelined: a thousand runs cost three rounds through git's pipe, not
three thousand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple, TypeVar

from mlgit import names, records
from mlgit.errors import Unreadable
from mlgit.ledger.objects import Entry, Missing, Object, Reader, TooLarge, Tree, lookup
from mlgit.ledger.repository import Repository

_BATCH = 512  # runs whose files are read together


class Folder(NamedTuple):
    """A run's folder on the branch."""

    run_id: str
    sha: str


class Problem(NamedTuple):
    """Something on the branch that cannot be read."""

    path: str
    message: str


def run_folders(reader: Reader, root: str, days: tuple[str, str] | None = None) -> Iterator[Folder]:
    """Yields the folders of all runs, newest first; `days` are the first and last wanted.

    What cannot be a run's folder (`stray` lists it) is passed over.
    """
    for _day, tree in day_trees(reader, root, days):
        for name in sorted(tree, reverse=True):
            if names.is_id(name) and tree[name].is_tree:
                yield Folder(name, tree[name].sha)


def day_trees(
    reader: Reader, root: str, days: tuple[str, str] | None = None
) -> Iterator[tuple[str, Tree]]:
    """Yields the day folders below runs/ with their entries, latest first."""
    first, last = days or ("", "9999/99/99")
    top = lookup(reader, root, "runs")
    if top is None or not top.is_tree:
        return
    pending = [("", top)]
    while pending:
        above, entry = pending.pop()
        tree = reader.tree(entry.sha)
        if above.count("/") == 3:
            yield above.rstrip("/"), tree
            continue
        width = 4 if not above else 2
        for name in sorted(tree):
            day = above + name
            wanted = first[: len(day)] <= day <= last[: len(day)]
            if wanted and len(name) == width and name.isdecimal() and tree[name].is_tree:
                pending.append((day + "/", tree[name]))


def find_folders(reader: Reader, root: str, run_ids: Iterable[str]) -> Iterator[Folder]:
    """Yields the folders of these runs, in their order; those not there are left out."""
    days: dict[str, Tree] = {}
    for run_id in run_ids:
        day = names.run_folder(run_id).rpartition("/")[0]
        if day not in days:
            entry = lookup(reader, root, day)
            days[day] = reader.tree(entry.sha) if entry and entry.is_tree else {}
        found = days[day].get(run_id)
        if found and found.is_tree:
            yield Folder(run_id, found.sha)


def changed_folders(reader: Reader, old: str, new: str) -> Iterator[Folder]:
    """Yields the run folders of the tree `new` that `old` has not, or has otherwise.

    A folder that is gone is yielded with an empty `sha`.
    """
    yield from _changed(reader, lookup(reader, old, "runs"), lookup(reader, new, "runs"), 3)


def _changed(reader: Reader, old: Entry | None, new: Entry | None, levels: int) -> Iterator[Folder]:
    before = reader.tree(old.sha) if old and old.is_tree else {}
    after = reader.tree(new.sha) if new and new.is_tree else {}
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        if levels:
            yield from _changed(reader, was, now, levels - 1)
        elif names.is_id(name):
            yield Folder(name, now.sha if now and now.is_tree else "")


T = TypeVar("T")


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def load_runs(reader: Reader, folders: Iterable[Folder]) -> Iterator[records.Run | Problem]:
    """Yields the runs in these folders with their later facts folded in, in order.

    One that cannot be read is a `Problem` in its place; nothing is raised for it.
    """
    for batch in _batches(folders):
        trees = list(reader.trees(folder.sha for folder in batch))
        limit = records.SIZE_LIMITS["run"]
        wanted = [_file(tree, names.RUN_FILE) for tree in trees]
        found = list(reader.find_many((sha or "-" for sha in wanted), limit))
        facts = _load_facts(reader, batch, trees)
        for folder, content, own_facts in zip(batch, found, facts, strict=True):
            path = names.run_file(folder.run_id, names.RUN_FILE)
            try:
                run = records.load_run(_content(content, path), path)
                if run.id != folder.run_id:
                    raise Unreadable(f"{path} is damaged: it is the record of another run")
            except Unreadable as error:
                yield Problem(path, error.message)
                continue
            yield records.fold(run, own_facts)


def _load_facts(
    reader: Reader, folders: list[Folder], trees: list[Tree]
) -> Iterator[list[records.Fact]]:
    """Yields the readable facts of each folder."""
    holders = [tree.get("facts") for tree in trees]
    fact_trees = reader.trees(entry.sha for entry in holders if entry and entry.is_tree)
    plan = [
        list(_fact_files(next(fact_trees))) if entry and entry.is_tree else [] for entry in holders
    ]
    wanted = [sha for files in plan for _, sha in files]
    contents = reader.find_many(wanted, records.SIZE_LIMITS["fact"])
    for files, folder in zip(plan, folders, strict=True):
        above = names.run_folder(folder.run_id)
        yield [
            fact
            for fact_id, _ in files
            if (fact := _fact(next(contents), fact_id, f"{above}/facts/{fact_id}.json"))
        ]


def _fact_files(tree: Tree) -> Iterator[tuple[str, str]]:
    for name, entry in sorted(tree.items()):
        fact_id = name.removesuffix(".json")
        if name != fact_id and names.is_id(fact_id) and entry.is_file:
            yield fact_id, entry.sha


def _fact(found: Object | Missing | TooLarge, fact_id: str, path: str) -> records.Fact | None:
    try:
        fact = records.load_fact(_content(found, path), path)
    except Unreadable:
        return None  # `problems` tells of it; a bad note must not hide the run
    return fact if fact.id == fact_id else None


def _file(tree: Tree, name: str) -> str | None:
    entry = tree.get(name)
    return entry.sha if entry and entry.is_file else None


def _content(found: Object | Missing | TooLarge, path: str) -> bytes:
    if isinstance(found, TooLarge):
        raise Unreadable(f"{path} is too large: {found.size:,} bytes")
    if isinstance(found, Missing) or found.kind != "blob":
        raise Unreadable(f"{path} is missing, or no plain file")
    return found.data


def read_file(reader: Reader, root: str, path: str, limit: int) -> bytes | None:
    """Returns the bytes of a file on the branch, or None if there is none.

    Raises:
        Unreadable: it is larger than `limit` bytes, or no plain file.
    """
    entry = lookup(reader, root, path)
    if entry is None:
        return None
    if not entry.is_file:
        raise Unreadable(f"{path} is {entry.kind} where a file should be")
    return _content(reader.find(entry.sha, limit), path)


def list_files(reader: Reader, root: str, folder: str) -> Iterator[tuple[str, Entry]]:
    """Yields the files below a folder, with paths relative to it, in order of name."""
    top = lookup(reader, root, folder)
    pending = [("", top)] if top and top.is_tree else []
    while pending:
        above, entry = pending.pop()
        if not entry.is_tree:
            yield above.rstrip("/"), entry
            continue
        tree = reader.tree(entry.sha)
        pending += [(f"{above}{name}/", tree[name]) for name in sorted(tree, reverse=True)]


def load_experiments(reader: Reader, root: str) -> dict[str, records.Experiment]:
    """Returns the experiments that have facts, by the name their runs store."""
    top = lookup(reader, root, "experiments")
    if top is None or not top.is_tree:
        return {}
    found = {}
    for component, entry in reader.tree(top.sha).items():
        name = names.decode(component)
        if name is None or not entry.is_tree:
            continue
        holder = reader.tree(entry.sha).get("facts")
        files = list(_fact_files(reader.tree(holder.sha))) if holder and holder.is_tree else []
        contents = reader.find_many((sha for _, sha in files), records.SIZE_LIMITS["fact"])
        facts = [
            fact
            for (fact_id, _), content in zip(files, contents, strict=True)
            if (fact := _fact(content, fact_id, names.experiment_fact_file(name, fact_id)))
        ]
        found[name] = records.fold_experiment(name, facts)
    return found


def stray(repository: Repository, root: str) -> Iterator[Problem]:
    """Yields what does not belong on the branch: odd kinds of entries, runs in wrong places."""
    listing = repository.git("ls-tree", "-r", "-z", root)
    for line in listing.split(b"\0")[:-1]:
        head, _, raw = line.partition(b"\t")
        path = raw.decode(errors="surrogateescape")
        kind = Entry(int(head.split()[0], 8), "").kind
        if not all(names.is_safe_component(part) for part in path.split("/")):
            yield Problem(path, "the path would climb out of its folder")
        elif kind != "a file":
            yield Problem(path, f"is {kind} where a plain file should be")
        elif path.startswith("runs/") and names.place(path).kind == "other":
            yield Problem(path, "is not in the folder of a run")


def bad_facts(reader: Reader, root: str) -> Iterator[Problem]:
    """Yields the facts that cannot be read, of runs and of experiments."""
    experiments = lookup(reader, root, "experiments")
    folders = [(names.run_folder(run_id), sha) for run_id, sha in run_folders(reader, root)]
    if experiments and experiments.is_tree:
        for name, entry in reader.tree(experiments.sha).items():
            folders += [(f"experiments/{name}", entry.sha)] if entry.is_tree else []
    for above, sha in folders:
        holder = reader.tree(sha).get("facts")
        if not holder or not holder.is_tree:
            continue
        for name, entry in reader.tree(holder.sha).items():
            path = f"{above}/facts/{name}"
            try:
                content = _content(reader.find(entry.sha, records.SIZE_LIMITS["fact"]), path)
                if records.load_fact(content, path).id + ".json" != name:
                    raise Unreadable(f"{path} has another fact's id")
            except Unreadable as error:
                yield Problem(path, error.message)


def run_facts(reader: Reader, root: str, run_id: str) -> list[records.Fact]:
    """Returns the readable facts about one run, oldest first."""
    folders = list(find_folders(reader, root, [run_id]))
    if not folders:
        return []
    return next(_load_facts(reader, folders, list(reader.trees([folders[0].sha]))))
