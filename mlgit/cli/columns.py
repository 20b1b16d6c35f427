"""The columns of run tables: which are worth showing, what they are called, how cells read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from mlgit import query, saved
from mlgit.cli import output
from mlgit.query import Field
from mlgit.records import Run, View

_FIXED = ("id", "experiment", "name", "status", "started", "duration")
_ITSELF = (Field("attribute", "id"), Field("attribute", "name"))
_HEADINGS = {"id": "RUN", "duration": "TOOK"}
_PARAMS_SHOWN = 6


def all_fields(runs: Sequence[Run]) -> list[Field]:
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


def headings(fields: Sequence[Field]) -> list[str]:
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


def default_fields(runs: Sequence[Run], named: Sequence[Field], one_group: bool) -> list[Field]:
    """Returns what is worth a column: of the params, those in which the runs differ.

    What was asked for by `--where` or `--sort` comes first, where a narrow terminal shows it.
    """
    unneeded = {"experiment"} if one_group else set()
    unneeded |= {"name"} if not any(run.name for run in runs) else set()
    fields = [Field("attribute", name) for name in _FIXED if name not in unneeded]
    fields += [*named, *metrics(runs), *_varying(runs)[:_PARAMS_SHOWN]]
    return list(dict.fromkeys(fields))


def in_view(fields: Sequence[Field], view: View) -> list[Field]:
    """Returns columns as the site has them in a view: its pinned ones first, but for the run
    itself, and metrics of which the last value is not asked for by the part that it shows.
    """
    pins = [query.parse_field(pin) for pin in view.pins]
    first = [field for field in fields if pins and field in _ITSELF]
    ordered = dict.fromkeys([*first, *pins, *fields])
    if view.part not in query.PARTS:
        return list(ordered)
    parts = [f._replace(part=view.part) if f.part == "last" else f for f in ordered]
    return list(dict.fromkeys(parts))


def by_importance(fields: Sequence[Field]) -> list[int]:
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


def metrics(runs: Sequence[Run], named: Sequence[Field] = ()) -> list[Field]:
    """Returns the metrics of the runs, those that more of them have first."""
    often = Counter(key for run in runs for key in run.metrics if not key.startswith(saved.SYSTEM))
    fields = [Field("metric", key, "last") for key, _ in often.most_common()]
    return list(dict.fromkeys([*(field for field in named if field.kind == "metric"), *fields]))


def cells(field: Field, column: Sequence[Any], runs: Sequence[Run]) -> list[str]:
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
