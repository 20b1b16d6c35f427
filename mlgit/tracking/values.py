"""What may be logged: values as they are written into the journal, or refused; pure.

Numbers of numpy, torch and others are known by what they can do, not by what they are.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Mapping
from typing import Any

from mlgit import names, records
from mlgit.errors import Invalid
from mlgit.records.canonical import BIG, Number, pack_number

TEXT_LIMIT = 64 * 1024  # characters of a note or a tag's value

Point = tuple[str, Any, Any, Any]
"""Key, value, step, time."""

# One line of pure ASCII whatever the value: a line of the journal stays a line.
line = json.JSONEncoder(allow_nan=False).encode


def items(what: str, pairs: Any) -> Iterable[tuple[Any, Any]]:
    if not isinstance(pairs, Mapping):
        raise Invalid(
            f"{what} are given as a dict, not as {names.shown(pairs)}",
            "of a namespace, pass vars(namespace)",
        )
    return pairs.items()


def packed(key: str, value: Any) -> Any:
    try:
        return records.pack(value)
    except Invalid as error:
        raise Invalid(f"the param {names.shown(key)}: {error.message}", error.hint) from error


def number_text(key: str, value: Any) -> str:
    if type(value) is float and value - value == 0:
        return repr(value)
    number = scalar(value)
    if number is None:
        raise Invalid(
            f"the metric {names.shown(key)} is {names.shown(value)}, which is not a number",
            "log a text as a param or tag, and many numbers one by one or as a table",
        )
    if isinstance(number, int) and abs(number) >= 10**1000:
        raise Invalid(f"the metric {names.shown(key)} has more than 1,000 digits")
    return line(pack_number(number))


def scalar(value: Any) -> Number | None:
    """Returns the int or float that a value is or converts to; None if it is no number.

    Scalars of numpy and torch convert, and their arrays of one; Decimal and Fraction too.
    """
    if isinstance(value, int):
        return int(value)
    try:
        if hasattr(value, "item"):  # numpy, torch, jax, tensorflow
            value = value.item()
        if isinstance(value, (str, bytes, bytearray, complex)):
            return None
        return int(value) if isinstance(value, int) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None


def integer_step(key: str, step: Any) -> int:
    try:
        if isinstance(step, bool):
            raise TypeError
        number = operator.index(step)
    except TypeError:
        raise Invalid(
            f"the step {names.shown(step)} of the metric {names.shown(key)} is not an integer",
            "pass time= for what is measured against the clock",
        ) from None
    if not -BIG <= number <= BIG:
        raise Invalid(f"the step {number} is beyond 2**53, where integers stop being exact")
    return number


def point(item: Any) -> Point:
    if isinstance(item, tuple) and 2 <= len(item) <= 4:
        key, value, step, moment = (*item, None, None)[:4]
        return key, value, step, moment
    if hasattr(item, "key") and hasattr(item, "value"):
        moment = getattr(item, "timestamp", None)
        ms = scalar(moment)
        return (
            item.key,
            item.value,
            getattr(item, "step", None),
            moment if ms is None else ms / 1000,
        )
    raise Invalid(
        f"{names.shown(item)} is not a metric", "pass (key, value), or (key, value, step[, time])"
    )


def plain_text(what: str, value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    if len(text) > TEXT_LIMIT:
        raise Invalid(
            f"the {what} has {len(text):,} characters, {TEXT_LIMIT:,} are allowed",
            "log a long text as an artifact: log_text",
        )
    records.pack(text)
    return text
