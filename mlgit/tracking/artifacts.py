"""Turning what people log as an artifact into bytes, by what it can do, not what it is.

No plotting or table library is imported here: a figure is whatever has `savefig`.
"""

from __future__ import annotations

import csv
import io
import json
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from mlgit import records
from mlgit.errors import Invalid
from mlgit.names import shown

LIMIT = records.SIZE_LIMITS["file"]
_IMAGES = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"RIFF")  # those that a page shows
_TEXTS = ("text", "json", "table")


def is_small(content: bytes, kind: str) -> bool:
    """Tells whether the branch keeps this itself: a text or an image up to 64 KiB."""
    if len(content) > LIMIT:
        return False
    if kind in _TEXTS or content.startswith(_IMAGES):
        return True
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def name_of(file: Path) -> str:
    """Returns the name a file or folder is logged under where none is given."""
    return file.name or file.resolve().name


def small_file(file: Path) -> bytes | None:
    """Returns the bytes of a file that the branch keeps; None if it is none of those.

    Raises:
        Invalid: there is no such file, or it cannot be read.
    """
    try:
        info = file.stat()
        if not stat.S_ISREG(info.st_mode) or info.st_size > LIMIT:
            return None
        content = file.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Invalid(f"cannot read {shown(str(file))}: {reason}") from error
    return content if is_small(content, "file") else None


def from_text(text: str) -> bytes:
    """Returns a text in UTF-8, with a question mark for what has no bytes there."""
    if not isinstance(text, str):
        raise Invalid(f"log_text takes a string, not a {type(text).__name__}")
    return text.encode(errors="replace")


def from_json(value: Any) -> bytes:
    """Returns a value as readable JSON, with NaN spelled as Python's json does."""
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, default=_plain)
        return f"{text}\n".encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"this cannot be written as JSON: {error}") from error


def chart_path(path: str) -> str:
    """Returns where a chart is kept: its name ends in what editors know Vega-Lite by."""
    return path if path.endswith(".vl.json") else f"{path}.vl.json"


def from_chart(chart: Any) -> bytes:
    """Returns an Altair chart, or a specification of Vega-Lite as a dict, as JSON."""
    spec = chart.to_dict() if hasattr(chart, "to_dict") else chart
    if not isinstance(spec, Mapping) or "vega-lite" not in str(spec.get("$schema")):
        raise Invalid(
            f"a {type(chart).__name__} is no Altair chart",
            "it has to_dict, or is a dict with the $schema of Vega-Lite; see log_figure for others",
        )
    try:
        text = json.dumps(spec, ensure_ascii=False, allow_nan=False, default=_plain)
        return f"{text}\n".encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"the chart cannot be written as JSON: {error}") from error


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy, torch
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} has no word in JSON")


def from_figure(figure: Any, path: str) -> bytes:
    """Returns a matplotlib, plotly, Altair or Bokeh-like figure in the format of the suffix."""
    suffix = PurePosixPath(path).suffix.lower().removeprefix(".")
    if hasattr(figure, "savefig"):
        buffer = io.BytesIO()
        try:
            figure.savefig(buffer, format=suffix or "png", bbox_inches="tight")
        except ValueError as error:  # no such format
            raise Invalid(f"the figure cannot be written as {path}: {error}") from error
        return buffer.getvalue()
    for wanted, method in (("html", "to_html"), ("json", "to_json")):
        if suffix == wanted and hasattr(figure, method):
            return str(getattr(figure, method)()).encode()
    raise Invalid(
        f"a {type(figure).__name__} cannot be written as {path}",
        "matplotlib figures go to .png, .svg or .pdf; plotly and Altair ones to .html or .json",
    )


def from_image(image: Any, path: str) -> bytes:
    """Returns an image in the format of the path's suffix: PIL's, an array's, or bytes as they are.

    An array is height x width, or height x width x 1, 3 or 4; floats run from 0 to 1.
    """
    if isinstance(image, (bytes, bytearray)):
        return bytes(image)
    if not hasattr(image, "save"):
        image = _image_of_array(image)
    suffix = PurePosixPath(path).suffix.lower().removeprefix(".") or "png"
    buffer = io.BytesIO()
    try:
        image.save(buffer, format={"jpg": "jpeg"}.get(suffix, suffix))
    except (KeyError, ValueError, OSError) as error:
        raise Invalid(f"the image cannot be written as {path}: {error}") from error
    return buffer.getvalue()


def _image_of_array(array: Any) -> Any:
    try:
        import numpy
        from PIL import Image
    except ImportError as error:
        raise Invalid(
            "logging an array as an image needs numpy and Pillow", "pip install pillow"
        ) from error
    pixels = numpy.asarray(array)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    is_image = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if not is_image or pixels.dtype.kind not in "buif":
        raise Invalid(
            f"an array of the shape {pixels.shape} and type {pixels.dtype} is not an image",
            "it is height x width, or height x width x 1, 3 or 4",
        )
    if pixels.dtype.kind in "bf":
        pixels = (numpy.nan_to_num(pixels.astype(float)).clip(0, 1) * 255).round()
    return Image.fromarray(pixels.clip(0, 255).astype("uint8"))


def from_table(table: Any, path: str) -> bytes:
    """Returns a table as CSV, or as JSON rows if the path says .json.

    `table` is a data frame (pandas or polars), a list of dicts, or a dict of columns.
    """
    for method in ("to_csv", "write_csv"):
        if not path.endswith(".json") and hasattr(table, method):
            options = {"index": False} if method == "to_csv" else {}
            return str(getattr(table, method)(**options)).encode()
    rows = _rows(table)
    if path.endswith(".json"):
        return from_json(rows)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def _rows(table: Any) -> list[dict[str, Any]]:
    if hasattr(table, "to_dicts"):  # polars
        return list(table.to_dicts())
    if hasattr(table, "to_dict"):  # pandas
        return list(table.to_dict(orient="records"))
    if isinstance(table, Mapping):
        if any(
            isinstance(column, str) or not hasattr(column, "__iter__") for column in table.values()
        ):
            raise Invalid("a column of the table is a single value", "pass a list for each column")
        columns = {str(name): list(column) for name, column in table.items()}
        if len({len(column) for column in columns.values()}) > 1:
            raise Invalid("the columns of the table differ in length")
        return [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
    if isinstance(table, Sequence) and all(isinstance(row, Mapping) for row in table):
        return [{str(name): value for name, value in row.items()} for row in table]
    raise Invalid(
        f"a {type(table).__name__} is not a table",
        "pass a data frame, a list of dicts, or a dict of columns",
    )
