"""A timeline of stages as a static picture: one lane a stage, one bar a version.

Places are in per cent and sizes in pixels, so that a lane is as wide as the page lets it
be while its words keep their size. Time ends soon after the last event, not today: the same
ledger gives the same picture. A bar that reaches the right edge is of what still holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, time, timedelta, timezone
from typing import NamedTuple

from markupsafe import Markup

from mlgit.registry import Model
from mlgit.registry.fold import MANY, semver_key
from mlgit.registry.history import Span, spans
from mlgit.site.render import cut, harmless

LANES = 10  # more labels than a person compares
ROWS = 4  # of a lane in which bars lie over each other
BARS = 200  # of a lane
COLOURS = 10  # as the stylesheet has them
HEIGHT = 24  # of a row, in pixels
_TICKS = 5
_WIDE, _NARROW = 900, 330  # of a lane, in pixels, at least: beside other things, and on a phone
_BEFORE, _AFTER = 0.03, 0.08  # of the length: room for a dot, and for the name of what holds on
_SHORTEST = timedelta(minutes=1)
_FIRST = ("production", "staging")
_LAST = ("archived",)


class Lane(NamedTuple):
    label: str
    kind: str
    """"stage", "alias", or "versions": when each was registered."""
    picture: Markup


class Timeline(NamedTuple):
    lanes: list[Lane]
    axis: Markup
    within: str
    """What the words of the axis leave out: the year, or the day on which it begins, in UTC."""
    begin: str
    """As a stored time: what the left edge is, and `end` the right one."""
    end: str
    left_out: int
    """Stages and aliases that have no lane."""


class _Scale(NamedTuple):
    begin: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        return self.end - self.begin

    def at(self, moment: datetime) -> float:
        """Returns how far to the right a moment is, in per cent."""
        return 100 * ((moment - self.begin) / self.length)

    def said(self, stamp: str) -> str:
        """Returns a stored time as exactly as this much time asks for."""
        if self.length >= timedelta(days=2):
            return stamp[:10]
        return stamp[: 16 if self.length >= timedelta(minutes=10) else 19].replace("T", " ")


def timeline(model: Model) -> Timeline | None:
    """Returns a model's stages over time; None if no version was ever in one."""
    every = spans(model)
    if not every:
        return None
    scale = _scale([_moment(event.time) for event in model.events])
    labels = sorted({(_rank(span), span.label, span.is_stage) for span in every})
    # By age, so that a version keeps its colour when the next one comes.
    names = [v.version for v in sorted(model.versions, key=lambda v: semver_key(v.version))]
    colours = {name: place % COLOURS for place, name in enumerate(names)}
    short = {version.version: version.short for version in model.versions}
    lanes = [Lane("registered", "versions", _registered(model, scale, colours))]
    for _, label, is_stage in labels[:LANES]:
        mine = [span for span in every if (span.label, span.is_stage) == (label, is_stage)]
        picture = _lane(label, mine[-BARS:], scale, colours, short)
        lanes.append(Lane(label, "stage" if is_stage else "alias", picture))
    begin, end = (f"{edge.isoformat(timespec='microseconds')[:26]}Z" for edge in scale)
    left_out = max(0, len(labels) - LANES)
    return Timeline(lanes, _axis(scale), _ticks(scale).within, begin, end, left_out)


def _rank(span: Span) -> int:
    if not span.is_stage:
        return 8
    if span.label in _FIRST:
        return _FIRST.index(span.label)
    return 7 if span.label in _LAST else 5


def _moment(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp.removesuffix("Z")).replace(tzinfo=timezone.utc)


def _scale(moments: Sequence[datetime]) -> _Scale:
    first, last = min(moments), max(moments)
    length = max(last - first, _SHORTEST)
    # Up to where dates can be counted, and no further.
    before = min(length * _BEFORE, first - _moment("0001-01-01T00:00:00.000000Z"))
    after = min(length * (1 + _AFTER), _moment("9999-12-31T23:59:59.999999Z") - first)
    return _Scale(first - before, first + after)


def _lane(
    label: str,
    mine: Sequence[Span],
    scale: _Scale,
    colours: dict[str, int],
    short: dict[str, str],
) -> Markup:
    rows: list[float] = []  # where the last bar of each row ends
    bars = []
    for span in mine:
        left = scale.at(_moment(span.since.time))
        right = scale.at(_moment(span.until.time)) if span.until else 100.0
        right = max(right, left + 0.5)
        most = ROWS if label in MANY else 1
        row = next((n for n, end in enumerate(rows) if end <= left), min(len(rows), most - 1))
        rows[row : row + 1] = [right]
        top = row * HEIGHT + 2
        said = _said(span, short, scale)
        bars.append(
            Markup(
                '<svg class="span v{}{}" x="{:.2f}%" y="{}" width="{:.2f}%" height="{}">'
                "<title>{}</title>"
                '<rect class="fill" width="100%" height="100%" rx="3"/>'
                '<rect class="begin" width="3" height="100%" rx="1.5"/>'
                "{}</svg>"
            ).format(
                colours[span.version], "" if span.until else " holds",
                left, top, right - left, HEIGHT - 4,
                f"{_name(label)}: {said}",
                _words("8", "14.5", short[span.version], right - left),
            )
        )  # fmt: skip
    told = "; ".join(_said(span, short, scale) for span in mine[-8:])
    more = f"{len(mine) - 8} before, then " if len(mine) > 8 else ""
    return _lane_of(scale, len(rows), f"{_name(label)}: {more}{told}", bars)


