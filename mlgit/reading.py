"""Reading runs back in Python: `mlgit.runs`, `mlgit.get_run`, `mlgit.experiments`."""

from __future__ import annotations

import os
import warnings
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from mlgit import records, saved
from mlgit.errors import MlgitError, MlgitWarning, NotFound
from mlgit.ledger import Ledger, Repository
from mlgit.records.canonical import Number
from mlgit.records.history import rows

if TYPE_CHECKING:
    import pandas


class Point(NamedTuple):
    """One point of a metric's history."""

    step: int
    time: float
    """Seconds since the run started."""
    value: Number


class SavedRun:
    """A run as the ledger has it, later facts folded in. It does not change by itself."""

    def __init__(self, record: records.Run, repository: Repository) -> None:
        self.record = record
        self._repository = repository

    def __repr__(self) -> str:
        title = "/".join(part for part in (self.experiment, self.name) if part)
        return f"<mlgit run {self.id} of {title}: {self.status}>"

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def experiment(self) -> str:
        return self.record.experiment

    @property
    def name(self) -> str | None:
        return self.record.name

    @property
    def status(self) -> str:
        """ "finished", "failed" or "interrupted"."""
        return self.record.status

    @property
    def started(self) -> str:
        """UTC, ISO 8601 with microseconds."""
        return self.record.started

    @property
    def duration(self) -> float | None:
        """Seconds it ran, without the time between its end and being taken up again."""
        return self.record.duration

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.record.params)

    @property
    def tags(self) -> dict[str, str]:
        return dict(self.record.tags)

    @property
    def note(self) -> str | None:
        return self.record.note

    @property
    def metrics(self) -> dict[str, Number]:
        """The last value of every metric; `record.metrics` has min, max, step and count too."""
        return {key: metric.last for key, metric in self.record.metrics.items()}

    def history(self, metric: str) -> list[Point]:
        """Returns every point of a metric, in order of logging.

        Raises:
            NotFound: the run has no such metric.
        """
        with Ledger(self._repository) as ledger:
            found = saved.history(ledger, self.record)
        if metric not in found:
            raise NotFound(
                f"the run {self.id} has no metric {metric!r}",
                "it has " + (", ".join(sorted(found)) or "none"),
            )
        points = rows(found[metric])
        return [Point(step, ms / 1000, value) for step, ms, value in points]

    @property
    def inputs(self) -> list[records.Pointer]:
        """What the run read: path, md5, size, role and name of each input."""
        return list(self.record.inputs)

    def artifacts(self) -> list[str]:
        """Returns the paths of the run's artifacts."""
        return [pointer.path for pointer in self.record.artifacts]

    def read(self, path: str) -> bytes:
        """Returns an artifact's bytes, fetched from the data remote if they are not here.

        `path` may lead into a folder that was logged as one: "model/weights.bin".

        Raises:
            NotFound: the run has no artifact at this path, or its bytes are nowhere.
            Unreadable: they are not the bytes that were logged.
            RemoteFailed: the data remote cannot be reached.
        """
        from mlgit import artifacts

        with Ledger(self._repository) as ledger:
            return artifacts.read(ledger, self.record, path)

    def download(self, path: str, to: str | os.PathLike[str] | None = None) -> Path:
        """Writes an artifact, a file or a folder, to a new path and returns that path.

        Without `to` it gets its own name, in the working folder. It is a copy of your
        own. If the very same is there already, nothing is written.

        Raises:
            NotFound: the run has no artifact at this path, or its bytes are nowhere.
            Invalid: something else is at `to`.
            Unreadable: they are not the bytes that were logged.
            RemoteFailed: the data remote cannot be reached.
            WriteFailed: it cannot be written; nothing is left behind.
        """
        from mlgit import artifacts

        target = Path(PurePosixPath(path).name if to is None else to)
        with Ledger(self._repository) as ledger:
            artifacts.write(ledger, self.record, path, target)
        return target

    def environment(self) -> dict[str, Any] | None:
        """Returns the packages and the machine of the run, or None if not captured."""
        with Ledger(self._repository) as ledger:
            return saved.environment(ledger, self.record)


class Runs(list[SavedRun]):
    """A list of runs that can become a table."""

    def to_pandas(self) -> pandas.DataFrame:
        """Returns a data frame with one row a run, columns as in the query language.

        Raises:
            MlgitError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise MlgitError("pandas is not installed", "pip install pandas") from error
        return pandas.DataFrame([_row(run) for run in self])


def _row(run: SavedRun) -> dict[str, Any]:
    plain = {name: getattr(run, name) for name in ("id", "experiment", "name", "status")}
    plain |= {"started": run.started, "duration": run.duration, "user": run.record.by.name}
    for kind, values in (("params", run.params), ("metrics", run.metrics), ("tags", run.tags)):
        plain |= {f"{kind}.{key}": value for key, value in values.items()}
    return plain


def runs(
    where: str = "",
    sort: str = "",
    limit: int | None = None,
    *,
    experiment: str | None = None,
    deleted: bool = False,
    repository: str | os.PathLike[str] = ".",
) -> Runs:
    """Returns the saved runs for which a condition holds, newest first unless sorted.

    `where` and `sort` are as for `mlgit log`: "metrics.rmse < 7 and params.depth = 6",
    "metrics.rmse, -started". Runs that are still running are not among them. A
    record that cannot be read is left out with a warning.

    Raises:
        QueryError: the condition or the sort keys cannot be read.
        NotFound: there are no runs yet, or no such experiment.
    """
    problems: list[str] = []
    with Ledger(repository) as ledger:
        found = saved.select(
            ledger, where, sort, limit, experiment=experiment, deleted=deleted, warn=problems.append
        )
    for problem in problems:
        warnings.warn(problem, MlgitWarning, stacklevel=2)
    return Runs(SavedRun(record, ledger.repository) for record in found)


def get_run(run: str, *, repository: str | os.PathLike[str] = ".") -> SavedRun:
    """Returns one run by its id, a unique prefix of it, its name, `@latest` or `@best:KEY`.

    Raises:
        NotFound: none answers to it, or several do.
    """
    with Ledger(repository) as ledger:
        return SavedRun(saved.find(ledger, run), ledger.repository)


def experiments(*, repository: str | os.PathLike[str] = ".") -> list[saved.ExperimentSummary]:
    """Returns the experiments with the number of their runs, the latest used first."""
    with Ledger(repository) as ledger:
        return saved.list_experiments(ledger)
