"""Git tags of ours: pins of runs and the registry's events, made, sent and fetched.

Tags are never moved. A name that is taken, here or on a remote, is told and left alone:
that refusal is what makes the registry's event numbers a lock.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from typing import NamedTuple

from mlgit import tags
from mlgit.errors import Invalid, NotFound, RemoteFailed, WriteFailed
from mlgit.ledger.repository import GitFailed, Repository
from mlgit.ledger.sync import known_remote, unreachable

_AT_ONCE = 500  # tags a command names; thousands would not fit


class Moved(NamedTuple):
    """What became of tags on their way to or from a remote."""

    names: list[str]
    """Those that arrived."""
    clashing: list[str]
    """Those that both sides have and that say different things; nothing was changed."""


def make(repository: Repository, name: str, commit: str, message: str) -> None:
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


def check_free(repository: Repository, name: str) -> None:
    """Checks that a tag can be made, before anything is made that it is to name.

    Raises:
        Invalid: git allows no such name.
        WriteFailed: there is such a tag.
    """
    try:
        repository.git("check-ref-format", f"refs/tags/{name}")
    except GitFailed as error:
        raise Invalid(f"git allows no tag with the name {name!r}") from error
    if repository.git("for-each-ref", f"refs/tags/{name}"):
        raise WriteFailed(f"there is a git tag {name} already", f"git show {name}")


def commit_of(repository: Repository, name: str) -> str:
    """Returns the commit that a git tag names.

    Raises:
        NotFound: there is no such tag, or it names no commit.
    """
    try:
        return repository.line("rev-parse", "--verify", "--quiet", f"refs/tags/{name}^{{commit}}")
    except GitFailed as error:
        raise NotFound(f"there is no git tag {name}", "list them: git tag") from error


def here(repository: Repository) -> dict[str, str]:
    """Returns the objects that our annotated tags name here, by tag."""
    form = "--format=%(objecttype) %(objectname) %(refname:strip=2)"
    lines = repository.git("for-each-ref", form, "refs/tags").decode(errors="replace").splitlines()
    found = (line.split(" ", 2) for line in lines)
    return {name: sha for kind, sha, name in found if kind == "tag" and tags.is_ours(name)}


def there(repository: Repository, remote: str) -> dict[str, str]:
    """Returns the objects that tags with names of ours have on a remote, by tag.

    Raises:
        RemoteFailed: it cannot be reached.
    """
    done = repository.talk("ls-remote", "--tags", "--refs", remote, show=False)
    if done.returncode:
        raise unreachable(remote, done)
    found = (line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)
    named = ((ref.removeprefix("refs/tags/"), sha) for sha, ref in found)
    return {name: sha for name, sha in named if tags.is_ours(name)}


def fetch(repository: Repository, remote: str | None = None) -> Moved:
    """Fetches the tags of ours that a remote has and we have not.

    Raises:
        NotFound: there is no such remote.
        RemoteFailed: it cannot be reached.
    """
    remote = known_remote(repository, remote)
    ours, theirs = here(repository), there(repository, remote)
    new = sorted(theirs.keys() - ours.keys())
    for names in _batches(new):
        options = ("--no-tags", "--no-prune", "--no-write-fetch-head", "--recurse-submodules=no")
        refspecs = [f"refs/tags/{name}:refs/tags/{name}" for name in names]
        done = repository.talk("fetch", *options, remote, *refspecs, show=False)
        if done.returncode:
            raise unreachable(remote, done)
    return Moved(new, _clashing(ours, theirs))


def push(repository: Repository, remote: str | None = None) -> Moved:
    """Sends our tags that a remote has not; either all of up to 500 at a time, or none.

    Raises:
        NotFound: there is no such remote.
        RemoteFailed: it cannot be reached, or refuses.
    """
    remote = known_remote(repository, remote)
    ours = here(repository)
    if not ours:
        return Moved([], [])
    theirs = there(repository, remote)
    new = sorted(ours.keys() - theirs.keys())
    for names in _batches(new):
        send(repository, remote, names)
    return Moved(new, _clashing(ours, theirs))


def send(repository: Repository, remote: str, names: Iterable[str]) -> None:
    """Pushes these tags together: where the remote can, all of them or none.

    Raises:
        RemoteFailed: it cannot be reached, or refuses one of them.
    """
    refspecs = [f"refs/tags/{name}:refs/tags/{name}" for name in names]
    done = _push(repository, remote, refspecs, "--atomic")
    if done.returncode and "does not support --atomic" in done.stderr:
        done = _push(repository, remote, refspecs)
    refused = [line for line in done.stdout.splitlines() if line.startswith("!")]
    if refused:
        told = next((line for line in refused if "atomic" not in line), refused[0]).split("\t")
        name = told[1].partition(":")[2].removeprefix("refs/tags/")
        reason = told[-1].partition("] ")[2].strip("()") or told[-1]
        said = [line for line in done.stderr.splitlines() if line.startswith("remote: ")]
        more = f"; it says: {said[0].removeprefix('remote: ').strip()[:200]}" if said else ""
        raise RemoteFailed(f"{remote} refused the git tag {name}: {reason}{more}")
    if done.returncode:
        raise unreachable(remote, done)


def _push(
    repository: Repository, remote: str, refspecs: list[str], *more: str
) -> subprocess.CompletedProcess[str]:
    options = ("--porcelain", "--no-follow-tags", "--recurse-submodules=no", *more)
    return repository.talk("push", *options, remote, *refspecs, show=False)


def _clashing(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    return sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name])


def _batches(names: list[str]) -> Iterable[list[str]]:
    return (names[first : first + _AT_ONCE] for first in range(0, len(names), _AT_ONCE))
