"""The page of a run: everything it recorded, and its data for charts and comparisons."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
from markupsafe import Markup

from mlgit import names, query
from mlgit.ledger.index import flat_params
from mlgit.ledger.walk import Problem
from mlgit.query import PARTS
from mlgit.records import Fact, History, Metric, Pointer, Points, Run
from mlgit.saved import SYSTEM
from mlgit.site import (
    curves,
    goals,
    markdown,
    neighbours,
    patch,
    previews,
    svg,
    tables,
    urls,
)
from mlgit.site.gather import Site
from mlgit.site.pages import code, common, registered
from mlgit.site.whole import Source, Whole
from mlgit.site.write import Unit


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields a unit for every run, deleted ones too."""
    around = _around(site)
    for row, folder in enumerate(site.folders):
        beside, view = around[row], neighbours.of_run(site, row)
        here = source.here(site.flow.outputs[row])
        key = common.key("run", folder.sha, site.title, site.deleted[row], beside, view, here)
        yield Unit(f"run/{folder.run_id}", key, partial(_files, site, source, row, beside, view))


class Around(NamedTuple):
    """What a run's page says of others."""

    experiment: str
    url: str
    newer: str | None
    older: str | None
    parent: tuple[str, str] | None
    """Id and label."""
    parts: list[tuple[str, str, str]]
    """Of the runs whose parent it is: id, label, status; the newest first."""
    versions: list[registered.VersionLink]
    """Of models, that were registered from it."""
    code: str | None
    """The tree of its code, if that is here."""
    change: str | None
    """Where what changed in it since the run before is to be seen; "" if nothing did."""


_PARTS_SHOWN = 200


def _around(site: Site) -> list[Around]:
    ids = site.table.ids
    position = {run_id: row for row, run_id in enumerate(ids)}
    newer: dict[int, str] = {}
    older: dict[int, str] = {}
    for experiment in site.experiments:
        for first, second in pairwise(experiment.rows):
            newer[second], older[first] = ids[first], ids[second]
    changes = code.since_the_run_before(site, code.pairs(site))
    parts: dict[int, list[tuple[str, str, str]]] = {}
    parents: dict[int, tuple[str, str]] = {}
    for row, parent in enumerate(site.table.attributes["parent"]):
        above = position.get(parent)
        if above is not None and not site.deleted[row]:
            status = site.table.attributes["status"][row]
            parts.setdefault(above, []).append((ids[row], site.label(row), status))
            parents[row] = (ids[above], site.label(above))
    versions = registered.of_runs(site)
    return [
        Around(
            experiment=site.experiment(row).title,
            url=site.experiment(row).url,
            newer=newer.get(row),
            older=older.get(row),
            parent=parents.get(row),
            parts=parts.get(row, [])[:_PARTS_SHOWN],
            versions=versions.get(ids[row], []),
            code=site.code_of[row].tree if row in site.code_of else None,
            change=changes.get(row),
        )
        for row in range(len(ids))
    ]


def _files(
    site: Site, source: Source, row: int, around: Around, view: neighbours.View
) -> Iterator[tuple[str, bytes]]:
    whole = source.whole(site.folders[row])
    url = urls.run(site.table.ids[row])
    if isinstance(whole, Problem):  # damaged between gathering and now
        yield common.page(site, "missing.html", url, "A run", problem=whole.message)
        return
    run = whole.run
    shown = [previews.preview(source, whole, pointer) for pointer in artifacts(run)]
    for each in shown:
        if each.file:
            yield each.file
        if each.chart is not None:
            md5 = str(each.pointer.md5)
            yield urls.chart_data(md5), common.script(f"chart/{md5}", each.chart)
    if whole.environment is not None and run.environment:
        content = _environment(whole.environment)
        name = f"environment/{run.environment}"
        yield urls.environment_data(run.environment), common.script(name, content)
    few = curves.reduced(whole.history)
    content = _data(whole, around, few, site.deleted[row])
    yield urls.run_data(run.id), common.script(f"run/{run.id}", content)
    context = _context(site, source, whole, around, shown, few)
    context["deleted"] = site.deleted[row]
    context["picture"] = view.draw()
    yield common.page(site, "run.html", url, run.name or run.id[:10], **context)


def artifacts(run: Run) -> list[Pointer]:
    """Returns what is shown of what a run made; the console has a place of its own."""
    return [pointer for pointer in run.artifacts if pointer.path != names.CONSOLE_FILE]


# --- what the page shows -----------------------------------------------------------------


class MetricRow(NamedTuple):
    key: str
    metric: Metric
    picture: Markup
    extent: tuple[str, str, str, str]


def _context(
    site: Site,
    source: Source,
    whole: Whole,
    around: Around,
    shown: list[previews.Preview],
    few: History,
) -> dict[str, Any]:
    run = whole.run
    here = [_metric(key, metric, few.get(key)) for key, metric in run.metrics.items()]
    mine = [metric for metric in here if not metric.key.startswith(SYSTEM)]
    work = source.patch(run)
    console = whole.files.get(names.CONSOLE_FILE)
    to_run = partial(common.run_url, site)
    return {
        "run": run,
        "around": around,
        "params": [(key, value) for key, value in flat_params(run.params) if not _inner(value)],
        "metrics": mine,
        "curves": [metric for metric in mine if metric.picture],
        "system": [metric for metric in here if metric.key.startswith(SYSTEM)],
        "note": markdown.to_html(run.note, to_run) if run.note else None,
        "inputs": [(pointer, common.data_url(site, pointer)) for pointer in run.inputs],
        "artifacts": shown,
        "code": patch.parse(work.text) if work else None,
        "code_cut": bool(work and work.cut),
        "command_line": _command(run),
        "console": console.decode(errors="replace") if console else None,
        "environment": whole.environment,
        "machine": _machine(whole.environment or {}),
        "packages": _packages(whole.environment or {}),
        "facts": [_told(fact) for fact in whole.facts],
        "problems": whole.problems,
        "data_url": urls.run_data(run.id),
        "folder": names.run_folder(run.id),
    }


