"""Runs a program on a terminal of its own, where a test can type."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

# Python misses the signal between showing a prompt and waiting for an answer, so it is
# typed again, as a person would.
CTRL_C = "\x03"

# Opening it makes it the controlling terminal of the new session: then Ctrl-C is a signal.
_TAKE = """\
import os, sys
os.close(os.open(os.ttyname(0), os.O_RDWR))
os.execvp(sys.argv[1], sys.argv[1:])
"""


def on_terminal(
    command: str,
    *arguments: str,
    keys: str = "",
    after: str = "",
    size: tuple[int, int] = (100, 40),
    **env: str,
) -> tuple[str, int]:
    """Returns what appeared on the terminal, newlines plain, and the exit code.

    `keys` are typed once `after` has appeared; `size` is in columns and rows.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    kept = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-c", _TAKE, command, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**kept, "TERM": "xterm", "PATH": path, **env},
    )
    os.close(theirs)
    shown, end, typed = b"", time.monotonic() + 60, ""
    try:
        while (left := end - time.monotonic()) > 0:
            if not select.select([ours], [], [], min(left, 1))[0]:
                if typed == CTRL_C:
                    os.write(ours, CTRL_C.encode())
                continue
            try:
                new = os.read(ours, 65536)
            except OSError:  # how Linux tells that the other side is closed
                break
            if not new:
                break
            shown += new
            if keys and after.encode() in shown:
                os.write(ours, keys.encode())
                keys, typed = "", keys
        code = process.wait(timeout=10)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return shown.decode().replace("\r\n", "\n"), code
