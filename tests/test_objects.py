"""Git's objects: what is written is what git writes, what is read is what was asked for."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import subprocess
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import git
from hypothesis import given
from hypothesis import strategies as st

from mlgit.errors import Unreadable, WriteFailed
from mlgit.ledger import objects, open_repository
from mlgit.ledger.objects import (
    EXECUTABLE,
    FILE,
    TREE,
    Entry,
    Missing,
    Object,
    Reader,
    Store,
    TooLarge,
    format_tree,
    lookup,
    parse_tree,
)

ABSENT = "1" * 40


@pytest.fixture
def store(repo: Path) -> Store:
    return Store(open_repository())


@pytest.fixture
def reader(repo: Path) -> Iterator[Reader]:
    reader = Reader(open_repository())
    yield reader
    reader.close()


def blobs(store: Store, count: int) -> dict[str, bytes]:
    contents = [b"%d\n" % number * (number % 7) for number in range(count)]
    return {store.put("blob", content): content for content in contents}


# --- writing --------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"a\0b\r\n\xff", b"x" * 3_000_000], ids=len)
def test_the_same_objects_as_git(repo: Path, store: Store, content: bytes) -> None:
    sha = store.put("blob", content)
    assert subprocess.check_output(("git", "cat-file", "blob", sha)) == content
    place = repo / ".git" / "objects" / sha[:2] / sha[2:]
    assert place.stat().st_mode & 0o777 == 0o444
    (repo / "file").write_bytes(content)
    assert git("hash-object", "file").strip() == sha


def test_writing_twice_makes_it_young(repo: Path, store: Store) -> None:
    """git's garbage collection takes what is old and reachable from nowhere; we still need it."""
    sha = store.put("blob", b"left behind by a run that was killed")
    place = repo / ".git" / "objects" / sha[:2] / sha[2:]
    os.utime(place, (0, 0))
    assert store.put("blob", b"left behind by a run that was killed") == sha
    assert time.time() - place.stat().st_mtime < 60
    git("prune", "--expire=1.hour.ago")
    assert place.exists()


NAME = st.binary(min_size=1, max_size=8).filter(lambda raw: not {0, 47} & set(raw))
ENTRY = st.tuples(st.sampled_from([FILE, EXECUTABLE, TREE, 0o120000, 0o160000]), st.just(ABSENT))


@given(st.dictionaries(NAME, ENTRY, max_size=12))
def test_trees_return_and_are_sorted_as_git_sorts(names: dict[bytes, tuple[int, str]]) -> None:
    tree = {name.decode(errors="surrogateescape"): Entry(*entry) for name, entry in names.items()}
    data = format_tree(tree)
    assert parse_tree(data) == tree
    assert list(parse_tree(data)) == sorted(tree, key=lambda name: (
        name.encode(errors="surrogateescape") + b"/" * tree[name].is_tree
    ))  # fmt: skip


def test_trees_as_git_makes_them(repo: Path, store: Store) -> None:
    listing = [(TREE, "a"), (FILE, "a.b"), (FILE, "a-"), (TREE, "a0"), (EXECUTABLE, "ä\udcff")]
    blob, empty = store.put("blob", b""), store.put("tree", b"")
    entries = {name: Entry(mode, empty if mode == TREE else blob) for mode, name in listing}
    lines = [
        f"{entry.mode:06o} {'tree' if entry.is_tree else 'blob'} {entry.sha}\t{name}\0"
        for name, entry in entries.items()
    ]
    data = "".join(lines).encode(errors="surrogateescape")
    made = subprocess.check_output(("git", "mktree", "-z"), input=data)
    assert store.put("tree", format_tree(entries)) == made.decode().strip()


@given(st.binary(max_size=80))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    try:
        tree = parse_tree(data)
    except ValueError:
        return
    assert all(len(entry.sha) == 40 for entry in tree.values())


SHA = b"\x11" * 20


