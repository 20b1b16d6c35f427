"""Lineage of runs as people log them: through the Python API, by the command line, with DVC."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from conftest import git
from openlineage_schema import faults
from test_inputs import server  # a fixture
from test_lineage_cli import content, mlgit

import mlgit as api
from mlgit import NotFound
from mlgit.data import store
from mlgit.records import Pointer

__all__ = ["server"]


def logged(name: str, act: Callable[[], Any], **how: Any) -> api.ActiveRun:
    with api.start_run(experiment="exp", name=name, capture=(), **how) as run:
        act()
    return run


def names(nodes: list[Any]) -> list[str]:
    return [node.label.removeprefix("exp/") for node in nodes]


@pytest.fixture
def study(repo: Path) -> Path:
    """raw.csv -> prepare -> clean.csv -> train -> model (a folder) -> evaluate -> report.json."""
    (repo / "raw.csv").write_text("a,b\n1,2\n3,\n")
    (repo / "clean.csv").write_text("a,b\n1,2\n")
    (repo / "out").mkdir()
    (repo / "out/weights.bin").write_bytes(bytes(range(256)) * 4)
    (repo / "out/about.json").write_text("{}")

    def prepare() -> None:
        api.log_input("raw.csv", role="source")
        api.log_artifact("clean.csv")

    def train() -> None:
        api.log_input("clean.csv", role="train", name="trips")
        api.log_model("out", "model")

    def evaluate() -> None:
        api.log_input("out", role="model")
        api.log_dict({"rmse": 6.5}, "report.json")

    for act in (prepare, train, evaluate):
        logged(act.__name__, act)
    return repo


# --- chains ------------------------------------------------------------------------------------


def test_a_chain_of_runs_is_followed_from_end_to_end(study: Path) -> None:
    found = api.get_lineage("raw.csv")
    assert names(found.downstream("run")) == ["prepare", "train", "evaluate"]
    assert names(found.downstream("model")) == ["model"]
    assert found.upstream() == [] and names(found.roots) == ["raw.csv"]
    (model,) = found.downstream("model")
    up = api.get_lineage(f"data:{model.key}", down=False)
    assert names(up.upstream("run")) == ["train", "prepare"]
    assert {edge.role for edge in up.edges if edge.kind == "used"} == {"source", "train"}
    assert up.downstream() == []
    assert up.notes == []
    assert "from 4 things" in repr(up)


def test_the_command_line_says_the_same(study: Path) -> None:
    shown = mlgit("lineage", "raw.csv").stdout
    assert "Led to: 1 model, 3 runs, 2 artifacts" in shown
    found = content("lineage", "lineage", "raw.csv")
    assert found == api.get_lineage("raw.csv").to_dict()
    assert all(node["kept"] for node in found["nodes"] if node["id"].startswith("data:"))
    assert "hash only" not in shown


def test_a_run_an_input_and_a_path_may_be_asked_about(study: Path) -> None:
    run = api.get_run("train")
    (pointer,) = run.inputs
    assert names(api.get_lineage(run).upstream("run")) == ["prepare"]
    assert names(api.get_lineage(pointer).downstream("run")) == ["train", "evaluate"]
    assert names(api.get_lineage(study / "clean.csv").upstream("dataset")) == ["raw.csv"]
    assert names(api.get_lineage("trips", depth=1).downstream()) == ["train"]
    with pytest.raises(NotFound):
        api.get_lineage("nothing.csv")


def test_lineage_goes_on_to_the_stages_of_a_model(study: Path) -> None:
    assert mlgit("model", "register", "churn", "train").exit_code == 0
    (root, *_) = json.loads(mlgit("lineage", "churn@v1", "--json").stdout)["mlgit.lineage/v1"][
        "nodes"
    ]
    assert [(each["name"], each["stage"], each["since"]) for each in root["versions"]] == [
        ("churn@v1", None, None)
    ]
    assert mlgit("model", "promote", "churn@v1", "production").exit_code == 0
    assert mlgit("model", "alias", "churn@v1", "champion").exit_code == 0
    told = mlgit("lineage", "clean.csv", "--down").stdout
    assert re.search(r"churn@v1, in production since \d{4}-\d\d-\d\d, champion\n", told), told
    assert "in production since" in mlgit("lineage", "train", "--format", "mermaid").stdout
    entities = json.loads(mlgit("lineage", "train", "--format", "prov").stdout)["entity"].values()
    (said,) = (each["mlgit:version"] for each in entities if "mlgit:version" in each)
    assert len(said) == 1 and said[0].startswith("churn@v1, in production since ")
    assert mlgit("model", "rm", "churn@v1", "-m", "wrong").exit_code == 0
    told = mlgit("lineage", "clean.csv", "--down").stdout
    assert "churn@v1, withdrawn" in told and "production" not in told


def test_a_registered_version_is_the_model_it_names(study: Path) -> None:
    assert mlgit("model", "register", "churn", "train").exit_code == 0
    (model,) = api.get_lineage("train").downstream("model")
    for x in ("churn@v1", "churn@latest", "models:/churn/1"):
        assert [root.id for root in api.get_lineage(x).roots] == [model.id], x
    assert names(api.get_lineage("churn@v1").upstream("run")) == ["train", "prepare"]
    with pytest.raises(NotFound, match="v2"):
        api.get_lineage("churn@v2")


def test_a_file_of_a_model_is_found_wherever_it_lies(study: Path) -> None:
    weights = (study / "out/weights.bin").rename(study / "found-on-a-server.bin")
    up = api.get_lineage(weights, down=False)
    assert names(up.upstream("run")) == ["train", "prepare"]
    (held,) = (edge for edge in up.edges if edge.kind == "contains")
    assert held.path == "weights.bin"
    md5 = up.roots[0].key
    assert names(api.get_lineage(md5.upper()).upstream("run")) == ["train", "prepare"]
    assert names(api.get_lineage("model/weights.bin").upstream("run")) == ["train", "prepare"]
    assert names(api.get_lineage(f"data:{md5}").downstream("run")) == ["evaluate"]
    for unknown in ("0" * 32, f"data:{'0' * 32}", "model/nothing.bin"):
        with pytest.raises(NotFound, match=r"no run used or made|no data and no run"):
            api.get_lineage(unknown)


def test_a_folder_here_is_looked_into_though_no_run_knows_it(study: Path) -> None:
    (study / "mine/deep").mkdir(parents=True)
    (study / "mine/other.csv").write_text("x")
    (study / "mine/deep/copy.csv").write_bytes((study / "clean.csv").read_bytes())
    found = api.get_lineage("mine")
    assert names(found.downstream("run")) == ["train", "evaluate"]
    assert names(found.upstream("run")) == ["prepare"]
    assert "holds clean.csv" in mlgit("lineage", "mine").stdout
    (study / "mine/deep/copy.csv").unlink()
    done = mlgit("lineage", "mine")
    assert done.stderr.startswith("Error: no run used or made 'mine' as it is here (md5 ")
    assert "cannot look inside" not in done.stderr


def test_other_formats_from_python(study: Path) -> None:
    model = pytest.importorskip("prov.model")
    found = api.get_lineage("clean.csv")
    document = model.ProvDocument.deserialize(content=json.dumps(found.to_prov()), format="json")
    assert len(list(document.get_records(model.ProvActivity))) == 3
    events = found.to_openlineage()
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"] * 3
    assert [fault for event in events for fault in faults(event)] == []
    printed = mlgit("lineage", "clean.csv", "--format", "openlineage").stdout
    assert [json.loads(line) for line in printed.splitlines()] == events
    assert found.to_dot() + "\n" == mlgit("lineage", "clean.csv", "--format", "dot").stdout
    assert found.to_mermaid() + "\n" == mlgit("lineage", "clean.csv", "--format", "mermaid").stdout


# --- folders that cannot be looked into, and records that cannot be read -------------------------


def test_what_a_folder_holds_may_not_be_known_here(study: Path) -> None:
    (study / "out/about.json").rename(study / "about.json")
    (manifest,) = (
        path for path in (study / ".git/mlgit/data").rglob("*.dir")
    )  # of the model, which was also an input
    lists = study / ".git/mlgit/lineage.sqlite"
    manifest.unlink()
    lists.unlink(missing_ok=True)
    done = mlgit("lineage", "about.json")
    assert done.exit_code == 1
    assert "cannot look inside 1 folder" in done.stderr and "mlgit pull" in done.stderr
    assert "cannot look inside 1 folder" in " ".join(api.get_lineage("raw.csv").notes)
    (study / "large.csv").write_text("x" * 5000)  # more than the folder holds
    logged("other", lambda: api.log_input("large.csv"))
    assert api.get_lineage("large.csv").notes == []


def test_a_record_that_cannot_be_read_is_told(study: Path) -> None:
    run = api.get_run("train")
    day = git("ls-tree", "-r", "--name-only", "mlgit").splitlines()
    (path,) = (each for each in day if run.id in each and each.endswith("run.json"))
    blob = git("hash-object", "-w", "--stdin", input="{}").strip()
    git("read-tree", "--index-output=.git/forged", "mlgit")
    index = {"GIT_INDEX_FILE": ".git/forged"}
    git("update-index", "--cacheinfo", f"100644,{blob},{path}", env=index)
    tree = git("write-tree", env=index).strip()
    commit = git("commit-tree", tree, "-p", "mlgit", "-m", "forged").strip()
    git("update-ref", "refs/heads/mlgit", commit)
    shown = mlgit("lineage", "raw.csv")
    assert "1 record cannot be read and may be missing here: mlgit doctor" in shown.stderr


# --- what was not kept ---------------------------------------------------------------------------


def test_every_view_says_what_was_not_kept(repo: Path) -> None:
    (repo / "secret.csv").write_text("x\n1\n")
    logged("r", lambda: api.log_input("secret.csv", keep=False))
    short = api.get_run("r").inputs[0].md5[:10]  # type: ignore[index]
    for arguments in (["lineage", "secret.csv"], ["lineage", "r"], ["data", "ls"],
                      ["data", "show", "secret.csv"], ["show", "r"]):  # fmt: skip
        shown = mlgit(*arguments).stdout
        assert "hash only" in shown and short in shown, arguments
    for form in ("dot", "mermaid", "openlineage"):
        assert "hash only" in mlgit("lineage", "secret.csv", "--format", form).stdout
    assert '"mlgit:kept": false' in mlgit("lineage", "secret.csv", "--format", "prov").stdout
    assert content("lineage", "lineage", "secret.csv")["nodes"][0]["kept"] is False
    assert content("data.ls", "data", "ls")[0]["versions"][0]["kept"] is False
    assert content("data.show", "data", "show", "secret.csv")[0]["used"][0]["kept"] is False
    logged("s", lambda: api.log_input("secret.csv"))  # now somebody has kept it
    assert "hash only" not in mlgit("lineage", "secret.csv").stdout + mlgit("data", "ls").stdout
    (shown,) = content("data.show", "data", "show", "secret.csv")
    assert [use["kept"] for use in shown["used"]] == [True, False]


def test_a_table_is_the_same_however_it_was_kept(repo: Path) -> None:
    table = numpy.arange(12.0).reshape(4, 3)
    logged("kept", lambda: api.log_input(table, name="grid"))
    logged("hashed", lambda: api.log_input(table, name="grid", keep=False))
    kept = api.get_run("kept").inputs[0]
    assert kept.md5 != kept.content
    found = api.get_lineage(kept)
    assert sorted(names(found.downstream("run"))) == ["hashed", "kept"]
    assert [edge.kind for edge in found.edges if edge.subject.startswith("data:")] == ["same-as"]
    assert "the same as grid" in mlgit("lineage", f"data:{kept.md5}").stdout
    # Also from the bytes, wherever they went.
    mlgit("data", "pull", str(kept.md5), "-o", "restored.parquet")
    assert sorted(names(api.get_lineage("restored.parquet").downstream("run"))) == [
        "hashed", "kept"
    ]  # fmt: skip


def test_a_dataset_is_shown_with_its_profile(repo: Path) -> None:
    pytest.importorskip("pyarrow", reason="pip install pyarrow")
    (repo / "t.csv").write_text("age,city\n31,Oslo\n46,Oslo\n,Bergen\n")
    logged("read", lambda: api.log_input("t.csv"))
    shown = mlgit("data", "show", "t.csv").stdout
    assert "\nRows:  3\n" in shown
    assert shown.endswith(
        """
