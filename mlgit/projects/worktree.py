"""A work tree of its own with the exact code and data of a run; the user's is not touched."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from mlgit import artifacts, names
from mlgit.data import checkout, dvc_repo, ingest, store
from mlgit.data.state import open_state
from mlgit.data.traffic import Progress
from mlgit.errors import Invalid, MlgitError, NotFound, WriteFailed
from mlgit.ledger import Ledger, worktrees
from mlgit.ledger.repository import GitFailed, Repository
from mlgit.ledger.worktrees import Place
from mlgit.records import Pointer, Run


@contextlib.contextmanager
def at(repository: Repository, commit: str, kept: Path | None) -> Iterator[Place]:
    """Gives a work tree at a commit, and removes it afterwards unless it is to be `kept`.

    Those that killed processes have left are removed first.

    Raises:
        Invalid: something is at the path to keep it at.
        WriteFailed: it cannot be made.
    """
    if kept is not None and os.path.lexists(kept):
        raise Invalid(f"{kept} is there already", "name a new folder")
    for left in worktrees.abandoned(repository):
        worktrees.remove(repository, left)
    if kept is not None:
        _make(repository, kept.absolute(), commit)
        yield Place(kept.absolute(), None)
        return
    with worktrees.temporary(repository) as place:
        _make(repository, place.folder, commit)
        yield place


def _make(repository: Repository, folder: Path, commit: str) -> None:
    # The user's hooks are about the user's work trees.
    options = ("-c", f"core.hooksPath={os.devnull}", "-c", "advice.detachedHead=false")
    try:
        repository.git(
            *options, "worktree", "add", "--detach", "--no-checkout", str(folder), commit
        )
        # Told where everything lies: GIT_INDEX_FILE and its like may be set to the user's.
        own = _git_dir(folder)
        env = {"GIT_DIR": own, "GIT_WORK_TREE": str(folder), "GIT_INDEX_FILE": f"{own}/index"}
        whole = ("-c", "core.sparseCheckout=false")
        repository.git(*options, *whole, "read-tree", "--reset", "-u", commit, env=env)
    except GitFailed as error:
        raise WriteFailed(
            f"git cannot make a work tree at {commit[:12]}: {error.stderr.strip()[-300:]}"
        ) from error


def _git_dir(folder: Path) -> str:
    """Returns the git directory of a linked work tree, which its file `.git` names."""
    return (folder / ".git").read_text("utf-8", "surrogateescape").strip().removeprefix("gitdir: ")


def place_data(
    ledger: Ledger, run: Run, folder: Path, progress: Progress | None = None
) -> tuple[list[str], list[str]]:
    """Puts the run's inputs where they were, below `folder`; returns what was placed, and notes.

    Bytes come from the data store, the user's DVC cache, the user's own file if it is
    still the same, or the data remote. What was made in memory, and addresses, are the
    script's to get again; a note says so of addresses.

    Raises:
        NotFound: an input's bytes are nowhere.
        Unreadable: they are not the bytes that were recorded.
        Invalid: the path leads out of the work tree.
    """
    placed, notes = [], []
    for pointer in run.inputs:
        if pointer.origin == "url":
            notes.append(f"{pointer.url} is read again, whatever it holds now")
        elif pointer.origin != "memory" and pointer.md5:
            _place(ledger, pointer, folder, progress)
            placed.append(pointer.path)
    return placed, notes


def _place(ledger: Ledger, pointer: Pointer, folder: Path, progress: Progress | None) -> None:
    md5, target = str(pointer.md5), folder / pointer.path
    source = _source(ledger, pointer, progress)
    if pointer.origin == "glob":  # files among others: those of the code stay
        for member in store.members(source, md5):
            _replace(source, member.md5, target / member.path, folder)
    else:
        _replace(source, md5, target, folder)


def _replace(source: Path, md5: str, target: Path, folder: Path) -> None:
    # A link in the code may lead anywhere, and what is there is replaced.
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise Invalid(
            f"the input {names.shown(target.relative_to(folder).as_posix())} lies behind a link "
            "that leads out of the code",
            "nothing was written there; the record may come from somebody you should not trust",
        )
    try:
        checkout.checkout(source, md5, target)
    except Invalid:  # what git has there is not what the run read
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink()
        checkout.checkout(source, md5, target)


def _source(ledger: Ledger, pointer: Pointer, progress: Progress | None) -> Path:
    """Returns a store that has an input's bytes."""
    repository, md5 = ledger.repository, str(pointer.md5)
    for place in (repository.data_store, *dvc_repo.caches(repository.start)):
        with contextlib.suppress(MlgitError):
            if store.has_all(place, md5):
                return place
    if repository.work_tree and _take_if_same(repository, repository.work_tree, pointer):
        return repository.data_store
    if pointer.stored != "dvc":
        raise NotFound(
            f"of the input {names.shown(pointer.path)} only the hash was recorded, "
            "and no file here has it",
            f"put the file there: its md5 is {md5}",
        )
    artifacts.fetch(ledger, [md5], progress)
    return repository.data_store


def _take_if_same(repository: Repository, root: Path, pointer: Pointer) -> bool:
    path = root / pointer.path
    if pointer.origin == "glob" or not path.exists():
        return False
    with contextlib.suppress(MlgitError), open_state(repository.state / "state.sqlite") as known:
        if ingest.measure(path, known).md5 == pointer.md5:
            return ingest.take(repository.data_store, path, known).md5 == pointer.md5
    return False
