"""A site as it is without what the rules of redaction name. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from mlgit.data.hashing import is_md5
from mlgit.ledger.index import Table
from mlgit.registry import Model
from mlgit.registry.approvals import Approval
from mlgit.site.flow import Content, Flow, Release, datasets, tag
from mlgit.site.gather import UNTITLED, Experiment, Site
from mlgit.site.redact import Redactor

_PLAIN = ("id", "status", "started", "ended", "duration", "commit", "snapshot", "parent", "deleted")
# Parts of a site that are ids and positions, or that have a way of their own here.
_OWN = {
    "root",
    "folders",
    "of_row",
    "deleted",
    "left_out",
    "tags",
    "table",
    "experiments",
    "models",
    "approvals",
    "flow",
}


def people(site: Site) -> list[tuple[str, str]]:
    """Returns name and mail address of those who made runs or git tags of the registry.

    In the order of their first run, and then of the tags: those of events, and approvals.
    """
    attributes = site.table.attributes
    runs = reversed([*zip(attributes["user"], attributes["email"], strict=True)])
    tags = ((event.by, event.email) for model in site.models for event in model.events)
    said = ((each.by, each.email) for every in site.approvals.values() for each in every)
    return list(dict.fromkeys([*runs, *tags, *said]))


def redacted(site: Site, redactor: Redactor) -> Site:
    """Returns the site without what the rules name: the one place where its values meet them."""
    titles: dict[str, str] = {}
    names: dict[str, str] = {}
    for experiment in site.experiments:
        _rename(redactor, titles, [experiment.title])
        _rename(redactor, names, experiment.names)
    experiments = [
        Experiment(
            title=titles[each.title],
            names=[names[name] for name in each.names],
            description=redactor.value(each.description),
            tags=redactor.mapping(each.tags),
            rows=each.rows,
            gone=each.gone,
            hidden=each.hidden,
            # One that tells what is withheld would find something else.
            views={
                n: view for n, view in each.views.items() if redactor.value((n, view)) == (n, view)
            },
        )
        for each in site.experiments
    ]
    others = {
        field.name: redactor.value(getattr(site, field.name))
        for field in dataclasses.fields(site)
        if field.name not in _OWN
    }
    if redactor.takes("remotes") and site.choice.title is None:
        others["title"] = UNTITLED  # else it is the end of the remote's address
    models = _models(site.models, redactor)
    return dataclasses.replace(
        site,
        table=_table(site.table, names, redactor),
        experiments=experiments,
        models=models,
        approvals=_approvals(site, models, redactor),
        flow=_flow(site.flow, site.models, models, redactor),
        **others,
    )


def _table(table: Table, names: dict[str, str], redactor: Redactor) -> Table:
    """Returns the table; `names` are the new ones of experiments."""
    attributes = {
        name: column if name in _PLAIN else redactor.value(column)
        for name, column in table.attributes.items()
    }
    attributes["experiment"] = [names[name] for name in table.attributes["experiment"]]
    values: dict[tuple[str, str], dict[int, Any]] = {}
    for (kind, key), of_row in table.values.items():
        new = redactor.unique((kind, redactor.text(key)), values)
        values[new] = of_row if kind == "metric" else redactor.value(of_row)
    return Table(table.ids, attributes, values)


def _models(models: list[Model], redactor: Redactor) -> list[Model]:
    """Returns the models; their names stay apart, and numbers of versions stay as they are."""
    titles: dict[str, str] = {}
    names: dict[str, str] = {}
    found = []
    for old in models:
        _rename(redactor, titles, [old.title])
        _rename(redactor, names, [old.name])
        model: Model = redactor.value(old)
        model.name, model.title = names[old.name], titles[old.title]
        for version, before in zip(model.versions, old.versions, strict=True):
            version.model, version.version = model.title, before.version
        model.events = [
            event._replace(name=event.name._replace(version=before.name.version))
            for event, before in zip(model.events, old.events, strict=True)
        ]
        found.append(model)
    return found


def _approvals(site: Site, models: list[Model], redactor: Redactor) -> dict[str, list[Approval]]:
    """Returns what was said of the models, by their new names; versions and ids stay."""
    found = {}
    for old, new in zip(site.models, models, strict=True):
        found[new.name] = [
            redactor.value(each)._replace(
                name=each.name._replace(model=new.name, stage=redactor.text(each.name.stage))
            )
            for each in site.approvals[old.name]
        ]
    return found


def _flow(flow: Flow, old: list[Model], new: list[Model], redactor: Redactor) -> Flow:
    """Returns what runs used and made. Hashes stay; an address is its own name, and does not."""
    keys: dict[str, str] = {}
    _rename(redactor, keys, [key for key in flow.contents if not is_md5(key)])

    def renamed(found: Iterable[str]) -> dict[str, None]:
        return {keys.get(key, key): None for key in found}

    releases = {
        tag(model, version): (after, now)
        for model, after in zip(old, new, strict=True)
        for version, now in zip(model.versions, after.versions, strict=True)
    }

    def again(found: Iterable[Release]) -> list[Release]:
        return [releases[tag(*release)] for release in found]

    contents = {}
    for key, content in flow.contents.items():
        redacted: Content = redactor.value(content._replace(hash=""))
        contents[keys.get(key, key)] = redacted._replace(hash=keys.get(key, key))
    return dataclasses.replace(
        flow,
        contents=contents,
        datasets=datasets(contents),
        inputs=[*map(renamed, flow.inputs)],
        outputs=[*map(renamed, flow.outputs)],
        held=[(folder, file, redactor.value(path)) for folder, file, path in flow.held],
        dependents={keys.get(key, key): again(found) for key, found in flow.dependents.items()},
        of_row={row: again(found) for row, found in flow.of_row.items()},
        releases={tag(*release): release for release in releases.values()},
    )


def _rename(redactor: Redactor, known: dict[str, str], names: Iterable[str]) -> None:
    for name in names:
        known[name] = redactor.unique(redactor.text(name), known.values())
