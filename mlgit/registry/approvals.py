"""Approvals: signed git tags by which people say that a version may take a stage.

They are no events: GTO passes over their names, and they change no state. mlgit.toml says
how many a stage asks for, and `mlgit.registry.policy` counts those of keys that are known,
none the promoter's.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mlgit import names, tags
from mlgit.errors import WrongState
from mlgit.ledger import Ledger, tagging
from mlgit.ledger.repository import Repository
from mlgit.ledger.tagging import New
from mlgit.registry import tag_objects
from mlgit.registry.events import FORMAT
from mlgit.registry.fold import Model, Version
from mlgit.registry.signatures import Signature, Signer, check, is_own
from mlgit.tags import ApprovalName


class Approval(NamedTuple):
    """One statement about a version and a stage: that it may, or may no longer."""

    name: ApprovalName
    tag: str
    sha: str
    """Of the tag object."""
    commit: str
    """The version commit it points at."""
    by: str
    email: str
    subject: str
    reason: str
    signature: str | None
    """What kind of signature the tag carries, whether it is good or not."""

    @property
    def is_signed(self) -> bool:
        return self.signature is not None

    @property
    def time(self) -> str:
        """When it was made: UTC, ISO 8601, to the millisecond."""
        return names.timestamp(names.id_ms(self.name.id) / 1000)


def load(repository: Repository, model: str | None = None) -> list[Approval]:
    """Returns what was said of all models, or of one, by its name in git tags; oldest first."""
    below = "approved" if model is None else tags.approvals_of(model)
    listing = tag_objects.listing(repository, f"refs/tags/{below}/")
    read_all = (read(tag, sha, raw) for tag, sha, raw in listing)
    found = [each for each in read_all if each is not None and model in (None, each.name.model)]
    return sorted(found, key=lambda approval: approval.name.id)


def read(tag: str, sha: str, raw: str) -> Approval | None:
    """Returns the approval that a tag object is, by its ref's name; None if it is none."""
    name = tags.parse_approval(tag)
    said = tag_objects.read(tag, raw) if name is not None else None
    if name is None or said is None:
        return None
    told = (said.commit, said.by, said.email, said.subject, said.body, said.signature)
    return Approval(name, tag, sha, *told)


def standing(
    said: Iterable[Approval],
    signatures: Mapping[str, Signature],
    version: Version,
    stage: str,
    promoter: Signer | None = None,
    until: str | None = None,
) -> list[Signer]:
    """Returns whose approvals count for a version and a stage; pure.

    Of each key the last statement counts, of those that are well signed and on the very
    commit. Who has two keys is one person, and the promoter, by key or address, is none.
    `until` is a stored time: what was said later is left out.
    """
    in_time = (each for each in said if until is None or each.time <= until)
    last = _last(in_time, signatures, version, stage)
    seen = {*promoter} - {""} if promoter else set()
    found = []
    for signer, each in last.items():
        if not each.name.withdrawn and not seen & {*signer}:
            found.append(signer)
            seen |= {*signer} - {""}
    return found


def _last(
    said: Iterable[Approval], signatures: Mapping[str, Signature], version: Version, stage: str
) -> dict[Signer, Approval]:
    """Returns the last statement of each key about a version and a stage."""
    last: dict[Signer, Approval] = {}
    for each in sorted(said, key=lambda approval: approval.name.id):
        signature = signatures.get(each.sha)
        subject = (each.name.version, each.name.stage, each.commit)
        if subject == (version.version, stage, version.commit) and signature and signature.signer:
            last[signature.signer] = each
    return last


def already(ledger: Ledger, model: Model, version: Version, stage: str) -> Signer | None:
    """Returns whose approval of a version for a stage stands, by the key that signs here.

    None if that key has not approved it, or git does not know whose it is: then it may have,
    and nobody counts it.
    """
    said = load(ledger.repository, model.name)
    signed = check(ledger, [each.sha for each in said if each.is_signed])
    for signer, each in _last(said, signed, version, stage).items():
        if not each.name.withdrawn and is_own(ledger.repository, signer):
            return signer
    return None


def say(
    ledger: Ledger,
    model: Model,
    version: Version,
    stage: str,
    reason: str = "",
    *,
    withdrawn: bool = False,
) -> list[New]:
    """Approves that a version takes a stage, or takes that back; returns the tag that was made.

    The tag is signed, whatever `tag.gpgSign` says. None is made if the same key has approved
    it already, see `already`.

    Raises:
        WrongState: the version is in the stage; or there is nothing to take back.
        WriteFailed: it cannot be written or signed.
    """
    if version.stage == stage and not withdrawn:
        raise WrongState(f"{version.name} is in {stage} already")
    repository = ledger.repository
    if withdrawn:
        email = repository.person.email
        mine = [
            each
            for each in load(repository, model.name)
            if (each.name.version, each.name.stage) == (version.version, stage)
            and each.email == email
        ]
        if not mine or mine[-1].name.withdrawn:
            raise WrongState(f"{email} has not approved {version.name} for {stage}")
    elif already(ledger, model, version, stage):
        return []
    name = ApprovalName(model.name, version.version, stage, names.new_id(), withdrawn)
    what = "no longer approved" if withdrawn else "approved"
    subject = f"{model.title} {version.short}: {what} for {stage}"
    told = {"Format": str(FORMAT), "Version": version.version, "Hash": version.hash}
    trailers = {key: value for key, value in told.items() if value}
    message = tag_objects.message(subject, reason, trailers)
    made = [New(str(name), version.commit, message, int(time.time()))]
    tagging.make_all(repository, made, sign=True)
    return made


def newest(said: Sequence[Approval]) -> str:
    """Returns when the last of these was said; "" if there is none."""
    return max((each.time for each in said), default="")
