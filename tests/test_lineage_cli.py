"""`mlgit lineage` and `mlgit data` as a person and a script see them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from openlineage_schema import faults
from test_lineage_ledger import Lab, chain, data, lab, lock, md5

from mlgit import profiles
from mlgit.cli import cli
from mlgit.ledger import Ledger, append
from mlgit.records import Source

__all__ = ["chain", "lab"]  # fixtures


def mlgit(*arguments: str) -> Result:
    """Runs a command in this process; a bug keeps its traceback."""
    done = CliRunner().invoke(cli, arguments, prog_name="mlgit")
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def content(name: str, *arguments: str) -> Any:
    done = mlgit(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)[f"mlgit.{name}/v1"]


@pytest.fixture
def busy(lab: Lab) -> Lab:
    """A pipeline, a search with trials, a failed run, an evaluation."""
    sha = lab.commit(dvc_lock=lock(prepare="data/raw.csv > data/train.csv"))
    code = Source(commit=sha)
    clean = data("data/train.csv", b"train.csv", name="taxi", role="train")
    model = data("model", b"boosted" * 1000, kind="model")
    lab.run("baseline", [clean], [data("linear", kind="model"), data("plot.png")], source=code)
    search = lab.run("search", [clean], source=code)
    trial = [model, data("console.txt"), data("loss.png"), data("notes.md")]
    lab.run("trial 1", [], trial, parent=search.id, source=code)
    lab.run("broken", [clean], status="failed", source=code)
    lab.run("evaluate", [model], [data("report.html")], source=code)
    return lab


def short(name: bytes) -> str:
    return md5(name)[:10]


def test_the_tree_tells_what_came_of_a_file(busy: Lab) -> None:
    (busy.path / "here.csv").write_bytes(b"train.csv")
    ids = [each["id"].partition(":")[2][:10] for each in content("lineage", "lineage", "here.csv")
           ["nodes"] if each["kind"] == "run"]  # fmt: skip
    broken, search, baseline, trial, evaluate = ids
    shown = mlgit("lineage", "here.csv")
    assert shown.stderr == ""
    assert (
        shown.stdout
        == f"""\
data/train.csv  (taxi)  9 B  {short(b"train.csv")}

Made from: 1 dataset, 1 stage
└─ made by stage prepare  dvc.lock at {busy_commit(busy)}
   └─ data/raw.csv  7 B  {short(b"raw.csv")}

