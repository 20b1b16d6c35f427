"""What git knows: the branch's own history, signatures, and the code of the runs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mlgit import names
from mlgit.errors import Unreadable
from mlgit.ledger import Ledger, base_commits
from mlgit.ledger.objects import Object, Reader
from mlgit.ledger.repository import GitFailed
from mlgit.records import MARK_BYTES, Run
from mlgit.verify.outcome import FAILED, OK, UNKNOWN, Answer, Outcome


class Commits(NamedTuple):
    """The commits of the ledger itself, newest first."""

    parents: dict[str, list[str]]
    """Those of each that are the ledger's, too."""
    code: set[str]
    """What they have as other parents: code, snapshots, version commits."""
    cut: bool
    """Whether the history is cut off here (a shallow clone)."""


def ledger_commits(ledger: Ledger) -> Commits:
    """Returns the commits of the ledger, told from those of the user's code by their tree."""
    repository = ledger.repository
    cut = repository.line("rev-parse", "--is-shallow-repository") == "true"
    try:
        lines = repository.line("rev-list", "--parents", _tip(ledger)).splitlines()
    except GitFailed as error:
        raise Unreadable(
            f"git cannot read the history of the branch {repository.branch}", "run 'git fsck'"
        ) from error
    parents_of = {commit: parents for commit, *parents in map(str.split, lines)}
    others = sorted({other for parents in parents_of.values() for other in parents[1:]})
    is_ledger = _are_ledgers(ledger.reader, others)
    parents: dict[str, list[str]] = {}
    code: set[str] = set()
    pending = [next(iter(parents_of))]
    while pending:
        commit = pending.pop()
        if commit in parents:
            continue
        first, rest = parents_of.get(commit, [])[:1], parents_of.get(commit, [])[1:]
        parents[commit] = [*first, *(other for other in rest if other in is_ledger)]
        code.update(other for other in rest if other not in is_ledger)
        pending += parents[commit]
    return Commits(parents, code, cut)


def _tip(ledger: Ledger) -> str:
    _, tip = base_commits(ledger.reader, ledger.repository)
    assert tip is not None, "the ledger was read"
    return tip


def _are_ledgers(reader: Reader, commits: Sequence[str]) -> set[str]:
    marks = reader.find_many(f"{commit}:{names.MARK}" for commit in commits)
    return {
        commit
        for commit, mark in zip(commits, marks, strict=True)
        if isinstance(mark, Object) and mark.data == MARK_BYTES
    }


def history(ledger: Ledger, commits: Commits, run_ids: set[str] | None) -> Iterator[Outcome]:
    """Yields whether what was written once was never changed or removed."""
    pairs = [
        f"{commit} {parent}" for commit, parents in commits.parents.items() for parent in parents
    ]
    listing = ledger.repository.git(
        *("diff-tree", "--stdin", "-r", "-z", "--no-renames", "--diff-filter=MDT", "--name-status"),
        input="".join(f"{pair}\n" for pair in pairs).encode(),
    )
    failed: set[str] = set()
    commit = ""
    # "<commit> NUL <status> NUL <path> NUL …"; a commit without changes is not printed.
    parts = iter(listing.decode(errors="replace").split("\0"))
    for part in parts:
        text = part.lstrip("\n")
        if re.fullmatch(r"[0-9a-f]{40}( [0-9a-f]{40})*", text):
            commit = text[:40]
        elif text in ("M", "D", "T"):
            path = next(parts, "")
            place = names.place(path)
            if run_ids is None or place.owner in run_ids:
                failed.add(commit)
                how = "removed" if text == "D" else "changed"
                yield Outcome("history", commit, FAILED, f"{names.shown(path, 120)} was {how}")
    for commit in commits.parents:
        if commit not in failed:
            yield Outcome("history", commit, OK)
    if commits.cut:
        yield Outcome("history", "older commits", UNKNOWN, "this clone is shallow")


