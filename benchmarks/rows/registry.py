"""The registry: its state from 10,000 git tags, and one promotion more, beside GTO with 500."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import ledgers
from bench import PROGRAMS, Bench, git, take_turns
from report import Line

from mlgit import names

MLGIT, GTO = PROGRAMS / "mlgit", PROGRAMS / "gto"
VERSIONS, A_VERSION = 25, 4  # of a model; git tags of a version
TAGS, TAGS_OF_GTO = 10_000, 500  # GTO takes a minute for an `assign` at 2,000
BEGIN = 1_750_000_000  # seconds since 1970


def rows(bench: Bench) -> Iterator[Line]:
    bench.say(f"{TAGS:,} git tags of models, and {TAGS_OF_GTO:,}")
    place, small = (_registry(bench, count) for count in (TAGS, TAGS_OF_GTO))
    has_gto = bench.attempt("gto", partial(bench.wall, small, GTO, "--version"))
    beside = f"GTO with {TAGS_OF_GTO:,} tags"
    reading = {
        "mlgit": partial(bench.wall, place, MLGIT, "model", "ls", "--json"),
        "`git for-each-ref`": partial(
            bench.wall, place, "git", "for-each-ref", "--format=%(raw)", "refs/tags"
        ),
    }
    writing = {"mlgit": partial(_promote, bench, place, itertools.cycle((1, 2)))}
    if has_gto:
        reading[f"{beside}, `gto show`"] = partial(bench.wall, small, GTO, "show", "--json")
        writing[f"{beside}, `gto assign`"] = partial(_assign, bench, small, itertools.cycle((1, 2)))
    rounds = 5 if bench.quick else 9
    values = take_turns(reading, rounds)
    act = f"`mlgit model ls --json`, {TAGS:,} git tags"
    yield Line(act, "s", values.pop("mlgit"), 0.3, values)
    values = take_turns(writing, rounds)
    act = f"`mlgit model promote`, {TAGS:,} git tags"
    yield Line(act, "s", values.pop("mlgit"), 0.15, values)


def _promote(bench: Bench, place: Path, turns: Iterator[int]) -> float:
    return bench.wall(place, MLGIT, "model", "promote", f"model-0@v{next(turns)}", "production")


def _assign(bench: Bench, place: Path, turns: Iterator[int]) -> float:
    """For GTO a version stays in its stage when another comes: to assign it again takes force."""
    command = (GTO, "assign", "model-0", "--stage", "production", "--force")
    return bench.wall(place, *command, "--version", f"v{next(turns)}.0.0")


def _registry(bench: Bench, tags: int) -> Path:
    """Makes a repository with so many git tags; versions follow each other in production."""
    place = ledgers.make(bench.folder("registry"), 0)
    code = git(place, "rev-parse", "HEAD")
    stream: list[str] = []
    when = BEGIN
    for model in range(tags // (VERSIONS * A_VERSION)):
        events = 0
        for version in range(1, VERSIONS + 1):
            mark = model * VERSIONS + version
            stream += _commit(f"refs/versions/{model}/{version}", mark, code, f"{model} {version}")
            leaves = ("#production!", mark - 1) if version > 1 else ("#champion", mark)
            moves = [(f"@v{version}.0.0", mark), ("#staging", mark), ("#production", mark)]
            for move, target in (*moves, leaves):
                events += 1
                when += 60
                number = "" if move.startswith("@") else f"#{events}"
                stream += _tag(f"model-{model}{move}{number}", target, when, events - 1)
    git(place, "fast-import", "--quiet", stdin="".join(stream))
    git(place, "pack-refs", "--all")
    assert len(git(place, "tag").splitlines()) == tags
    return place


def _commit(ref: str, mark: int, parent: str, text: str) -> list[str]:
    head = f"commit {ref}\nmark :{mark}\ncommitter A <a@example.org> {BEGIN} +0000\n"
    return [head, f"data {len(text)}\n{text}\nfrom {parent}\n\n"]


def _tag(name: str, target: int, when: int, seen: int) -> list[str]:
    told = {"Format": 1, "Time": names.timestamp(when), "Seen": seen}
    trailers = "".join(f"Mlgit-{key}: {value}\n" for key, value in told.items())
    text = f"{name}\n\nlower error on the holdout\n\n{trailers}"
    head = f"tag {name}\nfrom :{target}\ntagger A <a@example.org> {when} +0000\n"
    return [head, f"data {len(text)}\n{text}\n"]
