"""The names of git tags that mlgit makes and reads: the registry's, approvals, pins of runs.

GTO's grammar (https://github.com/iterative/gto), so that its commands work on ours and
ours on its:

    churn@v2.0.0              a version is registered
    churn#production#5        it takes a stage, or an alias; event 5 of this model
    churn#production!#6       it leaves the stage
    churn@v2.0.0!#7           the version is withdrawn
    churn@deprecated#8        the model is deprecated
    run/baseline              a run is pinned; not GTO's
    approved/churn/v2.0.0/production/01m8faksbq3a0n2rc5s8h9v7kd
                              somebody is for it that the version takes the stage; not GTO's
    approved/churn/v2.0.0/production!/01m8fb3v…
                              and takes that back

A model's name that GTO's grammar cannot carry is percent-encoded, and GTO passes over its
tags.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple
from urllib.parse import unquote

from mlgit.errors import Invalid
from mlgit.names import NAME_LIMIT, is_id, line_of_text, shown

Action = Literal["register", "withdraw", "assign", "unassign", "deprecate"]

# https://semver.org, with the leading v that GTO asks for
_SEMVER = (
    r"v(?:0|[1-9]\d{0,17})\.(?:0|[1-9]\d{0,17})\.(?:0|[1-9]\d{0,17})"
    r"(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_LABEL = r"[0-9A-Za-z](?:[0-9A-Za-z/_-]*[0-9A-Za-z])?"  # a stage's or an alias's name
_MODEL = r"(?:[0-9A-Za-z./_-]+=)?[0-9A-Za-z%/_-]+"
_EVENT = re.compile(
    rf"(?P<model>{_MODEL})(?:#(?P<stage>{_LABEL})(?P<left>!)?|@(?P<version>{_SEMVER})(?P<gone>!)?"
    r"|@(?P<deprecated>deprecated))(?:#(?P<counter>[0-9]{1,12}))?",
    re.ASCII,
)
_VERSION = re.compile(_SEMVER, re.ASCII)
_LABEL_ONLY = re.compile(_LABEL, re.ASCII)
_PIN = "run/"
_APPROVAL = re.compile(
    rf"approved/(?P<model>{_MODEL})/(?P<version>{_SEMVER})"
    r"/(?P<stage>[0-9A-Za-z](?:[0-9A-Za-z_-]*[0-9A-Za-z])?)(?P<gone>!)?/(?P<id>[0-9a-z]{26})",
    re.ASCII,
)


class EventName(NamedTuple):
    """What the name of a tag of the registry says."""

    model: str
    action: Action
    version: str | None = None
    """As in "v2.0.0"."""
    stage: str | None = None
    """A stage's or an alias's name."""
    counter: int | None = None

    def __str__(self) -> str:
        """The tag's name; the inverse of `parse`."""
        model = encode(self.model)
        number = "" if self.counter is None else f"#{self.counter}"
        if self.action == "deprecate":
            return f"{model}@deprecated{number}"
        end = "!" if self.action in ("unassign", "withdraw") else ""
        what = f"#{self.stage}" if self.stage else f"@{self.version}"
        return f"{model}{what}{end}{number}"


def parse(tag: str) -> EventName | None:
    """Returns what a tag's name says, or None if it is none of the registry's.

    >>> parse("churn#production!#6")
    EventName(model='churn', action='unassign', version=None, stage='production', counter=6)
    """
    found = _EVENT.fullmatch(tag)
    model = decode(found["model"]) if found else None
    if found is None or model is None:
        return None
    action: Action = "deprecate"
    if found["stage"]:
        action = "unassign" if found["left"] else "assign"
    elif found["version"]:
        action = "withdraw" if found["gone"] else "register"
    counter = int(found["counter"]) if found["counter"] else None
    return EventName(model, action, found["version"], found["stage"], counter)


class ApprovalName(NamedTuple):
    """What the name of an approval's tag says."""

    model: str
    version: str
    """As in "v2.0.0"."""
    stage: str
    id: str
    """As of a run: it tells the time, and two people never make the same."""
    withdrawn: bool = False

    def __str__(self) -> str:
        """The tag's name; the inverse of `parse_approval`."""
        stage = f"{self.stage}{'!' * self.withdrawn}"
        return f"{approvals_of(self.model)}/{self.version}/{stage}/{self.id}"


