"""The exact code of a run: its commit, and a commit of what was not committed.

A snapshot is made through an index of its own; the user's index and work tree are
only read. It holds the changes to tracked files, and of the untracked files those
that the run used and git does not ignore. What is left out is listed.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from mlgit.errors import WriteFailed
from mlgit.ledger.append import write_commit
from mlgit.ledger.objects import Store
from mlgit.ledger.repository import GitFailed, Repository
from mlgit.ledger.secrets import find_secret

FILE_LIMIT = 1024 * 1024  # bytes of one uncommitted file
TOTAL_LIMIT = 10 * 1024 * 1024  # bytes of all of them
TRAILER = "Mlgit-Snapshot: true"


class Code(NamedTuple):
    """Which code is in the work tree."""

    commit: str | None
    """HEAD; None in a repository without commits, or without a work tree."""
    branch: str | None
    snapshot: str | None
    skipped: list[dict[str, str]]
    """Uncommitted files left out of the snapshot: {"path": …, "reason": …}."""


def capture(repository: Repository, used: Iterable[Path] = (), keep: bool = True) -> Code:
    """Returns the state of the code, making a snapshot commit if there is uncommitted work.

    `used` are absolute paths of files that the run uses, tracked or not; folders
    stand for all that is in them. With `keep=False` nothing is written, and
    uncommitted files are listed as skipped.

    Raises:
        WriteFailed: the snapshot cannot be stored.
    """
    root = repository.work_tree
    if root is None:
        return Code(None, None, None, [])
    with _kept():
        commit, branch, changed, skipped = _status(repository)
        untracked, unusable = _untracked(repository, root, used)
        chosen, left_out = _choose(root, {*changed, *untracked}, keep)
        snapshot = _commit_files(repository, root, commit, commit, chosen) if chosen else None
    return Code(commit, branch, snapshot, skipped + unusable + left_out)


def extend(repository: Repository, code: Code, used: Iterable[Path]) -> Code:
    """Returns the state with those of the used files that are untracked added to it.

    For modules imported after `capture`; all else stays as it was then.

    Raises:
        WriteFailed: the snapshot cannot be stored.
    """
    root = repository.work_tree
    if root is None:
        return code
    base = code.snapshot or code.commit
    with _kept():
        untracked, skipped = _untracked(repository, root, used)
        chosen, left_out = _choose(root, untracked)
        snapshot = _commit_files(repository, root, base, code.commit, chosen) if chosen else None
    new = [entry for entry in skipped + left_out if entry not in code.skipped]
    return code._replace(snapshot=snapshot or code.snapshot, skipped=code.skipped + new)


@contextlib.contextmanager
def _kept() -> Iterator[None]:
    try:
        yield
    except GitFailed as error:
        raise WriteFailed(
            f"the uncommitted work cannot be kept: {error.stderr.strip()}",
            "see what 'git status' says",
        ) from error


def protect(repository: Repository, run_id: str, code: str) -> None:
    """Keeps a commit from git's garbage collection until the run is saved."""
    try:
        repository.git("update-ref", _protection(run_id), code)
    except GitFailed as error:
        raise WriteFailed(f"a reference cannot be written: {error.stderr.strip()}") from error


def release(repository: Repository, run_id: str) -> None:
    """Ends `protect`; harmless if there was none."""
    with contextlib.suppress(GitFailed):  # the run is saved; a ref left behind costs nothing
        repository.git("update-ref", "-d", _protection(run_id))


def _protection(run_id: str) -> str:
    return f"refs/mlgit/live/{run_id}"


