"""A folder as a branch of a remote: one commit without history, replaced as a whole.

Nothing of it passes the user's index, work tree or branches: objects are written, and the
commit is pushed by its id. A branch that was not made so is never replaced.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

from mlgit.errors import Invalid, RemoteFailed, Unreadable, WriteFailed, WrongState
from mlgit.ledger.append import base_commits
from mlgit.ledger.objects import Object, Reader, Store, store_tree
from mlgit.ledger.repository import GitFailed, Repository
from mlgit.ledger.sync import known_remote, unreachable

# By this line a commit is known as one that may be replaced.
_MARK = "Mlgit-Site"
_MARKED = re.compile(rb"^%s: [0-9a-f]{40}$" % _MARK.encode(), re.MULTILINE)
_TREE = re.compile(rb"tree ([0-9a-f]{40})\n")
# It tells what was derived from what, not who asked for it: the same for everybody.
_AUTHOR = "mlgit <mlgit@localhost>"


class There(NamedTuple):
    """What a branch of a remote is at."""

    remote: str
    ref: str
    commit: str | None
    """None: there is no such branch."""
    tree: str | None


def look(repository: Repository, remote: str | None, branch: str) -> There:
    """Returns what a branch of a remote is at, if it is one that may be replaced.

    Raises:
        NotFound: there is no such remote.
        Invalid: git allows no branch of that name.
        RemoteFailed: the remote cannot be reached.
        WrongState: the branch was not made here, or somebody has added to it.
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
    content = _content(repository, remote, ref, commit)
    tree = _TREE.match(content)
    if tree is None or b"\nparent " in content or not _MARKED.search(content):
        added = ", or somebody has added commits to it" if b"\nparent " in content else ""
        raise WrongState(
            f"the branch {branch} of {remote} was not made by mlgit{added}, so it is not replaced",
            f"publish to another: --branch NAME; or if nobody needs what is there, "
            f"delete it first: git push {remote} --delete {branch}",
        )
    return There(remote, ref, commit, tree[1].decode())


def _content(repository: Repository, remote: str, ref: str, commit: str) -> bytes:
    """Returns a commit of a remote; of what is not here, little more than that is fetched."""
    reader = Reader(repository)
    try:
        here = reader.find(commit)
    finally:
        reader.close()
    if isinstance(here, Object):
        return here.data if here.kind == "commit" else b""
    # Into a repository that is thrown away: a history that is cut off would mark ours.
    top = str(repository.work_tree or repository.common_dir)
    config = f"include.path={repository.common_dir / 'config'}"
    with tempfile.TemporaryDirectory(prefix="mlgit-look-") as folder:
        try:
            repository.git("init", "--quiet", "--bare", "--template=", folder)
            alternates = Path(folder, "objects", "info", "alternates")
            alternates.parent.mkdir(exist_ok=True)
            alternates.write_bytes(os.fsencode(repository.objects) + b"\n")
            options = ("--quiet", "--depth=1", "--filter=tree:0", "--no-tags", "--no-auto-gc")
            there = {"GIT_DIR": folder}
            repository.git("-C", top, "-c", config, "fetch", *options, remote, ref, env=there)
            return repository.git("cat-file", "commit", commit, env=there)
        except GitFailed as error:
            raise RemoteFailed(
                f"what {remote} has at {ref} cannot be read: {error.stderr.strip()[:200]}",
                f"check 'git ls-remote {remote}'",
            ) from error


def store_folder(repository: Repository, folder: Path, leave_out: frozenset[str]) -> str:
    """Stores the files of a folder as a tree and returns its id; what is there stays as it is.

    `leave_out` are names of files at its top.

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
    return store_tree(Store(repository), blobs)


def commit_of(repository: Repository, tree: str, root: str, subject: str) -> str:
    """Stores the commit of a tree that was made from the ledger's tree `root`; returns its id.

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
    lines += [subject, "", f"{_MARK}: {root}", ""]
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
