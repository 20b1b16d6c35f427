"""A folder as a branch of a remote: one commit without history, replaced as a whole.

Nothing of it passes the user's index, work tree or branches: objects are written, and the
commit is pushed by its id. A branch that was not made so is never replaced; what others may
have added to it is told in `domain`.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mlgit.errors import Invalid, RemoteFailed, Unreadable, WriteFailed, WrongState
from mlgit.ledger import domain
from mlgit.ledger.append import base_commits
from mlgit.ledger.domain import Commit, Git
from mlgit.ledger.objects import Object, Reader, Store, store_tree
from mlgit.ledger.repository import GitFailed, Repository
from mlgit.ledger.sync import known_remote, unreachable

# By this line a commit is known as one that may be replaced.
_MARK = "Mlgit-Site"
_MARKED = re.compile(rb"^%s: [0-9a-f]{40}$" % _MARK.encode(), re.MULTILINE)
# And by this one its domain, without a file of it being fetched.
_AT = "Mlgit-Domain"
_TOLD = re.compile(rb"^%s: (\S+)$" % _AT.encode(), re.MULTILINE)
# It tells what was derived from what, not who asked for it: the same for everybody.
_AUTHOR = "mlgit <mlgit@localhost>"


class There(NamedTuple):
    """What a branch of a remote is at."""

    remote: str
    ref: str
    commit: str | None
    """None: there is no such branch."""
    tree: str | None
    host: str | None = None
    """The domain of one's own that it has, by its file CNAME."""


def look(repository: Repository, remote: str | None, branch: str) -> There:
    """Returns what a branch of a remote is at, if it is one that may be replaced.

    Raises:
        NotFound: there is no such remote.
        Invalid: git allows no branch of that name.
        RemoteFailed: the remote cannot be reached.
        WrongState: the branch was not made here, or somebody has added more than a domain.
    """
    remote = known_remote(repository, remote)
    ref = f"refs/heads/{branch}"
    if repository.try_line("check-ref-format", ref) is None:
        raise Invalid(f"git allows no branch of the name {branch!r}", "--branch gh-pages")
    done = repository.talk("ls-remote", "--refs", remote, ref, show=False)
    if done.returncode:
        raise unreachable(remote, done)
    found = [line.split("\t") for line in done.stdout.splitlines() if line.endswith(f"\t{ref}")]
    if not found:
        return There(remote, ref, None, None)
    commit = found[0][0]
    with contextlib.suppress(GitFailed):  # all of it is here
        return _there(repository.git, remote, ref, _ours(repository.git, remote, ref, commit))
    with _fetched(repository, remote, ref, "tree:0") as git:
        history = _ours(git, remote, ref, commit)
        if len(history) == 1:
            return _there(git, remote, ref, history)
    with _fetched(repository, remote, ref, f"blob:limit={domain.SIZE + 1}") as git:
        return _there(git, remote, ref, history)


def _ours(git: Git, remote: str, ref: str, commit: str) -> list[Commit]:
    """Returns a commit and those below it, down to one that was made here.

    Raises:
        GitFailed: one of them is not here.
        WrongState: there is none.
    """
    history = domain.history(git, commit)
    first = history[-1]
    if first.parents or first.tree is None or not _MARKED.search(first.content):
        raise _refused(remote, ref, has_more=len(history) > 1)
    return history


def _there(git: Git, remote: str, ref: str, history: list[Commit]) -> There:
    """Returns what a branch is at that begins with a commit of ours.

    Raises:
        GitFailed: something of it is not here.
        WrongState: somebody has added more than a domain.
    """
    last, first = history[0], history[-1]
    if len(history) == 1:
        told = _TOLD.search(first.content)
        return There(remote, ref, last.sha, last.tree, domain.host_name(told[1]) if told else None)
    file = domain.read(git, last.sha) if domain.is_all(git, history) else b""
    host = None if file is None else domain.host_name(file)
    if file is not None and host is None:
        raise _refused(remote, ref, has_more=True)
    return There(remote, ref, last.sha, last.tree, host)


def _refused(remote: str, ref: str, has_more: bool) -> WrongState:
    branch = ref.removeprefix("refs/heads/")
    added = ", or somebody has added commits to it" if has_more else ""
    return WrongState(
        f"the branch {branch} of {remote} was not made by mlgit{added}, so it is not replaced",
        f"publish to another: --branch NAME; or if nobody needs what is there, "
        f"delete it first: git push {remote} --delete {branch}",
    )


