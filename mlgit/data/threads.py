"""Work that several threads share, also when there can be no other thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Thread
from typing import TypeVar

GRACE = 3.0  # seconds for what is under way to end neatly

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


def together(
    work: Callable[[T], object], items: Iterable[T], workers: int, stop: Callable[[], None]
) -> None:
    """Works on each item, and waits for nobody who hangs once all is to end.

    When an item raises, or a person interrupts, `stop` is called, items that were not
    begun are dropped, those under way have `GRACE` seconds to end, and it is raised. Not a
    pool, because the interpreter does not end before all threads of its pools have.
    """
    waiting = [*items]
    shared = iter(waiting)  # each item to one thread, whichever is first
    endings: SimpleQueue[BaseException | None] = SimpleQueue()

    def toil() -> None:
        reason = None
        try:
            for item in shared:
                work(item)
        except BaseException as error:  # raised again in the thread that waits
            reason = error
        endings.put(reason)

    crew = [Thread(target=toil, daemon=True) for _ in range(min(workers, len(waiting)))]
    try:
        for thread in crew:
            try:
                thread.start()
            except RuntimeError:  # the interpreter is ending, and starts no thread any more
                toil()
        for _ in crew:
            if reason := endings.get():
                raise reason
    except BaseException:  # Ctrl-C above all; whatever it is, it goes on up
        waiting.clear()
        stop()
        end = time.monotonic() + GRACE
        for thread in crew:
            if thread.ident:
                thread.join(max(0.0, end - time.monotonic()))
        raise


def helper() -> ThreadPoolExecutor | None:
    """Returns one more thread to give work to; None if there can be none."""
    pool = ThreadPoolExecutor(1)
    try:
        pool.submit(int)
    except RuntimeError:
        return None
    return pool
