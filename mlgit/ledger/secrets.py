"""Recognising credentials, so that a snapshot of uncommitted work does not share them.

Only formats that their issuers publish are looked for: they have next to no false
positives, and a file wrongly left out of a snapshot is a gap in the evidence.
Sources: the issuers' documentation, as collected in GitHub's list of secret
scanning patterns (https://docs.github.com/en/code-security/secret-scanning).
"""

from __future__ import annotations

import re

# What kind of credential, words of which one is in each (to look for a word takes a
# hundredth of the time), and its form.
_CREDENTIALS = [
    (kind, words.encode().split(), re.compile(form))
    for kind, words, form in (
        ("private key", "BEGIN", rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"),
        ("AWS access key", "AKIA ASIA", rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
        ("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", rb"\bgh[pousr]_[0-9A-Za-z]{36,}"),
        ("GitHub token", "github_pat_", rb"\bgithub_pat_[0-9A-Za-z_]{22,}"),
        ("GitLab token", "glpat-", rb"\bglpat-[0-9A-Za-z_-]{20,}"),
        ("Google API key", "AIza", rb"\bAIza[0-9A-Za-z_-]{35}\b"),
        ("Hugging Face token", "hf_", rb"\bhf_[0-9A-Za-z]{30,}\b"),
        (
            "OpenAI key",
            "sk-",
            rb"\bsk-(?:[0-9A-Za-z]{32,}|(?:proj|svcacct|admin)-[0-9A-Za-z_-]{32,})",
        ),
        ("Anthropic key", "sk-ant-", rb"\bsk-ant-[0-9A-Za-z_-]{32,}"),
        ("PyPI token", "pypi-AgE", rb"\bpypi-AgE[0-9A-Za-z_-]{50,}"),
        ("Slack token", "xox", rb"\bxox[abpors]-[0-9A-Za-z-]{10,}"),
        ("Stripe key", "k_live_", rb"\b[rs]k_live_[0-9A-Za-z]{20,}"),
        (
            "Weights & Biases key",
            "wandb WANDB",
            rb"(?:wandb|WANDB)[^\n]{0,20}[=:]\s*[\"']?[0-9a-f]{40}\b",
        ),
        (
            "password in a URL",
            "://",
            rb"\b[a-z][a-z0-9+]{2,12}://[^\s/:@\"'{}<>$]{1,64}:[^\s/:@\"'{}<>$]{3,64}@",
        ),
    )
]


def find_secret(content: bytes) -> str | None:
    """Returns what kind of credential the content holds, or None."""
    for kind, words, form in _CREDENTIALS:
        if any(word in content for word in words) and form.search(content):
            return kind
    return None
