"""Lineage out of a real ledger: what X means, chains, folders, pipelines, damage."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import add_runs, git, make_run
from hypothesis import given, settings
from hypothesis import strategies as st

from mlgit import profiles, saved
from mlgit.data import store
from mlgit.data.hashing import Member, format_manifest
from mlgit.errors import NotFound
from mlgit.ledger import Ledger, append, open_repository, pointers
from mlgit.lineage import datasets, stages
from mlgit.lineage.collect import LedgerSource
from mlgit.lineage.trace import Lineage, trace
from mlgit.records import Pointer, Run, Source

HOUR = 3_600_000
START = 1_793_534_400_000  # 2026-11-01 12:00 UTC


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def data(path: str, content: bytes = b"", **more: Any) -> Pointer:
    """Returns a pointer to a file; without content its path is what is in it."""
    content = content or path.encode()
    return Pointer(
        **{"path": path, "md5": md5(content), "size": len(content), "stored": "dvc"} | more
    )


class Lab:
    """A repository in which runs happen an hour apart."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = START

    def run(
        self,
        name: str,
        used: Sequence[Pointer] = (),
        made: Sequence[Pointer] = (),
        **fields: Any,
    ) -> Run:
        self.now += HOUR
        record = make_run(self.now, name=name, inputs=[*used], outputs=[*made], **fields)
        add_runs(self.path, record)
        return record

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            place = self.path / name.replace("__", "/").replace("_lock", ".lock")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        git("add", ".", cwd=self.path)
        git("commit", "--quiet", "--message", "pipeline", cwd=self.path)
        return git("rev-parse", "HEAD", cwd=self.path).strip()

    def folder(self, path: str, files: dict[str, bytes], keep: bool = True, **more: Any) -> Pointer:
        manifest = format_manifest(Member(name, md5(content)) for name, content in files.items())
        if keep:
            store.put(self.path / ".git" / "mlgit" / "data", manifest, ".dir")
        size = sum(map(len, files.values()))
        fixed = {"path": path, "md5": md5(manifest) + ".dir", "size": size, "files": len(files)}
        return Pointer(**fixed | {"stored": "dvc"} | more)

    def trace(self, x: str, **options: Any) -> Lineage:
        with Ledger(self.path) as ledger:
            return trace(ledger, x, **options)

    def sides(self, x: str) -> tuple[str, str]:
        """Returns the labels of what is up and what is down, without circumstances."""
        found = self.trace(x)
        labels = [
            sorted(
                node.label.removeprefix("exp/")
                for node in walk.nodes.values()
                if node.id not in walk.roots and node.kind not in ("code", "environment")
            )
            for walk in found.walks
        ]
        return " ".join(labels[0]), " ".join(labels[1])


@pytest.fixture
def lab(repo: Path) -> Lab:
    return Lab(repo)


@pytest.fixture
def chain(lab: Lab) -> Lab:
    """raw -> prep -> clean -> train -> model -> evaluate -> report."""
    lab.run("prep", [data("raw")], [data("clean")])
    lab.run("train", [data("clean", name="training set", role="train")], [data("model")])
    lab.run("evaluate", [data("model", role="model")], [data("report"), data("console.txt")])
    return lab


# --- what X means ----------------------------------------------------------------------------


def test_every_name_of_the_same_content_gives_the_same_answer(chain: Lab) -> None:
    (chain.path / "elsewhere.csv").write_bytes(b"clean")
    expected = "prep raw", "console.txt evaluate model report train"
    for x in ("elsewhere.csv", md5(b"clean"), md5(b"clean")[:6].upper(), "clean", "training set"):
        assert chain.sides(x) == expected, x
    assert chain.sides("data:clean") == expected


def test_a_run_is_meant_by_id_prefix_name_or_rank(chain: Lab) -> None:
    run = chain.run("last", [data("model")])
    expected = "clean evaluate model prep raw train".replace("evaluate ", ""), ""
    for x in ("last", run.id, run.id[:12], "@latest", f"run:{run.id}", "run:last"):
        assert chain.sides(x) == expected, x


