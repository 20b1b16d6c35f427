"""Profiles of datasets on the branch: once for each content, whoever computed it.

A profile depends on the library that made it and on the time it was given, so two
clones may have different ones of the same bytes. Each is a file named by its own hash in
the folder of the data it describes: they merge like everything else. A writer adds none
where there is one, and a reader takes the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from mlgit import names, records
from mlgit.data.hashing import is_md5
from mlgit.errors import Invalid, Unreadable
from mlgit.ledger import Ledger
from mlgit.ledger.objects import Object, Reader, lookup

FORMAT = 1
LIMIT = records.SIZE_LIMITS["profile"]


def files(ledger: Ledger, new: Mapping[str, dict[str, Any]]) -> dict[str, bytes]:
    """Returns the files, by path, that bring profiles to the branch, by md5 of the data.

    What the branch has a profile of is left out, and so is one larger than a reader takes.
    """
    written = {}
    for md5, profile in new.items():
        try:
            content = records.canonical(profile)
        except Invalid:
            continue  # a journal is not trusted more than a branch
        if len(content) <= LIMIT and not (ledger.exists and find(ledger, md5)):
            path = names.profile_file(md5, hashlib.sha256(content).hexdigest())
            if names.place(path).kind == "profile":
                written[path] = content
    return written


def find(ledger: Ledger, md5: str) -> dict[str, Any] | None:
    """Returns the profile of a content by its md5, or None if the branch has none to read."""
    folder = lookup(ledger.reader, ledger.root, names.profile_folder(md5))
    return load(ledger.reader, folder.sha) if folder and folder.is_tree else None


def columns(profile: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns what a stored profile says of each column; what is no column is left out."""
    every = profile.get("columns")
    return [each for each in every if isinstance(each, dict)] if isinstance(every, list) else []


def folders(ledger: Ledger) -> dict[str, str]:
    """Returns the git ids of the folders with profiles, by the md5 of what they describe."""
    top = lookup(ledger.reader, ledger.root, "profiles")
    found = ledger.reader.tree(top.sha) if top and top.is_tree else {}
    return {md5: entry.sha for md5, entry in found.items() if entry.is_tree and is_md5(md5)}


def load(reader: Reader, folder: str) -> dict[str, Any] | None:
    """Returns the first profile in a folder, by its git id, that can be read."""
    for name, entry in sorted(reader.tree(folder).items()):
        found = reader.find(entry.sha, LIMIT) if entry.is_file else None
        content = found.data if isinstance(found, Object) else b""
        try:
            profile = records.parse(content, name)
        except Unreadable:
            continue  # as `verify` tells
        if (
            f"{hashlib.sha256(content).hexdigest()}.json" == name
            and profile.get("format") == FORMAT
        ):
            return profile
    return None
