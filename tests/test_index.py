"""The index says what the ledger says, however it came to be, and can always be thrown away."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import add_runs, git, make_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlgit import names, query, saved
from mlgit.errors import NotFound
from mlgit.ledger import Ledger, append, open_repository, walk
from mlgit.ledger.append import swap, write_commit
from mlgit.ledger.index import Index, flat_params, open_index
from mlgit.ledger.objects import Reader, Store, format_tree
from mlgit.records import Metric, Run

BEGIN = 1_767_225_600_000  # 2026-01-01
ID = query.Field("attribute", "id")


@pytest.fixture
def place(repo: Path) -> Path:
    return repo / ".git" / "mlgit" / "index.sqlite"


def ids(path: Path | str = ".", **how: Any) -> list[str]:
    with Ledger(path) as ledger:
        return [run.id for run in saved.select(ledger, "id is not null", **how)]


def content(index: Index) -> list[object]:
    """Returns everything an index knows, in an order of its own; that of its table as it is."""
    fields = [query.Field("attribute", name) for name in (*query.ATTRIBUTES, "deleted")]
    keys = sorted(index.keys())
    for kind, key, _ in keys:
        parts = query.PARTS if kind == "metric" else ("",)
        fields += [query.Field(kind, key, part) for part in parts]
    found, columns = index.columns(fields)
    rows = [[repr(value) for value in row] for row in zip(found, *columns, strict=True)]
    table = [(field, [*of_run]) for field, of_run in index.table().values.items()]
    return [keys, sorted(rows), [problem.path for problem in index.problems()], table]


def made_anew(path: Path | str = ".") -> list[object]:
    """Returns what an index says that was made from nothing, in memory."""
    with Ledger(path) as ledger:
        index = Index(Path("/nonexistent/index.sqlite"), ledger.reader, ledger.root)
        try:
            return content(index)
        finally:
            index.close()


def kept(path: Path | str = ".") -> list[object]:
    """Returns what the index says that is kept and brought up to date."""
    with Ledger(path) as ledger:
        return content(ledger.index())


def remove(path: Path | str, *gone: str) -> None:
    """Rewrites the branch without some paths, as a purge does: one commit, no history."""
    repository = open_repository(path)
    reader, store = Reader(repository), Store(repository)
    for folder in gone:
        *above, name = folder.split("/")
        trees = [git("rev-parse", "mlgit^{tree}", cwd=path).strip()]
        for part in above:
            trees.append(reader.tree(trees[-1])[part].sha)
        entries = reader.tree(trees.pop())
        del entries[name]
        sha = store.put("tree", format_tree(entries))
        for part in reversed(above):
            entries = reader.tree(trees.pop())
            entries[part] = entries[part]._replace(sha=sha)
            sha = store.put("tree", format_tree(entries))
        old = git("rev-parse", "mlgit", cwd=path).strip()
        assert swap(repository, write_commit(repository, store, sha, [], "purge\n"), old, "purge")
    reader.close()


# --- brought up to date ---------------------------------------------------------------


def test_runs_facts_and_deletions_arrive(repo: Path, place: Path) -> None:
    runs = [
        make_run(BEGIN + n, params={"n": n, "all": {"of": n}}, tags={"t": "x"}) for n in range(5)
    ]
    add_runs(repo, *runs)
    assert kept() == made_anew()
    first = place.stat().st_ino
    repository = open_repository()
    add_runs(repo, make_run(params={"new": [1, "a", None]}, metrics={"m": metric(1.5)}))
    assert kept() == made_anew()
    saved.annotate(repository, [runs[1].id, runs[3].id], "tag", {"key": "later", "value": "yes"})
    saved.annotate(repository, [runs[1].id], "untag", {"key": "t"})
    saved.annotate(repository, [runs[2].id], "delete", {})
    assert kept() == made_anew()
    remove(repo, names.run_folder(runs[0].id), names.run_folder(runs[3].id))
    assert kept() == made_anew()
    assert len(ids()) == 3  # of six, two went and one is marked
    assert place.stat().st_ino == first, "it was brought up to date, not made anew"


def metric(last: float, **more: Any) -> Metric:
    return Metric(**({"last": last, "min": last, "max": last, "step": 0, "count": 1} | more))


def test_a_purge_whose_old_tree_is_gone(repo: Path, place: Path) -> None:
    runs = [make_run(BEGIN + n, params={"n": n}) for n in range(4)]
    add_runs(repo, *runs)
    append(open_repository(), {names.run_file(names.new_id(BEGIN), "run.json"): b"bad"}, "bad")
    assert kept() == made_anew()
    remove(repo, names.run_folder(runs[0].id))
    git("reflog", "expire", "--expire=now", "--all")
    git("gc", "--quiet", "--prune=now")
    assert kept() == made_anew()
    assert ids() == [run.id for run in runs[:0:-1]]


def test_problems_come_and_go(repo: Path) -> None:
    good, bad = make_run(BEGIN), make_run(BEGIN + 1)
    add_runs(repo, good)
    path = names.run_file(bad.id, "run.json")
    append(open_repository(), {path: b"{", names.run_fact_file(good.id, bad.id): b"{"}, "bad")
    with Ledger() as ledger:
        problems = {problem.path for problem in ledger.index().problems()}
        assert problems == {path, names.run_fact_file(good.id, bad.id)}
    remove(repo, names.run_folder(bad.id), f"{names.run_folder(good.id)}/facts")
    assert kept() == made_anew()
    assert kept()[-1] == []


VALUES = [
    0, -1, 2**53, 2**63 - 1, 2**63, -(2**63), 10**30, 1.5, -0.0, 1e308, 5e-324,
    float("nan"), float("inf"), True, False, None, "", "text", "nul\0", "1", "ünï 🚕",
    [], [1, [2]], {}, {"a": {"b": 1}},
]  # fmt: skip


def test_every_value_returns_as_it_was(repo: Path) -> None:
    params = {f"p{n}": value for n, value in enumerate(VALUES)}
    numbers = [value for value in VALUES if type(value) in (int, float)]
    metrics = {f"m{n}": metric(value, step=n, count=n + 1) for n, value in enumerate(numbers)}
    add_runs(repo, make_run(params=params, metrics=metrics, tags={"": "", "a.b": "x"}))
    with Ledger() as ledger:
        (run,) = saved.select(ledger)
        fields = [query.Field("param", key) for key in [*params, "p24.a.b"]]
        fields += [query.Field("metric", key, part) for key in metrics for part in query.PARTS]
        fields += [query.Field("tag", key) for key in run.tags] + [query.Field("tag", "none")]
        _, columns = ledger.index().columns(fields)
        for field, column in zip(fields, columns, strict=True):
            assert [repr(value) for value in column] == [repr(saved.value(run, field))], field


def test_objects_with_long_names_in_each_other() -> None:
    value: Any = dict.fromkeys(map(str, range(2000)), 0)
    for _ in range(50):  # a megabyte of JSON
        value = {"n" * 20_000: value}
    assert sum(len(name) for name, _ in flat_params({"a": 1, "p": value})) < 100_000
    value = {"x": 1}
    for _ in range(6):
        value = {"n" * 250: value}
    assert [name[-3:] for name, _ in flat_params(value)] == ["nnn"] * 6 + ["n.x"]


def test_many_keys(repo: Path) -> None:
    """Ten thousand distinct keys; and what is forgotten of them is found by the key."""
    run = make_run(params={f"k{n}": n for n in range(10_000)})
    add_runs(repo, run, make_run(params={"k1": 2}))
    assert ids(sort="params.k1") == [run.id, *ids(limit=1)]
    saved.annotate(open_repository(), [run.id], "note", {"text": "x"})
    with Ledger() as ledger:
        assert ("param", "k1", 2) in [*ledger.index().keys()]


# --- the same as reading all ----------------------------------------------------------

WORDS = st.sampled_from(["a", "b", "7", "ä"])
VALUE = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 9), st.floats(-3, 9), st.just(float("nan")), WORDS
)
RUNS = st.builds(
    lambda ms, name, experiment, params, metrics, tags: make_run(
        BEGIN + ms, name=name, experiment=experiment, params=params, tags=tags,
        metrics={key: metric(value) for key, value in metrics.items()},
    ),
    st.integers(0, 200_000_000), st.one_of(st.none(), WORDS), WORDS,
    st.dictionaries(WORDS, VALUE, max_size=3),
    st.dictionaries(WORDS, st.floats(), max_size=2), st.dictionaries(WORDS, WORDS, max_size=2),
)  # fmt: skip
FACTS = st.one_of(
    st.tuples(st.just("tag"), st.fixed_dictionaries({"key": WORDS, "value": WORDS})),
    st.tuples(st.sampled_from(["delete", "restore"]), st.just({})),
    st.tuples(st.just("rename"), st.fixed_dictionaries({"name": WORDS})),
)
STEPS = st.one_of(
    st.tuples(st.just("runs"), st.lists(RUNS, min_size=1, max_size=4)),
    st.tuples(st.just("fact"), st.tuples(st.integers(0, 99), FACTS)),
    st.tuples(st.just("experiment"), st.tuples(WORDS, FACTS.filter(lambda fact: fact[0] != "tag"))),
    st.tuples(st.just("purge"), st.integers(0, 99)),
)
FIELDS = st.sampled_from(
    [
        *("params.a", "params.b", 'params."7"', "metrics.a", "metrics.b.min"),
        *("tags.a", "name", "experiment", "started"),
    ]
)
TESTS = st.sampled_from(["= 7", "!= 7", "< a", ">= 0.5", "= nan", "!= 'ä'", "is null", "= true"])
ASK = st.fixed_dictionaries(
    {
        "where": st.one_of(st.just(""), st.builds("{} {}".format, FIELDS, TESTS)),
        "sort": st.lists(FIELDS | FIELDS.map("-{}".format), max_size=2).map(", ".join),
        "limit": st.one_of(st.none(), st.integers(0, 5)),
        "experiment": st.one_of(st.none(), WORDS),
        "deleted": st.booleans(),
    }
)


def asked_of_all(ledger: Ledger, ask: dict[str, Any]) -> list[str]:
    """Answers as `select` must, by reading every run and doing it the plain way."""
    known = saved.experiments(ledger)
    runs = []
    for run in walk.load_runs(ledger.reader, walk.run_folders(ledger.reader, ledger.root)):
        assert isinstance(run, Run)
        facts = known.get(run.experiment)
        hidden = run.deleted is not None or bool(facts and run.id < facts.hidden)
        title = facts.title if facts else run.experiment
        runs.append((hidden, msgspec.structs.replace(run, experiment=title)))
    wanted = ask["experiment"]
    if wanted in known and wanted not in [run.experiment for _, run in runs]:
        wanted = known[wanted].title  # its name before a rename
    found = [run for hidden, run in runs if hidden is ask["deleted"]]
    found = [run for run in found if wanted in (None, run.experiment)]
    condition, keys = query.parse(ask["where"]), query.parse_sort(ask["sort"])
    if ask["where"]:
        rows = [[saved.value(run, field) for field in condition.fields] for run in found]
        found = [run for run, row in zip(found, rows, strict=True) if condition.matches(row)]
    if keys:
        found = query.sort_rows(found, keys, saved.value)
    return [run.id for run in found[: ask["limit"]]]


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=2, max_size=6), asks=st.lists(ASK, min_size=3, max_size=6))
def test_walking_and_the_index_agree(
    tmp_path_factory: pytest.TempPathFactory, hermetic: Path, steps: list[Any], asks: list[Any]
) -> None:
    path = tmp_path_factory.mktemp("agree")
    git("init", "--quiet", path)
    repository = open_repository(path)
    append(repository, {}, "begin")
    present: list[str] = []
    for kind, what in steps:
        if kind == "runs":
            present += add_runs(path, *what)
        elif kind == "fact" and present:
            saved.annotate(repository, [present[what[0] % len(present)]], *what[1])
        elif kind == "experiment":
            saved.annotate_experiment(repository, what[0], *what[1])
        elif kind == "purge" and present:
            remove(path, names.run_folder(present.pop(what % len(present))))
        with Ledger(path) as ledger:
            for ask in asks:
                try:
                    found = [run.id for run in saved.select(ledger, **ask)]
                except NotFound:
                    assert ask["experiment"]
                    continue
                assert found == asked_of_all(ledger, ask), ask
    assert kept(path) == made_anew(path)


# --- damage, rivals, other versions ---------------------------------------------------


def empty(place: Path) -> None:
    place.write_bytes(b"")


def garbage(place: Path) -> None:
    place.write_bytes(b"not a database" * 1000)


def cut(place: Path) -> None:
    place.write_bytes(place.read_bytes()[:5000])


def torn(place: Path) -> None:
    """The first page is well, and says it is up to date; the others are not."""
    data = place.read_bytes()
    place.write_bytes(data[:4096] + os.urandom(len(data) - 4096))


def foreign(place: Path) -> None:
    place.unlink()
    with sqlite3.connect(place) as other:
        other.execute("create table run (mine)")
    other.close()


def later(place: Path) -> None:
    with sqlite3.connect(place) as other:
        other.execute("pragma user_version = 99")
    other.close()


def folder(place: Path) -> None:
    place.unlink()
    place.mkdir()
    (place / "file").touch()


def link_away(place: Path) -> None:
    place.unlink()
    place.symlink_to("/nonexistent/index.sqlite")


@pytest.mark.parametrize(
    "harm", [empty, garbage, cut, torn, foreign, later, folder, link_away, Path.unlink]
)
@pytest.mark.parametrize("stale", [True, False])
def test_whatever_lies_there_the_answer_is_right(
    repo: Path, place: Path, harm: Callable[[Path], None], stale: bool
) -> None:
    present = add_runs(repo, *(make_run(params={"n": n}, tags={"a": "b" * n}) for n in range(99)))
    assert len(ids()) == 99
    harm(place)
    if stale:
        present += add_runs(repo, make_run())
    assert ids() == sorted(present, reverse=True)
    assert kept() == made_anew()
    if harm is not folder:
        with Ledger() as ledger:
            assert ledger.index().columns([])
        with sqlite3.connect(place) as db:
            assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        db.close()


def test_damage_seen_only_when_asked(repo: Path, place: Path) -> None:
    add_runs(repo, *(make_run(params={"n": n}) for n in range(500)))
    with Ledger() as ledger:
        index = ledger.index()
        field = query.Field("param", "n")
        found, (column,) = index.columns([field])
        torn(place)
        again, (other,) = index.columns([field])
        assert dict(zip(found, column, strict=True)) == dict(zip(again, other, strict=True))


@pytest.mark.parametrize("way", ["read-only folder", "read-only file", "no folder", "full"])
def test_where_it_cannot_be_kept_it_is_made_in_memory(
    repo: Path, place: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Root may write anywhere, so SQLite itself is told what to refuse."""
    present = add_runs(repo, make_run())
    assert ids() == present
    present += add_runs(repo, make_run(params={"text": "long" * 10_000}))
    before = place.read_bytes()
    real = sqlite3.connect

    def connect(name: str, **more: Any) -> sqlite3.Connection:
        if name == ":memory:":
            return real(name, **more)
        if way == "read-only folder":
            raise sqlite3.OperationalError("unable to open database file")
        if way == "full":
            db = real(name, **more)
            db.execute("pragma max_page_count = 1")
            return db
        return real(f"file:{name}?mode=ro", uri=True, **more)

    if way == "no folder":
        place.unlink()
        (repo / ".git/mlgit/lock").unlink()
        place.parent.rmdir()
        place.parent.write_text("")
    else:
        monkeypatch.setattr(sqlite3, "connect", connect)
        monkeypatch.setattr(Path, "unlink", lambda *_, **__: exec("raise OSError(30, 'read-only')"))
    assert ids() == present[::-1]
    assert way == "no folder" or place.read_bytes() == before


