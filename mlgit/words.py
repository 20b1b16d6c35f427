"""Values as people read them: numbers with sensible digits, durations, sizes, counts.

Pure, and the same on a terminal as on a page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal

ABSENT = "-"


_READ = 10**40


def number(value: float, digits: int = 6) -> str:
    """Returns a number for people: six significant digits, and what is before the point.

    An integer is shown whole, unless nobody would read it.

    >>> number(7.758715206809494), number(100.0), number(12345678.9), number(1e-7)
    ('7.75872', '100', '12345679', '1e-07')
    >>> number(2**64), number(-(10**400))
    ('18446744073709551616', '-1.00000e+400')
    """
    if isinstance(value, int):
        return str(value) if abs(value) < _READ else f"{Decimal(value):.{digits - 1}e}"
    return f"{value:.0f}" if 10**digits <= abs(value) < 10**12 else f"{value:.{digits}g}"


def span(seconds: float | None) -> str:
    """Returns a duration for people.

    >>> span(0.0123), span(59.94), span(61), span(3 * 3600), span(200_000)
    ('12 ms', '59.9 s', '1 min 1 s', '3 h', '2 d 7 h')
    """
    if seconds is None:
        return ABSENT
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{math.floor(seconds * 10) / 10:g} s"
    whole = int(seconds)
    for size, unit, rest_size, rest_unit in _UNITS:
        if whole >= size:
            rest = whole % size // rest_size
            return f"{whole // size} {unit}" + (f" {rest} {rest_unit}" if rest else "")
    raise AssertionError


_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def size(count: int) -> str:
    """Returns a number of bytes for people.

    >>> size(25), size(1_333_519), size(2 * 10**15)
    ('25 B', '1.3 MB', '2.0 PB')
    """
    for unit, factor in (
        ("PB", 10**15),
        ("TB", 10**12),
        ("GB", 10**9),
        ("MB", 10**6),
        ("kB", 10**3),
    ):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def counted(count: int, thing: str) -> str:
    """Returns a number with its noun.

    >>> counted(1, "run"), counted(1200, "run")
    ('1 run', '1,200 runs')
    """
    return f"{count:,} {thing}" + "s" * (count != 1)


def listed(things: Iterable[str], limit: int = 8) -> str:
    """Returns names for a message, not more of them than one reads."""
    every = list(things)
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more


_JOINERS = "\u200c\u200d"  # not printable for Python, but "👩‍🔬" and Persian words need them


def clean(value: str) -> str:
    """Returns a text on one line, without characters that would act on whoever shows it."""
    if value.isprintable():
        return value
    joined = " ".join(value.split())
    return "".join(char if char.isprintable() or char in _JOINERS else "\ufffd" for char in joined)


def clean_block(value: str) -> str:
    """Returns a text of several lines without characters that would act on whoever shows it."""
    return "\n".join(clean(line.expandtabs()) if line else "" for line in value.splitlines())
