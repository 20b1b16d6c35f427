"""What of a logged chart is drawn, what is not let in, and its data as a table."""

from __future__ import annotations

import copy
from typing import Any

import altair
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.site.foreign import Refused, rows, tame

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
    rows(found)


# --- its data as a table ------------------------------------------------------------------------

SQUARES = [{"a": number, "b": number**2} for number in range(3)]


def test_the_data_of_charts_of_altair() -> None:
    data = altair.InlineData(SQUARES)
    chart = altair.Chart(data).mark_point().encode(x="a:Q", y="b:Q")
    other = altair.Chart(altair.InlineData([{"c": 1}])).mark_bar().encode(x="c:Q")
    unnamed = altair.Chart(altair.sequence(0, 3)).mark_rule()
    with altair.data_transformers.enable(consolidate_datasets=False):
        inline = chart.to_dict()
    for spec in (
        chart.to_dict(),
        inline,
        (chart + other).to_dict(),
        (chart | other).to_dict(),
        (unnamed & (chart + other)).to_dict(),
        chart.facet("a:N").to_dict(),
        chart.repeat(layer=["a", "b"]).to_dict(),
    ):
        found = rows(tame(spec))
        assert found is not None
        assert found.names == ["a", "b"] and found.cells == [[0, 0], [1, 1], [2, 4]]
        assert found.total == 3 and found.more == ""
    assert rows(tame(unnamed.to_dict())) is None


@pytest.mark.parametrize(
    ("values", "names", "cells"),
    [
        ([{"a": 1}, {"b": None}], ["a", "b"], [[1, None], [None, None]]),
        ([1, "x", None], ["data"], [[1], ["x"], [None]]),
        ([{"a": {"b": [1, "x"]}, "c": True}], ["a", "c"], [['{"b":[1,"x"]}', True]]),
        ([{"a": "x" * 2**20, "b": 10**400}], ["a", "b"], [["x" * 59 + "…", "1" + "0" * 58 + "…"]]),
        ([{"x" * 100: 1}, {"": 2}], ["x" * 100, ""], [[1, None], [None, 2]]),
        ([{}], None, None),
        ([], None, None),
        ("a,b\n1,2", None, None),
        ({"a": 1}, None, None),
    ],
)
def test_rows_of_any_shape(values: Any, names: Any, cells: Any) -> None:
    for data in ({"values": values}, {"name": "rows"}, {"name": "rows", "values": values}):
        found = rows(tame({**PLAIN, "data": data, "datasets": {"rows": values}}))
        assert (found and found.names, found and found.cells) == (names, cells)


def test_of_many_rows_and_columns_the_first() -> None:
    values = [{f"c{column}": row for column in range(40)} for row in range(1234)]
    found = rows(tame({**PLAIN, "data": {"values": values}}))
    assert found is not None and found.names == [f"c{column}" for column in range(12)]
    assert [row[0] for row in found.cells] == list(range(20)) and found.total == 1234
    assert found.more == "the first 20 of 1,234 rows, the first 12 of 40 columns"


@pytest.mark.parametrize(
    "data", [None, {"name": ["x"]}, {"name": None}, {"sequence": {"start": 0, "stop": 9}}, [1]]
)
def test_charts_without_data_have_no_table(data: Any) -> None:
    assert rows(tame({**PLAIN, "data": data, "datasets": {"y": [1]}, "layer": 1})) is None
    assert rows(tame({**PLAIN, "data": data, "datasets": ["x"], "concat": [1, None]})) is None