def _inner(value: Any) -> bool:
    return isinstance(value, dict) and bool(value)


def _metric(key: str, metric: Metric, few: Points | None) -> MetricRow:
    if few is None:
        return MetricRow(key, metric, Markup(""), ("", "", "", ""))
    return MetricRow(key, metric, svg.curve(few), svg.extent(few))


def _command(run: Run) -> str | None:
    if not run.source.entry:
        return None
    return " ".join(["python", shlex.quote(run.source.entry), *map(shlex.quote, run.source.argv)])


def _machine(environment: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns what the run ran on, as far as it says so in the way that we do."""
    found = {key: value for key, value in environment.items() if isinstance(value, dict)}
    python, platform, hardware = (found.get(key, {}) for key in ("python", "platform", "hardware"))
    memory = hardware.get("memory")
    gpus = hardware.get("gpus") if isinstance(hardware.get("gpus"), list) else []
    rows = [
        ("Python", _words(python, "implementation", "version")),
        ("System", _words(platform, "system", "release", "machine")),
        ("Processor", _words(hardware, "cpu")),
        ("Cores", _words(hardware, "cores")),
        ("Memory", f"{memory / 1e9:.1f} GB" if isinstance(memory, int) else ""),
        ("GPU", ", ".join(str(gpu.get("name")) for gpu in gpus or () if isinstance(gpu, dict))),
    ]
    return [(name, value) for name, value in rows if value]


def _words(part: dict[str, Any], *keys: str) -> str:
    return " ".join(str(part[key]) for key in keys if part.get(key) is not None)


def _packages(environment: dict[str, Any]) -> list[tuple[str, str]]:
    found = environment.get("packages")
    if not isinstance(found, dict):
        return []
    return sorted((str(name), str(version)) for name, version in found.items())


class Told(NamedTuple):
    """One later fact, as a sentence."""

    time: str
    by: str
    what: str
    detail: str


def _told(fact: Fact) -> Told:
    data = {key: value for key, value in fact.data.items() if isinstance(value, str)}
    key, value = data.get("key", ""), data.get("value", "")
    what, detail = {
        "note": ("wrote the note", data.get("text", "")),
        "tag": ("tagged", f"{key}={value}" if value else key),
        "untag": ("removed the tag", key),
        "rename": ("renamed it to", data.get("name", "")),
        "delete": ("deleted the run", ""),
        "restore": ("restored the run", ""),
        "params": ("added params", ""),
        "metrics": ("added metrics", ""),
        "artifact": ("added an artifact", ""),
        "input": ("added an input", ""),
        "resume": ("took the run up again", data.get("status", "")),
    }.get(fact.kind, (f"said: {fact.kind}", ""))
    return Told(fact.time, fact.by.name, what, detail)


# --- what scripts read -------------------------------------------------------------------


def _data(whole: Whole, around: Around, few: History, deleted: bool) -> bytes:
    run = whole.run
    return msgspec.json.encode(
        {
            "id": run.id,
            "name": run.name,
            "experiment": around.experiment,
            "status": run.status,
            "started": run.started,
            "duration": run.duration,
            "by": run.by.name,
            "deleted": deleted,
            "older": around.older,
            "parent": around.parent[0] if around.parent else None,
            "note": run.note,
            "params": {
                key: _distinct(value) for key, value in flat_params(run.params) if not _inner(value)
            },
            "metrics": {
                key: [tables.encode(getattr(metric, part)) for part in PARTS]
                for key, metric in run.metrics.items()
            },
            "goals": {key: goal for key in run.metrics if (goal := goals.goal(key))},
            "tags": {key: _distinct(value) for key, value in run.tags.items()},
            "inputs": [_pointer(pointer) for pointer in run.inputs],
            "outputs": [_pointer(pointer) for pointer in artifacts(run)],
            "commit": run.source.commit,
            "snapshot": run.source.snapshot,
            "code": around.code,
            "branch": run.source.branch,
            "arguments": _distinct(" ".join(run.source.argv) or None),
            "command": _command(run),
            "environment": run.environment if whole.environment is not None else None,
            "curves": {key: curves.encode(points) for key, points in few.items()},
        }
    )


def _distinct(value: Any) -> Any:
    """Returns a value as the browser gets it; of a text that is cut, what tells it from others."""
    encoded = tables.encode(value)
    text = query.text_of(value) if isinstance(value, (str, list, dict)) else ""
    if len(text) <= tables.TEXT_LIMIT:
        return encoded
    digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:10]
    mark = f" ({len(text):,} characters, {digest})"
    return encoded + mark if isinstance(encoded, str) else [encoded[0], encoded[1] + mark]


def _pointer(pointer: Pointer) -> list[Any]:
    return [pointer.name or pointer.path, pointer.path, pointer.md5 or pointer.url, pointer.size]


def _environment(environment: dict[str, Any]) -> bytes:
    return msgspec.json.encode(
        {key: _distinct(value) for key, value in flat_params(environment) if not _inner(value)}
    )
