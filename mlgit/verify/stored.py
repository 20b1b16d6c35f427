"""What lies on the branch: environments, small artifacts, metrics beside their summaries."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from mlgit import names, records, saved
from mlgit.data import store
from mlgit.errors import MlgitError, Unreadable
from mlgit.ledger import Ledger
from mlgit.ledger.objects import Object
from mlgit.records import Run
from mlgit.records import history as histories
from mlgit.verify.outcome import FAILED, OK, UNKNOWN, Outcome


def environments(ledger: Ledger, runs: Sequence[Run]) -> Iterator[Outcome]:
    """Yields whether each environment is there, with the hash that names it."""
    digests = sorted({run.environment for run in runs if run.environment})
    paths = [f"{ledger.root}:{names.environment_file(digest)}" for digest in digests]
    limit = records.SIZE_LIMITS["environment"]
    for digest, found in zip(digests, ledger.reader.find_many(paths, limit), strict=True):
        if not isinstance(found, Object):
            yield Outcome("environment", digest, FAILED, "it is not on the branch")
        elif hashlib.sha256(found.data).hexdigest() != digest:
            yield Outcome("environment", digest, FAILED, "its content has another hash")
        else:
            yield Outcome("environment", digest, OK)


def artifacts(ledger: Ledger, runs: Sequence[Run]) -> Iterator[Outcome]:
    """Yields for each run whether its small artifacts are the bytes that it recorded."""
    limit = records.SIZE_LIMITS["file"]
    wanted = [(run, pointer) for run in runs for pointer in run.outputs if pointer.stored == "git"]
    paths = [f"{ledger.root}:{names.artifact_file(run.id, p.path)}" for run, p in wanted]
    bad: dict[str, str] = {}
    for (run, pointer), found in zip(wanted, ledger.reader.find_many(paths, limit), strict=True):
        content = found.data if isinstance(found, Object) else None
        if content is None or store.md5_of(content) != pointer.md5:
            try:  # a later one, which a fact brought
                content = saved.artifacts(ledger, run).get(pointer.path)
            except Unreadable:
                content = None
        if content is None:
            bad.setdefault(run.id, f"{names.shown(pointer.path)} is not on the branch")
        elif store.md5_of(content) != pointer.md5:
            bad.setdefault(run.id, f"{names.shown(pointer.path)} was altered")
    for run_id in dict.fromkeys(run.id for run, _ in wanted):
        reason = bad.get(run_id)
        yield Outcome("artifact", run_id, FAILED if reason else OK, reason)


def metrics(ledger: Ledger, runs: Sequence[Run]) -> Iterator[Outcome]:
    """Yields for each run whether its summaries are those of its histories."""
    limit = records.SIZE_LIMITS["metrics"]
    with_metrics = [run for run in runs if run.metrics]
    paths = [f"{ledger.root}:{names.run_file(run.id, names.METRICS_FILE)}" for run in with_metrics]
    for run, found in zip(with_metrics, ledger.reader.find_many(paths, limit), strict=True):
        yield _metrics_of(ledger, run, found.data if isinstance(found, Object) else None)


def _metrics_of(ledger: Ledger, run: Run, content: bytes | None) -> Outcome:
    if content is None:
        # A run that was made by an importer may have summaries and no histories.
        return Outcome("metrics", run.id, UNKNOWN, "the run has no histories, only summaries")
    try:
        found = histories.load(content, names.METRICS_FILE)
        if not _agree(run, found):
            found = saved.history(ledger, run)  # with what facts and the data store have
    except MlgitError as error:
        return Outcome("metrics", run.id, FAILED, error.message)
    if _agree(run, found):
        return Outcome("metrics", run.id, OK)
    if any(points.reduced for points in found.values()):
        return Outcome("metrics", run.id, UNKNOWN, "the whole history is not on this machine")
    wrong = next(key for key in run.metrics if not _agree(run, found, key))
    return Outcome(
        "metrics", run.id, FAILED, f"{names.shown(wrong)}: the summary is not that of the points"
    )


def _agree(run: Run, found: records.History, key: str | None = None) -> bool:
    keys = run.metrics if key is None else [key]
    # By their spelling, so that NaN is NaN.
    return all(
        key in found
        and repr(_known(histories.summary(found[key]))) == repr(_known(run.metrics[key]))
        for key in keys
    )


def _known(metric: records.Metric) -> tuple[object, ...]:
    return metric.last, metric.min, metric.max, metric.step, metric.count
