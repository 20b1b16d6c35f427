"""Opening repositories of every kind, refusing what cannot be used, and git's configuration."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import git, users_own

from mlgit.errors import Invalid, MlgitError, NotARepository, NotFound, Unreadable, WriteFailed
from mlgit.ledger import Ledger, append, open_repository, repository
from mlgit.ledger.objects import Store
from mlgit.ledger.repository import GitFailed

FILE = {"experiments/e/facts/note.txt": b"content\n"}


def refused(path: Path | str = ".") -> NotARepository:
    with pytest.raises(NotARepository) as caught:
        open_repository(path)
    assert caught.value.hint, "there is something to do about each"
    return caught.value


# --- where it is --------------------------------------------------------------------------


def test_from_the_top_a_subfolder_and_inside_git(repo: Path) -> None:
    (repo / "a" / "b").mkdir(parents=True)
    for start, work_tree in ((".", repo), ("a/b", repo), (".git", None), (".git/refs", None)):
        opened = open_repository(start)
        assert opened.start == repo / start
        assert (opened.work_tree, opened.git_dir) == (work_tree, repo / ".git")
        assert opened.common_dir == repo / ".git"
        assert opened.objects == repo / ".git" / "objects"


def test_through_links(repo: Path, tmp_path: Path) -> None:
    (repo / "folder").mkdir()
    (tmp_path / "link").symlink_to(repo)
    (tmp_path / "deep").symlink_to(repo / "folder")
    (tmp_path / "inside").symlink_to(repo / ".git")
    assert open_repository(tmp_path / "link").work_tree == repo
    assert open_repository(tmp_path / "deep").work_tree == repo
    assert open_repository(tmp_path / "inside").work_tree is None


@pytest.mark.parametrize(
    "name", ["with space", "größe 客户", "new\nline", "ends\n", "--next", "-x"]
)
def test_any_path(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    git("init", "--quiet", path)
    (path / "in").mkdir()
    opened = open_repository(path / "in")
    assert (opened.work_tree, opened.objects) == (path, path / ".git" / "objects")
    append(opened, FILE, "message")
    with Ledger(path / "in") as ledger:
        assert ledger.exists


def test_linked_worktrees_share_one_ledger(repo: Path, tmp_path: Path) -> None:
    git("worktree", "add", "--quiet", tmp_path / "tree")
    opened = open_repository(tmp_path / "tree")
    assert opened.work_tree == tmp_path / "tree"
    assert opened.common_dir == repo / ".git"
    assert opened.git_dir == repo / ".git" / "worktrees" / "tree"
    assert opened.objects == repo / ".git" / "objects"
    assert opened.state == repo / ".git" / "mlgit"


def test_bare(bare: Callable[..., Path]) -> None:
    path = bare()
    for start in (path, path / "refs"):
        opened = open_repository(start)
        assert (opened.work_tree, opened.common_dir) == (None, path)


def test_submodule(repo: Path, tmp_path: Path) -> None:
    git("init", "--quiet", tmp_path / "library")
    git("commit", "--quiet", "--allow-empty", "-m", "first", cwd=tmp_path / "library")
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", tmp_path / "library", "sub")
    opened = open_repository("sub")
    assert opened.work_tree == repo / "sub"
    assert opened.common_dir == repo / ".git" / "modules" / "sub"


def test_in_a_hook(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """git sets GIT_DIR for hooks, often a relative one, and GIT_INDEX_FILE for some."""
    script = "import mlgit.ledger as l; l.append(l.open_repository(), {'x': b'1'}, 'in a hook')"
    hook = repo / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{script}"\n')
    hook.chmod(0o755)
    (repo / "train.py").write_text("print(2)\n")
    git("commit", "--quiet", "--all", "--message", "second")
    assert git("show", "mlgit:x") == "1"
    assert git("status", "--porcelain") == ""
    monkeypatch.setenv("GIT_DIR", ".git")
    assert open_repository().work_tree == repo
    (repo / "sub").mkdir()
    assert "GIT_DIR" in str(refused("sub"))


def test_with_git_dir_and_work_tree_apart(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("GIT_DIR", str(repo / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(elsewhere))
    assert open_repository(tmp_path).work_tree == elsewhere
    assert open_repository(elsewhere).common_dir == repo / ".git"


# --- what is refused ------------------------------------------------------------------------


def test_no_repository(tmp_path: Path) -> None:
    assert "git init" in str(refused(tmp_path))
    with pytest.raises(NotARepository, match="there is no folder"):
        open_repository(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(NotARepository, match="there is no folder"):
        open_repository(tmp_path / "file")


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "deleted" in refused().message


def test_no_git(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git is not installed" in refused().message


def test_sha256(tmp_path: Path) -> None:
    git("init", "--quiet", "--object-format=sha256", tmp_path / "new")
    assert "sha256" in refused(tmp_path / "new").message


@pytest.mark.parametrize("name", ["mine", "a 'quoted' name", "new\nline"])
def test_somebody_elses(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint is a command that helps as it stands, also from a subfolder."""
    path = tmp_path / name
    git("init", "--quiet", path)
    (path / "sub").mkdir()
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    hint = refused(path / "sub").hint or ""
    subprocess.run(["sh", "-c", hint.partition(": ")[2]], check=True)
    assert open_repository(path / "sub").work_tree == path


