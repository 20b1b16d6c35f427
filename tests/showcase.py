"""A repository with a bit of everything: the same bytes, ids and times whenever it is made.

Two commits of code, eight runs in three experiments (one deleted), and the facts that people
added later. The `showcase` fixture hands out copies.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from unittest import mock

from conftest import git, make_run

from mlgit import names, records, registry, saved
from mlgit.data import put
from mlgit.ledger import Ledger, Repository, open_repository, snapshot
from mlgit.records import Metric, Points, Run
from mlgit.records import history as histories
from mlgit.registry import api, verbs
from mlgit.tracking.journal import Header, Journal, path_of

TRAIN = 'LR = 0.1\n\n\ndef train():\n    return "trained"\n'
ENVIRONMENT = {
    "python": {"version": "3.11.7", "implementation": "CPython"},
    "platform": {"system": "Linux", "machine": "x86_64"},
    "packages": {"numpy": "2.1.0", "scikit-learn": "1.5.2"},
}


class Clock:
    """The time, which stands still unless told otherwise, and ids that tell it."""

    def __init__(self, now: str) -> None:
        self.set(now)
        self._made = 0

    def set(self, now: str) -> None:
        """Sets the time, in UTC: "2026-11-02 09:00:00"."""
        self.now = datetime.fromisoformat(now).replace(tzinfo=timezone.utc).timestamp()

    def new_id(self, ms: int | None = None) -> str:
        self.now += 1
        self._made += 1
        ms = int(self.now * 1000) if ms is None else ms
        with mock.patch("mlgit.names.secrets.randbits", return_value=self._made):
            return new_id(ms)


new_id = names.new_id


@contextmanager
def stopped_clock(now: str) -> Iterator[Clock]:
    """Makes mlgit and git take the time and ids from the clock, which is yielded."""
    clock = Clock(now)
    with (
        mock.patch("mlgit.names.new_id", clock.new_id),
        mock.patch("time.time", lambda: clock.now),
    ):
        yield clock


def metric(*values: float) -> Points:
    """Returns a history with a point a second."""
    count = len(values)
    return Points(list(range(count)), [1000 * step for step in range(count)], list(values))


class Builder:
    """Makes runs in a repository, at the time of a clock."""

    def __init__(self, repository: Repository, clock: Clock) -> None:
        self.repository = repository
        self.clock = clock

    def run(
        self,
        started: str,
        took: float,
        experiment: str,
        name: str | None = None,
        *,
        files: dict[str, bytes] | None = None,
        metrics: dict[str, Points] | None = None,
        environment: dict[str, Any] | None = None,
        **fields: Any,
    ) -> str:
        """Saves one run and returns its id; `took` is in seconds."""
        self.clock.set(started)
        run_id = names.new_id()
        begun = self.clock.now
        self.clock.now += took
        source = fields.pop("source", records.Source())
        outputs = [
            records.Pointer(path=path, kind="text", md5=md5(data), size=len(data), stored="git")
            for path, data in (files or {}).items()
        ] + fields.pop("outputs", [])
        run = Run(
            id=run_id,
            experiment=experiment,
            name=name,
            status=fields.pop("status", "finished"),
            started=names.timestamp(begun),
            ended=names.timestamp(self.clock.now),
            by=self.repository.person,
            metrics=summaries(metrics or {}),
            source=source,
            outputs=outputs,
            **fields,
        )
        code = source.snapshot or source.commit
        saved.save(self.repository, run, metrics or {}, environment, files, code)
        return run_id

    def fact(self, run_id: str, kind: str, **content: Any) -> None:
        saved.annotate(self.repository, [run_id], kind, content)


def save_run(path: Path, name: str, code: str | None = None, **fields: Any) -> str:
    """Saves a small run in a repository, now, and returns its id."""
    run = make_run(name=name, source=records.Source(commit=code), **fields)
    saved.save(open_repository(path), run, {}, code=code)
    return run.id


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def summaries(history: dict[str, Points]) -> dict[str, Metric]:
    return {key: histories.summary(points) for key, points in history.items()}


def commit(path: Path, message: str, when: str) -> str:
    date = {"GIT_AUTHOR_DATE": f"{when}Z", "GIT_COMMITTER_DATE": f"{when}Z"}
    git("add", ".", cwd=path)
    git("commit", "--quiet", "--message", message, cwd=path, env=date)
    return git("rev-parse", "HEAD", cwd=path).strip()


def build(path: Path) -> None:
    """Makes the showcase at `path`."""
    git("init", "--quiet", path)
    (path / "train.py").write_text(TRAIN)
    first = commit(path, "first model", "2026-11-01T10:00:00")
    (path / "train.py").write_text(TRAIN.replace("0.1", "0.05"))
    second = commit(path, "slower steps", "2026-11-03T10:00:00")
    with stopped_clock("2026-11-01 11:00:00") as clock:
        build_ledger(Builder(open_repository(path), clock), first, second)
    git("checkout", "--quiet", "--", ".", cwd=path)


def code_of(commit: str | None, *argv: str, **more: Any) -> records.Source:
    """Returns where a run's code comes from."""
    fields = {"branch": "main", "entry": "train.py", **more}
    return records.Source(commit=commit, argv=[*argv], **fields)


