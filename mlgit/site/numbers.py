"""What can be reckoned with and drawn: an integer in the ledger may have a thousand digits."""

from __future__ import annotations

from typing import Any, TypeGuard


def is_number(value: Any) -> TypeGuard[int | float]:
    """Tells whether a stored value is a number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_LIMIT = 1e300  # above it sums and differences of doubles overflow


def is_finite(value: float) -> bool:
    """Tells whether a number is finite as a double, and so small that one can reckon with it.

    >>> is_finite(1.5), is_finite(float("nan")), is_finite(10**400), is_finite(-1e307)
    (True, False, False, False)
    """
    return -_LIMIT < value < _LIMIT
