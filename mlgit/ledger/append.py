"""Adding to the ledger: new paths only, one commit, compare-and-swap on the branch.

The order is what makes a kill at any point harmless: blobs, then trees, then the
commit, then the ref. Until the ref moves nothing has happened; afterwards all has.
"""

from __future__ import annotations

import fcntl
import os
import random
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlgit import names, records
from mlgit.errors import MlgitError, MlgitWarning, Unreadable, WriteFailed
from mlgit.ledger.objects import (
    FILE,
    TREE,
    Entry,
    Object,
    Reader,
    Store,
    Tree,
    format_tree,
    lookup,
)
from mlgit.ledger.repository import ZERO, GitFailed, Repository

LOCK_SECONDS = 10.0  # a holder that is stopped must not stop everybody else
REF_SECONDS = 3.0  # to wait for another git to let go of the branch
ATTEMPTS = 50
BEGIN = "begin the ledger\n"
MAINTENANCE_SECONDS = 60.0


def append(
    repository: Repository, files: Mapping[str, bytes], message: str, code: str | None = None
) -> str:
    """Adds files to the ledger in one commit and returns the commit.

    `code` becomes the commit's second parent. A file that is there already with
    the same bytes is left as it is, so that appending twice is harmless.

    Raises:
        WriteFailed: the object store, the ref or signing failed; nothing changed.
        Unreadable: the branch is no ledger, of a later format, or holds other
            bytes at one of the paths.
    """
    store = Store(repository)
    blobs = {path: store.put("blob", data) for path, data in files.items()}
    reader = Reader(repository)
    try:
        if code and not _is_commit(reader, code):
            warnings.warn(
                f"the code commit {code[:12]} is not in this repository any more; "
                "only its id is kept",
                MlgitWarning,
                stacklevel=3,
            )
            code = None
        with locked(repository):
            for attempt in range(ATTEMPTS):
                old, tip = base_commits(reader, repository)
                # The first parent of a ledger's commit is a ledger's commit, always; so
                # the first of all stands alone.
                tip = tip or write_commit(
                    repository, store, insert(reader, store, None, {}), [], BEGIN
                )
                root = root_tree(reader, tip)
                new_root = insert(reader, store, root, blobs)
                parents = [tip, code] if code else [tip]
                commit = tip
                if new_root != root:
                    commit = write_commit(repository, store, new_root, parents, message)
                elif tip == old:
                    return tip
                if swap(repository, commit, old, message):
                    break
                time.sleep(random.uniform(0, 0.01 * (attempt + 1)))
            else:
                raise WriteFailed(
                    f"the branch {repository.branch} moved {ATTEMPTS} times in a row", "try again"
                )
    finally:
        reader.close()
    maintain(repository)
    return commit


def _is_commit(reader: Reader, sha: str) -> bool:
    found = reader.find(sha)
    return isinstance(found, Object) and found.kind == "commit"


@contextmanager
def locked(repository: Repository) -> Iterator[None]:
    """Holds the lock that lets writers wait for each other instead of retrying.

    It is a courtesy: the ref's own compare-and-swap is the truth. So a lock that
    cannot be had (a stopped holder, a file system without locks) is done without.
    """
    path = repository.state / "lock"
    try:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:  # made by somebody who shares the repository with us
            descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise WriteFailed(f"cannot write {path}: {error.strerror}") from error
    try:
        end = time.monotonic() + LOCK_SECONDS
        while time.monotonic() < end:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(random.uniform(0.001, 0.004))
            except OSError:
                break
        yield
    finally:
        os.close(descriptor)


def base_commits(reader: Reader, repository: Repository) -> tuple[str | None, str | None]:
    """Returns the commit the branch is at, and the commit to read and build on.

    They differ in a fresh clone, where the branch exists only as the remote's:
    building on that makes the clone follow it instead of starting a ledger of
    its own. None: there is none.
    """
    local = commit_at(reader, repository.ref)
    if local is None and repository.remote:
        return None, commit_at(reader, repository.tracking_ref(repository.remote))
    return local, local