Led to: 2 models, 5 runs, 5 artifacts
├─ used by run {search}  exp/search  finished 2026-11-01 14:00  as train
│  └─ with its part run {trial}  exp/trial 1  finished 2026-11-01 15:00
│     ├─ made model  7.0 kB  {short(b"boosted" * 1000)}
│     │  └─ used by run {evaluate}  exp/evaluate  finished 2026-11-01 17:00
│     │     └─ made report.html
│     └─ made 3 files: console.txt, loss.png, notes.md
├─ used by run {baseline}  exp/baseline  finished 2026-11-01 13:00  as train
│  ├─ made model linear  6 B  {short(b"linear")}
│  └─ made plot.png
└─ used by run {broken}  exp/broken  failed 2026-11-01 16:00  as train
"""
    )


def busy_commit(lab: Lab) -> str:
    (stage,) = (n for n in content("lineage", "lineage", "taxi")["nodes"] if n["kind"] == "stage")
    return str(stage["commit"][:10])


def test_the_tree_tells_what_a_run_came_from(busy: Lab) -> None:
    shown = mlgit("lineage", "evaluate", "--up")
    commit = busy_commit(busy)
    first, _, *lines = shown.stdout.splitlines()
    assert first.endswith("  exp/evaluate  finished 2026-11-01 17:00")
    assert [line.translate({ord(char): " " for char in "│├└─"}).rstrip() for line in lines] == [
        "Made from: 2 datasets, 1 model, 1 stage, 2 runs",
        f"   model  7.0 kB  {short(b'boosted' * 1000)}",
        f"      made by {named('trial 1')}  finished 2026-11-01 15:00",
        f"         part of {named('search')}  finished 2026-11-01 14:00",
        f"            data/train.csv  (taxi)  9 B  {short(b'train.csv')}  as train",
        f"               made by stage prepare  dvc.lock at {commit}",
        f"                  data/raw.csv  7 B  {short(b'raw.csv')}",
        *[f"{' ' * 3 * level}code {commit}  pipeline  {today()}" for level in (4, 3, 1)],
    ]


def named(name: str) -> str:
    (run,) = (n for n in content("lineage", "lineage", name)["nodes"] if n.get("name") == name)
    return f"run {run['id'][4:14]}  exp/{name}"


def today() -> str:
    import time

    return time.strftime("%Y-%m-%d")


def test_the_document_is_whole(busy: Lab) -> None:
    found = content("lineage", "lineage", "taxi", "--down", "--depth", "1")
    assert found["roots"] == [f"data:{md5(b'train.csv')}"]
    assert found["notes"] == ["the search ended at a depth of 1; there may be more"]
    assert {(edge["kind"], edge["role"], edge["name"]) for edge in found["edges"]} == {
        ("used", "train", "taxi")
    }
    assert [node["status"] for node in found["nodes"][1:]] == ["failed", "finished", "finished"]


def test_both_directions_may_be_named(busy: Lab) -> None:
    both = content("lineage", "lineage", "taxi")
    assert content("lineage", "lineage", "taxi", "--up", "--down") == both
    up = content("lineage", "lineage", "taxi", "--up")
    assert {node["kind"] for node in up["nodes"]} == {"dataset", "stage"}


@pytest.mark.parametrize(
    ("form", "begins"), [("dot", "digraph"), ("mermaid", "flowchart LR"), ("prov", "{")]
)
def test_other_formats_are_printed(busy: Lab, form: str, begins: str) -> None:
    assert mlgit("lineage", "taxi", "--format", form).stdout.startswith(begins)


def test_events_are_lines_and_hold_all_of_a_run(busy: Lab) -> None:
    shown = mlgit("lineage", "linear", "--up", "--format", "openlineage")
    events = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [event.get("eventType", "JOB") for event in events] == ["JOB", "START", "COMPLETE"]
    assert [fault for event in events for fault in faults(event)] == []
    outputs = [each["name"] for each in events[-1]["outputs"]]
    assert sorted(outputs) == ["linear", "plot.png"]


def test_hostile_names_cannot_act_on_the_terminal(lab: Lab) -> None:
    evil = "a\u202eb \u2066x"
    lab.run(evil, [data(evil, b"e", name=evil, role=evil)], [data(evil, b"f", kind="model")])
    for arguments in (["lineage", "@latest"], ["data", "ls"], ["data", "show", evil]):
        for form in ([], ["--json"]):
            shown = mlgit(*arguments, *form).stdout
            assert not set(shown) & set(evil[1:6] + "\u2066") - set("b x")
    for form in ("dot", "mermaid"):
        assert "\u202e" not in mlgit("lineage", "@latest", "--format", form).stdout


def test_many_are_counted_and_a_long_way_ends(lab: Lab) -> None:
    for number in range(25):
        lab.run(f"r{number}", [data("x")], [data(f"m{number}", kind="model")])
    shown = mlgit("lineage", "x", "--down").stdout
    assert "Led to: 25 models, 25 runs" in shown
    assert shown.count("used by run") == 20 and "… and 5 more runs (all: --json)" in shown
    for number in range(60):
        lab.run(f"s{number}", [data(f"y{number}")], [data(f"y{number + 1}")])
    shown = mlgit("lineage", "y0", "--down").stdout
    assert "… and on (all: --json)" in shown and len(shown.splitlines()[-1]) < 400


def test_notes_are_said_beside_the_answer(lab: Lab) -> None:
    lab.run("r", [lab.folder("hidden", {"a": b"a"}, keep=False), data("a")])
    shown = mlgit("lineage", "a")
    assert shown.exit_code == 0 and "cannot look inside 1 folder" in shown.stderr
    assert "cannot" not in shown.stdout
    assert mlgit("lineage", "a", "--json").stderr == ""


@pytest.mark.parametrize("command", ["lineage", "data show", "data pull", "verify"])
@pytest.mark.parametrize(
    "x",
    ["", "x" * 300, "pipe", "loop", "empty", "new\nline", "\udcff", "\udcfe", "../outside", "data:",
     "run:", "code:", "stage:", "nobody@v1", "\udcff.csv", "\udcff@v1"],
)  # fmt: skip
def test_what_nobody_recorded_is_not_found(chain: Lab, command: str, x: str) -> None:
    os.mkfifo("pipe")
    os.symlink("loop", "loop")
    for name in ("empty", "new\nline", "\udcff", "../outside"):
        Path(name).write_text("" if name == "empty" else "unheard of")
    done = mlgit(*command.split(), x)
    assert done.exit_code == 1 and not done.stdout
    assert re.match(r"Error: (there is no|no run|no data|it is not known)", done.stderr)


# --- mlgit data ----------------------------------------------------------------------------------


def test_datasets_are_listed(busy: Lab) -> None:
    busy.run("again", [data("data/train.csv", b"corrected", name="taxi", role="train")])
    assert (
        mlgit("data", "ls").stdout
        == f"""\
