"""`mlgit log`: runs as a table, or as JSON, CSV or lines of one's own for scripts."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import click

from mlgit import names, query, saved
from mlgit.cli import absent, complete, groups, output, table
from mlgit.cli.columns import (
    all_fields,
    by_importance,
    cells,
    default_fields,
    headings,
    in_view,
    metrics,
)
from mlgit.cli.place import ledger as open_ledger
from mlgit.cli.place import live_runs
from mlgit.cli.view import fields_of
from mlgit.cli.view import find as find_view
from mlgit.errors import Invalid, NotFound
from mlgit.ledger import Ledger
from mlgit.query import Field
from mlgit.records import Run, View

ON_TERMINAL = 20  # runs a table shows unless told otherwise


@click.command(
    "log",
    epilog="""\b
Examples:
  mlgit log
  mlgit log -n 5 --sort metrics.rmse
  mlgit log --where "metrics.rmse < 7 and params.depth = 6"
  mlgit log --where 'tags.team = growth and status != failed' --json
  mlgit log --since 7d --columns id,metrics.rmse,params.lr
  mlgit log --format '{{ id }} {{ metrics.rmse }}'
  mlgit log --group-by params.model --sort metrics.rmse

\b
Conditions know params.KEY, metrics.KEY[.last|.min|.max|.step|.count], tags.KEY and
id, name, experiment, status, started, ended, duration (seconds), user, email,
commit, branch, parent, note; = != < <= > >=, in (…), like 'a%', is null, and, or,
not and parentheses. Quote odd keys: metrics."val loss". Times in conditions are UTC.

