"""Sharing a ledger: fetch, merge by union, push, and again if somebody was faster.

Nothing is ever forced. A push that is refused because the remote moved on is
answered by fetching, merging (which cannot conflict) and pushing again.
"""

from __future__ import annotations

import contextlib
import random
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mlgit import names
from mlgit.errors import NotFound, RemoteFailed, Unreadable, WriteFailed
from mlgit.ledger import snapshot, walk
from mlgit.ledger.append import (
    ATTEMPTS,
    BEGIN,
    append,
    commit_at,
    locked,
    maintain,
    root_tree,
    swap,
    write_commit,
)
from mlgit.ledger.merge import check_incoming, union
from mlgit.ledger.objects import Missing, Object, Reader, Store, lookup
from mlgit.ledger.repository import GitFailed, Repository

PUSHES = 20  # pushes in a row that others were faster than


News = dict[str, int]
"""Of how many other things something new is said, by the folder they lie in: "runs",
"experiments", "models", "remotes"."""


class Exchange(NamedTuple):
    """What moved between here and a remote: how many runs, and what was said of others."""

    remote: str
    received: int = 0
    sent: int = 0
    received_news: News = {}  # noqa: RUF012
    sent_news: News = {}  # noqa: RUF012


class Cargo(NamedTuple):
    """The commits that a push would carry besides the ledger's own."""

    first: bool
    """The remote is not known to have a ledger yet."""
    code: int
    """Commits of the user's code; snapshots, and what pins and versions stand on, not counted."""
    snapshots: int
    """Commits of uncommitted work."""


class Beginning(NamedTuple):
    """How `init` found or made the ledger."""

    how: str
    """"present", "followed" (the remote's) or "made"."""
    unreachable: str | None = None
    """Why the remote could not be asked, if so."""


def init(repository: Repository) -> Beginning:
    """Makes the ledger's branch, or follows the one that the remote has.

    Raises:
        Unreadable: the branch, here or there, is not a ledger, or of a later format.
        WriteFailed: it cannot be written.
    """
    reader = Reader(repository)
    try:
        tip = commit_at(reader, repository.ref)
        if tip:
            root_tree(reader, tip)
            return Beginning("present")
        unreachable = None
        remote = repository.remote
        if remote:
            try:
                _fetch(repository, remote, show=False)
            except RemoteFailed as error:
                unreachable = error.message
            if _integrate(repository, reader, remote):
                return Beginning("followed", unreachable)
    finally:
        reader.close()
    append(repository, {}, BEGIN)
    return Beginning("made", unreachable)


def pull(repository: Repository, remote: str | None = None, show: bool = False) -> Exchange:
    """Fetches the remote's ledger and merges it into ours.

    `show` lets git's own progress through to stderr.

    Raises:
        NotFound: there is no such remote.
        RemoteFailed: it cannot be reached.
        Unreadable: what it has is no ledger, or contradicts ours; ours is as it was.
    """
    remote = known_remote(repository, remote)
    reader = Reader(repository)
    try:
        before = commit_at(reader, repository.ref)
        _fetch(repository, remote, show)
        _integrate(repository, reader, remote)
        runs, news = _news(reader, before, commit_at(reader, repository.ref))
        return Exchange(remote, received=runs, received_news=news)
    finally:
        reader.close()


def push(
    repository: Repository,
    remote: str | None = None,
    show: bool = False,
    tags: Sequence[str] = (),
    turn: str | None = None,
) -> Exchange:
    """Sends our ledger to the remote, first merging what others have sent meanwhile.

    With it go these git tags and the refspec of a turn to decide about a model (see
    `tagging.Turn`), in one push: all of it or nothing. A remote that cannot do that gets
    the turn first, then the ledger, then the tags, until it refuses something.

    Raises:
        NotFound: there is no such remote, or no ledger to send.
        Overtaken: it has another tag of a name, or it was somebody else's turn.
        Refused: it says no to a tag; TurnRefused: to the turn.
        RemoteFailed: it cannot be reached, or says no to the ledger.
        Unreadable: what it has is no ledger, or contradicts ours; ours is as it was.
    """
    return _send(repository, remote, show, _Along(tags, turn), fetch=False)


def sync(
    repository: Repository,
    remote: str | None = None,
    show: bool = False,
    tags: Sequence[str] = (),
) -> Exchange:
    """Pulls, then pushes; see there."""
    return _send(repository, remote, show, _Along(tags), fetch=True)


class _Along(NamedTuple):
    """What goes to a remote with the ledger."""

    tags: Sequence[str] = ()
    turn: str | None = None
    """A refspec."""


