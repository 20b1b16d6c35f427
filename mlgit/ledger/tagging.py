"""Git tags of ours: pins of runs and the registry's events, made, sent and fetched.

Tags are never moved. A name that is taken, here or on a remote, is told and left alone:
that refusal is what makes the registry's event numbers a lock.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from mlgit import tags
from mlgit.errors import Invalid, NotFound, WriteFailed
from mlgit.ledger.append import write_commit
from mlgit.ledger.objects import Store, store_files
from mlgit.ledger.repository import GitFailed, Repository
from mlgit.ledger.sync import Exchange, known_remote, push, unreachable

_AT_ONCE = 500  # tags a command names; thousands would not fit


class Moved(NamedTuple):
    """What became of tags on their way to or from a remote."""

    names: list[str]
    """Those that arrived."""
    clashing: list[str]
    """Those that both sides have and that say different things; nothing was changed."""
    waiting: list[str] = []  # noqa: RUF012
    """Those that the remote has not."""


def make(repository: Repository, name: str, commit: str, message: str) -> None:
    """Makes an annotated git tag, signed if `tag.gpgSign` says so.

    Raises:
        Invalid: git allows no such name.
        WriteFailed: there is such a tag, or it cannot be written or signed.
    """
    check_free(repository, name)
    make_all(repository, [New(name, commit, message, int(time.time()))])


class New(NamedTuple):
    """An annotated tag to be made."""

    name: str
    commit: str
    message: str
    when: int
    """Seconds since 1970."""


def make_all(repository: Repository, new: Sequence[New], sign: bool = False) -> None:
    """Makes annotated git tags, all of them or none, signed with `sign` or by `tag.gpgSign`.

    Raises:
        WriteFailed: there is one of the names already, or one cannot be written or signed.
    """
    if sign or repository.flag("tag.gpgsign", False):
        shas = _signed(repository, new)
    else:
        store = Store(repository)
        shas = [store.put("tag", _content(repository, tag)) for tag in new]
    commands = [f"create refs/tags/{tag.name} {sha}\n" for tag, sha in zip(new, shas, strict=True)]
    try:
        repository.git("update-ref", "--stdin", input="".join(commands).encode())
    except GitFailed as error:
        taken = next((tag.name for tag in new if f"refs/tags/{tag.name}'" in error.stderr), None)
        if taken and "already exists" in error.stderr:
            raise WriteFailed(f"there is a git tag {taken} already", f"git show {taken}") from error
        raise WriteFailed(f"git tags cannot be made: {error.stderr.strip()[:300]}") from error


def _content(repository: Repository, tag: New) -> bytes:
    person = repository.person
    zone = time.strftime("%z", time.localtime(tag.when))
    lines = [f"object {tag.commit}", "type commit", f"tag {tag.name}"]
    lines += [f"tagger {person.name} <{person.email}> {tag.when} {zone}", "", tag.message]
    return "\n".join(lines).encode(errors="surrogateescape")


_SIGNING = ("gpg.", "user.", "tag.")


def _signed(repository: Repository, new: Sequence[New]) -> list[str]:
    """Lets git sign tags in a repository of its own that borrows our objects.

    So that no ref of ours appears before all are signed: git has no command that signs a
    tag without making it.
    """
    settings = [
        part
        for key, value in repository.config.items()
        if key.startswith(_SIGNING)
        for part in ("-c", f"{key}={value}")
    ]
    store = Store(repository)
    shas = []
    with tempfile.TemporaryDirectory(prefix="mlgit-sign-") as folder:
        repository.git("init", "--quiet", "--bare", folder)
        borrowed = os.path.join(folder, "objects", "info", "alternates")
        with open(borrowed, "wb") as file:
            file.write(os.fsencode(repository.objects) + b"\n")
        for tag in new:
            env = {"GIT_DIR": folder, "GIT_COMMITTER_DATE": f"{tag.when} +0000"}
            options = ("--sign", "--cleanup=verbatim", "--file=-", "--end-of-options")
            try:
                repository.git(
                    *settings,
                    *("tag", *options, tag.name, tag.commit),
                    input=tag.message.encode(errors="surrogateescape"),
                    env=env,
                )
                content = repository.git("cat-file", "tag", f"refs/tags/{tag.name}", env=env)
            except GitFailed as error:
                raise _unsigned(tag.name, f": {error.stderr.strip()[:300]}") from error
            if b"\n-----BEGIN " not in content:  # git 2.39 warns and exits with 0
                raise _unsigned(tag.name)
            shas.append(store.put("tag", content))
    return shas


def _unsigned(name: str, reason: str = "") -> WriteFailed:
    return WriteFailed(
        f"git could not sign the tag {name}{reason}",
        "say which key: git config user.signingkey, and of an SSH key git config gpg.format ssh; "
        "tag.gpgSign false makes tags of the registry without signatures",
    )


def drop(repository: Repository, names: Iterable[str]) -> None:
    """Deletes tags that were made here and that nobody else has seen, all or none."""
    commands = "".join(f"delete refs/tags/{name}\n" for name in names)
    repository.git("update-ref", "--stdin", input=commands.encode())


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
    return Moved(new, _clashing(ours, theirs), sorted(ours.keys() - theirs.keys()))


def share(
    repository: Repository,
    move: Callable[[Repository, str | None, bool, Sequence[str]], Exchange],
    remote: str | None = None,
    show: bool = False,
) -> tuple[Exchange, Moved]:
    """Sends the ledger, by `sync.push` or `sync.sync`, with our tags that a remote has not.

    What is beyond 500 tags follows in further such pushes.

    Raises:
        NotFound: there is no such remote, or no ledger.
        Overtaken: it has another tag of a name by now.
        Refused: it says no to a tag.
        RemoteFailed: it cannot be reached, or says no to the ledger.
        Unreadable: what it has is no ledger, or contradicts ours.
    """
    remote = known_remote(repository, remote)
    ours = here(repository)
    theirs = there(repository, remote) if ours else {}
    new = sorted(ours.keys() - theirs.keys())
    exchange = move(repository, remote, show, new[:_AT_ONCE])
    for names in _batches(new[_AT_ONCE:]):
        send(repository, remote, names)
    return exchange, Moved(new, _clashing(ours, theirs))


class Turn(NamedTuple):
    """Whose turn it is to decide about a model: what its ref on the remote was at.

    Each decision that is pushed moves `refs/mlgit/registry/<model>` one commit on, together
    with its tags. So of two who decided at the same time one is refused, whatever tags they
    made, and nothing is ever forced.
    """

    ref: str
    commit: str | None


def take_turn(repository: Repository, remote: str, model: str) -> Turn:
    """Returns where a model stands on a remote; to be asked before tags are fetched.

    Raises:
        RemoteFailed: it cannot be reached.
    """
    ref = f"refs/mlgit/registry/{tags.encode(model).replace('/', '%2F')}"
    done = repository.talk("ls-remote", "--refs", remote, ref, show=False)
    if done.returncode:
        raise unreachable(remote, done)
    commit = done.stdout.partition("\t")[0] or None
    if commit:
        options = ("--no-tags", "--no-write-fetch-head", "--recurse-submodules=no")
        done = repository.talk("fetch", *options, remote, ref, show=False)
        if done.returncode:
            raise unreachable(remote, done)
    return Turn(ref, commit)


def send(
    repository: Repository,
    remote: str,
    names: Sequence[str],
    turn: Turn | None = None,
    show: bool = False,
) -> None:
    """Pushes these tags together with the ledger they stand on, as `sync.push` does.

    With a `turn` they go only if nobody has decided about the model since.

    Raises:
        Overtaken: somebody was faster.
        Refused: the remote says no to a tag or the turn.
        RemoteFailed: it cannot be reached, or says no to the ledger.
        Unreadable: what it has is no ledger, or contradicts ours.
    """
    push(repository, remote, show, names, _moved_on(repository, turn, names) if turn else None)


def _moved_on(repository: Repository, turn: Turn, names: Sequence[str]) -> str:
    """Makes the commit of a decision, and returns the refspec that sends it."""
    store = Store(repository)
    parents = [turn.commit] if turn.commit else []
    message = "\n".join(["decide", "", *names]) + "\n"
    commit = write_commit(repository, store, store_files(store, {}), parents, message)
    return f"{commit}:{turn.ref}"


def _clashing(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    return sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name])


def _batches(names: list[str]) -> Iterable[list[str]]:
    return (names[first : first + _AT_ONCE] for first in range(0, len(names), _AT_ONCE))
