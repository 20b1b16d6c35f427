"""What a remote, or CI, has against tags that somebody pushes: `mlgit model check`.

The rules are those that `promote` keeps itself, held where nobody can go around them: an
event is never moved or deleted, its number is the next one, it is on a version commit, and
what mlgit.toml asks for is met, signatures verified by git.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from mlgit import tags
from mlgit.ledger import Ledger
from mlgit.ledger.objects import Object
from mlgit.registry import events, policy
from mlgit.registry.events import Event
from mlgit.registry.fold import Model, Version, fold
from mlgit.registry.search import runs_of

_NOTHING = re.compile(r"0+")


class Update(NamedTuple):
    """One ref of a push, as git tells a pre-receive hook."""

    old: str
    new: str
    ref: str


def refusals(ledger: Ledger, updates: Iterable[Update]) -> list[str]:
    """Returns what there is against a push, as sentences that name the tag; nothing if it may.

    Refs that are no tags of the registry or pins are none of our business. New events are
    judged in the order of their numbers, each knowing those before it.
    """
    found: list[str] = []
    new: list[Event] = []
    for old, sha, ref in updates:
        tag = ref.removeprefix("refs/tags/")
        if tag == ref or not tags.is_ours(tag):
            continue
        if not _NOTHING.fullmatch(old):
            what = "deleted" if _NOTHING.fullmatch(sha) else "moved"
            found.append(f"{tag}: what happened cannot be {what}; add an event that undoes it")
        elif tags.parse(tag) is not None:
            content = ledger.reader.find(sha)
            raw = content.data.decode(errors="replace") if isinstance(content, Object) else ""
            event = events.read(tag, sha, raw)
            if event is None:
                found.append(f"{tag}: it is no annotated git tag of a commit")
            else:
                new.append(event)
    pushed = {event.tag for event in new}
    known = [event for event in events.load(ledger.repository) if event.tag not in pushed]
    rules = policy.load(ledger, "HEAD")
    for event in sorted(new, key=lambda event: event.order):
        found += [f"{event.tag}: {line}" for line in _against(ledger, rules, known, event)]
        known.append(event)
    return found


def _against(ledger: Ledger, rules: policy.Policy, known: list[Event], event: Event) -> list[str]:
    name = event.name
    before = [each for each in known if each.name.model == name.model]
    model = fold(before, {}, rules.stages).models.get(
        name.model, Model(name=name.model, title=name.model)
    )
    after = fold([*before, event], {}, rules.stages).models[name.model]
    if problem := next((p.message for p in after.problems if p.tag == event.tag), None):
        return [problem]
    if name.action == "register" and name.counter is None:
        if isinstance(ledger.reader.find(f"{event.commit}:run.json"), Object):
            return []
        return ["it is on no version commit"]
    expected = events.next_number(before)
    if name.counter != expected:
        return [f"its number should be {expected}: fetch what others did, and decide again"]
    if name.action != "assign" or name.stage not in rules.stage:
        return []
    return _by_policy(ledger, rules.stage[str(name.stage)], model, event)


def _by_policy(ledger: Ledger, asks: policy.Stage, model: Model, event: Event) -> list[str]:
    if "Forced" in event.trailers and event.reason:
        return []  # it stays visible
    version = next(v for v in reversed(model.versions) if v.commit == event.commit)
    # Its writer takes the holder out of the stage first, so that one is asked for by name.
    held = [e for e in model.events if e.name.stage == event.name.stage]
    before: Version | None = model.holder(str(event.name.stage))
    if before is None and held and held[-1].name.action == "unassign":
        before = next((v for v in model.versions if v.commit == held[-1].commit), None)
    runs = runs_of(ledger, [version, *([before] if before else [])])
    return policy.check(
        asks,
        runs.get(version.run or ""),
        runs.get(before.run or "") if before and before is not version else None,
        event.reason,
        _signer(ledger, event),
    )


def _signer(ledger: Ledger, event: Event) -> str | None:
    """Returns whose key git found a good signature by; None if it found none.

    The email is the key's, as the allowed signers or the keyring have it: that of the
    tagger is what the tag says of itself. Empty if the key has none.
    """
    if not event.is_signed:
        return None
    done = ledger.repository.talk("verify-tag", "--raw", event.sha, show=False)
    if done.returncode:
        return None
    found = _GOOD.search(done.stderr)
    return (found[1] or found[2]) if found else ""


# https://git-scm.com/docs/git-verify-tag: what ssh-keygen says, or the status lines of GnuPG.
_GOOD = re.compile(
    r'^Good "git" signature for (.+) with \S+ key |^\[GNUPG:\] GOODSIG .*<([^<>\n]+)>$',
    re.MULTILINE,
)
