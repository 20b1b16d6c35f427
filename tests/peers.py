"""Real peers that tests of data run beside us: DVC, an S3 server, an SSH server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


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