@contextlib.contextmanager
def _fetched(repository: Repository, remote: str, ref: str, wanted: str) -> Iterator[Git]:
    """Gives a git that knows the last commits of a branch, and what is wanted of their files.

    Raises:
        RemoteFailed: they cannot be fetched, or read.
    """
    # Into a repository that is thrown away: a history that is cut off would mark ours.
    top = str(repository.work_tree or repository.common_dir)
    config = f"include.path={repository.common_dir / 'config'}"
    with tempfile.TemporaryDirectory(prefix="mlgit-look-") as folder:
        git = partial(repository.git, env={"GIT_DIR": folder})
        try:
            repository.git("init", "--quiet", "--bare", "--template=", folder)
            alternates = Path(folder, "objects", "info", "alternates")
            alternates.parent.mkdir(exist_ok=True)
            alternates.write_bytes(os.fsencode(repository.objects) + b"\n")
            depth = f"--depth={domain.MOST + 1}"
            options = ("--quiet", depth, f"--filter={wanted}", "--no-tags", "--no-auto-gc")
            git("-C", top, "-c", config, "fetch", *options, remote, ref)
            yield git
        except GitFailed as error:
            raise RemoteFailed(
                f"what {remote} has at {ref} cannot be read: {error.stderr.strip()[:200]}",
                f"check 'git ls-remote {remote}'",
            ) from error


def store_folder(
    repository: Repository, folder: Path, leave_out: frozenset[str], host: str | None = None
) -> str:
    """Stores the files of a folder as a tree and returns its id; what is there stays as it is.

    `leave_out` are names of files at its top; with a `host` there is a file CNAME of it.

    Raises:
        WriteFailed: the object store is read-only or full.
    """
    paths = [
        os.path.relpath(os.path.join(where, name), folder)
        for where, _, names in os.walk(folder)
        for name in names
    ]
    paths = sorted(path for path in paths if path not in leave_out)
    listing = "".join(f"{folder}/{path}\n" for path in paths)
    try:
        written = repository.git(
            *("hash-object", "-w", "--no-filters", "--stdin-paths"), input=os.fsencode(listing)
        )
    except GitFailed as error:
        raise WriteFailed(
            f"git's object store cannot be written: {error.stderr.strip()}",
            "check the disk's free space and the permissions of .git/objects",
        ) from error
    blobs = dict(zip(paths, written.decode().split(), strict=True))
    store = Store(repository)
    if host:
        blobs[domain.FILE] = store.put("blob", f"{host}\n".encode())
    return store_tree(store, blobs)


def commit_of(
    repository: Repository, tree: str, root: str, subject: str, host: str | None = None
) -> str:
    """Stores the commit of a tree that was made from the ledger's tree `root`; returns its id.

    `host` is what the tree's file CNAME says.

    It names nobody, is not signed, and has the time of the ledger's last commit: whoever
    makes it of the same ledger makes the same.

    Raises:
        Unreadable: the ledger's last commit is damaged.
        WriteFailed: the object store is read-only or full.
    """
    reader = Reader(repository)
    try:
        tip = base_commits(reader, repository)[1]
        found = reader.find(tip or "")
    finally:
        reader.close()
    when = _WHEN.search(found.data) if isinstance(found, Object) else None
    if when is None:
        raise Unreadable("the last commit of the ledger is damaged", "run 'git fsck'")
    stamp = f"{_AUTHOR} {when[1].decode()} +0000"
    lines = [f"tree {tree}", f"author {stamp}", f"committer {stamp}", ""]
    lines += [subject, "", f"{_MARK}: {root}", *([f"{_AT}: {host}"] if host else []), ""]
    return Store(repository).put("commit", "\n".join(lines).encode())


_WHEN = re.compile(rb"^committer [^\n]*> (\d+) ", re.MULTILINE)


def send(repository: Repository, there: There, commit: str, show: bool = False) -> None:
    """Puts a commit in the place of what `look` found; the hook pre-push has its say.

    Raises:
        WrongState: somebody else was faster.
        RemoteFailed: the remote cannot be reached or refuses, or the hook does.
    """
    options = ("--porcelain", "--no-follow-tags", "--recurse-submodules=no")
    # Only that branch, and only from the commit that was looked at; none: only if there is none.
    lease = f"--force-with-lease={there.ref}:{there.commit or ''}"
    refspec = f"{commit}:{there.ref}"
    progress = ("--progress",) if show else ()
    done = repository.talk("push", *options, *progress, lease, there.remote, refspec, show=show)
    told = [line.split("\t") for line in done.stdout.splitlines() if refspec in line]
    if not told:
        raise unreachable(there.remote, done)
    sign, *_, outcome = told[0]
    if sign != "!":
        return
    reason = outcome.partition("] ")[2].strip("()")
    if "stale info" in outcome or "cannot lock" in outcome:
        raise WrongState(
            f"somebody else has published to {there.remote} meanwhile", "publish again"
        )
    raise RemoteFailed(
        f"{there.remote} refused the site: {reason}",
        f"is {there.ref.removeprefix('refs/heads/')} protected there? "
        "It must allow to be replaced by force",
    )
