"""The query language: a table shared with the site's JavaScript, properties, and a few words."""

from __future__ import annotations

import json
import math
import operator
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit import query
from mlgit.errors import QueryError
from mlgit.query import ALL, ATTRIBUTES, PARTS, Field, SortKey, parse, parse_field, parse_sort


def _real(value: dict[str, Any]) -> Any:
    """JSON has no NaN and no infinities; in the table they are {"$float": "NaN"}."""
    return float(value["$float"]) if set(value) == {"$float"} else value


TABLE = json.loads(
    Path(__file__).with_name("query_cases.json").read_text(encoding="utf-8"), object_hook=_real
)


def matches(where: str, row: dict[str, Any]) -> bool:
    values = {parse_field(field): value for field, value in row.items()}
    condition = parse(where)
    return condition.matches([values.get(field) for field in condition.fields])


def column(error: QueryError) -> int:
    found = re.search(r" at column (\d+): ", error.message)
    assert found
    return int(found[1])


def name_of(case: dict[str, Any]) -> str:
    return f"{case['where'][:50]!a} {case.get('row', '')!a:.50}"


# --- the table -----------------------------------------------------------------------


@pytest.mark.parametrize("case", [case for case in TABLE if "row" in case], ids=name_of)
def test_a_condition_matches_as_the_table_says(case: dict[str, Any]) -> None:
    assert matches(case["where"], case["row"]) is case["matches"]


@pytest.mark.parametrize("case", [case for case in TABLE if "column" in case], ids=name_of)
def test_a_mistake_is_pointed_at(case: dict[str, Any]) -> None:
    with pytest.raises(QueryError) as caught:
        parse(case["where"])
    assert column(caught.value) == case["column"]


# --- fields --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("status", Field("attribute", "status")),
        (" started ", Field("attribute", "started")),
        ("attributes.status", Field("attribute", "status")),
        ("params.lr", Field("param", "lr")),
        ("param.optimizer/lr-0", Field("param", "optimizer/lr-0")),
        ("params.a.min", Field("param", "a.min")),
        ("tags.ревью", Field("tag", "ревью")),
        ("metrics.rmse", Field("metric", "rmse", "last")),
        ("metric.rmse.count", Field("metric", "rmse", "count")),
        ("metrics.val.rmse", Field("metric", "val.rmse", "last")),
        ("metrics.a.min.max", Field("metric", "a.min", "max")),
        ("metrics.min", Field("metric", "min", "last")),
        ('metrics."a.min"', Field("metric", "a.min", "last")),
        ('metrics."val loss".step', Field("metric", "val loss", "step")),
        ("metrics.`val loss`", Field("metric", "val loss", "last")),
        ('tags."say ""hi"""', Field("tag", 'say "hi"')),
    ],
)
def test_names_that_must_parse(text: str, field: Field) -> None:
    assert parse_field(text) == field
    assert parse_field(str(field)) == field


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "rmse",
        "Status",
        "not",
        "params",
        "params.",
        "params. lr",
        "params.a b",
        "status,",
        'params.""',
        "params.'a'",
        'params."a',
        'params."a"b',
        'params."a".min',
        'params.a"b"',
        "metrics.a:b",
        'metrics."a".mean',
        'metrics."a"min',
        "attributes.rmse",
        "-status",
        '"status"',
    ],
)
def test_names_that_must_not_parse(text: str) -> None:
    with pytest.raises(QueryError, match="cannot read the field at column"):
        parse_field(text)


KEYS = st.builds(
    operator.add,
    st.text(min_size=1) | st.text("ab.min_/-\"` '", min_size=1),
    st.sampled_from(["", *(f".{part}" for part in PARTS)]),
)
FIELDS = st.one_of(
    st.sampled_from([Field("attribute", name) for name in ATTRIBUTES]),
    st.builds(Field, st.sampled_from(["param", "tag"]), KEYS, st.just("")),
    st.builds(Field, st.just("metric"), KEYS, st.sampled_from(PARTS)),
)