def _lane_of(scale: _Scale, rows: int, label: str, shapes: Iterable[Markup]) -> Markup:
    return Markup('<svg class="lane" height="{}" role="img" aria-label="{}">{}{}</svg>').format(
        HEIGHT * rows, label, _grid(scale), Markup("").join(shapes)
    )


def _words(x: str, y: str, name: str, room: float) -> Markup:
    """Returns a name in a lane, if there is room for it; `room` is in per cent of the lane.

    What is cut off may read as another version: a name is whole or not there. The tooltip has it.
    """
    needed = 100 * (8 + 7.5 * len(name))
    if room * _WIDE < needed:
        return Markup("")
    tight = Markup(' class="tight"') if room * _NARROW < needed else ""
    return Markup('<text{} x="{}" y="{}">{}</text>').format(tight, x, y, name)


def _name(label: str) -> str:
    return cut(str(harmless(label)), 60)


def _said(span: Span, short: dict[str, str], scale: _Scale) -> str:
    since = scale.said(span.since.time)
    until = f"from {since} to {scale.said(span.until.time)}" if span.until else f"since {since}"
    return f"{short[span.version]} {until}"


def _registered(model: Model, scale: _Scale, colours: dict[str, int]) -> Markup:
    dots = []
    every = sorted(model.versions, key=lambda version: version.time)[-BARS:]
    places = [scale.at(_moment(version.time)) for version in every]
    for version, x, following in zip(every, places, [*places[1:], 100.0], strict=True):
        dots.append(
            Markup(
                '<g class="v{}"><title>{}</title><circle cx="{:.2f}%" cy="12" r="4"/>'
                '<svg x="{:.2f}%">{}</svg></g>'
            ).format(
                colours[version.version], f"{version.short} {scale.said(version.time)}", x, x,
                _words("8", "16.5", version.short, following - x),
            )
        )  # fmt: skip
    told = ", ".join(f"{v.short} {scale.said(v.time)}" for v in model.versions[:8])
    return _lane_of(scale, 1, f"registered: {told}", dots)


# --- the axis --------------------------------------------------------------------------------


class _Ticks(NamedTuple):
    """Round moments, not more than fit, and what to call them."""

    within: str
    moments: list[tuple[datetime, str]]


_CLOCK = [
    *(timedelta(seconds=step) for step in (10, 20, 30)),
    *(timedelta(minutes=step) for step in (1, 2, 5, 10, 15, 30)),
    *(timedelta(hours=step) for step in (1, 3, 6, 12)),
]
_DAYS = [timedelta(days=step) for step in (1, 2, 7, 14)]


def _grid(scale: _Scale) -> Markup:
    return Markup("").join(
        Markup('<line x1="{0:.2f}%" x2="{0:.2f}%" y1="0" y2="100%"/>').format(scale.at(moment))
        for moment, _ in _ticks(scale).moments
    )


def _axis(scale: _Scale) -> Markup:
    words = [
        Markup('<text x="{:.2f}%" y="12">{}</text>').format(x, text)
        for moment, text in _ticks(scale).moments
        if 3 <= (x := scale.at(moment)) <= 96
    ]
    return Markup('<svg class="lane axis" height="16" aria-hidden="true">{}</svg>').format(
        Markup("").join(words)
    )


def _ticks(scale: _Scale) -> _Ticks:
    for step in _CLOCK:
        if scale.length <= step * (_TICKS + 1):
            moments = _every(scale, step)
            clock = "%H:%M:%S" if step < timedelta(minutes=1) else "%H:%M"
            # Midnight is where another day begins: the reader is told which.
            forms = ["%m-%d" if each.time() == time() else clock for each in moments]
            told = [(each, f"{each:{form}}") for each, form in zip(moments, forms, strict=True)]
            return _Ticks(f"{scale.begin:%Y-%m-%d} UTC", told)
    for step in _DAYS:
        if scale.length <= step * (_TICKS + 1):
            moments = _every(scale, step)
            return _Ticks(f"{scale.begin:%Y}", [(each, f"{each:%m-%d}") for each in moments])
    for months in (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 2400, 6000, 12000, 24000):
        if scale.length > timedelta(days=31 * months) * (_TICKS + 2):
            continue
        found = list(_months(scale, months))
        if len(found) <= _TICKS + 1:
            yearly = months >= 12
            return _Ticks(
                "",
                [(m, f"{m.year:04d}" if yearly else f"{m.year:04d}-{m.month:02d}") for m in found],
            )
    return _Ticks("", [])


def _every(scale: _Scale, step: timedelta) -> list[datetime]:
    """Returns the moments of a scale that are so many steps after its first midnight."""
    midnight = scale.begin.replace(hour=0, minute=0, second=0, microsecond=0)
    first = -((midnight - scale.begin) // step)
    last = (scale.end - midnight) // step
    return [midnight + step * number for number in range(first, last + 1)]


def _months(scale: _Scale, step: int) -> Iterator[datetime]:
    first = scale.begin.year * 12 // step * step
    last = scale.end.year * 12 + 12
    for month in range(first, last, step):
        year, place = divmod(month, 12)
        if 1 <= year <= 9999:
            moment = datetime(year, place + 1, 1, tzinfo=timezone.utc)
            if scale.begin <= moment <= scale.end:
                yield moment