def commit_at(reader: Reader, ref: str) -> str | None:
    """Returns the commit a full ref name is at, or None if there is no such ref.

    Raises:
        Unreadable: the ref is damaged, or names something else.
    """
    found = reader.find(ref)
    if not isinstance(found, Object):
        try:
            sha = reader.repository.line("rev-parse", "--verify", "--quiet", ref)
        except GitFailed as error:
            if "broken" not in error.stderr:
                return None
            sha = "something that is no commit"
        found = reader.find(sha)  # which may have come meanwhile
    if not isinstance(found, Object):
        raise Unreadable(
            f"{ref} names {sha}, which git cannot read",
            f"run 'git fsck'; 'git reflog show {ref}' may know where it was before",
        )
    if found.kind != "commit":
        raise Unreadable(f"{ref} is not a branch: it names a {found.kind}")
    return found.sha


def root_tree(reader: Reader, commit: str) -> str:
    """Returns the root tree of a commit of the ledger.

    Raises:
        Unreadable: the commit is not a ledger's, or of a later format.
    """
    found = reader.find(commit)
    header = _TREE_LINE.match(found.data) if isinstance(found, Object) else None
    if header is None:
        raise Unreadable(f"the commit {commit[:12]} is missing, or damaged", "run 'git fsck'")
    root = header[1].decode()
    mark = lookup(reader, root, names.MARK)
    content = reader.find(mark.sha, records.SIZE_LIMITS["mark"]) if mark and mark.is_file else None
    if not isinstance(content, Object):
        raise Unreadable(
            f"the commit {commit[:12]} is not a ledger of mlgit: it has no {names.MARK}",
            "if you use that branch yourself, give mlgit another: git config mlgit.branch NAME",
        )
    records.load_mark(content.data)
    return root


_TREE_LINE = re.compile(rb"tree ([0-9a-f]{40})\n")


def insert(reader: Reader, store: Store, root: str | None, blobs: Mapping[str, str]) -> str:
    """Returns the tree that has these blobs too, by path, copying only the way to them.

    Raises:
        Unreadable: a path is taken by other bytes, or leads through something
            that is no folder.
    """
    if root is None:
        first = {path: store.put("blob", content) for path, content in _FIRST.items()}
        blobs = {**first, **blobs}
    return _insert(reader, store, root, sorted(blobs.items()), "")


_FIRST = {
    names.MARK: records.MARK_BYTES,
    # `dvc gc -a`, `push -a` and the like walk each branch; this one in no time.
    names.DVC_IGNORE: b"# mlgit: there is nothing of DVC's on this branch\n*\n",
}


def _insert(
    reader: Reader, store: Store, tree: str | None, blobs: Sequence[tuple[str, str]], above: str
) -> str:
    entries: Tree = reader.tree(tree) if tree else {}
    below: dict[str, list[tuple[str, str]]] = {}
    for path, sha in blobs:
        name, slash, rest = path.partition("/")
        if slash:
            below.setdefault(name, []).append((rest, sha))
            continue
        present = entries.setdefault(name, Entry(FILE, sha))
        if present.sha != sha or not present.is_file:
            raise Unreadable(
                f"{above}{name} is already on the branch with other content",
                "what is written never changes; run 'mlgit doctor'",
            )
    for name, inside in below.items():
        folder = entries.get(name)
        if folder is not None and not folder.is_tree:
            raise Unreadable(
                f"{above}{name} on the branch is {folder.kind} where a folder should be",
                "run 'mlgit doctor'",
            )
        sha = _insert(reader, store, folder.sha if folder else None, inside, f"{above}{name}/")
        entries[name] = Entry(TREE, sha)
    data = format_tree(entries)
    return store.put("tree", data)


