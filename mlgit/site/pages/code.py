"""The code that runs ran: a page for each state of it, and for differences between two of them.

Of the many pairs there are, those are worth a page that somebody asks for: what changed since
the run before, against the best run of the experiment, and against what is in production.
They are pairs of git trees, so a thousand runs of a few versions of the code need a handful
of pages. For all others the comparison says which command shows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import msgspec

from mlgit.site import patch, urls
from mlgit.site.code import Code
from mlgit.site.gather import Site
from mlgit.site.pages import common, ranking
from mlgit.site.whole import Source
from mlgit.site.write import Unit

MOST = 2000  # differences; those of the newest runs
LISTED = 100  # runs, and differences, on the page of one state


class Pair(NamedTuple):
    """Two states of the code, the one that was used first before the other."""

    old: Code
    new: Code

    @property
    def url(self) -> str:
        return urls.difference(self.old.tree, self.new.tree)


def pairs(site: Site) -> dict[frozenset[str], Pair]:
    """Returns the differences that have a page, by their two trees; none if patches stay here."""
    if "patches" in site.choice.redacted:
        return {}
    order = {tree: place for place, tree in enumerate(site.codes)}
    best = _best(site)
    found: dict[frozenset[str], Pair] = {}
    for row, others in _asked(site, best):
        for other in others:
            one, two = site.code_of.get(row), site.code_of.get(other)
            if one and two and one.tree != two.tree:
                old, new = sorted((one, two), key=lambda code: order[code.tree])
                found.setdefault(frozenset((one.tree, two.tree)), Pair(old, new))
                if len(found) == MOST:
                    return found
    return found


def _asked(site: Site, best: dict[int, int]) -> Iterator[tuple[int, list[int]]]:
    """Yields runs, newest first, with those that they are held against."""
    in_production = {site.of_row[row]: row for row, _ in _in_production(site)}
    before: dict[int, int] = {}
    for experiment in site.experiments:
        before.update(zip(experiment.rows, experiment.rows[1:], strict=False))
    for row, is_deleted in enumerate(site.deleted):
        if not is_deleted:
            place = site.of_row[row]
            known = (before.get(row), best.get(place), in_production.get(place))
            yield row, [other for other in known if other is not None]


def _best(site: Site) -> dict[int, int]:
    """Returns the best run of each experiment, by position of both."""
    found = {}
    for place, experiment in enumerate(site.experiments):
        metric = ranking.primary(site, experiment.rows)
        ranked = ranking.ranked(site, experiment.rows, metric) if metric else []
        if ranked:
            found[place] = ranked[0].row
    return found


def _in_production(site: Site) -> list[tuple[int, str]]:
    """Returns the runs whose model is in production, with the title of that model."""
    return [
        (row, model.title)
        for model in site.models
        for version in model.present
        if version.stage == "production"
        and version.run
        and (row := site.find(version.run)) is not None
    ]


def since_the_run_before(site: Site, differences: dict[frozenset[str], Pair]) -> dict[int, str]:
    """Returns for runs where their code's difference to the run before has its page.

    "" if there is none to see.
    """
    found = {}
    for experiment in site.experiments:
        for row, before in zip(experiment.rows, experiment.rows[1:], strict=False):
            one, two = site.code_of.get(row), site.code_of.get(before)
            if one and two:
                pair = differences.get(frozenset((one.tree, two.tree)))
                if pair or one.tree == two.tree:
                    found[row] = pair.url if pair else ""
    return found


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields a unit for every state of the code, and for every difference."""
    differences = pairs(site)
    of: dict[str, list[Pair]] = {}
    for pair in differences.values():
        of.setdefault(pair.old.tree, []).append(pair)
        of.setdefault(pair.new.tree, []).append(pair)
        key = common.key("difference", site.title, *map(_said, pair))
        name = f"code/{pair.old.tree}-{pair.new.tree}"
        yield Unit(name, key, partial(_difference, site, source, pair))
    titles = _titles(site)
    for code in site.codes.values():
        around = [
            _Other(_said(other), other.rows[0], pair.url, titles.get(other.tree, []))
            for pair in of.get(code.tree, [])
            for other in (pair.new if pair.old.tree == code.tree else pair.old,)
        ]
        around.sort(key=lambda other: other.newest)
        runs = [common.link(site, row) for row in code.rows[:LISTED]]
        told = (_said(code), titles.get(code.tree, []), len(code.rows))
        key = common.key("code", site.title, told, runs, [other[:] for other in around])
        yield Unit(f"code/{code.tree}", key, partial(_state, site, code, runs, around, titles))


def _said(code: Code) -> Code:
    """Returns what pages of differences say of a state: nothing of its runs, which go on."""
    return code._replace(rows=[])


class _Other(NamedTuple):
    """A state of the code that another one is held against."""

    code: Code
    newest: int
    """Position of the newest run that ran it."""
    url: str
    titles: list[str]


def _titles(site: Site) -> dict[str, list[str]]:
    """Returns what states of the code are known for."""
    found: dict[str, list[str]] = {}
    for place, row in _best(site).items():
        if code := site.code_of.get(row):
            found.setdefault(code.tree, []).append(f"best of {site.experiments[place].title}")
    for row, model in _in_production(site):
        if code := site.code_of.get(row):
            found.setdefault(code.tree, []).append(f"in production: {model}")
    return found


def _difference(site: Site, source: Source, pair: Pair) -> Iterator[tuple[str, bytes]]:
    found = source.difference(pair.old.commit, pair.new.commit)
    yield common.page(
        site,
        "difference.html",
        pair.url,
        "What changed in the code",
        old=pair.old,
        new=pair.new,
        code=patch.parse(found.text) if found else None,
        code_cut=bool(found and found.cut),
    )


def _state(
    site: Site,
    code: Code,
    runs: list[common.RunLink],
    around: list[_Other],
    titles: dict[str, list[str]],
) -> Iterator[tuple[str, bytes]]:
    others = {other.code.tree: other.url for other in around}
    yield (
        urls.code_data(code.tree),
        common.script(f"code/{code.tree}", msgspec.json.encode({"differences": others})),
    )
    yield common.page(
        site,
        "code.html",
        urls.code(code.tree),
        code.subject or code.commit[:10],
        code=code,
        titles=titles.get(code.tree, []),
        runs=runs,
        around=around[:LISTED],
        more_around=max(0, len(around) - LISTED),
    )