def build_ledger(make: Builder, first: str, second: str) -> None:
    baseline = make.run(
        "2026-11-01 12:00:00", 4.25, "taxi", "baseline",
        params={"model": "linear", "lr": 0.1, "features": ["PU", "DO"]},
        metrics={"rmse": metric(7.758715206809494), "mae": metric(5.25)},
        tags={"team": "growth"}, source=code_of(first, "--model", "linear"),
        environment=ENVIRONMENT,
    )  # fmt: skip
    boosted = make.run(
        "2026-11-02 09:30:00", 75.5, "taxi", "boosted",
        params={"model": "gbr", "lr": 0.05, "depth": 6, "features": ["PU_DO"]},
        metrics={
            "loss": metric(0.9, 0.55, 0.41, 0.37, 0.39),
            "rmse": metric(6.741), "mae": metric(4.8),
            "system/cpu_percent": metric(93.5),
        },
        tags={"team": "growth", "reviewed": ""}, source=code_of(second, "--model", "gbr"),
        files={"notes/summary.txt": b"All months, no outliers.\n", "console.txt": b"epoch 4\n"},
        environment={**ENVIRONMENT, "packages": {"numpy": "2.2.1", "scikit-learn": "1.5.2"}},
    )  # fmt: skip
    make.run(
        "2026-11-02 10:00:00", 0.125, "taxi", "diverged",
        params={"model": "gbr", "lr": 50.0, "depth": 6, "features": ["PU_DO"]},
        metrics={"loss": metric(0.9, 1e12, float("nan")), "rmse": metric(float("nan"))},
        source=code_of(second, "--lr", "50"),
    )  # fmt: skip
    make.run(
        "2026-11-02 10:15:00", 1.0, "taxi", "typo",
        status="failed", error="KeyError: 'PU_D0'",
        params={"model": "gbr", "lr": 0.05, "features": ["PU_D0"]}, source=code_of(second),
    )  # fmt: skip
    search = make.run(
        "2026-11-04 20:00:00", 3725, "churn", "search",
        params={"space": {"lr": [0.01, 0.1], "depth": {"min": 2, "max": 8}}, "trials": 2},
        metrics={"auc": metric(0.71, 0.8125)}, source=code_of(second),
    )  # fmt: skip
    repository = make.repository
    assert repository.work_tree
    (repository.work_tree / "train.py").write_text(TRAIN.replace("0.1", "0.01"))
    kept = snapshot.capture(repository).snapshot
    make.run(
        "2026-11-04 20:00:01", 1800, "churn", "trial 1",
        parent=search, params={"lr": 0.01, "depth": 2}, metrics={"auc": metric(0.71)},
        source=code_of(second, snapshot=kept, skipped=[
            {"path": "keys.env", "reason": "seems to hold a secret (AWS access key)"},
        ]),
    )  # fmt: skip
    late = make.run(
        "2026-11-05 08:00:00", 200_000, "größe/客户 🚕", "Süßes 🍭 模型",
        status="interrupted", error="KeyboardInterrupt:",
        params={"città": "Perù", "emoji 🚀": "🚀🚀", "zwölf": 12, "none": None, "on": True},
        metrics={"précision": metric(1 / 3), "count": metric(12345678)},
    )  # fmt: skip
    mistake = make.run("2026-11-06 07:00:00", 2, "taxi", "wrong data", params={"model": "gbr"})

    make.clock.set("2026-11-07 12:00:00")
    make.fact(baseline, "note", text="First **baseline**.\n\n- kept simple\n- no outliers removed")
    make.fact(boosted, "tag", key="champion", value="yes")
    make.fact(boosted, "untag", key="reviewed")
    make.fact(search, "rename", name="grid search")
    make.fact(mistake, "delete")
    make.fact(late, "tag", key="größe", value="groß")
    for name, kind, content in (
        ("taxi", "rename", {"name": "nyc-taxi"}),
        ("taxi", "describe", {"text": "How long will a green taxi take?"}),
        ("churn", "describe", {"text": "Who leaves, and why"}),
    ):
        saved.annotate_experiment(repository, name, kind, content)


