"""The union of two ledgers: the same in any order, and nothing hostile in it."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from conftest import GITCONFIG, git
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlgit.errors import Unreadable
from mlgit.ledger import open_repository
from mlgit.ledger.append import insert
from mlgit.ledger.merge import DEPTH_LIMIT, PATH_LIMIT, check_incoming, union
from mlgit.ledger.objects import EXECUTABLE, FILE, TREE, Entry, Reader, Store, Tree, format_tree
from mlgit.ledger.walk import list_files

Files = Mapping[str, bytes]


class Trees:
    """Makes trees of files, and files of trees."""

    def __init__(self, path: Path) -> None:
        self.repository = open_repository(path)
        self.reader, self.store = Reader(self.repository), Store(self.repository)
        self.empty = self.store.put("tree", b"")

    def make(self, files: Files) -> str:
        blobs = {path: self.store.put("blob", content) for path, content in files.items()}
        return insert(self.reader, self.store, self.empty, blobs)

    def put(self, entries: Tree) -> str:
        return self.store.put("tree", format_tree(entries))

    def read(self, tree: str) -> dict[str, bytes]:
        below = Entry(TREE, self.put({"x": Entry(TREE, tree)})).sha
        return {
            path: getattr(self.reader.find(entry.sha), "data", b"")
            for path, entry in list_files(self.reader, below, "x")
        }

    def union(self, *trees: str) -> str:
        first, *others = trees
        for other in others:
            first = union(self.reader, self.store, first, other)
        return first


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trees]:
    home = tmp_path_factory.mktemp("merge")
    (home / "config").write_text(GITCONFIG)
    subprocess.run(("git", "init", "--quiet", home / "repo"), check=True)
    made = Trees(home / "repo")
    yield made
    made.reader.close()


# No name is a file's here and a folder's there. What a path holds follows from the path, as in
# a ledger: no two files of one name differ.
FOLDER = st.lists(st.sampled_from(["a", "a.b", "ab", "ü"]), max_size=3)
PATH = st.builds(lambda folder, name: "/".join([*folder, name]), FOLDER, st.sampled_from("xyz"))
FILES = st.sets(PATH, max_size=10).map(lambda paths: {path: path.encode() for path in paths})
quick = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(a=FILES, b=FILES, c=FILES)
def test_any_order_gives_the_same_tree(trees: Trees, a: Files, b: Files, c: Files) -> None:
    x, y, z = (trees.make(files) for files in (a, b, c))
    assert trees.read(trees.union(x, y)) == {**a, **b}
    assert trees.union(x, y) == trees.union(y, x) == trees.make({**a, **b})
    assert trees.union(x, y, z) == trees.union(x, trees.union(y, z)) == trees.union(z, x, y)
    assert trees.union(x, x) == trees.union(x, trees.empty) == trees.union(trees.empty, x) == x
    assert trees.union(x, trees.union(x, y)) == trees.union(x, y)


@quick
@given(a=FILES, b=FILES, path=PATH)
def test_a_file_and_a_folder_of_one_name_are_refused(
    trees: Trees, a: Files, b: Files, path: str
) -> None:
    others = {other: content for other, content in b.items() if other != path}
    x = trees.make({**a, path: path.encode()})
    y = trees.make({**others, f"{path}/file": b""})
    for pair in ((x, y), (y, x)):
        with pytest.raises(Unreadable, match="has two contents"):
            trees.union(*pair)


def test_two_contents_are_refused_by_name(trees: Trees) -> None:
    ours = trees.make({"runs/2026/x": b"1", "b": b""})
    with pytest.raises(Unreadable, match=r"'runs/2026/x' has two contents") as caught:
        trees.union(ours, trees.make({"runs/2026/x": b"2"}))
    assert "git diff" in (caught.value.hint or "")
    blob = trees.store.put("blob", b"1")
    x, y = (trees.put({"a": Entry(mode, blob)}) for mode in (FILE, EXECUTABLE))
    with pytest.raises(Unreadable, match="two contents"):
        trees.union(x, y)


def test_a_union_that_changes_nothing_writes_nothing(trees: Trees) -> None:
    small = trees.make({"a/b/c": b"1"})
    large = trees.make({"a/b/c": b"1", "a/b/d": b"2", "e": b"3"})
    trees.store = None  # type: ignore[assignment]
    try:
        assert trees.union(small, large) == trees.union(large, small) == large
    finally:
        trees.store = Store(trees.repository)


def nested(trees: Trees, depth: int, name: str) -> str:
    """Returns folders inside each other, with a file of the name in the innermost."""
    entry = Entry(FILE, trees.store.put("blob", b""))
    for level in range(depth):
        entry = Entry(TREE, trees.put({"a" if level else name: entry}))
    return entry.sha


def test_deep_folders(trees: Trees) -> None:
    """As deep as an artifact's path can be is fine; deeper is refused before the stack ends."""
    assert trees.union(*(nested(trees, DEPTH_LIMIT, name) for name in "bc"))
    too_deep = [nested(trees, 1500, name) for name in "bc"]
    with pytest.raises(Unreadable, match="nested too deeply"):
        trees.union(*too_deep)
    for ours in (None, trees.empty, too_deep[1]):
        with pytest.raises(Unreadable, match="too long"):
            check_incoming(trees.repository, ours, too_deep[0])


