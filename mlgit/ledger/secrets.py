"""Recognising credentials, so that a snapshot of uncommitted work does not share them.

Only formats that their issuers publish are looked for: they have next to no false
positives, and a file wrongly left out of a snapshot is a gap in the evidence.
Sources: the issuers' documentation, as collected in GitHub's list of secret
scanning patterns (https://docs.github.com/en/code-security/secret-scanning).
"""

from __future__ import annotations

import re

_PATTERNS = {
    "private key": rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "AWS access key": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": rb"\b(?:gh[pousr]_[0-9A-Za-z]{36,}|github_pat_[0-9A-Za-z_]{22,})",
    "GitLab token": rb"\bglpat-[0-9A-Za-z_-]{20,}",
    "Google API key": rb"\bAIza[0-9A-Za-z_-]{35}\b",
    "Hugging Face token": rb"\bhf_[0-9A-Za-z]{30,}\b",
    "OpenAI or Anthropic key": rb"\bsk-(?:proj-|ant-)?[0-9A-Za-z_-]{32,}",
    "PyPI token": rb"\bpypi-AgE[0-9A-Za-z_-]{50,}",
    "Slack token": rb"\bxox[abpors]-[0-9A-Za-z-]{10,}",
    "Stripe key": rb"\b[rs]k_live_[0-9A-Za-z]{20,}",
    "Weights & Biases key": rb"(?:wandb|WANDB)[^\n]{0,20}[=:]\s*[\"']?[0-9a-f]{40}\b",
    "password in a URL": rb"\b[a-z][a-z0-9+]{2,12}://[^\s/:@\"'{}<>$]{1,64}:[^\s/:@\"'{}<>$]{3,64}@",
}
_ANY = re.compile(
    b"|".join(b"(?P<p%d>%s)" % (number, form) for number, form in enumerate(_PATTERNS.values()))
)


def find_secret(content: bytes) -> str | None:
    """Returns what kind of credential the content holds, or None."""
    match = _ANY.search(content)
    if match is None or match.lastgroup is None:
        return None
    return list(_PATTERNS)[int(match.lastgroup[1:])]
