"""Uncommitted code is kept as it is, and the user's index and files are only read."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import git, users_own

from mlgit.errors import WriteFailed
from mlgit.ledger import open_repository, snapshot
from mlgit.ledger.snapshot import Code, capture, extend

MIB = 1 << 20


def take(*used: Path | str, path: Path | str = ".", keep: bool = True) -> Code:
    """Captures; and sees to it that nothing of the user's is touched."""
    repository = open_repository(path)
    top = repository.work_tree or Path(path)
    before = users_own(top)
    code = capture(repository, [Path(name).absolute() for name in used], keep)
    assert users_own(top) == before
    left = [name for name in os.listdir(repository.state) if "snapshot" in name]
    assert not left
    if code.snapshot:
        git("fsck", "--strict", "--no-dangling", cwd=path)
    return code


def changes(code: Code, path: Path | str = ".") -> dict[str, str]:
    """Returns what the snapshot changes: by path, status and new mode."""
    if code.snapshot is None:
        return {}
    empty = git("hash-object", "-t", "tree", "-w", "--stdin", cwd=path).strip()
    base = code.commit or empty
    command = ("diff-tree", "-r", "-z", "--no-renames", base, code.snapshot)
    fields = git(*command, cwd=path).split("\0")
    heads, paths = fields[:-1:2], fields[1::2]
    return {
        name: f"{head.split()[4]} {head.split()[1]}"
        for head, name in zip(heads, paths, strict=True)
    }


def held(code: Code, name: str, path: Path | str = ".") -> bytes:
    return subprocess.check_output(("git", "show", f"{code.snapshot}:{name}"), cwd=path)


# --- nothing to keep ------------------------------------------------------------------


def test_a_clean_work_tree(repo: Path) -> None:
    head = git("rev-parse", "HEAD").strip()
    assert take() == Code(head, "main", None, [])
    assert take("train.py", "README.md", ".", "/etc/passwd") == Code(head, "main", None, [])
    git("checkout", "--quiet", "--detach")
    assert take() == Code(head, None, None, [])


def test_touched_but_the_same(repo: Path) -> None:
    os.utime("train.py", (1, 1))
    assert take().snapshot is None


def test_staged_and_taken_back(repo: Path) -> None:
    """The index differs from HEAD, the work tree does not: the code that runs is HEAD's."""
    (repo / "train.py").write_text("print(2)\n")
    git("add", "train.py")
    (repo / "train.py").write_text('print("training")\n')
    assert take().snapshot is None


def test_without_a_work_tree(repo: Path, bare: Callable[..., Path]) -> None:
    for path in (bare(), repo / ".git"):
        assert capture(open_repository(path), [repo / "train.py"]) == Code(None, None, None, [])
        code = Code(None, None, None, [])
        assert extend(open_repository(path), code, [repo / "train.py"]) is code


def test_a_repository_without_commits(tmp_path: Path) -> None:
    path = tmp_path / "new"
    git("init", "--quiet", path)
    assert take(path=path) == Code(None, "main", None, [])
    (path / "a.py").write_text("1\n")
    (path / "b.py").write_text("2\n")
    git("add", "a.py", cwd=path)
    code = take(path / "b.py", path=path)
    assert (code.commit, code.branch) == (None, "main")
    assert changes(code, path) == {"a.py": "A 100644", "b.py": "A 100644"}
    assert git("rev-list", "--count", str(code.snapshot), cwd=path).strip() == "1"


# --- every kind of change -------------------------------------------------------------


def edited(repo: Path) -> dict[str, str]:
    (repo / "train.py").write_text("print(2)\n")
    return {"train.py": "M 100644"}


def staged(repo: Path) -> dict[str, str]:
    (repo / "train.py").write_text("print(2)\n")
    (repo / "new.py").write_text("3\n")
    git("add", "--all")
    (repo / "new.py").write_text("4\n")
    return {"train.py": "M 100644", "new.py": "A 100644"}


