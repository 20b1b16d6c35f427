"""`mlgit push`, `pull` and `sync`: sharing runs over a git remote."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from mlgit.cli import complete, output
from mlgit.cli.place import ledger, repository
from mlgit.errors import RemoteFailed, WriteFailed
from mlgit.ledger import tagging
from mlgit.ledger.sync import Cargo, Exchange, News, cargo, pull, push, sync
from mlgit.ledger.tagging import Moved

if TYPE_CHECKING:
    from mlgit.data import transfer as data_transfer

_NOTE = """\b
Ledgers merge by union, so there is never a conflict and nothing is ever forced.
Plain 'git push origin mlgit' works too. Where several remotes are, choose the one
for runs: git config mlgit.remote upstream."""


def _example(verb: str) -> str:
    return f"{_NOTE}\n\n\b\nExamples:\n  mlgit {verb}\n  mlgit {verb} upstream --json"


_remote = click.argument("remote", required=False, shell_complete=complete.remotes)
_as_json = click.option("--json", "as_json", is_flag=True, help="Say what moved as JSON.")
_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask before code travels along.")
_no_data = click.option("--no-data", is_flag=True, help="Leave the runs' data where they are.")


@click.command("push", epilog=_example("push"))
@_remote
@_no_data
@_yes
@_as_json
@click.pass_context
def push_command(
    ctx: click.Context, remote: str | None, no_data: bool, yes: bool, as_json: bool
) -> None:
    """Send runs to a git remote, their data to a data remote.

    What others have sent meanwhile is merged first. Data go before the runs that name
    them; registered versions and pins, which are git tags, go with the runs, all or nothing.
    """
    _agree(ctx, remote, yes)
    told = _Told(as_json)
    _send_data(told, no_data)
    moved, tags = tagging.share(repository(), push, remote, sys.stderr.isatty())
    told.runs(moved)
    told.tags("sent", tags)
    told.finish("push")


@click.command("pull", epilog=_example("pull"))
@_remote
@_no_data
@_as_json
def pull_command(remote: str | None, no_data: bool, as_json: bool) -> None:
    """Fetch runs from a git remote and merge them, with their data.

    The data are those that came with runs since the last pull. To have only some, pull
    with --no-data and then use 'mlgit data pull', which takes a run or a dataset.
    """
    told = _Told(as_json)
    told.runs(pull(repository(), remote, sys.stderr.isatty()))
    told.tags("received", tagging.fetch(repository(), remote))
    _fetch_data(told, no_data)
    told.finish("pull")


@click.command("sync", epilog=_example("sync"))
@_remote
@_no_data
@_yes
@_as_json
@click.pass_context
def sync_command(
    ctx: click.Context, remote: str | None, no_data: bool, yes: bool, as_json: bool
) -> None:
    """Pull, then push."""
    _agree(ctx, remote, yes)
    told = _Told(as_json)
    _send_data(told, no_data)
    fetched = tagging.fetch(repository(), remote)
    moved, tags = tagging.share(repository(), sync, remote, sys.stderr.isatty())
    told.runs(moved)
    told.tags("received", fetched)
    told.tags("sent", tags)
    _fetch_data(told, no_data)
    told.finish("sync")


class _Told:
    """What moved, gathered for one JSON document or said line by line."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._content: dict[str, Any] = {}
        self._clashing: list[str] = []

    def runs(self, moved: Exchange) -> None:
        self._content |= moved._asdict()
        parts = []
        if told := _moved(moved.received, moved.received_news):
            parts.append(f"received {told} from {moved.remote}")
        if told := _moved(moved.sent, moved.sent_news):
            parts.append(f"sent {told} to {moved.remote}")
        said = ", ".join(parts) or f"everything is up to date with {moved.remote}"
        self._say(said[0].upper() + said[1:] + ".")

    def tags(self, verb: str, moved: Moved) -> None:
        self._content[f"tags_{verb}"] = moved.names
        self._clashing = moved.clashing
        if moved.names:
            self._say(f"{verb.capitalize()} {output.listed(moved.names, 3)}.")

    def data(self, verb: str, moved: data_transfer.Moved, remote: str) -> None:
        self._content[f"data_{verb}"] = moved._asdict()
        if moved.objects:
            way = "to" if verb == "sent" else "from"
            files = output.counted(moved.objects, "file")
            self._say(f"{verb.capitalize()} {files} ({output.size(moved.size)}) {way} {remote}.")
        where = "on this machine" if verb == "sent" else f"on {remote}"
        if moved.damaged:
            also = "; 'mlgit verify --rehash' finds all such" if verb == "sent" else ""
            listed = output.listed(moved.damaged, 3)
            output.warn(f"the data {listed} were altered and stayed where they are, {where}{also}")
        if count := len(moved.absent):
            things = "1 file or folder that runs keep is"
            if count > 1:
                things = f"{count:,} files or folders that runs keep are"
            output.warn(f"{things} not {where}, or not all of it")

    def note(self, line: str) -> None:
        click.echo(line, err=True)

    def _say(self, line: str) -> None:
        if not self._as_json:
            click.echo(line)

    def finish(self, verb: str) -> None:
        if self._as_json:
            output.envelope(verb, {**self._content, "tags_clashing": self._clashing})
        if self._clashing:
            raise RemoteFailed(
                "the remote has other git tags of the same name: "
                + output.listed(self._clashing, 5),
                "if yours were sent before, somebody moved them there: git ls-remote --tags. "
                "Else somebody was faster; take theirs, then decide again: "
                f"git tag -d {shlex.join(self._clashing)} && mlgit pull",
            )


