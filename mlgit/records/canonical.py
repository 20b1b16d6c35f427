"""JSON as mlgit writes and reads it: one spelling out, nothing trusted in.

Numbers that JSON cannot carry are kept exactly. In metrics, where a number is
expected anyway, NaN, the infinities and integers beyond 2**53 are strings. In
params, where a string is a string, they are `{"$float": "NaN"}` and
`{"$int": "36893488147419103232"}`; a user's own key that begins with `$` gets
one more.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from mlgit import names
from mlgit.errors import Invalid, Unreadable

DEPTH_LIMIT = 64
BIG = 2**53  # up to here every JSON reader keeps an integer exactly
DIGITS_LIMIT = 1000  # of an integer; converting long ones takes quadratic time
_HUGE = 10**DIGITS_LIMIT

Number = int | float  # never a bool; ints stay ints, of any size


def canonical(value: Any) -> bytes:
    """Returns the one JSON spelling of a value: UTF-8, keys sorted, two-space indent.

    A list that holds no list or object stands on one line; a final newline ends it.
    Tuples are lists.

    Raises:
        Invalid: something JSON has no word for (NaN too; see `pack`).

    >>> print(canonical({"b": [1, 2], "a": {}}).decode(), end="")
    {
      "a": {},
      "b": [1, 2]
    }
    """
    try:
        return (_render(value, "\n") + "\n").encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"this cannot be stored as JSON: {error}") from error


def _render(value: Any, newline: str) -> str:
    if isinstance(value, dict) and value:
        inner = newline + "  "
        items = (f"{_key(key)}: {_render(value[key], inner)}" for key in sorted(value))
        return "{" + inner + ("," + inner).join(items) + newline + "}"
    if isinstance(value, (list, tuple)) and any(isinstance(item, _NESTED) for item in value):
        inner = newline + "  "
        return (
            "[" + inner + ("," + inner).join(_render(item, inner) for item in value) + newline + "]"
        )
    return _dumps(value)


_NESTED = (dict, list, tuple)
_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"the key {names.shown(key)} is not a string")
    return _dumps(key)


def parse(data: bytes, what: str) -> dict[str, Any]:
    """Returns the object that untrusted JSON bytes hold.

    Raises:
        Unreadable: not UTF-8 or JSON, no object, duplicate keys, half characters,
            numbers beyond a double, deeper than 64.
    """
    try:
        decoder = _careful if _PERHAPS_HUGE.search(data) else _decoder
        value = decoder.decode(data.decode())
        if _HALF_CHARACTER.search(data):
            _dumps(value).encode()
    except RecursionError:
        raise Unreadable(f"{what} is nested too deeply") from None
    except ValueError as error:
        raise Unreadable(f"{what} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise Unreadable(f"{what} is damaged: not a JSON object")
    opening = data.count(b"[") + data.count(b"{")
    if opening > DEPTH_LIMIT and _deeper_than(value, DEPTH_LIMIT):
        raise Unreadable(f"{what} is nested deeper than {DEPTH_LIMIT}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {names.shown(twice)} stands twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {names.shown(text)} is too large")
    return number


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
# Looks at each number, which takes twice as long: only where one may be beyond a double.
_careful = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant
)
_PERHAPS_HUGE = re.compile(rb"[eE]\+?\d{3}|[\s\[,:-]\d{200}")
_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")  # perhaps; two halves make a whole


def _deeper_than(value: Any, limit: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    if not limit:
        return True
    items = value.values() if isinstance(value, dict) else value
    return any(_deeper_than(item, limit - 1) for item in items if type(item) in (dict, list))


def pack(value: Any, depth: int = DEPTH_LIMIT - 8) -> Any:
    """Returns a param's value in the types of JSON; `unpack` is the exact inverse.

    Tuples become lists; numpy and torch scalars and arrays of up to 1,000 values
    become numbers and lists, by duck typing.

    Raises:
        Invalid: a type JSON has no word for, keys that are no strings, too deep, or
            an integer of more than 1,000 digits.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _valid_text(str(value))
    if isinstance(value, int):
        number = pack_number(int(value))  # an IntEnum, say
        return {"$int": number} if isinstance(number, str) else number
    if isinstance(value, float):
        number_ = float(value)
        return number_ if math.isfinite(number_) else {"$float": _float_word(number_)}
    if depth <= 0:
        raise Invalid("the value is nested too deeply to be stored")
    if isinstance(value, Mapping):
        packed = {}
        for name, item in value.items():
            if not isinstance(name, str):
                raise Invalid(f"a key inside the value is {names.shown(name)}, not a string")
            packed["$" + name if name.startswith("$") else _valid_text(name)] = pack(
                item, depth - 1
            )
        return packed
    if isinstance(value, (list, tuple)):
        return [pack(item, depth - 1) for item in value]
    if hasattr(value, "tolist") and not isinstance(value, type):  # numpy.float32 has it too
        plain = value.tolist() if _element_count(value) <= 1000 else value
        if isinstance(plain, (int, float, str, bool, list)):
            return pack(plain, depth - 1)
    raise Invalid(
        f"a {type(value).__name__} cannot be stored as JSON",
        "pass str(value), or the numbers and strings that matter",
    )


def _element_count(value: Any) -> int:
    count = getattr(value, "numel", None) or getattr(value, "size", 1)
    count = count() if callable(count) else count
    return count if isinstance(count, int) else 1


def unpack(value: Any) -> Any:
    """Returns the value that `pack` made this from.

    Raises:
        Unreadable: an integer is none, or has more than 1,000 digits.
    """
    if isinstance(value, dict):
        if len(value) == 1:
            (name, item), *_ = value.items()
            if name == "$int" and isinstance(item, str):
                return _big_integer(item)
            if name == "$float" and item in _FLOAT_WORDS:
                return float(item)
        return {name.removeprefix("$"): unpack(item) for name, item in value.items()}
    if type(value) is int:
        return unpack_number(value)
    return [unpack(item) for item in value] if isinstance(value, list) else value


def _valid_text(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid(f"the text {names.shown(text)} is not valid Unicode") from None
    return text


_FLOAT_WORDS = ("NaN", "Infinity", "-Infinity")


def _float_word(number: float) -> str:
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _big_integer(text: str) -> int:
    digits = text.removeprefix("-")
    if not digits.isdecimal() or not digits.isascii() or len(digits) > DIGITS_LIMIT:
        raise Unreadable(f"{names.shown(text)} is not an integer of up to {DIGITS_LIMIT} digits")
    return int(text)


def pack_number(number: Number) -> Number | str:
    """Returns a metric's value as it is stored, where a number is expected.

    Raises:
        Invalid: an integer of more than 1,000 digits.
    """
    if isinstance(number, int):
        if not -_HUGE < number < _HUGE:
            raise Invalid(f"an integer of more than {DIGITS_LIMIT} digits cannot be stored")
        return number if -BIG <= number <= BIG else str(number)
    return number if math.isfinite(number) else _float_word(number)


def unpack_number(stored: Any) -> Number:
    """Returns the number that a metric's stored value means.

    Raises:
        Unreadable: it means none.
    """
    if type(stored) is float or (type(stored) is int and -_HUGE < stored < _HUGE):
        return stored
    if stored in _FLOAT_WORDS:
        return float(stored)
    if isinstance(stored, str):
        return _big_integer(stored)
    raise Unreadable(f"{names.shown(stored)} is not a number that is kept here")