def staged_and_deleted(repo: Path) -> dict[str, str]:
    (repo / "new.py").write_text("3\n")
    git("add", "--all")
    (repo / "new.py").unlink()
    (repo / "train.py").write_text("print(2)\n")
    return {"train.py": "M 100644"}


def deleted(repo: Path) -> dict[str, str]:
    (repo / "train.py").unlink()
    git("rm", "--quiet", "README.md")
    return {"train.py": "D 000000", "README.md": "D 000000"}


def deleted_from_the_index_only(repo: Path) -> dict[str, str]:
    """Untracked then, and not named; so it is gone, as for anybody who commits now."""
    git("rm", "--quiet", "--cached", "train.py")
    return {}


def renamed(repo: Path) -> dict[str, str]:
    git("mv", "train.py", "better.py")
    return {"train.py": "D 000000", "better.py": "A 100644"}


def executable(repo: Path) -> dict[str, str]:
    (repo / "train.py").chmod(0o755)
    return {"train.py": "M 100755"}


def link(repo: Path) -> dict[str, str]:
    (repo / "train.py").unlink()
    (repo / "train.py").symlink_to("/etc/passwd")
    (repo / "dangling").symlink_to("nowhere")
    git("add", "dangling")
    return {"train.py": "T 120000", "dangling": "A 120000"}


def intended(repo: Path) -> dict[str, str]:
    (repo / "new.py").write_text("3\n")
    git("add", "--intent-to-add", "new.py")
    return {"new.py": "A 100644"}


def conflicted(repo: Path) -> dict[str, str]:
    git("branch", "other")
    (repo / "train.py").write_text("print(1)\n")
    git("rm", "--quiet", "README.md")
    git("commit", "--quiet", "--all", "--message", "ours")
    git("switch", "--quiet", "other")
    (repo / "train.py").write_text("print(2)\n")
    (repo / "README.md").write_text("changed\n")
    git("commit", "--quiet", "--all", "--message", "theirs")
    subprocess.run(("git", "merge", "--quiet", "main"), capture_output=True)
    assert git("ls-files", "--unmerged")
    return {"train.py": "M 100644"}


def a_folder_for_a_file(repo: Path) -> dict[str, str]:
    (repo / "train.py").unlink()
    (repo / "train.py").mkdir()
    (repo / "train.py" / "main.py").write_text("5\n")
    git("add", "train.py/main.py")
    return {"train.py": "D 000000", "train.py/main.py": "A 100644"}


def an_untracked_folder_for_a_file(repo: Path) -> dict[str, str]:
    (repo / "train.py").unlink()
    (repo / "train.py").mkdir()
    (repo / "train.py" / "main.py").write_text("5\n")
    return {"train.py": "D 000000"}


def _with_a_folder(repo: Path) -> None:
    (repo / "src").mkdir()
    for name in ("a.py", "b.py"):
        (repo / "src" / name).write_text("1\n")
    git("add", "src")
    git("commit", "--quiet", "--message", "src")


def a_file_for_a_folder(repo: Path) -> dict[str, str]:
    _with_a_folder(repo)
    shutil.rmtree("src")
    (repo / "src").write_text("now a file\n")
    git("add", "src")
    return {"src/a.py": "D 000000", "src/b.py": "D 000000", "src": "A 100644"}


def a_link_for_a_folder(repo: Path) -> dict[str, str]:
    """Files are still there by their paths, but beyond the link, and maybe outside."""
    _with_a_folder(repo)
    (repo / "src").rename(repo.parent / "outside")
    (repo / "src").symlink_to(repo.parent / "outside")
    return {"src/a.py": "D 000000", "src/b.py": "D 000000"}


def a_link_for_a_folder_staged(repo: Path) -> dict[str, str]:
    expected = a_link_for_a_folder(repo)
    git("rm", "-r", "--quiet", "--cached", "src")
    git("add", "src")
    return {**expected, "src": "A 120000"}


