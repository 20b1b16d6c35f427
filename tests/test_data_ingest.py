"""Taking files into the data store: DVC's own objects, and nothing else, whatever happens."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers import dvc, stored_objects

from mlgit.data import copying, dvc_repo, hashing, ingest, pointers, store
from mlgit.data.hashing import Hash, Member
from mlgit.data.state import State, open_state
from mlgit.errors import Invalid, MlgitWarning, Unreadable, WriteFailed

HELLO = "5d41402abc4b2a76b9719d911017c592"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def dvc_project(repo: Path) -> Path:
    """What `dvc init` leaves, sooner."""
    (repo / ".dvc").mkdir()
    (repo / ".dvc" / "config").touch()
    (repo / ".dvcignore").write_text("# Add patterns of files dvc should ignore\n")
    return repo


def take(place: Path, path: Path, **options: object) -> Hash:
    return ingest.take(place, path, State(), **options)  # type: ignore[arg-type]


def leftovers(place: Path) -> list[str]:
    return os.listdir(place / "tmp") if (place / "tmp").exists() else []


# --- the same as DVC -------------------------------------------------------------


ODD_NAMES = ["with space", "ünïcode", "e\u0301", "数据.csv", "a\nb", "back\\slash", ".gitmodules"]
ODD_NAMES += [" lead", ".hidden", "a/b/c/deep", "a.b", "a-b", "a/z", '"quoted"', ".hg", "-dash"]


def test_objects_are_those_of_dvc(dvc_project: Path, place: Path) -> None:
    """Every kind of name and content, as one `dvc add` stores them."""
    odd = dvc_project / "odd names"
    (odd / "a" / "b" / "c").mkdir(parents=True)
    (odd / "empty folder").mkdir()
    for number, name in enumerate(ODD_NAMES):
        (odd / name).write_text(f"content {number}")
    (odd / "empty").write_bytes(b"")
    (odd / "crlf.txt").write_bytes(b"one\r\ntwo\r\n")
    (odd / "twice").write_text("content 0")
    (odd / "link").symlink_to("crlf.txt")
    (odd / "linked folder").symlink_to("a", target_is_directory=True)
    for left_out in (".git", ".hg", "sub/.dvc"):
        folder = odd / "a" / left_out.replace(".hg", "x/.hg")
        folder.mkdir(parents=True)
        (folder / "file").write_text("not data")
    many = dvc_project / "many"
    many.mkdir()
    for number in range(300):
        (many / f"{number}.bin").write_bytes(random.Random(number % 250).randbytes(number * 20))
    (dvc_project / "nothing").mkdir()
    (dvc_project / "crlf.csv").write_bytes(b"a,b\r\n1,2\r\n")
    (dvc_project / "empty.bin").write_bytes(b"")
    targets = ["odd names", "many", "nothing", "crlf.csv", "empty.bin"]
    dvc("add", "--quiet", *targets, cwd=dvc_project)
    for target in targets:
        pointer = (dvc_project / f"{target}.dvc").read_bytes()
        (tracked,) = pointers.read_pointer(pointer, target)
        found = take(place, dvc_project / target)
        assert found == tracked.hash
        assert found == ingest.measure(dvc_project / target, State())
        ours = pointers.format_pointer(target, found)
        assert pointers.read_pointer(ours, target) == [tracked]
    assert stored_objects(place) == stored_objects(dvc_project / ".dvc" / "cache")
    for path in (place / "files").rglob("*"):
        assert path.is_dir() or stat.S_IMODE(path.stat().st_mode) == 0o444
    assert leftovers(place) == []


IGNORED = """\
# a comment
*.log
/top.txt
cache/
!keep.log
**/deep/**/x
"""


def test_dvcignore_is_respected_as_by_dvc(dvc_project: Path, place: Path) -> None:
    data = dvc_project / "sub" / "data"
    for name in ["a.log", "keep.log", "top.txt", "cache/in", "x/cache", "deep/1/2/x", "deep/x/y"]:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(name)
    (dvc_project / ".dvcignore").write_text(IGNORED)
    (dvc_project / "sub" / ".dvcignore").write_text("!a.log\n/data/top.txt\n")
    dvc("add", "--quiet", "sub/data", cwd=dvc_project)
    (tracked,) = pointers.read_pointer((data.parent / "data.dvc").read_bytes(), "data.dvc")
    assert take(place, data) == tracked.hash
    assert [name for name, _ in sorted(dvc_repo.walk(data))] == ["a.log", "keep.log", "x/cache"]
    # A folder that is ignored as a whole is taken whole, since somebody asked for it.
    (dvc_project / ".dvcignore").write_text("sub/\n")
    assert take(place, data).files == 7
    (data / ".dvcignore").write_text("*.log\n")
    with pytest.raises(Invalid, match="ignore file"):
        take(place, data)


_WORDS = st.sampled_from(["a", "b", "a.x", "*.x", "*", "a*", "**", "?", "[ab]"])
_PATTERNS = st.builds(
    lambda negated, rooted, parts, folder: "!" * negated + "/" * rooted + "/".join(parts) + folder,
    st.booleans(),
    st.booleans(),
    st.lists(_WORDS, min_size=1, max_size=3),
    st.sampled_from(["", "/"]),
)


@given(st.lists(_PATTERNS, min_size=1, max_size=4))
def test_patterns_mean_what_they_mean_to_dvc(
    tmp_path_factory: pytest.TempPathFactory, patterns: list[str]
) -> None:
    from dvc.fs import localfs
    from dvc.ignore import DvcIgnoreFilter

    root = tmp_path_factory.mktemp("ignore")
    (root / ".dvc").mkdir()
    for path in ["d/a", "d/b", "d/a.x", "d/q/a", "d/q/a.x", "d/q/r/b", "d/a b/a"]:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    (root / ".dvcignore").write_text("\n".join(patterns) + "\n")
    ignore = DvcIgnoreFilter(localfs, str(root))
    if not ignore.is_ignored_dir(str(root / "d")):
        theirs = sorted(ignore.find(localfs, str(root / "d")))
        assert sorted(path for _, path in dvc_repo.walk(root / "d")) == theirs


@given(st.text(min_size=1))
def test_pointers_carry_every_path(path: str) -> None:
    pointer = pointers.format_pointer(path, Hash(HELLO, 5, None))
    assert pointers.read_pointer(pointer, "it") == [pointers.Tracked(path, Hash(HELLO, 5, None))]
    from ruamel.yaml import YAML

    assert YAML(typ="safe").load(pointer)["outs"][0]["path"] == path  # as DVC reads it


def test_pointers_of_dvc_2_are_passed_over() -> None:
    old = f"outs:\n- md5: {HELLO}\n  size: 5\n  path: data\n".encode()
    assert pointers.read_pointer(old, "data.dvc") == []
    for bad in (b"[", b"outs: 3", b"- 1", b"\xff", b"a: &a [*a]\nouts: x", b"outs: " + b"[" * 9999):
        with pytest.raises(Unreadable):
            pointers.read_pointer(bad, "data.dvc")


# --- each object once, and exactly --------------------------------------------------


def test_same_content_is_stored_once(place: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    (tmp_path / "b").write_bytes(b"hello")
    done: list[int] = []
    with open_state(tmp_path / "state.sqlite") as state:
        assert ingest.take(place, tmp_path / "a", state, (), done.append).md5 == HELLO
        before = store.object_path(place, HELLO).stat()
        assert ingest.take(place, tmp_path / "b", state).md5 == HELLO
    assert store.object_path(place, HELLO).stat() == before
    assert done == [5]


def test_an_unchanged_file_is_known_and_a_changed_one_is_not(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"hello")
    time.sleep(0.03)
    with open_state(tmp_path / "state.sqlite") as state:
        ingest.take(place, path, state)
    with open_state(tmp_path / "state.sqlite") as state:
        with monkeypatch.context() as patch:
            patch.setattr(hashing, "open_plain", None)
            patch.setattr(copying, "open_plain", None)
            assert ingest.take(place, path, state).md5 == HELLO
            assert ingest.measure(path, state).md5 == HELLO
        # Same size, and the time of modification put back: the time of change tells.
        times = path.stat().st_atime_ns, path.stat().st_mtime_ns
        path.write_bytes(b"jello")
        os.utime(path, ns=times)
        assert ingest.take(place, path, state).md5 != HELLO
    # A file written while the clock did not tick is not remembered.
    path.write_bytes(b"hello")
    now = path.stat()
    with open_state(tmp_path / "state.sqlite") as state:
        state.remember(now, now, now.st_ctime_ns + 1_000_000, HELLO)
        state.save()
        assert state.known("data", now) is None


@pytest.mark.parametrize("damage", [b"no database at all", b"SQLite format 3\0" + b"x" * 2000])
def test_a_damaged_state_file_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "state.sqlite"
    path.write_bytes(damage)
    (tmp_path / "data").write_bytes(b"hello")
    time.sleep(0.03)
    for _ in range(2):
        with open_state(path) as state:
            assert ingest.measure(tmp_path / "data", state).md5 == HELLO
    with open_state(path) as state:
        assert state.known("data", (tmp_path / "data").stat()) == HELLO
    with open_state(Path("/proc/no/such/state")) as state:
        assert ingest.measure(tmp_path / "data", state).md5 == HELLO


def test_later_changes_do_not_reach_the_store(place: Path, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"hello")
    take(place, path)
    with path.open("ab") as file:
        file.write(b" world")
    assert store.load(place, HELLO) == b"hello"
    assert store.object_path(place, HELLO).stat().st_nlink == 1


def test_a_truncated_object_is_replaced(place: Path, tmp_path: Path) -> None:
    """As a power cut leaves one."""
    (tmp_path / "data").write_bytes(b"hello")
    take(place, tmp_path / "data")
    broken = store.object_path(place, HELLO)
    broken.chmod(0o644)
    broken.write_bytes(b"")
    take(place, tmp_path / "data")
    assert store.load(place, HELLO) == b"hello"


def test_data_are_stored_even_while_the_interpreter_ends(place: Path, tmp_path: Path) -> None:
    """Runs end there, and no thread can be started any more."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "large").write_bytes(bytes(9 << 20))
    (tmp_path / "data" / "small").write_bytes(b"hello")
    script = (
        "import atexit, sys; from pathlib import Path; from mlgit.data import ingest, state\n"
        "atexit.register(ingest.take, Path(sys.argv[1]), Path(sys.argv[2]), state.State())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, place, tmp_path / "data"], capture_output=True, text=True
    )
    assert done.stderr == ""
    assert store.has_all(place, ingest.measure(tmp_path / "data", State()).md5)


