"""Artifacts as a page shows them: pictures, charts, texts, tables, folders; what it takes along.

A file of the site has a suffix that we chose after looking at its bytes, so that no host
serves a writer's HTML or SVG as something that runs.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from itertools import islice
from pathlib import PurePosixPath
from typing import NamedTuple

import msgspec

from mlgit.data.hashing import Member
from mlgit.records import Pointer
from mlgit.site import drawing, foreign, urls
from mlgit.site.whole import Source, Whole

TEXT_SHOWN = 8 * 1024  # characters of a text on the page; the whole is a file beside it
LINES_SHOWN = 120
ROWS_SHOWN, COLUMNS_SHOWN = 20, 30
FILES_SHOWN = 200  # of a folder
CHART = ".vl.json"
_IMAGES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg", b"GIF8": "gif"}


class Preview(NamedTuple):
    pointer: Pointer
    form: str
    """ "image", "drawing", "text", "table", "folder" or ""."""
    url: str | None
    """Where its bytes lie on the site, or of a drawing the bytes themselves."""
    text: str
    rows: list[list[str]]
    more: str
    """What of it is not shown, in words."""
    file: tuple[str, bytes] | None
    """What the site takes along: URL and bytes."""
    missing: bool
    """True if the run kept the bytes and they are not on this machine."""
    chart: bytes | None = None
    """A specification for Vega-Lite, in JSON, that does no harm."""
    behind: foreign.Rows | None = None
    """The first of a chart's data."""
    refused: str = ""
    """Why a chart is not drawn."""
    files: tuple[tuple[Member, int | None], ...] = ()
    """The first files of a folder with their bytes, None where they are not on this machine."""


def preview(source: Source, whole: Whole, pointer: Pointer) -> Preview:
    """Looks at an artifact of a run."""
    empty = Preview(pointer, "", None, "", [], "", None, False)
    if _is_folder(pointer):
        return _as_folder(empty, source)
    content = source.content(whole, pointer)
    if content is None:
        return empty._replace(missing=pointer.stored is not None)
    kind = _image(content)
    if kind:
        url = urls.file(pointer.md5 or "", kind)
        return empty._replace(form="image", url=url, file=(url, content))
    text = _text(content)
    if text is None:
        return empty
    suffix = _suffix(pointer)
    if _is_svg(pointer, content):
        # Within the page, so that it is no file to be opened, in which its scripts would run.
        return empty._replace(form="image", url=f"data:image/svg+xml;base64,{_base64(content)}")
    url = urls.file(pointer.md5 or "", "json" if suffix == ".json" else "txt")
    shown = empty._replace(url=url, file=(url, content))
    if suffix in (".csv", ".tsv") and (rows := _rows(text, "\t" if suffix == ".tsv" else ",")):
        return _as_table(shown, rows, text)
    if suffix == ".json":
        shown = _as_text(shown, _indented(text))
        return _as_chart(shown, content) if pointer.path.endswith(CHART) else shown
    return _as_text(shown, text)


def is_picture(source: Source, whole: Whole, pointer: Pointer) -> bool:
    """Reads what the preview of an artifact is made of, and tells whether that is a picture."""
    if _is_folder(pointer):
        source.folder(pointer)
        return False
    content = source.content(whole, pointer)
    return content is not None and (bool(_image(content)) or _is_svg(pointer, content))


def _is_folder(pointer: Pointer) -> bool:
    return (pointer.md5 or "").endswith(".dir")


def _suffix(pointer: Pointer) -> str:
    return PurePosixPath(pointer.path).suffix.lower()


def _is_svg(pointer: Pointer, content: bytes) -> bool:
    if _suffix(pointer) != ".svg" or len(content) > drawing.LIMIT:
        return False
    text = _text(content)
    return text is not None and drawing.may_be_shown(text)


def _as_folder(empty: Preview, source: Source) -> Preview:
    members = source.folder(empty.pointer)
    if members is None:
        return empty
    files = tuple((file, source.size(file.md5)) for file in members[:FILES_SHOWN])
    more = f"the first {len(files)} of {len(members):,} files" if len(members) > len(files) else ""
    return empty._replace(form="folder", files=files, more=more)


def _image(content: bytes) -> str | None:
    for magic, suffix in _IMAGES.items():
        if content.startswith(magic):
            return suffix
    return "webp" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else None


def _text(content: bytes) -> str | None:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _rows(text: str, delimiter: str) -> list[list[str]]:
    try:
        return list(islice(csv.reader(io.StringIO(text), delimiter=delimiter), ROWS_SHOWN + 2))
    except csv.Error:
        return []


def _as_table(shown: Preview, rows: list[list[str]], text: str) -> Preview:
    width = len(rows[0])
    cut = [[*row[:COLUMNS_SHOWN], *[""] * (min(width, COLUMNS_SHOWN) - len(row))] for row in rows]
    lines = text.count("\n") - 1
    more = []
    if len(rows) > ROWS_SHOWN + 1:
        more.append(f"the first {ROWS_SHOWN} of about {lines:,} rows")
    if width > COLUMNS_SHOWN:
        more.append(f"the first {COLUMNS_SHOWN} of {width:,} columns")
    return shown._replace(form="table", rows=cut[: ROWS_SHOWN + 1], more=", ".join(more))


def _as_chart(shown: Preview, content: bytes) -> Preview:
    try:
        chart = foreign.tame(msgspec.json.decode(content))
        behind, encoded = foreign.rows(chart), msgspec.json.encode(chart)
    except foreign.Refused as error:
        return shown._replace(refused=str(error))
    except (msgspec.DecodeError, RecursionError):
        return shown._replace(refused="it is no JSON")
    return shown._replace(form="drawing", more="", chart=encoded, behind=behind)


def _as_text(shown: Preview, text: str) -> Preview:
    lines = text[:TEXT_SHOWN].splitlines()[:LINES_SHOWN]
    part = "\n".join(lines)
    is_whole = len(part) >= len(text.rstrip("\n"))
    return shown._replace(form="text", text=part, more="" if is_whole else "the beginning")


def _indented(text: str) -> str:
    """Returns JSON on lines of its own; of a long one a beginning, longer than what is shown."""
    encoder = json.JSONEncoder(indent=2, ensure_ascii=False)
    found, length = [], 0
    try:
        for part in encoder.iterencode(json.loads(text)):
            found.append(part)
            length += len(part)
            if length > TEXT_SHOWN:
                break
    except (ValueError, RecursionError):
        return text
    return "".join(found)
