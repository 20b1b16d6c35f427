"""All that others may add to a branch of pages: the file CNAME, a domain of one's own.

GitHub commits it on top of the branch when somebody sets a domain in its settings, and knows
the domain no more when it is gone; so who replaces the branch brings it along.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from mlgit.ledger.repository import GitFailed

FILE = "CNAME"
SIZE = 255  # bytes of it, at most
MOST = 20  # commits that may have been added

Git = Callable[..., bytes]
"""Runs a git command and returns what it printed, as `Repository.git` does."""

_TREE = re.compile(rb"tree ([0-9a-f]{40})\n")
_PARENT = re.compile(rb"^parent ([0-9a-f]{40})$", re.MULTILINE)
_LABEL = rb"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_HOST = re.compile(rb"(?:%s\.)+(?!\d+$)%s" % (_LABEL, _LABEL))
_GONE = b"000000"


class Commit(NamedTuple):
    sha: str
    content: bytes
    """The commit object."""

    @property
    def tree(self) -> str | None:
        found = _TREE.match(self.content)
        return found[1].decode() if found else None

    @property
    def parents(self) -> list[str]:
        header = self.content.partition(b"\n\n")[0]
        return [found.decode() for found in _PARENT.findall(header)]


def history(git: Git, commit: str) -> list[Commit]:
    """Returns a commit and those below it, down to the first, or as many as are looked at.

    Raises:
        GitFailed: one of them is not here.
    """
    found = [Commit(commit, git("cat-file", "commit", commit))]
    while len(found) <= MOST and len(found[-1].parents) == 1:
        (below,) = found[-1].parents
        found.append(Commit(below, git("cat-file", "commit", below)))
    return found


def is_all(git: Git, commits: Sequence[Commit]) -> bool:
    """Tells whether these, each on top of the next, change nothing but the file.

    Raises:
        GitFailed: a tree of them is not here.
    """
    for new, old in pairwise(commits):
        parts = git("diff-tree", "-z", old.sha, new.sha).split(b"\0")
        for told, path in zip(parts[::2], parts[1::2], strict=False):
            if path != FILE.encode() or told.split()[1] not in (b"100644", _GONE):
                return False
    return True


def read(git: Git, commit: str) -> bytes | None:
    """Returns the file as it stands in a commit; None if there is none.

    Raises:
        GitFailed: the commit's tree is not here.
    """
    listed = git("ls-tree", "-z", commit, FILE)
    if not listed:
        return None
    try:
        return git("cat-file", "blob", listed.split()[2].decode())
    except GitFailed:  # what is larger than it may be was not fetched
        return b""


def host_name(content: bytes) -> str | None:
    """Returns the host that the file names; None if it is not one name, in ASCII.

    >>> host_name(b"runs.example.org\\n"), host_name(b"https://runs.example.org")
    ('runs.example.org', None)
    """
    name = content.strip()
    return name.decode() if len(content) <= SIZE and _HOST.fullmatch(name) else None
