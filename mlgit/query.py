"""The language of `mlgit log --where` and `--sort`: text in, a predicate or sort keys out.

    metrics.rmse < 7 and (params.depth in (4, 6) or not tags."needs review")

A condition is read once, from left to right, straight into closures; `Query.matches` only runs
them. A row is the sequence of the values of `Query.fields`, so whoever holds the data (index,
ledger, journal) decides how a field is looked up, and this room knows nothing of runs.

Grammar (keywords in any case; `or` binds weakest, then `and`, then `not`):

    FIELD                         the value is present
    FIELD = != < <= > >= LITERAL  also == and <>
    FIELD [not] in (LITERAL, …)   any of the values, each compared as by =
    FIELD [not] like 'val%'       the whole value; % is any run of characters, _ is one
    FIELD is [not] null           absent, or stored as null; = null and != null mean the same

    FIELD    an attribute (`ATTRIBUTES`), params.KEY, tags.KEY, metrics.KEY[.last|.min|…]
    KEY      letters, digits and _ - / . as they are; any other in "double quotes" or `backticks`
    LITERAL  12  -0.5  1e-3  inf  nan  true  false  null  'text'  "text"  or a bare word: 2026-11-22

Values compare like this:

- Any comparison with an absent value is false, != and `not in` too; `not (…)` is plain negation.
- Numbers compare as numbers; true is 1. When one side is a number and the other a string, the
  string is read as a bare literal would be ('7', 'inf', 'True'); if it is no number, the two are
  unequal and have no order. Two strings order by code point.
- NaN is unequal to everything and has no order, but `= nan` finds it and `!= nan` leaves it out.
- Lists and dicts stand for their compact JSON text, and have no order.
- Attributes except duration are text, whatever the literal looks like: `commit = 12345678`.
  `=` compares started and ended by prefix (a day, an hour), and ids from four characters on.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from typing import Any, NamedTuple, TypeVar

from mlgit.errors import QueryError

MAX_LENGTH = 10_000  # characters
MAX_NESTING = 100  # parentheses and `not` inside each other

ATTRIBUTES = ("id", "name", "experiment", "status", "started", "ended", "duration",
              "user", "email", "commit", "branch", "parent", "note")  # fmt: skip
PARTS = ("last", "min", "max", "step", "count")

Row = Sequence[object]
Test = Callable[[Row], bool]
T = TypeVar("T")


class Field(NamedTuple):
    """Names one value of a run; `str` gives the spelling that `parse_field` reads back.

    >>> str(Field("metric", "val loss", "min"))
    'metrics."val loss".min'
    """

    kind: str  # "attribute", "param", "metric" or "tag"
    key: str
    part: str = ""  # one of PARTS for a metric, empty otherwise

    def __str__(self) -> str:
        if self.kind == "attribute":
            return self.key
        ends_like_part = self.kind == "metric" and _PART.search(self.key)
        plain = _WORD.fullmatch(self.key) and not ends_like_part
        key = self.key if plain else '"' + self.key.replace('"', '""') + '"'
        return f"{self.kind}s.{key}" + (f".{self.part}" if self.part not in ("", "last") else "")


class Query(NamedTuple):
    """A condition, ready to run: `matches(row)` where `row[i]` is the value of `fields[i]`.

    Values are JSON values, and None is absent. `fields` are distinct, in order of appearance.

    >>> query = parse("metrics.rmse < 7 and params.depth = 6")
    >>> [str(field) for field in query.fields], query.matches([6.74, 6])
    (['metrics.rmse', 'params.depth'], True)
    """

    text: str
    fields: tuple[Field, ...]
    matches: Test


class SortKey(NamedTuple):
    """One column to sort by."""

    field: Field
    descending: bool


ALL = Query("", (), lambda row: True)


def parse(text: str, attributes: Sequence[str] = ATTRIBUTES) -> Query:
    """Reads a condition; a blank one is `ALL`. `attributes` are those of what is searched.

    Raises:
        QueryError: the text is not a condition; the message points at the column.
    """
    if not text.strip():
        return ALL
    reader = _Reader(text, "condition", attributes)
    test = reader.either()
    reader.finish("'and' or 'or'")
    return Query(text, tuple(reader.columns), test)


def parse_field(text: str) -> Field:
    """Reads one field: an attribute, or a param, metric or tag with its key.

    >>> parse_field("metrics.loss.min")
    Field(kind='metric', key='loss', part='min')

    Raises:
        QueryError: the text is not a field, or says more than one.
    """
    reader = _Reader(text, "field")
    field = reader.field()
    reader.finish("the end")
    return field


def parse_sort(text: str) -> list[SortKey]:
    """Reads sort keys, the most important first: "metrics.rmse, -started, params.depth desc".

    Raises:
        QueryError: the text is not a list of fields.
    """
    if not text.strip():
        return []
    reader = _Reader(text, "sort order")
    keys = [reader.sort_key()]
    while reader.sign(","):
        keys.append(reader.sort_key())
    reader.finish("','")
    return keys


def sort_rows(
    rows: Iterable[T], keys: Sequence[SortKey], value: Callable[[T, Field], object]
) -> list[T]:
    """Returns the rows in order; rows with equal keys keep theirs.

    `value(row, field)` looks a value up, so a row may be a record, a tuple or an index. Numbers
    come before strings and strings before the rest, all of it turned around by `descending`;
    absent values and NaN come last either way.
    """
    ordered = list(rows)
    for field, descending in reversed(keys):
        ranked = [(_rank(value(row, field)), row) for row in ordered]
        placed = [pair for pair in ranked if pair[0]]
        placed.sort(key=operator.itemgetter(0), reverse=descending)
        ordered = [row for _, row in placed] + [row for rank, row in ranked if not rank]
    return ordered


def _rank(value: object) -> tuple[int, Any] | None:
    """Gives a value its place among values of any type; None and NaN have none."""
    if value is None or _is_nan(value):
        return None
    if isinstance(value, (int, float)):
        return 0, value
    return (1, value) if isinstance(value, str) else (2, text_of(value))


# --- reading -------------------------------------------------------------------------

_KINDS = {kind + s: kind for kind in ("param", "tag", "metric", "attribute") for s in ("s", "")}
_KEYWORDS = {"and", "or", "not", "in", "like", "is"}

_WORD = re.compile(r"[\w./-]+")
_BARE = re.compile(r"[\w./:@%+-]+")
_QUOTED = re.compile(r"""(["'`])(?:(?!\1).|\1\1)*\1(?!\1)""", re.DOTALL)
_PART = re.compile(rf"\.(?:{'|'.join(PARTS)})(?![\w./-])")
_OPERATOR = re.compile(r"==|!=|<>|<=|>=|=|<|>")
_NUMBER = re.compile(
    r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?|nan)",
    re.IGNORECASE | re.ASCII,
)

