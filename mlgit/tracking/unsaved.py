"""Runs that are not saved yet, found as saved ones are: those that go on, and dead ones."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from mlgit import saved
from mlgit.errors import NotFound, Unreadable, WrongState
from mlgit.ledger import Ledger
from mlgit.tracking import journal
from mlgit.tracking.journal import Header


class Unsaved(NamedTuple):
    """A run that has a journal; one that was taken up again is saved as well."""

    path: Path
    header: Header
    is_live: bool


def find(ledger: Ledger, name: str) -> Unsaved | None:
    """Returns the run that a person means, if it has a journal.

    `name` is an id, a unique prefix of one (4 characters or more), or a run's name.

    Raises:
        NotFound: several runs answer to it, saved ones among them.
    """
    every = {each.header.id: each for each in _all(ledger.repository.common_dir)}
    if not every or name.startswith("@"):
        return None
    ids = {each.header.id for each in _matching(every.values(), name)}
    if ledger.exists:
        ids.update(saved.matching(ledger, name))
    if ids.isdisjoint(every):
        return None
    if len(ids) > 1:
        raise saved.several(name, sorted(ids, reverse=True))
    return every[ids.pop()]


def explain(ledger: Ledger, name: str) -> WrongState | None:
    """Returns why nothing can be done to the run that is meant, if it is not saved yet."""
    found = _matching(_all(ledger.repository.common_dir), name)
    if not found:
        return None
    header = found[0].header
    title = "/".join(part for part in (header.experiment, header.name) if part)
    if found[0].is_live:
        return WrongState(
            f"the run {header.id}, {title}, is still running",
            f"it is saved when it ends; until then 'mlgit show {header.id[:10]}' shows it, "
            "and its own script can tag and note it",
        )
    return WrongState(
        f"the run {header.id}, {title}, ended without being saved", "save it: mlgit recover"
    )


def _matching(every: Iterable[Unsaved], name: str) -> list[Unsaved]:
    """Returns those whose id begins so, or else those with the name, in their order."""
    text, title = name.lower(), unicodedata.normalize("NFC", name)
    every = list(every)
    begin = [each for each in every if len(text) >= 4 and each.header.id.startswith(text)]
    return begin or [each for each in every if each.header.name == title]


def _all(common_dir: Path) -> Iterator[Unsaved]:
    """Yields the runs that have a journal, newest first."""
    for path in journal.all_paths(common_dir):
        with contextlib.suppress(NotFound, Unreadable):  # saved just now, or `doctor` tells
            yield Unsaved(path, journal.header(path), journal.is_live(path))