@given(FIELDS)
def test_a_field_reads_back_as_it_is_spelled(field: Field) -> None:
    assert parse_field(str(field)) == field
    assert parse(f"{field} = 1 and not {field} is null").fields == (field,)
    assert parse_sort(f"{field} desc, -{field}") == [SortKey(field, True)] * 2


# --- conditions ----------------------------------------------------------------------

TOKENS = ["metrics.a", "params.", '"a b"', "status", "id", "(", ")", ",", "=", "<", "!=", "not"]
TOKENS += [
    "in",
    "like",
    "is",
    "null",
    "and",
    "or",
    "'x%'",
    "'",
    "`",
    "1e5",
    "nan",
    "true",
    "-",
    ".",
]
SNIPPETS = st.lists(st.sampled_from([*TOKENS, " ", " "]), max_size=12).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(TOKENS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)
LITERALS = st.sampled_from(["1", "-2.5", "nan", "inf", "true", "'1'", "'x'", "word", "''", "null"])


@given(st.text() | st.text(st.characters(exclude_categories=())) | SNIPPETS)
def test_any_text_is_read_or_refused_with_a_query_error(text: str) -> None:
    for read in (parse, parse_field, parse_sort):
        try:
            read(text)
        except QueryError as error:
            assert 1 <= column(error) <= len(text) + 1


@given(SNIPPETS, st.data())
def test_not_is_the_complement(text: str, data: st.DataObject) -> None:
    try:
        condition = parse(f"({text})")
    except QueryError:
        return
    row = [data.draw(VALUES) for _ in condition.fields]
    assert parse(f"not ({text})").matches(row) is not condition.matches(row)


@given(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), LITERALS, VALUES)
def test_a_comparison_never_fails_and_never_finds_what_is_absent(
    op: str, literal: str, value: object
) -> None:
    if literal == "null":
        return
    for field in ("params.x", "started", "id"):
        found = parse(f"{field} {op} {literal}").matches([value])
        assert isinstance(found, bool)
        assert not (found and value is None)


@given(LITERALS, VALUES)
def test_equal_and_unequal_part_what_is_present(literal: str, value: object) -> None:
    equal, unequal, present = (
        parse(f"params.x {test}").matches([value])
        for test in (f"= {literal}", f"!= {literal}", "is not null")
    )
    assert equal + unequal == (1 if literal == "null" else present)


@given(
    st.sampled_from(["params.x", "started", "id", "duration"]),
    st.lists(LITERALS | st.sampled_from(["'nan'", "01kb2q6v", "2026-11"]), min_size=1, max_size=6),
    VALUES | st.sampled_from(["1", "x", "2026-11-22", "01kb2q6v6r", "nan", "True", math.nan]),
)
def test_in_finds_what_one_of_its_values_equals(
    field: str, literals: list[str], value: object
) -> None:
    one_of = parse(f"{field} in ({', '.join(literals)})")
    each = parse(" or ".join(f"{field} = {literal}" for literal in literals))
    assert one_of.matches([value]) is each.matches([value])
    none_of = parse(f"{field} not in ({', '.join(literals)})")
    assert none_of.matches([value]) is (value is not None and not each.matches([value]))


@given(st.text(), st.text("%_ab*?[]\n\\"))
def test_like_is_what_its_definition_says(value: str, pattern: str) -> None:
    quoted = pattern.replace("'", "''")
    slow = "".join({"%": ".*", "_": "."}.get(char, re.escape(char)) for char in pattern)
    for text in (value, pattern, pattern.replace("%", "ab").replace("_", "a")):
        expected = re.fullmatch(slow, text, re.DOTALL) is not None
        assert parse(f"name like '{quoted}'").matches([text]) is expected


