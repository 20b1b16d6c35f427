"""DVC's pointer files: written for version commits, read where the user's own stand.

Written by hand, because a pointer of ours has six lines and one spelling; read with
a YAML library, because the user's may be anything.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from mlgit.data.hashing import Hash, is_md5
from mlgit.errors import Unreadable

POINTER_LIMIT = 10 * 1024 * 1024  # bytes of a pointer or dvc.lock we are ready to read
PATHS_LIMIT = 100_000  # of a dvc.lock; by YAML's aliases a small one can name any number

_PLAIN = re.compile(r"[A-Za-z][\w./-]*", re.ASCII)
_YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


class Tracked(NamedTuple):
    """One output that a pointer or dvc.lock of the user names."""

    path: str
    """As it stands there: mostly relative to the folder of the file, POSIX style."""
    hash: Hash


def format_pointer(path: str, found: Hash) -> bytes:
    """Returns the bytes of a `.dvc` file for an output called `path` beside it.

    >>> print(format_pointer("model", Hash("d" * 32 + ".dir", 10, 2)).decode(), end="")
    outs:
    - md5: dddddddddddddddddddddddddddddddd.dir
      size: 10
      nfiles: 2
      hash: md5
      path: model
    """
    # One in a million has no letter but an e, which is a number for YAML.
    md5 = found.md5 if re.search(r"[a-df]", found.md5) else f"'{found.md5}'"
    lines = ["outs:", f"- md5: {md5}", f"  size: {found.size}"]
    if found.files is not None:
        lines.append(f"  nfiles: {found.files}")
    return ("\n".join([*lines, "  hash: md5", f"  path: {scalar(path)}"]) + "\n").encode()


def scalar(text: str) -> str:
    r"""Returns a text as one YAML scalar, quoted where a reader could take it otherwise.

    >>> scalar("models/churn.pkl"), scalar("no"), scalar("a: \x7f")
    ('models/churn.pkl', '"no"', '"a: \\U0000007f"')
    """
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    # JSON's strings are YAML's quoted ones, but for what YAML does not print.
    return "".join(
        char if char.isprintable() else f"\\U{ord(char):08x}"
        for char in json.dumps(text, ensure_ascii=False)
    )


def read_pointer(content: bytes, what: str) -> list[Tracked]:
    """Returns the outputs that a `.dvc` file names; those without an exact md5 are left out.

    Raises:
        Unreadable: it is not such a file.
    """
    return _outputs(_load(content, what).get("outs"), what)


def read_lock(
    content: bytes, what: str = "dvc.lock"
) -> dict[str, tuple[list[Tracked], list[Tracked]]]:
    """Returns, for each stage of a dvc.lock, its inputs and its outputs.

    Raises:
        Unreadable: it is not such a file.
    """
    stages = _load(content, what).get("stages")
    if not isinstance(stages, dict):
        raise Unreadable(f"{what} has no stages")
    known = {str(name): stage for name, stage in stages.items() if isinstance(stage, dict)}
    ends = [stage.get(end) for stage in known.values() for end in ("deps", "outs")]
    if sum(len(items) for items in ends if isinstance(items, list)) > PATHS_LIMIT:
        raise Unreadable(f"{what} names more than {PATHS_LIMIT:,} paths")
    return {
        name: (_outputs(stage.get("deps"), what), _outputs(stage.get("outs"), what))
        for name, stage in known.items()
    }


def find_pointer(path: Path) -> Path | None:
    """Returns the `.dvc` file that tracks a path, if one stands beside it."""
    beside = path.parent / (path.name + ".dvc")
    return beside if path.name and os.path.isfile(beside) else None


def tracked_as(path: Path) -> Hash | None:
    """Returns what the `.dvc` file beside a path says of it; None if there is none to read."""
    beside = find_pointer(path)
    if beside is None:
        return None
    try:
        outputs = read_pointer(beside.read_bytes(), str(beside))
    except (OSError, Unreadable):
        return None  # the user's to repair
    return next((output.hash for output in outputs if output.path == path.name), None)


def _load(content: bytes, what: str) -> dict[str, Any]:
    import yaml  # 30 ms, for those whose repository has DVC files

    if len(content) > POINTER_LIMIT:
        raise Unreadable(f"{what} is too large: {len(content):,} bytes")
    # Merge keys (`<<`) let thirty lines fill the memory; no file of DVC's own has them.
    safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = type("Loader", (safe,), {"flatten_mapping": lambda self, node: None})
    try:
        document = yaml.load(content, Loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unreadable(f"{what} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise Unreadable(f"{what} is not a DVC file")
    return document


def _outputs(items: Any, what: str) -> list[Tracked]:
    if items is None:
        return []
    if not isinstance(items, list):
        raise Unreadable(f"{what} is not a DVC file")
    found = []
    for item in items:
        # DVC 2 hashed text files without their carriage returns and wrote no `hash`.
        if not isinstance(item, dict) or item.get("hash") != "md5" or not is_md5(item.get("md5")):
            continue
        path, size, files = item.get("path"), item.get("size"), item.get("nfiles")
        if isinstance(path, str):
            size = size if isinstance(size, int) else 0
            count = files if isinstance(files, int) else None
            found.append(Tracked(path, Hash(item["md5"], size, count)))
    return found
