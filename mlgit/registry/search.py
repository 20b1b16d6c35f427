"""Conditions on versions: the language of `mlgit log --where` over model, version and run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mlgit import query, saved
from mlgit.ledger import Ledger
from mlgit.records import Run
from mlgit.registry.fold import Model, Version

ATTRIBUTES = (
    *("model", "version", "stage", "alias", "registered", "by", "email", "run", "hash"),
    *("description", "experiment"),
)


def search(ledger: Ledger, models: Iterable[Model], where: str) -> Iterator[tuple[Model, Version]]:
    """Yields the versions, not withdrawn, for which a condition holds.

    `params` and `metrics` are those of the version's run, `tags` the version's own, then
    the model's, then the run's. A version without a run in the ledger has none of them.

    Raises:
        QueryError: the condition cannot be read.
    """
    condition = query.parse(where, ATTRIBUTES)
    pairs = [(model, version) for model in models for version in model.present]
    needs_runs = any(
        field.kind in ("param", "metric", "tag") or field.key == "experiment"
        for field in condition.fields
    )
    runs = runs_of(ledger, [version for _, version in pairs]) if needs_runs else {}
    for model, version in pairs:
        run = runs.get(version.run or "")
        if condition.matches([_value(field, model, version, run) for field in condition.fields]):
            yield model, version


def runs_of(ledger: Ledger, versions: Iterable[Version]) -> dict[str, Run]:
    """Returns the runs that versions come from, by id, as far as the ledger has them."""
    ids = sorted({version.run for version in versions if version.run})
    if not ids or not ledger.exists:
        return {}
    return {run.id: run for run in saved.load(ledger, ids)}


def _value(field: query.Field, model: Model, version: Version, run: Run | None) -> Any:
    if field.kind == "tag":
        every = {**(run.tags if run else {}), **model.tags, **version.tags}
        return every.get(field.key)
    if field.kind != "attribute":
        return saved.value(run, field) if run else None
    return {
        "model": model.title,
        "version": version.short,
        "stage": version.stage,
        "alias": ", ".join(version.aliases) or None,
        "registered": version.time,
        "by": version.by,
        "email": version.email,
        "run": version.run,
        "hash": version.hash,
        "description": version.description or model.description,
        "experiment": run.experiment if run else None,
    }[field.key]