DATASET  VERSIONS  LATEST        SIZE  FILES  RUNS  LAST USED         AS
taxi            2  {short(b"corrected")}     9 B      -     1  2026-11-01 18:00  train
model           1  {short(b"boosted" * 1000)}  7.0 kB      -     1  2026-11-01 17:00  -
"""
    )
    taxi, model = content("data.ls", "data", "ls")
    assert [each["runs"] for each in taxi["versions"]] == [1, 3]
    assert taxi["versions"][1]["md5"] == md5(b"train.csv") and model["name"] == "model"


def test_a_version_is_shown_with_its_runs(busy: Lab) -> None:
    shown = mlgit("data", "show", "taxi").stdout
    assert f"Hash:  {md5(b'train.csv')}\nSize:  9 B\nBytes: missing" in shown
    assert "\nUsed:  3 runs, 2026-11-01 13:00" in shown
    assert shown.count("exp/") == 3
    (model,) = content("data.show", "data", "show", "model")
    assert [len(model["used"]), len(model["made"]), model["type"]] == [1, 1, "model"]
    busy.run("again", [data("data/train.csv", b"corrected", name="taxi")])
    shown = mlgit("data", "show", "taxi").stdout
    assert shown.startswith("VERSION") and shown.count(short(b"train.csv")) == 4
    assert mlgit("data", "show", "nothing").exit_code == 1


def test_a_profile_from_anybody_is_only_shown(lab: Lab) -> None:
    lab.run("one", [data("t.csv", b"t")])
    junk = [5, {"name": "\x1b[31mred", "min": {"a": [1]}, "nulls": "many", "type": None}, {}]
    profile = {"format": 1, "rows": "a lot", "read": "all", "columns": junk}
    with Ledger(lab.path) as ledger:
        append(ledger.repository, profiles.files(ledger, {md5(b"t"): profile}), "a profile")
    shown = mlgit("data", "show", "t.csv").stdout
    assert "Rows" not in shown and "\x1b" not in shown.split("Columns")[1]
    assert shown.splitlines()[-3:] == [
        "NAME      TYPE  NULLS  DISTINCT  MIN         MAX  MEAN",
        '�[31mred  -      many         -  {"a": [1]}  -    -',
        "-         -         -         -  -           -    -",
    ]


def test_versions_are_compared(lab: Lab) -> None:
    lab.run("one", [lab.folder("images", {"a": b"1", "b": b"2"})])
    old = lab.folder("images", {"a": b"1", "b": b"2"}).md5
    new = lab.folder("images", {"a": b"1", "c": b"333"})
    lab.run("two", [new])
    assert (
        mlgit("data", "diff", old, "images").stdout
        == f"""\
- {old[:10]}.dir  images  2 B
+ {new.md5[:10]}.dir  images  4 B
size: +2 bytes
1 file added:
  c
1 file removed:
  b
"""
    )
    found = content("data.diff", "data", "diff", old, new.md5)
    assert found["files"] == {"added": ["c"], "removed": ["b"], "changed": []}
    assert "the same bytes" in mlgit("data", "diff", old, old).stderr
    hidden = lab.folder("images", {"z": b"z"}, keep=False)
    lab.run("three", [hidden])
    shown = mlgit("data", "diff", old, hidden.md5)
    assert "cannot look inside" in shown.stderr and "added" not in shown.stdout


def test_an_empty_ledger_has_no_datasets(repo: object) -> None:
    mlgit("init")
    assert "No run has recorded an input yet" in mlgit("data", "ls").stderr
