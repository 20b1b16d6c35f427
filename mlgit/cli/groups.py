"""`mlgit log --group-by`: one line for each value of a field, with the spread of the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from mlgit import saved
from mlgit.cli import columns, output, table
from mlgit.query import Field
from mlgit.records import Run

_SPREAD = ("min", "mean", "max")


def echo(runs: Sequence[Run], by: Field, shown: list[Field], form: str | None) -> None:
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
        headings = columns.headings([by, Field("attribute", "runs"), *metrics])
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