def _send(
    repository: Repository, remote: str | None, show: bool, along: _Along, fetch: bool
) -> Exchange:
    remote = known_remote(repository, remote)
    reader = Reader(repository)
    try:
        refusal = ""
        before = commit_at(reader, repository.ref)
        for attempt in range(PUSHES):
            if attempt or fetch:
                _fetch(repository, remote, show)
                _integrate(repository, reader, remote)
            ours = commit_at(reader, repository.ref)
            if ours is None:
                raise NotFound("there is no ledger here to push", "run 'mlgit init'")
            theirs = commit_at(reader, repository.tracking_ref(remote))
            try:
                known = None if _push(repository, remote, ours, along, show) == _NEW else theirs
                received, heard = _news(reader, before, ours)
                sent, told = _news(reader, known, ours)
                return Exchange(remote, received, sent, heard, told)
            except _Behind as error:
                refusal = error.message
            time.sleep(random.uniform(0, 0.05 * attempt))
    finally:
        reader.close()
    raise RemoteFailed(f"{refusal}, {PUSHES} times in a row", "others were faster; try again")


def cargo(repository: Repository, remote: str | None = None) -> Cargo:
    """Returns what a push would carry besides the ledger's own commits, as far as is known here.

    Raises:
        NotFound: there is no such remote.
    """
    remote = known_remote(repository, remote)
    reader = Reader(repository)
    try:
        first = commit_at(reader, repository.tracking_ref(remote)) is None
        if commit_at(reader, repository.ref) is None:
            return Cargo(first, 0, 0)
        unknown = (repository.ref, "--not", f"--remotes={remote}")
        commits = repository.line("rev-list", *unknown).split()
        marks = reader.find_many(f"{commit}:{names.MARK}" for commit in commits)
        others = [c for c, mark in zip(commits, marks, strict=True) if isinstance(mark, Missing)]
        ignored = reader.find_many(f"{commit}:{names.DVC_IGNORE}" for commit in others)
        code = sum(not (isinstance(f, Object) and f.data == names.VERSION_MARK) for f in ignored)
        pattern = f"--grep=^{snapshot.TRAILER}$"
        snapshots = int(repository.line("rev-list", "--count", pattern, *unknown))
        return Cargo(first, code - snapshots, snapshots)
    finally:
        reader.close()


def unpushed(repository: Repository) -> int | None:
    """Returns how many runs have something the remote is not known to have.

    None: there is no remote, or no ledger.
    """
    reader = Reader(repository)
    try:
        ours = commit_at(reader, repository.ref)
        if repository.remote is None or ours is None:
            return None
        theirs = commit_at(reader, repository.tracking_ref(repository.remote))
        runs, news = _news(reader, theirs, ours)
        return runs + news.get("runs", 0)
    finally:
        reader.close()


def known_remote(repository: Repository, remote: str | None) -> str:
    """Returns the git remote of this name, or the one for runs.

    Raises:
        NotFound: there is none.
    """
    chosen = remote or repository.remote
    if chosen in repository.remotes:
        return str(chosen)
    if chosen:
        raise NotFound(
            f"there is no git remote {chosen!r}",
            f"git remote add {chosen} URL"
            if not repository.remotes
            else "there is " + ", ".join(repository.remotes),
        )
    if repository.remotes:
        raise NotFound(
            "there are several git remotes and none is origin",
            f"name one, or choose: git config mlgit.remote {repository.remotes[0]}",
        )
    raise NotFound("this repository has no git remote", "git remote add origin URL")


def _news(reader: Reader, before: str | None, after: str | None) -> tuple[int, News]:
    """Returns how many runs only the second ledger has, and of what else it says more.

    Where there was no ledger before, nothing was known of which it could say more.
    """
    if after is None or before == after:
        return 0, {}
    new = root_tree(reader, after)
    if before is None:
        return sum(1 for _ in walk.run_folders(reader, new)), {}
    old = root_tree(reader, before)
    changed = [folder.run_id for folder in walk.changed_folders(reader, old, new)]
    told = sum(1 for _ in walk.find_folders(reader, old, changed))
    news = {"runs": told} | {kind: _differing(reader, old, new, kind) for kind in _TOLD_OF}
    return len(changed) - told, {kind: count for kind, count in news.items() if count}


_TOLD_OF = ("experiments", "models", "remotes")


def _differing(reader: Reader, old: str, new: str, folder: str) -> int:
    """Returns how many entries of a folder the second tree has otherwise, or only it has."""
    found = [lookup(reader, root, folder) for root in (old, new)]
    before, after = (reader.tree(entry.sha) if entry and entry.is_tree else {} for entry in found)
    return sum(before.get(name) != entry for name, entry in after.items())


