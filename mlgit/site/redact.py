r"""What a site that leaves the house does not say: the `[site]` table of `mlgit.toml`. Pure.

    [site]
    redact = ["paths", "hosts", "mail", "names", "remotes", "patches", "console"]
    hide = ["project bluebird", "gpu-rack-7"]  # these texts too, wherever they stand
    keep = ["arxiv.org"]                       # hosts that may be named

Rules meet values once, where the ledger is read (`gather`, `whole`); so every page, table and
data file made of these values says the same. What was taken out leaves a mark that shows
its kind: "[path]". Who is meant stays told apart: "[mail 1]", "[mail 2]".
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal
from urllib.parse import unquote

import msgspec

from mlgit import settings
from mlgit.errors import Invalid
from mlgit.records import STATUSES, Person, Points, Source

Kind = Literal["paths", "hosts", "mail", "names", "remotes", "patches", "console"]
USUAL: tuple[Kind, ...] = ("paths", "hosts", "mail", "remotes", "patches", "console")

_MARKS = {
    "paths": "[path]",
    "hosts": "[host]",
    "mail": "[mail]",
    "names": "[name]",
    "remotes": "[remote]",
    "patches": "[patch]",
    "code": "[patch]",  # the rule "patches", of what changed between runs
    "console": "[console]",
    "hidden": "[hidden]",
}

SAID: dict[str, str] = {
    "paths": "Home folders and absolute paths: [path].",
    "hosts": "Hosts in addresses, and names and addresses of machines: [host].",
    "mail": "Mail addresses, of which a number tells apart whose they are: [mail 1].",
    "names": "Names of the people who made runs: [name 1].",
    "remotes": "Where the repository is shared: [remote].",
    "patches": "The differences of uncommitted work, [patch], and of the code of runs.",
    "console": "What runs printed on the console: [console].",
    "hidden": "Texts that the makers of this site named: [hidden].",
}
"""What each kind is, for readers of a site."""


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[site]` table; without a file all but people's names is taken out."""

    redact: list[Kind] = msgspec.field(default_factory=lambda: list(USUAL))
    hide: list[str] = msgspec.field(default_factory=list)
    keep: list[str] = msgspec.field(default_factory=list)
    reports: list[str] = msgspec.field(default_factory=list)
    """Of what the table says besides: see `reports`."""

    @property
    def kinds(self) -> list[str]:
        """What they take out, in a word each, as `SAID` knows it."""
        return sorted({*self.redact, *(["hidden"] if self.hide else [])})

    @property
    def digest(self) -> str:
        """A hash of them, for keys that leave with the site.

        Slow to make, so that nobody finds the hidden words by trying all words there are.
        """
        rules = msgspec.json.encode([sorted(self.redact), self.hide, self.keep])
        return hashlib.pbkdf2_hmac("sha256", rules, b"mlgit site", _ROUNDS).hex()


_ROUNDS = 300_000  # 0.1 s


def parse(content: bytes) -> Rules:
    """Returns the rules that a `mlgit.toml` holds.

    Raises:
        Invalid: it is no TOML, or asks for something that there is not.
    """
    rules = settings.table(content, "site", Rules, "site.md, Before it leaves the house")
    if "" in map(str.strip, [*rules.hide, *rules.keep]):
        raise Invalid(f"{settings.FILE}: an empty text in [site] would be found everywhere")
    return rules


