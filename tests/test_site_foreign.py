"""What of a logged chart is drawn, and what is not let in."""

from __future__ import annotations

import copy
from typing import Any

import altair
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.site.foreign import Refused, tame

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
ROWS = {"values": [{"url": "http://a.example", "href": "x", "calculate": "repeat('x', 9)"}]}
PLAIN: dict[str, Any] = {"data": ROWS, "mark": "bar", "encoding": {"x": {"field": "url"}}}


def test_charts_of_altair_stay_as_they_are() -> None:
    brush = altair.selection_interval()
    size = altair.param(value=1, bind=altair.binding_range(min=0, max=3, name="size"))
    data = altair.InlineData([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}])
    base = altair.Chart(data).mark_point(cursor="pointer").encode(x="a:Q", color="b:N")
    chart = (base.add_params(brush, size) | base.mark_bar().encode(y="count()")).properties(
        title="Repeat (twice)"
    )
    spec = chart.to_dict()
    expected = {key: value for key, value in spec.items() if key != "$schema"}
    assert tame(copy.deepcopy(spec)) == expected


def test_rows_may_hold_anything() -> None:
    assert tame({**PLAIN, "datasets": {"url": ROWS["values"]}}) == {
        **PLAIN,
        "datasets": {"url": ROWS["values"]},
    }


@pytest.mark.parametrize(
    ("added", "left"),
    [
        ({"usermeta": {"embedOptions": {"ast": False, "config": "http://a.example"}}}, {}),
        ({"$schema": SCHEMA}, {}),
        ({"__proto__": {"a": 1}, "constructor": 1}, {}),
        ({"mark": {"type": "bar", "href": "http://a.example"}}, {"mark": {"type": "bar"}}),
        ({"mark": {"type": "bar", "cursor": "url(http://a.example)"}}, {"mark": {"type": "bar"}}),
        ({"mark": {"type": "bar", "cursor": {"expr": "datum.url"}}}, {"mark": {"type": "bar"}}),
        (
            {"encoding": {"href": {"field": "url"}, "x": {"field": "a"}}},
            {"encoding": {"x": {"field": "a"}}},
        ),
        (
            {
                "params": [
                    {"name": "a", "bind": {"input": "text", "onfocus": "x", "element": "body"}}
                ]
            },
            {"params": [{"name": "a", "bind": {"input": "text"}}]},
        ),
        (
            {"params": [{"name": "a", "bind": {"b": {"input": "range", "style": "x", "max": 2}}}]},
            {"params": [{"name": "a", "bind": {"b": {"input": "range", "max": 2}}}]},
        ),
    ],
)
def test_what_is_left_out(added: dict[str, Any], left: dict[str, Any]) -> None:
    assert tame({**PLAIN, **added}) == {**PLAIN, **left}


def nested(depth: int) -> dict[str, Any]:
    return {"layer": [nested(depth - 1)]} if depth else PLAIN


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (None, "no Vega-Lite"),
        ([PLAIN], "no Vega-Lite"),
        ({"marks": []}, "no Vega-Lite"),
        ({**PLAIN, "$schema": "https://vega.github.io/schema/vega/v6.json"}, "no Vega-Lite"),
        ({**PLAIN, "data": {"url": "http://a.example"}}, "elsewhere"),
        ({**PLAIN, "data": {"url": "file:///etc/passwd"}}, "elsewhere"),
        ({**PLAIN, "mark": {"type": "image", "url": "x.png"}}, "elsewhere"),
        ({**PLAIN, "encoding": {"url": {"field": "url"}}}, "elsewhere"),
        ({**PLAIN, "transform": [{"lookup": "a", "from": {"data": {"url": "x"}}}]}, "elsewhere"),
        ({**PLAIN, "data": {"values": [], "url": "x"}}, "elsewhere"),
        ({**PLAIN, "datasets": [{"url": "x"}], "layer": [{"data": {"url": "x"}}]}, "elsewhere"),
        ({**PLAIN, "data": {"sequence": {"start": 0, "stop": 1e9}}}, "without end"),
        ({**PLAIN, "data": {"sequence": {"start": 0, "stop": 1, "step": 0}}}, "without end"),
        ({**PLAIN, "data": {"sequence": {"start": 0, "stop": {"signal": "a"}}}}, "without end"),
        ({**PLAIN, "transform": [{"calculate": "sequence(1e9)", "as": "a"}]}, "without end"),
        ({**PLAIN, "transform": [{"filter": {"and": ["REPEAT ('a', 1e9)"]}}]}, "without end"),
        ({**PLAIN, "transform": [{"calculate": "\\u0072epeat(1)", "as": "a"}]}, "without end"),
        ({**PLAIN, "params": [{"name": "a", "expr": "pad('a', 1e9)"}]}, "without end"),
        (
            {**PLAIN, "encoding": {"x": {"axis": {"values": {"expr": "sequence(9)"}}}}},
            "without end",
        ),
        ({**PLAIN, "params": [{"bind": {"input": "image", "src": "http://a.example"}}]}, "control"),
        ({**PLAIN, "params": [{"bind": {"input": ["file"]}}]}, "control"),
        ({**PLAIN, "width": 1e6}, "width is larger"),
        ({**PLAIN, "transform": [{"density": "a", "steps": 1e9}]}, "steps is larger"),
        ({**PLAIN, "encoding": {"x": {"bin": {"maxbins": 1e9}}}}, "maxbins is larger"),
        (nested(100), "too large"),
        ({**PLAIN, "params": [{"name": str(n)} for n in range(30_000)]}, "too large"),
    ],
)
def test_what_is_refused(spec: Any, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        tame(spec)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(
                    ["mark", "data", "url", "bind", "input", "expr", "width", "sequence"]
                ),
                st.text(max_size=4),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=20,
)


@given(json_values)
def test_nothing_but_a_refusal(spec: Any) -> None:
    try:
        found = tame(spec)
    except Refused:
        return
    assert isinstance(found, dict)
