"""Small commits of their own, and the git tags that name them.

A version commit holds what plain DVC needs to fetch a run's model and data; its
parent is the exact code. It stands on no branch: its git tag keeps it, and so does
the ledger, where a commit with it as second parent says why it was made.
"""

from __future__ import annotations

from collections.abc import Mapping

from mlgit.errors import Invalid, NotFound, WriteFailed
from mlgit.ledger.append import write_commit
from mlgit.ledger.objects import FILE, TREE, Entry, Store, Tree, format_tree
from mlgit.ledger.repository import GitFailed, Repository


def commit_files(
    repository: Repository, files: Mapping[str, bytes], parent: str | None, message: str
) -> str:
    """Makes a commit that holds exactly these files and returns it; moves no ref.

    Raises:
        WriteFailed: it cannot be stored or signed.
    """
    store = Store(repository)
    tree = _tree(store, files)
    return write_commit(repository, store, tree, [parent] if parent else [], message)


def _tree(store: Store, files: Mapping[str, bytes]) -> str:
    entries: Tree = {}
    below: dict[str, dict[str, bytes]] = {}
    for path, content in files.items():
        name, slash, rest = path.partition("/")
        if slash:
            below.setdefault(name, {})[rest] = content
        else:
            entries[name] = Entry(FILE, store.put("blob", content))
    for name, inside in below.items():
        entries[name] = Entry(TREE, _tree(store, inside))
    return store.put("tree", format_tree(entries))


def add_tag(repository: Repository, name: str, commit: str, message: str) -> None:
    """Makes an annotated git tag, signed if `tag.gpgSign` says so.

    Raises:
        Invalid: git allows no such name.
        WriteFailed: there is such a tag, or it cannot be written or signed.
    """
    try:
        # The default clean-up would drop lines that begin with '#'.
        options = ("--annotate", "--cleanup=verbatim", "--file=-")
        repository.git("tag", *options, "--end-of-options", name, commit, input=message.encode())
    except GitFailed as error:
        if "not a valid tag name" in error.stderr:
            raise Invalid(f"git allows no tag with the name {name!r}") from error
        if "already exists" in error.stderr:
            raise WriteFailed(f"there is a git tag {name} already", f"git show {name}") from error
        raise WriteFailed(f"the git tag {name} cannot be made: {error.stderr.strip()}") from error


def tag_commit(repository: Repository, name: str) -> str | None:
    """Returns the commit that a git tag names, or None if there is no such tag."""
    try:
        return repository.line("rev-parse", "--verify", "--quiet", f"refs/tags/{name}^{{commit}}")
    except GitFailed:
        return None


def file_at(repository: Repository, commit: str, path: str) -> bytes:
    """Returns the bytes of a file in a commit.

    Raises:
        NotFound: there is none.
    """
    try:
        return repository.git("cat-file", "blob", f"{commit}:{path}")
    except GitFailed as error:
        raise NotFound(f"the commit {commit[:12]} has no file {path}") from error
