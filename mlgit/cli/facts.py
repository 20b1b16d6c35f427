"""`mlgit note`, `tag`, `rename`, `rm` and `restore`: later facts about runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mlgit import names, saved
from mlgit.cli import complete, output
from mlgit.cli.place import find_run, repository
from mlgit.cli.place import ledger as open_ledger
from mlgit.errors import Invalid, MlgitError
from mlgit.records import Run
from mlgit.tracking.values import TEXT_LIMIT

_run = click.argument("run", metavar="RUN", shell_complete=complete.runs)
_runs = click.argument(
    "runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete.runs
)


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
@click.option("-F", "--file", metavar="FILE", help="Read the note from a file; - is stdin.")
def note_command(run: str, message: str | None, file: str | None) -> None:
    """Write the note of a run; it replaces the one before."""
    if message is not None and file is not None:
        raise click.UsageError("give the note with -m or with -F, not both")
    record = _find(run)
    if file is not None:
        message = _read(file)
    elif message is None:
        message = _edit(record.note or "")
    message = message.strip()
    if message == (record.note or ""):
        click.echo("The note was not changed.", err=True)
        return
    saved.annotate(repository(), [record.id], "note", {"text": _bounded("note", message)})
    click.echo(f"{'Wrote' if message else 'Removed'} the note of {_shown(record)}.")


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except OSError as error:
        raise Invalid(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{file} is not a text in UTF-8") from error


def _edit(text: str) -> str:
    if not sys.stdin.isatty():
        raise click.UsageError("give the note with -m or -F")
    try:
        editor = repository().line("var", "GIT_EDITOR")
    except MlgitError:
        editor = None  # then it is $EDITOR, or vi
    edited = click.edit(text, editor=editor, extension=".md")
    return text if edited is None else edited


@click.command(
    "tag",
    epilog="""\b
Examples:
  mlgit tag @latest team=growth reviewed
  mlgit tag baseline -d reviewed
  mlgit tag baseline                      # lists them""",
)
@_run
@click.argument("tags", metavar="[KEY[=VALUE]]...", nargs=-1)
@click.option("-d", "--delete", multiple=True, metavar="KEY", help="Remove this tag.")
def tag_command(run: str, tags: tuple[str, ...], delete: tuple[str, ...]) -> None:
    """Label a run; without labels, list those it has."""
    record = _find(run)
    if not tags and not delete:
        for key, value in sorted(record.tags.items()):
            click.echo(output.clean(f"{key}={value}" if value else key))
        return
    facts = []
    for key, _, value in (tag.partition("=") for tag in tags):
        content = {"key": names.key("tag", key), "value": _bounded("tag", value)}
        facts.append(saved.fact(repository(), "tag", content))
    for key in delete:
        if key not in record.tags:
            known = output.listed(sorted(record.tags)) or "none"
            raise Invalid(f"{_shown(record)} has no tag {names.shown(key)}", f"it has {known}")
        facts.append(saved.fact(repository(), "untag", {"key": key}))
    told = output.clean(" ".join([*tags, *(f"-{key}" for key in delete)]))
    saved.add_facts(repository(), {record.id: facts}, f"tag run {record.id[:10]}: {told}")
    click.echo(f"Tagged {_shown(record)}: {told}")


@click.command("rename", epilog="\b\nExamples:\n  mlgit rename @latest baseline")
@_run
@click.argument("name")
def rename_command(run: str, name: str) -> None:
    """Give a run another name."""
    record = _find(run)
    name = names.run_name(name)
    with open_ledger() as ledger:
        others = [run_id for run_id in saved.named(ledger, name) if run_id != record.id]
    saved.annotate(repository(), [record.id], "rename", {"name": name})
    click.echo(f"Renamed {_shown(record)} to {output.clean(name)}.")
    if others:
        have = "1 other run has" if len(others) == 1 else f"{len(others):,} other runs have"
        output.warn(f"{have} this name too; by it alone none of them can be meant")


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
    with open_ledger() as ledger:
        found = {record.id: record for record in (find_run(ledger, run) for run in runs)}
    wanted = [run for run in found.values() if (run.deleted is None) == (kind == "delete")]
    for run in found.values():
        if run not in wanted:
            state = "deleted already" if kind == "delete" else "not deleted"
            click.echo(f"{_shown(run)} is {state}.", err=True)
    if wanted:
        saved.annotate(repository(), [run.id for run in wanted], kind, {})
        for run in wanted:
            click.echo(f"{'Deleted' if kind == 'delete' else 'Restored'} {_shown(run)}.")


def _find(run: str) -> Run:
    with open_ledger() as ledger:
        return find_run(ledger, run)


def _shown(run: Run) -> str:
    return f"{run.id[:10]} {output.title(run)}"


def _bounded(what: str, text: str) -> str:
    if len(text) > TEXT_LIMIT:
        raise Invalid(f"the {what} has {len(text):,} characters, {TEXT_LIMIT:,} are allowed")
    return text