def add_models(path: Path) -> None:
    """Adds models to a showcase: three with a life of their own, two of them for reading lists."""
    repository = open_repository(path)
    code = git("rev-parse", "HEAD", cwd=path).strip()
    with stopped_clock("2026-11-09 08:00:00") as clock:
        make = Builder(repository, clock)
        for number, (rmse, lr) in enumerate([(6.9, 0.1), (6.58, 0.05), (6.61, 0.02)], 1):
            _trained(
                make,
                f"2026-11-{8 + number:02} 08:00:00",
                "taxi",
                f"gbr {number}",
                code,
                {"rmse": metric(rmse), "mae": metric(rmse - 1.9)},
                {"lr": lr, "depth": 6},
            )
        _trained(
            make,
            "2026-11-12 09:00:00",
            "churn",
            "forest",
            code,
            {"auc": metric(0.84)},
            {"trees": 300},
        )
        for day, what, told in _LIFE:
            clock.set(f"2026-11-{day}")
            _live(repository, what, told)


_LIFE = [
    ("09 10:00:00", ("register", "fare", "gbr 1"), "first that beats the meter"),
    ("09 11:00:00", ("promote", "fare@v1", "staging"), ""),
    ("10 09:00:00", ("register", "fare", "gbr 2"), "slower steps"),
    ("10 12:00:00", ("promote", "fare@v1", "production"), "a week of shadow traffic"),
    ("10 12:30:00", ("promote", "fare@v2", "staging"), ""),
    ("11 15:00:00", ("register", "fare", "gbr 3"), ""),
    ("12 09:30:00", ("register", "churn", "forest"), ""),
    ("12 10:00:00", ("alias", "churn@v1", "champion"), "the only one"),
    ("13 09:00:00", ("promote", "fare@v2", "production"), "beats v1 by 4 %"),
    ("13 09:05:00", ("promote", "fare@v1", "archived"), ""),
    ("14 16:00:00", ("force", "fare@v3", "staging"), "holidays are coming"),
    ("14 17:00:00", ("describe", "fare", ""), "How long will a **green taxi** take?"),
    ("14 17:01:00", ("describe", "fare", "v2.0.0"), "Half the step of v1, the same trees."),
    ("15 08:00:00", ("register", "old rules", "gbr 1"), ""),
    ("15 08:30:00", ("deprecate", "old rules", ""), "replaced by fare"),
    ("16 10:00:00", ("withdraw", "fare@v3", ""), "trained on test data"),
    ("17 10:00:00", ("alias", "fare@v2", "champion"), ""),
]  # fmt: skip


