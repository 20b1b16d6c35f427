"""The page of one version of a dataset: what it is, who used it, and what depends on it.

The recall page: from the hash of a file to every run that read it and every model version
and stage that came of it.
"""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from mlgit.data.hashing import Member, is_md5
from mlgit.data.profiles import Difference as Change
from mlgit.data.profiles import schema_difference
from mlgit.errors import Unreadable
from mlgit.lineage.datasets import Files, compared
from mlgit.site import neighbours, profile, urls
from mlgit.site.flow import Content, Touch, called
from mlgit.site.gather import Site
from mlgit.site.pages import common, registered
from mlgit.site.whole import Source
from mlgit.site.write import Unit
from mlgit.versions import data_names

RUNS_SHOWN = 200
FILES_SHOWN = 200
CHANGES_SHOWN = 60
VERSIONS_SHOWN = 40
RELEASES_SHOWN = 300


class Use(NamedTuple):
    """What a run did with it."""

    link: common.RunLink
    verb: str
    called: str
    role: str | None
    kept: bool
    deleted: bool


class Sibling(NamedTuple):
    """Another version of the same dataset, or this one."""

    hash: str
    size: int | None
    first: str
    """When it was new."""
    is_this: bool


class Family(NamedTuple):
    """The versions of a dataset under one of its names, the one that was new last first."""

    name: str
    versions: list[Sibling]

    @property
    def previous(self) -> str | None:
        """The hash of the version before this one."""
        place = [each.is_this for each in self.versions].index(True)
        return self.versions[place + 1].hash if place + 1 < len(self.versions) else None


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields a unit for every content that a run used."""
    families = _families(site)
    for content in site.flow.contents.values():
        if not content.is_dataset:
            continue
        uses = _uses(site, content)
        mine = families[content.hash]
        view = neighbours.of_data(site, content.hash)
        relevant = {content.hash, *(each.previous for each in mine if each.previous)}
        key = common.key(
            "dataset",
            site.title,
            content._replace(used=[], made=[]),
            uses,
            mine,
            view,
            registered.came(site.flow.dependents.get(content.hash, ())),
            sorted((each, site.flow.profiles.get(each)) for each in relevant),
            sorted(relevant & site.flow.opened.keys()),
        )
        make = partial(_files, site, source, content, uses, mine, view)
        yield Unit(f"dataset/{content.hash}", key, make)


def _uses(site: Site, content: Content) -> list[Use]:
    """Returns who read and who wrote it, the newest run first."""
    found = [(touch, verb) for verb in ("read", "wrote") for touch in _touches(content, verb)]
    found.sort(key=lambda each: (each[0].row, each[1], each[0].path))
    return [
        Use(
            link=common.link(site, touch.row),
            verb=verb,
            called=called(touch),
            role=touch.role,
            kept=touch.kept,
            deleted=site.deleted[touch.row],
        )
        for touch, verb in found
    ]


def _touches(content: Content, verb: str) -> list[Touch]:
    return content.used if verb == "read" else content.made


def _families(site: Site) -> dict[str, list[Family]]:
    """Returns for each content the datasets it is a version of, the last used first."""
    found: dict[str, list[Family]] = {}
    started = site.table.attributes["started"]
    for dataset in site.flow.datasets:
        siblings = []
        for key in dataset.versions:
            content = site.flow.contents[key]
            rows = {touch.row for touch in content.used if called(touch) == dataset.name}
            siblings.append(Sibling(key, content.size, started[max(rows)], False))
        for place, sibling in enumerate(siblings):
            # Those around it are enough to go on from.
            start = max(0, min(place - VERSIONS_SHOWN // 2, len(siblings) - VERSIONS_SHOWN))
            near = siblings[start : start + VERSIONS_SHOWN]
            near[place - start] = sibling._replace(is_this=True)
            found.setdefault(sibling.hash, []).append(Family(dataset.name, near))
    return found


# --- what the page shows -----------------------------------------------------------------


def _files(
    site: Site,
    source: Source,
    content: Content,
    uses: list[Use],
    families: list[Family],
    view: neighbours.View,
) -> Iterator[tuple[str, bytes]]:
    url = urls.dataset(content.hash)
    stored = _profile(site, source, content.hash)
    if stored is not None:
        yield urls.dataset_profile(content.hash), msgspec.json.format(msgspec.json.encode(stored))
    yield urls.dataset_runs(content.hash), as_csv(uses)
    members = _members(site, source, content.hash)
    found = registered.came(site.flow.dependents.get(content.hash, ()))
    context = {
        "content": content,
        "is_md5": is_md5(content.hash),
        "uses": uses[:RUNS_SHOWN],
        "counts": _counts(uses),
        "names": list(dict.fromkeys(use.called for use in uses)),
        "paths": list(dict.fromkeys(touch.path for touch in (*content.used, *content.made))),
        "roles": sorted({use.role for use in uses if use.role}),
        "families": families,
        "releases": found[:RELEASES_SHOWN],
        "more_releases": max(0, len(found) - RELEASES_SHOWN),
        "held": [each.link for each in found if each.link.stage not in (None, "archived")],
        "picture": view.draw(),
        "profile": profile.parse(stored) if stored else None,
        "profile_url": urls.dataset_profile(content.hash) if stored else None,
        "members": members[:FILES_SHOWN] if members is not None else None,
        "member_count": len(members or ()),
        "is_folder": content.hash.endswith(".dir"),
        "difference": _difference(site, source, content, families, members),
        "csv_url": urls.dataset_runs(content.hash),
        "commands": _commands(site, source, content),
    }
    yield common.page(site, "dataset.html", url, content.label, **context)


def _profile(site: Site, source: Source, key: str) -> dict[str, Any] | None:
    folder = site.flow.profiles.get(key)
    return source.profile(folder) if folder else None


def _members(site: Site, source: Source, key: str) -> list[Member] | None:
    return source.members(key) if key in site.flow.opened else None


class Counts(NamedTuple):
    readers: int
    writers: int
    first: str
    last: str


def _counts(uses: Sequence[Use]) -> Counts:
    started = [use.link.started for use in uses if use.verb == "read"]
    return Counts(
        readers=len({use.link.id for use in uses if use.verb == "read"}),
        writers=len({use.link.id for use in uses if use.verb == "wrote"}),
        first=min(started),
        last=max(started),
    )


def as_csv(uses: Sequence[Use]) -> bytes:
    """Returns every use of a content as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        ("run", "name", "experiment", "status", "deleted", "started", "did", "called", "role")
    )
    for use in uses:
        link, deleted = use.link, "yes" if use.deleted else ""
        facts = (link.id, link.label, link.experiment, link.status, deleted, link.started)
        writer.writerow((*facts, use.verb, use.called, use.role))
    return buffer.getvalue().encode(errors="replace")


