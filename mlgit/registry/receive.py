"""What a remote, or CI, has against tags that somebody pushes: `mlgit model check`.

The rules are those that `promote` keeps itself, held where nobody can go around them: an
event is never moved or deleted, its number is the next one, it is on a version commit, and
what mlgit.toml asks for is met, signatures and approvals by keys that are known here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mlgit import tags
from mlgit.errors import Invalid
from mlgit.ledger import Ledger
from mlgit.ledger.objects import Object
from mlgit.names import shown
from mlgit.records import Run
from mlgit.registry import approvals, events, policy, signatures
from mlgit.registry.approvals import Approval
from mlgit.registry.events import Event
from mlgit.registry.fold import Folding, Model, Version, fold
from mlgit.registry.search import runs_of
from mlgit.registry.signatures import Signature

_NOTHING = re.compile(r"0+")


class Update(NamedTuple):
    """One ref of a push, as git tells a pre-receive hook."""

    old: str
    new: str
    ref: str


def parse(text: str) -> list[Update]:
    """Returns the updates that git tells a hook of: a line each, `OLD NEW REF`.

    Raises:
        Invalid: a line is none.
    """
    found = []
    lines = text.removesuffix("\n").split("\n") if text else []
    for number, line in enumerate(lines, 1):
        match = _UPDATE.fullmatch(line)
        if match is None:
            raise Invalid(
                f"line {number} of the push is no update: {shown(line)}",
                "git gives a pre-receive hook lines of the form OLD NEW REF",
            )
        found.append(Update(*match.groups()))
    return found


_UPDATE = re.compile(r"([0-9a-f]{40}) ([0-9a-f]{40}) (refs/[^\x00-\x20\x7f]+)")


def refusals(ledger: Ledger, updates: Sequence[Update]) -> list[str]:
    """Returns what there is against a push, as sentences that name the tag; nothing if it may.

    Refs that are no tags of ours are none of our business; but a run may come in the push
    that decides about it, so the ledger is read as it is pushed. New events are judged in the
    order of their numbers, each knowing those before it, and by the approvals that are there
    now.

    Raises:
        Unreadable: what is pushed as the ledger is none.
    """
    found: list[str] = []
    new: list[Event] = []
    said: list[Approval] = []
    for _, sha, ref in updates:
        if ref == ledger.repository.ref and not _NOTHING.fullmatch(sha):
            ledger.look_at(sha)
    for old, sha, ref in updates:
        tag = ref.removeprefix("refs/tags/")
        if tag == ref or not tags.is_ours(tag):
            continue
        if not _NOTHING.fullmatch(old):
            what = "deleted" if _NOTHING.fullmatch(sha) else "moved"
            found.append(f"{tag}: what happened cannot be {what}; add an event that undoes it")
        elif not _NOTHING.fullmatch(sha) and not tags.is_pin(tag):
            content = ledger.reader.find(sha)
            raw = content.data.decode(errors="replace") if isinstance(content, Object) else ""
            if event := events.read(tag, sha, raw):
                new.append(event)
            elif approval := approvals.read(tag, sha, raw):
                said.append(approval)
            else:
                found.append(f"{tag}: it is no annotated git tag of a commit, of that very name")
    pushed = {event.tag for event in new}
    known = [event for event in events.load(ledger.repository) if event.tag not in pushed]
    return found + _against(ledger, known, new, said, is_push=True)


def past(ledger: Ledger) -> list[str]:
    """Returns what there is against the events and approvals that are here, as `refusals` does.

    An event is judged by the approvals that were there when it was decided.
    """
    repository = ledger.repository
    every = events.load(repository)
    return _against(ledger, [], every, approvals.load(repository), is_push=False)


class _Claim(NamedTuple):
    """An event that the policy has to judge: that a version may take a stage."""

    version: Version
    current: Version | None
    asks: policy.Stage


def _against(
    ledger: Ledger,
    known: Sequence[Event],
    new: Sequence[Event],
    said: Sequence[Approval],
    is_push: bool,
) -> list[str]:
    rules = policy.load(ledger, "HEAD")
    models = fold(known, {}, rules.stages).models
    foldings = {name: Folding(model, rules.stages) for name, model in models.items()}
    numbers = {name: events.next_number(model.events) for name, model in models.items()}
    judged: list[tuple[Event, str | _Claim | None]] = []
    for event in sorted(new, key=lambda event: event.order):
        name = event.name.model
        if name not in models:
            models[name] = Model(name=name, title=name)
            foldings[name] = Folding(models[name], rules.stages)
        verdict = _judged(ledger, rules, foldings[name], event, numbers.get(name, 1))
        judged.append((event, verdict))
        numbers[name] = max(numbers.get(name, 1), 1 + (event.name.counter or 0))

    claims = [(event, claim) for event, claim in judged if isinstance(claim, _Claim)]
    asked = {event.name.model for event, claim in claims if claim.asks.approvals}
    every = {each.tag: each for name in asked for each in approvals.load(ledger.repository, name)}
    every |= {each.tag: each for each in said}
    signed = signatures.check(
        ledger,
        [event.sha for event, _ in claims if event.is_signed]
        + [each.sha for each in every.values() if each.is_signed],
    )
    runs = runs_of(ledger, [v for _, claim in claims for v in claim[:2] if isinstance(v, Version)])
    found = []
    for event, verdict in judged:
        lines = [verdict] if isinstance(verdict, str) else []
        if isinstance(verdict, _Claim):
            until = None if is_push else event.time
            lines = _by_policy(verdict, event, list(every.values()), signed, runs, until)
        found += [f"{event.tag}: {line}" for line in lines]
    for each in said:
        if line := _against_approval(rules, models.get(each.name.model), each, signed):
            found.append(f"{each.tag}: {line}")
    return found


def _judged(
    ledger: Ledger, rules: policy.Policy, folding: Folding, event: Event, expected: int
) -> str | _Claim | None:
    """Adds an event to its model, and returns what is wrong with it or what it claims."""
    name, model = event.name, folding.model
    asks = rules.stage.get(str(name.stage)) if name.action == "assign" else None
    current = _in_stage(model, str(name.stage)) if asks else None
    problem = folding.apply(event)
    model.events.append(event)
    if problem:
        return problem
    if name.action == "register" and name.counter is None:
        if isinstance(ledger.reader.find(f"{event.commit}:run.json"), Object):
            return None
        return "it is on no version commit"
    if name.counter != expected:
        return f"its number should be {expected}: fetch what others did, and decide again"
    if asks is None or ("Forced" in event.trailers and event.reason):  # which stays visible
        return None
    version = next(v for v in reversed(model.versions) if v.commit == event.commit)
    return _Claim(version, None if current is version else current, asks)


def _in_stage(model: Model, stage: str) -> Version | None:
    """Returns the version in a stage, or that has just left it.

    Its writer takes the holder out of the stage first, so that one is asked for by name.
    """
    if (holder := model.holder(stage)) is not None:
        return holder
    last = next((e for e in reversed(model.events) if e.name.stage == stage), None)
    if last is None or last.name.action != "unassign":
        return None
    return next((v for v in model.versions if v.commit == last.commit), None)


def _by_policy(
    claim: _Claim,
    event: Event,
    said: Sequence[Approval],
    signed: Mapping[str, Signature],
    runs: Mapping[str, Run],
    until: str | None,
) -> list[str]:
    current = claim.current
    signature = signed.get(event.sha)
    signer = signature.signer if signature else None
    about = [each for each in said if each.name.model == event.name.model]
    stage = str(event.name.stage)
    approved = approvals.standing(about, signed, claim.version, stage, signer, until)
    return policy.check(
        claim.asks,
        runs.get(claim.version.run or ""),
        runs.get(current.run or "") if current else None,
        event.reason,
        signer.who if signer else None,
        [each.who for each in approved],
    )


def _against_approval(
    rules: policy.Policy, model: Model | None, said: Approval, signed: Mapping[str, Signature]
) -> str | None:
    name = said.name
    versions = model.versions if model else []
    if not any(v.version == name.version and v.commit == said.commit for v in versions):
        return f"its commit {said.commit[:12]} is not that of {name.model} {name.version}"
    signature = signed.get(said.sha)
    if signature is None or signature.state == "bad":
        return "an approval is signed, and it has no good signature"
    asks = rules.stage.get(name.stage)
    if signature.state == "unknown" and asks and asks.approvals:
        return "the key that signed it is not known here"
    return None
