"""Where the templates and assets lie: below the repository's root, or in the wheel."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path

import jinja2
import markdown_it

from mlgit import __version__

_HERE = Path(__file__).parent


def folder(name: str) -> Path:
    """Returns the folder "templates" or "site".

    An editable install finds them at the top of the repository; a wheel has brought
    them along, below this package.
    """
    shipped = _HERE / "shipped" / name
    return shipped if shipped.is_dir() else _HERE.parents[1] / name


@cache
def assets() -> dict[str, bytes]:
    """Returns what a built site takes verbatim, by file name."""
    return {path.name: path.read_bytes() for path in sorted(folder("site").iterdir())}


@cache
def maker() -> str:
    """Returns a digest of everything but the ledger that a page depends on.

    A page whose inputs are the same and whose maker is the same has the same bytes.
    """
    digest = hashlib.sha256()
    # Asked for by name, because Altair takes long to load and charts are seldom made anew.
    charts = [metadata.version(name) for name in ("altair", "vl-convert-python")]
    for version in (__version__, jinja2.__version__, markdown_it.__version__, *charts):
        digest.update(version.encode() + b"\0")
    sources = [*sorted(_HERE.rglob("*.py")), *sorted(folder("templates").rglob("*.html"))]
    for path in sources:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for name, content in assets().items():
        digest.update(name.encode() + b"\0" + content + b"\0")
    return digest.hexdigest()