class Redactor:
    """Takes out of values what the rules name, and counts what it took.

    `people` are name and mail address of those whose runs these are, in an order that
    stays: they are known wherever they are mentioned.
    """

    def __init__(self, rules: Rules, people: Iterable[tuple[str, str]] = ()) -> None:
        self.rules = rules
        self.found: dict[str, Counter[str]] = {}
        """By kind the texts that were taken out, and how often each was met."""
        self._known = _known(rules, people)
        self._pattern = _pattern(rules, self._known)
        self._clean: set[str] = set()
        """Short texts with nothing in them: keys and values that all runs share."""
        self._kept = tuple(host.lower() for host in rules.keep)

    def takes(self, kind: str) -> bool:
        return kind in self.rules.redact

    def mark(self, kind: str, text: str) -> str:
        """Returns what stands for a text of this kind, and counts it."""
        self.found.setdefault(kind, Counter())[text] += 1
        return self._known.get(text, ("", _MARKS[kind]))[1]

    def text(self, text: str) -> str:
        """Returns a text with marks in the place of what is taken out."""
        if text in _OURS or text in self._clean:
            return text
        if known := self._known.get(text):
            return self.mark(known[0], text)
        if self.takes("paths") and (whole := _WHOLE_PATH.fullmatch(text)):
            return whole[1] + self.mark("paths", whole[2])
        left = self._plain(text)
        if left == text and len(text) <= _SHORT and len(self._clean) < _MANY:
            self._clean.add(text)
        return left

    def _plain(self, text: str) -> str:
        """Returns a text without what is looked for."""
        if self._pattern is None:
            return text
        if _ENCODED.search(text):  # as in addresses, and in git tags of models
            text = _WORD.sub(self._decoded, text)
        return self._pattern.sub(self._replaced, text)

    def _decoded(self, word: re.Match[str]) -> str:
        """Returns a word as it is, unless what it spells with percent signs is looked for."""
        if self._pattern is None or "%" not in word[0]:
            return word[0]
        decoded = unquote(word[0])
        left = self._pattern.sub(self._replaced, decoded)
        return word[0] if left == decoded else left

    def _replaced(self, match: re.Match[str]) -> str:
        kind = match.lastgroup or ""
        text = match[0]
        if kind == "url":  # the host of an address; its way and its scheme stay
            scheme, _, rest = text.partition("://")
            return text if self._is_kept(rest) else f"{scheme}://{self.mark('hosts', rest)}"
        if kind == "hosts" and self._is_kept(text):
            return text
        return self.mark(self._known.get(text, (kind,))[0] if kind == "known" else kind, text)

    def _is_kept(self, authority: str) -> bool:
        if "@" in authority:  # the name that comes first, and what may follow it, are a secret
            return False
        name = re.sub(r":\d*$", "", authority.lower())
        return name in _NOWHERE or any(
            name == host or name.endswith(f".{host}") for host in self._kept
        )

    def content(self, content: bytes) -> bytes:
        """Returns an artifact's bytes; what is no text stays as it is."""
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return content
        if text.lstrip()[:1] in ("{", "["):
            # In JSON a text may be spelled in many ways.
            with contextlib.suppress(ValueError, RecursionError):
                value = json.loads(text)
                left = self.value(value)
                return content if left == value else json.dumps(left, indent=2).encode()
        redacted = self.text(text)
        return content if redacted == text else redacted.encode(errors="surrogatepass")

    def value(self, value: Any) -> Any:
        """Returns any value with every text in it redacted; bytes and numbers stay."""
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind in (int, float, bool, bytes, Points) or value is None:
            return value
        if isinstance(value, Mapping):
            return self.mapping(value)
        if isinstance(value, (list, set, frozenset)):
            return kind(map(self.value, value))
        if isinstance(value, tuple):
            parts = map(self.value, value)
            return kind(*parts) if hasattr(value, "_fields") else tuple(parts)
        if isinstance(value, msgspec.Struct):
            return self._struct(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = [field.name for field in dataclasses.fields(value) if field.init]
            return dataclasses.replace(
                value, **{name: self.value(getattr(value, name)) for name in fields}
            )
        return value

    def _struct(self, value: msgspec.Struct) -> msgspec.Struct:
        changes = {name: self.value(getattr(value, name)) for name in value.__struct_fields__}
        if isinstance(value, Person):
            if self.takes("mail"):
                changes["email"] = self.mark("mail", value.email)
            if self.takes("names"):
                changes["name"] = self.mark("names", value.name)
        if isinstance(value, Source) and value.remote and self.takes("remotes"):
            changes["remote"] = self.mark("remotes", value.remote)
        return msgspec.structs.replace(value, **changes)

    def mapping(self, value: Mapping[Any, Any]) -> dict[Any, Any]:
        """Returns a mapping, keys redacted too; those that become alike are numbered."""
        found: dict[Any, Any] = {}
        for key, content in value.items():
            found[self.unique(self.value(key), found)] = self.value(content)
        return found

    def unique(self, key: Any, taken: Iterable[Any]) -> Any:
        """Returns a key that none of the others is: a text, or a tuple that ends in one."""
        number, new = 1, key
        while new in taken:
            number += 1
            new = (*key[:-1], f"{key[-1]} {number}") if type(key) is tuple else f"{key} {number}"
        return new


def _known(rules: Rules, people: Iterable[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Returns the people's texts with kind and mark."""
    known: dict[str, tuple[str, str]] = {}
    for kind, mark, texts in zip(
        ("names", "mail"), ("[name {}]", "[mail {}]"), zip(*people, strict=True), strict=False
    ):
        if kind in rules.redact:
            for number, text in enumerate(dict.fromkeys(filter(None, texts)), 1):
                known.setdefault(text, (kind, mark.format(number)))
    return known


_SHORT, _MANY = 60, 100_000  # characters; texts

# --- what is looked for --------------------------------------------------------------------

_OURS = frozenset({*STATUSES, "running", "git", "dvc"})  # words that pages go by

_PART = r"[^\s\"'`<>|;:()\[\]{}]"
_FORMS = {
    "remotes": (
        r"\b(?:https?|ssh|git|git\+ssh)://[^\s\"'<>()]+?\.git\b/?"
        r"|(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*:(?!\d+\b)[\w~/][\w~./+-]*"
    ),
    "url": r"(?<![a-z0-9])[a-z][a-z0-9+.-]{0,15}://(?!\[host\])[^\s/?#\"'`<>()|,;]+",
    # Not "model@v1.2.0": what ends an address has no digits.
    "mail": r"(?<![\w.+%-])[\w.+%-]+@(?:[\w-]+\.)+[^\W\d_]{2,}",
    "paths": (
        rf"/(?:home|Users|root)/{_PART}*"
        rf"|file:///{_PART}*"
        rf"|(?<![\w/.~<*\]-])(?:/(?=[\w.@+~%$-])|~[\w.-]*/){_PART}*[^\s\"'`<>|;:()\[\]{{}},.]"
        r"|(?<![A-Za-z0-9])[A-Za-z]:\\+[^\s\"'`<>|*?;]*"
        r"|(?<!\\)\\\\+[\w.-]+\\+[^\s\"'`<>|*?;]*"
    ),
    "hosts": (
        r"(?<![\w.])(?:10|127|192\.168|172\.(?:1[6-9]|2\d|3[01]))(?:\.\d{1,3}){2,3}(?::\d+)?(?![\w.])"
        r"|(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}:\d+"
        r"|(?<![\w.-])(?:[\w-]+\.)+(?:local|localdomain|internal|intranet|lan|corp|home\.arpa)\b"
    ),
}
# A value that is nothing but a path may have anything in it; also after an option.
_WHOLE_PATH = re.compile(
    r"(|--?[\w-]+=)((?:/(?=[\w.@+~%$-])|~[\w.-]*/|file:///|[A-Za-z]:\\|\\\\\w)[^\n]*)"
)
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_WORD = re.compile(r"[^\s\"'`<>]+")
_NOWHERE = frozenset({"localhost", "127.0.0.1", "0.0.0.0", "[::1]"})  # names no machine


def _pattern(rules: Rules, known: Iterable[str]) -> re.Pattern[str] | None:
    """Returns all that is looked for as one expression; the name of its group is the kind."""
    parts = []
    for name, texts in (("hidden", rules.hide), ("known", [t for t in known if len(t) > 2])):
        words = "|".join(map(re.escape, sorted({*texts}, key=_longest)))
        if words:
            case = "(?i:%s)" if name == "hidden" else "%s"
            parts.append(rf"(?P<{name}>(?<!\w){case % f'(?:{words})'}(?!\w))")
    for name, form in _FORMS.items():
        if ("hosts" if name == "url" else name) in rules.redact:
            parts.append(f"(?P<{name}>{form})")
    return re.compile("|".join(parts)) if parts else None


def _longest(text: str) -> tuple[int, str]:
    return -len(text), text
