"""The page of all data: every dataset with its versions, and who used them last."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

from mlgit.site import profile, urls
from mlgit.site.flow import Dataset, called
from mlgit.site.gather import Site
from mlgit.site.pages import common
from mlgit.site.whole import Source
from mlgit.site.write import Unit

SHOWN = 500  # datasets
VERSIONS = 6  # of one


class Row(NamedTuple):
    """A version of a dataset."""

    hash: str
    size: int | None
    files: int | None
    kept: bool
    shape: tuple[int | None, int | None]
    """Rows and columns, as its profile says."""
    runs: int
    first: str
    last: str
    roles: list[str]
    releases: int
    """Registered versions that depend on it."""


class Listed(NamedTuple):
    name: str
    rows: list[Row]
    more: int
    """Versions that are not shown."""


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields the one page, if there are data."""
    if not site.flow.datasets:
        return

    def make() -> Iterator[tuple[str, bytes]]:
        listed = [_listed(site, source, dataset) for dataset in site.flow.datasets[:SHOWN]]
        yield urls.DATA_CSV, as_csv(site)
        yield common.page(
            site,
            "data.html",
            urls.DATA,
            "Data",
            listed=listed,
            count=len(site.flow.datasets),
            versions=sum(len(dataset.versions) for dataset in site.flow.datasets),
            unseen=len(site.flow.closed),
        )

    dependents = {key: len(found) for key, found in site.flow.dependents.items()}
    key = common.key("data", site.root, site.title, sorted(dependents.items()), site.flow.closed)
    yield Unit("data", key, make)


def _listed(site: Site, source: Source, dataset: Dataset) -> Listed:
    rows = [
        _row(site, dataset.name, key)._replace(shape=_shape(site, source, key))
        for key in dataset.versions[:VERSIONS]
    ]
    return Listed(dataset.name, rows, max(0, len(dataset.versions) - VERSIONS))


def _row(site: Site, name: str, key: str) -> Row:
    content, started = site.flow.contents[key], site.table.attributes["started"]
    used = [touch for touch in content.used if called(touch) == name]
    rows = {touch.row for touch in used}
    return Row(
        hash=key,
        size=content.size,
        files=content.files,
        kept=content.kept,
        shape=(None, None),
        runs=len(rows),
        first=started[max(rows)],
        last=started[min(rows)],
        roles=sorted({touch.role for touch in used if touch.role}),
        releases=len(site.flow.dependents.get(key, ())),
    )


def _shape(site: Site, source: Source, key: str) -> tuple[int | None, int | None]:
    folder = site.flow.profiles.get(key)
    stored = source.profile(folder) if folder else None
    return profile.shape(stored) if stored else (None, None)


def as_csv(site: Site) -> bytes:
    """Returns every version of every dataset as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    facts = ("size", "files", "kept", "runs", "first used", "last used", "as", "versions of models")
    writer.writerow(("dataset", "hash", *facts))
    for dataset in site.flow.datasets:
        for key in dataset.versions:
            row = _row(site, dataset.name, key)
            kept = "yes" if row.kept else "hash only"
            counts = (row.size, row.files, kept, row.runs, row.first, row.last)
            writer.writerow((dataset.name, key, *counts, " ".join(row.roles), row.releases))
    return buffer.getvalue().encode(errors="replace")
