"""`mlgit note`, `tag`, `rename`, `rm` and `restore`: later facts about runs."""

from __future__ import annotations

import sys
from typing import IO

import click

from mlgit import names, saved
from mlgit.cli import output
from mlgit.errors import Invalid
from mlgit.ledger import Ledger
from mlgit.tracking.active import TEXT_LIMIT

_run = click.argument("run", metavar="RUN")
_runs = click.argument("runs", metavar="RUN...", nargs=-1, required=True)


@click.command(
    "note",
    epilog="""\b
Examples:
  mlgit note @latest -m "Overfits after epoch 40; see the **residuals**."
  mlgit note 01kb2q6v -F notes.md
  mlgit note baseline                     # opens your editor""",
)
@_run
@click.option("-m", "--message", metavar="TEXT", help="The note, in Markdown; empty removes it.")
@click.option("-F", "--file", type=click.File(), help="Read the note from a file; - is stdin.")
def note_command(run: str, message: str | None, file: IO[str] | None) -> None:
    """Write the note of a run; it replaces the one before."""
    with Ledger() as ledger:
        record = saved.find(ledger, run)
    if file is not None:
        message = file.read()
    elif message is None:
        if not sys.stdin.isatty():
            raise click.UsageError("give the note with -m or -F")
        message = click.edit(record.note or "", extension=".md")
        if message is None:
            click.echo("The note was not changed.", err=True)
            return
    if len(message) > TEXT_LIMIT:
        raise Invalid(f"the note has {len(message):,} characters, {TEXT_LIMIT:,} are allowed")
    saved.annotate(ledger.repository, [record.id], "note", {"text": message.strip()})


@click.command(
    "tag",
    epilog="""\b
Examples:
  mlgit tag @latest team=growth reviewed
  mlgit tag baseline -d reviewed""",
)
@_run
@click.argument("tags", metavar="KEY[=VALUE]...", nargs=-1)
@click.option("-d", "--delete", multiple=True, metavar="KEY", help="Remove this tag.")
def tag_command(run: str, tags: tuple[str, ...], delete: tuple[str, ...]) -> None:
    """Label a run; without labels, list those it has."""
    with Ledger() as ledger:
        record = saved.find(ledger, run)
    if not tags and not delete:
        for key, value in sorted(record.tags.items()):
            click.echo(output.clean(f"{key}={value}" if value else key))
        return
    labels = [(key, value) for key, _, value in (tag.partition("=") for tag in tags)]
    facts = [
        saved.fact(ledger.repository, "tag", {"key": names.key("tag", key), "value": value})
        for key, value in labels
    ]
    for key in delete:
        if key not in record.tags:
            raise Invalid(f"the run {record.id} has no tag {names.shown(key)}")
        facts.append(saved.fact(ledger.repository, "untag", {"key": key}))
    told = " ".join([*tags, *(f"-{key}" for key in delete)])
    saved.add_facts(
        ledger.repository, {record.id: facts}, f"tag run {record.id[:10]}: {output.clean(told)}"
    )


@click.command("rename", epilog="\b\nExamples:\n  mlgit rename @latest baseline")
@_run
@click.argument("name")
def rename_command(run: str, name: str) -> None:
    """Give a run another name."""
    with Ledger() as ledger:
        record = saved.find(ledger, run)
    saved.annotate(ledger.repository, [record.id], "rename", {"name": names.run_name(name)})


@click.command(
    "rm",
    epilog="""\b
Nothing leaves the history: a deleted run is hidden, and 'mlgit restore' brings it back.

\b
Examples:
  mlgit rm 01kb2q6v 01kb2q7x
  mlgit log --deleted""",
)
@_runs
def rm_command(runs: tuple[str, ...]) -> None:
    """Delete runs; they can be restored."""
    _mark(runs, "delete")


@click.command("restore", epilog="\b\nExamples:\n  mlgit log --deleted\n  mlgit restore 01kb2q6v")
@_runs
def restore_command(runs: tuple[str, ...]) -> None:
    """Bring deleted runs back."""
    _mark(runs, "restore")


def _mark(runs: tuple[str, ...], kind: str) -> None:
    with Ledger() as ledger:
        found = {record.id: record for record in (saved.find(ledger, run) for run in runs)}
    wanted = [
        run_id for run_id, run in found.items() if (run.deleted is None) == (kind == "delete")
    ]
    for run_id in found.keys() - wanted:
        state = "deleted already" if kind == "delete" else "not deleted"
        click.echo(f"{run_id} is {state}.", err=True)
    if wanted:
        saved.annotate(ledger.repository, wanted, kind, {})
        done = "Deleted" if kind == "delete" else "Restored"
        click.echo(f"{done} {', '.join(wanted)}.")