def approvals_of(model: str) -> str:
    """Returns what the names of all approvals of a model begin with, before a slash."""
    return f"approved/{encode(model)}"


def parse_approval(tag: str) -> ApprovalName | None:
    """Returns what the name of an approval's tag says, or None if it is none."""
    found = _APPROVAL.fullmatch(tag)
    model = decode(found["model"]) if found else None
    if found is None or model is None or not is_id(found["id"]):
        return None
    return ApprovalName(model, found["version"], found["stage"], found["id"], bool(found["gone"]))


def is_ours(tag: str) -> bool:
    """Tells whether a tag has a name as the registry's, or is an approval or the pin of a run."""
    return parse(tag) is not None or is_pin(tag) or parse_approval(tag) is not None


def model_of(tag: str) -> str | None:
    """Returns the name of the model that an event or an approval is about; else None."""
    about = parse(tag) or parse_approval(tag)
    return about.model if about else None


def pin(name: str) -> str:
    """Returns the tag that pins a run called so.

    >>> pin("baseline"), pin("sweep #3")
    ('run/baseline', 'run/sweep%20%233')
    """
    return _PIN + encode(name).replace("=", "%3D")


def is_pin(tag: str) -> bool:
    """Tells whether a tag pins a run."""
    return tag.startswith(_PIN) and decode(tag.removeprefix(_PIN)) is not None


def encode(name: str) -> str:
    """Returns a name as a git tag may begin with it.

    >>> encode("team/churn"), encode("größe 2"), encode("../x")
    ('team/churn', 'gr%C3%B6%C3%9Fe%202', '%2E%2E/x')
    """
    folder, _, rest = name.partition(":")
    if rest and re.fullmatch(r"[0-9A-Za-z/_-]+", folder, re.ASCII):
        return f"{_encode(folder)}={_encode(rest)}"  # GTO's name of an artifact in a subfolder
    return _encode(name)


def _encode(name: str) -> str:
    # Of what is no Unicode a tag is made too, which is no name's: there is none to be found.
    return _UNSAFE.sub(
        lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode(errors="surrogatepass")),
        name,
    )


# Besides what git forbids: an end that is no letter or digit, and a slash beside another.
_UNSAFE = re.compile(r"[^0-9A-Za-z/_-]|^[/_-]|(?<=/)/|[/_-]\Z", re.ASCII)


@lru_cache(maxsize=4096)  # thousands of tags have the names of few models
def decode(text: str) -> str | None:
    """Returns the name that `encode` spells so, or None if it spells none so."""
    try:
        name = unquote(text.replace("=", ":", 1), errors="strict")
        return name if encode(model_name(name)) == text else None
    except (UnicodeDecodeError, Invalid):
        return None


def model_name(name: str) -> str:
    """Returns the name in Unicode's NFC form if a model may have it.

    Raises:
        Invalid: empty, blank at an end, with control characters, or too long.
    """
    name = line_of_text("model name", name)
    if len(encode(name)) > NAME_LIMIT - 60:  # a version or stage and a counter follow
        raise Invalid(f"the model name {shown(name)} is too long", "a long text is a description")
    return name


def version_name(text: str) -> str:
    """Returns a version's whole name, as in "v2.0.0", from it or from "v2", "2" or "2.1".

    Raises:
        Invalid: it is no semantic version.

    >>> version_name("2"), version_name("v2.1")
    ('v2.0.0', 'v2.1.0')
    """
    numbers = text.removeprefix("v")
    if re.fullmatch(r"\d+(\.\d+)?", numbers, re.ASCII):
        numbers += ".0" * (2 - numbers.count("."))
    if not _VERSION.fullmatch(f"v{numbers}"):
        raise Invalid(f"{shown(text)} is no version", "write it as v2, or v2.1.0")
    return f"v{numbers}"


def find_version(text: str) -> str | None:
    """Returns a version's whole name, as `version_name`, or None if it is no version."""
    try:
        return version_name(text)
    except Invalid:
        return None


def label(kind: str, text: str) -> str:
    """Returns the name of a stage or alias if it may be one.

    Raises:
        Invalid: anything but letters, digits, `-` and `_`, or over 100 characters.
    """
    if "/" in text or len(text) > 100 or not _LABEL_ONLY.fullmatch(text):
        raise Invalid(
            f"{shown(text)} cannot be the name of a{'n' * (kind[0] in 'aeiou')} {kind}",
            "use letters, digits, '-' and '_'",
        )
    return text
