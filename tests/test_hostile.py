"""A branch that somebody made by hand, to harm: every good run is shown, every bad thing named.

What stands on the branch may be fetched from anybody. Here it is made with git's own plumbing,
told to check nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import add_runs, git, make_run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlgit import names, records, saved
from mlgit.errors import MlgitError, NotFound, Unreadable
from mlgit.ledger import Ledger, open_repository, walk
from mlgit.ledger.objects import EXECUTABLE, FILE, TREE, Entry, Reader, format_tree, lookup

LINK, SUBMODULE = 0o120000, 0o160000
BEGIN = 1_767_225_600_000  # 2026-01-01
DAY = "runs/2026/01/01"
BAD = names.new_id(BEGIN + 5000)  # lies between the good ones
FOLDER = f"{DAY}/{BAD}"
OTHER = names.new_id(BEGIN + 86_400_000)
FACT = names.new_id(BEGIN + 10_000)

Planted = Mapping[str, bytes | tuple[int, bytes | str] | None]


def write(kind: str, data: bytes) -> str:
    command = ("git", "hash-object", "-t", kind, "-w", "--literally", "--stdin")
    return subprocess.check_output(command, input=data).decode().strip()


def plant(planted: Planted) -> None:
    """Puts things on the branch: bytes of a file, or a mode and bytes or id; None takes away."""
    reader = Reader(open_repository())
    root = git("rev-parse", "mlgit^{tree}").strip()
    for path, thing in planted.items():
        parts = path.split("/")
        above = [root]
        for part in parts[:-1]:
            entry = reader.tree(above[-1]).get(part) if above[-1] else None
            above.append(entry.sha if entry and entry.is_tree else "")
        tree = reader.tree(up) if (up := above.pop()) else {}
        mode, content = thing if isinstance(thing, tuple) else (FILE, thing)
        if content is None:
            tree.pop(parts[-1], None)
        else:
            sha = content if isinstance(content, str) else write("blob", content)
            tree[parts[-1]] = Entry(mode, sha)
        for part in reversed(parts[:-1]):
            sha = write("tree", format_tree(tree))
            tree = reader.tree(up) if (up := above.pop()) else {}
            tree[part] = Entry(TREE, sha)
        root = write("tree", format_tree(tree))
    reader.close()
    commit = git("commit-tree", "-p", "mlgit", "-m", "by hand", root).strip()
    git("update-ref", "refs/heads/mlgit", commit)


@pytest.fixture
def good(repo: Path) -> list[str]:
    """Ids of three runs, the newest first, the middle one with a note."""
    runs = [
        make_run(BEGIN + number * 4000, name=f"good {number}", params={"n": 1})
        for number in range(3)
    ]
    ids = add_runs(repo, *runs)
    saved.annotate(open_repository(), [ids[1]], "note", {"text": "fine"})
    return ids[::-1]


def record(**changes: Any) -> bytes:
    """Returns the bytes of a run.json that is fine but for the changes."""
    plain = json.loads(records.dump_run(make_run(params={"n": 1})))
    return json.dumps({**plain, "id": BAD, **changes}).encode()


def fact(**changes: Any) -> bytes:
    by = {"name": "a", "email": "b"}
    time = "2026-01-01T00:00:00.000000Z"
    plain = {"format": 1, "id": FACT, "time": time, "by": by, "kind": "note", "data": {"text": "x"}}
    return json.dumps({**plain, **changes}).encode()


ASKED: list[dict[str, Any]] = [
    {"limit": 50},  # by walking
    {"where": "params.n = 1"},  # by the index, made
    {"sort": "-id", "limit": 1000},  # and present
]


def survive(good: list[str], told: set[str], stray: set[str] | None = None) -> None:
    """Sees that the good runs are shown whatever is asked, and each bad thing told once by name."""
    for how in ASKED:
        messages: list[str] = []
        with Ledger() as ledger:
            found = [run.id for run in saved.select(ledger, **how, warn=messages.append)]
            assert found == good, how
            assert len(messages) == len(told)
            assert all(sum(path in message for message in messages) == 1 for path in told), messages
            assert all(message.isprintable() for message in messages)
    with Ledger() as ledger:
        if stray is not None:
            problems = [problem.path for problem in walk.stray(ledger.repository, ledger.root)]
            assert sorted(problems) == sorted(stray)
        for run_id in good:
            run = saved.find(ledger, run_id)
            assert saved.history(ledger, run) == saved.artifacts(ledger, run) == {}
        assert saved.find(ledger, "@latest").id == good[0]
        (experiment,) = saved.list_experiments(ledger)
        assert (experiment.name, experiment.runs) == ("exp", len(good))


# --- the record of a run ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"", b"garbage", b"\xff\xfe", b"[]", b"null", b"{", record() + b"{}",
        record().replace(b'"format": 1', b'"format": 2'), record(format="1"), record(format=0),
        record().replace(b'"format": 1', b'"format": 1, "format": 1'),
        b"[" * 100_000, b'{"a":' * 100_000, record(params={"a": "\ud800"}),
        record(params=[]), record(metrics={"a": {}}), record(metrics={"a": 7}), record(id=OTHER),
        record(id="../../etc"), record(id=None), record(experiment=""), record(experiment="a\nb"),
        record(status="fine"), record(started="yesterday"), record(ended="2026"), record(by=None),
        record(parent="x"), record(inputs=[{"path": "../x", "md5": "a" * 32, "size": 1}]),
        record(outputs=[{"path": "x", "md5": "../../../etc/passwd", "size": 1}]),
        record(outputs=[{"path": "/etc/passwd", "md5": "a" * 32, "size": 1}]),
        record(metrics={"a": {"last": "9" * 5000, "min": 1, "max": 1, "step": 1, "count": 1}}),
        record().replace(b'"n": 1', b'"n": 1e999'),
        record().replace(b'"n": 1', b'"n": ' + b"9" * 9999),
        record(source={"commit": "--upload-pack=evil"}),
    ],
    ids=lambda content: content[:30],
)  # fmt: skip
def test_records_that_are_none(good: list[str], content: bytes) -> None:
    plant({f"{FOLDER}/run.json": content})
    survive(good, {f"{FOLDER}/run.json"}, set())


def test_a_huge_record(good: list[str]) -> None:
    plant({f"{FOLDER}/run.json": record(note="x" * (9 << 20))})
    survive(good, {f"{FOLDER}/run.json"}, set())
    with Ledger() as ledger, pytest.raises(Unreadable, match="too large: 9,437,"):
        saved.find(ledger, BAD)


def test_a_good_run_among_the_bad_is_found_and_shown(good: list[str]) -> None:
    plant({f"{FOLDER}/run.json": record(experiment="exp", unheard={"of": [1]})})
    survive(sorted([BAD, *good], reverse=True), set(), set())


def elsewhere(path: str) -> dict[str, bytes]:
    return {f"{path}/run.json": record()}


@pytest.mark.parametrize(
    ("planted", "told", "stray"),
    [
        ({f"{FOLDER}/other": b""}, {f"{FOLDER}/run.json"}, set()),
        ({f"{FOLDER}/run.json": (LINK, b"../../good/run.json")}, {f"{FOLDER}/run.json"}, set()),
        ({f"{FOLDER}/run.json": (LINK, b"/etc/passwd")}, {f"{FOLDER}/run.json"}, set()),
        ({f"{FOLDER}/run.json": (SUBMODULE, "1" * 40)}, {f"{FOLDER}/run.json"}, None),
        ({f"{FOLDER}/run.json/deeper": b""}, {f"{FOLDER}/run.json"}, set()),
        ({f"{FOLDER}/RUN.JSON": record()}, {f"{FOLDER}/run.json"}, set()),
        ({FOLDER: record()}, set(), {FOLDER}),
        ({FOLDER: (LINK, b"../01")}, set(), {FOLDER}),
        ({FOLDER: (SUBMODULE, "1" * 40)}, set(), {FOLDER}),
        (elsewhere(f"runs/2026/01/02/{BAD}"), set(), {f"runs/2026/01/02/{BAD}/run.json"}),
        (elsewhere(f"runs/2026/1/1/{BAD}"), set(), {f"runs/2026/1/1/{BAD}/run.json"}),
        (elsewhere(f"runs/２０２６/01/01/{BAD}"), set(), {f"runs/２０２６/01/01/{BAD}/run.json"}),
        (elsewhere(f"runs/{BAD}"), set(), {f"runs/{BAD}/run.json"}),
        (elsewhere(f"runs/2026/01/01/01/{BAD}"), set(), {f"runs/2026/01/01/01/{BAD}/run.json"}),
        (elsewhere(f"{DAY}/{BAD.upper()}"), set(), {f"{DAY}/{BAD.upper()}/run.json"}),
        (elsewhere(f"{DAY}/8{BAD[1:]}"), set(), {f"{DAY}/8{BAD[1:]}/run.json"}),
        (elsewhere(f"{DAY}/{BAD[:-1]}"), set(), {f"{DAY}/{BAD[:-1]}/run.json"}),
        (elsewhere(f"{DAY}/.."), set(), {f"{DAY}/../run.json"}),
        ({"runs/2027": b"file"}, set(), {"runs/2027"}),
        ({"runs/2026/02": (LINK, b"01")}, set(), {"runs/2026/02"}),
        ({"runs/2026/01/31": (SUBMODULE, "1" * 40)}, set(), {"runs/2026/01/31"}),
        ({"experiments": b"file"}, set(), {"experiments"}),
        ({"experiments/a": (LINK, b"b")}, set(), {"experiments/a"}),
        ({"mlgit.json.bak": b"", "later/kind/of.thing": b"", ".hidden": b""}, set(), set()),
    ],
)  # fmt: skip
def test_things_in_the_wrong_place(
    good: list[str], planted: Planted, told: set[str], stray: set[str] | None
) -> None:
    plant(planted)
    survive(good, told, stray)


def test_runs_as_a_file(repo: Path, good: list[str]) -> None:
    for thing in (b"", (LINK, b"/"), (SUBMODULE, "1" * 40)):
        plant({"runs": thing})
        with Ledger() as ledger:
            assert saved.select(ledger) == saved.select(ledger, limit=9) == []
            assert [problem.path for problem in walk.stray(ledger.repository, ledger.root)] == [
                "runs"
            ]
            with pytest.raises(NotFound):
                saved.find(ledger, good[0])


NAMES = [
    "..", ".", ".git", ".GIT", "git~1", "a\\b", "\x1b[31mred", "new\nline", "tab\t", "\udcff\udcfe",
    "\u202egnp", "con", "nul.", " ", "a" * 3000, "%2e%2e", "'; rm -rf ~; '", "--help", "$(touch x)",
]  # fmt: skip
CLIMBS = {"..", ".", ".git", ".GIT", "git~1", "a\\b"}


@pytest.mark.parametrize("name", NAMES)
def test_names_meant_to_harm(good: list[str], name: str) -> None:
    places = [f"{DAY}/{name}/run.json", f"runs/{name}/x", f"experiments/{name}/facts/x.json", name]
    plant(dict.fromkeys(places, b"{}"))
    survive(good, set(), {*places[:2]} | ({*places[2:]} if name in CLIMBS else set()))
    assert not Path("x").exists()


@pytest.mark.parametrize("name", NAMES)
def test_artifacts_meant_to_harm(good: list[str], name: str) -> None:
    """Their names become file names for whoever takes them out."""
    plant({f"{FOLDER}/run.json": record(), f"{FOLDER}/files/{name}": b"content"})
    with Ledger() as ledger:
        run = saved.find(ledger, BAD)
        try:
            (path,) = saved.artifacts(ledger, run)
        except Unreadable as error:
            assert str(error).isprintable()
        else:
            assert path == name and names.artifact_path(path) == path
            assert not os.path.isabs(path) and "\\" not in path


@pytest.mark.parametrize(
    "thing", [(LINK, b"/etc/passwd"), (SUBMODULE, "1" * 40), b"x" * (65 << 10)]
)
def test_artifacts_that_are_no_plain_files(good: list[str], thing: Any) -> None:
    plant({f"{FOLDER}/run.json": record(), f"{FOLDER}/files/a/b.txt": thing})
    with Ledger() as ledger, pytest.raises(Unreadable, match=r"files/a/b\.txt is"):
        saved.artifacts(ledger, saved.find(ledger, BAD))


def test_an_executable_is_a_file_too(good: list[str]) -> None:
    plant({f"{FOLDER}/run.json": (EXECUTABLE, record()), f"{FOLDER}/files/a": (EXECUTABLE, b"x")})
    with Ledger() as ledger:
        assert saved.artifacts(ledger, saved.find(ledger, BAD)) == {"a": b"x"}


# --- facts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"", b"garbage", b"\xff", b"[]", b"[" * 100_000, fact(id=OTHER), fact(id="x"),
        fact(id=None), fact(format=2), fact(time="now"), fact(by=[]), fact(kind=None),
        fact(data=[]), fact().replace(b'"kind"', b'"kind": "delete", "kind"'),
        fact(data={"text": "\udfff"}),
        b" " * (9 << 20) + fact(), (LINK, b"/etc/passwd"), (SUBMODULE, "1" * 40),
        (TREE, "4b825dc642cb6eb9a060e54bf8d69288fbee4904"),
    ],
    ids=lambda content: str(content[:30]),
)  # fmt: skip
@pytest.mark.parametrize("of", ["run", "experiment"])
def test_facts_that_are_none(good: list[str], content: Any, of: str) -> None:
    write("tree", b"")
    folder = names.run_folder(good[1]) if of == "run" else "experiments/exp"
    path = f"{folder}/facts/{FACT}.json"
    plant({path: content})
    survive(good, {path}, None if isinstance(content, tuple) else set())
    with Ledger() as ledger:
        assert saved.find(ledger, good[1]).note == "fine", "the other fact holds"


@pytest.mark.parametrize("of", ["run", "experiment"])
def test_facts_in_the_wrong_place(good: list[str], of: str) -> None:
    folder = names.run_folder(good[0]) if of == "run" else "experiments/exp"
    plant({f"{folder}/facts": (LINK, b"..")})
    survive(good, {f"{folder}/facts"}, set())
    plant(
        {f"{folder}/facts": None, f"{folder}/facts/note.json": b"{", f"{folder}/facts/{FACT}": b"{"}
    )
    survive(good, set(), set())


@pytest.mark.parametrize(
    "kind", ["delete", "rename", "note", "tag", "metrics", "artifact", "resume", "params"]
)
@pytest.mark.parametrize(
    "data", [{}, {"text": 1, "key": [], "name": {}, "history": 7, "params": "x"}]
)
def test_facts_that_make_no_sense(good: list[str], kind: str, data: dict[str, Any]) -> None:
    if kind == "delete":
        data = {"anything": data}
    path = names.run_fact_file(BAD, FACT)
    plant({f"{FOLDER}/run.json": record(), path: fact(kind=kind, data=data)})
    with Ledger() as ledger:
        run = saved.find(ledger, BAD)
        assert saved.history(ledger, run) == saved.artifacts(ledger, run) == {}
        assert (run.deleted is None) is (kind != "delete")


# --- floods -------------------------------------------------------------------------------------


def test_thousands_of_junk_files(good: list[str]) -> None:
    junk = write("tree", format_tree({f"{n:05}": Entry(FILE, "1" * 40) for n in range(20_000)}))
    places = (DAY, names.run_folder(good[0]), f"{names.run_folder(good[0])}/facts", "experiments")
    blob = write("blob", b"")
    reader = Reader(open_repository())
    root = git("rev-parse", "mlgit^{tree}").strip()
    for place in places:
        entry = lookup(reader, root, place)
        tree = reader.tree(entry.sha) if entry else {}
        tree |= {f"junk-{number:05}": Entry(FILE, blob) for number in range(5000)}
        plant({place: (TREE, write("tree", format_tree(tree)))})
        root = git("rev-parse", "mlgit^{tree}").strip()
    reader.close()
    plant({"junk": (TREE, junk), "runs/2026/junk": (TREE, junk)})
    for how in ASKED:
        with Ledger() as ledger:
            messages: list[str] = []
            assert [run.id for run in saved.select(ledger, **how, warn=messages.append)] == good
            assert messages == []


def test_many_bad_runs(good: list[str]) -> None:
    """Each told once, whether the index is made or brought up to date."""
    day = Reader(open_repository())
    entry = lookup(day, git("rev-parse", "mlgit^{tree}").strip(), DAY)
    assert entry
    tree = day.tree(entry.sha)
    bad = [names.new_id(BEGIN + 20_000 + number) for number in range(700)]
    folder = write("tree", format_tree({"run.json": Entry(FILE, write("blob", b"{"))}))
    tree |= {run_id: Entry(TREE, folder) for run_id in bad}
    plant({DAY: (TREE, write("tree", format_tree(tree)))})
    day.close()
    survive(good, {names.run_file(run_id, "run.json") for run_id in bad}, set())


# --- whatever bytes there are ---------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from([*records.Run.__struct_fields__, *records.Fact.__struct_fields__])


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(
    changes=st.lists(st.dictionaries(KEYS, JSON, max_size=3), min_size=4, max_size=4),
    raw=st.binary(max_size=50),
)
def test_no_content_breaks_a_listing(
    repo: Path, good_once: Callable[[], list[str]], changes: list[dict[str, Any]], raw: bytes
) -> None:
    good = good_once()
    folder = names.run_folder(good[1])
    facts = [names.new_id(BEGIN + 10_000 + number) for number in range(3)]
    plant(
        {
            f"{FOLDER}/run.json": record(**changes[0]),
            f"{FOLDER}/facts/{FACT}.json": fact(**changes[1]),
            f"{folder}/facts/{facts[0]}.json": fact(
                **{**changes[2], "id": facts[0], "kind": "note"}
            ),
            f"{folder}/facts/{facts[1]}.json": raw,
            f"experiments/exp/facts/{facts[2]}.json": fact(**{**changes[3], "kind": "describe"}),
        }
    )
    for how in ASKED:
        with Ledger() as ledger:
            told: list[str] = []
            found = [run.id for run in saved.select(ledger, **how, warn=told.append)]
            assert [run_id for run_id in found if run_id != BAD] == good or "where" in how
            assert {*good} <= {*found}
            assert any(facts[1] in message for message in told)
            for run in saved.select(ledger):
                try:
                    saved.history(ledger, run)
                    saved.artifacts(ledger, run)
                    saved.environment(ledger, run)
                except MlgitError:
                    assert run.id == BAD
    git("update-ref", "refs/heads/mlgit", "mlgit^")


@pytest.fixture
def good_once(good: list[str]) -> Callable[[], list[str]]:
    return lambda: good


@pytest.mark.parametrize(
    "commit",
    [
        b"", b"tree ", b"tree xyz\n", b"tree " + b"1" * 40 + b"\n", b"garbage\n\n", b"\xff" * 60,
        b"tree HEAD^{tree}                              \n\nx",
    ],
)  # fmt: skip
def test_commits_that_are_none(repo: Path, good: list[str], commit: bytes) -> None:
    sha = write("commit", commit)
    (repo / ".git" / "refs" / "heads" / "mlgit").write_text(f"{sha}\n")
    for use in (lambda ledger: saved.select(ledger), lambda ledger: add_runs(repo, make_run())):
        with Ledger() as ledger, pytest.raises(Unreadable):
            use(ledger)


@pytest.mark.parametrize(
    "mark", [b"", b"{", b"[]", b'{"format": 2}', b'{"format": "1"}', (LINK, b"x"), b" " * (1 << 17)]
)
def test_marks_that_are_none(repo: Path, good: list[str], mark: Any) -> None:
    plant({"mlgit.json": mark})
    for use in (lambda ledger: saved.select(ledger), lambda ledger: add_runs(repo, make_run())):
        with Ledger() as ledger, pytest.raises(Unreadable):
            use(ledger)
