"""Whatever is logged where, and shared in whatever order: all end up with one and the same tree."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

from conftest import git
from hypothesis import given, settings
from hypothesis import strategies as st
from showcase import save_run

from mlgit import names, saved
from mlgit.ledger import Ledger, open_repository, sync

CLONES = 3
EXPERIMENTS = ("one", "größe/客户")
FACTS: dict[str, dict[str, Any]] = {
    "note": {"text": "größer"},
    "rename": {"name": "better"},
    "tag": {"key": "team", "value": "ads"},
    "untag": {"key": "team"},
    "params": {"params": {"lr": 0.1}},
    "metrics": {"history": {"loss": {"step": [0], "time": [5], "value": ["NaN"]}}},
    "resume": {
        "started": "2026-11-22T10:00:00.000000Z",
        "ended": "2026-11-22T11:00:00.000000Z",
        "status": "failed",
    },
    "delete": {},
    "restore": {},
    "applaud": {"of": "a later version"},
}

_where = st.integers(0, CLONES - 1)
_experiment = st.sampled_from(EXPERIMENTS)
_deed = st.one_of(
    st.tuples(st.just("run"), _where, _experiment),
    st.tuples(st.just("fact"), _where, st.sampled_from([*FACTS])),
    st.tuples(st.just("describe"), _where, _experiment),
    st.tuples(st.sampled_from(["push", "pull", "sync"]), _where, st.none()),
)


@settings(max_examples=10)
@given(st.lists(_deed, min_size=4, max_size=14), st.permutations(range(CLONES)))
def test_all_clones_end_with_one_tree(
    deeds: list[tuple[str, int, str | None]], order: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        remote = Path(folder, "remote.git")
        git("init", "--quiet", "--bare", remote)
        clones = [Path(folder, f"clone-{number}") for number in range(CLONES)]
        for clone in clones:
            git("init", "--quiet", clone)
            git("remote", "add", "origin", remote, cwd=clone)
        expected = [do(clones[where], verb, what) for verb, where, what in deeds]
        save_run(clones[order[0]], "last")
        # The first sends, the next ones merge and send, then all see what the last one sent.
        for number in (*order, *order):
            sync.pull(open_repository(clones[number]))
            sync.push(open_repository(clones[number]))
        trees = {git("rev-parse", "mlgit^{tree}", cwd=path) for path in (*clones, remote)}
        assert len(trees) == 1
        paths = {*git("-c", "core.quotePath=false", "ls-tree", "-r", "-z", "--name-only", "mlgit",
                      cwd=remote).split("\0")}  # fmt: skip
        assert {*itertools.chain(*expected)} <= paths
        for path in (*clones, remote):
            git("fsck", "--strict", cwd=path)


def do(clone: Path, verb: str, what: str | None) -> set[str]:
    """Does one deed in a clone and returns the paths that it added, which must never be lost."""
    repository = open_repository(clone)
    if verb == "run":
        run_id = save_run(clone, "run", experiment=what)
        return {names.run_file(run_id, names.RUN_FILE)}
    if verb == "describe":
        saved.annotate_experiment(repository, str(what), "describe", {"text": str(clone)})
        return set()
    if verb == "fact":
        with Ledger(repository) as ledger:
            known = saved.select(ledger, deleted=False) if ledger.exists else []
        if known:
            saved.annotate(repository, [known[-1].id], str(what), FACTS[str(what)])
        return set()
    try:
        getattr(sync, verb)(repository)
    except sync.NotFound:
        assert verb != "pull", "only what has no ledger cannot be pushed"
    return set()