@pytest.mark.parametrize(
    "data",
    [
        b"100644 a\0" + SHA[:19], b"100644 a", b"a\0" + SHA, b" a\0" + SHA, b"10x a\0" + SHA,
        b"-100644 a\0" + SHA, b"0o7 a\0" + SHA, b"100644 a\0" + SHA + b"100755 a\0" + SHA,
        b"100844 a\0" + SHA,
    ],
)  # fmt: skip
def test_what_is_no_tree(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_tree(data)


def test_kinds() -> None:
    assert [Entry(mode, "").kind for mode in (0o120000, 0o160000, TREE, FILE, EXECUTABLE, 7)] == [
        "a symbolic link", "a submodule", "a folder", "a file", "a file", "something odd",
    ]  # fmt: skip


# --- an object store that does not take it ----------------------------------------------------


def leftovers(repo: Path) -> list[str]:
    return [path.name for path in (repo / ".git" / "objects").iterdir() if path.is_file()]


def test_no_space_left(repo: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.mkstemp", full)
    with pytest.raises(WriteFailed, match="No space left on device"):
        store.put("blob", b"content")


def test_a_file_size_limit(repo: Path, store: Store) -> None:
    """The system itself refuses the bytes: writing comes to its end in the middle."""
    content = random.Random(0).randbytes(1_000_000)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        with pytest.raises(WriteFailed, match="object store cannot be written"):
            store.put("blob", content)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert not leftovers(repo)
    assert store.put("blob", content)


def test_a_file_where_a_folder_should_be(repo: Path, store: Store) -> None:
    sha = git("hash-object", "--stdin", input="content").strip()
    (repo / ".git" / "objects" / sha[:2]).write_text("")
    with pytest.raises(WriteFailed, match="object store cannot be written"):
        store.put("blob", b"content")


# --- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_thousands_in_order(repo: Path, store: Store, reader: Reader, packed: bool) -> None:
    known = blobs(store, 1500)
    if packed:
        git("pack-objects", "-q", ".git/objects/pack/pack", input="\n".join(known) + "\n")
        git("prune-packed")
    wanted = random.Random(0).choices([*known, ABSENT, "no such name"], k=3000)
    for name, found in zip(wanted, reader.find_many(wanted), strict=True):
        expected = Object(name, "blob", known[name]) if name in known else Missing()
        assert found == expected


def test_names_of_all_kinds(repo: Path, store: Store, reader: Reader) -> None:
    head = git("rev-parse", "HEAD").strip()
    blob = store.put("blob", b"content")
    for name in ("HEAD", "refs/heads/main", head[:9], "main^{commit}", "main@{0}"):
        found = reader.find(name)
        assert isinstance(found, Object) and (found.sha, found.kind) == (head, "commit"), name
    readme = reader.find("HEAD:README.md")
    assert isinstance(readme, Object) and readme.data == b"# A project\n"
    nothing = (
        "",
        " ",
        "-",
        "--help",
        "x 5",
        "x blob 5",
        "a\nb",
        f"{blob}\n{blob}",
        "\udcff",
        "^",
        blob[:3],
    )
    assert list(reader.find_many(nothing)) == [Missing()] * len(nothing)
    assert reader.find(blob) == Object(blob, "blob", b"content")


def test_written_and_packed_while_reading(repo: Path, store: Store, reader: Reader) -> None:
    for round_ in range(3):
        sha = store.put("blob", b"%d" % round_)
        git("update-ref", "refs/keep/x", git("commit-tree", "-m", "x", "HEAD^{tree}").strip())
        assert reader.find(sha) == Object(sha, "blob", b"%d" % round_)
        git("gc", "--quiet")
        assert isinstance(reader.find("refs/keep/x"), Object)


def test_too_large_in_the_middle(store: Store, reader: Reader) -> None:
    known = blobs(store, 200)
    large = store.put("blob", b"x" * 5000)
    wanted = [*known]
    for position in (0, 50, 51, 150, len(wanted)):
        wanted.insert(position, large)
    found = list(reader.find_many(wanted, limit=4999))
    assert found == [
        TooLarge(5000) if sha == large else Object(sha, "blob", known[sha]) for sha in wanted
    ]
    assert reader.find(large, limit=4999) == TooLarge(5000)
    assert isinstance(reader.find(large, limit=5000), Object), "the next reply is not its rest"


def test_whoever_stops_listening_leaves_nothing_behind(store: Store, reader: Reader) -> None:
    known = blobs(store, 500)
    several = [reader.find_many(known) for _ in range(3)]
    for sha, *found in zip(known, *several, strict=True):
        assert found == [Object(sha, "blob", known[sha])] * 3
    stopped = reader.find_many(known)
    next(stopped)
    assert reader.find("HEAD^{tree}") == reader.find("main^{tree}")
    with pytest.raises(Unreadable, match="missing from git's object store"):
        reader.tree(next(iter(known)))
    assert lookup(reader, git("rev-parse", "HEAD^{tree}").strip(), "train.py") is not None


def test_memory_is_bounded(store: Store, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes in a pack can be gigabytes in memory, many times."""
    monkeypatch.setattr(objects, "_BUDGET", 100_000)
    large = store.put("blob", b"x" * 90_000)
    tracemalloc.start()
    count = sum(isinstance(found, Object) for found in reader.find_many([large] * 300))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 300
    assert peak < 1_000_000


def test_a_huge_record_costs_nothing(repo: Path, reader: Reader) -> None:
    """300 MB of zeros, which are 300 kB to whoever pushes them."""
    sha = git("hash-object", "-w", "--stdin", "--path=x", input="").strip()
    with subprocess.Popen(("git", "hash-object", "-w", "--stdin"), stdin=-1, stdout=-1) as process:
        assert process.stdin and process.stdout
        for _ in range(300):
            process.stdin.write(bytes(1_000_000))
        process.stdin.close()
        huge = process.stdout.read().decode().strip()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.monotonic()
    found = list(reader.find_many([sha, huge, sha, huge, sha], limit=8 << 20))
    seconds = time.monotonic() - begun
    assert found == [Object(sha, "blob", b""), TooLarge(300_000_000)] * 2 + [found[0]]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
    assert seconds < 5


def in_a_child(act: Callable[[], None]) -> int:
    """Runs a function in a forked process and returns its exit status; 0 is well."""
    child = os.fork()
    if not child:
        try:
            act()
        except BaseException as error:
            print(repr(error))
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_after_a_fork(store: Store, reader: Reader) -> None:
    known = blobs(store, 100)
    assert isinstance(reader.find("HEAD"), Object)

    def read() -> None:
        for sha, found in zip(known, reader.find_many(known), strict=True):
            assert found == Object(sha, "blob", known[sha])
        reader.close()

    def close() -> None:
        reader.close()

    for act in (read, close):
        assert in_a_child(act) == 0
        read_here = [found.data for found in reader.find_many(known) if isinstance(found, Object)]
        assert read_here == list(known.values()), "the child did not take our replies"


def test_git_that_was_killed_meanwhile(repo: Path, store: Store, reader: Reader) -> None:
    """As by Ctrl-C, which reaches all processes of a terminal."""
    sha = store.put("blob", b"content")
    for _ in range(3):
        assert isinstance(reader.find(sha), Object)
        assert reader._process
        os.kill(reader._process.pid, signal.SIGKILL)
        reader._process.wait()
    assert isinstance(reader.find(sha), Object)


def test_git_that_ends_instead_of_answering(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_repository()
    fake = tmp_path / "git"
    fake.write_text("#!/bin/sh\nread line\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(Unreadable, match="git ended when it was to read HEAD"):
        Reader(opened).find("HEAD")


def damage(repo: Path, sha: str, data: bytes | None) -> None:
    place = repo / ".git" / "objects" / sha[:2] / sha[2:]
    place.chmod(0o644)
    content = place.read_bytes()
    place.write_bytes(content[: len(content) // 2] if data is None else data)


@pytest.mark.parametrize("data", [b"", b"garbage", None], ids=["empty", "garbage", "cut off"])
def test_damaged_objects_are_missing_and_the_others_there(
    repo: Path, store: Store, reader: Reader, data: bytes | None
) -> None:
    """A power cut leaves empty files and files that are cut off."""
    before, after = store.put("blob", b"before"), store.put("blob", b"after")
    damaged = store.put("blob", random.Random(0).randbytes(100_000))
    tree = store.put("tree", format_tree({"a": Entry(FILE, before)}))
    damage(repo, damaged, data)
    wanted = [before, damaged, after, damaged, ABSENT, after]
    found = [
        found.data if isinstance(found, Object) else None for found in reader.find_many(wanted)
    ]
    assert found == [b"before", None, b"after", None, None, b"after"]
    assert list(reader.trees([tree, damaged, before, tree])) == [
        {"a": Entry(FILE, before)}, None, None, {"a": Entry(FILE, before)},
    ]  # fmt: skip


def test_lookup(repo: Path, store: Store, reader: Reader) -> None:
    blob = store.put("blob", b"content")
    inner = store.put("tree", format_tree({"file": Entry(FILE, blob)}))
    root = store.put("tree", format_tree({"a": Entry(TREE, inner), "link": Entry(0o120000, blob)}))
    assert lookup(reader, root, "a/file") == Entry(FILE, blob)
    for path in ("a/other", "a/file/deeper", "link/x", "b", "", "a//file", "a/", "../a"):
        assert lookup(reader, root, path) is None, path
    broken = store.put("tree", format_tree({"a": Entry(TREE, ABSENT)}))
    with pytest.raises(Unreadable, match="git fsck"):
        lookup(reader, broken, "a/file")
