"""Finding and reading what lies on the branch, newest first, without an index.

Runs lie in folders by day, so the newest are found by reading a few trees. All
reading is pipelined: a thousand runs cost three rounds through git's pipe, not
three thousand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
    for day, tree in day_trees(reader, root, days):
        for name in sorted(tree, reverse=True):
            if tree[name].is_tree and _is_run(name, day):
                yield Folder(name, tree[name].sha)


def _is_run(name: str, day: str) -> bool:
    return names.is_id(name) and names.run_folder(name) == f"runs/{day}/{name}"


def day_trees(
    reader: Reader, root: str, days: tuple[str, str] | None = None
) -> Iterator[tuple[str, Tree]]:
    """Yields the day folders below runs/ with their entries, latest first."""
    first, last = days or ("", "9999/99/99")
    top = lookup(reader, root, "runs")
    if top is None or not top.is_tree:
        return
    pending = [("", top)]
    for _ in range(_FOLDERS_LIMIT):
        if not pending:
            return
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
    raise _endless("runs")


# A few hostile trees that hold each other several times make billions of paths.
_FOLDERS_LIMIT = 100_000  # of days, months and years
_FILES_LIMIT = 100_000  # of one run


def _endless(folder: str) -> Unreadable:
    return Unreadable(f"{folder} has more in it than a ledger can have", "run 'mlgit doctor'")


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
    top = lookup(reader, old, "runs"), lookup(reader, new, "runs")
    pending = [("", *top)]
    for _ in range(_FOLDERS_LIMIT):
        if not pending:
            return
        above, was, now = pending.pop()
        before = reader.tree(was.sha) if was and was.is_tree else {}
        after = reader.tree(now.sha) if now and now.is_tree else {}
        for name in sorted({*before, *after}):
            pair = before.get(name), after.get(name)
            if pair[0] == pair[1]:
                continue
            if above.count("/") < 3:
                pending.append((f"{above}{name}/", *pair))
            elif _is_run(name, above.rstrip("/")):
                yield Folder(name, pair[1].sha if pair[1] and pair[1].is_tree else "")
    raise _endless("runs")


T = TypeVar("T")


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def load_runs(reader: Reader, folders: Iterable[Folder]) -> Iterator[records.Run | Problem]:
    """Yields the runs in these folders with their later facts folded in, in order.

    A record that cannot be read is a `Problem`: a run's in its place, a fact's after
    its run. Nothing is raised for them.
    """
    for batch in _batches(folders):
        places = [names.run_folder(folder.run_id) for folder in batch]
        trees = list(reader.trees(folder.sha for folder in batch))
        wanted = [_file(tree, names.RUN_FILE) or "-" for tree in trees]
        contents = reader.find_many(wanted, records.SIZE_LIMITS["run"])
        facts = _load_facts(reader, places, trees)
        for folder, place, content, (told, bad) in zip(batch, places, contents, facts, strict=True):
            path = f"{place}/{names.RUN_FILE}"
            try:
                run = records.load_run(_content(content, path), path)
                if run.id != folder.run_id:
                    raise Unreadable(f"{path} is damaged: it is the record of another run")
            except Unreadable as error:
                yield Problem(path, error.message)
            else:
                yield records.fold(run, told)
            yield from bad


def _load_facts(
    reader: Reader, folders: Sequence[str], trees: Sequence[Tree | None]
) -> Iterator[tuple[list[records.Fact], list[Problem]]]:
    """Yields for each folder the facts about it, oldest first, and those that cannot be read."""
    holders = [(tree or {}).get(_FACTS) for tree in trees]
    found = reader.trees(holder.sha for holder in holders if holder and holder.is_tree)
    plan: list[list[tuple[str, str]]] = []  # for each folder, the paths of facts and their blobs
    bad: list[list[Problem]] = []
    for folder, holder in zip(folders, holders, strict=True):
        above = f"{folder}/{_FACTS}"
        tree: Tree | None = {}
        if holder:
            tree = next(found) if holder.is_tree else None
        bad.append([Problem(above, f"{above} is damaged, or no folder")] if tree is None else [])
        plan.append(
            [
                (f"{above}/{name}", entry.sha if entry.is_file else "-")
                for name, entry in sorted((tree or {}).items())
                if _is_fact(name)
            ]
        )
    wanted = [sha for files in plan for _, sha in files]
    contents = reader.find_many(wanted, records.SIZE_LIMITS["fact"])
    for files, problems in zip(plan, bad, strict=True):
        facts = []
        for path, _ in files:
            try:
                fact = records.load_fact(_content(next(contents), path), path)
                if not path.endswith(f"/{fact.id}.json"):
                    raise Unreadable(f"{path} is damaged: it is another fact")
                facts.append(fact)
            except Unreadable as error:
                problems.append(Problem(path, error.message))
        yield facts, problems


_FACTS = "facts"


def _is_fact(name: str) -> bool:
    return name.endswith(".json") and names.is_id(name.removesuffix(".json"))


def _file(tree: Tree | None, name: str) -> str | None:
    entry = (tree or {}).get(name)
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
    """Yields the files below a folder, with paths relative to it, in order of name.

    Raises:
        Unreadable: a folder is damaged, or there are more than any run has.
    """
    top = lookup(reader, root, folder)
    pending = [("", top)] if top and top.is_tree else []
    for _ in range(_FILES_LIMIT):
        if not pending:
            return
        above, entry = pending.pop()
        if not entry.is_tree:
            yield above.rstrip("/"), entry
            continue
        tree = reader.tree(entry.sha)
        pending += [(f"{above}{name}/", tree[name]) for name in sorted(tree, reverse=True)]
    raise _endless(folder)


def read_files(reader: Reader, root: str, folder: str, limit: int) -> Iterator[tuple[str, bytes]]:
    """Yields the files below a folder as relative path and bytes, in order of name.

    Raises:
        Unreadable: one is larger than `limit` bytes, or no plain file.
    """
    files = list(list_files(reader, root, folder))
    contents = reader.find_many((entry.sha if entry.is_file else "-" for _, entry in files), limit)
    for (path, _), found in zip(files, contents, strict=True):
        yield path, _content(found, f"{folder}/{path}")


def load_experiments(reader: Reader, root: str) -> Iterator[records.Experiment | Problem]:
    """Yields the experiments that have facts, and the facts that cannot be read."""
    top = lookup(reader, root, "experiments")
    if top is None or not top.is_tree:
        return
    found = [
        (name, entry.sha)
        for component, entry in reader.tree(top.sha).items()
        if entry.is_tree and (name := names.decode(component)) is not None
    ]
    trees = list(reader.trees(sha for _, sha in found))
    places = [names.experiment_folder(name) for name, _ in found]
    for (name, _), (facts, bad) in zip(found, _load_facts(reader, places, trees), strict=True):
        if facts:
            yield records.fold_experiment(name, facts)
        yield from bad


def named_facts(reader: Reader, root: str, top: str) -> dict[str, list[records.Fact]]:
    """Returns the facts about named things below a folder, by name; `top` is "models" or
    "remotes". Those that cannot be read are left out, as `doctor` tells.
    """
    found: dict[str, list[records.Fact]] = {}
    for owner, fact in _named(reader, root, top):
        if isinstance(fact, records.Fact):
            found.setdefault(owner, []).append(fact)
    return found


def bad_facts(reader: Reader, root: str, top: str) -> Iterator[Problem]:
    """Yields the facts about named things that cannot be read; see `named_facts`."""
    for _, fact in _named(reader, root, top):
        if isinstance(fact, Problem):
            yield fact


def _named(reader: Reader, root: str, top: str) -> Iterator[tuple[str, records.Fact | Problem]]:
    files = []
    for path, entry in list_files(reader, root, top):
        place = names.place(f"{top}/{path}")
        holder, _, name = place.part.partition("/")
        if f"{place.kind}s" == top and holder == _FACTS and _is_fact(name):
            files.append((f"{top}/{path}", place.owner, name, entry))
    limit = records.SIZE_LIMITS["fact"]
    wanted = (entry.sha if entry.is_file else "-" for *_, entry in files)
    for (path, owner, name, _), content in zip(files, reader.find_many(wanted, limit), strict=True):
        try:
            fact = records.load_fact(_content(content, path), path)
            if name != f"{fact.id}.json":
                raise Unreadable(f"{path} is damaged: it is another fact")
            yield owner, fact
        except Unreadable as error:
            yield owner, Problem(path, error.message)


def run_facts(reader: Reader, root: str, run_id: str) -> list[records.Fact]:
    """Returns the readable facts about one run, oldest first."""
    for folder in find_folders(reader, root, [run_id]):
        return facts_in(reader, folder)
    return []


def facts_in(reader: Reader, folder: Folder) -> list[records.Fact]:
    """Returns the readable facts in a run's folder, oldest first."""
    trees = list(reader.trees([folder.sha]))
    ((facts, _),) = _load_facts(reader, [names.run_folder(folder.run_id)], trees)
    return facts


def stray(repository: Repository, root: str) -> Iterator[Problem]:
    """Yields what does not belong on the branch: odd kinds of entries, runs in wrong places.

    What `load_runs` and `load_experiments` tell of themselves is not among it.
    """
    for line in repository.listing("ls-tree", "-r", "-z", root):
        head, _, raw = line.partition(b"\t")
        path = raw.decode(errors="surrogateescape")
        kind = Entry(int(head.split()[0], 8), "").kind
        place = names.place(path)
        if not all(names.is_safe_component(part) for part in path.split("/")):
            yield Problem(path, "the path would climb out of its folder")
        elif kind != "a file" and not _is_loaded(place):
            yield Problem(path, f"is {kind} where a plain file should be")
        elif path in ("runs", "experiments"):
            yield Problem(path, "is a file where a folder should be")
        elif path.startswith("runs/") and place.kind == "other":
            yield Problem(path, "is not in the folder of a run")


def _is_loaded(place: names.Place) -> bool:
    holder, _, name = place.part.partition("/")
    return (place.kind, place.part) == ("run", names.RUN_FILE) or (
        place.kind in ("run", "experiment") and holder == _FACTS and (not name or _is_fact(name))
    )