def _integrate(repository: Repository, reader: Reader, remote: str) -> bool:
    """Merges the remote's ledger, as last fetched, into ours; False if it has none."""
    theirs = commit_at(reader, repository.tracking_ref(remote))
    if theirs is None:
        return False
    their_root = _their_root(reader, theirs, remote)
    store = Store(repository)
    with locked(repository):
        for _ in range(ATTEMPTS):
            ours = commit_at(reader, repository.ref)
            if ours == theirs or (ours and _is_ancestor(repository, theirs, ours)):
                return True
            root = root_tree(reader, ours) if ours else None
            try:
                check_incoming(repository, root, their_root)
                merged = union(reader, store, root, their_root) if root else their_root
            except Unreadable as error:
                raise Unreadable(
                    f"the ledger of {remote} was not merged: {error.message}",
                    error.hint or "tell whoever pushed it; your own ledger is as it was",
                ) from error
            # Following is enough only if they dropped nothing of what we have.
            if (ours is None or _is_ancestor(repository, ours, theirs)) and merged == their_root:
                new = theirs
            else:
                message = f"merge the ledger of {remote}\n"
                parents = [parent for parent in (ours, theirs) if parent]
                new = write_commit(repository, store, merged, parents, message)
            if swap(repository, new, ours, f"merge the ledger of {remote}"):
                maintain(repository)
                return True
    raise WriteFailed(
        f"the branch {repository.branch} moved {ATTEMPTS} times in a row", "try again"
    )


def _their_root(reader: Reader, theirs: str, remote: str) -> str:
    try:
        return root_tree(reader, theirs)
    except Unreadable as error:
        raise Unreadable(f"the ledger of {remote}: {error.message}", error.hint) from error


def _is_ancestor(repository: Repository, earlier: str, later: str) -> bool:
    try:
        repository.git("merge-base", "--is-ancestor", earlier, later)
    except GitFailed as error:
        if error.code == 1:
            return False
        raise
    return True


def _fetch(repository: Repository, remote: str, show: bool) -> None:
    # A pattern, because a remote that has no such branch is no error for one.
    refspec = f"+{repository.ref}*:{repository.tracking_ref(remote)}*"
    options = ("--no-tags", "--no-prune", "--no-write-fetch-head", "--recurse-submodules=no")
    for _ in range(ATTEMPTS):
        done = repository.talk("fetch", *options, *_progress(show), remote, refspec, show=show)
        if not done.returncode:
            return
        if done.returncode != _REF_WAS_BUSY:
            break
        time.sleep(random.uniform(0, 0.1))
    raise unreachable(remote, done)


_REF_WAS_BUSY = 1  # another fetch of the same branch; what goes wrong on the way is 128


class Refused(RemoteFailed):
    """A remote said no to a git tag, or to the turn to decide about a model."""


class TurnRefused(Refused):
    """It said no to the turn only, whose ref it does not let in."""


class Overtaken(Refused):
    """Somebody was faster: a remote has another git tag of the name, or the turn was theirs."""


class _Behind(RemoteFailed):
    """The remote has moved on since it was last seen, or is being written to right now."""


_NEW = "*"  # git's sign for a branch that the push made
_NOT_ATOMIC = "does not support --atomic"


def _push(repository: Repository, remote: str, ours: str, along: _Along, show: bool) -> str:
    """Pushes once and returns git's sign for what happened to the branch.

    The commit is named, not the branch: a run may be saved meanwhile.
    """
    turn = [along.turn] if along.turn else []
    ledger = [f"{ours}:{repository.ref}"]
    tags = [f"refs/tags/{name}:refs/tags/{name}" for name in along.tags]

    def push(*refspecs: str) -> subprocess.CompletedProcess[str]:
        options = ("--porcelain", "--no-follow-tags", "--recurse-submodules=no", *_progress(show))
        return repository.talk("push", *options, remote, *refspecs, show=show)

    done = push("--atomic", *ledger, *tags, *turn) if tags or turn else push(*ledger)
    found = last = _outcomes(done)
    is_atomic = _NOT_ATOMIC not in done.stderr
    for part in () if is_atomic else filter(None, (turn, ledger, tags)):
        done = push(*part)
        last = _outcomes(done)
        found += last
        if done.returncode:
            break
    if done.returncode and not last:
        raise unreachable(remote, done)
    sign = next((outcome.sign for outcome in found if outcome.ref == repository.ref), "!")
    if sign != "!":
        # git does this itself only where the remote's fetch rule covers the branch. If
        # another process does at this moment, the next fetch puts it right.
        with contextlib.suppress(GitFailed):
            repository.git("update-ref", repository.tracking_ref(remote), ours)
    said = _reasons(done.stderr, "remote: ")
    if refusal := _refusal(remote, repository.ref, found, said, is_atomic):
        raise refusal
    return sign


class _Outcome(NamedTuple):
    """What `git push --porcelain` says of a ref."""

    sign: str
    """"!": it was refused."""
    ref: str
    """Its name on the remote."""
    reason: str
    """As in "fetch first"."""