def test_a_path_is_all_its_versions_unless_one_lies_here(chain: Lab) -> None:
    chain.run("again", [data("raw", b"raw, corrected")], [data("clean", b"cleaner")])
    found = chain.trace("raw")
    assert found.graph.roots == [f"data:{md5(b'raw, corrected')}", f"data:{md5(b'raw')}"]
    (chain.path / "raw").write_bytes(b"raw")
    assert chain.trace("raw").graph.roots == [f"data:{md5(b'raw')}"]


def test_a_path_counts_from_where_one_stands(chain: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    chain.run("deep", [data("data/deep.csv")])
    (chain.path / "data").mkdir()
    monkeypatch.chdir(chain.path / "data")
    assert chain.sides("deep.csv") == ("", "deep")


def test_a_file_that_was_not_pulled_is_known_by_its_dvc_file(chain: Lab) -> None:
    text = f"outs:\n- md5: {md5(b'raw')}\n  size: 3\n  hash: md5\n  path: fresh.csv\n"
    (chain.path / "fresh.csv.dvc").write_text(text)
    assert chain.sides("fresh.csv")[1].startswith("clean console.txt evaluate")


def test_a_folder_here_is_known_by_its_content(lab: Lab) -> None:
    folder = lab.folder("images", {"a.png": b"a", "b/c.png": b"c"})
    lab.run("train", [folder], [data("model")])
    (lab.path / "copy" / "b").mkdir(parents=True)
    (lab.path / "copy" / "a.png").write_bytes(b"a")
    (lab.path / "copy" / "b" / "c.png").write_bytes(b"c")
    assert lab.sides("copy") == ("", "model train")


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ("unknown.csv", "no data and no run is called"),
        ("changed.csv", "no run used or made 'changed.csv' as it is here"),
        ("raw", "as it is here"),
        ("twice", "the name of data and of a run"),
        ("data:nothing", "no run used or made"),
        ("run:nothing", "there is no run"),
        ("code:nothing", "there is no commit"),
        ("code:HEAD\nHEAD", "there is no commit"),
        ("stage:nothing", "there is no stage"),
    ],
)
def test_what_is_not_known_is_said(chain: Lab, x: str, message: str) -> None:
    chain.run("twice", [data("twice")])
    (chain.path / "changed.csv").write_bytes(b"new")
    (chain.path / "raw").write_bytes(b"changed since")
    with pytest.raises(NotFound, match=message) as error:
        chain.trace(x)
    assert error.value.hint or ":" in x
    if x == "raw":
        assert "lineage 'data:raw'" in str(error.value.hint)


def test_a_beginning_of_several_hashes_names_them(lab: Lab) -> None:
    both = [Pointer(path=end, md5="abcdef" + end * 26, size=1) for end in "12"]
    lab.run("r", both)
    with pytest.raises(NotFound, match="2 hashes begin with abcdef"):
        lab.trace("abcdef")
    assert lab.sides("abcdef1") == ("", "r")


# --- chains -------------------------------------------------------------------------------------


def test_code_and_environment_are_where_a_run_comes_from(lab: Lab) -> None:
    sha = git("rev-parse", "HEAD", cwd=lab.path).strip()
    environment = {"python": {"version": "3.11.7"}, "packages": {"numpy": "2.1"}}
    run = make_run(START, name="r", source=Source(commit="0" * 40, snapshot=sha))
    saved.save(open_repository(lab.path), run, {}, environment)
    nodes = {
        node.kind: node for node in lab.trace("r").graph.nodes.values() if node.key != "0" * 40
    }
    assert nodes["code"].facts == {"summary": "first", "time": "2026-01-01T12:00:00.000000Z"}
    assert nodes["environment"].facts == {"summary": "Python 3.11.7, 1 package"}
    edges = lab.trace("r", down=False).graph.edges
    assert {(edge.kind, edge.role) for edge in edges} == {
        ("ran", "snapshot"), ("ran", "base"), ("ran-in", None)
    }  # fmt: skip
    # Which runs ran this code? Also those that had changed it.
    for commit in ("code:HEAD", f"code:{sha[:8]}"):
        assert lab.sides(commit) == ("", "r")


