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
import html
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple
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
        self.found: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """By kind the texts that were taken out, and how often each was met."""
        self._known = _known(rules, people)
        self._forms = _forms(rules, self._known)
        self._patterns: dict[tuple[_Form, ...], re.Pattern[str]] = {}
        self._texts = {_plain_words(text): text for text in self._known}
        self._clean: set[str] = set()
        """Short texts with nothing in them: keys and values that all runs share."""
        self._kept = tuple(host.lower() for host in rules.keep)

    def takes(self, kind: str) -> bool:
        return kind in self.rules.redact

    def mark(self, kind: str, text: str) -> str:
        """Returns what stands for a text of this kind, and counts it."""
        self.found[kind][text] += 1
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
        if self._forms and _SPELLED.search(text):  # as in addresses, tags of models, and notes
            text = _WORD.sub(self._decoded, text)
        return self._without(text)

    def _without(self, text: str) -> str:
        """Returns a text without what is looked for, as it is spelled there.

        Of all forms only those are tried that the text may have: most have none of what is in
        every one of some form, and to look for that takes no time.
        """
        lower = text.lower()
        forms = tuple(form for form in self._forms if form.may_be_in(lower))
        if not forms:
            return text
        pattern = self._patterns.get(forms)
        if pattern is None:
            groups = "|".join(f"(?P<{form.name}>{form.pattern})" for form in forms)
            pattern = self._patterns[forms] = re.compile(groups)
        return pattern.sub(self._replaced, text)

    def _decoded(self, word: re.Match[str]) -> str:
        """Returns a word as it is, unless what it spells with other signs is looked for."""
        decoded = word[0]
        if _WINDOWS.search(decoded):  # backslashes of its own
            return decoded
        for _ in range(_LAYERS):
            if not _SPELLED.search(decoded):
                break
            decoded = _ESCAPED.sub(r"\1", html.unescape(unquote(decoded)))
            left = self._without(decoded)
            if left != decoded:
                return left
        return word[0]

    def _replaced(self, match: re.Match[str]) -> str:
        kind = _KINDS.get(match.lastgroup or "", match.lastgroup or "")
        text = match[0]
        if kind == "url":  # the host of an address; its way and its scheme stay
            scheme, _, rest = text.partition("://")
            return text if self._is_kept(rest) else f"{scheme}://{self.mark('hosts', rest)}"
        if kind == "hosts" and self._is_kept(text):
            return text
        if kind == "known":
            text = self._texts.get(_plain_words(text), text)
            kind = self._known[text][0]
        return self.mark(kind, text)

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
        redacted = self.text(self._json(text))
        return content if redacted == text else redacted.encode(errors="surrogatepass")

    def _json(self, text: str) -> str:
        """Returns JSON, or lines of it, redacted: in it a text may be spelled in many ways."""
        if text.lstrip()[:1] in ("{", "["):
            with contextlib.suppress(ValueError, RecursionError):
                return self._parsed(text, indent=2)
            with contextlib.suppress(ValueError, RecursionError):
                return "\n".join(line and self._parsed(line) for line in text.split("\n"))
        return text

    def _parsed(self, text: str, indent: int | None = None) -> str:
        value = json.loads(text)
        left = self.value(value)
        return text if left == value else json.dumps(left, indent=indent)

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


class _Form(NamedTuple):
    """A form of text that is looked for."""

    name: str
    pattern: str
    may_be_in: Callable[[str], object]
    """Tells quickly, of a text in lower case, whether this is worth looking for."""


def _has(sign: str) -> Callable[[str], bool]:
    return lambda text: sign in text


