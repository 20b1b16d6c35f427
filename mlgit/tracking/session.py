"""Starting, resuming and ending runs; the active run; how a process ends.

One run is active per context (`contextvars`): the functions of `mlgit` log to it.
A run that the script does not end is ended when the process does: as finished, as
failed after an uncaught exception, as interrupted after Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from mlgit import names, records, saved
from mlgit.errors import Invalid, MlgitError, MlgitWarning, WriteFailed, WrongState
from mlgit.ledger import Ledger, Repository, open_repository, snapshot
from mlgit.tracking import finish, journal, program, unsaved
from mlgit.tracking.active import ActiveRun, Terminated, outcome
from mlgit.tracking.console import ConsoleTail
from mlgit.tracking.environment import capture as capture_environment
from mlgit.tracking.system import Sampler

CAPTURES = ("code", "command", "console", "machine", "packages", "system")
ORIGIN = "mlgit.reproduces"  # the tag of a run that was made to reproduce another
ORIGIN_VARIABLE = "MLGIT_REPRODUCES"
DEFAULT_EXPERIMENT = "default"

_active: ContextVar[ActiveRun | None] = ContextVar("mlgit_active_run", default=None)


@dataclass
class _Open:
    """A run of this process that is not in the ledger yet, and what serves it."""

    run: ActiveRun
    repository: Repository
    journal: journal.Journal
    is_new: bool = True
    """False if the journal is older than this process."""
    console: ConsoleTail | None = None
    sampler: Sampler | None = None
    code: snapshot.Code | None = None
    command: dict[str, Any] = field(default_factory=dict)
    sources: set[Path] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


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
        resume: the run to go on with, by its id, a unique beginning of one, or its
            name: one whose process died, or a finished one, to which what is logged is
            added as facts.
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
    if resume is not None and resume == os.environ.get(ORIGIN_VARIABLE):
        raise WrongState(f"this reproduces the run {resume}, and must not add to it")
    if resume is not None:
        opened = _resume(place, resume, before, fsync)
    else:
        if nested and before is not None:
            parent = parent or before.id
            experiment = experiment or before.experiment
        opened = _start(place, experiment, name, parent, before, fsync)
    run = opened.run
    try:
        _begin_capture(opened, _captures(place, capture), [Path(path) for path in include])
        if params:
            run.log_params(params)
        if tags:
            run.set_tags(tags)
        if opened.is_new and names.is_id(origin := os.environ.get(ORIGIN_VARIABLE, "")):
            run.set_tag(ORIGIN, origin)
    except BaseException:
        _stop_helpers(opened)
        if not opened.is_new:
            opened.journal.close()
        else:
            if opened.code and opened.code.snapshot:
                snapshot.release(place, run.id)
            opened.journal.discard()
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
    outer: ActiveRun | None,
    fsync: bool,
) -> _Open:
    experiment = names.experiment_name(DEFAULT_EXPERIMENT if experiment is None else experiment)
    name = names.run_name(name) if name is not None else None
    if parent is not None and not names.is_id(parent):
        raise Invalid(f"the parent {names.shown(parent)} is not a whole run id")
    journal.sweep(repository.state)
    run_id = names.new_id()
    started = time.time()
    header = journal.Header(
        id=run_id,
        experiment=experiment,
        name=name,
        parent=parent,
        started=names.timestamp(started),
        **_this_process(repository),
    )
    written = journal.Journal(journal.path_of(repository.state, run_id), header, fsync)
    run = ActiveRun(repository, run_id, experiment, name, started, written, outer)
    return _Open(run, repository, written)


def _resume(repository: Repository, name: str, outer: ActiveRun | None, fsync: bool) -> _Open:
    with Ledger(repository) as ledger:
        found = unsaved.find(ledger, name)
    if found:
        if found.is_live:
            raise journal.taken(found.path)
        if journal.read(found.path).ended is None:
            return _resume_journal(repository, found.path, outer, fsync)
        finish.recover(repository, found.path)  # it came to its end, and was not committed
    known = _saved(repository, found.header.id if found else name)
    if known.deleted:
        raise WrongState(f"the run {known.id} is deleted", f"mlgit restore {known.id}")
    header = journal.Header(
        id=known.id,
        experiment=known.experiment,
        name=known.name,
        parent=known.parent,
        started=known.started,
        resumed=(now := names.timestamp(time.time())),
        paused=_paused(known, now),
        **_this_process(repository),
    )
    written = journal.Journal(journal.path_of(repository.state, known.id), header, fsync)
    run = _continued(repository, header, written, outer)
    run.continue_from(*_logged(known))
    return _Open(run, repository, written)


def _resume_journal(
    repository: Repository, path: Path, outer: ActiveRun | None, fsync: bool
) -> _Open:
    touched = path.stat().st_mtime
    written = journal.Journal(path, None, fsync)
    try:
        story = journal.read(path)
        run = _continued(repository, story.header, written, outer)
        if story.header.resumed is not None:
            run.continue_from(*_logged(_saved(repository, story.id)))
        run.continue_from(
            story.params,
            {key: points.step[-1] + 1 for key, points in story.history.items()},
            story.outputs,
        )
        now, before = names.timestamp(time.time()), names.timestamp(touched)
        written.append(f'["resume","{now}",{os.getpid()},"{before}"]')
    except BaseException:
        written.close()
        raise
    return _Open(run, repository, written, is_new=False)


def _paused(known: records.Run, now: str) -> float | None:
    """Returns for how many seconds a saved run that goes on now has not run."""
    if known.ended is None:
        return known.paused
    return (known.paused or 0) + max(0, names.seconds(now) - names.seconds(known.ended))


def _continued(
    repository: Repository,
    header: journal.Header,
    written: journal.Journal,
    outer: ActiveRun | None,
) -> ActiveRun:
    return ActiveRun(
        repository,
        header.id,
        header.experiment,
        header.name,
        names.seconds(header.started),
        written,
        outer,
    )


def _saved(repository: Repository, run_id: str) -> records.Run:
    with Ledger(repository) as ledger:
        return saved.find(ledger, run_id)


def _logged(run: records.Run) -> tuple[dict[str, Any], dict[str, int]]:
    """Returns the packed params of a saved run, and each metric's next step."""
    return (
        {key: records.pack(value) for key, value in run.params.items()},
        {key: metric.step + 1 for key, metric in run.metrics.items()},
    )