def test_a_deleted_run_is_still_what_happened(chain: Lab) -> None:
    with Ledger(chain.path) as ledger:
        run = saved.find(ledger, "train")
    saved.annotate(open_repository(chain.path), [run.id], "delete", {})
    found = chain.trace("raw")
    assert found.graph.nodes[f"run:{run.id}"].facts["deleted"] is True
    assert chain.sides("raw") == ("", "clean console.txt evaluate model prep report train")


def test_later_outputs_and_purged_runs_change_the_answer(chain: Lab) -> None:
    with Ledger(chain.path) as ledger:
        run = saved.find(ledger, "evaluate")
    later = {"pointer": data("late.png").document()}
    saved.annotate(open_repository(chain.path), [run.id], "artifact", later)
    assert chain.sides("late.png")[0] == "clean evaluate model prep raw train"
    git("update-ref", "refs/heads/mlgit", "refs/heads/mlgit~2", cwd=chain.path)  # and the run, too
    assert chain.sides("model") == ("clean prep raw train", "")


def test_an_address_that_was_not_fetched_is_the_same_while_its_server_says_so(lab: Lab) -> None:
    def rows(etag: str) -> Any:
        told = {"origin": "url", "url": "https://x.org/t.csv", "etag": etag}
        pointer = Pointer(path="t.csv", md5=None, size=None, **told)
        return next(pointers.rows_of(make_run(inputs=[pointer])))[1]

    assert rows("1") == rows("1") != rows("2")


# --- folders -------------------------------------------------------------------------------------


def test_a_file_is_found_in_the_folders_that_were_used(lab: Lab) -> None:
    folder = lab.folder("images", {"cats/a.png": b"a cat", "b.png": b"b"})
    lab.run("train", [folder], [data("model")])
    (lab.path / "photo.png").write_bytes(b"a cat")
    found = lab.trace("photo.png", up=False)
    (edge,) = (edge for edge in found.graph.edges if edge.kind == "contains")
    assert edge.path == "cats/a.png"
    assert lab.sides("photo.png") == ("", "images model train")
    assert lab.sides("train")[0] == "images"  # not every file, only those that lead on
    lab.run("draw", [], [data("b.png", b"b")])
    assert "draw" not in lab.sides("train")[0]  # it was drawn after that
    lab.run("later", [folder])
    assert lab.sides("later")[0] == "b.png draw images"


def test_folders_that_cannot_be_looked_into_are_told(lab: Lab) -> None:
    hidden = lab.folder("hidden", {"a": b"a"}, keep=False)
    lab.run("r", [hidden])
    (lab.path / "a").write_bytes(b"a")
    with pytest.raises(NotFound):
        lab.trace("a")
    lab.run("s", [data("a")])
    (note,) = lab.trace("a").notes
    assert "cannot look inside 1 folder " in note and hidden.md5[:10] in note
    assert lab.sides("a") == ("", "s")
    lab.folder("hidden", {"a": b"a"})  # it came with a pull
    assert lab.sides("a") == ("", "hidden r s")
    store.object_path(lab.path / ".git/mlgit/data", hidden.md5).unlink()
    assert lab.sides("a") == ("", "hidden r s")  # once seen, it is known


def test_a_folder_in_the_cache_of_the_users_own_dvc_is_looked_into(lab: Lab) -> None:
    images = lab.folder("images", {"a": b"a"}, keep=False)
    lab.run("r", [images])
    manifest = format_manifest([Member("a", md5(b"a"))])
    store.put(lab.path / ".dvc" / "cache", manifest, ".dir")
    (lab.path / "a").write_bytes(b"a")
    assert lab.sides("a") == ("", "images r")