_WINDOWS = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]:\\|(?<!\\)\\\\\w")
_KINDS = {"scp": "remotes", "file": "paths", "quoted": "paths", "windows": "paths"}
_PART = r"[^\s\"'`<>|;:()\[\]{}]"
_LOCAL = r"local|localdomain|internal|intranet|lan|corp|home\.arpa"
_PRIVATE = r"10|127|192\.168|172\.(?:1[6-9]|2\d|3[01])"
_FORMS = (
    _Form(
        "remotes",
        r"\b(?:https?|ssh|git|git\+ssh)://(?:(?!://)[^\s\"'<>()])+?\.git\b/?",
        _has(".git"),
    ),
    _Form(
        "scp",
        r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*:(?!\d+\b)[\w~/][\w~./+-]*",
        _has("@"),
    ),
    _Form(
        "url",
        r"(?<![a-z0-9])[a-z][a-z0-9+.-]{0,15}://(?!\[host\])[^\s/?#\"'`<>()|,;]+",
        _has("://"),
    ),
    # Not "model@v1.2.0": what ends an address has no digits.
    _Form("mail", r"(?<![\w.+%-])[\w.+%-]+@(?:[\w-]+\.)+[^\W\d_]{2,}", _has("@")),
    # Between quotes a path may have blanks; errors say so which file is not there.
    _Form(
        "quoted",
        r"(?<=['\"`])(?:/(?=[\w.@+~%$-])|~[\w.-]*/|[A-Za-z]:\\|\\\\\w)[^\n'\"`<>]*(?=['\"`])",
        re.compile(r"['\"`](?:[/~\\]|[a-z]:\\)").search,
    ),
    _Form("file", rf"file:///{_PART}*", _has("file:///")),
    # The first character stands alone before what must not precede it: so it is found quickly.
    _Form(
        "paths",
        rf"[/~](?:(?<=/)(?:home|Users|root)/{_PART}*"
        r"|(?<![\w/.~<*\]-].)(?:(?<=/)(?=[\w.@+~%$-])|(?<=~)[\w.-]*/)"
        rf"{_PART}*[^\s\"'`<>|;:()\[\]{{}},.])",
        re.compile(r"[/~]").search,
    ),
    _Form(
        "windows",
        r"(?<![A-Za-z0-9])[A-Za-z]:\\+[^\s\"'`<>|*?;]*"
        r"|(?<!\\)\\\\+[\w.-]+\\+[^\s\"'`<>|*?;]*",
        _has("\\"),
    ),
    _Form(
        "hosts",
        rf"(?<![\w.])(?:{_PRIVATE})(?:\.\d{{1,3}}){{2,3}}(?::\d+)?(?![\w.])"
        r"|(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}:\d+"
        rf"|(?<![\w.-])(?:[\w-]+\.)+(?:{_LOCAL})\b",
        re.compile(rf"\.(?:\d{{1,3}}\.\d{{1,3}}|{_LOCAL})").search,
    ),
)
# A value that is nothing but a path may have anything in it; also after an option.
_WHOLE_PATH = re.compile(
    r"(|--?[\w-]+=)((?:/(?=[\w.@+~%$-])|~[\w.-]*/|file:///|[A-Za-z]:\\|\\\\\w)[^\n]*)"
)
# As addresses, HTML, and Markdown spell signs besides.
_SPELLED = re.compile(r"%[0-9A-Fa-f]{2}|&#?\w{2,31};|\\[!-/:-@\[-`{-~]")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_LAYERS = 3  # of one spelling around another
_WORD = re.compile(r"[^\s\"'`<>]+")
_NOWHERE = frozenset({"localhost", "127.0.0.1", "0.0.0.0", "[::1]"})  # names no machine


def _forms(rules: Rules, known: Iterable[str]) -> list[_Form]:
    """Returns all that is looked for; of what a text may be, the first counts."""
    found = []
    for name, texts in (("hidden", rules.hide), ("known", [t for t in known if len(t) > 2])):
        every = [words for text in sorted({*texts}, key=_longest) for words in _spellings(text)]
        if every:
            case = "(?i:%s)" if name == "hidden" else "%s"
            # Where it has a blank there may be the end of a line.
            any_of = "|".join(r"\s+".join(map(re.escape, words)) for words in every)
            begins = re.compile("|".join(re.escape(words[0].lower()) for words in every))
            found.append(_Form(name, rf"(?<!\w){case % f'(?:{any_of})'}(?!\w)", begins.search))
    for form in _FORMS:
        kind = _KINDS.get(form.name, form.name)
        if ("hosts" if kind == "url" else kind) in rules.redact:
            found.append(form)
    return found


def _spellings(text: str) -> list[list[str]]:
    """Returns the words of a text; a letter with an accent is one sign or two, as on macOS."""
    forms = [unicodedata.normalize(form, text).split() for form in ("NFC", "NFD")]
    return forms if forms[0] != forms[1] else forms[:1]


def _plain_words(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.split()))


def _longest(text: str) -> tuple[int, str]:
    return -len(text), text