# From how many characters on `=` takes the literal for the beginning of the value.
_PREFIX_FROM = {"started": 1, "ended": 1, "id": 4, "parent": 4, "commit": 4}

_QUOTING = "a key or value with spaces or signs is quoted: metrics.\"val loss\", 'first try'"


class _Reader:
    """Reads one text from left to right; `at` is where the next character stands, from 0.

    What a token is depends on its place: a `-` may belong to a key, a number, a date or a sort
    key. So there is no list of tokens, each rule takes what it wants.
    """

    def __init__(self, text: str, subject: str, attributes: Sequence[str] = ATTRIBUTES) -> None:
        self.text = text
        self.subject = subject
        self.attributes = attributes
        self.at = 0
        self.columns: dict[Field, int] = {}
        if len(text) > MAX_LENGTH:
            raise self.error(f"it is longer than {MAX_LENGTH:,} characters", MAX_LENGTH)

    def error(self, problem: str, at: int | None = None, hint: str | None = None) -> QueryError:
        """Makes the error that points at `at`, or at the next character.

        Of a long text it shows the neighbourhood: a caret means nothing below a wrapped line.
        """
        at = self.at if at is None else at
        start = max(0, at - 60)
        shown = "".join(c if c.isprintable() else " " for c in self.text[start : start + 90])
        message = f"cannot read the {self.subject} at column {at + 1}: {problem}"
        return QueryError(f"{message}\n  {shown}\n  {'^':>{at - start + 1}}", hint)

    def skip(self) -> int:
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1
        return self.at

    def take(self, pattern: re.Pattern[str]) -> str:
        """Takes what stands right here if it is of this kind, else nothing."""
        found = pattern.match(self.text, self.at)
        if found is None:
            return ""
        self.at = found.end()
        return found[0]

    def sign(self, sign: str) -> bool:
        found = self.text.startswith(sign, self.skip())
        self.at += found
        return found

    def expect(self, sign: str, problem: str) -> None:
        if not self.sign(sign):
            raise self.error(problem, hint=_QUOTING)

    def keyword(self, *words: str) -> str:
        """Takes the next word if it is one of these, else nothing."""
        start = self.skip()
        word = self.take(_WORD).lower()
        if word in words:
            return word
        self.at = start
        return ""

    def quoted(self, quotes: str) -> str | None:
        """Takes a string that opens right here with one of these quotes; None if none does."""
        if not self.text.startswith(tuple(quotes), self.at):
            return None
        quote = self.text[self.at]
        token = self.take(_QUOTED)
        if not token:
            raise self.error(f"this {quote} is never closed")
        return token[1:-1].replace(quote * 2, quote)

    def finish(self, expected: str) -> None:
        if self.skip() < len(self.text):
            raise self.error(f"{expected} is expected", hint=_QUOTING)

    def field(self) -> Field:
        start = self.skip()
        word = self.take(_WORD)
        if not word or word.lower() in _KEYWORDS:
            raise self.error("a field is expected, such as status or metrics.rmse", start)
        prefix, dot, key = word.partition(".")
        kind, part = _KINDS.get(prefix, "") if dot else "", ""
        if not kind:
            kind, key = "attribute", word
        elif not key:
            key = self.quoted('"`') or ""
            if not key:
                raise self.error(f"a key is expected after '{word}'", hint=_QUOTING)
            if kind == "metric":
                part = self.take(_PART)[1:]
        elif kind == "metric" and (found := _PART.search(key, 1)):
            key, part = key[: found.start()], found[0][1:]
        if kind == "attribute" and key not in self.attributes:
            raise self.unknown(key, start)
        return Field(kind, key, part or "last") if kind == "metric" else Field(kind, key)

    def unknown(self, name: str, at: int) -> QueryError:
        import difflib  # only a mistake pays for it

        prefix, dot, key = name.partition(".")
        near = difflib.get_close_matches(prefix.lower(), _KINDS if dot else self.attributes, n=1)
        meant = f"write {Field('metric', name)} or {Field('param', name)}"
        return self.error(
            f"there is no field {name!r}; there are {', '.join(self.attributes)}, "
            "metrics.KEY, params.KEY and tags.KEY",
            at,
            hint=f"did you mean {near[0]}{dot}{key}?" if near else meant,
        )

    def sort_key(self) -> SortKey:
        if self.sign("-"):
            return SortKey(self.field(), descending=True)
        return SortKey(self.field(), descending=self.keyword("asc", "desc") == "desc")

    def either(self, depth: int = 0) -> Test:
        """Reads a condition that stands inside `depth` parentheses and `not`."""
        tests = [self.every(depth)]
        while self.keyword("or"):
            tests.append(self.every(depth))
        return _joined(tests, _or)

    def every(self, depth: int) -> Test:
        tests = [self.term(depth)]
        while self.keyword("and"):
            tests.append(self.term(depth))
        return _joined(tests, _and)

    def term(self, depth: int) -> Test:
        if depth > MAX_NESTING:
            raise self.error(f"it is nested deeper than {MAX_NESTING} levels", self.skip())
        if self.keyword("not"):
            return _not(self.term(depth + 1))
        opened = self.skip()
        if not self.sign("("):
            return self.comparison()
        test = self.either(depth + 1)
        self.expect(")", f"')' is expected for the '(' of column {opened + 1}")
        return test

    def comparison(self) -> Test:
        field = self.field()
        column = self.columns.setdefault(field, len(self.columns))
        after = self.skip()
        if sign := self.take(_OPERATOR):
            return self.compared(field, column, {"==": "=", "<>": "!="}.get(sign, sign), sign)
        if self.keyword("is"):
            negated = self.keyword("not")
            if not self.keyword("null"):
                raise self.error("'null' or 'not null' is expected after 'is'")
            return _present(column) if negated else _not(_present(column))
        negated = self.keyword("not")
        if self.keyword("in"):
            test = self.one_of(field, column)
        elif self.keyword("like"):
            test = _like(column, self.literal("like")[0])
        elif negated:
            raise self.error("'in' or 'like' is expected after 'not'")
        elif after == len(self.text) or self.keyword("and", "or") or self.sign(")"):
            self.at = after
            return _present(column)
        else:
            operators = "= != < <= > >= in like is"
            raise self.error(f"after {field} one of {operators} is expected", hint=_QUOTING)
        return _and(_present(column), _not(test)) if negated else test

    def one_of(self, field: Field, column: int) -> Test:
        self.expect("(", "'(' is expected after 'in'")
        literals = [self.value_of(field, "(")]
        while self.sign(","):
            literals.append(self.value_of(field, ","))
        self.expect(")", "',' or ')' is expected")
        return _in(column, literals)

    def compared(self, field: Field, column: int, op: str, after: str) -> Test:
        """Reads the literal that stands after `after`, and makes the comparison with it."""
        start = self.skip()
        literal = self.value_of(field, after)
        if literal is None:
            if op not in ("=", "!="):
                raise self.error("null has no order", start, "write 'is null' or 'is not null'")
            return _present(column) if op == "!=" else _not(_present(column))
        if literal.number is not None:
            return _against_number(column, op, literal.number)
        return _against_text(column, op, literal.text, literal.is_prefix)

    def value_of(self, field: Field, after: str) -> _Literal | None:
        """Reads the literal that stands after `after`, as it is meant for this field."""
        text, bare = self.literal(after)
        if bare and text.lower() == "null":
            return None
        is_text = field.kind == "attribute" and field.key != "duration"
        number = _number(text) if bare and not is_text else None
        is_prefix = is_text and len(text) >= _PREFIX_FROM.get(field.key, math.inf)
        return _Literal(text, number, is_prefix)

    def literal(self, after: str) -> tuple[str, bool]:
        """Reads a literal; returns its text, and whether it stands bare, without quotes."""
        start = self.skip()
        text = self.quoted("'\"")
        if text is not None:
            return text, False
        text = self.take(_BARE)
        if not text or text.lower() in _KEYWORDS:
            hint = _QUOTING if self.text[start:] else None
            raise self.error(f"a value is expected after '{after}'", start, hint)
        return text, True