def test_a_config_git_cannot_read(repo: Path) -> None:
    (repo / ".git" / "config").write_text("[core\n")
    with pytest.raises(NotARepository, match="bad config"):
        open_repository()


# --- configuration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("auto = 12", 12), ("auto = 7k", 7168), ("auto = 1M", 1 << 20), ("auto = -1", -1),
        ("auto = 0", 0), ("auto = many", 6700), ("auto =", 6700), ("auto", 6700), ("", 6700),
    ],
)  # fmt: skip
def test_numbers(repo: Path, line: str, expected: int) -> None:
    with (repo / ".git" / "config").open("a") as file:
        file.write(f"[gc]\n{line}\n")
    assert open_repository().number("gc.auto", 6700) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x = true", True), ("x", True), ("x = on", True), ("x = 1", True), ("x = YES", True),
        ("x =", False), ("x = no", False), ("x = Off", False), ("x = 0", False), ("", None),
    ],
)  # fmt: skip
def test_flags(repo: Path, line: str, expected: bool | None) -> None:
    with (repo / ".git" / "config").open("a") as file:
        file.write(f"[a]\n{line}\n")
    for default in (True, False):
        assert open_repository().flag("a.x", default) is (default if expected is None else expected)


NAMES = (
    *("runs", "mlgit/runs", "a.b", "a-b", "a@b", "{a}", "ünï", "a.lockx", "x/HEAD", "a,b#c"),
    *("a=b&c;d(e)", "@", "@a", "a{@", "a/b./c", "a'b", 'a"b', "$a", "%a", "a/-b", "lock"),
    *(".a", "a.", "a/", "/a", "a//b", "a/.b", "a..b", "a.lock", "a.lock/b", "a~b", "a^b", "a:b"),
    *("a?b", "a*b", "a[b", "a\\b", "a@{b", "a b", "a\tb", "a\nb", "a\n", "a\x7f", "", "\n", "/"),
    *("HEAD", "-a"),
)


@pytest.mark.parametrize("name", NAMES)
def test_branch_names_are_those_of_git(repo: Path, name: str) -> None:
    git("config", "mlgit.branch", name)
    check = ["git", "check-ref-format", f"refs/heads/{name}"]
    allowed = subprocess.run(check).returncode == 0 and name not in ("HEAD", "-a")
    if allowed:
        append(open_repository(), FILE, "message")
        assert f"refs/heads/{name}\n" in git("for-each-ref", "--format=%(refname)")
    else:
        with pytest.raises(Invalid, match=r"git config mlgit.branch mlgit"), Ledger() as ledger:
            assert ledger.root
        with pytest.raises(Invalid, match=r"git config mlgit.branch mlgit"):
            append(open_repository(), FILE, "message")


