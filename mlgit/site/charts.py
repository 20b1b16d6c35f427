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


@cache
def specs() -> dict[str, Spec]:
    """Returns the specification of each kind of chart."""
    return {"curves": _plain(_curves())}


def _plain(chart: Chart) -> Spec:
    # As big as the element it is drawn in; colours and fonts are the page's.
    spec = chart.properties(width="container", height="container").to_dict()
    return {key: value for key, value in spec.items() if key not in ("$schema", "config")}


def _curves() -> Chart:
    """A metric over steps or time, of one run or several."""
    base = alt.Chart(alt.NamedData("rows")).encode(
        x=alt.X("x:Q", title=None, scale=alt.Scale(zero=False, nice=False)).axis(tickCount=4),
        color=_OWN,
        detail="run:N",
    )

    def y(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", title=None, scale=alt.Scale(zero=False)).axis(tickCount=4)

    near = alt.selection_point(
        "near", fields=["row"], nearest=True, on="pointerover", clear="pointerout", empty=False
    )
    band = base.mark_area(opacity=0.16).encode(y=y("low"), y2="high")
    raw = base.mark_line(strokeWidth=1, opacity=0.3).encode(y=y("raw"))
    line = base.mark_line(strokeWidth=1.6).encode(y=y("y"))
    shown = alt.when(near).then(alt.value(1)).otherwise(alt.value(0))
    point = base.mark_point(filled=True, size=50).encode(y=y("y"), opacity=shown, tooltip="row:Q")
    return alt.layer(band, raw, line, point.add_params(near))


_OWN = alt.Color("colour:N", scale=None, legend=None)  # each row says its own
