"""The records: what a run, a fact and their parts consist of, as bytes and back.

The format is specified in docs/format.md and promised there: unknown fields
survive a round trip, a later major format is refused, and nothing read is
trusted before it has been checked here.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, TypeVar

import msgspec

from mlgit import names
from mlgit.errors import Invalid, Unreadable
from mlgit.records.canonical import (
    Number,
    canonical,
    pack,
    pack_number,
    parse,
    unpack,
    unpack_number,
)

FORMAT = 1
STATUSES = ("finished", "failed", "interrupted")  # stored; a live run is "running"

# Bytes. A reader refuses more without loading it, a writer never makes as much.
SIZE_LIMITS = {
    "mark": 64 * 1024,
    "run": 8 * 1024 * 1024,
    "metrics": 8 * 1024 * 1024,
    "fact": 8 * 1024 * 1024,
    "environment": 4 * 1024 * 1024,
    "profile": 1024 * 1024,
    "file": 64 * 1024,
}


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A stored record. `unknown` holds the fields that this version does not know."""

    unknown: dict[str, Any] = msgspec.field(default_factory=dict, name="$unknown")

    WRITTEN_IF_SET: ClassVar[frozenset[str]] = frozenset()
    """Fields that came later, or are rare: what has none of them says nothing of them."""

    def document(self) -> dict[str, Any]:
        """Returns the record as an object of JSON types."""
        return _plain(self)


class Person(Record, frozen=True, kw_only=True):
    name: str
    email: str


class Metric(Record, frozen=True, kw_only=True):
    """A summary of one metric. `min` and `max` are NaN if no point is comparable."""

    last: Number
    min: Number
    max: Number
    step: int
    """Step of the last point."""
    count: int


class Source(Record, frozen=True, kw_only=True):
    """The code a run ran: commit, and a snapshot commit if there was uncommitted work."""

    commit: str | None = None
    snapshot: str | None = None
    branch: str | None = None
    remote: str | None = None
    entry: str | None = None
    argv: list[str] = msgspec.field(default_factory=list)
    cwd: str | None = None
    """The folder the command was given in, relative to the repository; None is its top."""
    module: str | None = None
    """What was run with `python -m`, if so."""
    skipped: list[dict[str, Any]] = msgspec.field(default_factory=list)
    """Uncommitted files left out of the snapshot: {"path": …, "reason": …}."""

    WRITTEN_IF_SET = frozenset({"cwd", "module"})


class Pointer(Record, frozen=True, kw_only=True):
    """An input or output: its path, DVC hash (md5, `.dir` for folders) and size in bytes."""

    path: str
    md5: str | None
    """None only for an address whose content was not fetched."""
    size: int | None
    """None only for that, and for a table in memory of which the hash alone was kept."""
    kind: str | None = None
    name: str | None = None
    role: str | None = None
    files: int | None = None
    stored: str | None = None
    """"git": a blob in the run's files/; "dvc": an object of the data store; None: the
    hash is all that was kept."""
    origin: str | None = None
    """Of an input: "dvc", "file", "glob", "url" or "memory"."""
    url: str | None = None
    """The address, without credentials; `etag`, `version` and `modified` are what its
    server said of the content."""
    etag: str | None = None
    version: str | None = None
    modified: str | None = None
    content: str | None = None
    """Of a table in memory: the digest of its values, however they are stored."""
    profile: dict[str, Any] | None = None
    """{"rows": …, "columns": …}; the whole profile stands in profiles/ on the branch."""

    WRITTEN_IF_SET = frozenset({"url", "etag", "version", "modified", "content", "profile"})


class Run(Record, frozen=True, kw_only=True):
    """One execution. What is stored never changes; `fold` adds the later facts."""

    format: int = FORMAT
    id: str
    experiment: str
    name: str | None = None
    status: str
    started: str
    ended: str | None = None
    paused: float | None = None
    """Seconds between those in which it did not run: it was taken up again later."""
    parent: str | None = None
    by: Person
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    metrics: dict[str, Metric] = msgspec.field(default_factory=dict)
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    note: str | None = None
    error: str | None = None
    """The exception that ended a failed run: its type and message."""
    source: Source = msgspec.field(default_factory=Source)
    environment: str | None = None
    inputs: list[Pointer] = msgspec.field(default_factory=list)
    outputs: list[Pointer] = msgspec.field(default_factory=list)
    deleted: str | None = None
    """When a fact deleted it; never stored in run.json."""

    missing: list[str] | None = None
    """What the data remote has not of what the run keeps, by md5; as a fact says, never
    stored in run.json."""

    WRITTEN_IF_SET = frozenset({"paused", "note", "error", "deleted", "missing"})

    @property
    def duration(self) -> float | None:
        """Seconds it ran, from start to end without pauses; None while it has no end."""
        return ran(self.started, self.ended, self.paused)

    @property
    def artifacts(self) -> list[Pointer]:
        """The outputs that people logged, in the order of logging; metrics are none."""
        return [pointer for pointer in self.outputs if pointer.kind != "history"]