OPERATORS = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, ">=": operator.ge}
NAMES = ("params.a", "metrics.b.min", 'tags."c d"')
Tree = tuple[Any, ...]
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.tuples(st.sampled_from(sorted(OPERATORS)), st.sampled_from(NAMES), st.integers(0, 3)),
    lambda inner: (
        st.tuples(st.just("not"), inner) | st.tuples(st.sampled_from(["and", "or"]), inner, inner)
    ),
    max_leaves=12,
)
STRENGTH = {"or": 0, "and": 1, "not": 2}


def rendered(tree: Tree, around: int = 0) -> str:
    """Spells a tree with only the parentheses it needs."""
    op, *inside = tree
    strength = STRENGTH.get(op, 3)
    if strength == 3:
        return f"{inside[0]}{op}{inside[1]}"
    if op == "not":
        text = f"NOT {rendered(inside[0], strength)}"
    else:
        text = f" {op}\n".join(rendered(part, strength) for part in inside)
    return f"({text})" if strength < around else text


def truth(tree: Tree, row: dict[str, int]) -> bool:
    op, *inside = tree
    if op in OPERATORS:
        return inside[0] in row and bool(OPERATORS[op](row[inside[0]], inside[1]))
    parts = [truth(part, row) for part in inside]
    return not parts[0] if op == "not" else all(parts) if op == "and" else any(parts)


@given(TREES, st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3)))
def test_a_random_tree_means_what_it_says(tree: Tree, row: dict[str, int]) -> None:
    assert matches(rendered(tree), row) is truth(tree, row)


def test_blank_matches_everything() -> None:
    assert parse(" \n") is ALL
    assert ALL.matches([]) and ALL.fields == ()


def test_fields_are_distinct_and_in_order_of_appearance() -> None:
    condition = parse("params.b = 1 or metrics.a and (param.b = 2 or metric.a.last < 3 or id)")
    assert [str(field) for field in condition.fields] == ["params.b", "metrics.a", "id"]


def test_integers_beyond_a_float_stay_exact() -> None:
    assert parse("params.seed = 9007199254740993").matches([9007199254740993])
    assert not parse("params.seed = 9007199254740993").matches([9007199254740992])
    assert parse(f"params.seed < {'9' * 400}").matches(["9" * 399])
    assert parse(f"params.seed = {'9' * 5000}").matches(["8" * 5000]) in (True, False)


def test_a_long_chain_does_not_nest() -> None:
    assert parse(" or ".join(["name"] * 1200)).matches(["x"])
    assert not parse(" and ".join(["name"] * 1100)).matches([None])


def test_ten_thousand_characters_are_enough() -> None:
    assert parse("name = ".ljust(query.MAX_LENGTH, "x"))
    with pytest.raises(QueryError, match="column 10001: it is longer than 10,000 characters"):
        parse("name = ".ljust(query.MAX_LENGTH + 1, "x"))


def test_a_pattern_of_many_runs_does_not_explode() -> None:
    began = time.process_time()
    assert not parse(f"name like '{'%a' * 50}b'").matches(["a" * 5000])
    assert time.process_time() - began < 5


def test_the_message_shows_the_place_and_the_hint_the_way() -> None:
    with pytest.raises(QueryError) as caught:
        parse("metrics.rmse <")
    assert caught.value.message == (
        "cannot read the condition at column 15: a value is expected after '<'\n"
        "  metrics.rmse <\n"
        "                ^"
    )


HINTS = [
    ("stats = x", "did you mean status?"),
    ("Status = x", "did you mean status?"),
    ("parms.lr = 1", "did you mean params.lr?"),
    ("rmse < 1", "write metrics.rmse or params.rmse"),
    ("val.loss < 1", "write metrics.val.loss or params.val.loss"),
    ("params.a > null", "write 'is null' or 'is not null'"),
]  # which the browser gives too


