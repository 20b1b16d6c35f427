"""`mlgit experiment`: the groups that runs belong to."""

from __future__ import annotations

import shlex
from typing import NamedTuple

import click

from mlgit import names, saved
from mlgit.cli import complete, output, table
from mlgit.cli.place import ledger as open_ledger
from mlgit.cli.place import repository
from mlgit.errors import Invalid
from mlgit.saved import ExperimentSummary

_name = click.argument("name", shell_complete=complete.experiments)


@click.group(
    "experiment",
    epilog="""\b
Examples:
  mlgit experiment ls
  mlgit experiment describe churn -m "Who leaves, and why"
  mlgit experiment rename churn churn-2026

\b
There is nothing to create: an experiment is there with its first run,
mlgit.start_run(experiment="churn").""",
)
def experiment_command() -> None:
    """List, describe, rename and delete experiments."""


@experiment_command.command("ls", epilog="\b\nExamples:\n  mlgit experiment ls --json")
@click.option("--deleted", is_flag=True, help="List deleted ones too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_command(deleted: bool, as_json: bool) -> None:
    """List the experiments, the latest used first."""
    with open_ledger() as ledger:
        found = saved.list_experiments(ledger, deleted)
    if as_json:
        output.envelope("experiment.ls", [experiment._asdict() for experiment in found])
    elif found:
        headings = ("EXPERIMENT", "RUNS", "LATEST", "DESCRIPTION")
        table.echo(headings, [_row(each) for each in found], (False, True, False, False))
    else:
        click.echo("No experiments yet.", err=True)


def _row(experiment: ExperimentSummary) -> tuple[str, ...]:
    return (
        output.clean(experiment.name) + (" (deleted)" if experiment.deleted else ""),
        f"{experiment.runs:,}",
        output.moment(experiment.latest) if experiment.latest else output.ABSENT,
        output.text(experiment.description),
    )


@experiment_command.command(
    "describe", epilog='\b\nExamples:\n  mlgit experiment describe churn -m "Who leaves, and why"'
)
@_name
@click.option("-m", "--message", required=True, metavar="TEXT", help="Markdown; empty removes it.")
def describe_command(name: str, message: str) -> None:
    """Say what an experiment is about."""
    found = _find(name)
    _say(found, "describe", {"text": message.strip()})
    click.echo(f"Described {found.shown}.")


@experiment_command.command(
    "rename", epilog="\b\nExamples:\n  mlgit experiment rename churn churn-2026"
)
@_name
@click.argument("new")
def rename_command(name: str, new: str) -> None:
    """Give an experiment another name.

    Its runs are shown under the new one, and found under both.
    """
    new = names.experiment_name(new)
    found = _find(name)
    if new in found.others:
        raise Invalid(
            f"there is an experiment {names.shown(new)} already",
            "under one name nobody could tell the runs of the two apart again",
        )
    _say(found, "rename", {"name": new})
    click.echo(f"Renamed {found.shown} to {output.clean(new)}.")


@experiment_command.command("rm", epilog="\b\nExamples:\n  mlgit experiment rm churn")
@_name
def rm_command(name: str) -> None:
    """Delete an experiment with its runs; it can be restored.

    Runs that are logged to it later are shown.
    """
    found = _find(name)
    if found.summary.deleted:
        click.echo(f"{found.shown} is deleted already.", err=True)
        return
    _say(found, "delete", {})
    runs = output.counted(found.summary.runs, "run")
    quoted = shlex.quote(found.shown)
    click.echo(f"Deleted {found.shown}, {runs}; bring back: mlgit experiment restore {quoted}")


@experiment_command.command("restore", epilog="\b\nExamples:\n  mlgit experiment restore churn")
@_name
def restore_command(name: str) -> None:
    """Bring a deleted experiment back."""
    found = _find(name)
    if not found.hidden:
        click.echo(f"{found.shown} is not deleted.", err=True)
        return
    _say(found, "restore", {})
    click.echo(f"Restored {found.shown}.")


class _Found(NamedTuple):
    """An experiment that somebody named."""

    summary: ExperimentSummary
    stored: list[str]
    """Its names in the runs; after renames in two places at once it may have several."""
    hidden: bool
    """Whether some of its runs are deleted with it."""
    others: set[str]
    """The names of all other experiments."""

    @property
    def shown(self) -> str:
        return output.clean(self.summary.name)


def _find(name: str) -> _Found:
    with open_ledger() as ledger:
        stored = saved.find_experiment(ledger, name)
        facts = saved.experiments(ledger)
        known = {each.name: each for each in saved.list_experiments(ledger, deleted=True)}
    title = facts[stored[0]].title if stored[0] in facts else stored[0]
    hidden = any(facts[each].hidden for each in stored if each in facts)
    return _Found(known[title], stored, hidden, {*known} - {title})


def _say(found: _Found, kind: str, content: dict[str, str]) -> None:
    for each in found.stored:
        saved.annotate_experiment(repository(), each, kind, content)