def _this_process(repository: Repository) -> dict[str, Any]:
    by = {"name": repository.person.name, "email": repository.person.email}
    return {"by": by, "pid": os.getpid(), "host": journal.this_host()}


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
    if "command" in chosen:
        arguments = [_without_home(text, repository) for text in program.arguments()]
        opened.command = {
            "entry": _entry_name(repository),
            "argv": arguments,
            "cwd": _folder_name(repository),
            "module": program.module(),
        }
    _note_source(opened)
    if "console" in chosen:
        opened.console = ConsoleTail()
        opened.console.start()
    log = opened.run.log_metrics if "system" in chosen else None
    opened.sampler = Sampler(log, opened.run.beat)
    opened.sampler.start()


def _note_source(opened: _Open) -> None:
    source = dict(opened.command)
    if opened.code:
        source |= opened.code._asdict()
        source["remote"] = snapshot.remote_url(opened.repository)
    if source:
        opened.run.note_source(source)
    if opened.code and opened.code.snapshot:
        # Only now: whatever is protected is named in the journal, and released with it.
        snapshot.protect(opened.repository, opened.run.id, opened.code.snapshot)


def _entry_name(repository: Repository) -> str | None:
    entry = program.entry()
    if entry is None:
        return None
    place = entry.parent.resolve() / entry.name
    root = repository.work_tree
    return place.relative_to(root).as_posix() if root and place.is_relative_to(root) else place.name


def _folder_name(repository: Repository) -> str | None:
    """Returns the working folder relative to the work tree; None for its top, or elsewhere."""
    root = repository.work_tree
    place = Path(os.path.realpath(os.getcwd()))
    if root is None or place == root or not place.is_relative_to(root):
        return None
    with contextlib.suppress(Invalid):  # a name that cannot be recorded
        return names.artifact_path(place.relative_to(root).as_posix())
    return None


def _without_home(text: str, repository: Repository) -> str:
    """Returns a text without the folder of the repository or of the user in it."""
    if repository.work_tree:
        text = text.replace(f"{repository.work_tree}/", "")
    home = os.path.expanduser("~")
    for folder in (home, os.path.realpath(home)):
        if len(folder) > 1:
            text = re.sub(re.escape(folder) + r"(?![\w.-])", "~", text)
    return text


