"""Tables for the terminal: aligned, cut to fit, right with any script and emoji.

The libraries for this take longer to import (63 ms for the smallest) than reading
and printing the runs does.
"""

from __future__ import annotations

import shutil
import sys
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import click

_GAP = "  "
_CELL_LIMIT = 40  # columns a cell may take on a terminal
_PIPED_LIMIT = 200  # the same in a pipe or file; scripts that want it whole ask for --json
_COLOURS = {"failed": "red", "interrupted": "yellow", "running": "cyan"}


def render(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    numeric: Sequence[bool],
    width: int | None = None,
    limit: int | None = None,
    order: Sequence[int] | None = None,
) -> tuple[str, list[int]]:
    """Returns the table as text, and which columns were left out because it is too narrow.

    `width` of the table and `limit` of a cell are in characters; None keeps everything.
    `order` are the columns by importance; by default from left to right.
    """
    if limit is not None:
        rows = [[_cut(cell, limit) for cell in row] for row in rows]
        headers = [_cut(cell, limit) for cell in headers]
    columns = list(zip(headers, *rows, strict=True))
    widths = [max(map(_width, column)) for column in columns]
    order = order or range(len(headers))
    ends = list(accumulate(widths[index] + len(_GAP) for index in order))
    fitting = len(order) if width is None else bisect_right(ends, width + len(_GAP))
    shown = sorted(order[: max(1, fitting)])
    lines = [
        _GAP.join(_pad(row[index], widths[index], numeric[index]) for index in shown).rstrip()
        for row in (headers, *rows)
    ]
    return "\n".join(lines), sorted({*order}.difference(shown))


def echo(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    numeric: Sequence[bool] | None = None,
    order: Sequence[int] | None = None,
) -> list[int]:
    """Prints a table, paged on a terminal if it is longer; returns the columns left out."""
    to_terminal = sys.stdout.isatty()
    size = shutil.get_terminal_size()
    width = size.columns if to_terminal else None
    limit = _CELL_LIMIT if to_terminal else _PIPED_LIMIT
    numeric = numeric or [False] * len(headers)
    written, left_out = render(headers, rows, numeric, width, limit, order)
    first, *rest = written.split("\n")
    written = "\n".join([click.style(first, bold=True), *rest])
    if to_terminal and len(rest) + 2 > size.lines:
        click.echo_via_pager(written + "\n")
    else:
        click.echo(written)
    return left_out


def coloured(status: str) -> str:
    """Returns the status of a run in its colour; a finished one needs none."""
    colour = _COLOURS.get(status)
    return click.style(status, fg=colour) if colour else status


def _pad(cell: str, width: int, right: bool) -> str:
    blanks = " " * (width - _width(cell))
    cell = coloured(cell)
    return blanks + cell if right else cell + blanks


def _width(cell: str) -> int:
    if cell.isascii():
        return len(cell)
    from wcwidth import wcswidth  # 28 ms, for those who need it

    return max(wcswidth(cell), 0)


def _cut(cell: str, limit: int) -> str:
    if len(cell) <= limit and _width(cell) <= limit:
        return cell
    cell = cell[: limit - 1]  # every character takes a column or two; marks and joiners none
    while _width(cell) > limit - 1:
        cell = cell[:-1]
    return cell + "…"