def test_a_file_that_changes_while_it_is_read_gives_a_consistent_object(
    place: Path, tmp_path: Path
) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(24 << 20))
    stop = threading.Event()

    def scribble() -> None:
        number = 0
        with path.open("r+b") as file:
            while not stop.is_set():
                number += 1
                file.seek(number * 4099 % (24 << 20))
                file.write(b"%d" % number)
                file.flush()

    thread = threading.Thread(target=scribble)
    thread.start()
    try:
        with (
            open_state(tmp_path / "state.sqlite") as state,
            pytest.warns(MlgitWarning, match="changed while it was read"),
        ):
            hashes = {ingest.take(place, path, state).md5 for _ in range(3)}
            assert state.known(str(path), path.stat()) is None
    finally:
        stop.set()
        thread.join()
    for md5 in hashes:
        store.verify_object(place, md5)


def test_a_file_is_cloned_where_that_can_be_done(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few machines have such a file system, so one is played."""

    def clone(target: int, request: int, source: int) -> None:
        assert request == 0x40049409
        os.write(target, os.pread(source, 1 << 20, 0))

    (tmp_path / "data").write_bytes(b"hello")
    monkeypatch.setattr("mlgit.data.copying._copy_and_hash", None)
    monkeypatch.setattr("fcntl.ioctl", clone)
    assert take(place, tmp_path / "data").md5 == HELLO
    store.verify_object(place, HELLO)


# --- lending -------------------------------------------------------------------------


def test_objects_of_the_users_cache_are_linked(dvc_project: Path, place: Path) -> None:
    """What DVC tracks takes no space twice, and survives `dvc gc`."""
    folder = dvc_project / "data"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_text(name * 100)
    dvc("add", "--quiet", "data", cwd=dvc_project)
    (cache,) = dvc_repo.lenders(folder)
    assert cache == dvc_project / ".dvc" / "cache"
    found = take(place, folder, lenders=[cache])
    links = [path.stat().st_nlink for path in (place / "files").glob("*/*/*")]
    assert sorted(links) == [1, 2, 2, 2]  # the manifest is small
    assert leftovers(place) == []
    (dvc_project / "data.dvc").unlink()
    dvc("gc", "--workspace", "--force", "--quiet", cwd=dvc_project)
    assert stored_objects(cache) == {}
    assert store.has_all(place, found.md5)
    for member in store.members(place, found.md5):
        store.verify_object(place, member.md5)


def test_what_the_user_can_write_to_is_not_borrowed(
    dvc_project: Path, place: Path, tmp_path: Path
) -> None:
    path = dvc_project / "data"
    path.write_bytes(b"hello")
    take(cache := dvc_project / ".dvc" / "cache", path)
    lent = store.object_path(cache, HELLO)

    def borrows() -> bool:
        take(fresh := tmp_path / os.urandom(4).hex(), path, lenders=[tmp_path / "none", cache])
        assert store.load(fresh, HELLO) == b"hello"
        return store.object_path(fresh, HELLO).samefile(lent)

    os.link(lent, dvc_project / "linked into the work tree")
    assert not borrows()
    (dvc_project / "linked into the work tree").unlink()
    lent.chmod(0o644)
    assert not borrows()
    lent.write_bytes(b"jello")
    lent.chmod(0o444)
    assert not borrows()
    lent.chmod(0o644)
    lent.write_bytes(b"hello")
    lent.chmod(0o444)
    assert borrows()


def test_caches_are_found_as_dvc_is_configured(dvc_project: Path, tmp_path: Path) -> None:
    assert dvc_repo.caches(dvc_project) == []  # nothing in it yet
    (tmp_path / "elsewhere").mkdir()
    dvc("cache", "dir", "../elsewhere", cwd=dvc_project)
    (found,) = dvc_repo.lenders(dvc_project / "some" / "folder")
    assert found.samefile(tmp_path / "elsewhere")
    dvc("config", "--local", "cache.type", "reflink,hardlink,copy", cwd=dvc_project)
    assert dvc_repo.lenders(dvc_project) == []
    assert dvc_repo.caches(dvc_project) == [found]
    (dvc_project / ".dvc" / "config.local").write_text("[cache]\n    type = copy\n")
    assert dvc_repo.lenders(dvc_project) == [found]
    assert dvc_repo.lenders(tmp_path) == []


# --- when things go wrong ----------------------------------------------------------


def test_what_is_no_data_is_refused(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "good").write_bytes(b"hello")
    with pytest.raises(Invalid, match="cannot read"):
        take(place, tmp_path / "nowhere")
    for make, message in [
        (lambda path: os.mkfifo(path), "not a plain file"),
        (lambda path: os.symlink("nowhere", path), "No such file"),
    ]:
        make(folder / "bad")
        with pytest.raises(Invalid, match=message):
            take(place, folder)
        (folder / "bad").unlink()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).touch()
    with pytest.raises(Invalid, match="cannot be in a folder"):
        take(place, folder)
    assert not any(md5.endswith(".dir") for md5 in stored_objects(place))
    assert leftovers(place) == []


def test_a_folder_with_an_ignore_file_in_it_is_refused(place: Path, tmp_path: Path) -> None:
    inner = tmp_path / "project/data"
    (tmp_path / "project/.dvc").mkdir(parents=True)
    inner.mkdir()
    for folder, hint in {
        inner: f"move it to {tmp_path}/project/.dvcignore",
        tmp_path / "project": "this is the whole DVC repository: name the folders in it one by one",
    }.items():
        (folder / ".dvcignore").touch()
        with pytest.raises(Invalid, match=r"\.dvcignore is inside the folder") as told:
            take(place, folder)
        assert told.value.hint == hint
    assert stored_objects(place) == {}


def test_a_file_that_vanishes_stores_no_folder(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(50):
        (folder / f"{number:02d}").write_text(str(number))
    real = copying.open_plain

    def vanishing(path: str) -> object:
        if str(path).endswith("30"):
            os.unlink(path)
        return real(path)

    monkeypatch.setattr(copying, "open_plain", vanishing)
    with pytest.raises(Invalid, match="30: No such file"):
        take(place, folder)
    objects = stored_objects(place)
    assert all(hashing.manifest_md5(data) == md5 + ".dir" for md5, data in objects.items())
    assert leftovers(place) == []


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_disk_leaves_nothing(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    (tmp_path / "data").write_bytes(b"hello")

    def fail(*_: object) -> None:
        raise OSError(fault, os.strerror(fault))

    for module, name in [(copying, "_copy_and_hash"), (os, "replace"), (os, "chmod")]:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, fail)
            with pytest.raises(WriteFailed, match=os.strerror(fault)):
                take(place, tmp_path / "data")
        assert stored_objects(place) == {}
        assert leftovers(place) == []


def test_a_truly_full_disk(place: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    (tmp_path / "data").write_bytes(bytes(3 << 20))
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from mlgit.data import ingest, state\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "ingest.take(Path(sys.argv[1]), Path(sys.argv[2]), state.State())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, place, tmp_path / "data"], capture_output=True, text=True
    )
    assert "WriteFailed: cannot store data" in done.stderr
    assert stored_objects(place) == {}
    assert leftovers(place) == []


def test_a_killed_process_leaves_only_rubbish_that_is_swept(place: Path, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(os.urandom(1 << 20) * 300)
    script = (
        "import sys; from pathlib import Path; from mlgit.data import ingest, state\n"
        "ingest.take(Path(sys.argv[1]), Path(sys.argv[2]), state.State(), (),\n"
        "            lambda count: print(count, flush=True))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, place, tmp_path / "large"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert stored_objects(place) == {}
    (rubbish,) = leftovers(place)
    (tmp_path / "small").write_bytes(b"hello")
    take(place, tmp_path / "small")
    assert leftovers(place) == [rubbish]  # it might be somebody's at work
    yesterday = time.time() - 25 * 60 * 60
    os.utime(place / "tmp" / rubbish, (yesterday, yesterday))
    take(place, tmp_path / "small")
    assert leftovers(place) == []


def test_twelve_processes_at_once(place: Path, tmp_path: Path) -> None:
    """All store one folder of the same, and one of their own; nobody waits or fails."""
    for folder in ("same", *map(str, range(12))):
        (tmp_path / folder).mkdir()
        for number in range(60):
            (tmp_path / folder / str(number)).write_text(f"{folder} {number}" * 50)
    script = (
        "import sys; from pathlib import Path; from mlgit.data import ingest, state\n"
        "with state.open_state(Path(sys.argv[1], 'state.sqlite')) as known:\n"
        "    for folder in sys.argv[2:]:\n"
        "        print(ingest.take(Path(sys.argv[1]), Path(folder), known).md5)\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, place, tmp_path / "same", tmp_path / str(number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(12)
    ]
    folders = set()
    for process in processes:
        out, err = process.communicate()
        assert process.returncode == 0, err
        folders.update(out.split())
    assert len(folders) == 13
    assert all(store.has_all(place, md5) for md5 in folders)
    objects = stored_objects(place)
    assert len(objects) == 13 * 60 + 13
    assert all(
        hashing.manifest_md5(data).startswith(md5.removesuffix(".dir"))
        for md5, data in objects.items()
    )
    assert leftovers(place) == []


# --- manifests -----------------------------------------------------------------------

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1)


@given(st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.integers(0, 9)))
def test_manifests_round_trip(contents: dict[str, int]) -> None:
    members = sorted(Member(path, f"{number}" * 32) for path, number in contents.items())
    try:
        assert hashing.parse_manifest(hashing.format_manifest(members)) == members
    except Unreadable:
        parts = {part for path in contents for part in path.split("/")}
        folders = {path[:i] for path in contents for i, char in enumerate(path) if char == "/"}
        assert folders & contents.keys() or parts & {".", ".."} or "git" in repr(parts).lower()


HOSTILE = ["/etc/passwd", "../x", "a/../../x", "a//b", "", ".", "./a", "a/", "a\0b", "\ud800", 3]
HOSTILE += [".git/config", "a/.GIT/hooks/post-checkout", ".g\u200cit/x", "GIT~1/x", ".git ./x"]


@pytest.mark.parametrize("path", HOSTILE)
def test_hostile_manifests_are_refused(path: object) -> None:
    content = json.dumps([{"md5": HELLO, "relpath": path}]).encode()
    with pytest.raises(Unreadable, match="damaged"):
        hashing.parse_manifest(content)


@pytest.mark.parametrize(
    "items",
    [
        [["a", HELLO], ["a", HELLO]],
        [["a", HELLO], ["a/b", HELLO]],
        [["a", HELLO + ".dir"]],
        [["a", "../../x"]],
        [["a", None]],
    ],
)
def test_impossible_manifests_are_refused(items: list[list[str]]) -> None:
    content = json.dumps([{"md5": md5, "relpath": path} for path, md5 in items]).encode()
    with pytest.raises(Unreadable, match="damaged"):
        hashing.parse_manifest(content)


@pytest.mark.parametrize(
    "content", [b"", b"{}x", b"3", b'["a"]', b"[" * 100_000, b"\xff", b'{"a":1}']
)
def test_damaged_manifests_are_refused(content: bytes) -> None:
    with pytest.raises(Unreadable, match="damaged"):
        hashing.parse_manifest(content)