def ran(started: str, ended: str | None, paused: float | None) -> float | None:
    """Returns the seconds between two times without a pause; None if there is no end."""
    if ended is None:
        return None
    return round(names.seconds(ended) - names.seconds(started) - (paused or 0), 6)


class Fact(Record, frozen=True, kw_only=True):
    """A later, immutable statement about a run or an experiment."""

    format: int = FORMAT
    id: str
    time: str
    by: Person
    kind: str
    data: dict[str, Any] = msgspec.field(default_factory=dict)


R = TypeVar("R", bound=Record)


def _build(kind: type[R], document: dict[str, Any], what: str) -> R:
    """Makes a checked record of a parsed object, keeping the fields it does not know."""
    try:
        record = msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise Unreadable(f"{what} is damaged: {error}") from error
    return _keep_unknown(record, document)


def _keep_unknown(record: R, document: dict[str, Any]) -> R:
    changes: dict[str, Any] = {}
    known = [field for field in record.__struct_fields__ if field != "unknown"]
    unknown = {key: value for key, value in document.items() if key not in known}
    if unknown:
        changes["unknown"] = unknown
    for field in known:
        value, stored = getattr(record, field), document.get(field)
        if isinstance(value, Record) and isinstance(stored, dict):
            kept: Any = _keep_unknown(value, stored)
        elif isinstance(value, list) and value and isinstance(value[0], Record):
            kept = [
                _keep_unknown(item, part) for item, part in zip(value, stored or [], strict=True)
            ]
        elif field == "metrics" and isinstance(stored, dict):
            kept = {key: _keep_unknown(item, stored[key]) for key, item in value.items()}
        else:
            continue
        changes[field] = kept
    return msgspec.structs.replace(record, **changes) if changes else record


def _plain(record: Record) -> dict[str, Any]:
    """Returns the object of JSON types that `canonical` writes."""
    plain = dict(record.unknown)
    for field in record.__struct_fields__:
        if field != "unknown":
            value = getattr(record, field)
            if value is None and field in record.WRITTEN_IF_SET:
                continue
            if isinstance(value, Record):
                value = _plain(value)
            elif isinstance(value, list) and value and isinstance(value[0], Record):
                value = [_plain(item) for item in value]
            plain[field] = value
    return plain


def _check_format(document: dict[str, Any], what: str) -> None:
    version = document.get("format")
    if type(version) is not int or version < 1:
        raise Unreadable(f"{what} is damaged: it does not tell its format")
    if version > FORMAT:
        raise Unreadable(
            f"{what} was written by a later mlgit (format {version}, this one reads {FORMAT})",
            "update mlgit: pip install --upgrade mlgit",
        )


def run_document(run: Run) -> dict[str, Any]:
    """Returns a run as the JSON object that is stored and shown by `--json`."""
    plain = _plain(run)
    plain["params"] = {key: pack(value) for key, value in run.params.items()}
    plain["metrics"] = {
        key: _plain(metric) | {part: pack_number(getattr(metric, part)) for part in _NUMBERS}
        for key, metric in run.metrics.items()
    }
    return plain


_NUMBERS = ("last", "min", "max")


def dump_run(run: Run) -> bytes:
    """Returns the bytes of run.json."""
    return canonical(run_document(run))


def load_run(data: bytes, what: str = "run.json") -> Run:
    """Returns the run that run.json holds.

    Raises:
        Unreadable: damaged, hostile, or of a later format; the message names `what`.
    """
    document = parse(data, what)
    _check_format(document, what)
    _unpack_metrics(document.get("metrics"), what)
    run = _build(Run, document, what)
    try:
        _check_run(run)
        if run.params:
            params = {key: unpack(value) for key, value in run.params.items()}
            run = msgspec.structs.replace(run, params=params)
    except (Invalid, Unreadable) as error:
        raise Unreadable(f"{what} is damaged: {error.message}") from error
    return run


