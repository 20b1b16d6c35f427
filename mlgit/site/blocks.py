"""Blocks of a report that ask the ledger for a table or a chart. Pure.

```mlgit
chart:
  kind: scatter            # or parallel, curves, histogram, importance
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

What is wrong in one is told with its line, so the text is read as YAML's nodes, which know theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import msgspec
import yaml

from mlgit import query
from mlgit.errors import Invalid, QueryError
from mlgit.query import Field
from mlgit.site import importance, tables
from mlgit.site.gather import Site
from mlgit.site.importance import Importance

WORD = "mlgit"  # after the fence
_LIMIT = 4000  # characters
_ROWS = 500  # of one block
T = TypeVar("T")

Kind = Literal["scatter", "parallel", "curves", "histogram", "importance"]


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """What a table asks for; a chart asks for the same runs."""

    title: str = ""
    experiment: str | None = None
    where: str = ""
    sort: str = ""
    columns: list[str] = msgspec.field(default_factory=list)
    limit: int = 20


class Chart(Table, frozen=True, kw_only=True):
    kind: Kind
    x: str = ""
    y: str = ""
    metric: str = ""
    limit: int = _ROWS


_FORMS: dict[str, type[Table]] = {"table": Table, "chart": Chart}
_KINDS = ", ".join(get_args(Kind))
_NEEDED: dict[Kind, tuple[str, ...]] = {
    "scatter": ("x", "y"),
    "parallel": ("columns",),
    "curves": ("metric",),
    "histogram": ("x",),
    "importance": ("metric",),
}
# What the value of a key is; of all others a text.
_MEANT = {"columns": "a list of fields is expected", "limit": "a whole number is expected"}
_TEXT = "a text is expected, in quotes if need be"


class Wrong(Invalid):
    """A block that cannot be answered: why, and in which line of it, from 0."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class Asked(NamedTuple):
    """What a block asks for, and where it says so."""

    what: Table
    lines: dict[str, int]
    """By key; "" is that of `table:` or `chart:`."""

    def wrong(self, key: str, reason: str) -> Wrong:
        """Returns the error that says why a key cannot be answered, or that it is not there."""
        form = "chart" if isinstance(self.what, Chart) else "table"
        return _wrong(form, key, reason, self.lines.get(key, self.lines[""]))


class Answer(NamedTuple):
    """What stands in the place of a block."""

    title: str
    rows: list[int]
    columns: list[tables.Column]
    kind: Kind | None
    """Of a chart."""
    fields: list[Field]
    """That a chart draws."""
    telling: list[Importance]
    """Of a chart of kind importance."""


# --- reading -------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):  # they let a few lines be read for hours
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="an alias has no place here", problem_mark=mark)
        return super().compose_node(parent, index)


def parse(text: str) -> Asked:
    """Returns what a block asks for.

    Raises:
        Wrong: it is no YAML, or asks for something that there is not.
    """
    if len(text) > _LIMIT:
        raise Wrong(f"the block is longer than {_LIMIT:,} characters", 0)
    try:
        loader = _Loader(text)
        document = loader.get_single_node()
    except (yaml.YAMLError, RecursionError) as error:
        raise Wrong(f"it cannot be read: {_reason(error)}", _line(text, _place(error))) from error
    if document is not None and not isinstance(document, yaml.MappingNode):
        raise Wrong("it cannot be read: it has to say `table:` or `chart:`, and what of it", 0)
    forms = _pairs(text, "", document) if document else {}
    form = next(iter(forms), "")
    if len(forms) != 1 or form not in _FORMS:
        raise Wrong("it has to say `table:` or `chart:`, and what of it", 0)
    line, content = forms[form]
    if not isinstance(content, yaml.MappingNode):
        raise _wrong(form, "", "it has to say of what", line)
    values, lines = _values(text, form, content, loader)
    if form == "chart" and "kind" not in values:
        raise _wrong(form, "", f"it has to say `kind:` ({_KINDS})", line)
    return Asked(_FORMS[form](**values), {"": line, **lines})


def _values(
    text: str, form: str, content: yaml.MappingNode, loader: _Loader
) -> tuple[dict[str, Any], dict[str, int]]:
    """Returns what a table or chart says, and in which lines, both by key."""
    values, lines = {}, {}
    known = {field.name: field.type for field in msgspec.structs.fields(_FORMS[form])}
    for key, (line, node) in _pairs(text, form, content).items():
        if key not in known:
            reason = f"unknown key {key[:60]!r} ({', '.join(known)})"
            raise _wrong(form, "", reason, line)
        lines[key] = line
        try:
            values[key] = msgspec.convert(loader.construct_object(node, deep=True), known[key])
        except (yaml.YAMLError, ValueError) as error:
            if key == "kind" and isinstance(node, yaml.ScalarNode):
                reason = f"unknown kind {node.value[:60]!r} ({_KINDS})"
                raise _wrong(form, "", reason, line) from error
            raise _wrong(form, key, _MEANT.get(key, _TEXT), line) from error
    return values, lines


