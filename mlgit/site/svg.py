"""Small static pictures of numbers: what a page shows in print and without JavaScript.

Drawn by hand, because a chart library takes a thousand times as long. Colours come from the
stylesheet: no attribute here says one.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from mlgit.records import Points
from mlgit.records.history import reduce
from mlgit.site.numbers import is_finite
from mlgit.words import number

WIDTH, HEIGHT = 320, 132  # of a curve's picture, in its own units
_LEFT, _RIGHT, _TOP, _BOTTOM = 4, 4, 8, 8
_POINTS = 96


def curve(points: Points) -> Markup:
    """Returns one metric over its steps; gaps where a value is not finite."""
    few = reduce({"": points}, _POINTS)[""]
    values = [value for value in few.value if is_finite(value)]
    if not values:
        return Markup("")
    low, high = min(values), max(values)
    first, last = min(few.step), max(few.step)
    across = (WIDTH - _LEFT - _RIGHT) / ((last - first) or 1)
    upward = (HEIGHT - _TOP - _BOTTOM) / ((high - low) or 1)
    parts: list[str] = []
    pen = "M"
    for step, value in zip(few.step, few.value, strict=True):
        if not is_finite(value):
            pen = "M"
            continue
        x = _LEFT + (step - first) * across
        y = HEIGHT - _BOTTOM - (value - low) * upward if high > low else HEIGHT / 2
        parts.append(f"{pen}{x:.1f} {y:.1f}")
        pen = "L"
    if len(parts) == 1:
        parts.append("h.1")  # a point is a line that goes nowhere
    return Markup(
        f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" '
        f'aria-hidden="true"><path d="{"".join(parts)}"/></svg>'
    )


def spark(values: Sequence[float | None], marked: int | None = None) -> Markup:
    """Returns a line through values in order, one of them marked with a dot."""
    finite = [value for value in values if value is not None and is_finite(value)]
    if len(finite) < 2:
        return Markup("")
    low, high = min(finite), max(finite)
    across, upward = 96 / (len(values) - 1), 20 / ((high - low) or 1)
    places = [
        (2 + index * across, 22 - (value - low) * upward)
        for index, value in enumerate(values)
        if value is not None and is_finite(value)
    ]
    line = "".join(f"{'L' if n else 'M'}{x:.1f} {y:.1f}" for n, (x, y) in enumerate(places))
    dot = ""
    if marked is not None and values[marked] is not None:
        value = values[marked]
        assert value is not None
        dot = (
            f'<circle cx="{2 + marked * across:.1f}" cy="{22 - (value - low) * upward:.1f}" r="2"/>'
        )
    return Markup(
        f'<svg class="spark" viewBox="0 0 100 24" aria-hidden="true"><path d="{line}"/>{dot}</svg>'
    )


def bars(counts: Sequence[tuple[str, Sequence[int]]], kinds: Sequence[str]) -> Markup:
    """Returns stacked bars: a label and a count for each kind, from the bottom up."""
    most = max((sum(parts) for _, parts in counts), default=0)
    if not most:
        return Markup("")
    pitch = 600 / max(len(counts), 1)
    width = min(14.0, pitch * 0.7)  # a few bars are no blocks
    drawn = []
    for index, (label, parts) in enumerate(counts):
        x = index * pitch + (pitch - width) / 2
        bottom = 96.0
        shapes = []
        for kind, count in zip(kinds, parts, strict=True):
            height = 90 * count / most
            bottom -= height
            if count:
                shapes.append(
                    f'<rect class="{kind}" x="{x:.1f}" y="{bottom:.1f}" width="{width:.1f}" '
                    f'height="{max(height, 0.8):.1f}"/>'
                )
        if shapes:
            title = Markup("<title>{}</title>").format(label)
            drawn.append(f"<g>{title}{''.join(shapes)}</g>")
    return Markup(
        '<svg class="bars" viewBox="0 0 600 97" preserveAspectRatio="none" aria-hidden="true">'
        f'<line x1="0" y1="96.5" x2="600" y2="96.5"/>{"".join(drawn)}</svg>'
    )


def histogram(counts: Sequence[int], labels: Sequence[str], apart: bool = False) -> Markup:
    """Returns a small histogram, of values `apart` with gaps; each bar has its label as a title."""
    most = max(counts, default=0)
    if not most:
        return Markup("")
    pitch = 120 / len(counts)
    width = max(pitch * (0.75 if apart else 0.94), 0.5)
    drawn = []
    for place, (count, label) in enumerate(zip(counts, labels, strict=True)):
        height = max(27 * count / most, 0.7 if count else 0)
        left = place * pitch + ((pitch - width) / 2 if apart else 0)
        bar = f'<rect x="{left:.1f}" y="{28 - height:.1f}" width="{width:.1f}" '
        title = Markup("<title>{}</title>").format(label)
        drawn.append(f'{bar}height="{height:.1f}">{title}</rect>')
    return Markup(
        '<svg class="histogram" viewBox="0 0 120 28" preserveAspectRatio="none" '
        f'aria-hidden="true">{"".join(drawn)}</svg>'
    )


def extent(points: Points) -> tuple[str, str, str, str]:
    """Returns what a curve's axes say: lowest and highest value, first and last step."""
    values = [value for value in points.value if is_finite(value)] or [0]
    low, high = min(values), max(values)
    ends = number(low, 4), number(high, 4)
    if low < high and ends[0] == ends[1]:  # what differs does not look the same
        ends = number(low, 12), number(high, 12)
    return *ends, str(min(points.step)), str(max(points.step))
