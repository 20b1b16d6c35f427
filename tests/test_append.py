"""Appending: one commit, nothing of the user's touched, nothing lost, whatever gets in between."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import git as gitpython
import pytest
from conftest import allow, git, new_key, sign_with, users_own

from mlgit.errors import MlgitWarning, NotARepository, Unreadable, WriteFailed
from mlgit.ledger import Ledger, append, open_repository
from mlgit.ledger.repository import Repository

module = sys.modules["mlgit.ledger.append"]  # whose name is the function's in the package


def add(name: str, path: Path | str = ".", content: bytes = b"content\n", **more: Any) -> str:
    return append(open_repository(path), {f"runs/x/{name}": content}, f"add {name}\n", **more)


def on_branch(path: Path | str = ".", branch: str = "mlgit") -> set[str]:
    """Returns the names that `add` has added."""
    listing = git(
        "ls-tree", "-r", "--name-only", "--full-tree", "-z", f"refs/heads/{branch}", cwd=path
    )
    files = {*listing.split("\0")} - {"mlgit.json", ".dvcignore", ""}
    return {file.removeprefix("runs/x/") for file in files}


def tip(path: Path | str = ".", branch: str = "mlgit") -> str | None:
    ref = f"refs/heads/{branch}"
    return git("for-each-ref", "--format=%(objectname)", ref, cwd=path).strip() or None


def root(path: Path | str = ".") -> str:
    with Ledger(path) as ledger:
        return ledger.root


def fsck(path: Path | str = ".") -> None:
    git("fsck", "--strict", "--no-dangling", cwd=path)


# --- the commit -----------------------------------------------------------------------


def test_one_commit_with_the_code_as_second_parent(repo: Path) -> None:
    head = git("rev-parse", "HEAD").strip()
    first = add("a", code=head)
    second = append(open_repository(), {"runs/x/b": b"1", "c/d": b"2"}, "two files\n\nKey: value\n")
    assert tip() == second
    log = git("log", "--first-parent", "--format=%H|%P|%an <%ae>|%cn|%B", "-z", "mlgit")
    ours = "Ada Example <ada@example.org>|Ada Example"
    begin = git("rev-parse", f"{first}^1").strip()
    assert log.split("\0")[:-1] == [
        f"{second}|{first}|{ours}|two files\n\nKey: value\n",
        f"{first}|{begin} {head}|{ours}|add a\n",
        f"{begin}||{ours}|begin the ledger\n",
    ]
    assert git("show", "mlgit:mlgit.json") == '{\n  "format": 1\n}\n'
    assert git("show", "mlgit:.dvcignore").endswith("\n*\n")
    assert on_branch() == {"a", "b", "c/d"}
    assert git("reflog", "--format=%gs", "mlgit").splitlines()[0] == "mlgit: two files"
    fsck()


def test_a_second_implementation_reads_it(repo: Path) -> None:
    sha = append(
        open_repository(), {"größe/客户": b"\0\xff"}, "grüße\n", git("rev-parse", "HEAD").strip()
    )
    with gitpython.Repo(repo) as other:
        commit = other.commit("mlgit")
        assert (commit.hexsha, commit.message, len(commit.parents)) == (sha, "grüße\n", 2)
        assert (commit.tree / "größe" / "客户").data_stream.read() == b"\0\xff"


def test_the_same_twice_is_harmless(repo: Path) -> None:
    head = git("rev-parse", "HEAD").strip()
    first = add("a", code=head)
    assert add("a", code=head) == first
    assert add("a") == tip() == first
    assert append(open_repository(), {}, "nothing\n") == first


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("runs/x/a", "runs/x/a is already on the branch with other content"),
        ("runs/x/a/deeper", "runs/x/a on the branch is a file where a folder should be"),
        ("runs/x", "runs/x is already on the branch"),
        ("mlgit.json", "mlgit.json is already on the branch"),
    ],
)
def test_what_is_written_never_changes(repo: Path, path: str, says: str) -> None:
    add("a")
    before = tip()
    with pytest.raises(Unreadable, match=says):
        append(open_repository(), {path: b"other", "b": b"fine"}, "message\n")
    assert tip() == before


def test_code_that_is_gone_or_no_commit(repo: Path) -> None:
    for code in ("1" * 40, git("rev-parse", "HEAD^{tree}").strip()):
        with pytest.warns(MlgitWarning, match="not in this repository any more"):
            add(code[:9], code=code)
    assert git("log", "--format=%P", "-1", "mlgit").count(" ") == 0
    fsck()


@pytest.mark.parametrize("keys", [("user.signingkey",), ()], ids=["signs", "cannot"])
def test_signed_as_configured(repo: Path, tmp_path: Path, keys: tuple[str, ...]) -> None:
    key = new_key(tmp_path / "key")
    allow(tmp_path / "allowed", ada=key)
    sign_with(key if keys else tmp_path / "no key", "commit")
    git("config", "i18n.commitEncoding", "ISO-8859-1")
    if keys:
        add("größe", code=git("rev-parse", "HEAD").strip())
        for commit in ("mlgit", "mlgit^1"):
            git("verify-commit", commit)
        assert git("log", "-1", "--format=%s %P", "--encoding=UTF-8", "mlgit").startswith(
            "add größe "
        )
        assert "encoding" not in git("cat-file", "commit", "mlgit")
        fsck()
    else:
        with pytest.raises(WriteFailed, match="git could not sign the commit") as caught:
            add("a")
        assert "commit.gpgsign false" in (caught.value.hint or "")
        assert tip() is None


# --- the user's own -------------------------------------------------------------------


def conflict(path: Path) -> None:
    git("branch", "other")
    (path / "train.py").write_text("print(1)\n")
    git("commit", "--quiet", "--all", "--message", "ours")
    git("switch", "--quiet", "other")
    (path / "train.py").write_text("print(2)\n")
    git("commit", "--quiet", "--all", "--message", "theirs")
    subprocess.run(("git", "merge", "--quiet", "main"), capture_output=True)


def stash(path: Path) -> None:
    (path / "train.py").write_text("print(3)\n")
    git("stash", "--quiet")


def edit(path: Path) -> None:
    (path / "train.py").write_text("print(4)\n")
    (path / "README.md").unlink()
    (path / "new.py").touch()


def stage(path: Path) -> None:
    edit(path)
    git("add", "--all")
    edit_again = path / "train.py"
    edit_again.write_text("print(5)\n")


def unborn(path: Path) -> None:
    git("checkout", "--quiet", "--orphan", "fresh")


def detach(path: Path) -> None:
    git("checkout", "--quiet", "--detach")


def nothing(path: Path) -> None:
    pass


@pytest.mark.parametrize("begin", [nothing, conflict, stash, edit, stage, unborn, detach])
def test_nothing_of_the_users_is_touched(repo: Path, begin: Callable[[Path], None]) -> None:
    begin(repo)
    before = users_own(repo)
    add("a")
    add("b")
    assert users_own(repo) == before
    assert on_branch() == {"a", "b"}
    assert sorted(os.listdir(".git/mlgit")) == ["lock"]


def test_checked_out_is_refused(repo: Path, tmp_path: Path) -> None:
    add("a")
    before = tip()

    def refuse(place: Path) -> None:
        with pytest.raises(WriteFailed, match="is checked out in") as caught:
            add("b")
        assert str(place) in caught.value.message and str(place) in (caught.value.hint or "")
        assert tip() == before

    git("switch", "--quiet", "mlgit")
    refuse(repo)
    git("switch", "--quiet", "main")
    git("worktree", "add", "--quiet", tmp_path / "tree", "mlgit")
    refuse(tmp_path / "tree")
    shutil.rmtree(tmp_path / "tree")
    add("b")  # nobody's work tree is left behind
    git("worktree", "prune")
    git("checkout", "--quiet", "--orphan", "mlgit2")
    git("config", "mlgit.branch", "mlgit2")
    with pytest.raises(WriteFailed, match="is checked out"):
        add("c")


def test_a_bare_repository_may_be_at_the_ledger(bare: Callable[..., Path]) -> None:
    path = bare()
    git("symbolic-ref", "HEAD", "refs/heads/mlgit", cwd=path)
    for name in ("a", "b"):
        add(name, path)
    assert on_branch(path) == {"a", "b"}


@pytest.mark.parametrize("kind", ["code", "later", "tag"])
def test_a_branch_that_is_no_ledger(repo: Path, kind: str) -> None:
    ref, where = "mlgit", "HEAD"
    if kind == "later":
        add("a")
        blob = git("hash-object", "-w", "--stdin", input='{"format": 2}').strip()
        tree = git("mktree", input=f"100644 blob {blob}\tmlgit.json\n").strip()
        where = git("commit-tree", "-m", "later", tree).strip()
    if kind == "tag":
        git("tag", "-a", "-m", "x", "v1")
        (Path(".git/refs/heads/mlgit")).write_text(git("rev-parse", "v1"))
    else:
        git("update-ref", f"refs/heads/{ref}", where)
    before = tip()
    says = {"code": "is not a ledger", "later": "a later mlgit", "tag": "is not a branch"}[kind]
    for use in (lambda: add("b"), root):
        with pytest.raises(Unreadable, match=says) as caught:
            use()
    if kind == "code":
        assert caught.value.hint and "git config mlgit.branch NAME" in caught.value.hint
    assert tip() == before


# --- every kind of repository ---------------------------------------------------------


def linked(repo: Path, tmp: Path) -> Path:
    git("worktree", "add", "--quiet", tmp / "tree")
    return tmp / "tree"


def bare_one(repo: Path, tmp: Path) -> Path:
    git("clone", "--quiet", "--bare", repo, tmp / "bare.git")
    return tmp / "bare.git"


def shallow(repo: Path, tmp: Path) -> Path:
    git("commit", "--quiet", "--allow-empty", "--message", "second")
    git("clone", "--quiet", "--depth=1", f"file://{repo}", tmp / "shallow")
    return tmp / "shallow"


def alternates(repo: Path, tmp: Path) -> Path:
    add("elsewhere", repo)
    git("clone", "--quiet", "--shared", repo, tmp / "borrower")
    return tmp / "borrower"


def packed_refs(repo: Path, tmp: Path) -> Path:
    add("before")
    git("pack-refs", "--all")
    git("gc", "--quiet")
    return repo


def subfolder(repo: Path, tmp: Path) -> Path:
    (repo / "deep" / "er").mkdir(parents=True)
    return repo / "deep" / "er"


def inside_git(repo: Path, tmp: Path) -> Path:
    return repo / ".git"


def no_commits(repo: Path, tmp: Path) -> Path:
    git("init", "--quiet", tmp / "new")
    return tmp / "new"


def odd_index(repo: Path, tmp: Path) -> Path:
    monitor = tmp / "monitor"
    monitor.write_text("#!/bin/sh\nprintf 'token\\0/\\0'\n")
    monitor.chmod(0o755)
    settings = {"core.splitIndex": "true", "core.untrackedCache": "true", "index.version": "4"}
    for key, value in (settings | {"core.fsmonitor": str(monitor)}).items():
        git("config", key, value)
    git("update-index", "--split-index", "--untracked-cache")
    return repo


def separate(repo: Path, tmp: Path) -> Path:
    git("init", "--quiet", f"--separate-git-dir={tmp / 'apart'}", tmp / "work")
    return tmp / "work"


def reftable(repo: Path, tmp: Path) -> Path:
    command = ("git", "init", "--quiet", "--ref-format=reftable", tmp / "reftable")
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("git before 2.45 has no reftable")
    return tmp / "reftable"


KINDS = (linked, bare_one, shallow, alternates, packed_refs, subfolder, inside_git, no_commits)


@pytest.mark.parametrize("kind", [*KINDS, odd_index, separate, reftable])
def test_every_kind_of_repository(
    repo: Path, tmp_path: Path, kind: Callable[[Path, Path], Path]
) -> None:
    path = kind(repo, tmp_path)
    present = on_branch(path) if tip(path) else set()
    if kind is alternates:
        present = {"elsewhere"}  # the clone follows the ledger of its origin
    head = git("rev-list", "-n1", "--all", cwd=path).strip() or None
    with Ledger(path) as ledger:
        assert ledger.exists is bool(present)
    for name in ("a", "b"):
        add(name, path, code=head)
    assert on_branch(path) == {*present, "a", "b"}
    with Ledger(path) as ledger:
        assert ledger.root == git("rev-parse", "mlgit^{tree}", cwd=path).strip()
    fsck(path)


def test_another_branch(repo: Path) -> None:
    git("config", "mlgit.branch", "team/runs")
    add("a")
    assert (on_branch(branch="team/runs"), tip()) == ({"a"}, None)
    git("config", "mlgit.branch", "team")
    with pytest.raises(WriteFailed, match="cannot exist beside branches below that name") as caught:
        add("b")
    assert "mlgit.branch" in (caught.value.hint or "")


def test_sha256_is_refused(tmp_path: Path) -> None:
    git("init", "--quiet", "--object-format=sha256", tmp_path / "new")
    with pytest.raises(NotARepository, match="sha256"):
        add("a", tmp_path / "new")


# --- together with others -------------------------------------------------------------

WRITER = """
import contextlib, sys
from mlgit.ledger import append, open_repository
if sys.argv[2] == "without the lock":
    sys.modules["mlgit.ledger.append"].locked = lambda repository: contextlib.nullcontext()
