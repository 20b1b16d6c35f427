"""`mlgit log`: runs as a table, or as JSON, CSV or lines of one's own for scripts."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import click

from mlgit import names, query, saved
from mlgit.cli import complete, output, table
from mlgit.cli.place import ledger as open_ledger
from mlgit.cli.place import live_runs
from mlgit.errors import Invalid, NotFound
from mlgit.ledger import Ledger
from mlgit.query import Field
from mlgit.records import Run

ON_TERMINAL = 20  # runs a table shows unless told otherwise
_FIXED = ("id", "experiment", "name", "status", "started", "duration")
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
    named = [*query.parse(where).fields, *(key.field for key in query.parse_sort(sort))]
    chosen = [query.parse_field(part) for part in _COLUMN.findall(columns)] if columns else None
    grouping = query.parse_field(group_by) if group_by else None
    fill = _filler(template) if template is not None else None
    condition = _condition(where, since, status)
    most = ON_TERMINAL if limit is None and not (form or fill or grouping) else limit or None
    runs, more = _select(condition, sort, most, experiment, live, deleted)
    if grouping:
        _print_groups(runs, grouping, chosen or _metrics(runs, named), form)
    elif fill:
        for run in runs:
            click.echo(fill(run))
    elif form == "json":
        output.envelope("log", [output.document(run) for run in runs])
    elif form == "jsonl":
        for run in runs:
            click.echo(output.as_json(output.document(run)))
    elif form == "csv":
        fields = chosen or _all_fields(runs)
        rows = [[saved.value(run, field) for field in fields] for run in runs]
        click.echo(output.table_as_csv([str(field) for field in fields], rows), nl=False)
    elif runs:
        fields = chosen or _default_fields(runs, named, experiment is not None)
        order = None if chosen else _by_importance(fields)
        _print_table(runs, fields, order, more and limit is None)
    elif live:
        click.echo("No run is going on.", err=True)
    else:
        asked = condition or experiment or deleted
        click.echo("No run matches." if asked else "No runs yet.", err=True)


_COLUMN = re.compile(r'(?:"[^"]*"|`[^`]*`|[^,])+')


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

_PLACE = re.compile(r"\{\{\s*(.*?)\s*\}\}")


def _filler(template: str) -> Callable[[Run], str]:
    """Returns what fills a run into the template; an absent value is empty."""
    parts = _PLACE.split(template)  # text and field by turns
    fields = [query.parse_field(part) for part in parts[1::2]]

    def fill(run: Run) -> str:
        values = [_plain(saved.value(run, field)) for field in fields]
        return "".join(text + value for text, value in zip(parts[::2], [*values, ""], strict=True))

    return fill


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)  # scripts get every digit
    return "" if value is None else output.text(value)


def _all_fields(runs: Sequence[Run]) -> list[Field]:
    fixed = ("id", "experiment", "name", "status", "started", "ended", "duration", "user", "commit")
    fields = [Field("attribute", name) for name in fixed]
    for kind, keys in (
        ("param", {key for run in runs for key in output.leaves(run.params)}),
        ("metric", {key for run in runs for key in run.metrics}),
        ("tag", {key for run in runs for key in run.tags}),
    ):
        part = "last" if kind == "metric" else ""
        fields += [Field(kind, key, part) for key in sorted(keys)]
    return fields


def _print_table(
    runs: Sequence[Run], fields: list[Field], order: list[int] | None, more: bool
) -> None:
    columns = [output.values_of(runs, field) for field in fields]
    shown = [_cells(field, column, runs) for field, column in zip(fields, columns, strict=True)]
    numeric = [
        field.key == "duration" or any(isinstance(value, (int, float)) for value in column)
        for field, column in zip(fields, columns, strict=True)
    ]
    left_out = table.echo(_headings(fields), list(zip(*shown, strict=True)), numeric, order)
    notes = []
    if more:
        notes.append(f"there are more than these {len(runs)}; -n 0 shows all")
    if left_out:
        hidden = output.listed(str(fields[index]) for index in left_out)
        notes.append(f"no room for {output.clean(hidden)}; choose with --columns")
    for note in notes:
        click.echo(click.style(f"({note})", dim=True), err=True)


def _headings(fields: Sequence[Field]) -> list[str]:
    """Returns the columns' titles: a bare key where it is clear what it means."""
    bare = [
        field.key + (f".{field.part}" if field.part not in ("", "last") else "") for field in fields
    ]
    often = Counter(bare)
    return [
        _HEADINGS.get(field.key, field.key.upper())
        if field.kind == "attribute"
        else output.clean(title if often[title] == 1 else str(field))
        for field, title in zip(fields, bare, strict=True)
    ]