def _wrong(form: str, key: str, reason: str, line: int) -> Wrong:
    return Wrong(": ".join(part for part in (form, key, reason) if part), line)


def _pairs(text: str, form: str, node: yaml.MappingNode) -> dict[str, tuple[int, yaml.Node]]:
    """Returns the values of a mapping with the lines of their keys."""
    found: dict[str, tuple[int, yaml.Node]] = {}
    for key, value in node.value:
        line = _line(text, key.start_mark.index)
        if not isinstance(key, yaml.ScalarNode):
            raise _wrong(form, "", "a key has to be a word", line)
        if key.value in found:
            raise _wrong(form, key.value[:60], "it stands here twice", line)
        found[key.value] = line, value
    return found


def _line(text: str, index: int) -> int:
    # YAML's own count takes more characters for the end of a line than editors do.
    return text.count("\n", 0, min(index, len(text.rstrip())))


def _place(error: Exception) -> int:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        return mark.index if mark else 0
    return error.position if isinstance(error, yaml.reader.ReaderError) else 0


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "brackets stand in brackets too often"
    if isinstance(error, yaml.MarkedYAMLError):
        return ", ".join(part for part in (error.context, error.problem) if part)[:300]
    return " ".join(str(error).split())[:300]


# --- answering -----------------------------------------------------------------------------


def answer(site: Site, asked: Asked) -> Answer:
    """Returns the runs that a block asks for, with what is said of each.

    Raises:
        Wrong: there is no such experiment or field, or a condition cannot be read.
    """
    what = asked.what
    kind = what.kind if isinstance(what, Chart) else None
    where = _read(asked, "where", query.parse, what.where)
    sort = _read(asked, "sort", query.parse_sort, what.sort)
    named = [_read(asked, "columns", query.parse_field, text) for text in what.columns]
    drawn = _drawn(asked)
    if not 1 <= what.limit <= _ROWS:
        raise asked.wrong("limit", f"it is from 1 to {_ROWS}")
    rows = _rows(site, asked)

    def value(row: int, field: Field) -> Any:
        return tables.value(site, row, field)

    matching = [row for row in rows if where.matches([value(row, f) for f in where.fields])]
    chosen = query.sort_rows(matching, sort, value)[: what.limit]
    for key, field in drawn:
        if chosen and all(value(row, field) is None for row in chosen):
            raise asked.wrong(key, f"no run here has {field}")
    fields = [field for _, field in drawn]
    title, found = what.title, []
    if isinstance(what, Chart) and what.kind == "curves":
        title = title or what.metric
    if isinstance(what, Chart) and what.kind == "importance":
        title = title or f"What {what.metric} depends on"
        table = tables.build(site, chosen, True, None)
        found = importance.telling(table, tables.column(site, chosen, fields[0]).values)
        fields += [Field("param", each.param) for each in found[: importance.SHOWN]]
    columns = [tables.column(site, chosen, field) for field in dict.fromkeys(named or fields)]
    if not columns:
        table = tables.build(site, chosen, what.experiment is not None, None)
        columns = [table.columns[place] for place in table.shown]
    columns = [column for column in columns if column.field != Field("attribute", "name")]
    return Answer(title, chosen, columns, kind, fields, found)


def _read(asked: Asked, key: str, parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except QueryError as error:
        reason, _, _ = error.message.partition("\n")
        raise asked.wrong(key, f"{reason} ({error.hint})" if error.hint else reason) from error


def _rows(site: Site, asked: Asked) -> list[int]:
    experiment = asked.what.experiment
    if experiment is None:
        return [row for row, is_deleted in enumerate(site.deleted) if not is_deleted]
    for each in site.experiments:
        if experiment == each.title or experiment in each.names:
            return each.rows
    raise asked.wrong("experiment", f"there is no experiment {experiment[:60]!r} here")


def _drawn(asked: Asked) -> list[tuple[str, Field]]:
    """Returns the fields that a chart draws, with the keys that ask for them; none of a table."""
    chart = asked.what
    if not isinstance(chart, Chart):
        return []
    needed = _NEEDED[chart.kind]
    if not all(getattr(chart, key) for key in needed):
        raise asked.wrong("", f"kind {chart.kind} needs {' and '.join(needed)}")
    if chart.kind == "parallel" and len(chart.columns) < 2:
        raise asked.wrong("columns", "kind parallel needs two or more")
    if "metric" in needed:
        return [("metric", Field("metric", chart.metric, "last"))]
    texts = [(key, getattr(chart, key)) for key in needed]
    if chart.kind == "parallel":
        texts = [("columns", text) for text in chart.columns]
    return [(key, _read(asked, key, query.parse_field, text)) for key, text in texts]
