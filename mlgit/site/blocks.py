"""Blocks of a report that ask the ledger for a table or a chart. Pure.

```mlgit
chart:
  kind: scatter            # or parallel, curves
  experiment: nyc-taxi
  where: metrics.rmse < 7
  x: params.lr
  y: metrics.rmse
```

```mlgit
table:
  experiment: nyc-taxi
  sort: metrics.rmse
  columns: [name, params.model, metrics.rmse]
  limit: 5
```
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec
import yaml

from mlgit import query
from mlgit.errors import Invalid, QueryError
from mlgit.query import Field
from mlgit.site import tables
from mlgit.site.gather import Site

WORD = "mlgit"  # after the fence
_LIMIT = 4000  # characters
_ROWS = 500  # of one block


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a table asks for; a chart asks for the same runs."""

    title: str = ""
    experiment: str | None = None
    where: str = ""
    sort: str = ""
    columns: list[str] = msgspec.field(default_factory=list)
    limit: int = 20


class Chart(Table, frozen=True, forbid_unknown_fields=True, kw_only=True):
    kind: Literal["scatter", "parallel", "curves"]
    x: str = ""
    y: str = ""
    metric: str = ""
    limit: int = _ROWS


class _Block(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    table: Table | None = None
    chart: Chart | None = None


class Answer(NamedTuple):
    """What stands in the place of a block."""

    title: str
    rows: list[int]
    columns: list[tables.Column]
    kind: str | None
    """Of a chart."""
    fields: list[Field]
    """That a chart draws."""


# Merge keys (`<<`) let thirty lines fill the memory; aliases let a few lines be read for hours.
class _Loader(yaml.SafeLoader):
    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        pass

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias has no place here")
        return super().compose_node(parent, index)


def parse(text: str) -> Table:
    """Returns what a block asks for.

    Raises:
        Invalid: it is no YAML, or asks for something that there is not.
    """
    if len(text) > _LIMIT:
        raise Invalid(f"the block is longer than {_LIMIT:,} characters")
    try:
        document = yaml.load(text, Loader=_Loader)
        block = msgspec.convert(document, _Block)
    except (yaml.YAMLError, ValueError, RecursionError, msgspec.ValidationError) as error:
        raise Invalid(f"it cannot be read: {' '.join(str(error).split())[:300]}") from error
    asked = [each for each in (block.table, block.chart) if each is not None]
    if len(asked) != 1:
        raise Invalid("it has to say `table:` or `chart:`, and what of it")
    return asked[0]


def answer(site: Site, asked: Table) -> Answer:
    """Returns the runs that a block asks for, with what is said of each.

    Raises:
        Invalid: there is no such experiment or field, or a condition cannot be read.
    """
    try:
        where, sort = query.parse(asked.where), query.parse_sort(asked.sort)
        named = [query.parse_field(text) for text in asked.columns]
        drawn = _drawn(asked)
    except QueryError as error:
        raise Invalid(error.message) from error
    if not 1 <= asked.limit <= _ROWS:
        raise Invalid(f"limit is from 1 to {_ROWS}")
    rows = _rows(site, asked.experiment)

    def value(row: int, field: Field) -> Any:
        return tables.value(site, row, field)

    matching = [row for row in rows if where.matches([value(row, f) for f in where.fields])]
    chosen = query.sort_rows(matching, sort, value)[: asked.limit]
    fields = list(dict.fromkeys(named or drawn))
    if not fields:
        table = tables.build(site, chosen, asked.experiment is not None, None)
        columns = [table.columns[place] for place in table.shown]
    else:
        columns = [tables.column(site, chosen, field) for field in fields]
    columns = [column for column in columns if column.field != Field("attribute", "name")]
    kind = asked.kind if isinstance(asked, Chart) else None
    title = asked.title
    if isinstance(asked, Chart) and asked.kind == "curves":
        title = title or asked.metric
    return Answer(title, chosen, columns, kind, drawn)


def _rows(site: Site, experiment: str | None) -> list[int]:
    if experiment is None:
        return [row for row, is_deleted in enumerate(site.deleted) if not is_deleted]
    for each in site.experiments:
        if experiment == each.title or experiment in each.names:
            return each.rows
    raise Invalid(f"there is no experiment {experiment!r} here")


def _drawn(asked: Table) -> list[Field]:
    """Returns the fields that a chart draws; none of a table."""
    if not isinstance(asked, Chart):
        return []
    wanted = {
        "scatter": [asked.x, asked.y],
        "curves": [f"metrics.{asked.metric}" if asked.metric else ""],
        "parallel": asked.columns,
    }[asked.kind]
    if not all(wanted) or len(wanted) < 1 + (asked.kind == "parallel"):
        needed = {"scatter": "x and y", "curves": "metric", "parallel": "two columns or more"}
        raise Invalid(f"a chart of kind {asked.kind} needs {needed[asked.kind]}")
    if asked.kind == "curves":
        return [Field("metric", asked.metric, "last")]
    return [query.parse_field(text) for text in wanted]