def _default_fields(runs: Sequence[Run], named: Sequence[Field], one_group: bool) -> list[Field]:
    """Returns what is worth a column: of the params, those in which the runs differ.

    What was asked for by `--where` or `--sort` comes first, where a narrow terminal shows it.
    """
    unneeded = {"experiment"} if one_group else set()
    unneeded |= {"name"} if not any(run.name for run in runs) else set()
    fields = [Field("attribute", name) for name in _FIXED if name not in unneeded]
    fields += [*named, *_metrics(runs), *_varying(runs)[:_PARAMS_SHOWN]]
    return list(dict.fromkeys(fields))


def _by_importance(fields: Sequence[Field]) -> list[int]:
    """Returns the columns in the order in which a narrow terminal gives them room.

    Two results matter more than when a run started and how long it took.
    """
    when = [i for i, field in enumerate(fields) if field.key in ("started", "duration")]
    others = [i for i in range(len(fields)) if i not in when]
    first = sum(field.kind == "attribute" for field in fields) - len(when) + 2
    return [*others[:first], *when, *others[first:]]


def _varying(runs: Sequence[Run]) -> list[Field]:
    """Returns the params in which the runs differ, those that more of them have first."""
    params = [output.leaves(run.params) for run in runs]
    often = Counter(key for each in params for key in each)
    return [
        Field("param", key)
        for key, _ in often.most_common()
        if len(runs) == 1 or len({output.text(each.get(key)) for each in params}) > 1
    ]


def _metrics(runs: Sequence[Run], named: Sequence[Field] = ()) -> list[Field]:
    """Returns the metrics of the runs, those that more of them have first."""
    often = Counter(key for run in runs for key in run.metrics if not key.startswith(saved.SYSTEM))
    fields = [Field("metric", key, "last") for key, _ in often.most_common()]
    return list(dict.fromkeys([*(field for field in named if field.kind == "metric"), *fields]))


def _cells(field: Field, column: Sequence[Any], runs: Sequence[Run]) -> list[str]:
    if field.kind == "attribute":
        if field.key == "id":
            return short_ids(column)
        if field.key == "duration":
            column = [output.elapsed(run) for run in runs]
        form = _FORMS.get(field.key, output.text)
        return [output.ABSENT if value is None else form(value) for value in column]
    return [output.text(value) for value in column]


_FORMS: dict[str, Callable[[Any], str]] = {
    "started": output.moment,
    "ended": output.moment,
    "duration": output.span,
    "commit": lambda value: output.clean(value[:10]),
    "parent": lambda value: output.clean(value[:10]),
}


def short_ids(ids: Sequence[str]) -> list[str]:
    """Returns ids cut to ten characters, or more where these runs need it to differ."""
    length = 10
    while length < 26 and len({run_id[:length] for run_id in ids}) < len({*ids}):
        length += 1
    return [run_id[:length] for run_id in ids]


# --- groups ------------------------------------------------------------------------------

_SPREAD = ("min", "mean", "max")


def _print_groups(runs: Sequence[Run], by: Field, shown: list[Field], form: str | None) -> None:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(output.text(saved.value(run, by)), []).append(run)
    metrics = [field for field in shown if field.kind == "metric"]
    spreads = [
        [_spread(output.values_of(members, field)) for field in metrics]
        for members in groups.values()
    ]
    values = [saved.value(members[0], by) for members in groups.values()]
    if form in ("json", "jsonl"):
        summaries = [
            {
                str(by): output.json_value(value),
                "runs": len(members),
                "metrics": dict(zip(map(str, metrics), spread, strict=True)),
                "ids": [run.id for run in members],
            }
            for value, members, spread in zip(values, groups.values(), spreads, strict=True)
        ]
        if form == "json":
            output.envelope("log.groups", summaries)
        else:
            click.echo("\n".join(map(output.as_json, summaries)))
    elif form == "csv":
        headings = [str(by), "runs", *(f"{field} {part}" for field in metrics for part in _SPREAD)]
        rows = [
            [value, len(members), *(each[part] for each in spread for part in _SPREAD)]
            for value, members, spread in zip(values, groups.values(), spreads, strict=True)
        ]
        click.echo(output.table_as_csv(headings, rows), nl=False)
    elif runs:
        headings = _headings([by, Field("attribute", "runs"), *metrics])
        cells = [
            [name, str(len(members)), *map(_spread_cell, spread)]
            for (name, members), spread in zip(groups.items(), spreads, strict=True)
        ]
        table.echo(headings, cells, [False] + [True] * (len(headings) - 1))


def _spread(values: Sequence[Any]) -> dict[str, Any]:
    numbers = [value for value in values if isinstance(value, (int, float)) and value == value]
    if not numbers:
        return dict.fromkeys(_SPREAD)
    found = (min(numbers), sum(numbers) / len(numbers), max(numbers))
    return dict(zip(_SPREAD, map(output.json_value, found), strict=True))


def _spread_cell(spread: dict[str, Any]) -> str:
    """Returns the mean, and the range around it if there is one."""
    low, mean, high = (output.text(spread[part]) for part in _SPREAD)
    return mean if low == high else f"{mean} ({low} to {high})"