def damaged(content: bytes) -> str:
    return content.decode(errors="replace")[:20]


@pytest.mark.parametrize(
    "content",
    [
        b"not json", b"{}", b"[1]", b"[" * 100_000, b'[{"md5": "x", "relpath": "a"}]',
        b'[{"md5": 5, "relpath": "a"}]', b'[{"relpath": "a"}]', b'["md5"]', b"null",
        b"[9" + b"9" * 9000,
        b'[{"md5": "d751713988987e9331980363e24189ce.dir", "relpath": "a"}]',
    ],
    ids=damaged,
)  # fmt: skip
def test_a_damaged_manifest_is_told_and_hides_nothing_else(lab: Lab, content: bytes) -> None:
    digest = store.put(lab.path / ".git" / "mlgit" / "data", content, ".dir")
    lab.run("r", [Pointer(path="odd", md5=digest, size=9, files=1), data("a")])
    found = lab.trace("a")
    assert any("damaged" in note or digest in note for note in found.notes) or content == b"{}"
    assert lab.sides("a") == ("", "r")


def test_a_path_that_would_leave_the_folder_is_damage(lab: Lab) -> None:
    content = json.dumps([{"md5": md5(b"a"), "relpath": "../../etc/passwd"}]).encode()
    digest = store.put(lab.path / ".git" / "mlgit" / "data", content, ".dir")
    lab.run("r", [Pointer(path="odd", md5=digest, size=9, files=1), data("a")])
    found = lab.trace("a")
    assert not any("passwd" in (edge.path or "") for edge in found.graph.edges)
    assert any("damaged" in note for note in found.notes)


def test_an_altered_manifest_is_not_believed(lab: Lab) -> None:
    folder = lab.folder("images", {"a": b"a"})
    lab.run("r", [folder])
    place = store.object_path(lab.path / ".git/mlgit/data", folder.md5)
    place.chmod(0o644)
    place.write_bytes(format_manifest([Member("b", md5(b"b"))]))
    lab.run("s", [data("b")])
    found = lab.trace("b")
    assert "altered" in found.notes[0] and lab.sides("b") == ("", "s")


# --- DVC's pipelines -------------------------------------------------------------------------


def lock(**made: str) -> str:
    """Returns a dvc.lock whose stages each make a file from another: {"prepare": "raw > clean"}."""

    def listed(names: str) -> str:
        contents = [(name, name.rpartition("/")[2].encode()) for name in names.split()]
        return "".join(
            f"    - path: {name}\n      hash: md5\n      md5: {md5(content)}\n"
            f"      size: {len(content)}\n"
            for name, content in contents
        )

    text = "schema: '2.0'\nstages:\n"
    for name, ways in made.items():
        used, _, outputs = ways.partition(" > ")
        text += f"  {name}:\n    cmd: x\n    deps:\n{listed(used)}    outs:\n{listed(outputs)}"
    return text


def test_the_stages_that_made_an_input_are_found_in_the_code_of_the_run(lab: Lab) -> None:
    sha = lab.commit(dvc_lock=lock(fetch="url > raw", prepare="raw > clean"))
    run = lab.run("train", [data("clean")], [data("model")], source=Source(commit=sha))
    assert lab.sides("train") == ("clean fetch prepare raw url", "model")
    assert lab.sides("raw") == ("fetch url", "clean model prepare train")  # no run recorded it
    assert lab.sides(md5(b"url")[:9])[1] == "clean fetch model prepare raw train"
    assert lab.sides("stage:prepare") == ("fetch raw url", "clean model train")
    edges = {edge for edge in lab.trace("raw").graph.edges if edge.kind == "used"}
    assert len(edges) == 3 and any(edge.subject == f"run:{run.id}" for edge in edges)


