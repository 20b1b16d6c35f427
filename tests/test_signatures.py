"""Signatures of git tags: what is said in this process is what git says, with real keys."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import allow, git, needs, sign_with
from hypothesis import given, settings
from hypothesis import strategies as st

from mlgit.ledger import Ledger
from mlgit.ledger.objects import Object
from mlgit.registry import signatures, tag_objects
from mlgit.registry.signatures import Signature, Signer

PAST, FUTURE = "20200101", "20990101"
KINDS = {
    "ed25519": ("-t", "ed25519"),
    "rsa": ("-t", "rsa", "-b", "2048"),
    "short": ("-t", "rsa", "-b", "1024"),
    "p256": ("-t", "ecdsa", "-b", "256"),
    "p384": ("-t", "ecdsa", "-b", "384"),
    "p521": ("-t", "ecdsa", "-b", "521"),
}


def make_key(path: Path, kind: str = "ed25519") -> Path:
    keygen = needs("ssh-keygen", "apt install openssh-client")
    options = ("-q", *KINDS[kind], "-N", "", "-C", "some comment", "-f", path)
    subprocess.run([keygen, *options], check=True)
    return path


def public(key: Path) -> str:
    return " ".join(Path(f"{key}.pub").read_text().split()[:2])


def fingerprint(key: Path) -> str:
    done = subprocess.run(["ssh-keygen", "-lf", f"{key}.pub"], capture_output=True, text=True)
    return done.stdout.split()[1]


def tag(name: str = "t", when: str | None = None) -> str:
    """Makes a tag, signed as configured, and returns its object's id."""
    env = {"GIT_COMMITTER_DATE": when} if when else {}
    git("tag", "--sign", "--message", "said\n\nin full", name, env=env)
    return git("rev-parse", name).strip()


def store(content: bytes) -> str:
    options = ("hash-object", "-t", "tag", "-w", "--stdin")
    done = subprocess.run(["git", *options], input=content, capture_output=True, check=True)
    return done.stdout.decode().strip()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tags that git was asked about."""
    seen: list[str] = []
    original = signatures.by_git

    def by_git(repository: object, sha: str) -> Signature:
        seen.append(sha)
        return original(repository, sha)  # type: ignore[arg-type]

    monkeypatch.setattr(signatures, "by_git", by_git)
    return seen


def both(sha: str) -> Signature:
    """Returns what we say, which has to be what git says."""
    with Ledger() as ledger:
        said = signatures.check(ledger, [sha])[sha]
        assert said == signatures.by_git(ledger.repository, sha)
    done = subprocess.run(["git", "verify-tag", sha], capture_output=True)
    assert (done.returncode == 0) is (said.state == "good")
    return said


@pytest.mark.parametrize("kind", KINDS)
def test_good_signatures_of_all_kinds(
    repo: Path, hermetic: Path, kind: str, asked: list[str]
) -> None:
    key = make_key(hermetic / "key", kind)
    sign_with(key, "tag")
    allow(hermetic / "allowed", ada=key)
    sha = tag()
    assert both(sha) == Signature("good", Signer("ada@example.org", fingerprint(key)))
    with Ledger() as ledger:
        asked.clear()
        signatures.check(ledger, [sha])
    assert asked == ([sha] if kind == "short" else [])  # the rest needs no process


ALLOWED: dict[str, tuple[str, str | None]] = {
    # what the file of allowed signers says, and who signed
    "plain": ("ada@example.org KEY", "ada@example.org"),
    "comment": ("# KEY\n\n  ada@example.org\tKEY   bo ssh-ed25519 AAAA", "ada@example.org"),
    "several": ("ada,ada@example.org KEY", "ada"),
    "namespace": ('ada namespaces="git" KEY', "ada"),
    "namespaces": ('ada namespaces="file,git" KEY', "ada"),
    "another namespace": ('ada namespaces="file" KEY', None),
    "a namespace's pattern": ('ada namespaces="g*" KEY', "ada"),
    "no namespace of that pattern": ('ada namespaces="!git,*" KEY', None),
    "valid": (f'ada valid-after="{PAST}",valid-before="{FUTURE}" KEY', "ada"),
    "not yet valid": (f'ada valid-after="{FUTURE}" KEY', None),
    "expired": (f'ada valid-before="{PAST}" KEY', None),
    "the very second": ('ada valid-before="20250601140000" KEY', "ada"),  # in Berlin
    "a second late": ('ada valid-before="20250601135959" KEY', None),
    "from that second": ('ada valid-after="20250601140000" KEY', "ada"),
    "a second early": ('ada valid-after="20250601140001" KEY', None),
    "to the minute": ('ada valid-before="202506011359" KEY', None),
    "twice": ("ada KEY\nbo KEY", "ada"),
    "twice, the first expired": (f'ada valid-before="{PAST}" KEY\nbo KEY', "bo"),
    "twice, the first for files": ('ada namespaces="file" KEY\nbo KEY', None),
    "twice, one name": ('ada namespaces="file" KEY\nada KEY', "ada"),
    "unknown": ("ada OTHER", None),
    "an authority": ("ada cert-authority KEY", None),
    "an authority and a key": ("*@example.org cert-authority OTHER\nada KEY", "ada"),
    "a pattern": ("*@example.org KEY", "*@example.org"),
    "quoted": ('"ada" KEY', "ada"),
    "an odd option": ('ada no-such-thing="1" KEY', None),
    "an odd time": ('ada valid-after="yesterday" KEY', None),
    "an option in capitals": ('ada NAMESPACES="file" KEY', None),
    "an option twice": ('ada namespaces="git",namespaces="file" KEY', None),
    "options and a space": (f'ada namespaces="file", valid-after="{PAST}" KEY', None),
    "nonsense": ("ada\nKEY\nada ssh-ed25519\n\x00", None),
    "empty": ("", None),
}


@pytest.fixture
def berlin(hermetic: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize("case", ALLOWED)
def test_the_allowed_signers_are_read_as_by_ssh_keygen(
    repo: Path, hermetic: Path, berlin: None, case: str
) -> None:
    key, other = (make_key(hermetic / name) for name in ("key", "other"))
    sign_with(key, "tag")
    text, who = ALLOWED[case]
    (hermetic / "allowed").write_text(
        text.replace("KEY", public(key)).replace("OTHER", public(other)) + "\n"
    )
    git("config", "gpg.ssh.allowedSignersFile", hermetic / "allowed")
    said = both(tag(when="2025-06-01T12:00:00+00:00"))
    assert (said.signer and said.signer.who) == who


@pytest.mark.parametrize("stamp", ["20250601120000Z", "20250601Z"])
def test_a_time_in_utc_is_left_to_git(
    repo: Path, hermetic: Path, berlin: None, stamp: str, asked: list[str]
) -> None:
    """OpenSSH 9.2 takes it for local time, others do not."""
    key = make_key(hermetic / "key")
    sign_with(key, "tag")
    (hermetic / "allowed").write_text(f'ada valid-before="{stamp}" {public(key)}\n')
    git("config", "gpg.ssh.allowedSignersFile", hermetic / "allowed")
    sha = tag(when="2025-06-01T12:00:00+00:00")
    both(sha)
    assert sha in asked


def signed(hermetic: Path) -> tuple[Path, bytes]:
    """Returns a key and a tag's content that it signed well."""
    key = make_key(hermetic / "key")
    sign_with(key, "tag")
    allow(hermetic / "allowed", ada=key)
    tag()
    with Ledger() as ledger:
        found = ledger.reader.find("refs/tags/t")
    assert isinstance(found, Object)
    return key, found.data


