"""Who signed git tags, by whose key: thousands checked in one pass.

`git verify-tag` decides, and it starts two processes for each signature. So SSH signatures
that are plainly good are recognised in this process where the package `cryptography` is
there (`pip install "mlgit[signatures]"`). Plainly good leaves out whatever is rare: keys on
hardware, certificates and their authorities, patterns, revocation lists in OpenSSH's binary
form, programs of one's own. What is not plainly good, like all that is bad and all of GnuPG's,
is git's to judge. So both ways agree, but for what would be called good here and is not.

What is signed is told in OpenSSH's PROTOCOL.sshsig, whose key is good in ssh-keygen(1),
"ALLOWED SIGNERS".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from mlgit.ledger import Ledger
from mlgit.ledger.objects import Object
from mlgit.ledger.repository import Repository
from mlgit.registry.tag_objects import SIGNATURE


class Signer(NamedTuple):
    """Whose key made a good signature."""

    who: str
    """As the allowed signers or the keyring know the key: never what the tag says."""
    key: str
    """Its fingerprint."""


class Signature(NamedTuple):
    """What git has to say about a signature."""

    state: Literal["good", "unknown", "bad"]
    """Of a key that is not known here it cannot be told whether it is good."""
    signer: Signer | None = None
    """None if it is not good."""


def check(ledger: Ledger, shas: Iterable[str]) -> dict[str, Signature]:
    """Returns what there is to say of those tag objects that are signed, by id."""
    wanted = list(dict.fromkeys(shas))
    found = {}
    is_plainly_good = _plainly_good(ledger.repository) if wanted else None
    for sha, content in zip(wanted, ledger.reader.find_many(wanted), strict=True):
        begin = _begin(content.data) if isinstance(content, Object) else None
        if isinstance(content, Object) and begin is not None:
            payload, armour = content.data[:begin], content.data[begin:]
            signer = is_plainly_good(payload, armour) if is_plainly_good else None
            found[sha] = Signature("good", signer) if signer else by_git(ledger.repository, sha)
    return found


def by_git(repository: Repository, sha: str) -> Signature:
    """Returns what `git verify-tag` says of the signature of a tag object."""
    done = repository.talk("verify-tag", "--raw", sha, show=False)
    said = done.stderr
    if done.returncode == 0:
        if ssh := _GOOD_SSH.search(said):
            return Signature("good", Signer(ssh[1], ssh[2]))
        user, valid = _GOOD_GPG.search(said), _VALID_GPG.search(said)
        return Signature("good", Signer(user[1] if user else "", valid[1] if valid else ""))
    is_unknown = _UNKNOWN.search(said) and "Couldn't parse signature" not in said
    return Signature("unknown" if is_unknown else "bad")


_UNKNOWN = re.compile("no principal matched|no_pubkey|allowedsignersfile", re.IGNORECASE)

# What ssh-keygen says, and the status lines of GnuPG (its doc/DETAILS).
_GOOD_SSH = re.compile(r'^Good "git" signature for (.+) with \S+ key (\S+)$', re.MULTILINE)
_GOOD_GPG = re.compile(r"^\[GNUPG:\] GOODSIG .*<([^<>\n]+)>$", re.MULTILINE)
# Of a key with subkeys the last word is the fingerprint of the whole.
_VALID_GPG = re.compile(r"^\[GNUPG:\] VALIDSIG .*?([0-9A-F]{40,})$", re.MULTILINE)


def own(repository: Repository) -> Signer:
    """Returns who would sign here: the address, and of an SSH key the fingerprint, else ""."""
    fingerprint = ""
    said = repository.config.get("user.signingkey", "")
    if repository.config.get("gpg.format") == "ssh" and said:
        text = said.removeprefix("key::")
        if not text.startswith(("ssh-", "ecdsa-", "sk-")):
            text = _public(repository.try_line("config", "--type=path", "user.signingkey") or "")
        if blob := _decoded([*text.split(), "", ""][1]):
            fingerprint = _fingerprint(blob)
    return Signer(repository.person.email, fingerprint)


def is_own(repository: Repository, signer: Signer) -> bool:
    """Tells whether a good signature is by the key that signs here."""
    mine = own(repository)
    is_ssh = repository.config.get("gpg.format") == "ssh"
    return bool(signer.key == mine.key if is_ssh else signer.who == mine.who)


def _public(path: str) -> str:
    for name in (path if path.endswith(".pub") else f"{path}.pub", path):
        try:
            return Path(name).read_text("utf-8", "replace")
        except OSError:
            continue
    return ""


# --- SSH, in this process ----------------------------------------------------------------

_MARK = re.compile(SIGNATURE.encode(), re.MULTILINE)
_ARMOUR = re.compile(
    rb"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)\n-----END SSH SIGNATURE-----\n?"
)
_TAGGER = re.compile(
    rb"object [^\n]+\ntype [^\n]+\ntag [^\n]+\ntagger [^\n]*> (\d{1,10}) [+-]\d{4}\n\n"
)


def _begin(content: bytes) -> int | None:
    """Returns where a tag's signature begins: git takes the last line that may begin one."""
    return max((found.start() for found in _MARK.finditer(content)), default=None)


