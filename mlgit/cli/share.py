"""`mlgit push`, `pull` and `sync`: sharing runs over a git remote."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from mlgit.cli import complete, output
from mlgit.cli.place import repository
from mlgit.ledger import Repository
from mlgit.ledger.sync import Cargo, Exchange, cargo, pull, push, sync

_NOTE = """\b
Ledgers merge by union, so there is never a conflict and nothing is ever forced.
Plain 'git push origin mlgit' works too. Where several remotes are, choose the one
for runs: git config mlgit.remote upstream."""


def _example(verb: str) -> str:
    return f"{_NOTE}\n\n\b\nExamples:\n  mlgit {verb}\n  mlgit {verb} upstream --json"


_remote = click.argument("remote", required=False, shell_complete=complete.remotes)
_as_json = click.option("--json", "as_json", is_flag=True, help="Say what moved as JSON.")
_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask before code travels along.")


@click.command("push", epilog=_example("push"))
@_remote
@_yes
@_as_json
@click.pass_context
def push_command(ctx: click.Context, remote: str | None, yes: bool, as_json: bool) -> None:
    """Send runs to a git remote.

    What others have sent meanwhile is merged first.
    """
    _agree(ctx, remote, yes)
    _exchange(push, remote, as_json)


@click.command("pull", epilog=_example("pull"))
@_remote
@_as_json
def pull_command(remote: str | None, as_json: bool) -> None:
    """Fetch runs from a git remote and merge them."""
    _exchange(pull, remote, as_json)


@click.command("sync", epilog=_example("sync"))
@_remote
@_yes
@_as_json
@click.pass_context
def sync_command(ctx: click.Context, remote: str | None, yes: bool, as_json: bool) -> None:
    """Pull, then push."""
    _agree(ctx, remote, yes)
    _exchange(sync, remote, as_json)


def _exchange(
    move: Callable[[Repository, str | None, bool], Exchange], remote: str | None, as_json: bool
) -> None:
    moved = move(repository(), remote, sys.stderr.isatty())
    if as_json:
        output.envelope(move.__name__, moved._asdict())
        return
    parts = []
    if moved.received:
        parts.append(f"received {output.counted(moved.received, 'run')} from {moved.remote}")
    if moved.sent:
        parts.append(f"sent {output.counted(moved.sent, 'run')} to {moved.remote}")
    said = ", ".join(parts) or f"everything is up to date with {moved.remote}"
    click.echo(said[0].upper() + said[1:] + ".")


def _agree(ctx: click.Context, remote: str | None, yes: bool) -> None:
    """Says what code travels along with the runs before it does, and asks if somebody is there."""
    load = cargo(repository(), remote)
    if not load.code and not load.snapshots:
        return
    name = remote or repository().remote
    first = f"{name} has no ledger yet.\n" if load.first else ""
    click.echo(
        f"{first}Runs carry their exact code: {_told(load)} will go to {name} with them.\n"
        "To keep code out of later runs: git config mlgit.code sha",
        err=True,
    )
    asked = sys.stdin.isatty() and sys.stderr.isatty() and not yes
    if asked and not click.confirm("Go on?", default=True, err=True):
        click.echo("Nothing was sent.", err=True)
        ctx.exit(1)


def _told(load: Cargo) -> str:
    parts = []
    if load.code:
        parts.append(output.counted(load.code, "commit"))
    if load.snapshots:
        parts.append(f"{output.counted(load.snapshots, 'snapshot')} of uncommitted work")
    return " and ".join(parts)
