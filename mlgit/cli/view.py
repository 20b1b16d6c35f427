"""`mlgit view`: ways to look at an experiment's runs, kept under a name for everybody."""

from __future__ import annotations

import re
from collections.abc import Mapping

import click

from mlgit import names, query, saved
from mlgit.cli import complete, output, table
from mlgit.cli.place import ledger as open_ledger
from mlgit.cli.place import repository
from mlgit.errors import Invalid, NotFound
from mlgit.ledger import Ledger
from mlgit.records import View

_name = click.argument("name")
_experiment = click.argument("experiment", shell_complete=complete.experiments)
_LONGEST = 100  # characters of a name


@click.group(
    "view",
    epilog="""\b
Examples:
  mlgit view save best churn --where "metrics.auc > 0.8" --sort -metrics.auc
  mlgit view ls churn
  mlgit log --experiment churn --view best

\b
A view is shared like runs, by 'mlgit push'. It stands as a link on the experiment's page,
whose menu View also gives the command that saves what the page shows.""",
)
def view_command() -> None:
    """Keep ways to look at an experiment's runs under a name."""


@view_command.command(
    "save",
    epilog="""\b
Examples:
  mlgit view save best churn --where "metrics.auc > 0.8" --sort -metrics.auc
  mlgit view save speed churn --columns name,duration,params.batch
  mlgit view save models churn --group-by params.model --colour-by params.lr --part max""",
)
@_name
@_experiment
@click.option("--where", default="", metavar="CONDITION", help="Only runs for which this holds.")
@click.option("--sort", default="", metavar="KEYS", help="Sort by fields, as 'mlgit log' does.")
@click.option("--columns", default="", metavar="FIELDS", help="The columns, in this order.")
@click.option("--pin", default="", metavar="FIELDS", help="Columns that stay at the left.")
@click.option("--group-by", default="", metavar="FIELD", help="Group runs by a field.")
@click.option("--colour-by", default="", metavar="FIELD", help="Colour runs by a field.")
@click.option(
    "--part",
    type=click.Choice(["min", "max"]),
    help="Show the lowest or highest value of metrics, not the last.",
)
def save_command(
    name: str,
    experiment: str,
    where: str,
    sort: str,
    columns: str,
    pin: str,
    group_by: str,
    colour_by: str,
    part: str | None,
) -> None:
    """Save a view, in place of one with that name."""
    name = name.strip()
    if not name.isprintable() or not 0 < len(name) <= _LONGEST:
        raise Invalid(
            f"{names.shown(name)} cannot be the name of a view",
            f"it is up to {_LONGEST} characters, without line breaks",
        )
    query.parse(where)
    query.parse_sort(sort)
    view = View(
        where=where.strip(),
        sort=sort.strip(),
        columns=tuple(map(str, fields_of(columns))),
        pins=tuple(map(str, fields_of(pin))),
        group=str(query.parse_field(group_by)) if group_by else "",
        colour=str(query.parse_field(colour_by)) if colour_by else "",
        part=part or "",
    )
    content = {key: value for key, value in view._asdict().items() if value}
    if not content:
        raise click.UsageError("say what the view keeps: --where, --sort, --columns …")
    with open_ledger() as ledger:
        stored = saved.find_experiment(ledger, experiment)
    for each in stored:
        saved.annotate_experiment(repository(), each, "view", {"name": name, **content})
    click.echo(f"Saved the view {names.shown(name)} of {output.clean(experiment)}.")


@view_command.command("ls", epilog="\b\nExamples:\n  mlgit view ls\n  mlgit view ls churn --json")
@click.argument("experiment", required=False, shell_complete=complete.experiments)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_command(experiment: str | None, as_json: bool) -> None:
    """List the views of an experiment, or of all."""
    with open_ledger() as ledger:
        wanted = saved.find_experiment(ledger, experiment) if experiment else None
        known = saved.experiments(ledger)
    # An experiment of several names, after a rename in two places, has a view with each.
    found = {
        (known[stored].title, name): view
        for stored in sorted(known if wanted is None else {*wanted} & {*known})
        for name, view in known[stored].views.items()
    }
    if as_json:
        views = [
            {"name": name, "experiment": title, **view._asdict()}
            for (title, name), view in sorted(found.items())
        ]
        output.envelope("view.ls", views)
    elif found:
        used = map(any, zip(*found.values(), strict=True))
        kept = [part for part, is_used in zip(View._fields, used, strict=True) if is_used]
        rows = [
            (name, title, *(_said(getattr(view, part)) for part in kept))
            for (title, name), view in sorted(found.items())
        ]
        cells = [[output.clean(cell) or output.ABSENT for cell in row] for row in rows]
        table.echo(["VIEW", "EXPERIMENT", *map(str.upper, kept)], cells)
    else:
        click.echo("No views yet.", err=True)


def _said(kept: str | tuple[str, ...]) -> str:
    return kept if isinstance(kept, str) else ",".join(kept)


@view_command.command("rm", epilog="\b\nExamples:\n  mlgit view rm best churn")
@_name
@_experiment
def rm_command(name: str, experiment: str) -> None:
    """Remove a view."""
    with open_ledger() as ledger:
        find(ledger, experiment, name)
        stored = saved.find_experiment(ledger, experiment)
    for each in stored:
        saved.annotate_experiment(repository(), each, "unview", {"name": name})
    click.echo(f"Removed the view {names.shown(name)} of {output.clean(experiment)}.")


def find(ledger: Ledger, experiment: str, name: str) -> View:
    """Returns the view of an experiment with this name.

    Raises:
        NotFound: there is no such experiment or view.
    """
    known = saved.experiments(ledger)
    views: Mapping[str, View] = {
        each: view
        for stored in saved.find_experiment(ledger, experiment)
        if stored in known
        for each, view in known[stored].views.items()
    }
    if name not in views:
        raise NotFound(f"there is no view {names.shown(name)}", f"mlgit view ls {experiment}")
    return views[name]


_FIELD = re.compile(r'(?:"[^"]*"|`[^`]*`|[^,])+')


def fields_of(columns: str) -> list[query.Field]:
    """Returns the fields that stand between commas."""
    return [query.parse_field(part) for part in _FIELD.findall(columns)]