def test_a_pipeline_in_a_folder_above_the_data_is_found(lab: Lab) -> None:
    sha = lab.commit(projects__churn__dvc_lock=lock(prepare="../shared/raw > data/clean"))
    clean = data("projects/churn/data/clean", b"clean")
    lab.run("train", [clean], source=Source(commit="0" * 40, snapshot=sha))
    found = lab.trace("train")
    labels = {node.label for node in found.graph.nodes.values()}
    assert {"prepare", "projects/shared/raw"} <= labels


def test_a_stage_is_one_however_often_it_was_committed(lab: Lab) -> None:
    text = lock(prepare="raw > clean")
    shas = [lab.commit(dvc_lock=text, train_py=f"LR = {lr}") for lr in (1, 2)]
    shas.append(lab.commit(dvc_lock=lock(prepare="raw > clean", more="a > b")))
    for number, sha in enumerate(shas):
        lab.run(f"r{number}", [data("clean")], source=Source(commit=sha))
    assert lab.sides("raw") == ("", "clean prepare r0 r1 r2")
    with Ledger(lab.path) as ledger:
        found = LedgerSource(ledger).pipelines.stages
    assert [(stage.name, stage.commit) for stage in found.values()] == [
        ("prepare", shas[0]), ("more", shas[2])
    ]  # fmt: skip


def test_a_new_run_with_other_code_is_seen(lab: Lab) -> None:
    lab.run("r0", [data("clean")], source=Source(commit=git("rev-parse", "HEAD").strip()))
    assert lab.sides("clean") == ("", "r0")
    sha = lab.commit(dvc_lock=lock(prepare="raw > clean"))
    assert lab.sides("clean") == ("", "r0")
    lab.run("r1", [data("clean")], source=Source(commit=sha))
    assert lab.sides("clean") == ("prepare raw", "r0 r1")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- a list", "is not a DVC file"),
        ("stages: [1]", "has no stages"),
        ("a: [", "is not YAML"),
        ("x" * (stages.LOCK_LIMIT + 1), "too large"),
        ("stages: {a: {deps: 5}}", "is not a DVC file"),
        (
            "a0: &a0 {b: 1}\n"
            + "".join(
                f"a{number + 1}: &a{number + 1}\n  <<: [*a{number}, *a{number}]\n"
                for number in range(40)
            ),
            "is not YAML",
        ),
        (
            f"stages:\n  a: &a {{deps: [{'1, ' * 1000}]}}\n"
            + "".join(f"  b{number}: *a\n" for number in range(1000)),
            "more than 100,000 paths",
        ),
    ],
)
def test_a_pipeline_that_cannot_be_read_is_told(lab: Lab, text: str, problem: str) -> None:
    sha = lab.commit(dvc_lock=text)
    lab.run("r", [data("clean")], source=Source(commit=sha))
    for _ in range(2):  # also from the cache
        (note,) = lab.trace("clean").notes
        assert problem in note and sha in note


def test_hostile_names_in_a_pipeline_are_only_names(lab: Lab) -> None:
    text = json.dumps(
        {"stages": {"\x1b[31m": {"deps": [{"path": "/etc/\u202e", "md5": "a" * 32, "hash": "md5"}],
                                 "outs": [{"path": "clean", "md5": md5(b"clean"), "hash": "md5"}]}}}
    )  # fmt: skip
    lab.run("r", [data("clean")], source=Source(commit=lab.commit(dvc_lock=text)))
    assert len(lab.trace("clean", down=False).graph.nodes) == 3


# --- the cache and the index ---------------------------------------------------------------------


def test_a_damaged_cache_is_made_anew(chain: Lab) -> None:
    chain.run("f", [chain.folder("images", {"raw": b"raw"})])
    expected = chain.sides("raw")
    assert expected[1].endswith("train")
    place = chain.path / ".git" / "mlgit" / "lineage.sqlite"
    for content in (b"", b"no database" * 500):
        place.write_bytes(content)
        assert chain.sides("raw") == chain.sides("raw") == expected
    with sqlite3.connect(place) as database:
        database.execute("pragma user_version = 99")
    database.close()
    assert chain.sides("raw") == expected


