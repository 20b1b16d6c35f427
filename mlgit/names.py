"""Every spelling that mlgit stores, in both directions.

Ids, the paths on the branch, and the rules for names stand here once; no other
file joins them by hand. Readers call the same functions as writers, because a
branch fetched from somebody else may hold any name at all.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
import unicodedata
from datetime import datetime, timezone
from typing import NamedTuple
from urllib.parse import unquote

from mlgit.errors import Invalid

BRANCH = "mlgit"
MARK = "mlgit.json"
DVC_IGNORE = ".dvcignore"
RUN_FILE = "run.json"
VERSION_MARK = b"# mlgit: a version commit\n"  # its .dvcignore; tells it from a commit of code
METRICS_FILE = "metrics.json"
CONSOLE_FILE = "console.txt"  # an artifact like others, but every run has one of its own

KEY_LIMIT = 250  # characters of a param, metric or tag key; MLflow's limit too
NAME_LIMIT = 240  # bytes of an encoded name: a file name may have 255 on common systems
TITLE_LIMIT = 250  # characters of a run's name
PATH_LIMIT = 1024  # bytes of an artifact's path

# --- run and fact ids ------------------------------------------------------------

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case
_ID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")
_PREFIX = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{0,25}")
_id_lock = threading.Lock()
_last_ms = 0


def new_id(ms: int | None = None) -> str:
    """Returns a new run or fact id: a 26-character ULID in lower case.

    The first 10 characters are the time in milliseconds since 1970 (UTC), the
    other 16 are 80 random bits (https://github.com/ulid/spec). Ids made in one
    process without `ms` ascend; two of them never share a millisecond, so ten
    characters tell them apart.
    """
    global _last_ms
    if ms is None:
        with _id_lock:
            ms = _last_ms = max(time.time_ns() // 1_000_000, _last_ms + 1)
    number = (ms << 80) | secrets.randbits(80)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def _forget_lock_in_child() -> None:
    # A fork may happen while another thread holds the lock.
    global _id_lock
    _id_lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_lock_in_child)


def is_id(text: str) -> bool:
    """Tells whether `text` is a whole run or fact id."""
    return _ID.fullmatch(text) is not None


def is_id_prefix(text: str) -> bool:
    """Tells whether an id could begin with `text`."""
    return _PREFIX.fullmatch(text) is not None


def id_ms(run_id: str) -> int:
    """Returns the milliseconds since 1970 (UTC) that the first ten characters tell."""
    ms = 0
    for char in run_id[:10]:
        ms = ms << 5 | _ALPHABET.index(char)
    return ms


def id_days(prefix: str) -> tuple[str, str]:
    """Returns the first and the last day folder in which ids with this prefix can lie.

    >>> id_days("01kb2q6v6r")
    ('2025/11/27', '2025/11/27')
    """
    return (
        _day(id_ms(prefix[:10].ljust(10, "0"))),
        _day(id_ms(prefix[:10].ljust(10, "z"))),
    )


def _day(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, timezone.utc).strftime("%Y/%m/%d")
    except (ValueError, OverflowError, OSError):  # a time beyond the year 9999
        return "9999/12/31"


# --- times -------------------------------------------------------------------------


def timestamp(seconds: float) -> str:
    """Returns a time as it is stored: UTC, microseconds, a final Z.

    >>> timestamp(0.25)
    '1970-01-01T00:00:00.250000Z'
    """
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond:06d}Z"


def seconds(stamp: str) -> float:
    """Returns the seconds since 1970 of a stored time; the inverse of `timestamp`.

    One spelling only, so that times sort as texts.

    Raises:
        Invalid: the text is not such a time.

    >>> seconds("1970-01-01T00:00:00.250000Z")
    0.25
    """
    try:
        if not _TIME.fullmatch(stamp):
            raise ValueError("another spelling")
        return datetime.fromisoformat(stamp[:-1] + "+00:00").timestamp()
    except ValueError as error:
        raise Invalid(f"{shown(stamp)} is not a time in UTC with microseconds") from error


def is_timestamp(stamp: str) -> bool:
    """Tells whether this is a stored time."""
    try:
        return _TIME.fullmatch(stamp) is not None and bool(datetime.fromisoformat(stamp[:-1]))
    except ValueError:
        return False


_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


# --- paths on the branch -------------------------------------------------------------


def run_folder(run_id: str) -> str:
    """Returns the folder of a run: the UTC day of the id's own time, then the id.

    >>> run_folder("01kb2q6v6r8m3x0c5t1w9y7zab")
    'runs/2025/11/27/01kb2q6v6r8m3x0c5t1w9y7zab'
    """
    return f"runs/{_day(id_ms(run_id))}/{run_id}"


def run_file(run_id: str, name: str) -> str:
    return f"{run_folder(run_id)}/{name}"


def artifact_file(run_id: str, path: str) -> str:
    return f"{run_folder(run_id)}/files/{path}"


def run_fact_file(run_id: str, fact_id: str) -> str:
    return f"{run_folder(run_id)}/facts/{fact_id}.json"


def experiment_folder(name: str) -> str:
    return f"experiments/{encode(name)}"


def experiment_fact_file(name: str, fact_id: str) -> str:
    return f"{experiment_folder(name)}/facts/{fact_id}.json"


def model_folder(name: str) -> str:
    return f"models/{encode(name)}"


def model_fact_file(name: str, fact_id: str) -> str:
    return f"{model_folder(name)}/facts/{fact_id}.json"


def remote_folder(name: str) -> str:
    return f"remotes/{encode(name)}"


def remote_fact_file(name: str, fact_id: str) -> str:
    return f"{remote_folder(name)}/facts/{fact_id}.json"


def environment_file(digest: str) -> str:
    return f"environments/{digest}.json"


def profile_folder(md5: str) -> str:
    """Returns the folder with the profiles of one content, named by its md5."""
    return f"profiles/{md5}"


def profile_file(md5: str, digest: str) -> str:
    """Returns the file of a profile, named by the SHA-256 of its own bytes."""
    return f"{profile_folder(md5)}/{digest}.json"


class Place(NamedTuple):
    """What a path on the branch is: of which thing, and which part of it."""

    kind: str  # run, experiment, model, remote, environment, profile, mark, ignore or other
    owner: str  # run id; name; hash of environment or data; "" for the rest
    part: str  # the path below the owner's folder


_RUN_PLACE = re.compile(r"runs/(\d{4}/\d\d/\d\d)/([^/]+)/(.+)")
_EXPERIMENT_PLACE = re.compile(r"experiments/([^/]+)/(.+)")
_MODEL_PLACE = re.compile(r"models/([^/]+)/(.+)")
_REMOTE_PLACE = re.compile(r"remotes/([^/]+)/(.+)")
_PROFILE_PLACE = re.compile(r"profiles/([0-9a-f]{32}(?:\.dir)?)/([0-9a-f]{64}\.json)")
_ENVIRONMENT_PLACE = re.compile(r"environments/([0-9a-f]{64})\.json")


def place(path: str) -> Place:
    """Tells what a path on the branch is; the inverse of the functions above.

    A path under `runs/` that no run can have written (a malformed id, or an id
    in the folder of another day) is "other", like all we do not know: a later
    mlgit may have its reasons, and nothing is read from there.

    >>> place("runs/2025/11/27/01kb2q6v6r8m3x0c5t1w9y7zab/run.json").part
    'run.json'
    """
    if match := _RUN_PLACE.fullmatch(path):
        day, run_id, part = match.groups()
        if is_id(run_id) and _day(id_ms(run_id)) == day:
            return Place("run", run_id, part)
    elif match := _EXPERIMENT_PLACE.fullmatch(path):
        folder, part = match.groups()
        name = decode(folder)
        if name is not None:
            return Place("experiment", name, part)
    elif match := _MODEL_PLACE.fullmatch(path):
        folder, part = match.groups()
        name = decode(folder)
        if name is not None:
            return Place("model", name, part)
    elif match := _REMOTE_PLACE.fullmatch(path):
        name, part = match.groups()
        if is_remote_name(name):
            return Place("remote", name, part)
    elif match := _ENVIRONMENT_PLACE.fullmatch(path):
        return Place("environment", match[1], "")
    elif match := _PROFILE_PLACE.fullmatch(path):
        return Place("profile", match[1], match[2])
    elif path == MARK:
        return Place("mark", "", "")
    elif path == DVC_IGNORE:
        return Place("ignore", "", "")
    return Place("other", "", path)


# --- names people give ---------------------------------------------------------------


def encode(name: str) -> str:
    """Returns a name as one safe path component, percent-encoding what is not.

    ASCII letters and digits, `_`, `-`, inner dots and what other scripts write with
    stay readable. A leading dot is encoded, so neither `..` nor any spelling of
    `.git` can arise, and so is a final one, which Windows drops.

    >>> encode("team/churn"), encode("..")
    ('team%2Fchurn', '%2E%2E')
    """
    return _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), name)


# By number, not by Unicode category: categories change with the version of Unicode, and
# one name would lie in two places. Beyond ASCII it is controls, the soft hyphen, General
# Punctuation with its blanks and directions, and the byte order mark.
_UNSAFE = re.compile(
    "[^0-9A-Za-z_.\\-\u00a1-\u00ac\u00ae-\u1fff\u2070-\ufefe\uff00-\U0010ffff]|^\\.+|\\.\\Z"
)


def decode(component: str) -> str | None:
    """Returns the name that `encode` spells so, or None if it spells none so."""
    try:
        name = unquote(component, errors="strict")
        return name if encode(experiment_name(name)) == component else None
    except (UnicodeDecodeError, Invalid):
        return None


def experiment_name(name: str) -> str:
    """Returns the name in Unicode's NFC form if an experiment may have it.

    Raises:
        Invalid: empty, blank at an end, with control characters, or too long.
    """
    name = line_of_text("experiment name", name)
    if len(encode(name).encode()) > NAME_LIMIT:
        raise Invalid(
            f"the experiment name {shown(name)} is too long",
            f"keep it below {NAME_LIMIT} bytes; a long text belongs in a note",
        )
    return name


def remote_name(name: str) -> str:
    """Returns the name if a data remote may have it: what git and DVC allow in a section.

    Raises:
        Invalid: anything but ASCII letters, digits, `_` and `-`, or over 100 characters.
    """
    if not is_remote_name(name):
        raise Invalid(
            f"a data remote cannot be called {shown(name)}",
            "use letters, digits, '_' and '-', and begin with a letter or digit",
        )
    return name


def is_remote_name(name: str) -> bool:
    """Tells whether a data remote may have this name; `encode` leaves it as it is."""
    return isinstance(name, str) and _REMOTE_NAME.fullmatch(name) is not None


_REMOTE_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")


def run_name(name: str) -> str:
    """Returns a run's name in NFC form: any one line of text up to 250 characters."""
    name = line_of_text("run name", name)
    if len(name) > TITLE_LIMIT:
        raise Invalid(
            f"the run name {shown(name)} has {len(name)} characters, {TITLE_LIMIT} are allowed",
            "a long text belongs in a note",
        )
    return name


def key(kind: str, text: str) -> str:
    """Returns the key of a param, metric or tag if it may be one.

    Raises:
        Invalid: not a string, empty, with control characters, or over 250 characters.
    """
    text = line_of_text(f"{kind} key", text)
    if len(text) > KEY_LIMIT:
        raise Invalid(f"the {kind} key {shown(text)} is longer than {KEY_LIMIT} characters")
    return text


def artifact_path(path: str) -> str:
    """Returns a relative POSIX path that stays in its folder on every system.

    Raises:
        Invalid: absolute, with `..`, `.git`, backslashes, control characters, or too long.
    """
    text = line_of_text("artifact path", path)
    parts = text.split("/")
    if "\\" in text or any(part in ("", ".", "..") for part in parts):
        raise Invalid(
            f"the artifact path {shown(text)} is not a plain relative path",
            "write it as folder/name, without '..', empty parts or backslashes",
        )
    if len(text.encode()) > PATH_LIMIT or any(len(part.encode()) > 255 for part in parts):
        raise Invalid(f"the artifact path {shown(text)} is too long")
    if not all(is_safe_component(part) for part in parts):
        raise Invalid(f"the artifact path {shown(text)} has a part that git does not allow")
    return text


def member_path(path: str) -> str:
    """Returns the path of a file in a folder's manifest, unchanged, if it stays in the folder.

    Not normalised and not restricted to what git allows, because the folder's hash
    depends on every byte of it.

    Raises:
        Invalid: absolute, with `..`, empty parts, or anything that opens `.git`.
    """
    if isinstance(path, str):
        parts = path.split("/")
        if _is_unicode(path) and not any(
            part in ("", ".", "..") or "\0" in part or _REPOSITORY.fullmatch(_IGNORED.sub("", part))
            for part in parts
        ):
            return path
    raise Invalid(f"the path {shown(path)} cannot be in a folder of the data store")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# What macOS ignores in file names, so that ".g\u200cit" opens ".git" there (git's own
# list, in utf8.c: next_hfs_char).
_IGNORED = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
# And what NTFS takes for it (path.c: is_ntfs_dotgit).
_DOT_GIT = re.compile(r"(\.git|git~\d+|\.gitmodules)[ .]*(:.*)?", re.IGNORECASE | re.DOTALL)
_REPOSITORY = re.compile(r"(\.git|git~\d+)[ .]*(:.*)?", re.IGNORECASE | re.DOTALL)


def is_safe_component(name: str) -> bool:
    """Tells whether a tree entry may have this name without meaning another place."""
    plain = _IGNORED.sub("", name)
    return (
        name not in ("", ".", "..")
        and not set(name) & {"/", "\\", "\0"}
        and _DOT_GIT.fullmatch(plain) is None
    )


def line_of_text(what: str, text: str) -> str:
    if not isinstance(text, str):
        raise Invalid(f"a {what} is a string, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid(f"the {what} {shown(text)} is not valid Unicode") from None
    text = unicodedata.normalize("NFC", text)
    if not text or text != text.strip():
        raise Invalid(f"the {what} {shown(text)} is empty, or has blanks at an end")
    if any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in text):
        raise Invalid(f"the {what} {shown(text)} has control characters")
    return text


def shown(text: object, limit: int = 60) -> str:
    """Returns a value quoted for a message: escaped, and cut if long."""
    quoted = ascii(text) if isinstance(text, str) and not text.isprintable() else repr(text)
    return quoted if len(quoted) <= limit else quoted[: limit - 2] + "…" + quoted[-1]
