"""From a journal to the ledger: the end of a run, and the recovery of a dead one."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mlgit import names, records, saved
from mlgit.errors import NotFound, Unreadable, WrongState
from mlgit.ledger import Repository, snapshot
from mlgit.records import history as histories
from mlgit.tracking import journal
from mlgit.tracking.journal import Story

POINTS_A_FACT = 50_000


def commit(repository: Repository, path: Path) -> records.Run:
    """Commits what a journal tells, and returns the record. The journal stays.

    Raises:
        WriteFailed, Unreadable: see `mlgit.ledger.append`; nothing changed.
    """
    story = journal.read(path)
    files = {
        name: (path.with_suffix(".files") / digest).read_bytes()
        for name, (_, digest) in story.artifacts.items()
    }
    outputs = [_pointer(name, kind, files[name]) for name, (kind, _) in story.artifacts.items()]
    run = record(story, path.stat().st_mtime, outputs)
    if story.header.get("resume"):
        _commit_facts(repository, story, run, files)
        return run
    code = run.source.snapshot or run.source.commit
    if repository.config.get("mlgit.code") == "sha":
        code = None
    saved.save(repository, run, story.history, story.environment, files, code)
    return run


def recover(repository: Repository, path: Path) -> records.Run:
    """Commits a dead run and deletes its journal; returns the record.

    Raises:
        WrongState: the run is not dead.
        NotFound, Unreadable, WriteFailed: its journal cannot be read, or not committed.
    """
    if journal.is_live(path):
        raise WrongState(
            f"the run {path.stem} is still being logged to", "end its process, or wait"
        )
    held = journal.Journal(path, header=None)
    try:
        run = commit(repository, path)
    except BaseException:
        held.close()
        raise
    discard(repository, held)
    return run


def peek(path: Path) -> records.Run:
    """Returns the record that a journal would make now.

    Raises:
        NotFound, Unreadable: it cannot be read.
    """
    return record(journal.read(path), path.stat().st_mtime)


def discard(repository: Repository, held: journal.Journal) -> None:
    """Deletes the journal of a run that is saved, and ends the protection of its code."""
    with_snapshot = journal.read(held.path).source.get("snapshot")
    held.discard()
    if with_snapshot:
        snapshot.release(repository, held.path.stem)


def live_runs(common_dir: Path) -> list[records.Run]:
    """Returns the runs that are being logged to now, newest first, as far as they have come.

    Their status is "running". A journal that cannot be read is left out; `doctor`
    tells of it.
    """
    found = []
    for path in journal.all_paths(common_dir):
        if story := _read_if(path, live=True):
            run = record(story, path.stat().st_mtime)
            found.append(msgspec.structs.replace(run, status="running", ended=None))
    return found


def dead_runs(common_dir: Path) -> list[Path]:
    """Returns the journals whose process is gone, newest first."""
    return [path for path in journal.all_paths(common_dir) if _read_if(path, live=False)]


def _read_if(path: Path, live: bool) -> Story | None:
    try:
        return journal.read(path) if journal.is_live(path) is live else None
    except (NotFound, Unreadable):
        return None


def _pointer(path: str, kind: str, content: bytes) -> records.Pointer:
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return records.Pointer(path=path, kind=kind, md5=digest, size=len(content), stored="git")


def record(story: Story, touched: float, outputs: Sequence[records.Pointer] = ()) -> records.Run:
    """Returns the record that a journal makes; one without an end is interrupted.

    `touched` is when it was last written to, in seconds since 1970.
    """
    header = story.header
    status, ended, error = story.ended or ("interrupted", names.timestamp(touched), None)
    return records.Run(
        id=header["id"],
        experiment=header["experiment"],
        name=header["name"],
        parent=header["parent"],
        started=header["started"],
        status=status,
        ended=ended,
        error=error,
        by=records.Person(**header["by"]),
        params={key: records.unpack(value) for key, value in story.params.items()},
        metrics={key: histories.summary(points) for key, points in story.history.items()},
        tags=story.tags,
        note=story.note,
        source=msgspec.convert(story.source, records.Source),
        outputs=list(outputs),
    )


def _commit_facts(
    repository: Repository, story: Story, run: records.Run, files: dict[str, bytes]
) -> None:
    """Adds what was logged to a run that was saved before, as facts."""
    facts: list[tuple[str, dict[str, Any]]] = []
    if story.params:
        facts.append(("params", {"params": story.params}))
    facts += [("metrics", {"history": part}) for part in _parts(story.history)]
    facts += [("tag", {"key": key, "value": value}) for key, value in story.tags.items()]
    if story.note is not None:
        facts.append(("note", {"text": story.note}))
    for pointer in run.outputs:
        content = base64.b64encode(files[pointer.path]).decode()
        facts.append(("artifact", {"pointer": pointer.document(), "base64": content}))
    again = {"started": run.started, "ended": run.ended, "status": run.status, "error": run.error}
    facts.append(("resume", again))
    new = [saved.fact(repository, kind, content) for kind, content in facts]
    saved.add_facts(repository, {run.id: new}, f"run {run.id[:10]} went on: {run.status}")


def _parts(history: records.History) -> Iterator[dict[str, Any]]:
    """Yields the history in pieces that each fit into a fact."""
    for key, points in history.items():
        for first in range(0, len(points), POINTS_A_FACT):
            part = slice(first, first + POINTS_A_FACT)
            piece = records.Points(points.step[part], points.time[part], points.value[part])
            yield {key: histories.to_columns(piece)}
