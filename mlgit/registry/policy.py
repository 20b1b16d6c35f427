"""What a stage asks of a version: the `[registry]` table of `mlgit.toml`, and its verdict.

    [registry]
    stages = ["staging", "production", "archived"]

    [registry.stage.production]
    require = ["metrics.rmse < 7", "metrics.rmse <= current.metrics.rmse"]
    clean_code = true          # no uncommitted work
    versioned_inputs = true    # of every input the bytes are kept
    reason = true              # a reason is given
    signature = true           # the git tag is signed …
    signers = ["ada@example.org"]  # … by one of these
    approvals = 2              # so many others approve it: `mlgit model approve`

Conditions are those of `mlgit log --where`; `current.` before a param or metric means
that of the version that is in the stage, and a condition on it holds while there is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from mlgit import query, saved, settings
from mlgit.errors import Invalid, QueryError
from mlgit.ledger import Ledger
from mlgit.records import Run
from mlgit.registry.fold import STAGES
from mlgit.settings import FILE


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one stage asks for."""

    require: list[str] = msgspec.field(default_factory=list)
    clean_code: bool = False
    versioned_inputs: bool = False
    reason: bool = False
    signature: bool = False
    signers: list[str] = msgspec.field(default_factory=list)
    approvals: Annotated[int, msgspec.Meta(ge=0, le=99)] = 0


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[registry]` table; without a file it asks for nothing."""

    stages: list[str] = msgspec.field(default_factory=lambda: list(STAGES))
    stage: dict[str, Stage] = msgspec.field(default_factory=dict)


def load(ledger: Ledger, rev: str | None = None) -> Policy:
    """Returns the policy of the work tree, or of a revision; of a bare repository HEAD's.

    Raises:
        Invalid: the file cannot be read, or asks for something that there is not.
    """
    return parse(settings.read(ledger, rev))


def parse(content: bytes) -> Policy:
    """Returns the policy that a file holds.

    Raises:
        Invalid: it is no TOML, or asks for something that there is not.
    """
    policy = settings.table(content, "registry", Policy, "registry.md, Policy")
    for name, stage in policy.stage.items():
        if name not in policy.stages:
            raise Invalid(f"{FILE}: there is no stage {name!r}", f"stages: {policy.stages}")
        for condition in stage.require:
            try:
                query.parse(_CURRENT.sub(r"\1", condition))
            except QueryError as error:
                raise Invalid(f"{FILE}: of {name}: {error.message}") from error
    return policy


_CURRENT = re.compile(r"\bcurrent\.((?:metrics|params)\.(?:\"[^\"]*\"|[\w./-]+))")


def check(
    stage: Stage,
    run: Run | None,
    current: Run | None,
    reason: str,
    signed_by: str | None,
    approved_by: Sequence[str] = (),
) -> list[str]:
    """Returns what a stage has against a version, as sentences; nothing if it may enter. Pure.

    `run` is the version's, `current` that of the version in the stage; `signed_by` is the
    email of a good signature, or None; `approved_by` those whose approvals count.
    """
    found = []
    if stage.reason and not reason.strip():
        found.append("a reason has to be given: -m TEXT")
    if stage.signature and signed_by is None:
        found.append("the git tag has to be signed: git config tag.gpgSign true")
    if stage.signers and signed_by not in stage.signers:
        found.append(f"it has to be signed by {' or '.join(stage.signers)}")
    if len(approved_by) < stage.approvals:
        others = f"{stage.approvals} other{'s' * (stage.approvals > 1)} have to approve it"
        known = f"{', '.join(approved_by) or 'nobody'} did"
        found.append(f"{others}, and {known}: mlgit model approve")
    if stage.approvals and signed_by is None and not stage.signature:
        found.append("its approvals are others' only if it is signed: git config tag.gpgSign true")
    if run is None:
        if stage.require or stage.clean_code or stage.versioned_inputs:
            found.append("the run of the version is not in this ledger")
        return found
    found += [line for text in stage.require if (line := _unmet(text, run, current))]
    if stage.clean_code and (run.source.commit is None or run.source.snapshot is not None):
        found.append("its code had uncommitted changes, or none was recorded")
    if stage.versioned_inputs:
        loose = [p.name or p.path for p in run.inputs if p.stored is None]
        if loose:
            found.append(f"of its input {loose[0]} only a hash or an address was recorded")
        if not run.inputs:
            found.append("it recorded no input")
    return found


def _unmet(condition: str, run: Run, current: Run | None) -> str | None:
    """Returns why a condition does not hold; None if it does."""
    held = {
        field: saved.value(current, query.parse_field(field)) if current else None
        for field in _CURRENT.findall(condition)
    }
    if None in held.values():
        return None  # nothing is there to be beaten
    wanted = _CURRENT.sub(lambda found: query.literal(held[found[1]]), condition)
    parsed = query.parse(wanted)
    values = [saved.value(run, field) for field in parsed.fields]
    if parsed.matches(values):
        return None
    told = ", ".join(
        f"{field} is {_shown(value)}" for field, value in zip(parsed.fields, values, strict=True)
    )
    also = f" ({wanted})" if wanted != condition else ""
    return f"{condition}{also} does not hold: {told}"


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "absent" if value is None else str(value)