Columns
NAME  TYPE    NULLS  DISTINCT  MIN  MAX  MEAN
age   int64       1         2  31   46   38.5
city  string      0         2  -    -    -
"""
    )
    (found,) = content("data.show", "data", "show", "t.csv")
    assert [column["name"] for column in found["profile"]["columns"]] == ["age", "city"]


def test_only_a_hash_cannot_be_fetched(repo: Path) -> None:
    (repo / "t.csv").write_text("a\n1\n")
    logged("hashed", lambda: api.log_input("t.csv", keep=False))
    for x in ("t.csv", str(api.get_run("hashed").inputs[0].md5)):
        done = mlgit("data", "pull", x)
        assert done.exit_code == 1
        assert done.stderr.startswith(
            "Error: no run kept the bytes of 't.csv', only its hash\nHint: "
        )
    logged("kept", lambda: api.log_input("t.csv"))
    assert mlgit("data", "pull", "t.csv").exit_code == 0


def test_runs_are_compared_by_each_of_their_inputs(
    repo: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_inputs import _Handler

    def read(*last: int) -> Callable[[], None]:
        def act() -> None:
            api.log_input(numpy.array([1, 2]), role="train", keep=False)
            api.log_input(numpy.array(last), role="test", keep=False)
            api.log_input(f"http://{server}/t.csv")

        return act

    logged("one", read(3))
    monkeypatch.setattr(_Handler, "body", b"")
    logged("same", read(3))
    logged("other", read(4))
    assert mlgit("diff", "one", "same").stdout.split("\n", 3)[3] == ""
    monkeypatch.setattr(_Handler, "etag", '"6a-2"')
    logged("moved", read(3))
    shown = mlgit("diff", "one", "other").stdout
    assert re.search(
        r"inputs\.array \(test\) +[0-9a-f]{12} hash only +[0-9a-f]{12} hash only", shown
    )
    assert "(train)" not in shown and "t.csv" not in shown
    fields = content("diff", "diff", "one", "moved")["fields"]
    assert [each.split()[1] for each in fields["inputs.t.csv"]] == ['"5f-1"', '"6a-2"']
    assert '/t.csv "5f-1"' in mlgit("diff", "one", "moved").stdout


def test_other_versions_of_a_file_that_lies_here_are_told(repo: Path) -> None:
    for number in range(3):
        (repo / "my data.csv").write_text(f"a\n{number}\n")
        logged(f"run {number}", lambda: api.log_input("my data.csv"))
    shown = mlgit("data", "show", "my data.csv").stdout
    assert "\nAlso:  2 other versions (mlgit data show 'data:my data.csv')\n" in shown
    every = mlgit("data", "show", "data:my data.csv").stdout
    assert every.startswith("VERSION") and "Also" not in every


def test_an_address_is_the_same_if_its_server_says_so(repo: Path, server: str) -> None:
    url = f"http://{server}/t.csv"
    logged("fetched", lambda: api.log_input(url, fetch=True))
    logged("named", lambda: api.log_input(f"http://ada:unsaid-pw@{server}/t.csv?token=1"))
    for x in (url, f"{url}?token=2", api.get_run("named").inputs[0], "t.csv"):
        assert sorted({*names(api.get_lineage(x).downstream("run"))}) == ["fetched", "named"], x
    with pytest.raises(NotFound, match="no data and no run is called"):
        api.get_lineage(f"http://{server}/other.csv")
    shown = mlgit("lineage", "named").stdout
    assert "t.csv  12 B  5f-1  address only" in shown and "unsaid-pw" not in shown
    assert re.search(r"^t\.csv .* 5f-1 .* address only$", mlgit("data", "ls").stdout, re.MULTILINE)
    done = mlgit("data", "pull", f'data:{url} "5f-1" Sun, 22 Nov 2026 20:00:00 GMT')
    assert done.exit_code == 1
    assert done.stderr.startswith(
        "Error: no run kept the bytes of 't.csv', only its address\nHint: "
    )
    found = content("lineage", "lineage", url)
    for root in found["roots"]:  # an id as it is shown is understood
        assert root in content("lineage", "lineage", root)["roots"]


def test_weak_words_of_a_server_join_nothing() -> None:
    from mlgit.ledger import pointers

    def same(**told: Any) -> Any:
        pointer = Pointer(
            path="t", md5="a" * 32, size=1, stored="dvc", url="http://x.org/t", **told
        )
        return pointers._same(pointer)

    assert same(etag='"1"') == 'http://x.org/t "1"' and same(version="v1") == "http://x.org/t v1"
    assert same(etag='W/"1"') is same(modified="Sun, 22 Nov 2026 20:00:00 GMT") is same() is None


# --- DVC -----------------------------------------------------------------------------------------


def test_the_pipeline_that_made_an_input(repo: Path) -> None:
    def dvc(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "dvc", arguments[0], "--quiet", *arguments[1:]],
                       check=True)  # fmt: skip

    dvc("init")
    (repo / "raw.csv").write_text("a\n1\n2\n")
    (repo / "prepare.py").write_text(
        "import pathlib\npathlib.Path('clean.csv').write_text('a\\n1\\n')\n"
    )
    dvc("stage", "add", "-n", "prepare", "-d", "raw.csv", "-d", "prepare.py", "-o", "clean.csv",
        sys.executable, "prepare.py")  # fmt: skip
    dvc("repro")
    git("add", "dvc.yaml", "dvc.lock", "prepare.py", ".gitignore", ".dvc")
    git("commit", "--quiet", "--message", "a pipeline")
    with api.start_run(name="train", capture=("code",)):
        pointer = api.log_input("clean.csv", role="train")
        api.log_text("x" * 10, "out.txt")
    found = api.get_lineage("raw.csv")
    assert names(found.downstream("stage")) == ["prepare"]
    assert [node.label for node in found.downstream("run")] == ["default/train"]
    up = api.get_lineage("train", down=False)
    assert sorted(names(up.upstream("dataset"))) == ["clean.csv", "prepare.py", "raw.csv"]
    # The stage's other data are the user's own, of which nothing was kept or not.
    raw = next(node for node in up.upstream("dataset") if node.label == "raw.csv")
    assert "kept" not in raw.facts and store.has(repo / ".dvc/cache", str(pointer.md5))
    dvc("remove", "prepare")
    (repo / "clean.csv").unlink(missing_ok=True)
    assert names(api.get_lineage("train").upstream("stage")) == ["prepare"]
