"""What all commands print alike: JSON envelopes, values, times, progress."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import click

from mlgit import names, query, saved
from mlgit.ledger.index import Progress
from mlgit.records import Run, pack, run_document
from mlgit.records.canonical import pack_number

ABSENT = "-"


def envelope(name: str, value: Any) -> None:
    """Prints JSON under the name and version of what it is: {"mlgit.log/v1": …}."""
    click.echo(json.dumps({f"mlgit.{name}/v1": value}, indent=2, ensure_ascii=False))


def document(run: Run) -> dict[str, Any]:
    """Returns a run as JSON shows it: as stored, with facts folded in, and its duration."""
    return {**run_document(run), "duration": run.duration}


def warn(message: str) -> None:
    """Says on stderr that something was left out."""
    click.echo(f"Warning: {message}", err=True)


def progress(label: str) -> Progress:
    """Returns a callback that draws a counter on a terminal once a second has passed."""
    started = time.monotonic()

    def draw(done: int, total: int) -> None:
        if sys.stderr.isatty() and time.monotonic() - started > 1:
            end = "\n" if done == total else ""
            click.echo(f"\r{label}: {done:,} of {total:,} runs{end}", err=True, nl=False)

    return draw


def number(value: float, digits: int = 6) -> str:
    """Returns a number for people: six significant digits, integers whole.

    >>> number(7.758715206809494), number(100.0), number(12345678), number(0.1)
    ('7.75872', '100', '12345678', '0.1')
    """
    return str(value) if isinstance(value, int) else f"{value:.{digits}g}"


def text(value: Any) -> str:
    """Returns any stored value for people, on one line without control characters."""
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number(value)
    if not isinstance(value, str):
        value = json.dumps(pack(value), ensure_ascii=False)
    return clean(value)


def clean(value: str) -> str:
    """Returns a text on one line, without characters that would act on the terminal."""
    if value.isprintable():
        return value
    joined = " ".join(value.split())
    return "".join(char if char.isprintable() else "\ufffd" for char in joined)


def clean_block(value: str) -> str:
    """Returns a text of several lines without characters that would act on the terminal."""
    return "\n".join(clean(line.expandtabs()) if line else "" for line in value.splitlines())


def moment(stamp: str) -> str:
    """Returns a stored time in the local time zone, to the minute."""
    local = time.localtime(names.seconds(stamp))
    return time.strftime("%Y-%m-%d %H:%M", local)


def span(seconds: float | None) -> str:
    """Returns a duration for people.

    >>> span(0.0123), span(59.94), span(61), span(3 * 3600 + 60), span(200_000)
    ('12 ms', '59.9 s', '1 min 1 s', '3 h 1 min', '2 d 7 h')
    """
    if seconds is None:
        return ABSENT
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{math.floor(seconds * 10) / 10:g} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def table_as_csv(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Returns rows as CSV by RFC 4180, but with bare newlines; None is an empty field."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(headers)
    for row in rows:
        writer.writerow([_csv_value(value) for value in row])
    return buffer.getvalue()


def _csv_value(value: Any) -> Any:
    if value is None or (isinstance(value, (str, float, int)) and not isinstance(value, bool)):
        return value
    return json.dumps(pack(value), ensure_ascii=False)


def json_value(value: Any) -> Any:
    """Returns a value in the types of JSON; NaN and its like as they are stored."""
    return pack_number(value) if isinstance(value, float) else pack(value)


def values_of(runs: Iterable[Run], field: query.Field) -> list[Any]:
    """Returns one field of the query language for each run."""
    return [saved.value(run, field) for run in runs]
