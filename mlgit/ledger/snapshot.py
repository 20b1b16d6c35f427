"""The exact code of a run: its commit, and a commit of what was not committed.

A snapshot is made through an index of its own; the user's index and work tree are
only read. It holds the changes to tracked files, and of the untracked files those
that the run used and git does not ignore. What is left out is listed.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable
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
    if repository.work_tree is None:
        return Code(None, None, None, [])
    root = repository.work_tree
    commit, branch, changed, skipped = _status(repository)
    untracked, ignored = _untracked(repository, _inside(root, used))
    skipped += [{"path": path, "reason": "ignored by git"} for path in ignored]
    chosen = []
    total = 0
    for path in sorted({*changed, *untracked}):
        reason, size = _objection(root / path)
        total += size
        if reason is None and total > TOTAL_LIMIT:
            reason = f"more than {TOTAL_LIMIT >> 20} MiB of uncommitted work in all"
        if reason is None and not keep:
            reason = "mlgit.code is 'sha'"
        if reason is None:
            chosen.append(path)
        else:
            skipped.append({"path": path, "reason": reason})
    snapshot = _commit_files(repository, commit, commit, chosen) if chosen else None
    return Code(commit, branch, snapshot, skipped)


def extend(repository: Repository, code: Code, used: Iterable[Path]) -> Code:
    """Returns the state with those of the used files that are untracked added to it.

    For modules imported after `capture`; all else stays as it was then.

    Raises:
        WriteFailed: the snapshot cannot be stored.
    """
    if repository.work_tree is None:
        return code
    untracked, ignored = _untracked(repository, _inside(repository.work_tree, used))
    skipped = [{"path": path, "reason": "ignored by git"} for path in ignored]
    chosen = []
    for path in untracked:
        reason, _ = _objection(repository.work_tree / path)
        if reason:
            skipped.append({"path": path, "reason": reason})
        else:
            chosen.append(path)
    base = code.snapshot or code.commit
    snapshot = _commit_files(repository, base, code.commit, chosen) if chosen else None
    return code._replace(
        snapshot=snapshot or code.snapshot,
        skipped=code.skipped + [entry for entry in skipped if entry not in code.skipped],
    )


def protect(repository: Repository, run_id: str, code: str) -> None:
    """Keeps a commit from git's garbage collection until the run is saved."""
    try:
        repository.git("update-ref", _protection(run_id), code)
    except GitFailed as error:
        raise WriteFailed(f"a reference cannot be written: {error.stderr.strip()}") from error


def release(repository: Repository, run_id: str) -> None:
    """Ends `protect`; harmless if there was none."""
    repository.git("update-ref", "-d", _protection(run_id))


def _protection(run_id: str) -> str:
    return f"refs/mlgit/live/{run_id}"


def remote_url(repository: Repository) -> str | None:
    """Returns where the code is shared, without user name, password and query."""
    if repository.remote is None:
        return None
    url = repository.config.get(f"remote.{repository.remote}.url", "")
    if "://" not in url:
        # A path of this machine says nothing to others; "host:path" is ssh.
        return None if url.startswith((".", "/", "~")) or ":" not in url else url
    if url.startswith("file:"):
        return None
    return re.sub(r"^([a-z][a-z0-9+.-]*://)[^/@]*@", r"\1", url).partition("?")[0]


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
                branch = value
        elif kind in ("1", "u"):
            path = rest.split(" ", 7 if kind == "1" else 9)[-1]
            submodule = rest.split(" ", 2)[1]
            if submodule.startswith("S") and "M" in submodule:
                reason = "a submodule with uncommitted changes of its own"
                skipped.append({"path": path, "reason": reason})
            changed.append(path)
    return commit, branch, changed, skipped


def _inside(root: Path, used: Iterable[Path]) -> list[str]:
    """Returns the used paths below the root, relative to it, as git spells them."""
    found = []
    for path in used:
        place = path.parent.resolve() / path.name
        if place.is_relative_to(root) and place != root:
            relative = place.relative_to(root)
            if relative.parts[0] != ".git":
                found.append(relative.as_posix())
    return found


def _untracked(repository: Repository, paths: list[str]) -> tuple[list[str], list[str]]:
    """Returns which of the paths are untracked, and which git has been told to ignore."""
    if not paths:
        return [], []
    top = ("-C", str(repository.work_tree), "--literal-pathspecs")
    options = ("-t", "-z", "--cached", "--others", "--exclude-standard")
    listing = os.fsdecode(repository.git(*top, "ls-files", *options, "--", *paths))
    listed = {line[2:]: line[0] for line in listing.split("\0")[:-1]}
    folders = {str(parent) for path in listed for parent in PurePosixPath(path).parents}
    ignored = [path for path in paths if path not in listed and path not in folders]
    return [path for path, status in listed.items() if status == "?"], ignored


def _objection(path: Path) -> tuple[str | None, int]:
    """Returns why a file stays out of a snapshot, if so, and the bytes it would add."""
    try:
        if path.is_symlink() or not path.exists() or path.is_dir():
            return None, 0  # a link, a deletion, or a submodule: names only, no content
        size = path.stat().st_size
        if size > FILE_LIMIT:
            return f"larger than {FILE_LIMIT >> 20} MiB", 0
        secret = find_secret(path.read_bytes())
    except OSError as error:
        return f"cannot be read: {error.strerror}", 0
    return (f"seems to hold a secret ({secret})", 0) if secret else (None, size)


def _commit_files(
    repository: Repository, base: str | None, parent: str | None, paths: list[str]
) -> str | None:
    """Makes a commit of the tree of `base` with these paths as the work tree has them."""
    index = repository.state / f"snapshot-{os.getpid()}-{secrets.token_hex(4)}.index"
    env = {"GIT_INDEX_FILE": str(index)}
    # A split index would leave a shared part behind in the git directory, and a
    # file system monitor knows only the user's own index.
    plain = ("-c", "core.splitIndex=false", "-c", "core.fsmonitor=false")
    top = ("-C", str(repository.work_tree), *plain)
    try:
        repository.git(*top, "read-tree", base or "--empty", env=env)
        repository.git(
            *top,
            "update-index",
            "--add",
            "--remove",
            "-z",
            "--stdin",
            input=os.fsencode("".join(path + "\0" for path in paths)),
            env=env,
        )
        tree = repository.line(*top, "write-tree", env=env)
        if base and tree == repository.line("rev-parse", f"{base}^{{tree}}"):
            return None
    except GitFailed as error:
        raise WriteFailed(f"the uncommitted work cannot be kept: {error.stderr.strip()}") from error
    finally:
        index.unlink(missing_ok=True)
        index.with_name(index.name + ".lock").unlink(missing_ok=True)
    message = f"uncommitted work of a run\n\n{TRAILER}\n"
    parents = [parent] if parent else []
    return write_commit(repository, Store(repository), tree, parents, message)
