"""The repository that a command works in, opened once, and the runs that go on in it."""

from __future__ import annotations

import click
import msgspec

from mlgit import saved
from mlgit.errors import NotFound
from mlgit.ledger import Ledger, Repository, open_repository
from mlgit.records import History, Points, Run
from mlgit.records.history import joined, rows


def repository() -> Repository:
    """Returns the repository of the working directory, the same one all through a command."""
    root = click.get_current_context().find_root()
    if root.obj is None:
        root.obj = open_repository()
    assert isinstance(root.obj, Repository)
    return root.obj


def ledger() -> Ledger:
    """Returns the ledger of the working directory, opened for reading."""
    return Ledger(repository())


def find_run(ledger: Ledger, name: str) -> Run:
    """Returns the one saved run that a person means; see `saved.find`.

    Raises:
        NotFound: none is meant, or several are.
        WrongState: it is not saved yet; the hint says what to do.
        Unreadable: its record cannot be read.
    """
    try:
        return saved.find(ledger, name)
    except NotFound:
        if has_journals(ledger.repository):
            from mlgit.tracking import unsaved

            if reason := unsaved.explain(ledger, name):
                raise reason from None
        raise


def has_journals(repository: Repository) -> bool:
    """Tells whether a run may be going on, or has died; one glance at one folder.

    Only then is it worth importing the tracking room, which takes longer than this does.
    """
    return any((repository.common_dir / "mlgit" / "live").glob("*.jsonl"))


def live_runs(ledger: Ledger) -> list[Run]:
    """Returns the runs that are being logged to now, newest first, as far as they have come.

    One that was taken up again is the saved run and what was logged since.
    """
    if not has_journals(ledger.repository):
        return []
    from mlgit.tracking import finish

    running = finish.live_runs(ledger.repository.common_dir)
    if not running or not ledger.exists:
        return running
    earlier = {run.id: run for run in saved.load(ledger, [run.id for run in running])}
    known = saved.experiments(ledger)
    return [
        _together(earlier[run.id], run)
        if run.id in earlier
        else msgspec.structs.replace(run, experiment=known[run.experiment].title)
        if run.experiment in known
        else run
        for run in running
    ]


def live_history(ledger: Ledger, run: Run) -> History:
    """Returns the points of a run that is going on; those of before too, if it was taken up."""
    from mlgit.tracking import journal

    before = saved.load(ledger, [run.id]) if ledger.exists else []
    found = saved.history(ledger, run) if before else {}
    story = journal.read(journal.path_of(ledger.repository.state, run.id))
    for key, points in story.history.items():
        for point in rows(points):
            found.setdefault(key, Points()).append(*point)
    return found


def _together(earlier: Run, live: Run) -> Run:
    metrics = {key: joined(earlier.metrics.get(key), last) for key, last in live.metrics.items()}
    return msgspec.structs.replace(
        earlier,
        status=live.status,
        ended=None,
        error=None,
        paused=live.paused,
        params={**live.params, **earlier.params},
        metrics={**earlier.metrics, **metrics},
        tags={**earlier.tags, **live.tags},
        note=earlier.note if live.note is None else live.note,
    )
