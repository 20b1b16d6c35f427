"""Runs as records on the ledger: save, find, select, annotate.

Between the ledger, which knows paths and bytes, and everybody who wants runs. A
saved run never changes; a note, tag, name or deletion is a fact beside it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import math
import shlex
import time
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from mlgit import data, names, query, records
from mlgit.errors import Invalid, NotFound, Unreadable
from mlgit.ledger import Ledger, append, walk
from mlgit.ledger.index import Progress, attributes, flat_params
from mlgit.ledger.repository import Repository
from mlgit.records import Experiment, Fact, History, Pointer, Run, Stretch
from mlgit.records import history as histories
from mlgit.records.folding import history_of

HEADLINE_METRICS = 3
SYSTEM = "system/"  # metrics of the machine; kept, but not what a run is about

_DELETED = query.Field("attribute", "deleted")
_ID = query.Field("attribute", "id")
_NAME = query.Field("attribute", "name")
_STATUS = query.Field("attribute", "status")
_REPRODUCES = query.Field("tag", "mlgit.reproduces")
_EXPERIMENT = query.Field("attribute", "experiment")


# --- writing -------------------------------------------------------------------------


def save(
    repository: Repository,
    run: Run,
    history: History,
    environment: dict[str, Any] | None = None,
    files: Mapping[str, bytes] | None = None,
    code: str | None = None,
    extra: Mapping[str, bytes] | None = None,
) -> str:
    """Commits a run to the ledger and returns the commit.

    `files` are its small artifacts by path; `code` is the commit or snapshot that
    becomes the second parent; `extra` are files of the branch that come with it. A
    history over 1 MiB goes whole to the data store, and the branch keeps a reduced one
    that has the same extremes.

    Raises:
        Invalid: the record is larger than a reader takes.
        WriteFailed, Unreadable: see `mlgit.ledger.append`; nothing changed.
    """
    content: dict[str, bytes] = dict(extra or {})
    outputs = list(run.outputs)
    for path, artifact in (files or {}).items():
        content[names.artifact_file(run.id, path)] = artifact
    if history:
        stored, full = _pack_history(repository, history)
        content[names.run_file(run.id, names.METRICS_FILE)] = stored
        outputs += [full] if full else []
    digest = None
    if environment is not None:
        digest, listing = pack_environment(environment)
        content |= listing
    run = msgspec.structs.replace(run, outputs=outputs, environment=digest or run.environment)
    content[names.run_file(run.id, names.RUN_FILE)] = _fitting("run", records.dump_run(run))
    return append(repository, content, _message(run), code)


def pack_environment(described: dict[str, Any]) -> tuple[str, dict[str, bytes]]:
    """Returns the hash of a description of packages and machine, and the file to write.

    Raises:
        Invalid: it is larger than a reader takes.
    """
    listing = records.canonical(described)
    digest = hashlib.sha256(listing).hexdigest()
    return digest, {names.environment_file(digest): _fitting("environment", listing)}


def _fitting(kind: str, record: bytes) -> bytes:
    if len(record) > records.SIZE_LIMITS[kind]:
        raise Invalid(
            f"the record of the {kind} has {len(record):,} bytes, "
            f"{records.SIZE_LIMITS[kind]:,} are allowed",
            "log long lists and texts as artifacts, not as params",
        )
    return record


def _pack_history(repository: Repository, history: History) -> tuple[bytes, Pointer | None]:
    whole = histories.dump(history)
    if len(whole) <= histories.HISTORY_LIMIT:
        return whole, None
    pointer = Pointer(
        path=names.METRICS_FILE,
        kind="history",
        md5=data.put(repository.data_store, whole),
        size=len(whole),
        stored="dvc",
    )
    for points in (histories.REDUCED_POINTS, 250, 60, 16, 4):
        packed = histories.dump(histories.reduce(history, points))
        if len(packed) <= _PACKED_LIMIT:
            return packed, pointer
    return histories.dump({}), pointer  # of so many metrics even the outlines are too long


_PACKED_LIMIT = records.SIZE_LIMITS["metrics"] // 2


def _message(run: Run) -> str:
    title = run.experiment + (f"/{run.name}" if run.name else "")
    shown = [key for key in run.metrics if not key.startswith(SYSTEM)][:HEADLINE_METRICS]
    values = "".join(f" {key}={_brief(run.metrics[key].last)}" for key in shown)
    return (
        f"run {run.id[:10]} {run.status}: {_cut(title + values, 100)}\n\n"
        f"Mlgit-Run: {run.id}\nMlgit-Experiment: {run.experiment}\n"
    )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _brief(value: float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def fact(repository: Repository, kind: str, content: dict[str, Any]) -> Fact:
    """Returns a new fact, said by the user now."""
    return Fact(
        id=names.new_id(),
        time=names.timestamp(time.time()),
        by=repository.person,
        kind=kind,
        data=content,
    )


def annotate(
    repository: Repository, run_ids: Sequence[str], kind: str, content: dict[str, Any]
) -> None:
    """Adds one fact about each of the runs, in one commit."""
    new = {run_id: [fact(repository, kind, content)] for run_id in run_ids}
    add_facts(repository, new, f"{kind} {_counted(run_ids)}{_told(content)}")


def add_facts(
    repository: Repository,
    new: Mapping[str, Sequence[Fact]],
    headline: str,
    code: str | None = None,
    extra: Mapping[str, bytes] | None = None,
) -> None:
    """Adds facts about runs, by run id, in one commit; `extra` are files that come with them."""
    files = dict(extra or {}) | {
        names.run_fact_file(run_id, fact.id): records.dump_fact(fact)
        for run_id, facts in new.items()
        for fact in facts
    }
    trailers = "".join(f"Mlgit-Run: {run_id}\n" for run_id in new)
    append(repository, files, f"{headline}\n\n{trailers}", code)


def annotate_experiment(
    repository: Repository, name: str, kind: str, content: dict[str, Any]
) -> None:
    """Adds one fact about an experiment, named as its runs store it."""
    new = fact(repository, kind, content)
    append(
        repository,
        {names.experiment_fact_file(name, new.id): records.dump_fact(new)},
        f"{kind} experiment {name}{_told(content)}\n\nMlgit-Experiment: {name}\n",
    )


def _counted(run_ids: Sequence[str]) -> str:
    return f"run {run_ids[0][:10]}" if len(run_ids) == 1 else f"{len(run_ids)} runs"


def _told(content: Mapping[str, Any]) -> str:
    text = "=".join(str(value) for value in content.values() if isinstance(value, str) and value)
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return f": {line[:57]}…" if len(line) > 58 else f": {line}" if line else ""


# --- reading -------------------------------------------------------------------------


def select(
    ledger: Ledger,
    where: str = "",
    sort: str = "",
    limit: int | None = None,
    *,
    experiment: str | None = None,
    deleted: bool = False,
    warn: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> list[Run]:
    """Returns the saved runs for which the condition holds.

    Newest first, unless `sort` names keys. Deleted runs are left out, or with
    `deleted=True` are the only ones. Metric histories are not loaded (see
    `history`). `warn` is told of records that cannot be read.

    Raises:
        QueryError: the condition or sort keys cannot be read.
        NotFound: there is no ledger, or no such experiment.
        Unreadable: the branch as a whole cannot be read.
    """
    condition, keys = query.parse(where), query.parse_sort(sort)
    if condition is query.ALL and not keys and experiment is None and limit is not None:
        return _newest(ledger, limit, deleted, warn)
    return _select(ledger, condition, keys, limit, experiment, deleted, warn, progress)


def _select(
    ledger: Ledger,
    condition: query.Query,
    keys: Sequence[query.SortKey],
    limit: int | None,
    experiment: str | None = None,
    deleted: bool = False,
    warn: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> list[Run]:
    index = ledger.index(progress)
    if warn:
        for problem in index.problems():
            warn(problem.message)
    fields = [_ID, _EXPERIMENT, _DELETED, *condition.fields, *(key.field for key in keys)]
    ids, columns = index.columns(fields)
    known = experiments(ledger, warn)
    titles, hidden = _shown_experiments(columns, known, ids, deleted)
    columns[1] = titles
    columns[3:] = [
        titles if field == _EXPERIMENT else column
        for field, column in zip(fields[3:], columns[3:], strict=True)
    ]
    wanted = range(len(ids))
    if experiment is not None:
        title = _experiment_title(experiment, known, titles)
        chosen = [i for i in wanted if titles[i] == title and not hidden[i]]
    else:
        chosen = [i for i in wanted if not hidden[i]]
    if condition is not query.ALL:
        rows = list(zip(*columns[3 : 3 + len(condition.fields)], strict=True))
        chosen = [i for i in chosen if condition.matches(rows[i])]
    chosen.sort(key=ids.__getitem__, reverse=True)
    if keys:
        column_of = dict(zip(fields[3:], columns[3:], strict=True))
        chosen = query.sort_rows(chosen, keys, lambda i, field: column_of[field][i])
    return _load(ledger, [ids[i] for i in chosen[:limit]], known)


def _newest(
    ledger: Ledger, limit: int, deleted: bool, warn: Callable[[str], None] | None
) -> list[Run]:
    """Returns the newest runs by walking the day folders, needing no index."""
    known = experiments(ledger, warn)
    found: list[Run] = []
    folders = walk.run_folders(ledger.reader, ledger.root)
    step = max(limit, 16)
    while len(found) < limit:
        batch = list(islice(folders, step))
        if not batch:
            break
        for run in walk.load_runs(ledger.reader, batch):
            if isinstance(run, walk.Problem):
                if warn:
                    warn(run.message)
            elif _is_deleted(run, known) is deleted:
                found.append(_titled(run, known))
    return found[:limit]


def _is_deleted(run: Run, known: Mapping[str, Experiment]) -> bool:
    experiment = known.get(run.experiment)
    return run.deleted is not None or (experiment is not None and run.id < experiment.hidden)


def _titled(run: Run, known: Mapping[str, Experiment]) -> Run:
    experiment = known.get(run.experiment)
    if experiment is None or experiment.title == run.experiment:
        return run
    return msgspec.structs.replace(run, experiment=experiment.title)


def _shown_experiments(
    columns: list[list[Any]], known: Mapping[str, Experiment], ids: list[str], deleted: bool
) -> tuple[list[str], list[bool]]:
    stored, gone = columns[1], columns[2]
    if not known:
        return stored, [(mark is not None) is not deleted for mark in gone]
    titles = [known[name].title if name in known else name for name in stored]
    limits = {name: experiment.hidden for name, experiment in known.items()}
    hidden = [
        (mark is not None or run_id < limits.get(name, "")) is not deleted
        for run_id, name, mark in zip(ids, stored, gone, strict=True)
    ]
    return titles, hidden


def load(ledger: Ledger, run_ids: Sequence[str]) -> list[Run]:
    """Returns these saved runs, in order; those that cannot be read are left out."""
    return _load(ledger, run_ids, experiments(ledger))


def _load(ledger: Ledger, run_ids: Sequence[str], known: Mapping[str, Experiment]) -> list[Run]:
    folders = walk.find_folders(ledger.reader, ledger.root, run_ids)
    found = walk.load_runs(ledger.reader, folders)
    return [_titled(run, known) for run in found if isinstance(run, Run)]


def find(ledger: Ledger, name: str) -> Run:
    """Returns the one saved run that a person means.

    `name` is an id, a unique prefix of one (4 characters or more), a run's name,
    `@latest`, or `@best:KEY`: by that sort key the first run that `may_be_best`, so
    `@best:metrics.rmse` has the lowest and `@best:-metrics.accuracy` the highest.

    Raises:
        NotFound: none is meant, or several are.
        Unreadable: its record cannot be read.
    """
    if name.startswith("@"):
        return _find_by_rank(ledger, name)
    ids = matching(ledger, name)
    if len(ids) == 1:
        return _load_one(ledger, ids[0])
    if ids:
        raise several(name, ids)
    _, (known,) = ledger.index().columns([_NAME])
    listing = "mlgit log; a run is saved when it ends, one that died by: mlgit recover"
    raise NotFound(f"there is no run {names.shown(name)}", _nearest(name, known, listing))


def matching(ledger: Ledger, name: str) -> list[str]:
    """Returns the ids that begin so, or else those of the runs with this name, newest first.

    Of several runs with one name a deleted one is not meant.
    """
    text = name.lower()
    if names.is_id_prefix(text) and len(text) >= 4:
        days = names.id_days(text)
        folders = walk.run_folders(ledger.reader, ledger.root, days)
        if ids := [folder.run_id for folder in folders if folder.run_id.startswith(text)]:
            return ids
    return named(ledger, name)


def named(ledger: Ledger, name: str) -> list[str]:
    """Returns the ids of the runs with this name, newest first; see `matching`."""
    title = unicodedata.normalize("NFC", name)  # as it was stored
    ids, columns = ledger.index().columns([_ID, _EXPERIMENT, _DELETED, _NAME, _REPRODUCES])
    found = [i for i, stored in enumerate(columns[3]) if stored == title]
    if len(found) > 1:
        _, hidden = _shown_experiments(columns, experiments(ledger), ids, deleted=False)
        found = [i for i in found if not hidden[i]] or found
        # A run that reproduces another has its name, and is not what is meant by it.
        found = [i for i in found if columns[4][i] is None] or found
    return sorted((ids[i] for i in found), reverse=True)


def several(name: str, ids: Sequence[str]) -> NotFound:
    """Returns the error of a name to which several runs answer."""
    begin = all(run_id.startswith(name.lower()) for run_id in ids)
    told = f"begin with {name}" if begin else f"are named {names.shown(name)}"
    return NotFound(f"{len(ids)} runs {told}", _choices(ids))


def _find_by_rank(ledger: Ledger, name: str) -> Run:
    verb, _, key = name.partition(":")
    if name == "@latest":
        found = select(ledger, limit=1)
    elif verb == "@best" and key.strip():
        found = [_best(ledger, query.parse_sort(key))]
    else:
        raise NotFound(
            f"{names.shown(name)} names no run", "write @latest, or @best:metrics.rmse (the lowest)"
        )
    if not found:
        raise NotFound(f"no run answers to {name}", "list them: mlgit log")
    return found[0]


def may_be_best(status: str, value: object) -> bool:
    """Tells whether a run may be the best by a value that it has.

    It has finished: where a run failed or was stopped, its last value is no result. And
    the value is neither NaN nor infinite, which is what diverging leaves.
    """
    return status == "finished" and not (isinstance(value, float) and not math.isfinite(value))


def _best(ledger: Ledger, keys: Sequence[query.SortKey]) -> Run:
    field = keys[0].field
    has_one = query.parse(f"{field} is not null")
    may_be = query.Query(
        has_one.text,
        (_STATUS, field),
        lambda row: row[1] is not None and may_be_best(str(row[0]), row[1]),
    )
    if found := _select(ledger, may_be, keys, 1):
        return found[0]
    if _select(ledger, has_one, (), 1):
        raise NotFound(
            f"no run has finished with a finite {field}",
            f"those that have one: mlgit log --where {shlex.quote(str(field))}",
        )
    known = ledger.index().keys()
    alike = [key for kind, key, _ in known if kind == field.kind]
    raise NotFound(f"no run has {field}", _nearest(field.key, alike))


def _load_one(ledger: Ledger, run_id: str) -> Run:
    (folder,) = walk.find_folders(ledger.reader, ledger.root, [run_id])
    run = next(walk.load_runs(ledger.reader, [folder]))
    if isinstance(run, walk.Problem):
        raise Unreadable(run.message, "list all damage: mlgit doctor")
    return _titled(run, experiments(ledger))


def _choices(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:5])
    return f"name one by its id: {shown}" + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")


def _nearest(name: str, titles: Iterable[str | None], listing: str = "mlgit log") -> str:
    import difflib  # 10 ms that only a mistake pays

    close = difflib.get_close_matches(name, {title for title in titles if title}, 3)
    if close:
        return "did you mean " + " or ".join(close) + "?"
    return f"list them: {listing}"


def history(ledger: Ledger, run: Run) -> History:
    """Returns every point of every metric, also those that facts added later.

    Where the whole of a long history is not on this machine, the reduced one of
    the branch is returned, whose points say `reduced`.

    Raises:
        Unreadable: the history is damaged.
    """
    path = names.run_file(run.id, names.METRICS_FILE)
    stored = walk.read_file(ledger.reader, ledger.root, path, records.SIZE_LIMITS["metrics"])
    for pointer in run.outputs:
        if pointer.kind == "history" and pointer.stored == "dvc" and pointer.md5:
            whole = data.load(ledger.repository.data_store, pointer.md5)
            stored = stored if whole is None else whole
    found = histories.load(stored, path) if stored is not None else {}
    add_points(found, walk.run_facts(ledger.reader, ledger.root, run.id))
    return found


def add_points(history: History, facts: Iterable[Fact]) -> None:
    """Adds to a history the points that facts brought later."""
    for later in facts:
        if later.kind == "metrics":
            with contextlib.suppress(KeyError, AttributeError, Unreadable):  # as `fold` does
                for key, points in history_of(later).items():
                    known = history.setdefault(key, records.Points())
                    for point in histories.rows(points):
                        known.append(*point)


def stretches(ledger: Ledger, run: Run) -> list[Stretch]:
    """Returns the times in which a run ran; it has several if it was taken up again.

    Raises:
        Unreadable: its record cannot be read.
    """
    path = names.run_file(run.id, names.RUN_FILE)
    stored = walk.read_file(ledger.reader, ledger.root, path, records.SIZE_LIMITS["run"])
    facts = walk.run_facts(ledger.reader, ledger.root, run.id)
    return records.stretches(records.load_run(stored or b"", path), facts)


def children(ledger: Ledger, run_id: str, progress: Progress | None = None) -> list[Run]:
    """Returns the runs that were started inside a run and are not deleted, oldest first."""
    found = load(ledger, sorted(ledger.index(progress).children(run_id)))
    known = experiments(ledger)
    return [run for run in found if not _is_deleted(run, known)]


def artifacts(ledger: Ledger, run: Run) -> dict[str, bytes]:
    """Returns the run's artifacts that lie on the branch, by path.

    Raises:
        Unreadable: one is no plain file, too large, or would leave its folder.
    """
    found: dict[str, bytes] = {}
    folder = names.run_folder(run.id) + "/files"
    limit = records.SIZE_LIMITS["file"]
    for path, content in walk.read_files(ledger.reader, ledger.root, folder, limit):
        try:
            found[names.artifact_path(path)] = content
        except Invalid as error:
            raise Unreadable(f"in {folder}: {error.message}") from error
    return found | later_artifacts(walk.run_facts(ledger.reader, ledger.root, run.id))


def later_artifacts(facts: Iterable[Fact]) -> dict[str, bytes]:
    """Returns the small artifacts that facts brought later, by path."""
    found: dict[str, bytes] = {}
    for later in facts:
        if later.kind == "artifact":
            with contextlib.suppress(KeyError, TypeError, ValueError):
                content = base64.b64decode(later.data["base64"], validate=True)
                found[names.artifact_path(later.data["pointer"]["path"])] = content
    return found


def environment(ledger: Ledger, run: Run) -> dict[str, Any] | None:
    """Returns the description of the packages and the machine of a run, if it has one.

    Raises:
        Unreadable: it is damaged, or not what its name says.
    """
    return None if run.environment is None else described(ledger, run.environment)


def described(ledger: Ledger, environment: str) -> dict[str, Any] | None:
    """Returns the description of packages and machine that has this hash, if it is there.

    Raises:
        Unreadable: it is damaged, or not what its name says.
    """
    path = names.environment_file(environment)
    if names.place(path).kind != "environment":
        raise Unreadable(f"the environment {names.shown(environment)} is no hash")
    limit = records.SIZE_LIMITS["environment"]
    content = walk.read_file(ledger.reader, ledger.root, path, limit)
    if content is None:
        return None
    if hashlib.sha256(content).hexdigest() != environment:
        raise Unreadable(f"{path} was altered: its content has another hash")
    return records.parse(content, path)


def experiments(ledger: Ledger, warn: Callable[[str], None] | None = None) -> dict[str, Experiment]:
    """Returns what facts say of experiments, by the name their runs store.

    `warn` is told of facts that cannot be read.
    """
    known = {}
    for found in walk.load_experiments(ledger.reader, ledger.root):
        if isinstance(found, Experiment):
            known[found.name] = found
        elif warn:
            warn(found.message)
    return known


def find_experiment(ledger: Ledger, title: str) -> list[str]:
    """Returns the stored names of the experiments shown under a title.

    Raises:
        NotFound: there is none.
    """
    known = experiments(ledger)
    _, (stored,) = ledger.index().columns([_EXPERIMENT])
    titles = {name: known[name].title if name in known else name for name in {*stored, *known}}
    wanted = _experiment_title(title, known, list(titles.values()))
    return sorted(name for name, shown in titles.items() if shown == wanted)


def _experiment_title(name: str, known: Mapping[str, Experiment], titles: Iterable[str]) -> str:
    """Returns the title that a person means: a present one, or one of before a rename."""
    name = unicodedata.normalize("NFC", name)  # as it was stored
    present = set(titles)
    if name in present:
        return name
    if name in known:
        return known[name].title
    hint = _nearest(name, present, "mlgit experiment ls")
    raise NotFound(f"there is no experiment {names.shown(name)}", hint)


def value(run: Run, field: query.Field) -> Any:
    """Returns what a field of the query language means for a run; None if it has none."""
    if field.kind == "attribute":
        return attributes(run).get(field.key)
    if field.kind == "tag":
        return run.tags.get(field.key)
    if field.kind == "metric":
        metric = run.metrics.get(field.key)
        return getattr(metric, field.part) if metric else None
    return dict(flat_params(run.params)).get(field.key)


class ExperimentSummary(NamedTuple):
    """An experiment as listings show it."""

    name: str
    runs: int
    latest: str | None
    """When its latest run started."""
    description: str | None
    tags: dict[str, str]
    deleted: bool


def list_experiments(ledger: Ledger, deleted: bool = False) -> list[ExperimentSummary]:
    """Returns the experiments, the latest used first; with `deleted` the deleted ones too."""
    known = experiments(ledger)
    fields = [_EXPERIMENT, _DELETED, query.Field("attribute", "started")]
    ids, (stored, gone, started) = ledger.index().columns(fields)
    titles, hidden = _shown_experiments([ids, stored, gone], known, ids, deleted=False)
    latest: dict[str, str] = {}
    counts: dict[str, int] = {}
    for title, is_hidden, moment in zip(titles, hidden, started, strict=True):
        counts[title] = counts.get(title, 0) + (not is_hidden)
        if not is_hidden:
            latest[title] = max(moment, latest.get(title, ""))
    for experiment in known.values():
        counts.setdefault(experiment.title, 0)
    found = []
    by_title = {experiment.title: experiment for experiment in known.values()}
    for title, count in counts.items():
        facts = by_title.get(title)
        is_deleted = bool(facts and facts.hidden and not count)
        if is_deleted and not deleted:
            continue
        found.append(
            ExperimentSummary(
                name=title,
                runs=count,
                latest=latest.get(title),
                description=facts.description if facts else None,
                tags=facts.tags if facts else {},
                deleted=is_deleted,
            )
        )
    return sorted(found, key=lambda experiment: experiment.latest or "", reverse=True)