TAMPERED: dict[str, Callable[[bytes], bytes]] = {
    "the message": lambda said: said.replace(b"in full", b"in part"),
    "the name": lambda said: said.replace(b"tag t\n", b"tag u\n"),
    "a line before the signature": lambda said: said.replace(b"-----BEGIN", b"x\n-----BEGIN"),
    "a header": lambda said: said.replace(b"+0000\n\n", b"+0000\nmore odd\n\n"),
    "a second signature": lambda said: said + said[said.index(b"-----BEGIN") :],
    "a bit": lambda said: said[:-60] + bytes([said[-60] ^ 1]) + said[-59:],
    "the end cut off": lambda said: said[:-20],
    "an empty signature": lambda said: said[: said.index(b"U1NIU0lH")] + b"=\n",
}


@pytest.mark.parametrize("case", TAMPERED)
def test_what_was_tampered_with_is_not_good(repo: Path, hermetic: Path, case: str) -> None:
    _, said = signed(hermetic)
    changed = TAMPERED[case](said)
    assert changed != said
    assert both(store(changed)).state == "bad"
    assert both(store(said)).state == "good"
    after = said + b"\nMlgit-Forced: no\n"  # to git that is good; nobody reads it
    assert both(store(after)).state == "good"
    read = tag_objects.read("t", after.decode())
    assert read is not None and (read.body, read.trailers) == ("in full", {})


def test_only_git_s_namespace_counts(repo: Path, hermetic: Path) -> None:
    """A file that somebody signed, with the very bytes of a tag, is no signed tag."""
    key, said = signed(hermetic)
    payload = said[: said.index(b"-----BEGIN")]
    for space, state in (("git", "good"), ("file", "bad")):
        options = ("-Y", "sign", "-n", space, "-f", key)
        done = subprocess.run(["ssh-keygen", *options], input=payload, capture_output=True)
        assert both(store(payload + done.stdout)).state == state


