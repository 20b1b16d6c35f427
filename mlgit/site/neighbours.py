"""What a lineage picture shows around a run, a dataset or a version: the nearest, and not all.

Followed are the ways in both directions, never back, so that a picture of a run does not
show what else was done with its data. Where there is more than can be seen, what led to a
registered version comes first, and a box says how much was left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from mlgit.registry import Model, Version
from mlgit.site import flow, picture, urls
from mlgit.site.flow import Content
from mlgit.site.gather import Site
from mlgit.site.picture import Box, Line, Picture
from mlgit.site.render import brief, harmless
from mlgit.words import counted, size

MOST = 30  # boxes
NEAR, FAR = 7, 3  # boxes that one leads to: the focus, any other
STEPS = 4  # from the focus
_OWN = "console.txt"  # a run's, and of no interest here


class View(NamedTuple):
    """The boxes and lines of a picture, before they are put in their places."""

    boxes: list[Box]
    lines: list[Line]

    def draw(self) -> Picture | None:
        return picture.draw(self.boxes, self.lines)


def of_run(site: Site, row: int) -> View:
    """Returns what is around a run: its code and data, what they were made from, what it led to."""
    return _Around(site, ("run", site.table.ids[row])).view()


def of_data(site: Site, key: str) -> View:
    """Returns what is around a content."""
    return _Around(site, ("data", key)).view()


def of_version(site: Site, model: Model, version: Version) -> View:
    """Returns what a registered version came from."""
    return _Around(site, ("version", flow.tag(model, version))).view()


Place = tuple[str, str]
"""A kind and a key: a run's id, a hash, a commit, a version's tag."""


class _Around:
    def __init__(self, site: Site, focus: Place) -> None:
        self._site = site
        self._flow = site.flow
        self._focus = focus
        self._boxes: dict[str, Box] = {}
        self._lines: dict[Line, None] = {}
        self._maker: Place | None = None
        """The run whose code is shown, too: the one that made the version in question."""
        if focus[0] == "version":
            _, version = site.flow.releases[focus[1]]
            self._maker = ("run", version.run or "")

    def view(self) -> View:
        self._add(self._focus)
        # With each place the run on the way to it: nothing was made from what came later.
        pending: deque[tuple[Place, bool, int, int | None]] = deque(
            [(self._focus, True, 0, None), (self._focus, False, 0, None)]
        )
        while pending:
            place, up, steps, via = pending.popleft()
            via = self._flow.rows[place[1]] if place[0] == "run" else via
            following = list(dict.fromkeys(self._next(place, up, via)))
            if not up and steps >= 2:
                following = [each for each in following if self._matters(each)]
            fresh = [each for each in following if _id(each) not in self._boxes]
            limit = min(NEAR if not steps else FAR, max(0, MOST - len(self._boxes)))
            if len(fresh) == limit + 1 < MOST - len(self._boxes):
                limit += 1  # "1 more" would take as much room as it
            left = {*fresh[limit:]}
            for each in following:
                if each in left:
                    continue
                self._join(place, each, up)
                if _id(each) not in self._boxes:
                    self._add(each)
                    if steps + 1 < STEPS:
                        pending.append((each, up, steps + 1, via))
            if left:
                self._leave_out(place, left, up)
        return View(list(self._boxes.values()), list(self._lines))

    def _matters(self, place: Place) -> bool:
        """Tells whether a registered version came of it. Far away the rest is not shown: or
        the pages of all data before it would change with every run."""
        kind, key = place
        if kind == "run":
            return self._flow.rows[key] in self._flow.of_row
        return kind == "version" or key in self._flow.dependents

    def _join(self, near: Place, far: Place, up: bool) -> None:
        ends = (_id(far), _id(near)) if up else (_id(near), _id(far))
        self._lines[ends] = None

    def _leave_out(self, place: Place, left: Collection[Place], up: bool) -> None:
        kinds = {kind for kind, _ in left}
        what = {"run": "run", "data": "file", "version": "version"}.get(kinds.pop(), "thing")
        label = "and " + counted(len(left), "more thing" if kinds else f"more {what}")
        more = ("more", f"{_id(place)}:{'up' if up else 'down'}")
        # All of them are on the page of what they belong to.
        url = self._boxes[_id(place)].url
        self._boxes[_id(more)] = Box(_id(more), "more", label, "", url)
        self._join(place, more, up)

    # --- what comes next -----------------------------------------------------------------

    def _next(self, place: Place, up: bool, via: int | None) -> Iterator[Place]:
        kind, key = place
        if kind == "run" and via is not None:
            yield from self._of_run(via, up, place in (self._focus, self._maker))
        elif kind == "data" and key in self._flow.contents:
            yield from self._of_data(self._flow.contents[key], up, via)
        elif kind == "version" and up:
            yield from self._of_version(key)

    def _of_run(self, row: int, up: bool, is_focus: bool) -> Iterator[Place]:
        if up:
            yield from (("data", key) for key in self._flow.inputs[row])
            if is_focus:
                yield from (("code", commit) for commit in self._code(row))
            return
        made = [key for key in self._flow.outputs[row] if not self._is_own(key)]
        if not is_focus:
            # Of others only what leads on: their pages show the rest.
            made = [key for key in made if key in self._flow.dependents or self._used(key)]
        yield from (("data", key) for key in sorted(made, key=self._rank_of_data))
        for model, version in self._flow.of_row.get(row, ()):
            if version.run == self._site.table.ids[row] and version.hash not in made:
                yield "version", flow.tag(model, version)

    def _of_data(self, content: Content, up: bool, via: int | None) -> Iterator[Place]:
        runs = [("run", run) for run in self._runs(content, up, via)]
        if up:
            yield from runs
            return
        for model, version in self._flow.dependents.get(content.hash, ()):
            if version.hash == content.hash:
                yield "version", flow.tag(model, version)
        yield from runs

    def _runs(self, content: Content, up: bool, via: int | None) -> list[str]:
        rows = {touch.row for touch in (content.made if up else content.used)}
        if via is not None:
            rows = {row for row in rows if self._possible(row, via, up)}
        return [self._site.table.ids[row] for row in sorted(rows, key=self._rank_of_run)]

    def _possible(self, row: int, via: int, up: bool) -> bool:
        every = self._site.table.attributes
        earlier, later = (row, via) if up else (via, row)
        return bool(every["started"][earlier] <= (every["ended"][later] or "~"))

    def _of_version(self, name: str) -> Iterator[Place]:
        _, version = self._flow.releases[name]
        if version.hash in self._flow.contents:
            yield "data", str(version.hash)
        elif version.run in self._flow.rows:
            yield "run", str(version.run)

    def _code(self, row: int) -> list[str]:
        """Returns the snapshot of a run, or the commit; one of them is what was run."""
        ran = self._flow.snapshots.get(row) or self._site.table.attributes["commit"][row]
        return [ran] if ran else []

    def _is_own(self, key: str) -> bool:
        return self._flow.contents[key].label == _OWN

    def _used(self, key: str) -> bool:
        return bool(self._flow.contents[key].used)

    def _rank_of_data(self, key: str) -> tuple[bool, bool, bool]:
        content = self._flow.contents[key]
        return key not in self._flow.dependents, not content.used, content.kind != "model"

    def _rank_of_run(self, row: int) -> tuple[bool, bool, int]:
        return row not in self._flow.of_row, self._site.deleted[row], row

    # --- boxes -----------------------------------------------------------------------------

    def _add(self, place: Place) -> None:
        kind, key = place
        box = _BOXES[kind](self._site, key)
        shown = box._replace(id=_id(place), is_focus=place == self._focus)
        self._boxes[_id(place)] = shown


def _id(place: Place) -> str:
    return f"{place[0]}:{place[1]}"


def _run(site: Site, key: str) -> Box:
    row = site.flow.rows[key]
    status = site.table.attributes["status"][row]
    told = site.experiment(row).title if status == "finished" else status
    told = "deleted" if site.deleted[row] else told
    return _box("run", site.label(row), told, urls.run(site.table.ids[row]))


def _data(site: Site, key: str) -> Box:
    content = site.flow.contents.get(key)
    if content is None:
        return _box("data", brief(key), "not recorded", None)
    told = " · ".join(
        [
            *([size(content.size)] if content.size is not None else []),
            *([] if content.kept else ["hash only"]),
            brief(key)[:7],
        ]
    )
    kind = "model" if content.kind == "model" else "data" if content.used else "artifact"
    url = urls.dataset(key) if content.used else None
    if url is None and content.made:
        url = urls.run(site.table.ids[content.made[0].row])
    return _box(kind, content.label, told, url, is_path=True)


def _code(site: Site, key: str) -> Box:
    is_snapshot = any(kept for _, kept in site.flow.code.get(key, ()))
    return _box("code", key[:10], "uncommitted work" if is_snapshot else "code", None)


def _version(site: Site, key: str) -> Box:
    model, version = site.flow.releases[key]
    held = [*([version.stage] if version.stage else []), *version.aliases]
    told = "withdrawn" if version.withdrawn else ", ".join(held) or "version"
    return _box("version", version.name, told, urls.version(model.name, version.short))


def _box(kind: str, label: str, told: str, url: str | None, is_path: bool = False) -> Box:
    shown = picture.fitting(str(harmless(label)), is_path)
    return Box("", kind, shown, picture.fitting(str(harmless(told)), letters=26), url)


_BOXES: dict[str, Callable[[Site, str], Box]] = {
    "run": _run,
    "data": _data,
    "code": _code,
    "version": _version,
}
