"""`mlgit site serve`: the site on this machine, with the runs that go on."""

from __future__ import annotations

import contextlib
import time
import webbrowser

import click

from mlgit.cli.place import ledger as open_ledger
from mlgit.cli.place import live_history, live_runs, repository
from mlgit.cli.site_options import needed
from mlgit.errors import MlgitError
from mlgit.ledger import Ledger
from mlgit.records import History, Run

PORT = 8642


@click.command(
    "serve",
    epilog="""\b
Examples:
  mlgit site serve --open
  mlgit site serve --port 0           # any port that is free

\b
Only this machine reaches it. Live runs are shown as they log, on the page "Live"; when runs
are saved, pulled or registered, the site is made again and open pages say so.""",
)
@click.option(
    "--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="0: any."
)
@click.option("--open", "shall_open", is_flag=True, help="Show it in the browser.")
def serve_command(port: int, shall_open: bool) -> None:
    """Serve the site to this machine, with the runs that go on.

    Ctrl-C ends it.
    """
    with needed():
        from mlgit.site.serve import serve

    def started(url: str) -> None:
        click.echo(url)
        click.echo("Ctrl-C ends it.", err=True)
        if shall_open:
            webbrowser.open(url)

    # Two of them: pages ask for live runs while the site is made again.
    with open_ledger() as ledger, Ledger(repository()) as asked:
        folder = ledger.repository.state / "served"
        serve(ledger, folder, port, lambda: _live(asked), started, _say)


def _live(ledger: Ledger) -> list[tuple[Run, History]]:
    """Returns the runs that go on, as far as they have come, newest first."""
    ledger.reload()
    found = []
    for run in live_runs(ledger):
        with contextlib.suppress(MlgitError):  # it has ended just now
            found.append((run, live_history(ledger, run)))
    return found


def _say(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {line}", err=True)
