"""The active run: what a training script logs to.

Logging is one line into the journal and nothing else: no git, no reading back, no
points held in memory. Leaving the run turns the journal into a record and commits
it; if that fails, the journal stays and `mlgit recover` does it later.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from mlgit import names, records
from mlgit.data import put
from mlgit.errors import Invalid, WrongState
from mlgit.ledger import Repository
from mlgit.records import Pointer
from mlgit.records.canonical import BIG
from mlgit.tracking import artifacts, values
from mlgit.tracking.journal import Journal, one_line

# Together they keep run.json below what its readers accept (records.SIZE_LIMITS).
PARAMS_LIMIT = 1024 * 1024  # bytes of all params and tags of a run, as they are stored
KEYS_LIMIT = 10_000  # metrics a run may have
KEYS_SIZE_LIMIT = 2 * 1024 * 1024  # bytes of all their names

_line = values.line


class ActiveRun:
    """A run that is being logged to. Made by `mlgit.start_run`, never directly.

    A context manager: leaving the block ends the run, as failed if an exception
    leaves with it. All methods may be called from any thread and forked worker.
    """

    def __init__(
        self,
        repository: Repository,
        run_id: str,
        experiment: str,
        name: str | None,
        started: float,
        journal: Journal,
        outer: ActiveRun | None = None,
    ) -> None:
        self.id = run_id
        self.experiment = experiment
        self.name = name
        self.started = started
        self.outer = outer  # active again when this one has ended
        self._repository = repository
        self._journal = journal
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._ended: str | None = None
        self._params: dict[str, Any] = {}
        self._sizes: dict[tuple[str, str], int] = {}  # of each param and tag
        self._keys: dict[str, str] = {}  # a metric's key as JSON
        self._keys_size = 0
        self._next_step: dict[str, int] = {}  # by the key as JSON
        self._artifacts: set[str] = set()

    def __repr__(self) -> str:
        title = f"{self.experiment}/{self.name}" if self.name else self.experiment
        return f"<mlgit run {self.id} of {title}: {self._ended or 'running'}>"

    # --- params, tags, note ------------------------------------------------------------

    def log_param(self, key: str, value: Any) -> None:
        """Logs an input value, of any type JSON has. The same value may be logged again.

        Raises:
            Invalid: the param has another value already, or the value is not JSON.
        """
        self._write_params([(key, value)])

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Logs several params, all of them or, if one is refused, none. See `log_param`."""
        self._write_params(values.items("params", params))

    def _write_params(self, pairs: Iterable[tuple[str, Any]]) -> None:
        with self._lock:
            self._check_running("a param")
            new: dict[str, Any] = {}
            for key, value in pairs:
                key = names.key("param", key)
                packed = values.packed(key, value)
                known = new.get(key, self._params.get(key, _ABSENT))
                if known is _ABSENT:
                    new[key] = packed
                elif _line(known) != _line(packed):
                    raise Invalid(
                        f"the param {names.shown(key)} is {names.shown(records.unpack(known))} "
                        f"already and cannot become {names.shown(value)}",
                        "a param has one value; log what changes during a run as a metric",
                    )
            self._write_pairs("p", new)
            self._params.update(new)

    def set_tag(self, key: str, value: object = "") -> None:
        """Sets a label; a later value replaces an earlier one. Values are kept as text."""
        self._write_tags([(key, value)])

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Sets several tags; see `set_tag`."""
        self._write_tags(values.items("tags", tags))

    def _write_tags(self, pairs: Iterable[tuple[str, object]]) -> None:
        with self._lock:
            self._check_running("a tag")
            new = {names.key("tag", key): values.plain_text("tag", value) for key, value in pairs}
            self._write_pairs("t", new)

    def set_note(self, text: str) -> None:
        """Sets the run's note, in Markdown; a later one replaces it."""
        with self._lock:
            self._check_running("a note")
            self._journal.append(f'["n",{_line(values.plain_text("note", text))}]')

    def _write_pairs(self, verb: str, pairs: Mapping[str, Any]) -> None:
        if not pairs:
            return
        lines = {(verb, key): f'["{verb}",{_line(key)},{_line(pairs[key])}]' for key in pairs}
        # Two levels deep, as in run.json: indentation counts.
        sizes = self._sizes | {
            (verb, key): len(records.canonical({verb: {key: value}}))
            for key, value in pairs.items()
        }
        if sum(sizes.values()) > PARAMS_LIMIT:
            raise Invalid(
                f"the params and tags of a run may have {PARAMS_LIMIT:,} bytes in all",
                "log a long value as an artifact: log_dict or log_text",
            )
        self._journal.append("\n".join(lines.values()))
        self._sizes = sizes

    # --- metrics -------------------------------------------------------------------------

    def log_metric(
        self,
        key: str,
        value: Any,
        step: int | None = None,
        time: float | datetime.datetime | None = None,
    ) -> None:
        """Logs one measured value.

        `value` is a number, or what converts to one as numpy and torch scalars do;
        NaN and the infinities are kept. `step` is an integer; None counts on from
        the metric's last one, from 0. `time` is in seconds since 1970, None is now.

        Raises:
            Invalid: the value is not a number, or the step no integer.
        """
        # The one call that has to be fast: a line is built by hand, a key is
        # checked the first time only.
        finite = type(value) is float and value - value == 0
        text = repr(value) if finite else values.number_text(key, value)
        with self._lock:
            if self._ended is not None:
                self._check_running("a metric")
            try:
                known = self._keys[key]
            except (KeyError, TypeError):
                known = self._new_key(key)
            if step is None:
                step = self._next_step.get(known, 0)
            elif type(step) is not int or not -BIG <= step <= BIG:
                step = values.integer_step(key, step)
            self._journal.append(f'["m",{known},{step},{self._ms(time)},{text}]')
            self._next_step[known] = step + 1

    def log_metrics(
        self,
        metrics: Mapping[str, Any],
        step: int | None = None,
        time: float | datetime.datetime | None = None,
    ) -> None:
        """Logs several metrics at one step and time, all or none. See `log_metric`."""
        self._write_points(
            [(key, value, step, time) for key, value in values.items("metrics", metrics)]
        )

    def log_batch(
        self,
        metrics: Iterable[Any] = (),
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, object] | None = None,
    ) -> None:
        """Logs much at once, in one write each.

        `metrics` are (key, value), (key, value, step) or (key, value, step, time)
        tuples, or objects with those attributes and `timestamp` in milliseconds,
        as MLflow's `Metric`.
        """
        points = [values.point(item) for item in metrics]
        if params:
            self.log_params(params)
        if tags:
            self.set_tags(tags)
        self._write_points(points)

    def _write_points(self, points: Iterable[values.Point]) -> None:
        with self._lock:
            self._check_running("a metric")
            now = self._ms(None)
            next_step: dict[str, int] = {}
            lines = []
            for key, value, step, moment in points:
                text = values.number_text(key, value)
                try:
                    known = self._keys[key]
                except (KeyError, TypeError):
                    known = self._new_key(key)
                if step is None:
                    step = next_step.get(known, self._next_step.get(known, 0))
                else:
                    step = values.integer_step(key, step)
                next_step[known] = step + 1
                ms = now if moment is None else self._ms(moment)
                lines.append(f'["m",{known},{step},{ms},{text}]')
            if lines:
                self._journal.append("\n".join(lines))
                self._next_step |= next_step

    def _new_key(self, key: str) -> str:
        text = _line(names.key("metric", key))
        size = self._keys_size + len(key.encode())
        if len(self._keys) >= KEYS_LIMIT or size > KEYS_SIZE_LIMIT:
            raise Invalid(
                f"a run may have {KEYS_LIMIT:,} metrics, with {KEYS_SIZE_LIMIT:,} bytes of names",
                "log a table instead",
            )
        self._keys_size = size
        self._keys[key] = text
        return text

    def _ms(self, moment: float | datetime.datetime | None) -> int:
        if moment is None:
            return int((time.time() - self.started) * 1000)
        seconds = None
        if not isinstance(moment, datetime.datetime):
            seconds = values.scalar(moment)
        else:
            with contextlib.suppress(ValueError, OverflowError):  # year 1, in another time zone
                seconds = moment.timestamp()
        if seconds is None or not abs(seconds) < 1e11:
            raise Invalid(
                f"the time {names.shown(moment)} is not in seconds since 1970",
                "pass time.time(), or a datetime",
            )
        return int((seconds - self.started) * 1000)

    # --- artifacts -----------------------------------------------------------------------

    def log_text(self, text: str, path: str) -> None:
        """Logs a text as the artifact `path`."""
        self._log(path, "text", lambda path: artifacts.from_text(text))

    def log_dict(self, value: Any, path: str) -> None:
        """Logs a JSON value as the artifact `path`."""
        self._log(path, "json", lambda path: artifacts.from_json(value))

    def log_figure(self, figure: Any, path: str) -> None:
        """Logs a figure as the artifact `path`, in the format of its suffix.

        matplotlib's go to .png, .svg or .pdf; plotly's and Altair's to .html or .json.
        """
        self._log(path, "figure", lambda path: artifacts.from_figure(figure, path))

    def log_chart(self, chart: Any, path: str = "chart") -> None:
        """Logs an Altair chart with its data, as the artifact `path`.vl.json.

        A dict with a specification of Vega-Lite does as well. The site draws it.

        Raises:
            Invalid: it is no such chart, or holds what JSON has no word for.
        """
        path = artifacts.chart_path(self._begin_artifact(path))
        self._log(path, "chart", lambda path: artifacts.from_chart(chart))

    def log_image(self, image: Any, path: str) -> None:
        """Logs a PIL image, an array or encoded bytes as the artifact `path`."""
        self._log(path, "image", lambda path: artifacts.from_image(image, path))

    def log_table(self, table: Any, path: str) -> None:
        """Logs a data frame, list of dicts or dict of columns as CSV (or .json)."""
        self._log(path, "table", lambda path: artifacts.from_table(table, path))

    def log_artifact(self, file: str | os.PathLike[str], path: str | None = None) -> None:
        """Logs a file or folder as the artifact `path`, by default under its own name.

        Texts and images up to 64 KiB lie on the branch, all else in the data store, a
        folder as one thing. It is a copy: what happens to the file later changes nothing.

        Raises:
            Invalid: there is no such file, or it cannot be read.
            WriteFailed: it cannot be stored; nothing of it is left.
        """
        source = Path(file)
        path = self._begin_artifact(artifacts.name_of(source) if path is None else path)
        content = artifacts.small_file(source)
        if content is not None:
            self._keep(path, "file", content)
        else:
            self._store(path, "folder" if source.is_dir() else "file", source)

    def log_artifacts(
        self,
        files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        path: str | None = None,
    ) -> None:
        """Logs several files, each under its own name, in the folder `path` if there is one.

        A folder is one artifact, as in `log_artifact`, with all that is in it.
        """
        if isinstance(files, (str, os.PathLike)):
            self.log_artifact(files, path)
            return
        for file in files:
            name = artifacts.name_of(Path(file))
            self.log_artifact(file, f"{path}/{name}" if path else name)

    def log_model(self, model: str | os.PathLike[str], path: str = "model") -> None:
        """Logs the file or folder that a model was saved to, as the artifact `path`.

        It lies in the data store; its DVC hash is the model's identity.

        Raises:
            Invalid: this is no path, there is no such file, or it cannot be read.
            WriteFailed: it cannot be stored; nothing of it is left.
        """
        if not isinstance(model, (str, os.PathLike)):
            raise Invalid(
                f"log_model takes the file or folder a model was saved to, "
                f"not a {type(model).__name__}",
                "save it first with its own library, and pass the path",
            )
        self._store(self._begin_artifact(path), "model", Path(model))

    def _begin_artifact(self, path: str) -> str:
        self._check_running("an artifact")
        return names.artifact_path(path)

    def _log(self, path: str, kind: str, content: Callable[[str], bytes]) -> None:
        path = self._begin_artifact(path)
        data = content(path)
        if artifacts.is_small(data, kind):
            self._keep(path, kind, data)
        else:
            md5 = put(self._repository.data_store, data)
            self._point(Pointer(path=path, kind=kind, md5=md5, size=len(data), stored="dvc"))

    def _keep(self, path: str, kind: str, content: bytes) -> None:
        """Keeps what is small beside the journal; it will lie on the branch."""
        with self._lock:
            self._check_artifact(path)
            digest = self._journal.keep_file(content)
            self._journal.append(f'["a",{_line(path)},{_line(kind)},{_line(digest)}]')
            self._artifacts.add(path)

    def _store(self, path: str, kind: str, source: Path) -> None:
        """Keeps a file or folder in the data store."""
        from mlgit.tracking import inputs

        found = inputs.take(self._repository, source)
        self._point(Pointer(path=path, kind=kind, stored="dvc", **found._asdict()))

    def _point(self, pointer: Pointer) -> None:
        with self._lock:
            self._check_artifact(pointer.path)
            self._journal.append(f'["o",{_line(pointer.document())}]')
            self._artifacts.add(pointer.path)

    def _check_artifact(self, path: str) -> None:
        self._check_running("an artifact")
        for other in self._artifacts:
            if other.startswith(f"{path}/") or path.startswith(f"{other}/"):
                raise Invalid(
                    f"the artifact path {path} would be a file and a folder, because of {other}"
                )

    # --- inputs --------------------------------------------------------------------------

    def log_input(
        self,
        source: Any,
        role: str | None = None,
        name: str | None = None,
        *,
        keep: bool = True,
        fetch: bool = False,
    ) -> Pointer:
        """Logs what the run reads, by its exact content, and returns the pointer to it.

        Args:
            source: a file, a folder, a pattern such as "data/*.csv", an http(s) or S3
                address, a table (pandas, polars, Arrow) or an array (numpy, scipy.sparse).
            role: what it is used for, as "train" or "validation".
            name: what the dataset is called; otherwise its path.
            keep: store the bytes, so that they can be fetched later; False records
                nothing but the hash, and all views say so.
            fetch: of an address, also store the bytes; otherwise its ETag, version and
                time are recorded.

        Raises:
            Invalid: there is no such file, it cannot be read, or this can be no input.
            WriteFailed: it cannot be stored; nothing of it is left.
        """
        from mlgit.tracking import inputs

        self._check_running("an input")
        name = names.run_name(name) if name is not None else None
        role = names.key("role", role) if role is not None else None
        pointer = inputs.describe(self._repository, source, name, keep, fetch)
        pointer = msgspec.structs.replace(pointer, role=role, name=name or pointer.name)
        pointer, profile = inputs.profiled(self._repository, source, pointer)
        with self._lock:
            self._check_running("an input")
            if profile:
                self._journal.append(f'["profile",{_line(pointer.md5)},{_line(profile)}]')
            self._journal.append(f'["i",{_line(pointer.document())}]')
        return pointer

    # --- what the session adds -----------------------------------------------------------

    def note_environment(self, described: Mapping[str, Any]) -> None:
        """Records packages and machine. For the session, not for scripts."""
        with self._lock:
            self._journal.append(f'["environment",{one_line(described)}]')

    def note_source(self, source: Mapping[str, Any]) -> None:
        """Records where the code comes from. For the session, not for scripts."""
        with self._lock:
            self._journal.append(f'["source",{one_line(source)}]')

    def beat(self) -> None:
        """Says that the run is alive. For the session, not for scripts."""
        with self._lock:
            self._journal.beat()

    def has_artifact(self, path: str) -> bool:
        return path in self._artifacts

    def continue_from(
        self,
        params: Mapping[str, Any],
        next_steps: Mapping[str, int],
        artifact_paths: Iterable[str] = (),
    ) -> None:
        """Takes up where a resumed run stopped: packed params, and each metric's next step."""
        self._params |= params
        self._next_step |= {_line(key): step for key, step in next_steps.items()}
        self._artifacts |= {*artifact_paths}

    # --- the end -------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """ "running", or what the run ended as."""
        return self._ended or "running"

    def end(self, status: str = "finished", error: str | None = None) -> None:
        """Ends the run and commits it.

        If it cannot be committed now, the journal stays and a warning says so;
        `mlgit recover` commits it later.

        Raises:
            WrongState: it has ended already.
            Invalid: the status is not "finished", "failed" or "interrupted".
        """
        if status not in records.STATUSES:
            raise Invalid(
                f"a run cannot end as {names.shown(status)}",
                "the status is one of " + ", ".join(records.STATUSES),
            )
        from mlgit.tracking import session

        self._check_open()
        error = session.before_end(self, error)
        with self._lock:
            self._check_open()
            moment = names.timestamp(time.time())
            self._journal.append(f'["end","{status}","{moment}",{one_line(error)}]')
            self._ended = status
        session.close(self)

    def __enter__(self) -> ActiveRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A forked child that leaves the block, or a script that called end(), has
        # nothing to end here.
        if self._ended is None and self._pid == os.getpid():
            self.end(*outcome(error))

    @contextlib.contextmanager
    def as_active(self) -> Iterator[ActiveRun]:
        """Makes this the active run of the current thread while the block lasts.

        A new thread has no active run of its own; with this, mlgit.log_metric and
        its like work there too.
        """
        from mlgit.tracking import session

        with session.activated(self):
            yield self

    def _check_running(self, what: str) -> None:
        if self._ended is not None:
            raise WrongState(
                f"the run {self.id} has ended ({self._ended}); {what} cannot be logged to it",
                f"go on with it: mlgit.start_run(resume={self.id!r})",
            )

    def _check_open(self) -> None:
        if self._ended is not None:
            raise WrongState(
                f"the run {self.id} has ended already, as {self._ended}",
                f"go on with it: mlgit.start_run(resume={self.id!r})",
            )
        if self._pid != os.getpid():
            raise WrongState(
                "a forked worker cannot end its parent's run", "end it where it was started"
            )

    def after_fork(self) -> None:
        """In a forked child: threads of the parent, and their hold on the lock, are gone."""
        self._lock = threading.RLock()
        if self._ended is None:
            self._journal.reopen()


_ABSENT = object()


def outcome(error: BaseException | None) -> tuple[str, str | None]:
    """Returns the status and the error text of a run that an exception ended, or none did."""
    if isinstance(error, Terminated):
        return "interrupted", "SIGTERM"
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "finished", None
    try:
        said = " ".join(str(error).split())
    except Exception:  # another's __str__
        said = ""
    text = f"{type(error).__name__}: {said}".removesuffix(": ")[:1000]
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "failed", text


class Terminated(SystemExit):
    """Raised in the main thread by SIGTERM, so that runs end and `finally` blocks are run."""
