"""Git's objects: written as loose objects, read through one long-lived git process.

Writing goes through gitdb, GitPython's object database, in this process; nothing
passes an index. Reading goes through `git cat-file --batch`, which knows packs,
alternates and partial clones.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from mlgit.errors import Unreadable, WriteFailed
from mlgit.ledger.repository import Repository

TREE = 0o040000
FILE = 0o100644
EXECUTABLE = 0o100755
_KINDS = {0o120000: "a symbolic link", 0o160000: "a submodule", TREE: "a folder", FILE: "a file"}

OBJECT_LIMIT = 32 * 1024 * 1024  # bytes of a tree or commit we are ready to read
_CHUNK = 72  # requests on their way at once: below 4 KiB, which any pipe holds
_BUDGET = 32 * 1024 * 1024  # bytes of replies held at once, give or take one object


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
    """Returns the entries of a tree object, by name; odd bytes are surrogate escapes.

    Raises:
        ValueError: it is cut off, or no tree, or has a name twice.
    """
    entries: Tree = {}
    position = 0
    while position < len(data):
        end = data.index(b"\0", position)
        mode, _, raw = data[position:end].partition(b" ")
        position = end + 21
        name = raw.decode(errors="surrogateescape")
        if not mode.isdigit() or name in entries or position > len(data):
            raise ValueError("not a tree")
        entries[name] = Entry(int(mode, 8), data[end + 1 : position].hex())
    return entries


def format_tree(entries: Mapping[str, Entry]) -> bytes:
    """Returns the bytes of a tree object; git sorts folders as if they ended in a slash."""
    lines = []
    for name, entry in entries.items():
        raw = name.encode(errors="surrogateescape")
        line = b"%o %s\0%s" % (entry.mode, raw, bytes.fromhex(entry.sha))
        lines.append((raw + b"/" * entry.is_tree, line))
    return b"".join(line for _, line in sorted(lines))


class Store:
    """Writes loose objects."""

    def __init__(self, repository: Repository) -> None:
        from gitdb import LooseObjectDB  # 20 ms, which commands that only read do not pay

        self._repository = repository
        self._database = LooseObjectDB(str(repository.objects))

    def put(self, kind: str, data: bytes) -> str:
        """Stores one object ("blob", "tree" or "commit") and returns its id.

        Raises:
            WriteFailed: the object store is read-only or full.
        """
        from gitdb import IStream

        stream = IStream(kind, len(data), io.BytesIO(data))
        try:
            sha = str(self._database.store(stream).hexsha.decode())
        except OSError as error:
            raise WriteFailed(
                f"git's object store cannot be written: {error.strerror or error}",
                "check the disk's free space and the permissions of .git/objects",
            ) from error
        self._settle(self._repository.objects / sha[:2] / sha[2:])
        return sha

    def _settle(self, path: Path) -> None:
        """Does to a loose object what git does and gitdb does not."""
        with contextlib.suppress(OSError):  # it is somebody else's
            # One that lay there before, reachable from nowhere, counts as new again: git's
            # garbage collection must not take it before the ref has moved.
            os.utime(path)
        self._repository.share(path.parent)


def store_files(store: Store, files: Mapping[str, bytes]) -> str:
    """Stores files, by path, as a tree of their own and returns its id.

    Raises:
        WriteFailed: the object store is read-only or full.
    """
    return store_tree(store, {path: store.put("blob", content) for path, content in files.items()})


def store_tree(store: Store, blobs: Mapping[str, str]) -> str:
    """Stores the tree that has these blobs, by path, and nothing else; returns its id.

    Raises:
        WriteFailed: the object store is read-only or full.
    """
    entries: Tree = {}
    below: dict[str, dict[str, str]] = {}
    for path, sha in blobs.items():
        name, slash, rest = path.partition("/")
        if slash:
            below.setdefault(name, {})[rest] = sha
        else:
            entries[name] = Entry(FILE, sha)
    for name, inside in below.items():
        entries[name] = Entry(TREE, store_tree(store, inside))
    return store.put("tree", format_tree(entries))


class Missing(NamedTuple):
    """What was asked for is not in the object store, or damaged there."""


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
        self.repository = repository
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def close(self) -> None:
        """Ends the git process; reading again starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        if self._pid == os.getpid():
            process.kill()
            process.communicate()
        else:  # our parent's, which goes on using it
            process.returncode = 0
            _pipe(process.stdin).close()
            _pipe(process.stdout).close()

    def find(self, name: str, limit: int = OBJECT_LIMIT) -> Object | Missing | TooLarge:
        """Returns one object."""
        return self._ask([name], limit)[0]

    def find_many(
        self, wanted: Iterable[str], limit: int = OBJECT_LIMIT
    ) -> Iterator[Object | Missing | TooLarge]:
        """Yields the objects in the order asked for. `limit` is in bytes, each."""
        names = list(wanted)
        done = 0
        while done < len(names):
            found = self._ask(names[done : done + _CHUNK], limit)
            done += len(found)
            yield from found

    def tree(self, sha: str) -> Tree:
        """Returns a tree's entries.

        Raises:
            Unreadable: there is no such tree here, or it is damaged.
        """
        (tree,) = self.trees([sha])
        if tree is None:
            raise Unreadable(
                f"the folder {sha[:12]} is missing from git's object store, or damaged",
                "run 'git fsck'",
            )
        return tree

    def trees(self, shas: Iterable[str]) -> Iterator[Tree | None]:
        """Yields the entries of several trees, in order; None: missing or damaged."""
        for found in self.find_many(shas):
            tree = None
            if isinstance(found, Object) and found.kind == "tree":
                with contextlib.suppress(ValueError):
                    tree = parse_tree(found.data)
            yield tree

    def _ask(self, names: Sequence[str], limit: int) -> list[Object | Missing | TooLarge]:
        """Returns the objects, or only the first of them if they are large.

        All that was asked for is read here, or git is ended: whoever stops listening
        half-way leaves no reply behind that another would take for his.
        """
        found: list[Object | Missing | TooLarge] = []
        held = 0
        read_all = False
        try:
            replies = self._request(names)
            for name in names:
                header = replies.readline().split()
                if not header:
                    raise Unreadable(f"git ended when it was to read {name[:60]}", "run 'git fsck'")
                if len(header) != 3 or not header[2].isdigit():
                    found.append(Missing())
                    continue
                size = int(header[2])
                if size > limit:
                    found.append(TooLarge(size))
                    break
                data = replies.read(size)
                if len(data) < size or not replies.read(1):
                    found.append(Missing())  # git knew of it, and died of what it found
                    break
                found.append(Object(header[0].decode(), header[1].decode(), data))
                held += size
                if held > _BUDGET:
                    break
            else:
                read_all = True
        finally:
            if not read_all:
                self.close()  # cheaper than reading to the end
        return found

    def _request(self, names: Sequence[str]) -> IO[bytes]:
        """Asks git for objects and returns where it replies."""
        # A newline would make two requests of one name.
        lines = "".join(name.replace("\n", "?") + "\n" for name in names)
        for is_new in (False, True):
            if self._process is None or self._pid != os.getpid() or is_new:
                self.close()
                self._process = self.repository.start_git("cat-file", "--batch")
                self._pid = os.getpid()
            requests, replies = _pipe(self._process.stdin), _pipe(self._process.stdout)
            with contextlib.suppress(BrokenPipeError):
                requests.write(lines.encode(errors="surrogateescape"))
                requests.flush()
                break
        return replies


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


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
