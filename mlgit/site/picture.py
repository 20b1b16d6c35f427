"""Where the boxes and lines of a lineage picture go; pure, and a millisecond.

What was made from what reads from left to right: a box stands one column right of the last
that leads to it. Within a column boxes are put near what they are joined with, so that few
lines cross.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 176, 42  # of a box, in pixels
_ACROSS, _BETWEEN = 32, 12  # from box to box, to the right and down
_EDGE = 2
_SWEEPS = 6
_COLUMNS = 5
LETTERS = 21  # that fit into a box, in the widest of system fonts


class Box(NamedTuple):
    """A thing of the picture."""

    id: str
    kind: str
    """data, artifact, model, run, code, version, or more: what is left out."""
    label: str
    detail: str
    url: str | None
    """Relative to the site's root; None: it has no page."""
    is_focus: bool = False


Line = tuple[str, str]
"""The ids of two boxes: what led to what."""


class Placed(NamedTuple):
    box: Box
    x: int
    y: int


class Picture(NamedTuple):
    """A picture, for the template that draws it."""

    width: int
    height: int
    box_width: int
    box_height: int
    boxes: list[Placed]
    """Column by column, from the left."""
    is_wide: bool
    """Whether it has more columns than can be read beside other things."""
    paths: list[str]
    """The lines, as SVG spells them."""
    sentences: list[tuple[Box, list[Box]]]
    """The same for who cannot see it: what led to what."""


def draw(boxes: Sequence[Box], lines: Iterable[Line]) -> Picture | None:
    """Returns the picture of these boxes; None if there is nothing to join."""
    known = {box.id: box for box in boxes}
    pairs = [(a, b) for a, b in dict.fromkeys(lines) if a in known and b in known and a != b]
    if not pairs:
        return None
    columns = _columns(list(known), pairs)
    _untangle(columns, pairs)
    tallest = max(map(len, columns))
    height = tallest * (HEIGHT + _BETWEEN) - _BETWEEN + 2 * _EDGE
    placed: dict[str, Placed] = {}
    for number, column in enumerate(columns):
        taken = len(column) * (HEIGHT + _BETWEEN) - _BETWEEN
        top = (height - taken) // 2
        for place, name in enumerate(column):
            x = _EDGE + number * (WIDTH + _ACROSS)
            placed[name] = Placed(known[name], x, top + place * (HEIGHT + _BETWEEN))
    return Picture(
        width=len(columns) * (WIDTH + _ACROSS) - _ACROSS + 2 * _EDGE,
        height=height,
        box_width=WIDTH,
        box_height=HEIGHT,
        boxes=list(placed.values()),
        is_wide=len(columns) > _COLUMNS,
        paths=[_path(placed[a], placed[b]) for a, b in pairs],
        sentences=[
            (each.box, [known[b] for a, b in pairs if a == each.box.id])
            for each in placed.values()
            if any(a == each.box.id for a, _ in pairs)
        ],
    )


def _columns(names: Sequence[str], pairs: Sequence[Line]) -> list[list[str]]:
    """Returns the boxes by the longest way that leads to each; what goes in a circle is cut."""
    ahead: dict[str, list[str]] = {name: [] for name in names}
    for a, b in pairs:
        ahead[a].append(b)
    order = _sorted(names, ahead)
    rank = {name: place for place, name in enumerate(order)}
    depth = dict.fromkeys(names, 0)
    for name in order:
        for after in ahead[name]:
            if rank[after] > rank[name]:
                depth[after] = max(depth[after], depth[name] + 1)
    # What nothing led to stands right before what it leads to, not far away on the left.
    reached = {b for _, b in pairs}
    for name in order:
        next_ones = [depth[each] for each in ahead[name] if rank[each] > rank[name]]
        if name not in reached and next_ones:
            depth[name] = min(next_ones) - 1
    columns: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for name in names:
        columns[depth[name]].append(name)
    return [column for column in columns if column]


def _sorted(names: Sequence[str], ahead: Mapping[str, Sequence[str]]) -> list[str]:
    """Returns the names so that what leads stands before what it leads to, circles aside."""
    order: list[str] = []
    seen: set[str] = set()
    for start in names:
        pending = [(start, False)]
        while pending:
            name, is_done = pending.pop()
            if is_done:
                order.append(name)
            elif name not in seen:
                seen.add(name)
                pending.append((name, True))
                pending += [(after, False) for after in reversed(ahead[name]) if after not in seen]
    return order[::-1]


def _untangle(columns: list[list[str]], pairs: Sequence[Line]) -> None:
    """Orders each column by where the neighbours stand, from the left and back again."""
    joined: dict[str, list[str]] = {}
    for a, b in pairs:
        joined.setdefault(a, []).append(b)
        joined.setdefault(b, []).append(a)
    place = {
        name: (index + 0.5) / len(column) for column in columns for index, name in enumerate(column)
    }
    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 else reversed(columns):
            middle = {
                name: sum(place[other] for other in joined.get(name, [name]))
                / len(joined.get(name, [name]))
                for name in column
            }
            column.sort(key=lambda name: (middle[name], name.startswith("more:")))
            for index, name in enumerate(column):
                place[name] = (index + 0.5) / len(column)


def _path(start: Placed, end: Placed) -> str:
    x1, y1 = start.x + WIDTH, start.y + HEIGHT // 2
    x2, y2 = end.x, end.y + HEIGHT // 2
    bend = max((x2 - x1) // 2, 20)
    return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"


def fitting(text: str, is_path: bool = False, letters: int = LETTERS) -> str:
    """Returns as much of a text as fits into a box; of a path the end, which tells more.

    >>> fitting("data/a/very/long/way/to/train.csv", is_path=True)
    '…ong/way/to/train.csv'
    """
    # More than a few times as long cannot fit; a name may have a million letters.
    text = text[-4 * letters :] if is_path else text[: 4 * letters]
    if _wide(text) <= letters:
        return text
    while text and _wide(text) >= letters:
        text = text[1:] if is_path else text[:-1]
    return f"…{text}" if is_path else f"{text}…"


def _wide(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
