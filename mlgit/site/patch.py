"""A unified diff as what a page shows: files, and lines with their numbers."""

from __future__ import annotations

import re
from typing import NamedTuple

LINES_SHOWN = 600  # of one page; who wants more has git


class Line(NamedTuple):
    kind: str
    """ "add", "del", "same" or "hunk"."""
    old: int | None
    new: int | None
    text: str


class File(NamedTuple):
    path: str
    change: str
    """What is said of it beside its name: "added", "deleted", "renamed from …", "binary"."""
    added: int
    deleted: int
    lines: list[Line]


class Diff(NamedTuple):
    files: list[File]
    added: int
    deleted: int
    left_out: int
    """Lines that are not shown."""


_HUNK = re.compile(r"@@ -(\d{1,9})(?:,\d+)? \+(\d{1,9})(?:,\d+)? @@ ?(.*)")


def parse(text: str, most: int = LINES_SHOWN) -> Diff:
    """Reads what `git diff` wrote; of the lines at most so many are kept."""
    files: list[File] = []
    shown = left_out = 0
    old = new = 0
    lines: list[Line] = []
    path = change = ""
    added = deleted = 0
    in_hunk = False

    def close() -> None:
        if path:
            files.append(File(path, change, added, deleted, lines))

    for line in text.split("\n"):
        if line.startswith("diff --git "):
            close()
            path, change, lines, added, deleted = _path(line), "", [], 0, 0
            in_hunk = False
        elif match := _HUNK.match(line):
            in_hunk = True
            old, new = int(match[1]), int(match[2])
            if shown < most:
                lines.append(Line("hunk", None, None, match[3]))
        elif not in_hunk:
            change = _change(line) or change
        elif line[:1] in ("+", "-", " "):
            kind = {"+": "add", "-": "del", " ": "same"}[line[0]]
            added, deleted = added + (kind == "add"), deleted + (kind == "del")
            if shown < most:
                shown += 1
                here = (None if kind == "add" else old, None if kind == "del" else new)
                lines.append(Line(kind, *here, line[1:].rstrip("\r")))
            else:
                left_out += 1
            old, new = old + (kind != "add"), new + (kind != "del")
    close()
    return Diff(files, sum(f.added for f in files), sum(f.deleted for f in files), left_out)


def _path(header: str) -> str:
    """Returns the new name that `diff --git a/… b/…` says, unquoted as far as it goes."""
    rest = header.removeprefix("diff --git ")
    if rest.endswith('"') and ' "b/' in rest:
        return rest[rest.rindex(' "b/') + 4 : -1]
    half = len(rest) // 2  # both names are alike, unless it was renamed
    if rest[2:half] == rest[half + 3 :]:
        return rest[2:half]
    return rest.rpartition(" b/")[2]


def _change(line: str) -> str:
    if line.startswith("new file mode"):
        return "added"
    if line.startswith("deleted file mode"):
        return "deleted"
    if line.startswith("rename from "):
        return "renamed from " + line.removeprefix("rename from ")
    return "binary" if line.startswith("Binary files ") else ""