def _end_capture(opened: _Open) -> None:
    """Adds to the journal what is known only at the end."""
    taken = opened.run.has_artifact(names.CONSOLE_FILE)
    if opened.console and not taken and (text := opened.console.text()):
        limit = records.SIZE_LIMITS["file"]
        content = text.encode(errors="replace")[-limit:].decode(errors="ignore")
        opened.run.log_text(content, names.CONSOLE_FILE)
    if opened.code and opened.repository.work_tree:
        later = {*program.imported_files(opened.repository.work_tree)} - opened.sources
        if later and opened.repository.config.get("mlgit.code") != "sha":
            code = snapshot.extend(opened.repository, opened.code, later)
            if code != opened.code:
                opened.code = code
                _note_source(opened)


def _stop_helpers(opened: _Open) -> None:
    if opened.sampler:
        opened.sampler.stop()
    if opened.console:
        opened.console.stop()


# --- the active run, and the end -------------------------------------------------------


def active_run() -> ActiveRun | None:
    """Returns the active run of this context, or None."""
    run = _active.get()
    while run is not None and run.status != "running":
        run = run.outer
    return run


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


def before_end(run: ActiveRun, error: str | None) -> str | None:
    """Completes the journal of a run that is about to end.

    Returns the error without the names of this machine's folders.
    """
    opened = _open.get(run.id)
    if opened is None:  # another thread was faster
        return error
    _stop_helpers(opened)
    try:
        _end_capture(opened)
    except (MlgitError, OSError) as problem:
        opened.problems.append(f"some of what the run {run.id} did was not captured: {problem}")
    return _without_home(error, opened.repository) if error else None


def close(run: ActiveRun) -> None:
    """Commits a run that has ended."""
    opened = _open[run.id]
    try:
        _settle(opened)
    except (KeyboardInterrupt, SystemExit):  # just now; the run first
        if opened.journal.path.exists():
            _settle(opened)
        raise
    finally:
        if not _open:
            _unwatch_signals()
    problems, opened.problems = opened.problems, []
    for problem in problems:
        warnings.warn(problem, MlgitWarning, stacklevel=3)


def _settle(opened: _Open) -> None:
    run, held = opened.run, opened.journal
    try:
        if held.pending:
            held.beat()
        if held.pending:
            raise WriteFailed("the disk takes nothing more", "free some space")
        finish.settle(opened.repository, held)
    except (MlgitError, OSError) as error:
        opened.problems.append(
            f"the run {run.id} is not committed yet: {error}\n"
            "Its journal is kept; commit it later with: mlgit recover"
        )
        if held.pending:
            return  # the end of the process tries once more
        held.close()
    _open.pop(run.id, None)


# --- the end of the process --------------------------------------------------------------

_watching = False
_terminated = False
_earlier_error: BaseException | None = None


def _watch_process() -> None:
    global _watching, _earlier_error
    if not _watching:
        _watching = True
        atexit.register(_end_all)
        os.register_at_fork(after_in_child=_after_fork)
    _earlier_error = _last_error()
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
    global _terminated
    _terminated = True
    raise Terminated(128 + number)


def _last_error() -> BaseException | None:
    """Returns the exception that ended the script, as far as the interpreter knows."""
    # Whoever replaces sys.excepthook, this is set before. At a prompt it says nothing.
    return None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)


def _end_all() -> None:
    """Ends the runs that the script left open, and tries again to commit the others."""
    error = Terminated() if _terminated else _last_error()
    fate = outcome(None if error is _earlier_error else error)
    # A signal that comes now asks for what is being done.
    with contextlib.suppress(Terminated, KeyboardInterrupt), contextlib.ExitStack() as stack:
        for opened in _open.values():  # the last one will be first, and each gets its turn
            stack.callback(_end_one, opened, *fate)


def _end_one(opened: _Open, status: str, error: str | None) -> None:
    if opened.run.status == "running":
        opened.run.end(status, error)
    elif opened.journal.path.exists():
        close(opened.run)


def _after_fork() -> None:
    """In a forked child: its runs are the parent's to end, and it may log to them."""
    global _open, _terminated
    inherited, _open, _terminated = _open, {}, False
    for opened in inherited.values():
        opened.run.after_fork()
    if signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
