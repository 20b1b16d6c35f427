"""`mlgit log`: runs as a table, or as JSON, CSV or lines of one's own for scripts."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from mlgit import names, query, saved
from mlgit.cli import output, table
from mlgit.errors import Invalid, NotFound
from mlgit.ledger import Ledger
from mlgit.query import Field
from mlgit.records import Run
from mlgit.tracking.finish import live_runs

ON_TERMINAL = 20  # runs a table shows unless told otherwise
_FIXED = ("experiment", "name", "status", "started", "duration")
_HEADINGS = {"id": "RUN", "duration": "TOOK"}
_PARAMS_SHOWN = 6


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
  mlgit log --group-by params.model

\b
Conditions know params.KEY, metrics.KEY[.last|.min|.max|.step|.count], tags.KEY and
id, name, experiment, status, started, ended, duration (seconds), user, email,
commit, branch, parent, note; = != < <= > >=, in (…), like 'a%', is null, and, or,
not and parentheses. Quote odd keys: metrics."val loss". Times are in UTC.""",
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
@click.option("--columns", metavar="FIELDS", help="Show these fields, separated by commas.")
@click.option("--experiment", metavar="NAME", help="Only runs of this experiment.")
@click.option(
    "--since", metavar="WHEN", help="Only runs started since 2026-11-22, or 90m, 12h, 7d."
)
@click.option("--status", metavar="STATUS", help="finished, failed, interrupted or running.")
@click.option("--group-by", metavar="FIELD", help="One line for each value of a field.")
@click.option("--live", is_flag=True, help="Only runs that are running now.")
@click.option("--deleted", is_flag=True, help="Only deleted runs.")
@click.option("--json", "form", flag_value="json", help="One JSON document.")
@click.option("--jsonl", "form", flag_value="jsonl", help="One JSON object a line.")
@click.option("--csv", "form", flag_value="csv", help="CSV with a header.")
@click.option(
    "--format", "template", metavar="TEXT", help="A line a run, with {{ field }} filled in."
)
def log_command(
    limit: int | None,
    where: str,
    sort: str,
    columns: str | None,
    experiment: str | None,
    since: str | None,
    status: str | None,
    group_by: str | None,
    live: bool,
    deleted: bool,
    form: str | None,
    template: str | None,
) -> None:
    """List runs, newest first."""
    chosen = [query.parse_field(part) for part in columns.split(",")] if columns else None
    grouping = query.parse_field(group_by) if group_by else None
    where = _condition(where, since, status)
    if limit is None and form is None and template is None and grouping is None:
        limit = ON_TERMINAL
    runs, more = _select(where, sort, limit or None, experiment, live, deleted)
    if grouping:
        _print_groups(runs, grouping, chosen, form)
    elif template is not None:
        for run in runs:
            click.echo(_fill(template, run))
    elif form == "json":
        output.envelope("log", [output.document(run) for run in runs])
    elif form == "jsonl":
        for run in runs:
            click.echo(json.dumps(output.document(run), ensure_ascii=False))
    elif form == "csv":
        fields = chosen or _all_fields(runs)
        rows = [[saved.value(run, field) for field in fields] for run in runs]
        click.echo(output.table_as_csv([str(field) for field in fields], rows), nl=False)
    elif runs:
        _print_table(runs, chosen, more)
    else:
        click.echo("No runs." if not where else "No run matches.", err=True)


def _select(
    where: str, sort: str, limit: int | None, experiment: str | None, live: bool, deleted: bool
) -> tuple[list[Run], bool]:
    """Returns the runs to show, running ones among them, and whether there are more."""
    condition, keys = query.parse(where), query.parse_sort(sort)
    with Ledger() as ledger:
        running = [] if deleted else live_runs(ledger.repository.common_dir)
        running = [
            run
            for run in running
            if (experiment is None or run.experiment == experiment)
            and condition.matches([saved.value(run, field) for field in condition.fields])
        ]
        if live:
            found = []
        elif not running or ledger.exists:
            found = _saved(ledger, where, sort, limit, experiment, deleted, bool(running))
    if running:
        # A resumed run is live and saved; what is happening now is what it is.
        ids = {run.id for run in running}
        found = [*running, *(run for run in found if run.id not in ids)]
        found.sort(key=lambda run: run.id, reverse=True)
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
            limit + 1 if limit else None,
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
    if where.strip():
        query.parse(where)  # so that an error points into what was typed
    if since:
        parts.append(f'started >= "{_since(since)}"')
    if status:
        if status not in ("finished", "failed", "interrupted", "running"):
            raise Invalid(
                f"there is no status {names.shown(status)}",
                "it is finished, failed, interrupted or running",
            )
        parts.append(f"status = {status}")
    return " and ".join(parts) if len(parts) > 1 or since or status else where


_AGO = re.compile(r"(\d+)\s*(m|h|d|w)")
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d([T ]\d\d(:\d\d){0,2}Z?)?)?)?")
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


def _since(text: str) -> str:
    """Returns the stored form of a moment: a date or time in UTC, or so long ago."""
    if match := _AGO.fullmatch(text.strip()):
        return names.timestamp(time.time() - int(match[1]) * _SECONDS[match[2]])
    if _DATE.fullmatch(text.strip()):
        return text.strip().replace(" ", "T")
    raise Invalid(
        f"cannot read the moment {names.shown(text)}", "write 2026-11-22, 2026-11-22T20:30, or 7d"
    )


# --- forms -----------------------------------------------------------------------------

_PLACE = re.compile(r"\{\{\s*(.*?)\s*\}\}")