def _plainly_good(repository: Repository) -> Callable[[bytes, bytes], Signer | None] | None:
    """Returns what tells the signer of a payload by its armour; None if nothing here can."""
    config = repository.config
    if "gpg.ssh.program" in config or "gpg.mintrustlevel" in config:
        return None
    try:
        from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
    except ImportError:
        return None
    allowed = _file(repository, "gpg.ssh.allowedsignersfile")
    revoked = _file(repository, "gpg.ssh.revocationfile")
    if allowed is None or revoked is None or revoked.startswith("SSHKRL\n"):
        return None
    lines = list(_lines(allowed))

    @lru_cache(maxsize=1024)
    def key_of(blob: bytes) -> tuple[Verify | None, list[Line]]:
        text = base64.b64encode(blob).decode()
        kind = _Fields(blob).text()
        listed = [line for line in lines if text in line.key]
        if kind not in _KINDS or text in revoked or any(line.is_odd for line in listed):
            return None, []
        return _verifier(serialization.load_ssh_public_key(f"{kind} {text}".encode())), listed

    def signer_of(payload: bytes, armour: bytes) -> Signer | None:
        tagger, found = _TAGGER.match(payload), _ARMOUR.fullmatch(armour)
        if tagger is None or found is None:
            return None
        try:
            blob, signed, kind, signature = _opened(base64.b64decode(found[1]), payload)
            verify, listed = key_of(blob)
            who = _allowed(listed, int(tagger[1]))
            if verify is None or who is None:
                return None
            verify(kind, signature, signed)
        except (ValueError, InvalidSignature, UnsupportedAlgorithm):
            return None
        return Signer(who, _fingerprint(blob))

    return signer_of


def _file(repository: Repository, key: str) -> str | None:
    """Returns the text of a file that git's configuration names: "" if none, None if unreadable."""
    if not repository.config.get(key):
        return ""
    path = repository.try_line("config", "--type=path", key)
    try:
        # As git sees it, which goes to the top of the work tree first.
        return ((repository.work_tree or repository.start) / (path or "")).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None


class Line(NamedTuple):
    """One line of the allowed signers."""

    key: str
    """In base64; of an odd line its whole text."""
    is_odd: bool
    """It is not plainly read, so its keys are git's to judge."""
    principals: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    after: float = float("-inf")
    before: float = float("inf")


_KINDS = ("ssh-ed25519", "ssh-rsa", *(f"ecdsa-sha2-nistp{size}" for size in (256, 384, 521)))
_PLAIN = re.compile(
    r'(?P<who>[^\s"*?!]+)\s+(?:(?P<options>(?!ssh-|ecdsa-)[^\n]+?)\s+)?'
    rf"(?:{'|'.join(_KINDS)})\s+(?P<key>[A-Za-z0-9+/=]+)(?:\s.*)?"
)
_OPTION = re.compile(r'(namespaces|valid-after|valid-before)="([^"*?!]*)"')


def _lines(text: str) -> Iterator[Line]:
    for line in filter(None, map(str.strip, text.split("\n"))):
        if not line.startswith("#"):
            yield _line(line)