def _outcomes(done: subprocess.CompletedProcess[str]) -> list[_Outcome]:
    parts = (line.split("\t") for line in done.stdout.splitlines())
    return [
        _Outcome(told[0], told[1].rpartition(":")[2], told[2].partition("] ")[2].strip("()"))
        for told in parts
        if len(told) == 3
    ]


_TAGS = "refs/tags/"
_SAFE = "what is here is safe and can be sent later"


_TOGETHER = "atomic"  # "atomic push failed" and the like: it was refused for another ref's sake
_RACE = (
    "fetch first",
    "non-fast-forward",
    "already exists",
    "cannot lock",
    "failed to update ref",
    "incorrect old",
)


def _refusal(
    remote: str, ledger: str, outcomes: Sequence[_Outcome], said: Sequence[str], is_atomic: bool
) -> RemoteFailed | None:
    """Returns the error that something was refused, None if nothing was; pure.

    A ref that moved meanwhile is a race, and to be told from a hook that says no. `said` are
    the lines of the remote.
    """
    refused = {each.ref: each.reason for each in outcomes if each.sign == "!"}
    if not refused:
        return None
    suspects = {ref: why for ref, why in refused.items() if _TOGETHER not in why} or refused
    ref = ledger if ledger in suspects else next(iter(suspects))
    reason = suspects[ref]
    is_whole = ref == ledger and len(refused) > 1 and suspects == refused
    what = "the ledger" if ref == ledger else _called(ref)
    what += " and the git tags" * is_whole
    words = f"; it says: {'; '.join(said[:3])}" if said else ""
    message = f"{remote} refused {what}: {reason}{words}"
    moved = _moved(ledger, suspects, said)
    for each in moved:
        if each != ledger:
            return _overtaken(remote, each)
    if moved:
        return _Behind(message)
    if ref != ledger and not ref.startswith(_TAGS):
        return TurnRefused(
            message,
            "that ref keeps two people from deciding at the same time; let it in there, "
            "or decide without --push and send it with 'mlgit push'",
        )
    hint = f"nothing was sent; {_SAFE}" if is_atomic else _SAFE
    if "shallow" in reason:
        hint = "the history here is cut off; fetch all of it: git fetch --unshallow"
    is_about_tags = ref != ledger or (is_whole and "declined" in reason)
    return Refused(message, hint) if is_about_tags else RemoteFailed(message, hint)


def _moved(ledger: str, suspects: Mapping[str, str], said: Sequence[str]) -> list[str]:
    """Returns which refs were refused because somebody has written them meanwhile.

    Of what is written at once git does not say which it was: then the ledger, because who
    looks again is told.
    """
    if any("; cannot create" in line for line in said):
        return []  # "cannot lock ref 'a/b': 'a' exists; cannot create 'a/b'": it never can
    if all(_TOGETHER in why for why in suspects.values()):
        return [ledger] if any("cannot lock ref" in line for line in said) else []
    return [ref for ref, why in suspects.items() if any(race in why for race in _RACE)]


def _overtaken(remote: str, ref: str) -> Overtaken:
    if ref.startswith(_TAGS):
        told = f"{remote} refused {_called(ref)}: it has another one of this name"
        return Overtaken(told, "'mlgit pull' says what to do")
    told = f"{remote} refused: somebody else decided about the model at the same time"
    return Overtaken(told, "'mlgit pull' fetches what they said")


def _called(ref: str) -> str:
    return f"the git tag {ref.removeprefix(_TAGS)}" if ref.startswith(_TAGS) else ref


def _progress(show: bool) -> tuple[str, ...]:
    return ("--progress",) if show else ()


def unreachable(remote: str, done: subprocess.CompletedProcess[str]) -> RemoteFailed:
    """Returns the error of a git command that did not reach a remote."""
    reason = "".join(_reasons(done.stderr)[:1])
    if done.args[1] == "push" and done.returncode == 1:
        return RemoteFailed(
            "the hook pre-push of this repository stopped the push" + (reason and f": {reason}"),
            "repair what it complains about; what is here is safe",
        )
    return RemoteFailed(
        f"{remote} cannot be reached: {reason or 'git does not say why'}",
        f"check 'git ls-remote {remote}'; what is here is safe and can be sent later",
    )


def _reasons(stderr: str, mark: str = "") -> list[str]:
    """Returns what git or the other side said, without progress and passwords in URLs."""
    lines = [line for line in stderr.splitlines() if line.startswith(mark) and line.strip()]
    plain = [re.sub(r"^(fatal|error|remote): ", "", line).strip() for line in lines]
    return [re.sub(r"://[^/@\s]*@", "://", line)[:200] for line in plain if not _NOISE.match(line)]


# What git says anyway: that it failed, and how far it is.
_NOISE = re.compile(
    r"failed to push some refs|error: hook declined to update "
    r"|[A-Z]\w+ \w+: +\d+[%,]|Delta compression using|Total \d+ \("
)