def _fill(template: str, run: Run) -> str:
    """Returns the template with each {{ field }} replaced; an absent value is empty."""

    def value(match: re.Match[str]) -> str:
        found = saved.value(run, query.parse_field(match[1]))
        if isinstance(found, float):
            return repr(found)  # scripts get every digit
        return "" if found is None else output.text(found)

    return _PLACE.sub(value, template)


def _all_fields(runs: Sequence[Run]) -> list[Field]:
    fixed = ("id", "experiment", "name", "status", "started", "ended", "duration", "user", "commit")
    fields = [Field("attribute", name) for name in fixed]
    for kind, keys in (
        ("param", {key for run in runs for key in run.params}),
        ("metric", {key for run in runs for key in run.metrics}),
        ("tag", {key for run in runs for key in run.tags}),
    ):
        part = "last" if kind == "metric" else ""
        fields += [Field(kind, key, part) for key in sorted(keys)]
    return fields


def _print_table(runs: Sequence[Run], chosen: list[Field] | None, more: bool) -> None:
    fields = chosen or _default_fields(runs)
    columns = [output.values_of(runs, field) for field in fields]
    shown = [_cells(field, column) for field, column in zip(fields, columns, strict=True)]
    numeric = [
        field.key == "duration" or any(isinstance(value, (int, float)) for value in column)
        for field, column in zip(fields, columns, strict=True)
    ]
    headings = _headings(fields)
    left_out = table.echo(headings, list(zip(*shown, strict=True)), numeric)
    notes = []
    if more:
        notes.append(f"there are more than these {len(runs)}; -n 0 shows all")
    if left_out:
        hidden = ", ".join(str(field) for field in fields[-left_out:])
        notes.append(f"no room for {hidden}; choose with --columns")
    for note in notes:
        click.echo(click.style(f"({note})", dim=True), err=True)


def _headings(fields: Sequence[Field]) -> list[str]:
    """Returns the columns' titles: a bare key where it is clear what it means."""
    bare = Counter(field.key for field in fields if field.kind != "attribute")
    titles = []
    for field in fields:
        if field.kind == "attribute":
            titles.append(_HEADINGS.get(field.key, field.key.upper()))
        elif bare[field.key] == 1 and field.part in ("", "last"):
            titles.append(output.clean(field.key))
        else:
            titles.append(output.clean(str(field)))
    return titles


def _default_fields(runs: Sequence[Run]) -> list[Field]:
    """Returns what is worth a column: of the params, only those in which the runs differ."""
    fields = [Field("attribute", "id")]
    for name in _FIXED:
        values = output.values_of(runs, Field("attribute", name))
        if name not in ("name",) or any(values):
            fields.append(Field("attribute", name))
    metrics = Counter(
        key for run in runs for key in run.metrics if not key.startswith(saved.SYSTEM)
    )
    fields += [Field("metric", key, "last") for key, _ in metrics.most_common()]
    fields += [Field("param", key) for key in _varying(runs)[:_PARAMS_SHOWN]]
    return fields


def _varying(runs: Sequence[Run]) -> list[str]:
    keys = dict.fromkeys(key for run in runs for key in run.params)
    if len(runs) == 1:
        return list(keys)
    return [key for key in keys if len({output.text(run.params.get(key)) for run in runs}) > 1]


def _cells(field: Field, column: Sequence[Any]) -> list[str]:
    if field == ("attribute", "id", ""):
        return short_ids(column)
    if field.key in ("started", "ended") and field.kind == "attribute":
        return [output.moment(value) if value else output.ABSENT for value in column]
    if field.key == "duration" and field.kind == "attribute":
        return [output.span(value) for value in column]
    if field.key == "commit" and field.kind == "attribute":
        return [value[:10] if value else output.ABSENT for value in column]
    return [output.text(value) for value in column]


def short_ids(ids: Sequence[str]) -> list[str]:
    """Returns ids cut to ten characters, or more where these runs need it to differ."""
    length = 10
    while length < 26 and len({run_id[:length] for run_id in ids}) < len({*ids}):
        length += 1
    return [run_id[:length] for run_id in ids]


# --- groups ------------------------------------------------------------------------------


def _print_groups(
    runs: Sequence[Run], by: Field, chosen: list[Field] | None, form: str | None
) -> None:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(output.text(saved.value(run, by)), []).append(run)
    metrics = [field for field in chosen or _default_fields(runs) if field.kind == "metric"]
    summaries: list[dict[str, Any]] = [
        {
            str(by): name,
            "runs": len(members),
            "metrics": {str(field): _spread(output.values_of(members, field)) for field in metrics},
            "ids": [run.id for run in members],
        }
        for name, members in groups.items()
    ]
    if form in ("json", "jsonl"):
        output.envelope("log.groups", summaries)
        return
    headings = [str(by), "runs"]
    headings += [f"{field} {part}" for field in metrics for part in ("min", "mean", "max")]
    rows = [
        [group[str(by)], group["runs"]]
        + [group["metrics"][str(f)][part] for f in metrics for part in ("min", "mean", "max")]
        for group in summaries
    ]
    if form == "csv":
        click.echo(output.table_as_csv(headings, rows), nl=False)
    elif rows:
        cells = [[output.text(cell) for cell in row] for row in rows]
        table.echo(headings, cells, [False] + [True] * (len(headings) - 1))


def _spread(values: Sequence[Any]) -> dict[str, float | None]:
    numbers = [value for value in values if isinstance(value, (int, float)) and value == value]
    if not numbers:
        return {"min": None, "mean": None, "max": None}
    return {"min": min(numbers), "mean": sum(numbers) / len(numbers), "max": max(numbers)}
