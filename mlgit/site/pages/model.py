"""The page of a model: its card, its versions side by side, and who did what to it when."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from mlgit.records import Pointer, Run
from mlgit.registry import Model, Version
from mlgit.site import markdown, svg_timeline, urls
from mlgit.site.gather import Site
from mlgit.site.pages import common, registered
from mlgit.site.whole import Source
from mlgit.site.write import Unit

BESIDE = 8  # versions in the table of metrics and params
LISTED = 40  # versions with a row of their own; the others are links
HISTORY = 300  # events


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields a unit for every model."""
    for model in site.models:
        runs = [
            (site.folders[row].sha, site.deleted[row], site.label(row), site.experiment(row).title)
            for version in model.versions[:LISTED]
            if version.run and (row := site.find(version.run)) is not None
        ]
        said = [(each.tag, each.sha) for each in site.approvals[model.name]]
        key = common.key("model", registered.state(model), runs, said)
        yield Unit(f"model/{model.name}", key, partial(_files, site, source, model))


def _files(site: Site, source: Source, model: Model) -> Iterator[tuple[str, bytes]]:
    context = _context(site, source, model)
    yield common.page(site, "model.html", urls.model(model.name), model.title, **context)


class VersionRow(NamedTuple):
    """A version, and where it comes from."""

    version: Version
    link: registered.VersionLink
    run: common.RunLink | None
    record: Run | None
    inputs: list[tuple[Pointer, str | None]]
    """Of the run, with the pages of the data."""
    signature: str | None
    said: list[registered.Said]


def row_of(
    site: Site, source: Source, model: Model, version: Version, said: list[registered.Said]
) -> VersionRow:
    row = site.find(version.run) if version.run else None
    event = registered.register_event(model, version)
    record = None if row is None else source.run(site.folders[row])
    return VersionRow(
        version=version,
        link=registered.link(model, version),
        run=None if row is None else common.link(site, row),
        record=record,
        inputs=[(each, common.data_url(site, each)) for each in record.inputs] if record else [],
        signature=event.signature if event else None,
        said=said,
    )


def _context(site: Site, source: Source, model: Model) -> dict[str, Any]:
    said = registered.approvals(site, model)
    rows = [
        row_of(site, source, model, version, said[version.version])
        for version in model.versions[:LISTED]
    ]
    beside = [row for row in rows if not row.version.withdrawn][:BESIDE]
    latest = model.latest
    shown = next((row for row in rows if row.version is latest), None)
    event = registered.register_event(model, latest) if latest else None
    describe = partial(common.run_url, site)
    return {
        "model": model,
        "description": markdown.to_html(model.description, describe) if model.description else None,
        "held": registered.held(model),
        "timeline": svg_timeline.timeline(model),
        "rows": rows,
        "others": [registered.link(model, version) for version in model.versions[LISTED:]],
        "beside_rows": beside,
        "compared": registered.compared(site, [row.version for row in beside]),
        "comparison": registered.comparison(site, [row.version for row in beside[::-1]]),
        "history": registered.events(model, model.events)[:HISTORY],
        "commands": registered.commands(latest, event, shown and shown.record) if latest else [],
        "deprecation": model.deprecation,
    }
