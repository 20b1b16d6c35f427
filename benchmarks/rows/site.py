"""The site: made from nothing, made again after one more run, and how large its pages are."""

from __future__ import annotations

import gzip
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import ledgers
import peers
import psutil
from bench import KB, MB, PROGRAMS, Bench, Failed
from report import Line

MLGIT, MLFLOW = PROGRAMS / "mlgit", PROGRAMS / "mlflow"
REACH = {1_000: (10.0, 1.5), 10_000: (100.0, 4.0)}  # seconds from nothing, after one more run
PORT = 5917
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # ours leads nowhere


def rows(bench: Bench) -> Iterator[Line]:
    for runs in (1_000,) if bench.quick else REACH:
        bench.say(f"a ledger of {runs:,} runs of {ledgers.CURVES_A_RUN} curves")
        place = ledgers.make(bench.folder("site"), runs, ledgers.CURVES)
        command = (MLGIT, "site", "build", "--out")
        site, most = place / "_site0", []
        turns = 3 if runs < 5_000 else 1
        first = [_watched(place, most, *command, f"_site{turn}") for turn in range(turns)]
        again = []
        for turn in range(3 if bench.quick else 5):
            ledgers.add(place, runs + turn, ledgers.CURVES)
            again.append(bench.wall(place, *command, site))
        nothing, one_more = REACH[runs]
        beside = _interface(bench, runs) if runs < 5_000 else {}
        yield Line(f"the site of {runs:,} runs from nothing", "s", first, nothing, beside)
        yield Line("memory at most", "MB", most, 1_000)
        yield Line(f"the site of {runs:,} runs after one more", "s", again, one_more)
        pages = [path.stat().st_size * KB for path in site.glob("runs/*.html")]
        yield Line("the page of a run", "kB", pages, 60)
        beside_pages = [path.stat().st_size * KB for path in site.glob("data/runs/*.js")]
        yield Line("the data behind it, fetched when its charts come into view", "kB", beside_pages)
        home = [len(gzip.compress((site / "index.html").read_bytes())) * KB]
        yield Line(f"the first page over {runs:,} runs, compressed", "kB", home, 1_000)


def _watched(place: Path, most: list[float], *command: str | Path) -> float:
    """Returns a process's seconds; notes the most memory, MB, that it and its children held."""
    before, highest = time.perf_counter(), 0.0
    process = psutil.Popen(command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        highest = max(highest, _memory(process))
        time.sleep(0.05)
    if process.returncode:
        raise Failed(f"{Path(command[0]).name} ended with {process.returncode}")
    most.append(highest * MB)
    return time.perf_counter() - before


def _memory(process: psutil.Process) -> float:
    """Returns the bytes that a process and its children hold; what they share counts once."""
    found = 0.0
    try:
        for each in (process, *process.children(recursive=True)):
            found += each.memory_full_info().pss
    except psutil.Error:  # ended meanwhile
        return 0.0
    return found


def _interface(bench: Bench, runs: int) -> dict[str, list[float]]:
    """Returns the seconds until MLflow's web interface answers for the first time."""
    found = {}
    for name, tool in peers.mlflow(bench, runs).items():
        uri = tool[1]
        found[f"{name}, `mlflow ui` until it answers"] = [_answered(bench, uri) for _ in range(2)]
    return found


def _answered(bench: Bench, uri: str) -> float:
    url = f"http://127.0.0.1:{PORT}/"
    before = time.perf_counter()
    command = (MLFLOW, "ui", "--backend-store-uri", uri, "--port", str(PORT))
    with bench.server(*command) as process:
        while time.perf_counter() - before < 60:
            if process.poll() is not None:
                raise Failed(f"mlflow ui ended with {process.returncode}")
            try:
                with DIRECT.open(url, timeout=5) as answer:
                    answer.read(1)
                return time.perf_counter() - before
            except OSError:
                time.sleep(0.05)
    raise Failed("mlflow ui did not answer within a minute")
