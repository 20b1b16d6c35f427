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
from mlgit.errors import Invalid, Unreadable
from mlgit.ledger import Ledger, walk

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
    folder = names.profile_folder(md5)
    for path, entry in walk.list_files(ledger.reader, ledger.root, folder):
        if names.place(f"{folder}/{path}").kind != "profile" or not entry.is_file:
            continue
        try:
            content = walk.read_file(ledger.reader, ledger.root, f"{folder}/{path}", LIMIT)
            profile = records.parse(content or b"", path)
        except Unreadable:
            continue  # as `verify` tells
        digest = hashlib.sha256(content or b"").hexdigest()
        if path == f"{digest}.json" and profile.get("format") == FORMAT:
            return profile
    return None