# --- testing rows: all that a literal decides is decided before the first row ---------

_Compare = Callable[[Any, Any], bool]


class _Literal(NamedTuple):
    """What a condition compares with."""

    text: str
    number: float | None
    """None: it is a text, though perhaps one that a number is compared with as one."""
    is_prefix: bool
    """`=` finds the values that begin with it."""


_PLAIN: dict[str, _Compare] = {"=": operator.eq, "!=": operator.ne}
_PLAIN |= {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_NAN: dict[str, _Compare] = {
    **_PLAIN,
    "=": lambda value, nan: _is_nan(value),
    "!=": lambda value, nan: not _is_nan(value),
}
_PREFIX: dict[str, _Compare] = {
    **_PLAIN,
    "=": str.startswith,
    "!=": lambda value, prefix: not value.startswith(prefix),
}


def _number(text: str) -> float | None:
    """Reads a number or truth value as a bare literal is read; None if it is neither."""
    if _NUMBER.fullmatch(text):
        try:
            return int(text)
        except ValueError:  # not an integer, or one of more digits than Python reads
            return float(text)
    return {"true": True, "false": False}.get(text.lower())


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def literal(value: object) -> str:
    """Returns a stored value as a condition spells it."""
    if isinstance(value, (int, float)):
        return repr(value)
    text = text_of(value).replace("'", "''")
    return f"'{text}'"


def text_of(value: object) -> str:
    """Returns the text that a value other than a number is compared by."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _against_number(column: int, op: str, number: float) -> Test:
    compare = (_NAN if _is_nan(number) else _PLAIN)[op]
    unequal = op == "!="

    def test(row: Row) -> bool:
        value = row[column]
        if type(value) is float or type(value) is int:  # nearly always
            return compare(value, number)
        if value is None:
            return False
        if isinstance(value, str):
            value = _number(value)
        return compare(value, number) if isinstance(value, (int, float)) else unequal

    return test


def _against_text(column: int, op: str, text: str, by_prefix: bool) -> Test:
    compare = (_PREFIX if by_prefix else _PLAIN)[op]
    has_order = op not in ("=", "!=")
    number = _number(text)
    unequal = op == "!="
    on_number = (lambda _: unequal) if number is None else _against_number(column, op, number)

    def test(row: Row) -> bool:
        value = row[column]
        if isinstance(value, str):
            return compare(value, text)
        if isinstance(value, (int, float)):
            return on_number(row)
        return value is not None and not has_order and compare(text_of(value), text)

    return test


def _in(column: int, literals: Iterable[_Literal | None]) -> Test:
    """Returns `=` with any of the literals: a look into sets, however many there are."""
    bare, quoted, texts, has_null = _Numbers(), _Numbers(), set(), False
    beginnings: dict[int, set[str]] = {}  # by their length
    for literal in literals:
        if literal is None:
            has_null = True
        elif literal.number is not None:
            bare.add(literal.number)
        else:
            quoted.add(_number(literal.text))
            if literal.is_prefix:
                beginnings.setdefault(len(literal.text), set()).add(literal.text)
            else:
                texts.add(literal.text)

    def test(row: Row) -> bool:
        value = row[column]
        if value is None:
            return has_null
        if isinstance(value, (int, float)):
            return value in bare or value in quoted
        text = text_of(value)
        return (
            text in texts
            or any(text[:length] in begins for length, begins in beginnings.items())
            or (value is text and bool(bare) and _number(text) in bare)
        )

    return test


class _Numbers:
    """A set of numbers in which NaN, unlike in a set of Python's, is found."""

    def __init__(self) -> None:
        self._numbers: set[float] = set()
        self._has_nan = False

    def add(self, number: float | None) -> None:
        if _is_nan(number):
            self._has_nan = True
        elif number is not None:
            self._numbers.add(number)

    def __bool__(self) -> bool:
        return self._has_nan or bool(self._numbers)

    def __contains__(self, number: float | None) -> bool:
        return number in self._numbers or (self._has_nan and _is_nan(number))


def _like(column: int, pattern: str) -> Test:
    # By way of a shell pattern, because those are translated so that they never backtrack.
    plain = re.sub(r"[*?[]", r"[\g<0>]", pattern)
    match = re.compile(translate(plain.replace("%", "*").replace("_", "?"))).match
    return lambda row: row[column] is not None and match(text_of(row[column])) is not None


def _present(column: int) -> Test:
    return lambda row: row[column] is not None


def _not(test: Test) -> Test:
    return lambda row: not test(row)


def _and(left: Test, right: Test) -> Test:
    return lambda row: left(row) and right(row)


def _or(left: Test, right: Test) -> Test:
    return lambda row: left(row) or right(row)


def _joined(tests: list[Test], join: Callable[[Test, Test], Test]) -> Test:
    """Joins by halves, so that a thousand tests call each other ten deep, not a thousand."""
    if len(tests) == 1:
        return tests[0]
    half = len(tests) // 2
    return join(_joined(tests[:half], join), _joined(tests[half:], join))