def _line(text: str) -> Line:
    match = _PLAIN.fullmatch(text)
    said = match["options"] or "" if match else ""
    options = _OPTION.findall(said)
    odd = Line(text, True)
    if match is None or ",".join(f'{name}="{value}"' for name, value in options) != said:
        return odd
    told = dict(options)
    try:
        return Line(
            base64.b64encode(base64.b64decode(match["key"])).decode(),
            len(told) != len(options),
            tuple(match["who"].split(",")),
            tuple(told["namespaces"].split(",")) if "namespaces" in told else ("git",),
            _moment(told["valid-after"]) if "valid-after" in told else float("-inf"),
            _moment(told["valid-before"]) if "valid-before" in told else float("inf"),
        )
    except ValueError:
        return odd


def _moment(text: str) -> float:
    """Returns the seconds of a local time; what a final Z means differs between versions."""
    forms = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
    if not text.isdigit() or len(text) not in forms:
        raise ValueError(text)
    return datetime.strptime(text, forms[len(text)]).timestamp()


def _allowed(listed: list[Line], when: int) -> str | None:
    """Returns who may have signed at a time; git asks for names first, then for each."""
    valid = [line for line in listed if line.after <= when <= line.before]
    for who in valid[0].principals if valid else ():
        if any(who in line.principals and "git" in line.namespaces for line in valid):
            return who
    return None


class _Fields:
    """The fields of an SSH message, read one after the other; ValueError if it is too short."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def take(self, size: int) -> bytes:
        if size > len(self.rest):
            raise ValueError("cut off")
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        return self.string().decode()

    def end(self) -> None:
        if self.rest:
            raise ValueError("too long")


def _opened(data: bytes, payload: bytes) -> tuple[bytes, bytes, str, bytes]:
    """Returns a signature's public key, what it signed, its kind, and itself.

    Raises:
        ValueError: it is none of git's, or damaged.
    """
    fields = _Fields(data)
    magic, version = fields.take(6), fields.number()
    blob, space, reserved = fields.string(), fields.string(), fields.string()
    method, inner = fields.text(), _Fields(fields.string())
    fields.end()
    kind, signature = inner.text(), inner.string()
    inner.end()
    if (magic, version, space, reserved) != (b"SSHSIG", 1, b"git", b""):
        raise ValueError("not a signature of git's")
    if method not in ("sha256", "sha512"):
        raise ValueError("another hash")
    parts = (space, reserved, method.encode(), hashlib.new(method, payload).digest())
    signed = magic + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return blob, signed, kind, signature


Verify = Callable[[str, bytes, bytes], None]


def _verifier(key: object) -> Verify | None:
    """Returns what raises unless a signature, of a kind, is that of some bytes; None if odd."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

    def ed(kind: str, signature: bytes, signed: bytes) -> None:
        assert isinstance(key, ed25519.Ed25519PublicKey)
        _same(kind, "ssh-ed25519")
        key.verify(signature, signed)

    def by_rsa(kind: str, signature: bytes, signed: bytes) -> None:
        assert isinstance(key, rsa.RSAPublicKey)
        digest = {"rsa-sha2-256": hashes.SHA256(), "rsa-sha2-512": hashes.SHA512()}.get(kind)
        if digest is None:
            raise ValueError(kind)  # SHA-1 is no more
        key.verify(signature, signed, padding.PKCS1v15(), digest)

    def curve(kind: str, signature: bytes, signed: bytes) -> None:
        assert isinstance(key, ec.EllipticCurvePublicKey)
        size = key.curve.key_size
        _same(kind, f"ecdsa-sha2-nistp{size}")
        fields = _Fields(signature)
        r, s = (int.from_bytes(fields.string(), "big", signed=True) for _ in "rs")
        fields.end()
        digest = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[size]
        key.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(digest))

    if isinstance(key, ed25519.Ed25519PublicKey):
        return ed
    if isinstance(key, rsa.RSAPublicKey):
        return by_rsa if key.key_size >= 2048 else None
    return curve if isinstance(key, ec.EllipticCurvePublicKey) else None


def _same(kind: str, expected: str) -> None:
    if kind != expected:
        raise ValueError(kind)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


def _fingerprint(blob: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
