"""Work trees of our own, for a while: made beside the user's, and removed when done with.

Each lies in a temporary folder with a file `owner`, which whoever works there holds
locked, children included. So a lock that is free means that all of them are gone, however
they ended, and the work tree is nobody's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mlgit.ledger.repository import GitFailed, Repository

_PREFIX = "mlgit-reproduce-"
_TREE = "code"
_OWNER = "owner"


class Place(NamedTuple):
    """Where a work tree can be made."""

    folder: Path
    owner: int | None
    """The descriptor of the lock; children that work there are to inherit it. None: it stays."""


@contextlib.contextmanager
def temporary(repository: Repository) -> Iterator[Place]:
    """Gives the place for a work tree, and removes what was made there."""
    above = Path(tempfile.mkdtemp(prefix=_PREFIX))
    owner = os.open(above / _OWNER, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(owner, fcntl.LOCK_EX)
        yield Place(above / _TREE, owner)
    finally:
        remove(repository, above / _TREE)
        os.close(owner)


def abandoned(repository: Repository) -> list[Path]:
    """Returns the work trees of ours in which nobody works any more."""
    listing = repository.git("worktree", "list", "--porcelain", "-z").split(b"\0")
    paths = [
        Path(os.fsdecode(line.removeprefix(b"worktree ")))
        for line in listing
        if line.startswith(b"worktree ")
    ]
    return [path for path in paths if _is_ours(path) and _is_free(path.parent)]


def _is_ours(path: Path) -> bool:
    return path.name == _TREE and path.parent.name.startswith(_PREFIX)


def _is_free(above: Path) -> bool:
    if not above.exists():
        return True  # swept with all that is temporary
    with contextlib.suppress(OSError), (above / _OWNER).open("rb") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def remove(repository: Repository, folder: Path) -> None:
    """Removes a work tree of ours, and the temporary folder around it."""
    # Not `worktree prune`: it would forget those of the user on a disk that is away.
    with contextlib.suppress(GitFailed):
        repository.git("worktree", "remove", "--force", "--force", str(folder))
    shutil.rmtree(folder.parent, ignore_errors=True)
