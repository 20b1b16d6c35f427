"""A site as it is without what the rules of redaction name. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from mlgit.ledger.index import Table
from mlgit.registry import Model
from mlgit.site.gather import UNTITLED, Experiment, Site
from mlgit.site.redact import Redactor

_PLAIN = ("id", "status", "started", "ended", "duration", "commit", "parent", "deleted")


def people(site: Site) -> list[tuple[str, str]]:
    """Returns name and mail address of those who made runs or git tags of the registry.

    In the order of their first run, and then of the tags.
    """
    attributes = site.table.attributes
    runs = reversed([*zip(attributes["user"], attributes["email"], strict=True)])
    tags = ((event.by, event.email) for model in site.models for event in model.events)
    return list(dict.fromkeys([*runs, *tags]))


def redacted(site: Site, redactor: Redactor) -> Site:
    """Returns the site without what the rules name: the one place where its values meet them."""
    titles: dict[str, str] = {}
    names: dict[str, str] = {}
    for experiment in site.experiments:
        _rename(redactor, titles, [experiment.title])
        _rename(redactor, names, experiment.names)
    attributes = {
        name: column if name in _PLAIN else redactor.value(column)
        for name, column in site.table.attributes.items()
    }
    attributes["experiment"] = [names[name] for name in site.table.attributes["experiment"]]
    values: dict[tuple[str, str], dict[int, Any]] = {}
    for (kind, key), of_row in site.table.values.items():
        new = redactor.unique((kind, redactor.text(key)), values)
        values[new] = of_row if kind == "metric" else redactor.value(of_row)
    experiments = [
        Experiment(
            title=titles[each.title],
            names=[names[name] for name in each.names],
            description=redactor.value(each.description),
            tags=redactor.mapping(each.tags),
            rows=each.rows,
            gone=each.gone,
            hidden=each.hidden,
        )
        for each in site.experiments
    ]
    own = {
        "root",
        "folders",
        "of_row",
        "deleted",
        "left_out",
        "tags",
        "table",
        "experiments",
        "models",
    }
    others = {
        field.name: redactor.value(getattr(site, field.name))
        for field in dataclasses.fields(site)
        if field.name not in own
    }
    if redactor.takes("remotes") and site.choice.title is None:
        others["title"] = UNTITLED  # else it is the end of the remote's address
    table = Table(site.table.ids, attributes, values)
    return dataclasses.replace(
        site,
        table=table,
        experiments=experiments,
        models=_models(site.models, redactor),
        **others,
    )


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


def _rename(redactor: Redactor, known: dict[str, str], names: Iterable[str]) -> None:
    for name in names:
        known[name] = redactor.unique(redactor.text(name), known.values())