def _trained(
    make: Builder, when: str, experiment: str, name: str, code: str,
    metrics: dict[str, Points], params: dict[str, Any],
) -> None:  # fmt: skip
    """Saves a run with data and a model, whose bytes lie in the data store."""
    store = make.repository.data_store
    weights, data = f"weights of {name}\n".encode(), f"rides before {when[:10]}\n".encode()
    make.run(
        when, 600, experiment, name, params=params, metrics=metrics, source=code_of(code),
        inputs=[records.Pointer(path="data/rides.csv", md5=put(store, data), size=len(data),
                                name="rides", role="train", stored="dvc")],
        outputs=[records.Pointer(path="model.bin", md5=put(store, weights), size=len(weights),
                                 kind="model", stored="dvc")],
    )  # fmt: skip


def _live(repository: Repository, what: tuple[str, str, str], told: str) -> None:
    """Does one thing to a model."""
    verb, named, more = what
    with Ledger(repository.git_dir) as ledger:
        if verb == "register":
            run = saved.find(ledger, more)
            verbs.register(ledger, registry.load(ledger), named, run, reason=told)
            return
        if verb == "describe":
            model = registry.load_model(ledger, named)
            verbs.describe(ledger, model, told, more or None)
            return
        if verb == "deprecate":
            verbs.deprecate(ledger, registry.load_model(ledger, named), told)
            return
        model, version = api.meant(ledger, named)
        if verb == "alias":
            verbs.alias(ledger, model, version, more, told)
        elif verb == "withdraw":
            verbs.withdraw(ledger, model, version, told)
        else:
            forced = "metrics.rmse < 6.6 does not hold: metrics.rmse is 6.61"
            against = forced if verb == "force" else None
            verbs.promote(ledger, model, version, more, told, forced=against)


REPORT = """\
# How good is it?

The best is 01m6dsg8d80000000000000002.

```mlgit
table: {title: The best, experiment: taxi, where: metrics.rmse > 0, sort: metrics.rmse,
        columns: [name, params.model, metrics.rmse]}
```

```mlgit
chart: {kind: scatter, x: params.lr, y: metrics.rmse, experiment: taxi}
```

```mlgit
chart: {kind: curves, metric: loss}
```
"""


def add_looks(path: Path) -> None:
    """Adds ways to look at a showcase: a report, views of an experiment, and a run's own chart."""
    (path / "reports").mkdir()
    (path / "reports" / "q4.md").write_text(REPORT)
    repository = open_repository(path)
    chart = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "data": {"values": [{"hour": hour, "rides": 40 + hour * hour} for hour in range(9)]},
        "mark": "bar",
        "encoding": {
            "x": {"field": "hour", "type": "ordinal"},
            "y": {"field": "rides", "type": "quantitative"},
        },
    }
    with stopped_clock("2026-11-18 08:00:00") as clock:
        Builder(repository, clock).run(
            "2026-11-18 08:00:00", 30, "taxi", "with a chart",
            params={"model": "gbr", "lr": 0.03, "depth": 5},
            metrics={"rmse": metric(6.7), "loss": metric(0.8, 0.6, 0.5, 0.45)},
            files={"rides.vl.json": json.dumps(chart).encode(), "table.csv": b"a,b\n1,2\n3,4\n"},
            environment=ENVIRONMENT,
        )  # fmt: skip
        for name, view in (
            ("best first", {"where": "metrics.rmse < 7", "sort": "metrics.rmse"}),
            ("steps", {"columns": ["name", "params.lr", "metrics.loss"]}),
        ):
            saved.annotate_experiment(repository, "taxi", "view", {"name": name, **view})


def start_journal(path: Path, lines: Sequence[str], resumed: str | None = None) -> Journal:
    """Starts a run in a repository as a training script would; it is live until closed.

    `resumed` is the id of the saved run that goes on, if it does.
    """
    with stopped_clock("2026-11-08 10:00:00") as clock:
        run_id = resumed or names.new_id()
        begun = names.timestamp(clock.now)
    header = Header(
        id=run_id, experiment="taxi", name="night", parent=None, started=begun,
        by={"name": "Ada Example", "email": "ada@example.org"},
        pid=os.getpid(), host=socket.gethostname(), resumed=begun if resumed else None,
    )  # fmt: skip
    journal = Journal(path_of(open_repository(path).state, run_id), header)
    journal.append("\n".join(lines))
    os.utime(journal.path, (names.seconds(begun) + 90,) * 2)
    return journal
