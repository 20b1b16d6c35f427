"""What the site was made from, how to check it, and whose software it brings along."""

from __future__ import annotations

from collections.abc import Iterator

from mlgit import __version__
from mlgit.site import urls
from mlgit.site.gather import Site
from mlgit.site.pages import common
from mlgit.site.redact import SAID
from mlgit.site.whole import Source
from mlgit.site.write import Unit

PROBLEMS_SHOWN = 200


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields the one page."""
    tagged = sum(len(model.events) for model in site.models)

    def make() -> Iterator[tuple[str, bytes]]:
        from mlgit.site import vega

        yield common.page(
            site,
            "about.html",
            urls.ABOUT,
            "About this site",
            mlgit_version=__version__,
            vega=vega.versions(),
            count=len(site.deleted) - sum(site.deleted),
            gone=sum(site.deleted),
            problems=site.problems[:PROBLEMS_SHOWN],
            redacted_kinds=SAID,
            tagged=tagged,
            more_problems=max(0, len(site.problems) - PROBLEMS_SHOWN),
        )

    yield Unit("about", common.key("about", site.root, site.title, tagged), make)