REFRESH = """
import sys
from mlgit import saved
from mlgit.ledger import Ledger
for _ in range(5):
    with Ledger() as ledger:
        print(len(saved.select(ledger, "params.n >= 0")), len(ledger.index().keys()))
"""


@pytest.mark.parametrize("fresh", [True, False], ids=["from nothing", "from an older tree"])
def test_processes_that_refresh_at_once(repo: Path, place: Path, fresh: bool) -> None:
    runs = [make_run(BEGIN + n, params={"n": n, f"k{n % 9}": 1}) for n in range(400)]
    add_runs(repo, *runs[:200])
    if not fresh:
        assert len(ids()) == 200
    add_runs(repo, *runs[200:])
    saved.annotate(
        open_repository(), [run.id for run in runs[::7]], "tag", {"key": "a", "value": ""}
    )
    rivals = [
        subprocess.Popen((sys.executable, "-c", REFRESH), stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert {rival.communicate()[0] for rival in rivals} == {"400 11\n" * 5}
    assert kept() == made_anew()


def test_two_ledgers_at_different_trees(repo: Path) -> None:
    """One was opened before the last run, and goes on seeing what it saw."""
    early = add_runs(repo, make_run(BEGIN, params={"n": 1}))
    with Ledger() as old:
        assert old.index().columns([ID])[0] == early
        both = early + add_runs(repo, make_run(BEGIN + 1, params={"n": 2, "m": 1}))
        with Ledger() as new:
            for _ in range(3):
                assert sorted(new.index().columns([query.Field("param", "m")])[0]) == both
                assert old.index().columns([query.Field("param", "m")]) == (early, [[None]])
                assert len(saved.select(new, "params.n > 0")) == 2
                assert len(saved.select(old, "params.n > 0")) == 1
        old.reload()
        assert sorted(old.index().columns([ID])[0]) == both


def test_a_rival_that_holds_it_for_ever(
    repo: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = add_runs(repo, make_run())
    assert ids() == present
    present += add_runs(repo, make_run())
    real = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda name, **more: real(name, **more | {"timeout": 0.1})
    )
    rival = real(place, isolation_level=None)
    rival.execute("begin exclusive")
    inode = place.stat().st_ino
    assert ids() == present[::-1]
    rival.rollback()
    rival.close()
    assert place.stat().st_ino == inode, "it is not thrown away under the rival's feet"
    assert ids() == present[::-1]


def test_from_another_thread(repo: Path) -> None:
    present = add_runs(repo, make_run())
    with Ledger() as ledger:
        ledger.index()
        found: list[list[str]] = []
        thread = threading.Thread(target=lambda: found.append(ledger.index().columns([ID])[0]))
        thread.start()
        thread.join()
        assert found == [present]


def test_progress_is_told(repo: Path) -> None:
    add_runs(repo, *(make_run() for _ in range(510)))
    told: list[tuple[int, int]] = []
    with Ledger() as ledger:
        ledger.index(lambda done, total: told.append((done, total)))
    assert told == [(500, 510)]
    with Ledger() as ledger:
        open_index(ledger.repository, ledger.reader, ledger.root, lambda *_: told.clear()).close()
    assert told, "nothing to do, nothing to tell"
