"""`mlgit push`, `pull` and `sync`: sharing runs over a git remote."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from mlgit.cli import output
from mlgit.ledger import Repository, open_repository
from mlgit.ledger.sync import Cargo, Exchange, cargo, pull, push, sync

_NOTE = """\b
Ledgers merge by union, so there is never a conflict and nothing is ever forced.
Plain 'git push origin mlgit' works too."""


def _example(verb: str) -> str:
    return f"{_NOTE}\n\n\b\nExamples:\n  mlgit {verb}\n  mlgit {verb} upstream --json"


_remote = click.argument("remote", required=False)
_as_json = click.option("--json", "as_json", is_flag=True, help="Say what moved as JSON.")
_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask before code travels along.")


@click.command("push", epilog=_example("push"))
@_remote
@_yes
@_as_json
def push_command(remote: str | None, yes: bool, as_json: bool) -> None:
    """Send runs to a git remote, first merging what others sent meanwhile."""
    repository = open_repository()
    _tell_cargo(repository, remote, yes)
    _exchange(push, repository, remote, as_json)


@click.command("pull", epilog=_example("pull"))
@_remote
@_as_json
def pull_command(remote: str | None, as_json: bool) -> None:
    """Fetch runs from a git remote and merge them."""
    _exchange(pull, open_repository(), remote, as_json)


@click.command("sync", epilog=_example("sync"))
@_remote
@_yes
@_as_json
def sync_command(remote: str | None, yes: bool, as_json: bool) -> None:
    """Pull, then push."""
    repository = open_repository()
    _tell_cargo(repository, remote, yes)
    _exchange(sync, repository, remote, as_json)


def _exchange(
    move: Callable[[Repository, str | None, bool], Exchange],
    repository: Repository,
    remote: str | None,
    as_json: bool,
) -> None:
    moved = move(repository, remote, sys.stderr.isatty())
    if as_json:
        output.envelope(move.__name__, moved._asdict())
        return
    parts = []
    if moved.received:
        parts.append(f"received {_runs(moved.received)} from {moved.remote}")
    if moved.sent:
        parts.append(f"sent {_runs(moved.sent)} to {moved.remote}")
    said = ", ".join(parts) or f"everything is up to date with {moved.remote}"
    click.echo(said[0].upper() + said[1:] + ".")


def _runs(count: int) -> str:
    return f"{count:,} run" + "s" * (count != 1)


def _tell_cargo(repository: Repository, remote: str | None, yes: bool) -> None:
    """Says what code travels along with the runs, before it does."""
    load = cargo(repository, remote)
    if not load.code and not load.snapshots:
        return
    name = remote or repository.remote
    first = f" {name} has no ledger yet." if load.first else ""
    click.echo(
        f"Each run carries its exact code: {_commits(load)} will travel along to {name}.{first}\n"
        "To keep code out of later runs: git config mlgit.code sha",
        err=True,
    )
    if sys.stdin.isatty() and sys.stderr.isatty() and not yes:
        click.confirm("Go on?", default=True, abort=True, err=True)


def _commits(load: Cargo) -> str:
    parts = []
    if load.code:
        parts.append(f"{load.code:,} commit{'s' * (load.code != 1)} not there yet")
    if load.snapshots:
        parts.append(
            f"{load.snapshots:,} snapshot{'s' * (load.snapshots != 1)} of uncommitted work"
        )
    return " and ".join(parts)
