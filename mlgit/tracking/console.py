"""Keeps the tail of what a program prints, without standing in its way.

The streams stay the objects they are: only their `write` is shadowed, on the instance, by
a callable that passes everything on first. So there is nothing to imitate (`buffer`,
`isatty`, `reconfigure`, what a notebook's stream has besides), and a logging handler that
took hold of stderr long before the run is heard as well. What is written past `write`, to
`sys.stdout.buffer` or to the file descriptor, is not.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from typing import Any

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links
    r"|\x1b[ -/]*[0-~]"  # the rest of ECMA-48
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # and lone controls, which a page must not hold
)
_installing = threading.RLock()


class ConsoleTail:
    """Keeps the last `limit` bytes written to sys.stdout and sys.stderr, while passing all on.

    Memory stays within a few times the limit whatever is printed. Several may listen
    at once, and stop in any order.
    """

    def __init__(self, limit: int = 32768) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._was_cut = False
        self._tapped: list[tuple[Any, _Tap]] = []

    def start(self) -> None:
        """Listens to what sys.stdout and sys.stderr are now; a missing one (None) is left out."""
        with _installing:
            if self._tapped:
                return
            for stream in (sys.stdout, sys.stderr):
                # The two may be one stream, which is heard once.
                if (tap := _tap(stream)) and self._keep not in tap.listeners:
                    tap.listeners += (self._keep,)
                    self._tapped.append((stream, tap))

    def stop(self) -> None:
        """Stops listening; a stream that nobody else listens to is then as it was.

        If another has shadowed `write` in the meantime it stays, and ours only passes on.
        """
        with _installing:
            for stream, tap in self._tapped:
                tap.listeners = tuple(each for each in tap.listeners if each != self._keep)
                if not tap.listeners:
                    _untap(stream, tap)
            self._tapped = []

    def text(self) -> str:
        """Returns what was kept, as the console would show it in the end, without colours.

        Of a line that was overwritten after carriage returns, such as a progress bar, the
        last state is there. If earlier output was dropped, the first line starts with "…".
        """
        output = _last_states(bytes(self._kept))
        was_cut = self._was_cut or len(output) > self._limit
        plain = _ESCAPES.sub("", output[-self._limit :].decode("utf-8", "ignore"))
        lines = "\n".join(line.rstrip() for line in plain.split("\n"))
        return f"…{lines}" if was_cut else lines

    def _keep(self, text: object) -> None:
        # Without a lock: this may run inside a signal handler, or in a forked child whose
        # parent held it. Each step is atomic; threads that meet in the last may lose a line
        # of the tail, and never one of the output.
        if not isinstance(text, str):
            return
        kept = self._kept
        if len(text) > self._limit:
            text, self._was_cut = text[-self._limit :], True
            kept.clear()
        kept += text.encode("utf-8", "backslashreplace")
        if len(kept) > 2 * self._limit:
            seen = len(kept)
            settled = _last_states(bytes(kept))
            self._was_cut |= len(settled) > self._limit
            kept[:seen] = settled[-self._limit :]


class _Tap:
    """Stands in for a stream's `write` and lets others hear what goes through it."""

    def __init__(self, write: Callable[[Any], Any], shadowed: object) -> None:
        self.write = write
        self.shadowed = shadowed  # what stood on the instance before, if another was there
        self.listeners: tuple[Callable[[object], None], ...] = ()

    def __call__(self, text: Any) -> Any:
        written = self.write(text)
        for listener in self.listeners:
            listener(text)
        return written


def _tap(stream: Any) -> _Tap | None:
    """Returns the tap on the stream, set there if there is none yet, or None if none can be."""
    try:
        # By way of `object`: a proxy that hands attributes on would set ours on what is behind it.
        shadowed = object.__getattribute__(stream, "__dict__").get("write")
        if isinstance(shadowed, _Tap):
            return shadowed
        tap = _Tap(stream.write, shadowed)
        object.__setattr__(stream, "write", tap)
    except (AttributeError, TypeError):  # None, as under pythonw, or an instance without room
        return None
    return tap


def _untap(stream: Any, tap: _Tap) -> None:
    if object.__getattribute__(stream, "__dict__").get("write") is not tap:
        return
    if tap.shadowed is None:
        object.__delattr__(stream, "write")
    else:
        object.__setattr__(stream, "write", tap.shadowed)


def _last_states(output: bytes) -> bytes:
    """Leaves of each line what follows its last carriage return, but for those at its end."""
    if b"\r" not in output:
        return output
    lines = output.split(b"\n")
    return b"\n".join(line[line.rstrip(b"\r").rfind(b"\r") + 1 :] for line in lines)
