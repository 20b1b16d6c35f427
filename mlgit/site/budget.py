"""How large a site is, what makes it so, and whether a host takes it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from mlgit.site.write import IGNORE

LIMIT = 10**9  # bytes that GitHub Pages publishes of one site: docs.github.com, "Pages limits"
WARN_AT = 0.8


class Part(NamedTuple):
    """All files of one kind."""

    files: int
    bytes: int


class Budget(NamedTuple):
    files: int
    bytes: int
    kinds: dict[str, Part]
    """The largest first: "artifacts", "run data", "run pages", "tables", "other pages", …"""

    @property
    def is_near(self) -> bool:
        """Tells whether the limit is near, or behind."""
        return self.bytes >= WARN_AT * LIMIT


def measure(site: Path) -> Budget:
    """Returns what the files of a site add up to; `.gitignore` is none of them."""
    found: dict[str, Part] = {}
    for folder, _, names in os.walk(site):
        below = os.path.relpath(folder, site)
        for name in names:
            url = name if below == "." else f"{below}/{name}"
            if url == IGNORE:
                continue
            kind = _kind(url)
            part = found.get(kind, Part(0, 0))
            size = os.lstat(os.path.join(folder, name)).st_size
            found[kind] = Part(part.files + 1, part.bytes + size)
    kinds = dict(sorted(found.items(), key=lambda pair: (-pair[1].bytes, pair[0])))
    files, sizes = zip(*kinds.values(), strict=True) if kinds else ((), ())
    return Budget(sum(files), sum(sizes), kinds)


_KINDS = {
    "files/": "artifacts",
    "data/runs/": "run data",
    "runs/": "run pages",
    "data/": "tables",
    "assets/": "scripts and styles",
}


def _kind(url: str) -> str:
    for beginning, kind in _KINDS.items():
        if url.startswith(beginning):
            return kind
    return "other pages" if url.endswith(".html") else "the rest"
