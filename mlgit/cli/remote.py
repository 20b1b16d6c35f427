"""`mlgit remote`: the data remotes, where the bytes that runs keep are shared."""

from __future__ import annotations

from typing import Any

import click

from mlgit import remotes
from mlgit.cli import output, table
from mlgit.cli.place import ledger as open_ledger
from mlgit.cli.place import repository
from mlgit.data import dvc_repo
from mlgit.data.remote import LOCAL, Remote


@click.group(
    "remote",
    epilog="""\b
Examples:
  mlgit remote add storage s3://bucket/path
  mlgit remote add share /mnt/share/data
  mlgit remote ls""",
)
def remote_command() -> None:
    """Say where data are shared: a folder, S3, SSH."""


@remote_command.command(
    "add",
    epilog="""\b
Examples:
  mlgit remote add storage s3://bucket/path --option region=eu-west-1
  mlgit remote add minio s3://bucket --option endpointurl=http://127.0.0.1:9000
  mlgit remote add box ssh://ada@host/srv/data
  mlgit remote add share /mnt/share/data

\b
A remote is known to everybody who has the repository, so no password or key is taken:
S3's come from the environment or ~/.aws, SSH's from the agent or ~/.ssh. Where a folder
lies is a setting of each machine: git config mlgit.data.NAME.url FOLDER/mlgit. Objects go
below 'mlgit/' there, apart from those of 'dvc push', because 'dvc gc -c' deletes what it does
not know; --shared puts them beside each other.""",
)
@click.argument("name")
@click.argument("url")
@click.option("--option", "options", metavar="KEY=VALUE", multiple=True, help="As in DVC.")
@click.option("--shared", is_flag=True, help="Use URL itself, not the folder mlgit/ in it.")
def add_command(name: str, url: str, options: tuple[str, ...], shared: bool) -> None:
    """Add a data remote, or change the one of this name."""
    pairs = dict(_pair(option) for option in options)
    added = remotes.add(repository(), name, url, pairs, shared=shared)
    told = f"The data remote {name} is {_place(added)}" + (", the default" * added.is_default)
    click.echo(f"{told}.", err=True)
    if added.url == LOCAL:
        click.echo(
            f"Set in this repository's git configuration: mlgit.data.{name}.url. "
            "Other machines set their own.",
            err=True,
        )


def _pair(option: str) -> tuple[str, str]:
    key, sign, value = option.partition("=")
    if not sign:
        raise click.BadParameter(f"{option!r} is not KEY=VALUE", param_hint="--option")
    return key.strip(), value.strip()


def _place(remote: Remote) -> str:
    """Returns where a remote is, as this machine reaches it."""
    found = remotes.here(repository(), remote)
    return "a folder that this machine does not know" if found.url == LOCAL else found.url


@remote_command.command("ls", epilog="\b\nExamples:\n  mlgit remote ls --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_command(as_json: bool) -> None:
    """List the data remotes, and those of DVC that could be used."""
    with open_ledger() as ledger:
        present = remotes.list_remotes(ledger) if ledger.exists else []
    top = repository().work_tree
    theirs = dvc_repo.remotes(top) if top else {}
    if as_json:
        output.envelope(
            "remote.ls",
            {"remotes": [_document(remote) for remote in present], "dvc": theirs},
        )
        return
    if present:
        rows = [
            [
                *(
                    remote.name,
                    "default" if remote.is_default else "",
                    output.clean(_place(remote)),
                ),
                output.clean(", ".join(f"{k}={v}" for k, v in sorted(remote.options.items()))),
            ]
            for remote in present
        ]
        table.echo(("NAME", "", "PLACE", "OPTIONS"), rows, (False, False, False, False))
    else:
        click.echo("There is no data remote.", err=True)
    for name, url in theirs.items():
        if name not in {remote.name for remote in present}:
            place = output.clean(url)
            click.echo(
                f"DVC has the remote {output.clean(name)}; to use its storage, too: "
                f"mlgit remote add {output.clean(name)} {place}",
                err=True,
            )


def _document(remote: Remote) -> dict[str, Any]:
    return {
        "name": remote.name,
        "url": remote.url,
        "options": dict(remote.options),
        "default": remote.is_default,
        "place": remotes.here(repository(), remote).url,
    }


@remote_command.command("rm", epilog="\b\nExamples:\n  mlgit remote rm storage")
@click.argument("name")
def remove_command(name: str) -> None:
    """Remove a data remote; what it holds stays where it is."""
    remotes.remove(repository(), name)
    click.echo(f"Removed the data remote {name}; nothing that it holds was deleted.", err=True)


@remote_command.command("default", epilog="\b\nExamples:\n  mlgit remote default storage")
@click.argument("name")
def default_command(name: str) -> None:
    """Choose the data remote that is used where none is named."""
    remotes.set_default(repository(), name)
    click.echo(f"The default data remote is {name}.", err=True)