def test_revoked_keys(repo: Path, hermetic: Path) -> None:
    key, _ = signed(hermetic)
    other = make_key(hermetic / "other")
    revoked = hermetic / "revoked"
    git("config", "gpg.ssh.revocationFile", revoked)
    sha = git("rev-parse", "t").strip()
    assert both(sha).state == "good"  # git warns that there is no such file
    for text, state in (("", "good"), (public(other), "good"), (public(key), "bad")):
        revoked.write_text(f"# revoked\n{text}\n")
        assert both(sha).state == state
    subprocess.run(["ssh-keygen", "-q", "-k", "-f", revoked, f"{key}.pub"], check=True)
    assert both(sha).state == "bad"
    subprocess.run(["ssh-keygen", "-q", "-k", "-f", revoked, f"{other}.pub"], check=True)
    assert both(sha).state == "good"


def test_where_the_allowed_signers_lie(
    repo: Path, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed(hermetic)
    sha = git("rev-parse", "t").strip()
    git("config", "gpg.ssh.allowedSignersFile", "~/allowed")
    assert both(sha).state == "good"
    git("config", "gpg.ssh.allowedSignersFile", "allowed")
    assert both(sha).state == "unknown"
    (repo / "allowed").write_bytes((hermetic / "allowed").read_bytes())
    (repo / "below").mkdir()
    monkeypatch.chdir(repo / "below")
    assert both(sha).state == "good"
    git("config", "--unset", "gpg.ssh.allowedSignersFile")
    assert both(sha).state == "unknown"
    git("config", "gpg.ssh.allowedSignersFile", "allowed")
    git("config", "gpg.minTrustLevel", "ultimate")
    assert both(sha).state == "bad"


def test_without_the_package_git_is_asked(
    repo: Path, hermetic: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    signed(hermetic)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    sha = git("rev-parse", "t").strip()
    assert both(sha).state == "good"
    assert sha in asked


def test_many_are_checked_in_one_pass(repo: Path, hermetic: Path, asked: list[str]) -> None:
    key, _ = signed(hermetic)
    shas = [tag(f"t{number}") for number in range(20)]
    git("tag", "--annotate", "--no-sign", "--message", "unsigned", "u")
    unsigned = git("rev-parse", "u").strip()
    with Ledger() as ledger:
        found = signatures.check(ledger, [*shas, unsigned, "0" * 40])
    good = Signature("good", Signer("ada@example.org", fingerprint(key)))
    assert found == dict.fromkeys(shas, good)
    assert asked == []


@settings(max_examples=300)
@given(st.binary(max_size=400), st.binary(max_size=60))
def test_no_bytes_break_it(blob: bytes, payload: bytes) -> None:
    for data in (blob, b"SSHSIG\0\0\0\1" + blob):
        with contextlib.suppress(ValueError):
            signatures._opened(data, payload)


def test_who_would_sign(repo: Path, hermetic: Path) -> None:
    key = make_key(hermetic / "key")
    expected = Signer("ada@example.org", fingerprint(key))
    with Ledger() as ledger:
        assert signatures.own(ledger.repository) == Signer("ada@example.org", "")
    sign_with(key, "tag")
    for said in (key, f"{key}.pub", "~/key", public(key), f"key::{public(key)}"):
        git("config", "user.signingkey", str(said))
        with Ledger() as ledger:
            assert signatures.own(ledger.repository) == expected
    git("config", "user.signingkey", "/nowhere")
    with Ledger() as ledger:
        assert signatures.own(ledger.repository).key == ""


# --- GnuPG ---------------------------------------------------------------------------------------


@pytest.fixture
def gnupg(hermetic: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Makes keys in a keyring of this test's own; returns their fingerprints."""
    program = needs("gpg", "apt install gnupg")
    # Sockets have short paths, and those of tests are long.
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:
        monkeypatch.setenv("GNUPGHOME", home)

        def make(name: str) -> str:
            who = f"{name.title()} Example <{name}@example.org>"
            options = ("--batch", "--passphrase", "", "--quick-generate-key")
            made = subprocess.run(
                [program, *options, who, "ed25519", "sign", "never"], capture_output=True, text=True
            )
            assert made.returncode == 0, made.stderr
            listed = subprocess.run(
                [program, "--with-colons", "--list-keys", f"{name}@example.org"],
                capture_output=True,
                text=True,
            ).stdout
            return next(line for line in listed.splitlines() if line[:3] == "fpr").split(":")[9]

        yield make
        subprocess.run(["gpgconf", "--kill", "all"], check=False)


def test_signatures_of_gnupg(repo: Path, gnupg: Callable[[str], str]) -> None:
    ada, bo = gnupg("ada"), gnupg("bo")
    git("config", "gpg.format", "openpgp")
    git("config", "user.signingkey", bo)
    sha = tag()  # as Ada, by the name in the tag, with Bo's key
    assert both(sha) == Signature("good", Signer("bo@example.org", bo))
    content = subprocess.run(["git", "cat-file", "tag", sha], capture_output=True).stdout
    assert both(store(content.replace(b"in full", b"in part"))).state == "bad"
    subprocess.run(["gpg", "--batch", "--yes", "--delete-secret-and-public-key", bo], check=True)
    assert both(sha).state == "unknown"
    git("config", "user.signingkey", ada)
    assert both(tag("by-ada")).signer == Signer("ada@example.org", ada)