def _unpack_metrics(metrics: Any, what: str) -> None:
    if not isinstance(metrics, dict):
        return  # `_build` says so
    try:
        for metric in metrics.values():
            if isinstance(metric, dict):
                for part in _NUMBERS:
                    metric[part] = unpack_number(metric.get(part))
    except Unreadable as error:
        raise Unreadable(f"{what} is damaged: {error.message}") from error


def _check_run(run: Run) -> None:
    for run_id in (run.id, run.parent):
        if run_id is not None and not names.is_id(run_id):
            raise Invalid(f"{names.shown(run_id)} is not a run id")
    if names.experiment_name(run.experiment) != run.experiment:
        raise Invalid(f"the experiment name {names.shown(run.experiment)} is not in NFC form")
    if run.status not in STATUSES:
        raise Invalid(f"the status {names.shown(run.status)} is unknown")
    if run.deleted is not None or run.missing is not None:
        raise Invalid("it says that it or its data is gone, which only a fact can")
    for stamp in (run.started, run.ended):
        if stamp is not None:
            names.seconds(stamp)
    check_pause(run.paused)
    _check_source(run.source)
    for pointer in (*run.inputs, *run.outputs):
        _check_pointer(pointer)


def check_pause(seconds: float | None) -> None:
    """Refuses what is no time that a run can have paused."""
    if seconds is not None and (type(seconds) is bool or not 0 <= seconds < _LONGEST):
        raise Invalid(f"{seconds} seconds are no pause")


_LONGEST = 1e12  # seconds; more than there are between two times


def _check_source(source: Source) -> None:
    if source.cwd is not None:
        names.artifact_path(source.cwd)
    for commit in (source.commit, source.snapshot):
        if commit is not None and not _COMMIT.fullmatch(commit):
            raise Invalid(f"{names.shown(commit)} is not a commit id")


def _check_pointer(pointer: Pointer) -> None:
    names.artifact_path(pointer.path)
    is_address = pointer.origin == "url" and pointer.url
    is_here = pointer.stored is not None or not (is_address or pointer.origin == "memory")
    if (pointer.size is None and is_here) or (pointer.md5 is None and (is_here or not is_address)):
        raise Invalid(f"{names.shown(pointer.path)} has no hash or size")
    for digest in (pointer.md5, pointer.content):
        if digest is not None and not _MD5.fullmatch(digest):
            raise Invalid(f"{names.shown(digest)} is not a hash")
    for count in (pointer.size, pointer.files):
        if count is not None and count < 0:
            raise Invalid(f"{count} is no size and no number of files")


_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


def load_pointer(document: Any, what: str = "pointer") -> Pointer:
    """Returns the pointer that a parsed object holds.

    Raises:
        Unreadable: damaged or hostile; the message names `what`.
    """
    pointer = _build(Pointer, document, what)
    try:
        _check_pointer(pointer)
    except Invalid as error:
        raise Unreadable(f"{what} is damaged: {error.message}") from error
    return pointer


def load_source(document: Any, what: str = "source") -> Source:
    """Returns where code comes from, as a parsed object says.

    Raises:
        Unreadable: damaged or hostile; the message names `what`.
    """
    source = _build(Source, document, what)
    try:
        _check_source(source)
    except Invalid as error:
        raise Unreadable(f"{what} is damaged: {error.message}") from error
    return source


def dump_fact(fact: Fact) -> bytes:
    """Returns the bytes of a fact's file."""
    return canonical(_plain(fact))


def load_fact(data: bytes, what: str = "fact") -> Fact:
    """Returns the fact that a file holds.

    Raises:
        Unreadable: damaged, hostile, or of a later format; the message names `what`.
    """
    document = parse(data, what)
    _check_format(document, what)
    fact = _build(Fact, document, what)
    try:
        if not names.is_id(fact.id):
            raise Invalid(f"{names.shown(fact.id)} is not a fact id")
        names.seconds(fact.time)
    except Invalid as error:
        raise Unreadable(f"{what} is damaged: {error.message}") from error
    return fact


def load_mark(data: bytes, what: str = names.MARK) -> None:
    """Checks that the branch is one this mlgit reads."""
    _check_format(parse(data, what), what)


MARK_BYTES = canonical({"format": FORMAT})