for number in range(10):
    name = f"{sys.argv[1]}-{number}"
    append(open_repository(), {f"runs/x/{name}": name.encode()}, f"add {name}")
"""


@pytest.mark.parametrize("lock", ["with the lock", "without the lock"])
def test_eight_writers_lose_nothing(repo: Path, lock: str) -> None:
    """The lock is a courtesy: without it the compare-and-swap alone must do."""
    git("config", "gc.auto", "0")
    before = users_own(repo)
    writers = [
        subprocess.Popen((sys.executable, "-c", WRITER, str(number), lock)) for number in range(8)
    ]
    assert [writer.wait() for writer in writers] == [0] * 8
    assert on_branch() == {f"{writer}-{number}" for writer in range(8) for number in range(10)}
    assert git("rev-list", "--first-parent", "--count", "mlgit").strip() == "81"
    assert users_own(repo) == before
    fsck()


def foreign_commit(name: str) -> None:
    """Adds a file as another program would, which knows nothing of our lock."""
    lines = git("ls-tree", "mlgit")
    blob = git("hash-object", "-w", "--stdin", input=name).strip()
    tree = git("mktree", input=f"{lines}100644 blob {blob}\t{name}\n").strip()
    git(
        "update-ref",
        "refs/heads/mlgit",
        git("commit-tree", "-p", "mlgit", "-m", name, tree).strip(),
    )


def test_somebody_between_reading_and_swapping(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add("a")
    swap, times = module.swap, iter(range(3))

    def late(*arguments: Any) -> bool:
        if (time_ := next(times, None)) is not None:
            foreign_commit(f"foreign-{time_}")
        return bool(swap(*arguments))

    monkeypatch.setattr(module, "swap", late)
    add("b")
    assert on_branch() == {"a", "b", "foreign-0", "foreign-1", "foreign-2"}
    assert git("rev-list", "--count", "mlgit").strip() == "6"
    fsck()


def test_the_branch_begins_or_ends_meanwhile(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    swap = module.swap
    events = iter((lambda: git("update-ref", "-d", "refs/heads/mlgit"), lambda: add("other")))

    def late(*arguments: Any) -> bool:
        if event := next(events, None):
            event()
        return bool(swap(*arguments))

    add("a")
    monkeypatch.setattr(module, "swap", late)
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.1)  # which `add("b")` holds
    add("b")
    assert on_branch() == {"other", "b"}


def test_a_branch_that_never_holds_still(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "swap", lambda *_: False)
    monkeypatch.setattr(module, "ATTEMPTS", 3)
    with pytest.raises(WriteFailed, match="moved 3 times in a row"):
        add("a")


def test_a_holder_of_the_lock_that_is_stopped(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.2)
    with module.locked(open_repository()):
        add("a")
    monkeypatch.setattr(module.fcntl, "flock", lambda *_: exec("raise OSError(37, 'no locks')"))
    add("b")
    assert on_branch() == {"a", "b"}


def test_a_lock_somebody_else_made(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a shared repository; root may open everything, so the system is made to say no."""
    real = os.open

    def refuse(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        if str(path).endswith("mlgit/lock") and flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied")
        return real(path, flags, mode, **more)

    add("a")
    monkeypatch.setattr(os, "open", refuse)
    add("b")
    (repo / ".git/mlgit/lock").unlink()
    with pytest.raises(WriteFailed, match=r"cannot write .*mlgit/lock"):
        add("c")


# --- killed, locked out, out of space -------------------------------------------------

STEPS = ("open", "os.mkdir", "os.rename", "os.chmod", "os.remove", "os.utime", "fcntl.flock")


def die_at(step: int) -> None:
    """Kills this process at its n-th step outwards, as Python tells audit hooks of them."""
    left = step

    def hook(event: str, _: object) -> None:
        nonlocal left
        if event in (*STEPS, "subprocess.Popen"):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


@pytest.mark.parametrize("first", [True, False], ids=["first run", "later run"])
def test_killed_between_any_two_steps(repo: Path, first: bool) -> None:
    """The ref is where it was, or has moved all the way; and nothing stands in anybody's way."""
    git("config", "gc.auto", "0")
    if not first:
        add("before")
    start, own = tip(), users_own(repo)
    head = git("rev-parse", "HEAD").strip()
    outcomes = []
    for step in range(1, 200):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads
            child = os.fork()
        if not child:
            die_at(step)
            add(f"killed-{step}", content=b"%d" % step, code=head)
            os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) < 0
        present = f"killed-{step}" in on_branch() if tip() else False
        assert killed or present
        assert present or tip() == start
        outcomes.append(present)
        if present:
            assert git("show", f"mlgit:runs/x/killed-{step}") == str(step)
        if not killed:
            break
        git("update-ref", *(("refs/heads/mlgit", start) if start else ("-d", "refs/heads/mlgit")))
    assert len(outcomes) > 15 and outcomes == sorted(outcomes), outcomes
    assert users_own(repo) == own
    add("next")
    fsck()