def write_commit(
    repository: Repository, store: Store, tree: str, parents: Sequence[str], message: str
) -> str:
    """Stores a commit by the user, signed if `commit.gpgsign` says so; moves no ref.

    Raises:
        WriteFailed: it cannot be signed or stored.
    """
    person = repository.person
    now = int(time.time())
    if repository.flag("commit.gpgsign", False):
        # git signs only if told: commit-tree is plumbing and ignores the setting.
        parent_options = [option for parent in parents for option in ("-p", parent)]
        try:
            signed = repository.git(
                "-c",
                "i18n.commitEncoding=UTF-8",
                "commit-tree",
                "-S",
                *parent_options,
                "-F",
                "-",
                tree,
                input=message.encode(errors="surrogateescape"),
            )
        except GitFailed as error:
            raise WriteFailed(
                f"git could not sign the commit: {error.stderr.strip()}",
                "repair signing, or turn it off here: git config commit.gpgsign false",
            ) from error
        return signed.decode().strip()
    stamp = f"{person.name} <{person.email}> {now} {time.strftime('%z', time.localtime(now))}"
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"author {stamp}", f"committer {stamp}", "", message]
    return store.put("commit", "\n".join(lines).encode(errors="surrogateescape"))


def swap(repository: Repository, new: str, old: str | None, message: str) -> bool:
    """Moves the branch from `old` (None: it does not exist) to `new`.

    Returns False if the branch is not at `old` any more.

    Raises:
        WriteFailed: the branch is checked out, or the ref cannot be written.
    """
    if place := checked_out(repository):
        raise WriteFailed(
            f"the branch {repository.branch} is checked out in {place}, "
            "and moving it would leave that work tree behind",
            f"switch to another branch there: git -C {place} switch -",
        )
    reason = "mlgit: " + message.partition("\n")[0]
    end = time.monotonic() + REF_SECONDS
    while True:
        try:
            repository.git("update-ref", "-m", reason, repository.ref, new, old or ZERO)
            return True
        except GitFailed as error:
            if _MOVED.search(error.stderr):
                return False
            lock = _LOCKED.search(error.stderr)
            if lock is None or time.monotonic() > end:
                raise _ref_failure(repository, error, lock) from error
        time.sleep(random.uniform(0.01, 0.05))


_MOVED = re.compile(
    "but expected|reference already exists|unable to resolve reference '[^']*'$", re.MULTILINE
)
_LOCKED = re.compile(r"Unable to create '(.+\.lock)': File exists", re.DOTALL)


def _ref_failure(
    repository: Repository, error: GitFailed, lock: re.Match[str] | None
) -> WriteFailed:
    if lock:
        return WriteFailed(
            f"the branch {repository.branch} is locked by {lock[1]}",
            "if no other git command is at work here, one has crashed: delete that file",
        )
    if "exists; cannot create" in error.stderr:
        return WriteFailed(
            f"a branch {repository.branch} cannot exist beside branches below that name",
            "give the ledger another: git config mlgit.branch NAME",
        )
    return WriteFailed(
        f"the branch {repository.branch} cannot be written: {error.stderr.strip()}",
        "check the disk's free space and the permissions of .git",
    )


def checked_out(repository: Repository) -> Path | None:
    """Returns the work tree in which the ledger's branch is checked out, if any."""
    listing = repository.line("worktree", "list", "--porcelain")
    for block in listing.split("\n\n"):
        first, *rest = block.split("\n")
        gone = any(line.startswith("prunable") for line in rest)
        if f"branch {repository.ref}" in rest and not gone:
            return Path(first.removeprefix("worktree "))
    return None


def maintain(repository: Repository) -> None:
    """Lets git pack loose objects in the background once they have piled up.

    The measure is git's own: more than gc.auto / 256 objects in one of the 256
    folders (`too_many_loose_objects` in git's builtin/gc.c). At the usual 6,700
    that is every 800 small runs or so.
    """
    limit = repository.number("gc.auto", 6700)
    if limit <= 0 or not repository.flag("maintenance.auto", True):
        return
    try:
        if len(os.listdir(repository.objects / "17")) <= limit / 256:
            return
        stamp = repository.state / "maintained"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < MAINTENANCE_SECONDS:
            return
        stamp.touch()
        repository.git("-c", "gc.autoDetach=true", "gc", "--auto", "--quiet")
    except (OSError, MlgitError):
        return  # the run is saved; an unpacked repository is slower, not wrong
