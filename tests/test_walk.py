"""Reading the branch without an index: the order, the days, what changed, what cannot be read."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import add_runs, git, make_run

from mlgit import names, records, saved
from mlgit.errors import Unreadable
from mlgit.ledger import Ledger, append, open_repository, walk
from mlgit.ledger.objects import FILE, TREE, Entry, Store, format_tree
from mlgit.ledger.walk import Folder, Problem

DAY = 86_400_000
BEGIN = 1_767_225_600_000  # 2026-01-01


@pytest.fixture
def ledger(repo: Path) -> Iterator[Ledger]:
    with Ledger(repo) as ledger:
        yield ledger


def folders(ledger: Ledger, days: tuple[str, str] | None = None) -> list[str]:
    return [folder.run_id for folder in walk.run_folders(ledger.reader, ledger.root, days)]


def fact(kind: str, ms: int | None = None, **data: object) -> records.Fact:
    by = records.Person(name="Ada", email="ada@example.org")
    fact_id = names.new_id(ms)
    return records.Fact(id=fact_id, time="2026-01-01T00:00:00.000000Z", by=by, kind=kind, data=data)


# --- where runs lie ---------------------------------------------------------------------


def test_newest_first_over_days_months_and_years(repo: Path, ledger: Ledger) -> None:
    times = random.Random(0).sample(range(BEGIN - 400 * DAY, BEGIN + 400 * DAY), 60)
    ids = add_runs(repo, *(make_run(ms) for ms in times), make_run(0))
    assert folders(ledger) == sorted(ids, reverse=True)


def test_days_are_both_included(repo: Path, ledger: Ledger) -> None:
    ids = add_runs(repo, *(make_run(BEGIN + day * DAY) for day in range(-40, 40)))
    for first, last in ((0, 0), (-1, 0), (-40, 39), (-40, -30), (5, 4), (50, 60)):
        days = (
            names.id_days(names.new_id(BEGIN + first * DAY))[0],
            names.id_days(names.new_id(BEGIN + last * DAY))[1],
        )
        wanted = ids[first + 40 : last + 41] if last < 40 else []
        assert folders(ledger, days) == wanted[::-1], days
    prefix = ids[17][:10]
    assert folders(ledger, names.id_days(prefix)) == [ids[17]]


def test_find_folders_keeps_the_order_asked_for(repo: Path, ledger: Ledger) -> None:
    ids = add_runs(repo, *(make_run(BEGIN + number * DAY // 3) for number in range(30)))
    random.Random(0).shuffle(ids)
    absent = [names.new_id(BEGIN), names.new_id(0), names.new_id()]
    found = list(walk.find_folders(ledger.reader, ledger.root, ids[:9] + absent + ids[9:]))
    assert [folder.run_id for folder in found] == ids
    assert {*found} == {*walk.run_folders(ledger.reader, ledger.root)}


def test_changes_are_those_of_a_comparison(repo: Path, ledger: Ledger) -> None:
    """Runs come, get facts and go; between any two states the changes add up."""
    chance = random.Random(0)
    ids: list[str] = []
    states: list[tuple[str, set[Folder]]] = []
    for _ in range(8):
        ids += add_runs(repo, *(make_run(BEGIN + chance.randrange(90) * DAY) for _ in range(4)))
        some = chance.sample(ids, 3)
        saved.annotate(open_repository(repo), some, "tag", {"key": "a", "value": "b"})
        ledger.reload()
        states.append((ledger.root, {*walk.run_folders(ledger.reader, ledger.root)}))
    empty = Store(open_repository()).put("tree", b"")
    for old, before in [*states, (empty, set())]:
        for new, after in [*states, (empty, set())]:
            gone = {folder.run_id for folder in before} - {folder.run_id for folder in after}
            expected = (after - before) | {Folder(run_id, "") for run_id in gone}
            assert {*walk.changed_folders(ledger.reader, old, new)} == expected


# --- what they hold --------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 2, 512])
def test_runs_come_in_order_with_their_facts(
    repo: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(walk, "_BATCH", batch)
    runs = [make_run(BEGIN + number, name=f"run {number}") for number in range(7)]
    ids = add_runs(repo, *runs)
    saved.annotate(open_repository(), ids[::2], "note", {"text": "even"})
    later = [fact("tag", BEGIN + n, key="n", value=str(n)) for n in (3, 1, 2)]
    saved.add_facts(open_repository(), {ids[1]: later}, "three tags")
    found = list(walk.load_runs(ledger.reader, walk.run_folders(ledger.reader, ledger.root)))
    assert [run.id for run in found if isinstance(run, records.Run)] == ids[::-1]
    notes = [run.note for run in found if isinstance(run, records.Run)]
    assert notes == ["even", None] * 3 + ["even"]
    assert found[5].tags == {"n": "3"}  # type: ignore[union-attr]
    facts = walk.run_facts(ledger.reader, ledger.root, ids[1])
    assert [fact.data["value"] for fact in facts] == ["1", "2", "3"]
    assert walk.run_facts(ledger.reader, ledger.root, names.new_id()) == []


def test_experiments(repo: Path, ledger: Ledger) -> None:
    append(open_repository(), {}, "begin")
    assert list(walk.load_experiments(ledger.reader, ledger.root)) == []
    for name in ("größe/客户", "..", "plain"):
        saved.annotate_experiment(open_repository(), name, "describe", {"text": f"about {name}"})
    ledger.reload()
    found = list(walk.load_experiments(ledger.reader, ledger.root))
    assert {(e.name, e.description) for e in found if isinstance(e, records.Experiment)} == {
        (name, f"about {name}") for name in ("größe/客户", "..", "plain")
    }


# --- files -----------------------------------------------------------------------------------


def test_files_of_a_folder(repo: Path, ledger: Ledger) -> None:
    content = {"b": b"1", "a/z": b"", "a/b/c": b"3", "a.b": b"4", "ü": b"\xff"}
    append(open_repository(), {f"x/{path}": data for path, data in content.items()}, "files")
    reader, root = ledger.reader, ledger.root
    assert [path for path, _ in walk.list_files(reader, root, "x")] == sorted(
        content, key=lambda path: path.split("/")
    )
    assert dict(walk.read_files(reader, root, "x", 100)) == content
    assert list(walk.read_files(reader, root, "nothing", 100)) == []
    assert list(walk.read_files(reader, root, "x/b", 100)) == []
    assert walk.read_file(reader, root, "x/a/b/c", 1) == b"3"
    assert walk.read_file(reader, root, "x/a/none", 1) is None
    for path, limit, says in (("x/ü", 0, "too large: 1 bytes"), ("x/a", 9, "is a folder where")):
        with pytest.raises(Unreadable, match=says):
            walk.read_file(reader, root, path, limit)
    with pytest.raises(Unreadable, match=r"x/a/b/c is too large"):
        list(walk.read_files(reader, root, "x", 0))


def test_a_few_trees_that_make_billions_of_paths(repo: Path, ledger: Ledger) -> None:
    """Each holds the one before ten times: 10**10 files in 1 kB."""
    store = Store(open_repository())
    entry = Entry(FILE, store.put("blob", b""))
    for _ in range(10):
        entry = Entry(TREE, store.put("tree", format_tree({f"x{n}": entry for n in range(10)})))
    with pytest.raises(Unreadable, match="more in it than a ledger can have"):
        for _ in walk.list_files(ledger.reader, entry.sha, "x0"):
            pass


# --- what does not belong there ----------------------------------------------------------------

RUN = "runs/2026/01/01/01kdvn0g00aaaaaaaaaaaaaaaa"
BLOB, LINK, SUBMODULE = "100644 blob", "120000 blob", "160000 commit"


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("anything/else", BLOB, None),
        (f"{RUN}/run.json", BLOB, None),
        (f"{RUN}/later.json", BLOB, None),
        (f"{RUN}/files/a/b", BLOB, None),
        ("runs/junk", BLOB, "is not in the folder of a run"),
        ("runs/2026/01/02/01kdvn0g00aaaaaaaaaaaaaaaa/run.json", BLOB, "is not in the folder"),
        ("runs", BLOB, "is a file where a folder should be"),
        ("experiments", BLOB, "is a file where a folder should be"),
        ("anything", LINK, "is a symbolic link where a plain file"),
        (f"{RUN}/files/a", SUBMODULE, "is a submodule where a plain file"),
        (RUN, LINK, "is a symbolic link where"),
        (f"{RUN}/facts/other", LINK, "is a symbolic link where"),
        (f"{RUN}/run.json", LINK, None),  # load_runs tells of these
        (f"{RUN}/facts", LINK, None),
        (f"{RUN}/facts/01kdvn0g00aaaaaaaaaaaaaaaa.json", LINK, None),
        (f"{RUN}/files/.GIT/config", BLOB, "would climb out"),
        ("git~1/x", BLOB, "would climb out"),
    ],
)
def test_stray(repo: Path, path: str, kind: str, message: str | None) -> None:
    sha = (
        git("rev-parse", "HEAD").strip()
        if kind == SUBMODULE
        else git("rev-parse", "HEAD:train.py").strip()
    )
    *parts, name = path.split("/")
    tree = git("mktree", input=f"{kind} {sha}\t{name}\n").strip()
    for part in reversed(parts):
        tree = git("mktree", input=f"040000 tree {tree}\t{part}\n").strip()
    problems = list(walk.stray(open_repository(), tree))
    assert [problem.path for problem in problems] == ([path] if message else [])
    assert message is None or message in problems[0].message


def test_a_damaged_folder_of_a_run(repo: Path, ledger: Ledger) -> None:
    ids = add_runs(repo, *(make_run(BEGIN + number) for number in range(3)))
    (sha,) = (f.sha for f in walk.find_folders(ledger.reader, ledger.root, [ids[1]]))
    (repo / ".git" / "objects" / sha[:2] / sha[2:]).unlink()
    found = list(walk.load_runs(ledger.reader, walk.run_folders(ledger.reader, ledger.root)))
    path = names.run_file(ids[1], "run.json")
    assert found[1] == Problem(path, f"{path} is missing, or no plain file")
    assert [run.id for run in (found[2], found[0])] == [ids[0], ids[2]]  # type: ignore[union-attr]


@pytest.mark.parametrize("full", [True, False])
def test_days_without_end(
    repo: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    monkeypatch.setattr(walk, "_FOLDERS_LIMIT", 60)
    add_runs(repo, *(make_run(BEGIN + day * DAY) for day in range(48)))
    assert len(folders(ledger)) == 48
    store = Store(open_repository())
    entry = Entry(TREE, store.put("tree", b""))
    for pattern in ("{:02}", "{:02}", "{:04}"):
        tree = {pattern.format(number): entry for number in range(1, 100)}
        entry = Entry(TREE, store.put("tree", format_tree(tree)))
    root = store.put("tree", format_tree({"runs": entry}))
    with pytest.raises(Unreadable, match="more in it than a ledger can have"):
        if full:
            list(walk.run_folders(ledger.reader, root))
        else:
            list(walk.changed_folders(ledger.reader, ledger.root, root))