def test_where_nothing_can_be_written_the_answer_is_the_same(
    chain: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.run("f", [chain.folder("images", {"raw": b"raw"})])
    expected = chain.sides("raw")
    connect = sqlite3.connect

    def refuse(place: str, *rest: Any, **more: Any) -> sqlite3.Connection:
        if place != ":memory:":
            raise sqlite3.OperationalError("unable to open database file")
        return connect(place, *rest, **more)

    monkeypatch.setattr(sqlite3, "connect", refuse)
    assert chain.sides("raw") == expected


NAMES = st.lists(st.sampled_from(["u", "v", "w", "x"]), max_size=2, unique=True)
RUNS = st.lists(st.tuples(NAMES, NAMES, st.integers(0, 3)), min_size=1, max_size=5)


@settings(max_examples=25)
@given(RUNS)
def test_what_is_up_of_one_run_has_it_down(
    tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[list[str], list[str], int]]
) -> None:
    path = tmp_path_factory.mktemp("lab")
    git("init", "--quiet", path)
    lab = Lab(path)
    kept = {"w": lab.folder("w", {"u": b"u", "v": b"v"}), "x": lab.folder("x", {"v": b"v"})}

    def pointers_of(names: list[str]) -> list[Pointer]:
        return [kept.get(name) or data(name) for name in names]

    runs: list[Run] = []
    for used, made, parent in plan:
        over = runs[parent].id if parent < len(runs) else None
        runs.append(make_run(START + HOUR * len(runs), inputs=pointers_of(used),
                             outputs=pointers_of(made), parent=over))  # fmt: skip
    add_runs(path, *runs)
    reach = {
        (run.id, walk.up): walk.nodes.keys()
        for run in runs
        for walk in lab.trace(f"run:{run.id}").walks
    }
    for one in runs:
        for other in runs:
            assert (f"run:{other.id}" in reach[one.id, True]) == (
                f"run:{one.id}" in reach[other.id, False]
            )


# --- datasets ------------------------------------------------------------------------------------


def test_datasets_are_listed_with_their_versions(chain: Lab) -> None:
    chain.run("again", [data("raw", b"raw, corrected", role="train"), data("model")])
    with Ledger(chain.path) as ledger:
        found = {each.name: each for each in datasets.list_datasets(ledger.index().pointers)}
    assert list(found) == ["model", "raw", "training set"]  # the last used first
    assert [each.hash for each in found["raw"].versions] == [md5(b"raw, corrected"), md5(b"raw")]
    model = found["model"].latest
    assert (model.runs, model.roles, model.size) == (2, ["model"], 5)
    assert model.first < model.last


def test_two_versions_are_compared_by_files_and_profile(lab: Lab) -> None:
    def version(files: dict[str, bytes], mean: float) -> Pointer:
        columns = [{"name": "age", "type": "int64", "mean": mean, "std": 1.0, "nulls": 0}]
        pointer = lab.folder("images", files)
        profile = {"format": 1, "rows": len(files), "columns": columns}
        with Ledger(lab.path) as ledger:
            written = profiles.files(ledger, {str(pointer.md5): profile})
        append(ledger.repository, written, "a profile\n")
        return pointer

    before = version({"same": b"s", "gone": b"g", "more": b"m", "other": b"1"}, 1.5)
    after = version({"same": b"s", "new": b"n", "other": b"22"}, 2.5)
    lab.run("one", [before])
    lab.run("two", [after])
    with Ledger(lab.path) as ledger:
        found = datasets.compare(LedgerSource(ledger), before.md5[:8], "images")
    expected = datasets.Files(added=["new"], removed=["gone", "more"], changed=["other"])
    assert found.files == expected and found.rows == (4, 3)
    assert [str(each) for each in found.columns] == ["'age': mean 1.5 → 2.5"]
    assert (found.old.facts["size"], found.new.facts["size"]) == (4, 4)
