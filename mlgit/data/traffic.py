"""How far a transfer has come, counted by several threads and told by one at a time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fsspec.callbacks import Callback


class Traffic(NamedTuple):
    """How far a transfer has come."""

    objects: int
    of: int
    bytes: int
    total: int
    seconds: float

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self.bytes / self.seconds if self.seconds > 0 else 0.0

    @property
    def told(self) -> str:
        """What to say when it ends early."""
        return f"{self.objects:,} of {self.of:,} files have arrived"


Progress = Callable[[Traffic], None]
"""Called from any thread, one at a time."""


class Meter:
    """Counts what several threads move, and tells."""

    def __init__(self, progress: Progress | None, of: int, total: int) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._stopped = False
        self.now = Traffic(0, of, 0, total, 0.0)
        if progress and of:
            progress(self.now)  # so that the amount is said before it moves

    def stop(self) -> None:
        """Ends what is under way at its next step, so that nobody waits for gigabytes."""
        self._stopped = True

    def add(self, objects: int, count: int) -> None:
        if self._stopped:
            raise InterruptedError("the transfer was stopped")
        with self._lock:
            now = self.now
            self.now = now._replace(
                objects=now.objects + objects,
                bytes=now.bytes + count,
                seconds=time.monotonic() - self._began,
            )
            if self._progress:
                self._progress(self.now)

    @contextlib.contextmanager
    def counting(self, size: int) -> Iterator[Callback]:
        """Gives fsspec's callback for one object, and counts the object if it arrives."""
        counter = _Counter(self)
        yield counter
        self.add(1, size - counter.value)  # not every file system calls back


class _Counter(Callback):  # type: ignore[misc]
    """Passes on how the bytes of one object grow."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self._meter = meter

    def absolute_update(self, value: int) -> None:
        self.relative_update(value - self.value)

    def relative_update(self, inc: int = 1) -> None:
        self.value += inc
        self._meter.add(0, inc)
