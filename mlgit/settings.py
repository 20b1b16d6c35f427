"""`mlgit.toml`: what a repository's people agreed on, read in one place.

Each room that has something to ask of them has a table of its own in it, and a class that
says what may stand there: `[registry]` is `registry.policy`'s, `[site]` is `site.redact`'s.
"""

from __future__ import annotations

import sys
from typing import TypeVar

import msgspec

from mlgit.errors import Invalid
from mlgit.ledger import Ledger
from mlgit.ledger.objects import Object

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "mlgit.toml"
T = TypeVar("T")


def read(ledger: Ledger, rev: str | None = None) -> bytes:
    """Returns the file of the work tree, or of a revision; of a bare repository HEAD's.

    Where there is none it is empty.

    Raises:
        Invalid: the file cannot be read.
    """
    root = ledger.repository.work_tree
    if rev is None and root is not None:
        try:
            return (root / FILE).read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise Invalid(f"cannot read {FILE}: {error.strerror}") from error
    found = ledger.reader.find(f"{rev or 'HEAD'}:{FILE}")
    return found.data if isinstance(found, Object) else b""


def table(content: bytes, name: str, kind: type[T], documented: str) -> T:
    """Returns one table of the file; `documented` is where people read about it.

    Raises:
        Invalid: the file is no TOML, or the table has what it may not have.
    """
    try:
        return msgspec.convert(tomllib.loads(content.decode()).get(name, {}), kind)
    except (ValueError, msgspec.ValidationError) as error:
        raise Invalid(f"{FILE} cannot be read: {error}", f"docs: {documented}") from error
