"""What the commands of `mlgit site` share: options, rules, progress, size."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from mlgit import settings
from mlgit.cli import complete, output
from mlgit.errors import MlgitError
from mlgit.ledger import Ledger
from mlgit.site import budget, redact
from mlgit.site.budget import Budget
from mlgit.site.choice import Choice
from mlgit.site.redact import Rules


def _day(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Returns a day, or a moment to the minute, as text: stored times sort as texts."""
    if value is None:
        return None
    text = value.strip().replace(" ", "T")
    day, _, clock = text.partition("T")
    try:
        # As text again: it takes other spellings too (20260301, 9:30).
        found = date.fromisoformat(day).isoformat()
        if clock:
            found += datetime.strptime(clock, "%H:%M").strftime("T%H:%M")
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no day; write 2026-03-01, or 2026-03-01T12:00 (UTC)"
        ) from None
    return found


def out_option(default: str | None, said: str) -> Callable[..., Any]:
    return click.option(
        "--out",
        default=default,
        show_default=default is not None,
        type=click.Path(file_okay=False, path_type=Path),
        metavar="FOLDER",
        help=said,
    )


def choosing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options that say what of the ledger a site shows."""
    options = (
        click.option("--title", metavar="TEXT", help="By default the end of the remote's address."),
        click.option(
            "--since", callback=_day, metavar="DATE", help="Leave out runs that started before."
        ),
        click.option(
            "--experiment",
            "experiments",
            multiple=True,
            metavar="NAME",
            shell_complete=complete.experiments,
            help="Only runs of this one, or of several: repeat it.",
        ),
        click.option("--no-artifacts", is_flag=True, help="Leave out the bytes of artifacts."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def choice(
    title: str | None, since: str | None, experiments: tuple[str, ...], no_artifacts: bool
) -> Choice:
    """Returns what those options say."""
    return Choice(title=title, since=since, experiments=[*experiments], artifacts=not no_artifacts)


@contextmanager
def needed() -> Iterator[None]:
    """Surrounds imports that need what `pip install 'mlgit[site]'` brings.

    Raises:
        MlgitError: it is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise MlgitError(
            f"making a site needs {error.name}, which is not installed",
            "pip install 'mlgit[site]'",
        ) from error


def rules(ledger: Ledger) -> Rules:
    """Returns what `mlgit.toml` says is to be redacted.

    Raises:
        Invalid: it cannot be read, or asks for something that there is not.
    """
    return redact.parse(settings.read(ledger))


def progress() -> Callable[[str, int, int], None]:
    """Returns a callback that draws a counter on a terminal once a second has passed."""
    started = time.monotonic()

    def draw(what: str, done: int, total: int) -> None:
        is_due = done == total or not done % 50
        if is_due and sys.stderr.isatty() and time.monotonic() - started > 1:
            end = "\n" if done == total else ""
            click.echo(f"\r{what}: {done:,} of {total:,}{end}", err=True, nl=False)

    return draw


def budget_document(size: Budget) -> dict[str, Any]:
    """Returns a budget for a JSON envelope."""
    kinds = {kind: part._asdict() for kind, part in size.kinds.items()}
    return {"kinds": kinds, "limit": budget.LIMIT, "near_limit": size.is_near}


def tell_budget(size: Budget) -> None:
    """Says what the site adds up to, and what to do if a host may not take it."""
    shown = [
        f"{kind} {output.size(part.bytes)}"
        for kind, part in list(size.kinds.items())[:3]
        if part.bytes
    ]
    files = output.counted(size.files, "file")
    click.echo(f"{files}, {output.size(size.bytes)}: {', '.join(shown)}", err=True)
    if size.is_near:
        share = 100 * size.bytes // budget.LIMIT
        output.warn(
            f"that is {share} % of what GitHub Pages publishes of one site (1 GB); to have "
            "less: --since DATE, --experiment NAME, --no-artifacts"
        )
