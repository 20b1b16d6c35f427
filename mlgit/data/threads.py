"""Work that several threads share, also when there can be no other thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def each(work: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Yields the results of working on each item, in order.

    What an item raises is raised, and items that were not begun are dropped.
    """
    items = list(items)
    with ThreadPoolExecutor(workers) as pool:
        try:
            done = pool.map(work, items)
        except RuntimeError:  # the interpreter is ending, and starts no thread any more
            done = map(work, items)
        yield from done


def helper() -> ThreadPoolExecutor | None:
    """Returns one more thread to give work to; None if there can be none."""
    pool = ThreadPoolExecutor(1)
    try:
        pool.submit(int)
    except RuntimeError:
        return None
    return pool