def remote_url(repository: Repository) -> str | None:
    """Returns where the code is shared, without user name, password and query.

    None: nowhere, or at a place that says nothing to others, or where it is not
    certain which part is a password.
    """
    url = repository.config.get(f"remote.{repository.remote}.url", "")
    if _ON_THE_WEB.match(url):
        scheme, _, rest = re.split("[?#]", url)[0].partition("://")
        authority, slash, path = rest.partition("/")
        start = f"{scheme}://"
    else:
        # "host:path" is ssh, unless a slash comes first or it is a drive's letter.
        authority, slash, path = url.partition(":")
        start = ""
        if not slash or "/" in authority or len(authority) == 1 or path.startswith((":", "//")):
            return None
    host = authority.rpartition("@")[2]
    return f"{start}{host}{slash}{path}" if _HOST.fullmatch(host) and "@" not in path else None


_ON_THE_WEB = re.compile(r"(https?|ssh|git|git\+ssh|ftps?)://", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:@\[\]]+)(:\d*)?", re.IGNORECASE)


def _status(
    repository: Repository,
) -> tuple[str | None, str | None, list[str], list[dict[str, str]]]:
    listing = repository.git(
        "status",
        "--porcelain=v2",
        "--branch",
        "-z",
        "--untracked-files=no",
        "--no-renames",
        "--ignore-submodules=untracked",
    )
    commit = branch = None
    changed: list[str] = []
    skipped: list[dict[str, str]] = []
    for line in os.fsdecode(listing).split("\0"):
        kind, _, rest = line.partition(" ")
        if kind == "#":
            field, _, value = rest.partition(" ")
            if field == "branch.oid" and value != "(initial)":
                commit = value
            elif field == "branch.head" and value != "(detached)":
                branch = _text(value)
        elif kind in ("1", "u"):
            path = rest.split(" ", 7 if kind == "1" else 9)[-1]
            submodule = rest.split(" ", 2)[1]
            if submodule.startswith("S") and "M" in submodule:
                skipped.append(_left(path, "a submodule with uncommitted changes of its own"))
            changed.append(path)
    return commit, branch, changed, skipped


def _text(path: str) -> str:
    """Returns a path that may hold bytes of any kind as text that can be stored."""
    return path.encode(errors="replace").decode()


def _left(path: str, reason: str) -> dict[str, str]:
    return {"path": _text(path), "reason": reason}


def _inside(root: Path, used: Iterable[Path]) -> list[str]:
    """Returns the used paths below the root, relative to it, as git spells them."""
    found = []
    for path in used:
        # A link counts as itself, and its folder as what it is.
        place = path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name
        if place.is_relative_to(root):
            relative = place.relative_to(root)
            if relative.parts[:1] != (".git",):
                found.append(relative.as_posix())
    return list(dict.fromkeys(found))


def _untracked(
    repository: Repository, root: Path, used: Iterable[Path]
) -> tuple[list[str], list[dict[str, str]]]:
    """Returns which of the used files are untracked, and which a snapshot cannot hold."""
    paths = _inside(root, used)
    # git lists a repository inside this one by its folder only, if that alone is asked for.
    parents = {parent for path in paths for parent in PurePosixPath(path).parents if parent.name}
    others = [str(parent) for parent in parents if (root / parent / ".git").exists()]
    options = ("--cached", "--others", "--exclude-standard", "-t")
    listing = _ls_files(repository, root, options, paths)
    for other in others:
        listing += _ls_files(repository, root, options, [other])
    listed = {line[2:]: line[0] for line in listing}
    folders = {str(parent) for path in listed for parent in PurePosixPath(path).parents}
    rest = [path for path in paths if path not in listed and path not in folders]
    options = ("--others", "--ignored", "--exclude-standard", "--directory")
    ignored = {path.rstrip("/") for path in _ls_files(repository, root, options, rest)}
    skipped = [_left(path, "ignored by git") for path in rest if _is_in(path, ignored)]
    foreign = {path.rstrip("/") for path in listed if path.endswith("/")}
    skipped += [_left(path, "a git repository of its own") for path in sorted(foreign)]
    files = [path for path, status in listed.items() if status == "?" and path[-1] != "/"]
    return files, skipped


def _is_in(path: str, places: set[str]) -> bool:
    return path in places or any(str(parent) in places for parent in PurePosixPath(path).parents)