def odd_names(repo: Path) -> dict[str, str]:
    names = ["with space", "ünï", "new\nline", "tab\t", '"quoted"', "-x", "*", "a\\b", ":(top)x"]
    for name in names:
        (repo / name).write_text("6\n")
    git("add", "--all")
    return dict.fromkeys(names, "A 100644")


@pytest.mark.parametrize(
    "change",
    [
        edited, staged, staged_and_deleted, deleted, deleted_from_the_index_only, renamed,
        executable, link, intended, conflicted, a_folder_for_a_file, an_untracked_folder_for_a_file,
        a_file_for_a_folder, a_link_for_a_folder, a_link_for_a_folder_staged, odd_names,
    ],
)  # fmt: skip
@pytest.mark.parametrize("inside", [True, False], ids=["in a subfolder", "at the top"])
def test_every_kind_of_change(
    repo: Path, change: Callable[[Path], dict[str, str]], inside: bool
) -> None:
    expected = change(repo)
    (repo / "other folder").mkdir()
    code = take(path="other folder" if inside else ".")
    assert code.commit == git("rev-parse", "HEAD").strip()
    assert changes(code) == expected
    assert code.skipped == []
    for name, how in expected.items():
        if how.endswith(("100644", "100755")):
            assert held(code, name) == (repo / name).read_bytes()
    if expected:
        assert (
            git("log", "-1", "--format=%P %an", str(code.snapshot))
            == f"{code.commit} Ada Example\n"
        )
        assert "Mlgit-Snapshot: true" in git("log", "-1", "--format=%B", str(code.snapshot))


