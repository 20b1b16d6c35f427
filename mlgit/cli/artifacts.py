"""`mlgit artifacts`: what a run kept, listed and written out."""

from __future__ import annotations

from pathlib import Path

import click

from mlgit import artifacts
from mlgit.cli import complete, output, table
from mlgit.cli.place import find_run
from mlgit.cli.place import ledger as open_ledger
from mlgit.data import store
from mlgit.ledger import Ledger
from mlgit.records import Pointer

_run = click.argument("run", shell_complete=complete.runs)


@click.group(
    "artifacts",
    epilog="""\b
Examples:
  mlgit artifacts ls @latest
  mlgit artifacts get baseline model -o restored""",
)
def artifacts_command() -> None:
    """List the artifacts of a run, and write them out."""


@artifacts_command.command("ls", epilog="\b\nExamples:\n  mlgit artifacts ls @latest --json")
@_run
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_command(run: str, as_json: bool) -> None:
    """List the artifacts of a run, in the order of logging."""
    with open_ledger() as ledger:
        found = find_run(ledger, run).artifacts
        places = [_place(ledger, pointer) for pointer in found]
    if as_json:
        content = [
            {**pointer.document(), "place": place}
            for pointer, place in zip(found, places, strict=True)
        ]
        output.envelope("artifacts.ls", content)
    elif found:
        rows = [
            [
                *(output.clean(p.path), output.clean(p.kind or "")),
                *(_size(p), output.text(p.files), p.md5 or "", place),
            ]
            for p, place in zip(found, places, strict=True)
        ]
        headings = ("PATH", "KIND", "SIZE", "FILES", "MD5", "WHERE")
        table.echo(headings, rows, (False, False, True, True, False, False))
    else:
        click.echo("The run has no artifacts.", err=True)


def _size(pointer: Pointer) -> str:
    return output.ABSENT if pointer.size is None else output.size(pointer.size)


def _place(ledger: Ledger, pointer: Pointer) -> str:
    if pointer.stored == "git":
        return "branch"
    if pointer.stored is None or pointer.md5 is None:
        return "hash only"
    return "here" if store.has_all(ledger.repository.data_store, pointer.md5) else "not here"


@artifacts_command.command(
    "get",
    epilog="""\b
Examples:
  mlgit artifacts get @latest                     # all of them, into the working folder
  mlgit artifacts get baseline model -o restored  # restored/model
  mlgit artifacts get baseline model/weights.bin

\b
What is not on this machine is fetched from the data remote. Files are copies of your
own, checked against the hash that was recorded. Nothing that is there is replaced.""",
)
@_run
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("-o", "--output", "folder", metavar="FOLDER", default=".", help="Where to.")
def get_command(run: str, paths: tuple[str, ...], folder: str) -> None:
    """Write artifacts to a folder, under the paths they have in the run."""
    with open_ledger() as ledger:
        record = find_run(ledger, run)
        chosen = paths or [pointer.path for pointer in record.artifacts]
        if not chosen:
            click.echo("The run has no artifacts.", err=True)
        for path in chosen:
            artifacts.find(record, path)  # all names are looked at before anything is written
        for path in chosen:
            target = Path(folder, path)
            told = output.transfer("Fetching")
            is_new = artifacts.write(ledger, record, path, target, told)
            said = "Wrote" if is_new else "There already:"
            click.echo(f"{said} {output.clean(str(target))}", err=True)
