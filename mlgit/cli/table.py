"""Tables for the terminal: aligned, cut to fit, right with any script and emoji.

The libraries for this take longer to import (63 ms for the smallest) than reading
and printing the runs does.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

import click

_GAP = "  "
_CELL_LIMIT = 40  # columns a cell may take on a terminal


def render(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    numeric: Sequence[bool],
    width: int | None,
) -> tuple[str, int]:
    """Returns the table as text, and how many columns were left out on the right.

    `width` is the terminal's, in characters; None keeps everything at full length.
    """
    if width is not None:
        rows = [[_cut(cell, _CELL_LIMIT) for cell in row] for row in rows]
    columns = list(zip(headers, *rows, strict=True))
    widths = [max(map(_width, column)) for column in columns]
    shown = len(headers)
    if width is not None:
        while shown > 1 and sum(widths[:shown]) + len(_GAP) * (shown - 1) > width:
            shown -= 1
    lines = [
        _GAP.join(
            _pad(cell, widths[index], numeric[index]) for index, cell in enumerate(row[:shown])
        ).rstrip()
        for row in (headers, *rows)
    ]
    return "\n".join(lines), len(headers) - shown


def echo(
    headers: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool] | None = None
) -> int:
    """Prints a table, paged on a terminal if it is longer; returns the columns left out."""
    to_terminal = sys.stdout.isatty()
    size = shutil.get_terminal_size()
    width = size.columns if to_terminal else None
    written, left_out = render(headers, rows, numeric or [False] * len(headers), width)
    first, *rest = written.split("\n")
    written = "\n".join([click.style(first, bold=True), *rest])
    if to_terminal and len(rest) + 2 > size.lines:
        click.echo_via_pager(written + "\n")
    else:
        click.echo(written)
    return left_out


def _pad(cell: str, width: int, right: bool) -> str:
    blanks = " " * (width - _width(cell))
    return blanks + cell if right else cell + blanks


def _width(cell: str) -> int:
    if cell.isascii():
        return len(cell)
    from wcwidth import wcswidth  # 28 ms, for those who need it

    return max(wcswidth(cell), 0)


def _cut(cell: str, limit: int) -> str:
    if _width(cell) <= limit:
        return cell
    while _width(cell) > limit - 1:
        cell = cell[:-1]
    return cell + "…"
