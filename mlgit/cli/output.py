"""What all commands print alike: JSON envelopes, values, times, progress."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec

from mlgit import names, query, saved
from mlgit.ledger.index import Progress, flat_params
from mlgit.records import Run, pack, run_document
from mlgit.records.canonical import pack_number
from mlgit.words import ABSENT, clean, clean_block, counted, listed, number, size, span

if TYPE_CHECKING:
    from mlgit.data.traffic import Traffic

# Commands say `output.size`, whether it prints or only words.
__all__ = ["ABSENT", "clean", "clean_block", "counted", "listed", "number", "size", "span"]


def envelope(name: str, value: Any) -> None:
    """Prints JSON under the name and version of what it is: {"mlgit.log/v1": …}."""
    click.echo(as_json({f"mlgit.{name}/v1": value}, indent=2))


# JSON may hold these as they are; a terminal would act on them.
_ACTING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def as_json(value: Any, indent: int | None = None) -> str:
    """Returns readable JSON of which no character acts on a terminal."""
    written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    # Of megabytes, which are plain as a rule, this is known long before the search is through.
    if not written.isascii() or "\x7f" in written:
        written = _ACTING.sub(lambda match: f"\\u{ord(match[0]):04x}", written)
    # The library's own encoder is several times slower if it indents.
    return written if indent is None else msgspec.json.format(written, indent=indent)


def document(run: Run) -> dict[str, Any]:
    """Returns a run as JSON shows it: as stored, with facts folded in, and its duration."""
    return {**run_document(run), "duration": run.duration}


def warn(message: str) -> None:
    """Says on stderr that something was left out."""
    click.echo(f"Warning: {clean_block(message)}", err=True)


def progress(label: str) -> Progress:
    """Returns a callback that draws a counter on a terminal once a second has passed."""
    started = time.monotonic()

    def draw(done: int, total: int) -> None:
        if sys.stderr.isatty() and time.monotonic() - started > 1:
            end = "\n" if done == total else ""
            click.echo(f"\r{label}: {done:,} of {total:,} runs{end}", err=True, nl=False)

    return draw


Note = Callable[[str], None]


def note_on_terminal() -> Note:
    """Returns a callback that says what is being done, each word over the one before."""

    def say(line: str) -> None:
        click.echo(f"\r{line + ' …':<60}\r", err=True, nl=False)

    return say


_LARGE = 100_000_000  # bytes that a person should know of beforehand


def transfer(label: str) -> Callable[[Traffic], None]:
    """Returns a callback that draws how far a transfer is, once a second has passed.

    A large one is said before it begins, also where nothing can be drawn.
    """
    drawn = 0.0

    def draw(now: Traffic) -> None:
        nonlocal drawn
        if not now.bytes and not now.objects and now.total >= _LARGE:
            click.echo(f"{label}: {counted(now.of, 'file')}, {size(now.total)}.", err=True)
        done = now.objects == now.of
        is_due = now.seconds > 1 and (now.seconds - drawn > 0.1 or done)
        if is_due and sys.stderr.isatty():
            drawn = now.seconds
            told = f"{now.objects:,} of {now.of:,} files, {size(now.bytes)} of {size(now.total)}"
            line = f"{label}: {told}, {size(int(now.rate))}/s"
            click.echo(f"\r{line:<79}" + "\n" * done, err=True, nl=False)

    return draw


class _Null:
    """A param that is None: for people something else than one that a run does not have."""


NULL = _Null()


def text(value: Any) -> str:
    """Returns any stored value for people, on one line without control characters."""
    if value is None:
        return ABSENT
    if value is NULL:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number(value)
    if not isinstance(value, str):
        value = json.dumps(pack(value), ensure_ascii=False)
    return clean(value)


def moment(stamp: str, form: str = "%Y-%m-%d %H:%M") -> str:
    """Returns a stored time in the local time zone, to the minute."""
    return time.strftime(form, time.localtime(names.seconds(stamp)))


def elapsed(run: Run) -> float | None:
    """Returns the seconds a run took, or has taken so far, without pauses."""
    if run.status == "running":
        return max(0.0, time.time() - names.seconds(run.started) - (run.paused or 0))
    return run.duration


def leaves(value: dict[str, Any]) -> dict[str, Any]:
    """Returns params with those inside objects under keys of their own, as `outer.inner`."""
    return {key: part for key, part in flat_params(value) if not part or type(part) is not dict}


def title(run: Run) -> str:
    """Returns what a person calls a run: experiment/name."""
    return clean("/".join(part for part in (run.experiment, run.name) if part))


def table_as_csv(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Returns rows as CSV by RFC 4180, but with bare newlines; None is an empty field."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(_csv_value, headers))
    for row in rows:
        writer.writerow(map(_csv_value, row))
    return buffer.getvalue()


def _csv_value(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value) if sys.stdout.isatty() else value
    if value is None or (isinstance(value, (float, int)) and not isinstance(value, bool)):
        return value
    if value is NULL:
        return text(value)
    return json.dumps(pack(value), ensure_ascii=False)


def json_value(value: Any) -> Any:
    """Returns a value in the types of JSON; NaN and its like as they are stored."""
    if value is NULL:
        return None
    return pack_number(value) if isinstance(value, float) else pack(value)


def values_of(runs: Iterable[Run], field: query.Field) -> list[Any]:
    """Returns one field of the query language for each run; `NULL` for a param that is None."""
    return [value_of(run, field) for run in runs]


def value_of(run: Run, field: query.Field) -> Any:
    """Returns one field of a run; see `values_of`."""
    value = saved.value(run, field)
    is_null = value is None and field.kind == "param" and field.key in dict(flat_params(run.params))
    return NULL if is_null else value
