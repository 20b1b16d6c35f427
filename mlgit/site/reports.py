"""Reports: Markdown files of the repository that become pages (see `blocks` for what is in them).

Which files are reports says `mlgit.toml`: `[site] reports = ["reports/*.md"]`, which is what
they are if it says nothing. They are read where `mlgit.toml` is: in the work tree, so that who
writes one sees it; of a bare repository in HEAD.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

import msgspec

from mlgit import settings
from mlgit.errors import Invalid, Unreadable
from mlgit.ledger import Ledger
from mlgit.ledger.objects import Object
from mlgit.site.markdown import LIMIT, plain

MOST = 100  # reports
DOCUMENTED = "site.md, Reports"


class _Wishes(msgspec.Struct, frozen=True):
    """What the `[site]` table says of reports."""

    reports: list[str] = msgspec.field(default_factory=lambda: ["reports/*.md"])


class Report(NamedTuple):
    path: str
    text: str

    @property
    def title(self) -> str:
        """Its first heading, else its file's name."""
        found = re.search(r"^# +(.+?)\s*#*\s*$", self.text, re.MULTILINE)
        return (found and plain(found[1])) or self.path.rpartition("/")[2].removesuffix(".md")


def read(ledger: Ledger) -> list[Report]:
    """Returns the reports by path; what is no text, is too long, or lies elsewhere is left out.

    Raises:
        Invalid: `mlgit.toml` cannot be read.
    """
    patterns = settings.table(settings.read(ledger), "site", _Wishes, DOCUMENTED).reports
    root = ledger.repository.work_tree
    paths = _in_work_tree(ledger, root, patterns) if root else _in_head(ledger, patterns)
    found = []
    for path in sorted(paths)[:MOST]:
        content = _file(root, path) if root else _blob(ledger, path)
        if content is not None and len(content) <= 4 * LIMIT:
            found.append(Report(path, content.decode(errors="replace").replace("\r\n", "\n")))
    return found


def _in_work_tree(ledger: Ledger, root: Path, patterns: list[str]) -> set[str]:
    """Returns the files that git tracks or could: what it ignores is nobody's report."""
    if not patterns:
        return set()
    which = ("--cached", "--others", "--exclude-standard")
    chosen = [f":(top,glob){pattern}" for pattern in patterns]
    try:
        listed = ledger.repository.listing("-C", str(root), "ls-files", "-z", *which, "--", *chosen)
    except Unreadable as error:
        raise Invalid(f"{settings.FILE}: [site] reports names no files") from error
    return {os.fsdecode(path) for path in listed if _is_plain(path)}


def _in_head(ledger: Ledger, patterns: list[str]) -> set[str]:
    if not patterns or not isinstance(ledger.reader.find("HEAD"), Object):
        return set()
    listed = ledger.repository.listing("ls-tree", "-r", "-z", "--full-tree", "HEAD")
    wanted = [re.compile(_as_regex(pattern)) for pattern in patterns]
    files = (line.partition(b"\t")[2] for line in listed if line.startswith(b"100"))  # no links
    paths = (os.fsdecode(path) for path in files if _is_plain(path))
    return {path for path in paths if any(each.fullmatch(path) for each in wanted)}


def _is_plain(path: bytes) -> bool:
    try:
        return path.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _as_regex(pattern: str) -> str:
    """Returns what git's `:(glob)` means by a pattern of `*`, `?` and `**/`."""
    parts = re.split(r"(\*\*/|\*|\?)", pattern)
    means = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return "".join(means.get(part) or re.escape(part) for part in parts)


def _file(root: Path, path: str) -> bytes | None:
    """Returns a file's bytes if it is one, and no link leads out of the work tree."""
    place = root / path
    try:
        if not stat.S_ISREG(place.lstat().st_mode) or place.resolve() != root.resolve() / path:
            return None
        with place.open("rb") as file:
            return file.read(4 * LIMIT + 1)
    except OSError:
        return None


def _blob(ledger: Ledger, path: str) -> bytes | None:
    found = ledger.reader.find(f"HEAD:{path}", 4 * LIMIT)
    return found.data if isinstance(found, Object) and found.kind == "blob" else None
