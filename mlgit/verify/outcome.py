"""What a check says."""

from __future__ import annotations

from typing import Literal, NamedTuple

Answer = Literal["ok", "failed", "not checked"]
OK: Answer = "ok"
FAILED: Answer = "failed"
UNKNOWN: Answer = "not checked"


class Outcome(NamedTuple):
    """One check of one subject."""

    check: str
    """record, environment, artifact, metrics, history, signature, code, data or tag."""
    subject: str
    """A run's id, a commit, an md5, a path on the branch, or a git tag."""
    answer: Answer
    reason: str | None = None
    """Why it failed, or could not be checked."""
