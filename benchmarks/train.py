"""One process of a benchmark: the acts that are timed inside of it, for each tool.

A copy of this file is committed into every repository that is measured, and runs there as
the training script would. It reads acts as JSON lines from stdin and answers each with one
on stdout, so that the processes of several tools can take turns:

    ["small_run"]      ->  [seconds to start, to log, to end]

With `--once` it saves one small run and ends, as a whole script does.
"""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import time
from typing import Any

PARAMS = {"lr": 0.05, "depth": 6, "batch": 128, "optimizer": "adam", "seed": 7}
METRICS = {"rmse": 6.713902, "mae": 4.550217, "r2": 0.61}
TAGS = {"team": "growth", "stage": "trial"}
KEYS = [f"metric_{number}" for number in range(10)]

clock = time.perf_counter


class Tool:
    """What every tool can do, and tell of its process."""

    def small_run(self) -> list[float]:
        """Saves a run with 5 params, 3 metrics and 2 tags; returns the seconds of its parts."""
        raise NotImplementedError

    def small_runs(self, count: int) -> list[float]:
        """Saves small runs one after the other; returns the seconds of each."""
        return [sum(self.small_run()) for _ in range(count)]

    def memory(self) -> int:
        """Returns the bytes of memory that are in use now."""
        import psutil

        return int(psutil.Process().memory_info().rss)

    def peak(self) -> int:
        """Returns the most bytes of memory that were in use so far."""
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Tracker(Tool):
    """A tool with MLflow's manner of calls: MLflow itself, and mlgit."""

    module: Any

    def __init__(self) -> None:
        self._run: Any = None
        self._step = 0

    def start(self) -> Any:
        return self.module.start_run()

    def small_run(self) -> list[float]:
        before = clock()
        with self.start():
            started = clock()
            self.module.log_params(PARAMS)
            self.module.log_metrics(METRICS)
            self.module.set_tags(TAGS)
            logged = clock()
        return [started - before, logged - started, clock() - logged]

    def long_runs(self, count: int, points: int) -> None:
        """Saves runs of three metrics, one step a second or so, with as many points in all."""
        import random

        from_noise = random.Random(7)
        for _ in range(count):
            with self.start():
                self.module.log_params(PARAMS)
                self.module.set_tags(TAGS)
                now = time.time()
                for step in range(points // 3):
                    now += from_noise.uniform(0.9, 1.2)
                    loss = 2.0 * 0.99**step + from_noise.gauss(0, 0.02)
                    values = {"loss": loss, "rmse": loss * 3.1, "accuracy": 1 - loss / 3}
                    self.log_at(values, step, now)

    def log_at(self, values: dict[str, float], step: int, moment: float) -> None:
        raise NotImplementedError

    def open(self) -> None:
        """Starts the run that `log_metric` and `log_metrics` log to."""
        self._run = self.start()
        self._run.__enter__()

    def close(self) -> float:
        """Ends it; returns the seconds that took."""
        before = clock()
        self._run.__exit__(None, None, None)
        return clock() - before

    def log_metric(self, count: int) -> float:
        """Makes as many calls; returns the seconds of one."""
        call, first = self.module.log_metric, self._step
        before = clock()
        for step in range(first, first + count):
            call("loss", 1.0 / (step + 3), step=step)
        self._step += count
        return (clock() - before) / count

    def log_metrics(self, count: int) -> float:
        """Makes as many calls with ten metrics each; returns the seconds of one."""
        call, first = self.module.log_metrics, self._step
        before = clock()
        for step in range(first, first + count):
            call(dict.fromkeys(KEYS, 1.0 / (step + 3)), step=step)
        self._step += count
        return (clock() - before) / count


class Mlgit(Tracker):
    def __init__(self) -> None:
        super().__init__()
        import mlgit

        self.module = mlgit

    def log_at(self, values: dict[str, float], step: int, moment: float) -> None:
        self.module.log_metrics(values, step=step, time=moment)

    def hash(self, path: str) -> float:
        """Returns the seconds in which a file is hashed, by one thread, and nothing else done."""
        from mlgit.data.hashing import hash_file

        before = clock()
        hash_file(path)
        return clock() - before

    def store(self, path: str) -> float:
        """Logs a file or folder as an input of the open run; returns the seconds of the call."""
        before = clock()
        self.module.log_input(path)
        return clock() - before

    def data_runs(self, count: int) -> None:
        """Saves small runs that read one of twelve files and make a model each."""
        os.makedirs("out/data", exist_ok=True)
        for number in range(count):
            data, model = f"out/data/{number % 12}.csv", "out/model.bin"
            with open(data, "w") as file:
                file.write(f"month,{number % 12}\n" * 100)
            with open(model, "wb") as file:
                file.write(b"\0%d" % number * 100)
            with self.start():
                self.module.log_params(PARAMS)
                self.module.log_metrics(METRICS)
                self.module.log_input(data, role="train")
                self.module.log_model(model)

    def search(self) -> list[float]:
        """Returns the seconds of one search, the number of runs found, and the lowest rmse."""
        before = clock()
        found = self.module.runs("metrics.rmse < 7 and params.depth = 6", "metrics.rmse", 100)
        return [clock() - before, len(found), found[0].metrics["rmse"]]

    def loaded(self, modules: list[str]) -> list[str]:
        """Returns which of these modules this process has imported."""
        return [name for name in modules if name in sys.modules]

    def count(self) -> int:
        """Returns the number of runs that are saved, as git sees them."""
        listing = ("git", "ls-tree", "-r", "--name-only", "mlgit", "runs/")
        shown = subprocess.run(listing, stdout=subprocess.PIPE, check=True, text=True)
        return sum(path.endswith("/run.json") for path in shown.stdout.split())

    def open_index(self, afresh: bool) -> float:
        """Returns the seconds in which the index comes up to date, or is made from nothing."""
        from mlgit.ledger import Ledger

        with Ledger() as ledger:
            ledger.root  # noqa: B018 - reading the branch's tip is not the index's work
            if afresh:
                (ledger.repository.common_dir / "mlgit" / "index.sqlite").unlink(missing_ok=True)
            before = clock()
            ledger.index()
            return clock() - before


class Mlflow(Tracker):
    def __init__(self, uri: str) -> None:
        super().__init__()
        import mlflow

        self.module = mlflow
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment("bench")

    def log_at(self, values: dict[str, float], step: int, moment: float) -> None:
        from mlflow.entities import Metric

        stamp = int(moment * 1000)
        batch = [Metric(key, value, stamp, step) for key, value in values.items()]
        run = self.module.active_run().info.run_id
        self.module.MlflowClient().log_batch(run, metrics=batch)

    def search(self) -> list[float]:
        before = clock()
        found = self.module.search_runs(
            filter_string="metrics.rmse < 7 and params.depth = '6'",
            order_by=["metrics.rmse ASC"],
            max_results=100,
            output_format="list",
        )
        return [clock() - before, len(found), found[0].data.metrics["rmse"]]

    def count(self) -> int:
        """Returns the number of runs that ended well."""
        found = self.module.search_runs(
            filter_string="attributes.status = 'FINISHED'",
            max_results=50_000,
            output_format="list",
        )
        return len(found)


class Git(Tool):
    """The least that a commit on the ledger's branch costs: its objects, and `update-ref`.

    Nothing is read, locked, checked or collected: the trees on the way are held in memory.
    Writes to a branch of its own, from where mlgit's stands.
    """

    def __init__(self) -> None:
        from gitdb import LooseObjectDB

        self._database = LooseObjectDB(os.path.join(".git", "objects"))
        shown = subprocess.run(
            ("git", "rev-parse", "--verify", "--quiet", "refs/heads/mlgit"),
            stdout=subprocess.PIPE,
            text=True,
        )
        self._tip = shown.stdout.strip()
        self._way = ("runs", *time.strftime("%Y/%m/%d", time.gmtime()).split("/"))
        self._trees = [
            self._listed("/".join(self._way[:depth])) for depth in range(len(self._way) + 1)
        ]
        self._number = 0
        self._ref = f"refs/heads/bare-{os.getpid()}"
        if self._tip:
            subprocess.run(("git", "update-ref", self._ref, self._tip), check=True)

    def count(self) -> int:
        """Returns the number of runs that all of these processes saved."""
        listing = ("git", "rev-list", "--count", "--branches=bare-*", "--not", "--branches=mlgit")
        return int(subprocess.run(listing, stdout=subprocess.PIPE, check=True).stdout)

    def _listed(self, path: str) -> dict[bytes, bytes]:
        """Returns the lines of a tree by name; none if there is no such tree."""
        shown = subprocess.run(
            ("git", "ls-tree", "-z", f"{self._tip}:{path}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        lines = {}
        for line in shown.stdout.split(b"\0")[:-1]:
            about, _, name = line.partition(b"\t")
            mode, _, sha = about.split()
            lines[name] = mode.lstrip(b"0") + b" " + name + b"\0" + bytes.fromhex(sha.decode())
        return lines

    def _put(self, kind: str, data: bytes) -> bytes:
        from gitdb import IStream

        return bytes(self._database.store(IStream(kind, len(data), io.BytesIO(data))).binsha)

    def small_run(self) -> list[float]:
        self._number += 1
        name = b"01bare%08d%012d" % (os.getpid(), self._number)
        record = json.dumps([PARAMS, METRICS, TAGS, self._number], indent=2).encode() + b" " * 700
        history = json.dumps({key: [0, self._number, 1.5] for key in METRICS}).encode()
        before = clock()
        files = {
            b"metrics.json": self._put("blob", history),
            b"run.json": self._put("blob", record),
        }
        folder = [b"100644 " + path + b"\0" + sha for path, sha in files.items()]
        sha = self._put("tree", b"".join(folder))
        entries = (name, *map(str.encode, self._way[::-1]))
        for tree, entry in zip(self._trees[::-1], entries, strict=True):
            tree[entry] = b"40000 " + entry + b"\0" + sha
            sha = self._put("tree", b"".join(tree[key] for key in sorted(tree)))
        stamp = f"Ada Example <ada@example.org> {int(time.time())} +0000"
        parent = f"parent {self._tip}\n" if self._tip else ""
        text = f"tree {sha.hex()}\n{parent}author {stamp}\ncommitter {stamp}\n\nrun {name!r}\n"
        commit = self._put("commit", text.encode()).hex()
        subprocess.run(("git", "update-ref", self._ref, commit, self._tip or "0" * 40), check=True)
        self._tip = commit
        return [0.0, 0.0, clock() - before]


class Dvc(Tool):
    """DVC in process. A repository that saves experiments has params.yaml and metrics.json."""

    def __init__(self) -> None:
        from dvc.repo import Repo

        self._repo = Repo()
        self._number = 0

    def small_run(self) -> list[float]:
        before = clock()
        self._number += 1
        write_results(self._number)
        self._repo.experiments.save(name=f"small-{os.getpid()}-{self._number}")
        return [0.0, 0.0, clock() - before]

    def store(self, path: str) -> float:
        """Adds a file or folder; returns the seconds of the call."""
        from dvc.repo import Repo

        repo = Repo()  # one remembers what its cache had, which may have been emptied
        before = clock()
        repo.add([path])
        return clock() - before


def write_results(seed: int) -> None:
    """Writes what a script that uses DVC leaves behind."""
    with open("params.yaml", "w") as file:
        file.writelines(f"{key}: {value}\n" for key, value in {**PARAMS, "seed": seed}.items())
    with open("metrics.json", "w") as file:
        json.dump({**METRICS, "rmse": METRICS["rmse"] + seed / 1000}, file)


TOOLS = {"mlgit": Mlgit, "mlflow": Mlflow, "git": Git, "dvc": Dvc}


def main() -> None:
    once = sys.argv[1] == "--once"
    name, *arguments = sys.argv[2:] if once else sys.argv[1:]
    if once:
        TOOLS[name](*arguments).small_run()
        return
    # What a tool prints is not an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    tool = TOOLS[name](*arguments)
    for line in sys.stdin:
        act, *rest = json.loads(line)
        answers.write(json.dumps(getattr(tool, act)(*rest)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
