"""The look-up: from a hash, or a file that is hashed in the page, to all it belongs to.

What the page's script knows lies in shards by the beginning of what is asked for, so that
one question loads one or two small files, and one more run makes few of them again.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from mlgit.data.hashing import is_md5
from mlgit.site import urls
from mlgit.site.flow import Content, Release
from mlgit.site.gather import Site
from mlgit.site.pages import common, registered
from mlgit.site.whole import Source
from mlgit.site.write import Unit

PREFIX = 6  # characters that are enough to ask with
FEW = 5  # runs of a thing that are named
RELEASES = 12
PLACES = 20  # of a file in folders
# Hashes are spread evenly. Ids begin with the time: one shard holds those of twelve days.
HEX, RUN = 2, 4
_HASH = re.compile(r"[0-9a-f]{6,64}")


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields the page and a unit for every shard, one for those of files in folders."""
    things = _sharded(_things(site))
    runs: dict[str, list[Any]] = defaultdict(list)
    for row, run_id in enumerate(site.table.ids):
        runs[run_id[:RUN]].append(_run(site, row))
    shards = {**things, **{f"run-{start}": found for start, found in runs.items()}}
    for shard, found in sorted(shards.items()):
        content = msgspec.json.encode(found)
        key = common.key("lookup", shard, content.decode())
        yield Unit(f"lookup/{shard}", key, partial(_shard, shard, content))
    folders = list(site.flow.opened)
    if folders:
        key = common.key("lookup-files", folders)
        yield Unit("lookup/files", key, partial(_files, site, source))
    key = common.key("lookup-page", site.title, sorted(shards), folders, site.flow.closed)
    yield Unit("lookup", key, partial(_page, site, sorted(shards)))


def _page(site: Site, shards: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    yield common.page(
        site,
        "lookup.html",
        urls.LOOKUP,
        "Look up",
        shards=shards,
        has_files=bool(site.flow.opened),
        closed=site.flow.closed,
        prefix=PREFIX,
    )


def _shard(shard: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    yield urls.lookup(shard), common.script(f"lookup/{shard}", content)


def _files(site: Site, source: Source) -> Iterator[tuple[str, bytes]]:
    """Yields all shards of files in folders, also those with none: the page need not ask."""
    found: dict[str, dict[str, list[tuple[str, str]]]] = {f"{n:02x}": {} for n in range(256)}
    for folder in site.flow.opened:
        for path, md5 in source.members(folder) or ():
            places = found[md5[:HEX]].setdefault(md5, [])
            if len(places) < PLACES:
                places.append((folder, path))
    for start, files in found.items():
        content = msgspec.json.encode(dict(sorted(files.items())))
        yield from _shard(f"file-{start}", content)


# --- what there is to find -----------------------------------------------------------------


def _sharded(things: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found = defaultdict(list)
    for thing in things:
        found[thing["hash"][:HEX]].append(thing)
    return {shard: sorted(found[shard], key=lambda each: each["hash"]) for shard in found}


def _things(site: Site) -> Iterator[dict[str, Any]]:
    """Yields what has a hash: data, code, environments, registered versions."""
    for content in site.flow.contents.values():
        if is_md5(content.hash):
            yield _data(site, content)
    commits: dict[str, list[Release]] = defaultdict(list)
    for model in site.models:
        for version in model.versions:
            commits[version.commit].append((model, version))
            if version.hash and version.hash not in site.flow.contents and is_md5(version.hash):
                yield {**_named("model", version.hash, "model"), **_came(((model, version),))}
    for commit, rows in site.flow.code.items():
        if _HASH.fullmatch(commit):
            kept = any(is_kept for _, is_kept in rows)
            yield {
                **_named("snapshot" if kept else "commit", commit, commit[:10]),
                **_runs(site, "ran", [row for row, _ in rows]),
                **_came(_of_rows(site, [row for row, _ in rows])),
            }
    for commit, found in commits.items():
        if commit not in site.flow.code:
            yield {**_named("version", commit, commit[:10]), **_came(found)}
    for digest, users in site.flow.environments.items():
        if _HASH.fullmatch(digest):
            yield {**_named("environment", digest, digest[:10]), **_runs(site, "ran", users)}


def _data(site: Site, content: Content) -> dict[str, Any]:
    kind = "model" if content.kind == "model" else "dataset" if content.used else "artifact"
    thing = _named(kind, content.hash, content.label)
    if content.is_dataset:
        thing["url"] = urls.dataset(content.hash)
    if content.size is not None:
        thing["size"] = content.size
    if content.files is not None:
        thing["files"] = content.files
    if not content.kept:
        thing["lost"] = True
    return {
        **thing,
        **_runs(site, "used", [touch.row for touch in content.used]),
        **_runs(site, "made", [touch.row for touch in content.made]),
        **_came(site.flow.dependents.get(content.hash, ())),
    }


def _named(kind: str, key: str, label: str) -> dict[str, Any]:
    return {"hash": key, "kind": kind, "label": label[:200]}


def _runs(site: Site, what: str, rows: Sequence[int]) -> Mapping[str, Any]:
    """Returns the runs, the newest ones by name; nothing if there are none."""
    every = sorted(set(rows))
    if not every:
        return {}
    few = [[site.label(row)[:100], urls.run(site.table.ids[row])] for row in every[:FEW]]
    return {what: [len(every), few]}


def _of_rows(site: Site, rows: Iterable[int]) -> list[Release]:
    found: dict[tuple[str, str], Release] = {}
    for row in rows:
        for model, version in site.flow.of_row.get(row, ()):
            found[model.name, version.version] = (model, version)
    return list(found.values())


def _came(found: Sequence[Release]) -> Mapping[str, Any]:
    links = [each.link for each in registered.came(found)]
    if not links:
        return {}
    few = [
        [f"{link.model} {link.short}", link.url, "withdrawn" if link.withdrawn else link.stage]
        for link in links[:RELEASES]
    ]
    return {"models": [len(links), few]}


def _run(site: Site, row: int) -> dict[str, Any]:
    link = common.link(site, row)
    found = {
        "id": link.id,
        "label": link.label[:200],
        "url": link.url,
        "experiment": link.experiment[:100],
        "status": link.status,
        "started": link.started,
        **_came(site.flow.of_row.get(row, ())),
    }
    return {**found, "deleted": True} if site.deleted[row] else found
