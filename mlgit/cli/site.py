"""`mlgit site`: the ledger as pages."""

from __future__ import annotations

import sys
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import click

from mlgit import settings
from mlgit.cli import complete, output
from mlgit.cli.place import ledger as open_ledger
from mlgit.errors import MlgitError
from mlgit.ledger import Ledger
from mlgit.site import budget, redact
from mlgit.site.budget import Budget
from mlgit.site.choice import Choice
from mlgit.site.redact import Rules

OUT = "_site"


@click.group(
    "site",
    epilog="""\b
Examples:
  mlgit site build --open
  mlgit site check
  mlgit site build --since 2026-01-01 --experiment nyc-taxi""",
)
def site_command() -> None:
    """Make pages of the ledger, to look at without a server."""


# --- what several commands take ------------------------------------------------------------


def _day(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Returns a day, or a moment to the minute, as text: stored times sort as texts."""
    if value is None:
        return None
    text = value.strip().replace(" ", "T")
    day, _, clock = text.partition("T")
    try:
        date.fromisoformat(day)
        if clock:
            time.strptime(clock, "%H:%M")
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no day; write 2026-03-01, or 2026-03-01T12:00 (UTC)"
        ) from None
    return text


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


# --- build ---------------------------------------------------------------------------------


@site_command.command(
    "build",
    epilog="""\b
Examples:
  mlgit site build                    # in _site; again: only what changed
  mlgit site build --open
  mlgit site build --out public --title "Demand forecast"
  mlgit site build --redact --since 2026-01-01 --experiment nyc-taxi --experiment churn

\b
The pages open by double click, from a zip, or from any web server and folder of it. The
same ledger gives the same bytes. Artifacts are shown if they are on this machine. What
--redact takes out is said in [site] of mlgit.toml: by default paths, hosts, mail
addresses, remotes, patches of uncommitted work, and the console.""",
)
@out_option(OUT, "Where; a folder of something else is refused.")
@choosing
@click.option(
    "--redact", "shall_redact", is_flag=True, help="Take out what should not leave the house."
)
@click.option("--open", "shall_open", is_flag=True, help="Show it in the browser.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def build_command(
    out: Path,
    title: str | None,
    since: str | None,
    experiments: tuple[str, ...],
    no_artifacts: bool,
    shall_redact: bool,
    shall_open: bool,
    as_json: bool,
) -> None:
    """Make the site, or bring it up to date."""
    with needed():
        from mlgit.site.build import build

    started = time.monotonic()
    chosen = choice(title, since, experiments, no_artifacts)
    with open_ledger() as ledger:
        written = build(ledger, out, chosen, rules(ledger) if shall_redact else None, progress())
    seconds = output.span(time.monotonic() - started)
    size = budget.measure(out)
    place = out.resolve() / "index.html"
    if as_json:
        document = {"index": str(place), **written._asdict(), **budget_document(size)}
        output.envelope("site.build", document)
    else:
        click.echo(f"{place}")
        made = f"{written.made:,} of {written.units:,} parts made in {seconds}"
        click.echo(made, err=True)
        tell_budget(size)
    if shall_open:
        webbrowser.open(place.as_uri())


# --- check ---------------------------------------------------------------------------------

_SHOWN = 20  # differences


@site_command.command(
    "check",
    epilog="""\b
Examples:
  mlgit site check                    # is _site what the ledger says?
  mlgit site check --out public --json

\b
Makes the site again, in a temporary folder, and compares the two byte for byte. Exit code 1
if they differ; then it says which files, and why that may be: the site's manifest names the
state of the ledger, the version of mlgit and the options that it was made with.""",
)
@out_option(OUT, "The site; a checkout of a published one will do.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def check_command(ctx: click.Context, out: Path, as_json: bool) -> None:
    """Make the site again and compare: has anybody altered it?"""
    with needed():
        from mlgit.site.check import check

    with open_ledger() as ledger:
        verdict = check(ledger, out, rules(ledger), progress())
    found = verdict.differences
    if as_json:
        document = {
            "same": not found,
            "files": verdict.files,
            "differences": [each._asdict() for each in found],
            "reasons": verdict.reasons,
        }
        output.envelope("site.check", document)
    elif not found:
        click.echo(f"{out} is what the ledger says: {output.counted(verdict.files, 'file')} alike.")
    else:
        for each in found[:_SHOWN]:
            click.echo(f"{each.how:<8} {output.clean(each.url)}")
        if len(found) > _SHOWN:
            click.echo(f"and {len(found) - _SHOWN:,} more; all of them: --json")
        unknown = "nothing tells why; it may have been altered"
        click.echo("; ".join(verdict.reasons) or unknown, err=True)
    if found:
        ctx.exit(1)
