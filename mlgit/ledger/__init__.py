"""The ledger: the branch of runs in the user's repository, and the only door to git.

repository.py finds the repository and runs git; objects.py reads and writes git's
objects; append.py adds to the branch; walk.py reads it; merge.py and sync.py join
and share ledgers; snapshot.py keeps uncommitted code; index.py is a cache.
"""

from __future__ import annotations

import os
from types import TracebackType

from mlgit.errors import NotFound
from mlgit.ledger.append import append, base_commits, root_tree
from mlgit.ledger.index import Index, Progress, open_index
from mlgit.ledger.objects import Object, Reader
from mlgit.ledger.repository import Repository, open_repository

__all__ = ["Ledger", "Repository", "append", "base_commits", "open_repository"]


class Ledger:
    """The ledger opened for reading, as its branch stood at the first look.

    A context manager; leaving it ends the git process that reads.
    """

    def __init__(self, repository: Repository | str | os.PathLike[str] = ".") -> None:
        if not isinstance(repository, Repository):
            repository = open_repository(repository)
        self.repository = repository
        self.reader = Reader(repository)
        self._root: str | None = None
        self._index: Index | None = None

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.reader.close()
        if self._index:
            self._index.close()
            self._index = None

    @property
    def exists(self) -> bool:
        """Tells whether there is a ledger here, or one of the remote's to follow."""
        return self._root is not None or base_commits(self.reader, self.repository)[1] is not None

    @property
    def root(self) -> str:
        """The root tree that is read; the same one until `reload`.

        Raises:
            NotFound: there is no ledger yet.
            Unreadable: the branch is not a ledger, or of a later format.
        """
        if self._root is None:
            tip = base_commits(self.reader, self.repository)[1]
            if tip is None:
                raise NotFound(
                    "there are no runs in this repository yet",
                    "run 'mlgit init', or a script that uses mlgit.start_run()",
                )
            self._root = root_tree(self.reader, tip)
        return self._root

    def has_commit(self, sha: str) -> bool:
        """Tells whether a commit is in this repository."""
        found = self.reader.find(sha)
        return isinstance(found, Object) and found.kind == "commit"

    def look_at(self, commit: str) -> None:
        """Reads what another commit has from now on, such as one that is being pushed.

        Raises:
            Unreadable: it is no ledger's, or of a later format.
        """
        self.reload()
        self._root = root_tree(self.reader, commit)

    def reload(self) -> None:
        """Forgets what the branch looked like; the next reading looks again."""
        self._root = None
        if self._index:
            self._index.close()
            self._index = None

    def index(self, progress: Progress | None = None) -> Index:
        """Returns the index, brought up to date; see `mlgit.ledger.index`."""
        if self._index is None:
            self._index = open_index(self.repository, self.reader, self.root, progress)
        return self._index
