"""Credentials are recognised by their issuers' own formats, and nothing else is.

What looks like a secret is put together at run time: no such literal stands in this file.
"""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.ledger.secrets import find_secret

MIXED = (string.ascii_letters + string.digits) * 3
UPPER = (string.digits + string.ascii_uppercase) * 3
HEX = "0123456789abcdef" * 4

SECRETS = [
    ("private key", "-----BEGIN {} KEY-----", "PRIVATE"),
    ("private key", "-----BEGIN RSA {} KEY-----", "PRIVATE"),
    ("private key", "-----BEGIN OPENSSH {} KEY-----", "PRIVATE"),
    ("private key", "-----BEGIN PGP {} KEY BLOCK-----", "PRIVATE"),
    ("AWS access key", "AKI{}", "A" + UPPER[:16]),
    ("AWS access key", "ASI{}", "A" + UPPER[:16]),
    ("GitHub token", "gh{}", "p_" + MIXED[:36]),
    ("GitHub token", "gh{}", "s_" + MIXED[:76]),
    ("GitHub token", "github_{}", "pat_" + MIXED[:22] + "_" + MIXED[:59]),
    ("GitLab token", "glp{}", "at-" + MIXED[:20]),
    ("Google API key", "AIz{}", "a" + MIXED[:35]),
    ("Hugging Face token", "hf{}", "_" + MIXED[:34]),
    ("OpenAI key", "sk{}", "-" + MIXED[:48]),
    ("OpenAI key", "sk{}", "-proj-" + MIXED[:64]),
    ("Anthropic key", "sk{}", "-ant-api03-" + MIXED[:80]),
    ("PyPI token", "pypi{}", "-AgEIcHlwaS5vcmc" + MIXED[:50]),
    ("Slack token", "xox{}", "b-" + "1" * 12 + "-" + MIXED[:24]),
    ("Stripe key", "sk_{}", "live_" + MIXED[:24]),
    ("Weights & Biases key", "WANDB_API_KEY={}", HEX[:40]),
    ("Weights & Biases key", "wandb.login(key='{}')", HEX[:40]),
    ("password in a URL", "postgres://user:{}@host/db", "hunter2"),
]
SURROUNDINGS = ["{}", "key = '{}'\n", '{{"key": "{}"}}', "x\n\n  {}\r\ny", "\0{}\0", "a,{},b"]


@pytest.mark.parametrize("around", SURROUNDINGS)
@pytest.mark.parametrize(("kind", "form", "secret"), SECRETS)
def test_found(kind: str, form: str, secret: str, around: str) -> None:
    assert find_secret(around.format(form.format(secret)).encode()) == kind


PLAIN = [
    "", "-----BEGIN CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----", "AKIA", "AKIA" + "x" * 16,
    f"{HEX[:40]}  # the id of a commit", f"{HEX[:64]}  # sha256", "sk-learn", "hf_transformer",
    "skip_connection_of_the_residual_block_number_forty_two", "https://example.org/a:b@c",
    "git@github.com:team/repo.git", "https://user@host/path", "redis://localhost:6379/0",
    "https://{user}:{password}@host", "postgres://$USER:$PASSWORD@host", "xoxo-love",
    "task-" + "a" * 60, "sk-toggleable__label-arrow-" + "item-" * 9, "pypi-search",
    "ghost_writer", "wandb.init(project='churn')",
]  # fmt: skip


@pytest.mark.parametrize("text", PLAIN)
def test_not_found(text: str) -> None:
    assert find_secret(text.encode()) is None


@given(st.binary(max_size=300), st.binary(max_size=300), st.sampled_from(SECRETS))
def test_found_wherever_it_stands(before: bytes, after: bytes, known: tuple[str, str, str]) -> None:
    _, form, secret = known
    assert find_secret(before + b"\n" + form.format(secret).encode() + b"\n" + after)


@pytest.mark.parametrize("unit", [b"a", b"a.", b"A1", b"sk-", b"://:", b"wandb=", b"-----BEGIN A "])
def test_a_megabyte_of_anything_is_looked_through_at_once(unit: bytes) -> None:
    """No pattern may go back and forth; this would not end within the life of the test."""
    assert find_secret(unit * (1_000_000 // len(unit))) is None