@pytest.mark.parametrize(
    ("remotes", "chosen", "expected"),
    [
        ([], None, None), (["a"], None, "a"), (["a", "b"], None, None),
        (["a", "origin"], None, "origin"), (["a", "b"], "b", "b"), ([], "gone", "gone"),
        (["with.dot/slash"], None, "with.dot/slash"),
    ],
)  # fmt: skip
def test_the_remote(
    repo: Path, remotes: list[str], chosen: str | None, expected: str | None
) -> None:
    for name in remotes:
        git("config", f"remote.{name}.url", "/somewhere")
    if chosen:
        git("config", "mlgit.remote", chosen)
    opened = open_repository()
    assert opened.remotes == remotes
    assert opened.remote == expected
    with Ledger() as ledger, pytest.raises(NotFound, match="no runs"):
        assert ledger.root


def test_who(repo: Path, hermetic: Path) -> None:
    assert open_repository().person.document() == {
        "name": "Ada Example", "email": "ada@example.org",
    }  # fmt: skip
    git("config", "user.name", "Łukasz O'Hara, PhD")
    assert open_repository().person.name == "Łukasz O'Hara, PhD"
    git("config", "user.name", os.fsdecode(b"Ren\xe9"))
    assert open_repository().person.name == "Ren?"


def test_nobody(repo: Path, hermetic: Path) -> None:
    (hermetic / ".gitconfig").write_text("[user]\n useConfigOnly = true\n")
    with pytest.raises(NotARepository, match=r"git config --global user.name") as caught:
        append(open_repository(), FILE, "message")
    assert "who you are" in caught.value.message
    assert git("for-each-ref", "refs/heads/mlgit") == ""


# --- running git ---------------------------------------------------------------------------


def test_looking_does_not_touch_the_index(repo: Path) -> None:
    """Status would write what it learned of times; with optional locks off it may not."""
    before = users_own(repo)
    os.utime(repo / "train.py")
    assert open_repository().git("status", "--porcelain") == b""
    assert users_own(repo) == before


def test_messages_are_in_english(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    with pytest.raises(GitFailed, match="unknown revision or path"):
        open_repository().git("log", "nothing")
    assert isinstance(GitFailed((), 1, ""), MlgitError)


def test_endless_listings(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_repository()
    assert opened.listing("ls-tree", "-z", "--name-only", "HEAD") == [b"README.md", b"train.py"]
    with pytest.raises(Unreadable, match="cannot list"):
        opened.listing("ls-tree", "-z", "nothing")
    monkeypatch.setattr(repository, "LISTING_LIMIT", 5)
    with pytest.raises(Unreadable, match="more paths"):
        opened.listing("ls-tree", "-z", "--name-only", "HEAD")


def test_what_git_says_meanwhile_is_shown_tamed_and_what_it_complains_of_is_not(
    repo: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    says = r"printf 'Sending: 50%%\rSending: 99%%\nfatal: no\nerror' >&2; sleep 0.1"
    asks = r"printf ': no\nhint: ask\nremote: \033[31m\302\233go on? ' >&2; sleep 0.1"
    command = f"alias.talk=!{says}; {asks}; echo yes; exit 3"
    for show in (True, False):
        done = open_repository().talk("-c", command, "talk", show=show)
        assert (done.returncode, done.stdout) == (3, "yes\n")
        assert done.stderr.splitlines() == [
            *("Sending: 50%", "Sending: 99%", "fatal: no", "error: no", "hint: ask"),
            "remote: \033[31m\x9bgo on? ",
        ]
        shown = "Sending: 50%\rSending: 99%\nremote: [31mgo on? " if show else ""
        assert capfd.readouterr().err == shown


# --- shared with others ------------------------------------------------------------------------


@pytest.mark.parametrize("shared", ["group", "umask"])
def test_a_shared_repository_stays_shared(tmp_path: Path, shared: str) -> None:
    """git makes folders that a group may write to; so do we, whatever our umask is."""
    path = tmp_path / "shared"
    git("init", "--quiet", f"--shared={shared}", path)
    opened = open_repository(path)
    sha = Store(opened).put("blob", b"content")
    for folder in (opened.objects / sha[:2], opened.state):
        assert bool(folder.stat().st_mode & stat.S_IWGRP) is (shared == "group"), folder


def test_a_state_folder_that_cannot_be_made(repo: Path) -> None:
    (repo / ".git" / "mlgit").write_text("somebody's file")
    with pytest.raises(WriteFailed, match="cannot make"):
        append(open_repository(), FILE, "message")
    assert git("for-each-ref", "refs/heads/mlgit") == ""