@pytest.mark.parametrize(("text", "hint"), HINTS)
def test_hints(text: str, hint: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert caught.value.hint == hint


def test_the_error_of_an_unknown_field_says_which_exist() -> None:
    with pytest.raises(QueryError) as caught:
        parse("rmse < 1")
    assert all(name in caught.value.message for name in (*ATTRIBUTES, "metrics.KEY"))


def test_of_a_long_text_the_neighbourhood_is_shown() -> None:
    with pytest.raises(QueryError) as caught:
        parse("name = a or\n" * 100 + "name ~ b" + " or\tname = a" * 100)
    _, shown, caret = caught.value.message.split("\n")
    assert len(shown) < 100
    assert shown[caret.index("^")] == "~"


def test_importing_is_light() -> None:
    code = "import sys, mlgit.query; print('difflib' in sys.modules, 'dataclasses' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]


# --- sorting -------------------------------------------------------------------------


def test_sort_keys() -> None:
    rmse, started = Field("metric", "rmse", "last"), Field("attribute", "started")
    assert parse_sort("metrics.rmse, -started") == [SortKey(rmse, False), SortKey(started, True)]
    assert parse_sort("metrics.rmse ASC,started desc") == parse_sort("metrics.rmse, -started")
    assert parse_sort("") == []


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (",", 1),
        ("id,", 4),
        ("id name", 4),
        ("- ", 3),
        ("-id desc", 5),
        ("id desc asc", 9),
        ("id desc,,name", 9),
        ("id < 3", 4),
        ("rmse", 1),
        ("x" * 10_001, 10_001),
    ],
)
def test_sort_keys_that_must_not_parse(text: str, at: int) -> None:
    with pytest.raises(QueryError, match="cannot read the sort order") as caught:
        parse_sort(text)
    assert column(caught.value) == at


def ordered(values: list[Any], sort: str) -> list[Any]:
    return query.sort_rows(values, parse_sort(sort), lambda row, _: row)


def test_types_may_mix_and_absent_is_last_either_way() -> None:
    nan = math.nan
    values = [None, "b", [2], 3, nan, True, "a", 10**400, -math.inf, {"a": 1}]
    up = [-math.inf, True, 3, 10**400, "a", "b", [2], {"a": 1}]
    assert ordered(values, "id") == [*up, None, nan]
    assert ordered(values, "-id") == [*up[::-1], None, nan]


def test_several_keys_and_equal_rows_keep_their_order() -> None:
    rows = [(1, "b", 0), (2, "a", 1), (1, "a", 2), (None, "a", 3), (2, "a", 4), (1, "b", 5)]
    keys = parse_sort("-params.n, name")
    place = {Field("param", "n"): 0, Field("attribute", "name"): 1}
    in_order = query.sort_rows(rows, keys, lambda row, field: row[place[field]])
    assert [row[2] for row in in_order] == [1, 4, 2, 0, 5, 3]


@given(st.lists(VALUES))
def test_sorting_loses_nothing_and_sorted_stays_sorted(values: list[Any]) -> None:
    for sort in ("id", "-id"):
        once = ordered(values, sort)
        assert sorted(map(id, once)) == sorted(map(id, values))
        assert list(map(id, ordered(once, sort))) == list(map(id, once))


# --- speed ---------------------------------------------------------------------------


def test_a_hundred_thousand_rows_are_quick() -> None:
    rows = [(n % 100 / 10, n % 9) for n in range(100_000)]
    condition = parse("metrics.rmse < 7 and params.depth = 6")
    began = time.process_time()
    found = sum(map(condition.matches, rows))
    assert found == sum(rmse < 7 and depth == 6 for rmse, depth in rows)
    assert time.process_time() - began < 0.6  # some 0.02 s; the rest is for busy machines


def test_many_values_cost_no_more_than_one() -> None:
    compared = 0

    class Counting(str):
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    rows = [(Counting(f"01kb2q{n:020}"),) for n in range(10_000)]
    wanted = [str(row[0]) for row in rows[::25]]
    condition = parse(f"id in ({', '.join(wanted[:300])})")
    assert sum(map(condition.matches, rows)) == 300
    assert compared < 2 * len(rows)  # one by one it would be two million and more