_SIGNED: dict[str, tuple[Answer, str | None]] = {
    "G": (OK, None),
    "U": (OK, None),
    "X": (OK, None),  # good, by a key that has expired since
    "Y": (OK, None),
    "R": (FAILED, "signed by a key that was revoked"),
    "B": (FAILED, "the signature is bad"),
    "E": (UNKNOWN, "the signer's key is not known here"),
}


def signatures(ledger: Ledger, commits: Commits) -> Iterator[Outcome]:
    """Yields what git says of the signatures on the ledger's commits, where there are any."""
    listing = ledger.repository.git(
        *("log", "--no-walk=unsorted", "--stdin", "--format=%H %G?"),
        input="".join(f"{commit}\n" for commit in commits.parents).encode(),
    )
    for line in listing.decode(errors="replace").splitlines():
        commit, _, letter = line.partition(" ")
        if letter in _SIGNED:
            answer, reason = _SIGNED[letter]
            yield Outcome("signature", commit, answer, reason)


def sources(ledger: Ledger, runs: Sequence[Run], commits: Commits) -> Iterator[Outcome]:
    """Yields for each commit that runs ran whether it is here, whole, and reachable."""
    wanted = sorted(
        {sha for run in runs for sha in (run.source.commit, run.source.snapshot) if sha}
    )
    found = dict(zip(wanted, ledger.reader.find_many(wanted), strict=True))
    present = [sha for sha in wanted if _is_commit(found[sha])]
    lacking = _lacking(ledger, present)
    loose = _unreachable(ledger, [sha for sha in present if sha not in lacking])
    partial = bool(ledger.repository.config.get("extensions.partialclone"))
    for sha in wanted:
        if sha not in present or sha in lacking:
            what = "it is not here" if sha not in present else "a part of it is missing"
            yield Outcome("code", sha, *_gone(sha, what, commits, partial))
        elif sha in loose:
            reason = "no branch or tag leads to it; git may delete it"
            yield Outcome("code", sha, FAILED, reason)
        else:
            yield Outcome("code", sha, OK)


def _gone(sha: str, what: str, commits: Commits, partial: bool) -> tuple[Answer, str]:
    if commits.cut or partial:
        return UNKNOWN, f"{what}: this clone is {'shallow' if commits.cut else 'partial'}"
    if sha not in commits.code and what == "it is not here":
        return UNKNOWN, "only its id was recorded, and it is not in this repository"
    return FAILED, what


def _is_commit(found: object) -> bool:
    return isinstance(found, Object) and found.kind == "commit"


def _lacking(ledger: Ledger, present: Sequence[str]) -> set[str]:
    """Returns the commits of whose trees an object is missing."""
    if not _has_holes(ledger, present):
        return set()
    return {sha for sha in present if _has_holes(ledger, [sha])}


def _has_holes(ledger: Ledger, commits: Sequence[str]) -> bool:
    options = ("--objects", "--no-object-names", "--missing=print", "--no-walk", "--stdin")
    try:
        listing = ledger.repository.git(
            "rev-list", *options, input="".join(f"{sha}\n" for sha in commits).encode()
        )
    except GitFailed:
        return True
    return any(line.startswith(b"?") for line in listing.splitlines())


def _unreachable(ledger: Ledger, present: Sequence[str]) -> set[str]:
    """Returns the commits to which no ref leads, nor what is checked out."""
    # In a fresh clone the code hangs on the remote's branch, which is a ref, too.
    form = "--format=%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)"
    tips = ledger.repository.line("for-each-ref", form).split()
    with contextlib.suppress(GitFailed):  # HEAD may be unborn
        tips.append(ledger.repository.line("rev-parse", "--verify", "--quiet", "HEAD"))
    objects = list(ledger.reader.find_many(tips))
    tips = [tip for tip, found in zip(tips, objects, strict=True) if _is_commit(found)]
    text = "".join([*(f"{sha}\n" for sha in present), *(f"^{tip}\n" for tip in tips)])
    listing = ledger.repository.git("rev-list", "--stdin", input=text.encode())
    return {*listing.decode().split()} & {*present}
