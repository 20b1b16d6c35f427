"""Plain DVC in a repository with 3,000 runs: fetching a model, and the user's own commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import ledgers
import peers
from bench import PROGRAMS, PYTHON, Bench, git, take_turns
from report import Line

MLGIT, DVC = PROGRAMS / "mlgit", PROGRAMS / "dvc"
RUNS = 3_000
REV = "run/pinned"
OWN = ("status -c -a", "push -a", "gc -a --dry -f")
ONE = "with one run"

Command = tuple[str | Path, ...]


def rows(bench: Bench) -> Iterator[Line]:
    if not bench.attempt(peers.DVC, partial(bench.wall, bench.scratch, DVC, "--version")):
        return
    many, none = _users(bench, RUNS), _users(bench, 0)
    rounds = 3 if bench.quick else 5
    _pin(bench, many)
    for command in OWN:
        acts = {
            name: partial(bench.wall, place, DVC, *command.split())
            for name, place in (("mlgit", many), ("without the branch", none))
        }
        values = _warm_turns(acts, rounds)
        act = f"`dvc {command}` of the user's, {RUNS:,} runs on the branch"
        yield Line(act, "s", values.pop("mlgit"), None, values)
    _pin(bench, none)
    remotes = {"mlgit": _published(bench, many), ONE: _published(bench, none)}
    commands = {name: _commands(remote) for name, remote in remotes.items()}
    for act in commands["mlgit"]:
        turns = {name: partial(_fetch, bench, commands[name][act]) for name in remotes}
        values = _warm_turns(turns, rounds)
        yield Line(f"{act}, {RUNS:,} runs", "s", values.pop("mlgit"), 1.5, values)


def _users(bench: Bench, runs: int) -> Path:
    """Makes a repository with data of the user's own under DVC, and a ledger beside it."""
    place = ledgers.make(bench.folder("users"), runs)
    (place / "own.csv").write_text("a,b\n1,2\n" * 1000)
    for command in ("init", "config core.analytics false", "add own.csv"):
        bench.wall(place, DVC, *command.split())
    bench.wall(place, DVC, "remote", "add", "--default", "own", place.parent / "own-remote")
    git(place, "add", ".")
    git(place, "commit", "--quiet", "--message", "data")
    return place


def _pin(bench: Bench, place: Path) -> None:
    """Saves a run with data and a model, pins and registers it; makes remotes to push to."""
    with bench.workers(place, ("mlgit",)) as (own,):
        own.ask("data_runs", 1)
    git(place, "init", "--quiet", "--bare", str(place.parent / "remote.git"))
    git(place, "remote", "add", "origin", str(place.parent / "remote.git"))
    git(place, "push", "--quiet", "origin", "main")
    bench.wall(place, MLGIT, "remote", "add", "store", place.parent / "store")
    bench.wall(place, MLGIT, "pin", "@latest", "--name", "pinned")
    bench.wall(place, MLGIT, "model", "register", "churn", "@latest")


def _published(bench: Bench, place: Path) -> Path:
    bench.wall(place, MLGIT, "push", "--yes")
    return place.parent / "remote.git"


def _commands(remote: Path) -> dict[str, Command]:
    """Returns the ways in which DVC reads a revision of a repository, by what people call them."""
    data = ("data/train.csv", "--rev", REV)
    store = ("--remote-config", f"url={remote.parent / 'store' / 'mlgit'}")
    reading = (
        f"import dvc.api; dvc.api.read('data/train.csv', {str(remote)!r}, {REV!r}, "
        f"remote_config={{'url': {store[1][4:]!r}}})"
    )
    return {
        "`dvc get` of a model": (DVC, "get", remote, "model", "--rev", REV, *store),
        "`dvc get` of data": (DVC, "get", remote, *data, *store),
        "`dvc list`": (DVC, "list", remote, "--rev", REV, "--recursive", *store),
        "`dvc artifacts get`": (DVC, "artifacts", "get", remote, "churn", *store),
        "`dvc import`": (DVC, "import", remote, *data, *store),
        "`dvc.api.read`, whole process": (PYTHON, "-c", reading),
    }


def _fetch(bench: Bench, command: Command) -> float:
    """Returns the seconds of a command in a new repository of somebody else's."""
    place = bench.folder("elsewhere")
    place.mkdir()
    git(place, "init", "--quiet")
    (place / ".dvc").mkdir()
    (place / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    return bench.wall(place, *command)


def _warm_turns(acts: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    for act in acts.values():
        act()
    return take_turns(acts, rounds)
