"""The page of all runs: one table over every experiment."""

from __future__ import annotations

from collections.abc import Iterator

from mlgit.site import tables, urls
from mlgit.site.gather import Site
from mlgit.site.pages import common
from mlgit.site.pages.experiment import static_rows
from mlgit.site.whole import Source
from mlgit.site.write import Unit


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields the one unit of the table, which depends on every run."""

    def make() -> Iterator[tuple[str, bytes]]:
        rows = [row for row, is_deleted in enumerate(site.deleted) if not is_deleted]
        table = tables.build(site, rows, len(site.experiments) == 1, None)
        yield urls.RUNS_DATA, common.script("runs", tables.data(table))
        yield urls.RUNS_CSV, tables.as_csv(table)
        yield common.page(
            site,
            "runs.html",
            urls.RUNS,
            "All runs",
            table=table,
            static=static_rows(site, table),
            data_name="runs",
            data_url=urls.RUNS_DATA,
            csv_url=urls.RUNS_CSV,
        )

    yield Unit("runs", common.key("runs", site.root, site.title), make)
