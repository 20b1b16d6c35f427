"""Annotated git tags as objects: what the registry's rooms read out of them.

See https://git-scm.com/docs/git-mktag. A ref may hold the tag object of another name
(`git tag new old` makes one so): what was said, and signed, under one name is not taken for
what another says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mlgit.ledger.repository import Repository

_PREFIX = "Mlgit-"
_TAG = re.compile(
    r"object ([0-9a-f]{40})\ntype commit\ntag ([^\n]+)\n"
    r"tagger ([^<\n]*) <([^>\n]*)> (\d{1,12}) [^\n]*\n"
    r"(?:[^\n]+\n)*\n([^\n]*)\n?(.*)",
    re.DOTALL,
)
_TRAILER = re.compile(rf"^{_PREFIX}([\w-]+): (.*)$", re.MULTILINE)
# How https://git-scm.com/docs/gitformat-signature has signatures begin.
_KINDS = {
    "SSH SIGNATURE": "SSH",
    "PGP SIGNATURE": "GPG",
    "PGP MESSAGE": "GPG",
    "SIGNED MESSAGE": "X.509",
}
SIGNATURE = rf"^-----BEGIN ({'|'.join(_KINDS)})-----"
_SIGNATURE = re.compile(SIGNATURE, re.MULTILINE)


class TagObject(NamedTuple):
    """What one says."""

    commit: str
    by: str
    email: str
    when: int
    """Seconds since 1970."""
    subject: str
    body: str
    trailers: Mapping[str, str]
    signature: str | None
    """What kind of signature it carries, whether it is good or not: "SSH", "GPG", "X.509"."""


def listing(repository: Repository, *patterns: str) -> Iterator[tuple[str, str, str]]:
    """Yields the name of the ref, the id and the content of annotated tags, from one process."""
    form = "--format=%(objecttype)%00%(objectname)%00%(refname:strip=2)%00%(raw)%00"
    cells = repository.git("for-each-ref", form, *patterns).decode(errors="replace").split("\0")
    found = iter(cells)
    for kind, sha, name, raw in zip(found, found, found, found, strict=False):
        if kind.lstrip("\n") == "tag":
            yield name, sha, raw


def read(name: str, raw: str) -> TagObject | None:
    """Returns what a tag object says; None if it is odd, of no commit, or of another name."""
    match = _TAG.match(raw)
    if match is None:
        return None
    commit, own, by, email, when, subject, rest = match.groups()
    if own != name:
        return None
    signature = None
    if "-----BEGIN " in rest:
        for begin in _SIGNATURE.finditer(rest):  # the last counts, as for git
            signature = begin
    body, told = _split(rest[: signature.start()] if signature else rest)
    kind = _KINDS[signature[1]] if signature else None
    return TagObject(commit, by, email, int(when), subject, body, told, kind)


def message(subject: str, reason: str, trailers: Mapping[str, str]) -> str:
    """Returns the message of a tag; `read` finds its parts again."""
    told = "".join(f"{_PREFIX}{key}: {value}\n" for key, value in trailers.items())
    said = f"{reason.strip()}\n\n" if reason.strip() else ""
    return f"{subject}\n\n{said}{told}"


def _split(text: str) -> tuple[str, dict[str, str]]:
    """Returns the body of a message and our trailers, which are its last paragraph."""
    body, _, last = text.rstrip("\n").rpartition("\n\n")
    if not last.lstrip("\n").startswith(_PREFIX):
        return text.strip(), {}
    return body.strip(), dict(_TRAILER.findall(last))