def _moved(runs: int, news: News) -> str:
    """Returns "2 runs, and news of 3 others and 1 experiment"; empty if nothing moved."""
    of = [output.counted(count, _NOUNS[kind]) for kind, count in news.items()]
    if runs and news.get("runs"):
        of[0] = f"{news['runs']:,} other" + "s" * (news["runs"] != 1)
    told = [output.counted(runs, "run")] if runs else []
    return ", and ".join([*told, *([f"news of {' and '.join(of)}"] if of else [])])


_NOUNS = {
    "runs": "run",
    "experiments": "experiment",
    "models": "model",
    "remotes": "data remote",
}


def _data_remote() -> str | None:
    """Returns the name of the data remote that is used, or None if there is none."""
    from mlgit import remotes

    with ledger() as opened:
        present = remotes.list_remotes(opened) if opened.exists else []
        return remotes.find(opened).name if present else None


def _send_data(told: _Told, no_data: bool) -> None:
    from mlgit import transfer

    name = _data_remote()
    if name is None:
        if not no_data and (waiting := _waiting()):
            told.note(
                f"{waiting} that runs keep stay on this machine: there is no data remote.\n"
                "To share them: mlgit remote add NAME s3://bucket/path (or ssh://…, or a folder)"
            )
    elif no_data:
        if count := transfer.withhold(repository()):
            runs = output.counted(count, "run")
            told.note(f"The data of {runs} stay here; everybody is told so.")
    else:
        try:
            moved = transfer.push(repository(), progress=output.transfer("Sending data"))
        except (RemoteFailed, WriteFailed) as error:
            raise type(error)(
                f"{error.message}; no run was sent",
                f"{error.hint}; to send runs without their data: mlgit push --no-data",
            ) from error
        told.data("sent", moved, name)


def _waiting() -> str | None:
    """Returns how much is kept on this machine only, as a person would say it."""
    from mlgit.data import store

    count, size = store.usage(repository().data_store)
    return f"{output.counted(count, 'file')} ({output.size(size)})" if count else None


def _fetch_data(told: _Told, no_data: bool) -> None:
    from mlgit import transfer

    if no_data or (name := _data_remote()) is None:
        return
    moved = transfer.pull_new(repository(), progress=output.transfer("Fetching data"))
    told.data("received", moved, name)


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
