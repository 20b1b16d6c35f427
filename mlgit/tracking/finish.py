"""From a journal to the ledger: the end of a run, and the recovery of a dead one."""

from __future__ import annotations

import base64
import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mlgit import names, profiles, records, saved
from mlgit.errors import MlgitWarning, NotFound, Unreadable, WrongState
from mlgit.ledger import Ledger, Repository, snapshot
from mlgit.records import history as histories
from mlgit.tracking import journal
from mlgit.tracking.journal import Journal, Small, Story

POINTS_A_FACT = 50_000


def settle(repository: Repository, held: Journal) -> records.Run:
    """Commits the run that a journal tells of, deletes the journal, returns the record.

    Whatever stops it, it can be done again: the ledger will have the run once.

    Raises:
        WriteFailed, Unreadable: see `mlgit.ledger.append`; nothing changed.
    """
    story = journal.read(held.path)
    if story.saved:
        run = record(story, held.path.stat().st_mtime)
    else:
        run = _save(repository, held, story)
        held.append('["saved"]')
    if run.source.snapshot:
        snapshot.release(repository, run.id)
    held.discard()
    return run


def _save(repository: Repository, held: Journal, story: Story) -> records.Run:
    files = _read_files(held, story)
    outputs = [
        _pointer(path, kept.kind, files[path]) if isinstance(kept, Small) else kept
        for path, kept in story.outputs.items()
        if path in files or not isinstance(kept, Small)
    ]
    run = record(story, held.path.stat().st_mtime, outputs)
    code = run.source.snapshot or run.source.commit
    if repository.config.get("mlgit.code") == "sha":
        code = None
    extra = {}
    if story.profiles:
        with Ledger(repository) as ledger:
            extra = profiles.files(ledger, story.profiles)
    if story.header.resumed is None:
        saved.save(repository, run, story.history, story.environment, files, code, extra)
    else:
        if story.environment is not None:
            digest, listing = saved.pack_environment(story.environment)
            run, extra = msgspec.structs.replace(run, environment=digest), {**extra, **listing}
        facts = _facts(held, story, run, files)
        headline = f"run {run.id[:10]} went on: {run.status}"
        saved.add_facts(repository, {run.id: facts}, headline, code, extra)
    return run


def _read_files(held: Journal, story: Story) -> dict[str, bytes]:
    files = {}
    for path, kept in story.outputs.items():
        if not isinstance(kept, Small):
            continue
        try:
            content = (held.files / kept.name).read_bytes()
        except OSError:
            content = b""
        if hashlib.sha256(content).hexdigest() == kept.name:
            files[path] = content
        else:
            warnings.warn(
                f"the artifact {path} of the run {story.id} is lost: {held.files} does not "
                "have its bytes any more",
                MlgitWarning,
                stacklevel=2,
            )
    return files


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
    touched = path.stat().st_mtime
    held = Journal(path, header=None)
    try:
        if journal.read(path).ended is None:
            held.append(json.dumps(["end", "interrupted", names.timestamp(touched), None]))
        return settle(repository, held)
    finally:
        held.close()


def peek(path: Path) -> records.Run:
    """Returns the record that a journal would make now.

    Raises:
        NotFound, Unreadable: it cannot be read.
    """
    return record(journal.read(path), path.stat().st_mtime)


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


def record(
    story: Story, touched: float, outputs: Sequence[records.Pointer] | None = None
) -> records.Run:
    """Returns the record that a journal makes; one without an end is interrupted.

    `touched` is when it was last written to, in seconds since 1970. Without `outputs`
    it has those in the data store.
    """
    header = story.header
    stored = [kept for kept in story.outputs.values() if not isinstance(kept, Small)]
    status, ended, error = story.ended or ("interrupted", names.timestamp(touched), None)
    return records.Run(
        id=header.id,
        experiment=header.experiment,
        name=header.name,
        parent=header.parent,
        started=header.started,
        status=status,
        ended=ended,
        error=error,
        paused=round((header.paused or 0) + story.paused, 6) or None,
        by=msgspec.convert(header.by, records.Person),
        params={key: records.unpack(value) for key, value in story.params.items()},
        metrics={key: histories.summary(points) for key, points in story.history.items()},
        tags=story.tags,
        note=story.note,
        source=story.source,
        inputs=story.inputs,
        outputs=list(stored if outputs is None else outputs),
    )


def _facts(
    held: Journal, story: Story, run: records.Run, files: dict[str, bytes]
) -> list[records.Fact]:
    """Returns what was logged to a run that was saved before, as facts about it."""
    facts: list[tuple[str, dict[str, Any]]] = []
    if story.params:
        facts.append(("params", {"params": story.params}))
    facts += [("metrics", {"history": part}) for part in _parts(story.history)]
    facts += [("tag", {"key": key, "value": value}) for key, value in story.tags.items()]
    if story.note is not None:
        facts.append(("note", {"text": story.note}))
    facts += [("input", {"pointer": pointer.document()}) for pointer in run.inputs]
    for pointer in run.outputs:
        content: dict[str, Any] = {"pointer": pointer.document()}
        if pointer.stored == "git":
            content["base64"] = base64.b64encode(files[pointer.path]).decode()
        facts.append(("artifact", content))
    again = {
        "started": story.header.resumed,
        "ended": run.ended,
        "status": run.status,
        "error": run.error,
        "source": run.source.document(),
        "environment": run.environment,
    }
    paused = {"paused": round(story.paused, 6)} if story.paused else {}
    facts.append(("resume", {**again, **paused}))
    fact_ids = story.fact_ids
    if len(fact_ids) != len(facts):
        # Written down first, so that a second attempt makes the same facts, not more.
        fact_ids = [names.new_id() for _ in facts]
        held.append(json.dumps(["facts", *fact_ids]))
    assert run.ended is not None
    return [
        records.Fact(id=fact_id, time=run.ended, by=run.by, kind=kind, data=content)
        for fact_id, (kind, content) in zip(fact_ids, facts, strict=True)
    ]


def _parts(history: records.History) -> Iterator[dict[str, Any]]:
    """Yields the history in pieces that each fit into a fact."""
    for key, points in history.items():
        for first in range(0, len(points), POINTS_A_FACT):
            part = slice(first, first + POINTS_A_FACT)
            piece = records.Points(points.step[part], points.time[part], points.value[part])
            yield {key: histories.to_columns(piece)}