def test_a_lock_file_left_behind(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a git that was killed. Nobody can know; so it is waited for, and then named."""
    add("a")
    before = tip()
    lock = repo / ".git" / "refs" / "heads" / "mlgit.lock"
    lock.touch()
    monkeypatch.setattr(module, "REF_SECONDS", 0.3)
    begun = time.monotonic()
    with pytest.raises(WriteFailed, match=r"is locked by .*refs/heads/mlgit\.lock") as caught:
        add("b")
    assert "delete that file" in (caught.value.hint or "")
    assert time.monotonic() - begun < 5 and tip() == before
    monkeypatch.setattr(module, "REF_SECONDS", 10)
    timer = threading.Timer(0.3, lock.unlink)
    timer.start()
    add("b")
    timer.join()
    assert on_branch() == {"a", "b"}


@pytest.mark.parametrize("state", ["empty", "object gone", "commit damaged", "tree gone"])
def test_a_damaged_branch_is_not_taken_for_none(repo: Path, state: str) -> None:
    """After a power cut; a new ledger in its place would make the old one hard to find."""
    add("a")
    sha = tip()
    assert sha
    ref = repo / ".git" / "refs" / "heads" / "mlgit"
    if state == "empty":
        ref.write_text("")
    elif state == "object gone":
        ref.write_text("1" * 40 + "\n")
    else:
        what = sha if state == "commit damaged" else git("rev-parse", "mlgit^{tree}").strip()
        place = repo / ".git" / "objects" / what[:2] / what[2:]
        place.unlink()
        place.touch()
    content = ref.read_text()
    for use in (lambda: add("b"), root):
        with pytest.raises(Unreadable, match=r"cannot read|missing") as caught:
            use()
        assert "git fsck" in (caught.value.hint or "")
    assert ref.read_text() == content


def test_a_ref_that_cannot_be_written(repo: Path) -> None:
    (repo / ".git/refs/heads/mlgit/in").mkdir(parents=True)
    (repo / ".git/refs/heads/mlgit/in/the way.lock").touch()
    with pytest.raises(WriteFailed, match=r"cannot be written: .*non-empty directory"):
        add("a")
    shutil.rmtree(repo / ".git/refs/heads/mlgit")
    hook = repo / ".git/hooks/reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(WriteFailed, match="aborted by hook"):
        add("a")
    assert tip() is None
    hook.unlink()
    add("a")


MOUNTED = """
import sys
from mlgit.errors import WriteFailed
from mlgit.ledger import append, open_repository
try:
    append(open_repository(sys.argv[1]), {"runs/x/b": b"1"}, "add b")
except WriteFailed as error:
    sys.exit(f"refused: {error}")
"""


def in_own_mounts(script: str) -> str:
    """Runs a shell script that may mount and returns its stderr; `add PATH` adds a file."""
    if subprocess.run(("unshare", "-rm", "true"), capture_output=True).returncode:
        pytest.skip("mounting is forbidden here, in a namespace of one's own too")
    script = f'add() {{ {sys.executable} -c "$CODE" "$@"; }}\nset -e\n{script}'
    env = {**os.environ, "CODE": MOUNTED}
    command = ("unshare", "-rm", "sh", "-c", script)
    return subprocess.run(command, env=env, stderr=subprocess.PIPE, encoding="utf-8").stderr


def test_a_full_disk(repo: Path, tmp_path: Path) -> None:
    add("a")
    before = tip()
    disk = tmp_path / "disk"
    disk.mkdir()
    said = in_own_mounts(
        f"mount -t tmpfs -o size=1m tmpfs {disk}; cd {disk}; cp -r {repo} copy\n"
        "head -c 2m /dev/zero > filler 2>/dev/null || true\n"
        "add copy || true; git -C copy rev-parse mlgit >&2; rm filler\n"
        "add copy; git -C copy fsck --strict; git -C copy ls-tree -r --name-only mlgit >&2"
    )
    assert "refused: " in said and "No space left on device" in said
    assert f"{before}\n" in said and "runs/x/b\n" in said


def test_a_read_only_disk(repo: Path) -> None:
    add("a")
    said = in_own_mounts(f"mount --bind {repo} {repo}; mount -o remount,bind,ro {repo}; add {repo}")
    assert "refused: git's object store cannot be written: Read-only file system" in said


# --- git's own housekeeping -----------------------------------------------------------


@contextmanager
def gc_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, ...]]]:
    calls: list[tuple[str, ...]] = []
    real = Repository.git

    def watched(self: Repository, *arguments: str, **more: Any) -> bytes:
        if "gc" in arguments:
            calls.append(arguments)
            return b""
        return real(self, *arguments, **more)

    monkeypatch.setattr(Repository, "git", watched)
    yield calls


@pytest.mark.parametrize(
    ("settings", "loose", "expected"),
    [
        ({}, 26, 0), ({}, 27, 1), ({"gc.auto": "0"}, 300, 0), ({"gc.auto": "-1"}, 300, 0),
        ({"maintenance.auto": "false"}, 300, 0), ({"gc.auto": "512"}, 2, 0),
        ({"gc.auto": "512"}, 3, 1), ({"gc.auto": "7k"}, 28, 0), ({"gc.auto": "nonsense"}, 27, 1),
    ],
)  # fmt: skip
def test_gc_starts_when_loose_objects_have_piled_up(
    repo: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], loose: int, expected: int
) -> None:
    for key, value in settings.items():
        git("config", key, value)
    (repo / ".git/objects/17").mkdir(exist_ok=True)
    for number in range(loose):
        (repo / ".git/objects/17" / f"{number:038x}").touch()
    with gc_calls(monkeypatch) as calls:
        for _ in range(3):
            module.maintain(open_repository())
    assert len(calls) == expected, "and not again within a minute"


def test_gc_while_runs_go_on(repo: Path) -> None:
    git("config", "gc.auto", "1")
    os.makedirs(".git/objects/17", exist_ok=True)
    for number in range(40):
        (repo / ".git/mlgit/maintained").unlink(missing_ok=True)
        add(str(number), content=os.urandom(9))
        if number % 10 == 0:
            git("gc", "--quiet", "--prune=now")
    for _ in range(100):  # the last one works in the background
        if not (repo / ".git/gc.pid").exists():
            break
        time.sleep(0.1)
    assert on_branch() == {str(number) for number in range(40)}
    assert list((repo / ".git/objects/pack").glob("*.pack"))
    fsck()


def test_housekeeping_that_fails_fails_no_run(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("config", "gc.auto", "1")
    for name in ("refuses", "cannot look"):
        if name == "cannot look":
            monkeypatch.setattr(os, "listdir", lambda _: exec("raise PermissionError(13, 'no')"))
        add(name)
    assert on_branch() == {"refuses", "cannot look"}
