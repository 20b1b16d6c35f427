"""`mlgit experiment`: the groups that runs belong to."""

from __future__ import annotations

import click

from mlgit import names, saved
from mlgit.cli import output, table
from mlgit.ledger import Ledger

_name = click.argument("name")


@click.group(
    "experiment", epilog="\b\nExamples:\n  mlgit experiment ls\n  mlgit experiment rename old new"
)
def experiment_command() -> None:
    """List, describe, rename and delete experiments."""


@experiment_command.command("ls", epilog="\b\nExamples:\n  mlgit experiment ls --json")
@click.option("--deleted", is_flag=True, help="List deleted ones too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_command(deleted: bool, as_json: bool) -> None:
    """List the experiments, the latest used first."""
    with Ledger() as ledger:
        found = saved.list_experiments(ledger, deleted)
    if as_json:
        output.envelope("experiment.ls", [experiment._asdict() for experiment in found])
        return
    rows = [
        (
            output.clean(experiment.name) + (" (deleted)" if experiment.deleted else ""),
            str(experiment.runs),
            output.moment(experiment.latest) if experiment.latest else output.ABSENT,
            output.text(experiment.description),
        )
        for experiment in found
    ]
    if rows:
        table.echo(
            ("EXPERIMENT", "RUNS", "LATEST", "DESCRIPTION"), rows, (False, True, False, False)
        )


@experiment_command.command(
    "describe", epilog='\b\nExamples:\n  mlgit experiment describe churn -m "Who leaves, and why"'
)
@_name
@click.option("-m", "--message", required=True, metavar="TEXT", help="Markdown; empty removes it.")
def describe_command(name: str, message: str) -> None:
    """Say what an experiment is about."""
    _say(name, "describe", {"text": message.strip()})


@experiment_command.command(
    "rename", epilog="\b\nExamples:\n  mlgit experiment rename churn churn-2026"
)
@_name
@click.argument("new")
def rename_command(name: str, new: str) -> None:
    """Give an experiment another name.

    Its runs are shown under the new one, and found under both.
    """
    _say(name, "rename", {"name": names.experiment_name(new)})


@experiment_command.command("rm", epilog="\b\nExamples:\n  mlgit experiment rm churn")
@_name
def rm_command(name: str) -> None:
    """Delete an experiment with its runs; it can be restored."""
    _say(name, "delete", {})


@experiment_command.command("restore", epilog="\b\nExamples:\n  mlgit experiment restore churn")
@_name
def restore_command(name: str) -> None:
    """Bring a deleted experiment back."""
    _say(name, "restore", {})


def _say(name: str, kind: str, content: dict[str, str]) -> None:
    with Ledger() as ledger:
        stored = saved.find_experiment(ledger, name)
    for each in stored:
        saved.annotate_experiment(ledger.repository, each, kind, content)
