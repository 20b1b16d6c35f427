"""The query language in a real Chromium: that of mlgit/query.py, case by case and at random."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import pytest
from browser import chromium
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from test_query import HINTS, KEYS, TABLE, column

from mlgit import query
from mlgit.errors import QueryError
from mlgit.query import ATTRIBUTES, PARTS, Field, parse, parse_field, parse_sort
from mlgit.site import resources, tables

# What a condition says in the browser of rows of cells, or what is wrong with it.
RUN = """cases => cases.map(({where, fields, rows}) => {
    try {
        const found = mlgit.query.parse(where);
        const place = new Map(fields.map((field, index) => [field, index]));
        const places = found.fields.map((field) => place.get(mlgit.query.spelled(field)));
        const value = (row, index) => mlgit.decode(index === undefined ? null : row[index]);
        return rows.map((row) => found.matches(places.map((index) => value(row, index))));
    } catch (error) {
        if (!(error instanceof mlgit.query.QueryError)) throw error;
        return {message: error.message, column: error.column, hint: error.hint};
    }
})"""


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """A page with the scripts that the language needs."""
    with chromium() as browser:
        opened = browser.new_page()
        for name in ("base.js", "query.js"):
            opened.add_script_tag(path=resources.folder("site") / name)
        yield opened


def run(page: Any, cases: list[dict[str, Any]]) -> list[Any]:
    found = page.evaluate(RUN, cases)
    assert len(found) == len(cases)
    return list(found)


def test_the_table_of_cases_holds_in_the_browser(page: Any) -> None:
    cases = [case for case in TABLE if "row" in case]
    asked = [
        {
            "where": case["where"],
            "fields": [str(parse_field(field)) for field in case["row"]],
            "rows": [[tables.encode(value) for value in case["row"].values()]],
        }
        for case in cases
    ]
    found = run(page, asked)
    wrong = [
        (case, answer)
        for case, answer in zip(cases, found, strict=True)
        if answer != [case["matches"]]
    ]
    assert wrong == []
    assert len(cases) > 300


def test_mistakes_are_told_as_on_the_command_line(page: Any) -> None:
    cases = [case["where"] for case in TABLE if "column" in case]
    cases += ["", "name = ".ljust(query.MAX_LENGTH + 1, "x"), "'😀' = 1 and", "name = '😀' an x"]
    found = run(page, [{"where": where, "fields": [], "rows": []} for where in cases])
    for where, told in zip(cases, found, strict=True):
        try:
            parse(where)
        except QueryError as error:
            assert told["message"] == error.message.partition("\n")[0]
            assert told["column"] == column(error)
            assert (told["hint"] is None) is (error.hint is None), where
        else:
            assert told == []


@pytest.mark.parametrize(("text", "hint"), HINTS)
def test_hints_are_those_of_the_command_line(page: Any, text: str, hint: str) -> None:
    (told,) = run(page, [{"where": text, "fields": [], "rows": []}])
    assert told["hint"] == hint


T = TypeVar("T")

# --- at random -------------------------------------------------------------------------------

FIELDS = ["params.a", "metrics.b.min", "metrics.b", 'tags."c d"', "started", "id", "duration"]
ODD = ["7", "007", "1e3", "nan", "-inf", "true", "True", "", "x", "xx", "é", "😀", "～", "a%b"]
ODD += ["2026-11", "2026-11-22T20:32:01Z", "01kb2q", "01kb2q6v6r", "[1,2]", "9" * 20]
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**70), 2**70),
    # One without decimals is an integer to the browser, which `like` could tell.
    st.floats().filter(lambda value: not value.is_integer()),
    st.sampled_from([0.5, 1e-7, 0.0001, 1.5e300, 123456.75]),
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    st.sampled_from(ODD),
    st.text(max_size=6).filter(str.isprintable),
    st.lists(st.integers(0, 3) | st.sampled_from(ODD), max_size=2),
)
LITERALS = st.one_of(
    st.sampled_from(["7", "-2.5", "1e3", ".5", "nan", "inf", "-inf", "true", "null", "x", "😀"]),
    NUMBERS.map(repr),
    st.sampled_from(ODD).map(lambda text: "'" + text.replace("'", "''") + "'"),
)
PATTERNS = st.text("%_ax1.😀", max_size=6).map(lambda text: f"'{text}'")
COMPARISONS = st.one_of(
    st.tuples(
        st.sampled_from(FIELDS),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "==", "<>"]),
        LITERALS,
    ).map(" ".join),
    st.tuples(
        st.sampled_from(FIELDS),
        st.sampled_from(["in", "not in"]),
        st.lists(LITERALS, min_size=1, max_size=4).map(lambda each: f"({', '.join(each)})"),
    ).map(" ".join),
    st.tuples(st.sampled_from(FIELDS), st.sampled_from(["like", "not like"]), PATTERNS).map(
        " ".join
    ),
    st.tuples(st.sampled_from(FIELDS), st.sampled_from(["", "is null", "is not null"])).map(
        " ".join
    ),
)
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        inner.map(lambda text: f"not ({text})"),
        st.tuples(inner, st.sampled_from([" and ", " OR "]), inner).map("".join),
    ),
    max_leaves=4,
)
# Mostly torn pieces of conditions, for what must be refused.
TORN = st.lists(
    st.sampled_from(["params.a", "metrics.", "(", ")", "=", "<", "in", "like", "not", "is", "null"])
    | st.sampled_from(["'x'", '"', "`", "7", ",", "and", "or", "stauts", "-", "\u3000", "é"]),
    max_size=8,
).map(" ".join)


def drawn(count: int, strategy: st.SearchStrategy[T]) -> list[T]:
    """Returns so many random values, the same ones each time."""
    made: list[T] = []

    @seed(1)
    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: T) -> None:
        made.append(value)

    collect()
    return made


def rows_of(count: int, width: int) -> list[list[Any]]:
    return drawn(count, st.lists(VALUES, min_size=width, max_size=width))


def encoded(rows: list[list[Any]]) -> list[list[Any]]:
    return [[tables.encode(value) for value in row] for row in rows]


def test_random_conditions_mean_the_same(page: Any) -> None:
    conditions, rows = drawn(300, CONDITIONS) + drawn(150, TORN), rows_of(60, len(FIELDS))
    cells = encoded(rows)
    asked = [{"where": where, "fields": FIELDS, "rows": cells} for where in conditions]
    places = {parse_field(field): index for index, field in enumerate(FIELDS)}
    refused = 0
    for where, told in zip(conditions, run(page, asked), strict=True):
        try:
            condition = parse(where)
        except QueryError as error:
            assert told["message"] == error.message.partition("\n")[0], where
            refused += 1
        else:
            for row, answer in zip(rows, told, strict=True):
                values = [row[places[field]] for field in condition.fields]
                assert answer is condition.matches(values), (where, row)
    assert refused > 50 and len(conditions) - refused > 200


def test_fields_are_spelled_alike(page: Any) -> None:
    strategy = st.one_of(
        st.builds(Field, st.just("attribute"), st.sampled_from(ATTRIBUTES), st.just("")),
        st.builds(Field, st.sampled_from(["param", "tag"]), KEYS, st.just("")),
        st.builds(Field, st.just("metric"), KEYS, st.sampled_from(PARTS)),
    ).filter(lambda field: field.key.isprintable())
    made = drawn(200, strategy)
    plain = [field._asdict() for field in made]
    spelled = page.evaluate("fields => fields.map(mlgit.query.spelled)", plain)
    assert spelled == [str(field) for field in made]
    again = page.evaluate("texts => texts.map(text => mlgit.query.parseFields(text)[0])", spelled)
    assert again == plain


def test_rows_are_sorted_alike(page: Any) -> None:
    rows = rows_of(120, 3)
    cells = encoded(rows)
    places = {parse_field(f): i for i, f in enumerate(["params.a", "metrics.b.min", "started"])}
    for sort in ("params.a", "-params.a, started", "metrics.b.min desc, params.a", ""):
        found = page.evaluate(
            """([sort, rows]) => mlgit.query.sorted(
                rows.map((_, row) => row), mlgit.query.parseSort(sort),
                ({kind}) => rows.map((row) => mlgit.decode(
                    row[{param: 0, metric: 1, attribute: 2}[kind]])))""",
            [sort, cells],
        )
        expected = query.sort_rows(
            range(len(rows)), parse_sort(sort), lambda row, field: rows[row][places[field]]
        )
        assert found == expected, sort


def test_a_pattern_of_many_runs_does_not_explode(page: Any) -> None:
    where = f"name like '{'%a' * 50}b'"
    asked = [{"where": where, "fields": ["name"], "rows": [["a" * 1000]] * 100}]
    took, found = page.evaluate(
        f"cases => {{ const began = performance.now(); const found = ({RUN})(cases);"
        " return [performance.now() - began, found]; }",
        asked,
    )
    assert found == [[False] * 100]
    assert took < 5000