def _ls_files(
    repository: Repository, root: Path, options: Sequence[str], paths: Sequence[str]
) -> list[str]:
    found: list[str] = []
    for start in range(0, len(paths), _ARGUMENTS):
        some = paths[start : start + _ARGUMENTS]
        command = ("-C", str(root), "--literal-pathspecs", "ls-files", "-z", *options, "--", *some)
        found += os.fsdecode(repository.git(*command)).split("\0")[:-1]
    return found


_ARGUMENTS = 500  # paths for one command: 4,096 bytes at most each, and systems allow 2 MiB


def _choose(
    root: Path, paths: Iterable[str], keep: bool = True
) -> tuple[list[str], list[dict[str, str]]]:
    """Returns the paths that go into a snapshot, and those left out with the reason."""
    chosen, skipped, total = [], [], 0
    for path in sorted(paths):
        reason, size = _objection(root, path)
        if reason is None and total + size > TOTAL_LIMIT:
            reason = f"more than {TOTAL_LIMIT >> 20} MiB of uncommitted work in all"
        if reason is None and not keep:
            reason = "mlgit.code is 'sha'"
        if reason is None:
            chosen.append(path)
            total += size
        else:
            skipped.append(_left(path, reason))
    return chosen, skipped


def _objection(root: Path, path: str) -> tuple[str | None, int]:
    """Returns why a file stays out of a snapshot, if so, and the bytes it would add."""
    place = root / path
    try:
        mode = place.lstat().st_mode
        if _is_gone(root, path) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode):
            return None, 0  # a deletion, a link, or a submodule: names only, no content
        if not stat.S_ISREG(mode):
            return "no plain file", 0
        size = place.stat().st_size
        if size > FILE_LIMIT:
            return f"larger than {FILE_LIMIT >> 20} MiB", 0
        secret = find_secret(place.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None, 0
    except OSError as error:
        return f"cannot be read: {error.strerror}", 0
    return (f"seems to hold a secret ({secret})", 0) if secret else (None, size)


def _is_gone(root: Path, path: str) -> bool:
    """Tells whether nothing is at the path, or only beyond a link that took a folder's place."""
    place = root / path
    return not os.path.lexists(place) or place.parent.resolve() != place.parent


def _commit_files(
    repository: Repository, root: Path, base: str | None, parent: str | None, paths: list[str]
) -> str | None:
    """Makes a commit of the tree of `base` with these paths as the work tree has them."""
    index = repository.state / f"snapshot-{os.getpid()}-{secrets.token_hex(4)}.index"
    env = {"GIT_INDEX_FILE": str(index)}
    # A split index would leave a shared part behind in the git directory, a file system
    # monitor knows only the user's own index, a hook would take this one for it, and
    # line ends that change on the way are nothing to stop a run for.
    settings = (
        "core.splitIndex=false",
        "core.fsmonitor=false",
        f"core.hooksPath={os.devnull}",
        "core.safecrlf=false",
    )
    top = ("-C", str(root), *(part for setting in settings for part in ("-c", setting)))
    gone = {path for path in paths if _is_gone(root, path)}
    present = [path for path in paths if path not in gone]
    try:
        repository.git(*top, "read-tree", base or "--empty", env=env)
        for options, some in (
            (("--force-remove",), sorted(gone)),
            (("--add", "--remove", "--replace"), present),
        ):
            if some:
                listing = os.fsencode("".join(path + "\0" for path in some))
                command = ("update-index", *options, "-z", "--stdin")
                repository.git(*top, *command, input=listing, env=env)
        tree = repository.line(*top, "write-tree", env=env)
        if base and tree == repository.line("rev-parse", f"{base}^{{tree}}"):
            return None
    finally:
        index.unlink(missing_ok=True)
        index.with_name(index.name + ".lock").unlink(missing_ok=True)
    message = f"uncommitted work of a run\n\n{TRAILER}\n"
    parents = [parent] if parent else []
    return write_commit(repository, Store(repository), tree, parents, message)