class Compared(NamedTuple):
    """What differs from the version before."""

    name: str
    previous: str
    size: tuple[int, int] | None
    rows: tuple[int, int] | None
    files: Files | None
    changes: list[tuple[str, str]]
    """Columns, and what has changed in each."""
    more: int
    has_profiles: bool


def _difference(
    site: Site,
    source: Source,
    content: Content,
    families: Sequence[Family],
    members: list[Member] | None,
) -> Compared | None:
    """Returns what differs from the previous version under the name used last that has one."""
    family = next((each for each in families if each.previous), None)
    if family is None or family.previous is None:
        return None
    old = site.flow.contents[family.previous]
    was, now = (_profile(site, source, key) for key in (old.hash, content.hash))
    before = _members(site, source, old.hash)
    changes: list[Change] = []
    rows = None
    if was and now:
        try:
            changes = schema_difference(was, now)
        except Unreadable:
            was = None  # what is on the branch is no profile
        rows = _both(profile.shape(was or {})[0], profile.shape(now)[0])
    return Compared(
        name=family.name,
        previous=old.hash,
        size=_both(old.size, content.size),
        rows=rows,
        files=compared(dict(before), dict(members)) if before and members else None,
        changes=[(each.column, profile.change(each)) for each in changes[:CHANGES_SHOWN]],
        more=max(0, len(changes) - CHANGES_SHOWN),
        has_profiles=bool(was and now),
    )


def _both(old: int | None, new: int | None) -> tuple[int, int] | None:
    return (old, new) if old is not None and new is not None else None


def _commands(site: Site, source: Source, content: Content) -> list[tuple[str, str]]:
    """Returns how to get it and how to check it, each with a word for what it does."""
    key = shlex.quote(content.hash)
    audit = [("audit", f"mlgit lineage {key}"), ("who used it", f"mlgit data show {key}")]
    if not (content.kept and is_md5(content.hash)):
        return audit
    return [
        ("fetch", f"mlgit data pull {key}"),
        *_plain(site, source, content),
        *audit,
        ("verify", f"mlgit verify {key} --rehash"),
    ]


def _plain(site: Site, source: Source, content: Content) -> list[tuple[str, str]]:
    """Returns how plain DVC gets it: from the pin of the newest run that kept it."""
    row = next((touch.row for touch in content.used if touch.kept), None)
    run = source.run(site.folders[row]) if row is not None else None
    for name, pointer in data_names(run.inputs) if run else ():
        if run and pointer.md5 == content.hash:
            tag = run.id[:10]
            target = shlex.quote(f"data/{name}")
            return [
                ("for DVC", f"mlgit pin {tag} --name {tag}"),
                ("plain DVC", f"dvc get . {target} --rev run/{tag}"),
            ]
    return []
