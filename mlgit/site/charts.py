"""Interactive charts: what each kind looks like, by Altair.

A specification is made once for its kind, with data that has a name and nothing in it: the
page fills it in, so a thousand charts cost as much here as one. `site/charts.js` draws them and
says what each kind is given.

Imported only where the specifications are made: Altair takes longer to load than a page to make.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import altair as alt

Spec = dict[str, Any]
Chart = alt.Chart | alt.LayerChart | alt.FacetChart


_ROWS = alt.NamedData("rows")
_OWN = alt.Color("colour:N", scale=None, legend=None)  # each row says its own


@cache
def specs() -> dict[str, Spec]:
    """Returns the specification of each kind of chart."""
    kinds = {
        "curves": _curves(),
        "scatter": _scatter(),
        "parallel": _parallel(),
        "histogram": _histogram(),
    }
    return {name: _plain(chart) for name, chart in kinds.items()}


def _plain(chart: Chart) -> Spec:
    # As big as the element it is drawn in; colours and fonts are the page's.
    spec = chart.properties(width="container", height="container").to_dict()
    return {key: value for key, value in spec.items() if key not in ("$schema", "config")}


def _near(field: str, *, empty: bool) -> alt.Parameter:
    """Returns what is nearest to the pointer; with `empty` everything if it is nowhere."""
    return alt.selection_point(
        "near", fields=[field], nearest=True, on="pointerover", clear="pointerout", empty=empty
    )


def _curves() -> Chart:
    """A metric over steps or time, of one run or several."""
    base = alt.Chart(_ROWS).encode(
        x=alt.X("x:Q", title=None, scale=alt.Scale(zero=False, nice=False)).axis(tickCount=4),
        color=_OWN,
        detail="run:N",
    )

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title=None, scale=alt.Scale(zero=False)).axis(tickCount=4)

    near = _near("row", empty=False)
    band = base.mark_area(opacity=0.16).encode(y=y("low"), y2="high")
    raw = base.mark_line(strokeWidth=1, opacity=0.3).encode(y=y("raw"))
    line = base.mark_line(strokeWidth=1.6).encode(y=y("y"))
    dot = base.mark_point(filled=True, size=30, opacity=1).encode(y=y("dot"))
    shown = alt.when(near).then(alt.value(1)).otherwise(alt.value(0))
    point = base.mark_point(filled=True, size=50).encode(y=y("y"), opacity=shown, tooltip="row:Q")
    return alt.layer(band, raw, line, dot, point.add_params(near))


def _scatter() -> Chart:
    """Runs by two of their values, and perhaps a third as the size."""
    hit = alt.selection_point(
        "hit", fields=["row"], on="pointerover", clear="pointerout", empty=False
    )
    padded = alt.Scale(zero=False, padding=14)
    chart: Chart = (
        alt.Chart(_ROWS)
        .mark_point(filled=True, opacity=0.8, cursor="pointer")
        .encode(
            x=alt.X("x:Q", scale=padded).axis(
                tickCount=alt.ExprRef("ceil(width / 90)"), labelFlush=False
            ),
            y=alt.Y("y:Q", scale=padded).axis(tickCount=alt.ExprRef("ceil(height / 50)")),
            size=alt.Size("size:Q", scale=alt.Scale(zero=False, range=[30, 340]), legend=None),
            color=_OWN,
            stroke=alt.Stroke("colour:N", scale=None, legend=None),
            strokeWidth=alt.when(hit).then(alt.value(6)).otherwise(alt.value(0)),
            tooltip="row:Q",
        )
        .add_params(hit)
    )
    return chart


def _histogram() -> Chart:
    """How many runs have which values: bars from end to end, or one for each value."""
    hit = alt.selection_point(
        "hit", fields=["row"], on="pointerover", clear="pointerout", empty=False
    )
    chart: Chart = (
        alt.Chart(_ROWS)
        .mark_bar(binSpacing=1)
        .encode(
            x=alt.X("low:Q", bin="binned", scale=alt.Scale(zero=False)).axis(tickCount=8),
            x2="high",
            y=alt.Y("runs:Q", title="runs", axis=alt.Axis(tickMinStep=1, tickCount=4)),
            opacity=alt.when(hit).then(alt.value(1)).otherwise(alt.value(0.85)),
            tooltip="row:Q",
        )
        .add_params(hit)
    )
    return chart


def _parallel() -> Chart:
    """Runs as lines across an axis for each of their values; what lies on an axis is 0 to 1."""
    across = alt.X("axis:N", title=None, sort=None, scale=alt.Scale(padding=0.35)).axis(
        orient="top", ticks=False, domain=False, labelAngle=0, labelPadding=10,
        labelExpr="split(datum.label, '\\n')", labelLineHeight=13,
        grid=True, zindex=1,  # axes lie over the lines that cross them
    )  # fmt: skip
    upward = alt.Y("at:Q", axis=None, scale=alt.Scale(domain=[0, 1]))
    near = _near("run", empty=True)
    seen = alt.when("datum.off").then(alt.value(0.05)).when(near).then(alt.value(0.7))
    base = alt.Chart(_ROWS).encode(x=across, y=upward, color=_OWN, detail="run:N")
    line = base.mark_line(strokeWidth=1.3).encode(
        opacity=seen.otherwise(alt.value(0.08)), order="place:Q"
    )
    point = base.mark_point(filled=True, size=30).encode(opacity=alt.value(0), tooltip="row:Q")
    brush = alt.Chart(alt.NamedData("brushes")).mark_rule(strokeWidth=14, opacity=0.25)
    text = alt.Chart(alt.NamedData("ticks")).encode(x=across, y=upward, text="text:N")
    # No word reaches the axis on its right, or the end of the chart; numbers are short.
    limit = alt.ExprRef("datum.room ? max(20, datum.room * width - 8) : 0")
    place: dict[str, Any] = {"align": "left", "dx": 6, "limit": limit}
    # Each text has a margin in the ground's colour, so that it can be read over lines.
    margin = text.mark_text(**place, style="margin")
    return alt.layer(
        line,
        point.add_params(near),
        brush.encode(x=across, y=upward, y2="to"),
        margin,
        text.mark_text(**place),
    )
