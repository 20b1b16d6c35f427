"""The data that runs name: is every object here or on the data remote, and whole?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mlgit import remotes
from mlgit.data import store, transfer
from mlgit.data.hashing import Member
from mlgit.data.remote import connect
from mlgit.errors import MlgitError
from mlgit.ledger import Ledger
from mlgit.records import Pointer, Run
from mlgit.verify.outcome import FAILED, OK, UNKNOWN, Outcome


class _Remote(NamedTuple):
    """What the data remote was asked."""

    lacking: set[str]
    members: dict[str, list[Member]]
    problem: str | None
    """Why it could not be asked."""


def objects(ledger: Ledger, runs: Sequence[Run], rehash: bool) -> Iterator[Outcome]:
    """Yields for each content that runs name whether its bytes can be had."""
    kept: dict[str, list[Pointer]] = {}
    only_named: dict[str, str] = {}
    for run in runs:
        for pointer in (*run.inputs, *run.outputs):
            if pointer.stored == "dvc" and pointer.md5:
                kept.setdefault(pointer.md5, []).append(pointer)
            elif pointer.stored is None and pointer.md5:
                only_named[pointer.md5] = "only the hash was recorded"
            elif pointer.md5 is None:
                only_named[pointer.url or pointer.path] = "only the address was recorded"
    place = ledger.repository.data_store
    problems: dict[str, str] = {}
    inside: dict[str, list[Member]] = {}
    absent: set[str] = set()
    for md5, pointers in kept.items():
        try:
            absent |= _look(ledger, md5, pointers, inside)
        except MlgitError as error:
            problems[md5] = error.message
    asked = _ask(ledger, absent)
    inside |= asked.members
    parts_of = {md5: [md5, *(member.md5 for member in inside.get(md5, ()))] for md5 in kept}
    spoilt = _spoilt(
        ledger, {part for parts in parts_of.values() for part in parts} if rehash else set()
    )
    for md5, parts in parts_of.items():
        lost = asked.lacking.intersection(parts)
        bad = next((spoilt[part] for part in parts if part in spoilt), problems.get(md5))
        if bad:
            yield Outcome("data", md5, FAILED, bad)
        elif lost:
            what = (
                f"{len(lost):,} of its {len(parts) - 1:,} files are" if md5 not in lost else "it is"
            )
            yield Outcome("data", md5, FAILED, f"{what} neither here nor on the data remote")
        elif asked.problem and absent.intersection(parts):
            yield Outcome("data", md5, UNKNOWN, f"not here, and {asked.problem}")
        elif rehash and not all(store.has(place, part) for part in parts):
            yield Outcome("data", md5, UNKNOWN, "on the data remote; its bytes were not read")
        else:
            yield Outcome("data", md5, OK)
    for name, reason in only_named.items():
        if name not in kept:
            yield Outcome("data", name, UNKNOWN, reason)


def _look(
    ledger: Ledger, md5: str, pointers: Sequence[Pointer], inside: dict[str, list[Member]]
) -> set[str]:
    """Returns what is not here of a content, and notes the files of a folder that is.

    Raises:
        Unreadable: it is here, and is damaged.
        MlgitError: it is here, and is not what a record says: any may lie about its size.
    """
    place = ledger.repository.data_store
    if not store.has(place, md5):
        return {md5}
    if not md5.endswith(".dir"):
        _check_size(pointers, _size(place, md5), "the object")
        return set()
    inside[md5] = store.members(place, md5)
    parts = [member.md5 for member in inside[md5]]
    for pointer in pointers:
        if pointer.files not in (None, len(parts)):
            raise MlgitError(
                f"the record says {pointer.files:,} files, the folder has {len(parts):,}"
            )
    lacking = {part for part in parts if not store.has(place, part)}
    if not lacking:
        _check_size(pointers, sum(_size(place, part) for part in parts), "the folder")
    return lacking


def _size(place: Path, md5: str) -> int:
    return os.stat(store.object_path(place, md5)).st_size


def _check_size(pointers: Iterable[Pointer], size: int, what: str) -> None:
    for pointer in pointers:
        if pointer.size != size:
            raise MlgitError(f"the record says {pointer.size:,} bytes, {what} has {size:,}")


def _ask(ledger: Ledger, absent: set[str]) -> _Remote:
    """Asks the data remote for what is not here."""
    if not absent:
        return _Remote(set(), {}, None)
    place = ledger.repository.data_store
    present = remotes.list_remotes(ledger)
    if not present:
        return _Remote(absent, {}, None)
    try:
        remote = remotes.here(ledger.repository, remotes.find(ledger))
        with connect(remote) as connection:
            lacking = transfer.missing(connection, absent)
            members = transfer.manifests(
                connection, [md5 for md5 in absent - lacking if md5.endswith(".dir")]
            )
            within = {m.md5 for found in members.values() for m in found}
            lacking |= transfer.missing(connection, [m for m in within if not store.has(place, m)])
    except MlgitError as error:
        return _Remote(set(), {}, error.message)
    return _Remote(lacking, members, None)


def _spoilt(ledger: Ledger, md5s: Iterable[str]) -> dict[str, str]:
    """Reads what is here of these objects and returns what is wrong with the spoilt ones."""
    place = ledger.repository.data_store
    found = {}
    for md5 in sorted(md5s):
        if store.has(place, md5):
            try:
                store.verify_object(place, md5)
            except MlgitError as error:
                found[md5] = error.message
    return found