# --- what others send -----------------------------------------------------------------

CLIMBING = [
    *("..", ".", ".git", ".GIT", "git~1", "GIT~2", ".git ", ".git...", ".git::$INDEX_ALLOCATION"),
    *("a\\b", "..\\..\\x", ".g\u200cit", ".gitmodules"),
]


@pytest.mark.parametrize("name", CLIMBING)
@pytest.mark.parametrize("fresh", [True, False], ids=["following", "merging"])
@pytest.mark.parametrize("deep", [True, False])
def test_names_that_climb_are_refused(trees: Trees, name: str, fresh: bool, deep: bool) -> None:
    blob = trees.store.put("blob", b"")
    tree = trees.put({name: Entry(FILE, blob)})
    tree = trees.put({"runs": Entry(TREE, tree)}) if deep else tree
    with pytest.raises(Unreadable, match="would climb out of its folder"):
        check_incoming(trees.repository, None if fresh else trees.make({"b": b""}), tree)


@pytest.mark.parametrize("mode", [0o120000, 0o160000, EXECUTABLE])
@pytest.mark.parametrize("fresh", [True, False], ids=["following", "merging"])
def test_only_plain_files_come_in(trees: Trees, mode: int, fresh: bool) -> None:
    tree = trees.put({"a": Entry(mode, trees.store.put("blob", b"../../x"))})
    with pytest.raises(Unreadable, match="'a' is not a plain file"):
        check_incoming(trees.repository, None if fresh else trees.make({"b": b""}), tree)


ODD = [
    "plain",
    "ü",
    "new\nline",
    "tab\t",
    "\udcff\udcfe",
    "a b",
    "...",
    "-x",
    ".gitignore",
    "x:y",
    "%2E",
]


def test_odd_names_that_stay_in_their_folder_are_let_in(trees: Trees) -> None:
    tree = trees.put({name: Entry(FILE, trees.store.put("blob", b"")) for name in ODD})
    for ours in (None, trees.empty, tree):
        check_incoming(trees.repository, ours, tree)
    assert trees.read(trees.union(trees.make({"b": b""}), tree)).keys() == {"b", *ODD}


def test_what_is_here_already_is_not_their_fault(trees: Trees) -> None:
    link = Entry(0o120000, trees.store.put("blob", b"x"))
    ours = trees.put({"link": link})
    check_incoming(trees.repository, ours, trees.put({"link": link, "a": Entry(FILE, link.sha)}))


@pytest.mark.parametrize("fresh", [True, False], ids=["following", "merging"])
def test_endless_paths_are_refused(trees: Trees, fresh: bool) -> None:
    """Ten trees of ten make 10**10 files; git's own comparison would need all the memory."""
    entry = Entry(FILE, trees.store.put("blob", b""))
    for _ in range(10):
        entry = Entry(TREE, trees.put({f"x{n}": entry for n in range(10)}))
    with pytest.raises(Unreadable, match="more paths than a ledger can have"):
        check_incoming(trees.repository, None if fresh else trees.empty, entry.sha)


def test_long_paths_are_refused(trees: Trees) -> None:
    part = "p" * 100
    fits = "/".join([part] * ((PATH_LIMIT + 1) // 101))
    check_incoming(trees.repository, None, trees.make({fits: b""}))
    with pytest.raises(Unreadable, match="too long"):
        check_incoming(trees.repository, None, trees.make({f"{fits}/{part}": b""}))


def test_damage_is_told(trees: Trees) -> None:
    broken = trees.put({"a": Entry(TREE, "1" * 40)})
    with pytest.raises(Unreadable, match="missing, or damaged"):
        check_incoming(trees.repository, None, broken)
    with pytest.raises(Unreadable, match="missing from git's object store"):
        trees.union(broken, trees.make({"a/b": b""}))


@pytest.mark.parametrize("seed", range(3))
def test_many_ledgers_in_any_order(trees: Trees, seed: int) -> None:
    chance = random.Random(seed)
    paths = [f"runs/{chance.randrange(5)}/{chance.randrange(9)}/{n}" for n in range(200)]
    files = {path: chance.randbytes(3) for path in paths}
    parts = [
        trees.make({path: files[path] for path in paths[i : i + 30]}) for i in range(0, 200, 20)
    ]
    whole = trees.union(*parts)
    for _ in range(3):
        chance.shuffle(parts)
        assert trees.union(*parts) == whole
    assert trees.read(whole) == files
    listing = git("ls-tree", "-r", "--name-only", whole, cwd=trees.repository.start)
    assert listing.splitlines() == sorted(files)