\b
The table shows, besides the fields you filter or sort by, the metrics, and the params
in which these runs differ.""",
)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    help=f"At most N runs; 0 is all. Default: {ON_TERMINAL} in a table, all for scripts.",
    metavar="N",
)
@click.option("--where", default="", metavar="CONDITION", help="Only runs for which this holds.")
@click.option(
    "--sort",
    default="",
    metavar="KEYS",
    help="Sort by fields, most important first; a '-' before one reverses it.",
)
@click.option(
    "--columns", metavar="FIELDS", help="The fields of the table or CSV, separated by commas."
)
@click.option(
    "--experiment",
    metavar="NAME",
    help="Only runs of this experiment.",
    shell_complete=complete.experiments,
)
@click.option(
    "--view", metavar="NAME", help="Of this experiment, as the view says; see 'mlgit view'."
)
@click.option(
    "--since",
    metavar="WHEN",
    help="Only runs started since 2026-11-22 or '2026-11-22 20:30' (local time; Z for UTC), "
    "or in the last 90m, 12h, 7d, 2w.",
)
@click.option("--status", metavar="STATUS", help="finished, failed, interrupted or running.")
@click.option(
    "--group-by",
    metavar="FIELD",
    help="One line for each value of a field, with mean (min to max) of the metrics.",
)
@click.option("--live", is_flag=True, help="Only runs that are running now.")
@click.option("--deleted", is_flag=True, help="Only deleted runs.")
@click.option("--json", "forms", flag_value="json", multiple=True, help="One JSON document.")
@click.option("--jsonl", "forms", flag_value="jsonl", multiple=True, help="One JSON object a line.")
@click.option("--csv", "forms", flag_value="csv", multiple=True, help="CSV with a header.")
@click.option(
    "--format", "template", metavar="TEXT", help="A line a run, with {{ field }} filled in."
)
def log_command(
    limit: int | None,
    where: str,
    sort: str,
    columns: str | None,
    experiment: str | None,
    view: str | None,
    since: str | None,
    status: str | None,
    group_by: str | None,
    live: bool,
    deleted: bool,
    forms: tuple[str, ...],
    template: str | None,
) -> None:
    """List runs, newest first."""
    if len({*forms}) + (template is not None) > 1:
        raise click.UsageError("choose one of --json, --jsonl, --csv and --format")
    form = forms[0] if forms else None
    looks = View()  # how columns look that nobody has asked for
    if view is not None:
        if experiment is None:
            raise click.UsageError("--view is of an --experiment")
        with open_ledger() as ledger:
            seen = find_view(ledger, experiment, view)
        where = " and ".join(f"({each})" for each in (seen.where, where) if each.strip())
        sort = sort or seen.sort
        if columns is None:
            looks, columns = seen, ",".join(seen.columns)
        if group_by is None and template is None:
            group_by = seen.group
    compared = query.parse(where).fields
    sorted_by = [key.field for key in query.parse_sort(sort)]
    chosen = in_view(fields_of(columns), looks) if columns else None
    grouping = query.parse_field(group_by) if group_by else None
    inserted = [query.parse_field(part) for part in _PLACE.split(template or "")[1::2]]
    fill = _filler(template, inserted) if template is not None else None
    condition = _condition(where, since, status)
    most = ON_TERMINAL if limit is None and not (form or fill or grouping) else limit or None
    runs, more = _select(condition, sort, most, experiment, live, deleted)
    asked = [*sorted_by, *(chosen or ()), *([grouping] if grouping else ()), *inserted]
    # A condition that finds runs may well be about what none has: not tags.reviewed.
    unknown = absent.warn(asked if runs else [*compared, *asked], runs)
    named = [field for field in (*compared, *sorted_by) if field not in unknown]
    if grouping:
        shown = chosen or in_view(metrics(runs, named), looks)
        groups.echo(runs, grouping, shown, form)
    elif fill:
        for run in runs:
            click.echo(fill(run))
    elif form:
        _print_data(runs, chosen, form)
    elif runs:
        fields = chosen or in_view(default_fields(runs, named, experiment is not None), looks)
        order = None if chosen else by_importance(fields)
        _print_table(runs, fields, order, more and limit is None)
    elif live:
        click.echo("No run is going on.", err=True)
    else:
        nothing = "No run is deleted." if deleted else "No runs yet."
        click.echo("No run matches." if condition or experiment else nothing, err=True)


def _select(
    where: str, sort: str, limit: int | None, experiment: str | None, live: bool, deleted: bool
) -> tuple[list[Run], bool]:
    """Returns the runs to show, running ones among them, and whether there are more."""
    condition, keys = query.parse(where), query.parse_sort(sort)
    with open_ledger() as ledger:
        running = [] if deleted else live_runs(ledger)
        found = []
        if not live and (not running or ledger.exists):
            # One that was taken up again is saved and live; what it is now counts.
            room = limit + 1 + len(running) if limit else None
            found = _saved(ledger, where, sort, room, experiment, deleted, bool(running))
            going_on = {run.id for run in running}
            found = [run for run in found if run.id not in going_on]
    running = [
        run
        for run in running
        if (experiment is None or run.experiment == experiment)
        and condition.matches([saved.value(run, field) for field in condition.fields])
    ]
    if running:
        found = sorted([*running, *found], key=lambda run: run.id, reverse=True)
        found = query.sort_rows(found, keys, saved.value)
    return found[:limit], limit is not None and len(found) > limit


def _saved(
    ledger: Ledger,
    where: str,
    sort: str,
    limit: int | None,
    experiment: str | None,
    deleted: bool,
    may_be_unknown: bool,
) -> list[Run]:
    try:
        return saved.select(
            ledger,
            where,
            sort,
            limit,
            experiment=experiment,
            deleted=deleted,
            warn=output.warn,
            progress=output.progress("indexing"),
        )
    except NotFound:
        if may_be_unknown:  # an experiment whose first run is running
            return []
        raise


def _condition(where: str, since: str | None, status: str | None) -> str:
    parts = [f"({where})"] if where.strip() else []
    if since:
        parts.append(f'started >= "{_since(since)}"')
    if status:
        if status not in ("finished", "failed", "interrupted", "running"):
            raise Invalid(
                f"there is no status {names.shown(status)}",
                "it is finished, failed, interrupted or running",
            )
        parts.append(f"status = {status}")
    return " and ".join(parts)


_AGO = re.compile(r"(\d{1,6})\s*(m|h|d|w)")
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


def _since(text: str) -> str:
    """Returns the stored form of a moment: a local date or time, or so long ago."""
    text = text.strip()
    if match := _AGO.fullmatch(text):
        return names.timestamp(time.time() - int(match[1]) * _SECONDS[match[2]])
    try:
        return names.timestamp(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())
    except (ValueError, OverflowError) as error:
        raise Invalid(
            f"cannot read the moment {names.shown(text)}",
            "write 2026-11-22, '2026-11-22 20:30', or 7d for the last seven days",
        ) from error


# --- forms -----------------------------------------------------------------------------


def _print_data(runs: Sequence[Run], chosen: Sequence[Field] | None, form: str) -> None:
    if form == "json":
        output.envelope("log", [output.document(run) for run in runs])
    elif form == "jsonl":
        for run in runs:
            click.echo(output.as_json(output.document(run)))
    else:
        fields = chosen or all_fields(runs)
        rows = [[output.value_of(run, field) for field in fields] for run in runs]
        click.echo(output.table_as_csv([str(field) for field in fields], rows), nl=False)


_PLACE = re.compile(r"\{\{\s*(.*?)\s*\}\}")


def _filler(template: str, fields: Sequence[Field]) -> Callable[[Run], str]:
    """Returns what fills the fields of a run into the template; an absent value is empty."""
    texts = _PLACE.split(template)[::2]  # text and field by turns

    def fill(run: Run) -> str:
        values = [_plain(output.value_of(run, field)) for field in fields]
        return "".join(text + value for text, value in zip(texts, [*values, ""], strict=True))

    return fill


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)  # scripts get every digit
    return "" if value is None else output.text(value)


def _print_table(
    runs: Sequence[Run], fields: list[Field], order: list[int] | None, more: bool
) -> None:
    columns = [output.values_of(runs, field) for field in fields]
    shown = [cells(field, column, runs) for field, column in zip(fields, columns, strict=True)]
    numeric = [
        field.key == "duration" or any(isinstance(value, (int, float)) for value in column)
        for field, column in zip(fields, columns, strict=True)
    ]
    left_out = table.echo(headings(fields), list(zip(*shown, strict=True)), numeric, order)
    notes = []
    if more:
        notes.append(f"there are more than these {len(runs)}; -n 0 shows all")
    if left_out:
        hidden = output.listed(str(fields[index]) for index in left_out)
        notes.append(f"no room for {output.clean(hidden)}; choose with --columns")
    for note in notes:
        click.echo(click.style(f"({note})", dim=True), err=True)
