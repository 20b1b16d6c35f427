"""`mlgit site`: the ledger as pages."""

from __future__ import annotations

import sys
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path

import click

from mlgit.cli import output
from mlgit.cli.place import ledger as open_ledger
from mlgit.errors import MlgitError

OUT = "_site"


@click.group(
    "site",
    epilog="""\b
Examples:
  mlgit site build --open
  mlgit site build --out public""",
)
def site_command() -> None:
    """Make pages of the ledger, to look at without a server."""


@site_command.command(
    "build",
    epilog="""\b
Examples:
  mlgit site build                    # in _site; again: only what changed
  mlgit site build --open
  mlgit site build --out public --title "Demand forecast"

\b
The pages open by double click, from a zip, or from any web server and folder of it. The
same ledger gives the same bytes. Artifacts are shown if they are on this machine.""",
)
@click.option(
    "--out",
    default=OUT,
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where; a folder of something else is refused.",
)
@click.option("--title", metavar="TEXT", help="By default the name of the repository's remote.")
@click.option("--open", "shall_open", is_flag=True, help="Show it in the browser.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def build_command(out: Path, title: str | None, shall_open: bool, as_json: bool) -> None:
    """Make the site, or bring it up to date."""
    try:
        from mlgit.site.build import build
    except ImportError as error:
        raise MlgitError(
            f"making a site needs {error.name}, which is not installed",
            "pip install 'mlgit[site]'",
        ) from error
    started = time.monotonic()
    with open_ledger() as ledger:
        written = build(ledger, out, title, _progress())
    place = out.resolve() / "index.html"
    if as_json:
        output.envelope("site.build", {"index": str(place), **written._asdict()})
    else:
        seconds = output.span(time.monotonic() - started)
        files = output.counted(written.files, "file")
        click.echo(f"{place}")
        click.echo(
            f"{files}, {output.size(written.bytes)}; {written.made:,} of {written.units:,} "
            f"parts made in {seconds}",
            err=True,
        )
    if shall_open:
        webbrowser.open(place.as_uri())


def _progress() -> Callable[[str, int, int], None]:
    """Returns a callback that draws a counter on a terminal once a second has passed."""
    started = time.monotonic()

    def draw(what: str, done: int, total: int) -> None:
        is_due = done == total or not done % 50
        if is_due and sys.stderr.isatty() and time.monotonic() - started > 1:
            end = "\n" if done == total else ""
            click.echo(f"\r{what}: {done:,} of {total:,}{end}", err=True, nl=False)

    return draw
