"""Starting, resuming and ending runs; the active run; how a process ends.

One run is active per context (`contextvars`): the functions of `mlgit` log to it.
A run that the script does not end is ended when the process does: as finished, as
failed after an uncaught exception, as interrupted after Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from mlgit import names, records, saved
from mlgit.errors import Invalid, MlgitError, MlgitWarning, WrongState
from mlgit.ledger import Ledger, Repository, open_repository, snapshot
from mlgit.tracking import finish, journal, program
from mlgit.tracking.active import ActiveRun, Terminated, outcome
from mlgit.tracking.console import ConsoleTail
from mlgit.tracking.environment import capture as capture_environment
from mlgit.tracking.system import Sampler

CAPTURES = ("code", "command", "console", "machine", "packages", "system")
CONSOLE_FILE = "console.txt"
DEFAULT_EXPERIMENT = "default"

_active: ContextVar[ActiveRun | None] = ContextVar("mlgit_active_run", default=None)


@dataclass
class _Open:
    """A run of this process that is not in the ledger yet, and what serves it."""

    run: ActiveRun
    repository: Repository
    journal: journal.Journal
    before: ActiveRun | None
    console: ConsoleTail | None = None
    sampler: Sampler | None = None
    code: snapshot.Code | None = None
    command: dict[str, Any] = field(default_factory=dict)
    sources: set[Path] = field(default_factory=set)


_open: dict[str, _Open] = {}
_repositories: dict[tuple[str, str | None], Repository] = {}


def start_run(
    experiment: str | None = None,
    name: str | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, object] | None = None,
    nested: bool = False,
    parent: str | None = None,
    resume: str | None = None,
    include: Iterable[str | os.PathLike[str]] = (),
    capture: Collection[str] | None = None,
    fsync: bool = False,
    repository: str | os.PathLike[str] = ".",
) -> ActiveRun:
    """Starts a run and makes it the active one.

    Use it as a context manager, or end it with `mlgit.end_run()`; a run that the
    script leaves open ends with the process.

    Args:
        experiment: the named group the run belongs to; "default" if None, or the
            parent's for a nested run.
        name: one line for people; several runs may have the same.
        params, tags: logged at once.
        nested: start it inside the active run, which becomes its parent.
        parent: the id of the parent run, where that is another process's.
        resume: the id of a run to go on with: one whose process died, or a
            finished one, to which what is logged is added as facts.
        include: files and folders to keep with the code even if untracked.
        capture: what to capture besides what is logged, of "code", "command",
            "console", "machine", "packages" and "system"; None is all of it, or what
            `git config mlgit.capture` says.
        fsync: wait for the disk on every line; costs milliseconds, and survives
            a power cut too.
        repository: a folder in the git repository.

    Raises:
        NotARepository: there is no git repository, or git does not know who you are.
        Invalid: a name, param or tag cannot be stored.
        WrongState: a run is active and `nested` is not set, or the run to resume
            is live.
        NotFound: there is no run to resume.
        WriteFailed: the journal or the code's snapshot cannot be written.
    """
    before = active_run()
    if before is not None and not nested:
        raise WrongState(
            f"the run {before.id} is active", "end it first, or start this one with nested=True"
        )
    place = _repository(repository)
    if resume is not None:
        opened = _resume(place, resume, fsync, before)
    else:
        if nested and before is not None:
            parent = parent or before.id
            experiment = experiment or before.experiment
        opened = _start(place, experiment, name, parent, fsync, before)
    run = opened.run
    try:
        _begin_capture(opened, _captures(place, capture), [Path(path) for path in include])
        if params:
            run.log_params(params)
        if tags:
            run.set_tags(tags)
    except BaseException:
        _stop_helpers(opened)
        if resume is None:
            opened.journal.discard()
        else:
            opened.journal.close()
        raise
    _open[run.id] = opened
    _active.set(run)
    _watch_process()
    return run


def _repository(path: str | os.PathLike[str]) -> Repository:
    # A script that starts hundreds of runs asks git once.
    place = os.path.abspath(path)
    key = (place, os.environ.get("GIT_DIR"))
    if key not in _repositories:
        _repositories[key] = open_repository(place)
    return _repositories[key]


def _start(
    repository: Repository,
    experiment: str | None,
    name: str | None,
    parent: str | None,
    fsync: bool,
    before: ActiveRun | None,
) -> _Open:
    experiment = names.experiment_name(experiment or DEFAULT_EXPERIMENT)
    name = names.run_name(name) if name is not None else None
    if parent is not None and not names.is_id(parent):
        raise Invalid(f"the parent {names.shown(parent)} is not a whole run id")
    run_id = names.new_id()
    started = time.time()
    header = {
        **_process(),
        "id": run_id,
        "experiment": experiment,
        "name": name,
        "parent": parent,
        "started": names.timestamp(started),
        "by": repository.person.document(),
    }
    written = journal.Journal(journal.path_of(repository.state, run_id), header, fsync)
    run = ActiveRun(run_id, experiment, name, started, written)
    return _Open(run, repository, written, before)


def _resume(repository: Repository, run_id: str, fsync: bool, before: ActiveRun | None) -> _Open:
    path = journal.path_of(repository.state, run_id)
    if names.is_id(run_id) and path.exists():
        return _resume_journal(repository, path, fsync, before)
    with Ledger(repository) as ledger:
        known = saved.find(ledger, run_id)
    if known.deleted:
        raise WrongState(f"the run {known.id} is deleted", f"mlgit restore {known.id}")
    header = {
        **_process(),
        "id": known.id,
        "resume": True,
        "experiment": known.experiment,
        "name": known.name,
        "parent": known.parent,
        "started": known.started,
        "by": repository.person.document(),
    }
    path = journal.path_of(repository.state, known.id)
    written = journal.Journal(path, header, fsync)
    started = names.seconds(known.started)
    run = ActiveRun(known.id, known.experiment, known.name, started, written)
    run.continue_from(
        {key: records.pack(value) for key, value in known.params.items()},
        {key: metric.step + 1 for key, metric in known.metrics.items()},
    )
    return _Open(run, repository, written, before)


def _resume_journal(
    repository: Repository, path: Path, fsync: bool, before: ActiveRun | None
) -> _Open:
    written = journal.Journal(path, None, fsync)
    story = journal.read(path)
    written.append(f'["resume","{names.timestamp(time.time())}",{os.getpid()}]')
    header = story.header
    started = names.seconds(header["started"])
    run = ActiveRun(story.id, header["experiment"], header["name"], started, written)
    run.continue_from(
        story.params, {key: points.step[-1] + 1 for key, points in story.history.items()}
    )
    return _Open(run, repository, written, before)


def _process() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname()}


# --- capture -------------------------------------------------------------------------


def _captures(repository: Repository, asked: Collection[str] | None) -> set[str]:
    if asked is None:
        configured = repository.config.get("mlgit.capture")
        asked = CAPTURES if configured is None else configured.replace(",", " ").split()
    unknown = {*asked} - {*CAPTURES}
    if unknown or isinstance(asked, str):
        raise Invalid(
            f"cannot capture {names.shown(asked if isinstance(asked, str) else unknown.pop())}",
            "capture is a list of " + ", ".join(CAPTURES),
        )
    return {*asked}


def _begin_capture(opened: _Open, chosen: set[str], include: list[Path]) -> None:
    repository = opened.repository
    if "packages" in chosen or "machine" in chosen:
        described = dict(capture_environment(repository.state / "environments.json"))
        unwanted = set() if "packages" in chosen else {"packages"}
        unwanted |= set() if "machine" in chosen else {"hardware", "platform"}
        opened.run.note_environment(
            {part: value for part, value in described.items() if part not in unwanted}
        )
    if "code" in chosen and repository.work_tree:
        entry = program.entry()
        opened.sources = {*program.imported_files(repository.work_tree)}
        used = [*opened.sources, *(path.absolute() for path in include)]
        keep = repository.config.get("mlgit.code") != "sha"
        opened.code = snapshot.capture(repository, used + ([entry] if entry else []), keep)
        if opened.code.snapshot:
            snapshot.protect(repository, opened.run.id, opened.code.snapshot)
    if "command" in chosen:
        arguments = [_without_home(text, repository) for text in program.arguments()]
        opened.command = {"entry": _entry_name(repository), "argv": arguments}
    _note_source(opened)
    if "console" in chosen:
        opened.console = ConsoleTail()
        opened.console.start()
    log = opened.run.log_metrics if "system" in chosen else None
    opened.sampler = Sampler(log, opened.journal.beat)
    opened.sampler.start()


def _note_source(opened: _Open) -> None:
    source = dict(opened.command)
    if opened.code:
        source |= opened.code._asdict()
        source["remote"] = snapshot.remote_url(opened.repository)
    if source:
        opened.run.note_source(source)


def _entry_name(repository: Repository) -> str | None:
    entry = program.entry()
    if entry is None:
        return None
    place = entry.parent.resolve() / entry.name
    root = repository.work_tree
    return place.relative_to(root).as_posix() if root and place.is_relative_to(root) else place.name


def _without_home(text: str, repository: Repository) -> str:
    """Returns an argument without the folder of the repository or of the user in it."""
    if repository.work_tree:
        text = text.replace(f"{repository.work_tree}/", "")
    home = os.path.expanduser("~")
    return text.replace(home, "~") if len(home) > 1 else text


def _end_capture(opened: _Open) -> None:
    """Adds to the journal what is known only at the end."""
    if opened.console and (text := opened.console.text()):
        limit = records.SIZE_LIMITS["file"]
        content = text.encode(errors="replace")[-limit:].decode(errors="ignore")
        opened.run.log_text(content, CONSOLE_FILE)
    if opened.code and opened.repository.work_tree:
        later = {*program.imported_files(opened.repository.work_tree)} - opened.sources
        if later and opened.repository.config.get("mlgit.code") != "sha":
            code = snapshot.extend(opened.repository, opened.code, later)
            if code != opened.code:
                opened.code = code
                _note_source(opened)
                if code.snapshot:
                    snapshot.protect(opened.repository, opened.run.id, code.snapshot)


def _stop_helpers(opened: _Open) -> None:
    if opened.sampler:
        opened.sampler.stop()
    if opened.console:
        opened.console.stop()


# --- the active run, and the end -------------------------------------------------------


def active_run() -> ActiveRun | None:
    """Returns the active run of this context, or None."""
    run = _active.get()
    return run if run is not None and run.status == "running" else None


def current() -> ActiveRun:
    """Returns the active run.

    Raises:
        WrongState: there is none.
    """
    run = active_run()
    if run is None:
        raise WrongState(
            "no run is active here",
            "log inside 'with mlgit.start_run():'; in a thread of your own, "
            "inside 'with run.as_active():'",
        )
    return run


def end_run(status: str = "finished") -> None:
    """Ends the active run and commits it; see `ActiveRun.end`."""
    current().end(status)


@contextlib.contextmanager
def activated(run: ActiveRun) -> Iterator[None]:
    """Makes a run the active one of this context while the block lasts."""
    token = _active.set(run)
    try:
        yield
    finally:
        _active.reset(token)


def before_end(run: ActiveRun) -> None:
    """Completes the journal of a run that is about to end."""
    opened = _open.get(run.id)
    if opened is None:
        return
    _stop_helpers(opened)
    try:
        _end_capture(opened)
    except (MlgitError, OSError) as error:
        _warn(f"some of what the run {run.id} did was not captured: {error}")


def close(run: ActiveRun) -> None:
    """Commits a run that has ended, and makes the one before it active again."""
    opened = _open[run.id]
    if _active.get() is run:
        _active.set(opened.before)
    try:
        if opened.journal.pending:
            opened.journal.beat()
        if opened.journal.pending:
            raise MlgitError("the disk takes nothing more", "free some space")
        finish.commit(opened.repository, opened.journal.path)
        finish.discard(opened.repository, opened.journal)
    except (MlgitError, OSError) as error:
        opened.journal.close()
        _warn(
            f"the run {run.id} is not committed yet: {error}\n"
            "Its journal is kept; commit it later with: mlgit recover"
        )
    del _open[run.id]
    if not _open:
        _unwatch_signals()


def _warn(text: str) -> None:
    warnings.warn(text, MlgitWarning, stacklevel=4)


# --- the end of the process --------------------------------------------------------------

_watching = False
_fate: tuple[str, str | None] = ("finished", None)


def _watch_process() -> None:
    global _watching
    if not _watching:
        _watching = True
        atexit.register(_end_all)
        os.register_at_fork(after_in_child=_after_fork)
        sys.excepthook = _Hook(sys.excepthook)
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, _on_sigterm)


def _unwatch_signals() -> None:
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is _on_sigterm
    ):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    global _fate
    _fate = ("interrupted", "SIGTERM")
    raise Terminated(128 + number)


class _Hook:
    """Notes an exception that nobody caught, then does what was done before."""

    def __init__(self, before: Any) -> None:
        self._before = before

    def __call__(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        global _fate
        _fate = outcome(error)
        self._before(kind, error, trace)


def _end_all() -> None:
    """Ends the runs that the script left open; tries again to commit the others."""
    for opened in reversed(list(_open.values())):
        run = opened.run
        if run.status == "running":
            run.end(*_fate)
        else:
            close(run)  # Ctrl-C came while it was being committed


def _after_fork() -> None:
    """In a forked child: its runs are the parent's to end, and it may log to them."""
    global _open
    inherited, _open = _open, {}
    for opened in inherited.values():
        opened.run.after_fork()
    if signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
