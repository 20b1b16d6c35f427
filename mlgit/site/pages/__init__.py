"""The pages: for each kind a module whose `units` says what files there are and how they are made.

Pure but for what a unit reads when it is made. A new kind of page is a new file here.
"""

from __future__ import annotations

from collections.abc import Iterator

from mlgit.site.gather import Site
from mlgit.site.pages import (
    about,
    assets,
    code,
    common,
    compare,
    data,
    dataset,
    deleted,
    experiment,
    home,
    live,
    lookup,
    model,
    models,
    report,
    run,
    runs,
    version,
)
from mlgit.site.whole import Source
from mlgit.site.write import Unit

KINDS = (
    *(assets, home, experiment, runs, run, compare, code, report, models, model, version),
    *(data, dataset, lookup, deleted, about),
)


def units(site: Site, source: Source, served: bool = False) -> Iterator[Unit]:
    """Yields everything the site consists of, with a key for all that each depends on.

    `served` adds what only a server of ours can answer.
    """
    for kind in (*KINDS, live) if served else KINDS:
        for unit in kind.units(site, source):
            yield unit._replace(key=common.key(unit.key, site.frame))
