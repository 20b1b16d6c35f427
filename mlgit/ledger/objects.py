"""Git's objects: written as loose objects, read through one long-lived git process.

Writing goes through gitdb, GitPython's object database, in this process; nothing
passes an index. Reading goes through `git cat-file --batch`, which knows packs,
alternates and partial clones.
"""

from __future__ import annotations

import io
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from mlgit.errors import Unreadable, WriteFailed
from mlgit.ledger.repository import Repository

TREE = 0o040000
FILE = 0o100644
EXECUTABLE = 0o100755
_KINDS = {0o120000: "a symbolic link", 0o160000: "a submodule", TREE: "a folder", FILE: "a file"}

OBJECT_LIMIT = 32 * 1024 * 1024  # bytes of a tree or commit we are ready to read
_CHUNK = 256  # requests on their way at once: 11 kB, less than any pipe holds


class Entry(NamedTuple):
    """One line of a tree."""

    mode: int
    sha: str

    @property
    def is_tree(self) -> bool:
        return self.mode == TREE

    @property
    def is_file(self) -> bool:
        return self.mode in (FILE, EXECUTABLE)

    @property
    def kind(self) -> str:
        return _KINDS.get(self.mode, "a file" if self.is_file else "something odd")


Tree = dict[str, Entry]


def parse_tree(data: bytes) -> Tree:
    """Returns the entries of a tree object, by name; odd bytes are surrogate escapes."""
    entries: Tree = {}
    position = 0
    while position < len(data):
        end = data.index(b"\0", position)
        mode, _, name = data[position:end].partition(b" ")
        position = end + 21
        entries[os.fsdecode(name)] = Entry(int(mode, 8), data[end + 1 : position].hex())
    return entries


def format_tree(entries: Mapping[str, Entry]) -> bytes:
    """Returns the bytes of a tree object; git sorts folders as if they ended in a slash."""
    lines = [
        (os.fsencode(name) + b"/" * entry.is_tree, os.fsencode(name), entry)
        for name, entry in entries.items()
    ]
    return b"".join(
        b"%o %s\0%s" % (entry.mode, name, bytes.fromhex(entry.sha))
        for _, name, entry in sorted(lines)
    )


class Store:
    """Writes loose objects."""

    def __init__(self, repository: Repository) -> None:
        from gitdb import LooseObjectDB  # 20 ms, which commands that only read do not pay

        self._database = LooseObjectDB(str(repository.objects))

    def put(self, kind: str, data: bytes) -> str:
        """Stores one object ("blob", "tree" or "commit") and returns its id.

        Raises:
            WriteFailed: the object store is read-only or full.
        """
        from gitdb import IStream

        stream = IStream(kind, len(data), io.BytesIO(data))
        try:
            return str(self._database.store(stream).hexsha.decode())
        except OSError as error:
            raise WriteFailed(
                f"git's object store cannot be written: {error.strerror or error}",
                "check the disk's free space and the permissions of .git/objects",
            ) from error


class Missing(NamedTuple):
    """What was asked for is not in the object store."""


class TooLarge(NamedTuple):
    """What was asked for is larger than the reader is ready to load."""

    size: int


class Object(NamedTuple):
    sha: str
    kind: str
    data: bytes


class Reader:
    """Reads objects by id or any other name git understands.

    A process that forked gets a git process of its own when it first reads.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def close(self) -> None:
        """Ends the git process; reading again starts another."""
        process, self._process = self._process, None
        if process is None or self._pid != os.getpid():
            return
        process.kill()
        process.communicate()

    def find(self, name: str, limit: int = OBJECT_LIMIT) -> Object | Missing | TooLarge:
        """Returns one object."""
        return next(self.find_many((name,), limit))

    def find_many(
        self, wanted: Iterable[str], limit: int = OBJECT_LIMIT
    ) -> Iterator[Object | Missing | TooLarge]:
        """Yields the objects in the order asked for. `limit` is in bytes, each."""
        names = list(wanted)
        for start in range(0, len(names), _CHUNK):
            chunk = names[start : start + _CHUNK]
            while chunk:
                for done, found in enumerate(self._ask(chunk, limit), 1):
                    yield found
                    if isinstance(found, TooLarge):
                        # Throwing the process away is cheaper than reading to the end.
                        self.close()
                        chunk = chunk[done:]
                        break
                else:
                    break

    def tree(self, sha: str) -> Tree:
        """Returns a tree's entries.

        Raises:
            Unreadable: there is no such tree here, or it is damaged.
        """
        return self._as_tree(sha, self.find(sha))

    def trees(self, shas: Iterable[str]) -> Iterator[Tree]:
        """Yields the entries of several trees, in order; see `tree`."""
        shas = list(shas)
        for sha, found in zip(shas, self.find_many(shas), strict=True):
            yield self._as_tree(sha, found)

    def _as_tree(self, sha: str, found: Object | Missing | TooLarge) -> Tree:
        if not isinstance(found, Object) or found.kind != "tree":
            raise Unreadable(
                f"the folder {sha[:12]} is missing from git's object store", "run 'git fsck'"
            )
        try:
            return parse_tree(found.data)
        except ValueError as error:
            raise Unreadable(f"the folder {sha[:12]} is damaged", "run 'git fsck'") from error

    def _ask(self, chunk: list[str], limit: int) -> Iterator[Object | Missing | TooLarge]:
        if self._process is None or self._pid != os.getpid():
            self._process = self._repository.start_git("cat-file", "--batch")
            self._pid = os.getpid()
        requests, replies = self._process.stdin, self._process.stdout
        assert requests is not None and replies is not None
        try:
            requests.write(os.fsencode("".join(name + "\n" for name in chunk)))
            requests.flush()
        except BrokenPipeError as error:
            raise Unreadable("git stopped reading its own objects", "run 'git fsck'") from error
        for _ in chunk:
            header = replies.readline().split()
            if len(header) != 3 or not header[2].isdigit():
                if not header:
                    self.close()
                    raise Unreadable("git stopped reading its own objects", "run 'git fsck'")
                yield Missing()
                continue
            size = int(header[2])
            if size > limit:
                yield TooLarge(size)
                return
            data = replies.read(size)
            replies.read(1)
            yield Object(header[0].decode(), header[1].decode(), data)


def lookup(reader: Reader, root: str, path: str) -> Entry | None:
    """Returns the entry at a path below a root tree, or None if nothing is there."""
    entry = Entry(TREE, root)
    for part in path.split("/"):
        if not entry.is_tree:
            return None
        found = reader.tree(entry.sha).get(part)
        if found is None:
            return None
        entry = found
    return entry