@pytest.mark.parametrize("name", ["with space", "größe", "new\nline", "-x"])
def test_any_place(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    git("init", "--quiet", path)
    (path / "a.py").write_text("1\n")
    git("add", ".", cwd=path)
    git("commit", "--quiet", "--message", "first", cwd=path)
    (path / "a.py").write_text("2\n")
    (path / "b.py").write_text("3\n")
    assert changes(take(path / "b.py", path=path), path) == {"a.py": "M 100644", "b.py": "A 100644"}


def test_in_a_linked_worktree(repo: Path, tmp_path: Path) -> None:
    git("worktree", "add", "--quiet", "-b", "side", tmp_path / "tree")
    (repo / "train.py").write_text("not mine\n")
    (tmp_path / "tree" / "train.py").write_text("mine\n")
    code = take(path=tmp_path / "tree")
    assert (code.branch, held(code, "train.py")) == ("side", b"mine\n")


# --- submodules and other repositories ------------------------------------------------


@pytest.fixture
def library(repo: Path) -> Iterator[Path]:
    """A repository of two commits, which is a submodule `sub` of the project at the first."""
    path = repo.parent / "library"
    git("init", "--quiet", path)
    (path / "lib.py").write_text("1\n")
    git("add", ".", cwd=path)
    git("commit", "--quiet", "--message", "first", cwd=path)
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", path, "sub")
    git("commit", "--quiet", "--message", "sub")
    yield path


def test_a_submodule_at_another_commit(repo: Path, library: Path) -> None:
    assert take("sub/lib.py") == Code(git("rev-parse", "HEAD").strip(), "main", None, [])
    git("commit", "--quiet", "--allow-empty", "--message", "second", cwd="sub")
    code = take("sub/lib.py")
    assert changes(code) == {"sub": "M 160000"}
    assert git("rev-parse", f"{code.snapshot}:sub") == git("rev-parse", "HEAD", cwd="sub")


def test_a_submodule_with_changes_of_its_own(repo: Path, library: Path) -> None:
    (repo / "sub" / "lib.py").write_text("2\n")
    (repo / "sub" / "untracked").touch()
    code = take()
    assert code.snapshot is None
    reason = "a submodule with uncommitted changes of its own"
    assert code.skipped == [{"path": "sub", "reason": reason}]


def test_a_submodule_that_is_gone(repo: Path, library: Path) -> None:
    shutil.rmtree("sub")
    assert changes(take()) == {"sub": "D 000000"}


@pytest.mark.parametrize("used", ["vendor/lib/a.py", "vendor/lib", "vendor", "."])
def test_a_repository_inside_this_one(repo: Path, used: str) -> None:
    path = repo / "vendor" / "lib"
    git("init", "--quiet", path)
    (path / "a.py").touch()
    git("add", ".", cwd=path)
    git("commit", "--quiet", "--message", "x", cwd=path)
    code = take(used)
    assert code.snapshot is None
    assert code.skipped == [{"path": "vendor/lib", "reason": "a git repository of its own"}]


# --- untracked files that the run uses ------------------------------------------------


@pytest.fixture
def untracked(repo: Path) -> Path:
    (repo / ".git" / "info").mkdir(exist_ok=True)
    (repo / ".git" / "info" / "exclude").write_text("*.log\nbuild/\n")
    for name in ("a.py", "deep/er/b.py", "deep/c.py", "x.log", "build/d.py", "ünï *.py", "*"):
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text(name)
    (repo / "link.py").symlink_to("a.py")
    return repo


@pytest.mark.parametrize(
    ("used", "added", "ignored"),
    [
        ([], [], []),
        (["a.py", "train.py"], ["a.py"], []),
        (["deep"], ["deep/er/b.py", "deep/c.py"], []),
        (["deep/er", "deep/er/b.py"], ["deep/er/b.py"], []),
        (["*"], ["*"], []),
        (["ünï *.py"], ["ünï *.py"], []),
        (["link.py"], ["link.py"], []),
        (["x.log"], [], ["x.log"]),
        (["build/d.py", "build"], [], ["build/d.py", "build"]),
        (["missing.py", "/etc/passwd", ".git/config", ".git"], [], []),
        (["deep/../a.py"], ["a.py"], []),
        (["deep/.."], ["*", "a.py", "deep/er/b.py", "deep/c.py", "link.py", "ünï *.py"], []),
        (["."], ["*", "a.py", "deep/er/b.py", "deep/c.py", "link.py", "ünï *.py"], []),
    ],
)
def test_used_files_are_kept(
    untracked: Path, used: list[str], added: list[str], ignored: list[str]
) -> None:
    code = take(*used)
    modes = {name: "120000" if name == "link.py" else "100644" for name in added}
    assert changes(code) == {name: f"A {mode}" for name, mode in modes.items()}
    assert code.skipped == [{"path": name, "reason": "ignored by git"} for name in ignored]


def test_a_file_used_through_a_linked_folder(untracked: Path) -> None:
    (untracked / "shortcut").symlink_to("deep")
    (untracked.parent / "far").symlink_to(untracked / "deep")
    assert changes(take("shortcut/c.py")) == {"deep/c.py": "A 100644"}
    assert changes(take(untracked.parent / "far" / "c.py")) == {"deep/c.py": "A 100644"}


def test_thousands_of_used_files(repo: Path) -> None:
    names = [f"module_{number:04}_{'x' * 60}.py" for number in range(1500)]
    for name in names:
        (repo / name).touch()
    assert len(changes(take(*names))) == 1500


def test_extending_keeps_the_rest_as_it_was_then(untracked: Path) -> None:
    (untracked / "train.py").write_text("then\n")
    repository = open_repository()
    first = take("a.py")
    (untracked / "train.py").write_text("later\n")
    (untracked / "a.py").write_text("later\n")
    before = users_own(untracked)
    used = [untracked / name for name in ("deep/c.py", "x.log", "train.py")]
    second = extend(repository, first, used)
    assert users_own(untracked) == before
    assert changes(second).keys() == {"train.py", "a.py", "deep/c.py"}
    assert (held(second, "train.py"), held(second, "a.py")) == (b"then\n", b"a.py")
    assert git("rev-parse", f"{second.snapshot}^").strip() == first.commit
    assert second.skipped == [{"path": "x.log", "reason": "ignored by git"}]
    assert extend(repository, second, used) == second
    assert extend(repository, second, []) == second
    clean = Code(first.commit, "main", None, [])
    assert changes(extend(repository, clean, used)) == {"deep/c.py": "A 100644"}


# --- what is left out -----------------------------------------------------------------


def test_large_files_and_too_much_in_all(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "TOTAL_LIMIT", 3 * MIB)
    for name, size in {"a.py": MIB, "b.py": MIB + 1, "c.py": MIB, "d.py": MIB, "e.py": 1}.items():
        (repo / name).write_bytes(b"x" * size)
    (repo / "README.md").write_bytes(b"y" * (MIB - 1))
    (repo / "train.py").write_bytes(b"z" * (MIB + 1))
    code = take("a.py", "b.py", "c.py", "d.py", "e.py")
    assert changes(code).keys() == {"README.md", "a.py", "c.py", "e.py"}
    assert {entry["path"]: entry["reason"] for entry in code.skipped} == {
        "b.py": "larger than 1 MiB",
        "d.py": "more than 3 MiB of uncommitted work in all",
        "train.py": "larger than 1 MiB",
    }
    assert held(code, "train.py") == b'print("training")\n', "as HEAD has it"


def test_secrets(repo: Path) -> None:
    token = "gh" + "p_" + "a1B2" * 10  # no such literal stands here
    (repo / "train.py").write_text(f"token = '{token}'\n")
    (repo / "new.py").write_text(token)
    (repo / "fine.py").write_text("1\n")
    code = take("new.py", "fine.py")
    assert changes(code) == {"fine.py": "A 100644"}
    reason = "seems to hold a secret (GitHub token)"
    assert code.skipped == [{"path": name, "reason": reason} for name in ("new.py", "train.py")]
    assert token not in str(code.skipped)
    found = subprocess.run(
        ("git", "cat-file", "--batch-all-objects", "--batch"), capture_output=True
    )
    assert token.encode() not in found.stdout, "it is in no object at all"


def test_what_is_no_plain_file(repo: Path) -> None:
    """A pipe is opened by nobody: reading it would wait for ever."""
    (repo / "train.py").unlink()
    os.mkfifo(repo / "train.py")
    os.mkfifo(repo / "pipe")
    (repo / "README.md").write_text("2\n")
    code = take("pipe", "train.py")
    assert changes(code) == {"README.md": "M 100644"}
    assert code.skipped == [{"path": "train.py", "reason": "no plain file"}]


def test_a_file_that_cannot_be_read(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repo / "train.py").write_text("2\n")
    (repo / "README.md").write_text("2\n")
    real = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "train.py":
            raise PermissionError(13, "Permission denied")
        return real(path)

    repository = open_repository()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        code = capture(repository)
    assert changes(code) == {"README.md": "M 100644"}
    assert code.skipped == [{"path": "train.py", "reason": "cannot be read: Permission denied"}]


def test_nothing_is_written_if_code_is_not_to_be_kept(repo: Path) -> None:
    (repo / "train.py").write_text("2\n")
    (repo / "new.py").write_text("3\n")
    before = sorted((repo / ".git" / "objects").rglob("*"))
    code = take("new.py", keep=False)
    reason = "mlgit.code is 'sha'"
    assert code.skipped == [{"path": name, "reason": reason} for name in ("new.py", "train.py")]
    assert code.snapshot is None
    assert sorted((repo / ".git" / "objects").rglob("*")) == before


def test_names_that_are_no_text(repo: Path) -> None:
    odd = os.fsdecode(b"d\xe9.py")
    (repo / odd).write_text("1\n")
    large = os.fsdecode(b"gr\xf6sse.py")
    (repo / large).write_bytes(b"x" * (MIB + 1))
    code = take(odd, large)
    assert changes(code) == {odd: "A 100644"}
    assert code.skipped == [{"path": "gr?sse.py", "reason": "larger than 1 MiB"}]


# --- settings that could get in the way -----------------------------------------------


def test_line_ends_and_filters(repo: Path) -> None:
    """What is kept is what a commit would hold, so that a checkout gives the same file."""
    (repo / ".gitattributes").write_text(
        "*.txt text eol=crlf\n*.up filter=upper\n*.py text=auto\n*.bin -text\n"
    )
    git("config", "filter.upper.clean", "tr a-z A-Z")
    git("config", "core.safecrlf", "true")
    git("config", "core.autocrlf", "input")
    for name in ("a.txt", "b.up", "c.py", "d.bin"):
        (repo / name).write_bytes(b"one\r\ntwo\n")
    code = take("a.txt", "b.up", "c.py", "d.bin", ".gitattributes")
    contents = [held(code, name) for name in ("a.txt", "b.up", "c.py", "d.bin")]
    assert contents == [b"one\ntwo\n", b"ONE\nTWO\n", b"one\ntwo\n", b"one\r\ntwo\n"]


def test_a_filter_that_fails(repo: Path) -> None:
    (repo / ".gitattributes").write_text("*.py filter=broken\n")
    git("config", "filter.broken.clean", "false")
    git("config", "filter.broken.required", "true")
    (repo / "new.py").write_text("1\n")
    with pytest.raises(WriteFailed, match=r"the uncommitted work cannot be kept: [^$]*broken"):
        capture(open_repository(), [repo / "new.py"])
    assert not list((repo / ".git").glob("mlgit/snapshot*"))


@pytest.mark.parametrize("index_is_sparse", ["true", "false"])
def test_sparse_checkout(repo: Path, index_is_sparse: str) -> None:
    for name in ("in/a.py", "out/b.py", "out/deep/c.py"):
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text("1\n")
    git("add", ".")
    git("commit", "--quiet", "--message", "folders")
    git("config", "index.sparse", index_is_sparse)
    git("sparse-checkout", "set", "--cone", "in")
    assert not (repo / "out").exists()
    assert take().snapshot is None
    (repo / "in" / "a.py").write_text("2\n")
    (repo / "in" / "new.py").write_text("3\n")
    code = take("in/new.py")
    assert changes(code) == {"in/a.py": "M 100644", "in/new.py": "A 100644"}
    assert held(code, "out/deep/c.py") == b"1\n"


def test_split_index_monitor_and_hooks(repo: Path, tmp_path: Path) -> None:
    hook = repo / ".git" / "hooks" / "post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    monitor = tmp_path / "monitor"
    monitor.write_text("#!/bin/sh\nprintf 'token\\0/\\0'\n")
    monitor.chmod(0o755)
    settings = {"core.splitIndex": "true", "core.untrackedCache": "true", "index.version": "4"}
    for key, value in (settings | {"core.fsmonitor": str(monitor)}).items():
        git("config", key, value)
    git("update-index", "--split-index", "--untracked-cache")
    (tmp_path / "ran").unlink()
    shared = {path.name for path in (repo / ".git").glob("sharedindex*")}
    (repo / "train.py").write_text("2\n")
    (repo / "new.py").write_text("3\n")
    assert changes(take("new.py")) == {"train.py": "M 100644", "new.py": "A 100644"}
    assert not (tmp_path / "ran").exists()
    assert {path.name for path in (repo / ".git").glob("sharedindex*")} == shared


def test_settings_of_status_change_nothing(repo: Path) -> None:
    settings = {
        "status.relativePaths": "true", "status.renames": "copies", "status.short": "true",
        "status.showUntrackedFiles": "all", "status.branch": "false", "core.quotePath": "true",
        "color.ui": "always", "diff.ignoreSubmodules": "all", "status.showStash": "true",
    }  # fmt: skip
    for key, value in settings.items():
        git("config", key, value)
    expected = renamed(repo)
    (repo / "in").mkdir()
    assert changes(take(path="in")) == expected


# --- protection -----------------------------------------------------------------------


def test_protected_until_released(repo: Path) -> None:
    (repo / "train.py").write_text("2\n")
    repository = open_repository()
    code = take()
    assert code.snapshot
    snapshot.protect(repository, "01kb2q6v6r8m3x0c5t1w9y7zab", code.snapshot)
    git("reflog", "expire", "--expire=now", "--all")
    git("gc", "--quiet", "--prune=now")
    assert held(code, "train.py") == b"2\n"
    for _ in range(2):
        snapshot.release(repository, "01kb2q6v6r8m3x0c5t1w9y7zab")
    assert "refs/mlgit" not in git("for-each-ref")
    git("gc", "--quiet", "--prune=now")
    assert subprocess.run(("git", "cat-file", "-e", code.snapshot), capture_output=True).returncode
    with pytest.raises(WriteFailed, match="a reference cannot be written"):
        snapshot.protect(repository, "01kb2q6v6r8m3x0c5t1w9y7zab", code.snapshot)


# --- where the code is shared ---------------------------------------------------------

PASSWORD = "hunter" + "2"
URLS: list[tuple[str, str | None]] = [
    ("https://example.org/team/repo.git", "https://example.org/team/repo.git"),
    (f"https://ada:{PASSWORD}@example.org/repo", "https://example.org/repo"),
    (f"https://{PASSWORD}@example.org/repo", "https://example.org/repo"),
    (f"HTTPS://ada:{PASSWORD}@example.org/repo", "HTTPS://example.org/repo"),
    (f"https://ada:a@{PASSWORD}@example.org:8443/repo", "https://example.org:8443/repo"),
    (f"https://ada:a:{PASSWORD}@example.org/repo", "https://example.org/repo"),
    (f"https://ada:%2F{PASSWORD}%40@example.org/repo", "https://example.org/repo"),
    (f"https://example.org/repo?token={PASSWORD}", "https://example.org/repo"),
    (f"https://example.org/repo#{PASSWORD}", "https://example.org/repo"),
    (f"https://ada:{PASSWORD}@example.org?x=1", "https://example.org"),
    (f"https://ada:{PASSWORD}/x@example.org/repo", None),
    (f"https://ada:{PASSWORD}#x@example.org/repo", None),
    (f"https://ada:{PASSWORD}?x@example.org/repo", None),
    (f"https://{PASSWORD}/x@example.org/repo", None),
    ("https://[2001:db8::1]:8443/repo", "https://[2001:db8::1]:8443/repo"),
    ("http://localhost:3000/repo", "http://localhost:3000/repo"),
    ("ssh://git@example.org:22/repo.git", "ssh://example.org:22/repo.git"),
    ("git://example.org/repo", "git://example.org/repo"),
    ("git@github.com:team/repo.git", "github.com:team/repo.git"),
    ("github.com:team/repo.git", "github.com:team/repo.git"),
    ("gh:team/repo", "gh:team/repo"),
    (f"ada:{PASSWORD}@example.org:repo", None),
    ("file:///home/ada/repo", None), ("FILE:///home/ada/repo", None),
    ("/home/ada/repo", None), ("../repo", None), ("./a:b", None), ("~/repo", None),
    ("folder/a:b", None), ("repo", None), ("C:\\Users\\ada\\repo", None), ("C:/Users/ada", None),
    ("\\\\server\\share", None), ("", None),
    (f"ext::sh -c 'curl {PASSWORD}'", None), (f"rclone::https://{PASSWORD}@x/y", None),
    (f"codecommit::us-east-1://{PASSWORD}@repo", None), ("s3://bucket/key", None),
    (f"host name:{PASSWORD}", None),
]  # fmt: skip


@pytest.mark.parametrize(("url", "shown"), URLS)
def test_remote_urls_without_what_is_private(repo: Path, url: str, shown: str | None) -> None:
    git("config", "remote.origin.url", url)
    found = snapshot.remote_url(open_repository())
    assert found == shown
    assert PASSWORD not in str(found) and "ada" not in str(found)


def test_no_remote_no_url(repo: Path) -> None:
    assert snapshot.remote_url(open_repository()) is None
    git("config", "mlgit.remote", "gone")
    assert snapshot.remote_url(open_repository()) is None
