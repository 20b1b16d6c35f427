"""Real peers that tests of data run beside us: DVC, an S3 server, an SSH server."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def dvc(*args: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Runs real DVC, quietly and without its reports, and returns what it printed.

    Raises:
        AssertionError: it failed; the message holds its stderr.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *map(str, args)],
        cwd=cwd,
        env={
            **os.environ,
            "DVC_TEST": "true",  # no analytics, no question after updates
            "DVC_NO_ANALYTICS": "true",
            "DVC_SITE_CACHE_DIR": str(Path(os.environ["HOME"], "dvc-site")),
            **(env or {}),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"dvc {args} (exit {done.returncode}): {done.stderr}"
    return done.stdout


def stored_objects(folder: Path) -> dict[str, bytes]:
    """Returns the objects of a store, cache or remote in DVC's layout, by md5."""
    top = folder / "files" / "md5"
    return {path.parent.name + path.name: path.read_bytes() for path in top.glob("*/*")}


def free_port() -> int:
    """Returns a port of this machine that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], tmp_path: Path) -> Iterator[Any]:
    """Runs a server until the block ends; gives a function that tells whether it lives."""
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 60

        def is_alive() -> bool:
            if process.poll() is None and time.monotonic() < end:
                return True
            raise AssertionError((tmp_path / "server.log").read_text())

        try:
            yield is_alive
        finally:
            process.kill()
            process.wait()
