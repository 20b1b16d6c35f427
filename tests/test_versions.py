"""Version commits: what stands in them, and that plain DVC fetches from them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from conftest import git, make_run, new_key, sign_with
from hypothesis import given
from hypothesis import strategies as st
from peers import dvc

import mlgit
from mlgit import names, tags, versions
from mlgit.cli import cli
from mlgit.data.pointers import read_pointer
from mlgit.data.remote import Remote
from mlgit.errors import NotFound
from mlgit.ledger import Ledger
from mlgit.records import Pointer

MD5 = "0" * 32
TAG = "run/baseline"


def pointer(path: str, **fields: Any) -> Pointer:
    return Pointer(**({"path": path, "md5": MD5, "size": 1, "stored": "dvc"} | fields))


def type_(command: str, code: int = 0) -> str:
    done = CliRunner().invoke(cli, command.split(), prog_name="mlgit")
    assert done.exit_code == code, done.output + repr(done.exception)
    return done.output


# --- which files, which bytes --------------------------------------------------------------------


def test_the_files_of_a_version() -> None:
    model = pointer("out/model", md5=f"{MD5}.dir", files=2, kind="model")
    run = make_run(
        inputs=[pointer("data/2021-01.parquet", role="train"), pointer("x.csv", stored=None)],
        outputs=[
            model,
            pointer("plots/a.bin", kind="file"),
            pointer("note.txt", stored="git", kind="text"),
            pointer("metrics.json", kind="history"),
        ],
    )
    remote = Remote("storage", "s3://data/mlgit", {"region": "eu-west-1"}, True)
    found = versions.files(run, b"the record", model, [remote], "churn", "Who: leaves")
    assert sorted(found) == [
        *(".dvc/config", ".dvcignore", "artifacts/plots/a.bin.dvc", "data/train.parquet.dvc"),
        *("dvc.yaml", "model.dvc", "run.json"),
    ]
    assert found["run.json"] == b"the record"
    (tracked,) = read_pointer(found["model.dvc"], "model.dvc")
    assert (tracked.path, tracked.hash.md5, tracked.hash.files) == ("model", f"{MD5}.dir", 2)
    (tracked,) = read_pointer(found["artifacts/plots/a.bin.dvc"], "it")
    assert tracked.path == "a.bin"
    assert yaml.safe_load(found["dvc.yaml"]) == {
        "artifacts": {"churn": {"path": "model", "type": "model", "desc": "Who: leaves"}}
    }
    assert b"url = s3://data/mlgit\n" in found[".dvc/config"]


def test_a_model_on_the_branch_stands_as_it_is() -> None:
    rules = pointer("rules.txt", stored="git", kind="text")
    found = versions.files(make_run(outputs=[rules]), b"", rules, [], content=b"if x: y")
    assert found["model"] == b"if x: y" and "model.dvc" not in found


def test_names_of_data() -> None:
    inputs = [
        pointer("a/x.csv", role="train"),
        pointer("b/x.csv", role="train"),
        pointer("b/x.csv", role="test"),
        pointer("c/y.csv", name="trips / NYC 🚕"),
        pointer("raw", md5=f"{MD5}.dir", name="raw/*.png", origin="glob"),
        pointer("no", role="null"),
        pointer("d", role="../.."),
        pointer("u", md5=None, size=None, stored=None, origin="url", url="http://x"),
    ]
    assert [name for name, _ in versions.data_names(inputs)] == [
        *("x.csv", "x-2.csv", "test.csv", "trips _ NYC .csv", "raw", "null", "data"),
    ]


@given(st.lists(st.tuples(st.text(min_size=1), st.none() | st.text(min_size=1)), max_size=8))
def test_any_names_give_pointers_that_can_be_read(said: list[tuple[str, str | None]]) -> None:
    inputs = [pointer("x.csv", name=name, role=role) for name, role in said]
    found = versions.data_names(inputs)
    assert len({name.lower() for name, _ in found}) == len(inputs)
    for name, item in found:
        assert names.is_safe_component(f"{name}.dvc") and len(name) <= 100
        record = versions.files(make_run(inputs=[item]), b"", None, [])
        ((path, content),) = [(p, c) for p, c in record.items() if p.startswith("data/")]
        (tracked,) = read_pointer(content, path)
        assert f"data/{tracked.path}.dvc" == path


def test_which_output_is_the_model() -> None:
    one, two = pointer("a", kind="model"), pointer("b", kind="model")
    other = pointer("c", kind="file")
    assert versions.model_output(make_run(outputs=[other, one])) == one
    assert versions.model_output(make_run(outputs=[other])) is None
    assert versions.model_output(make_run(outputs=[one, two, other]), "c") == other
    with pytest.raises(NotFound, match="has 2 models"):
        versions.model_output(make_run(outputs=[one, two]))
    with pytest.raises(NotFound, match="has no artifact 'd'"):
        versions.model_output(make_run(outputs=[one]), "d")


# --- pin -----------------------------------------------------------------------------------------


def train(name: str = "baseline") -> str:
    Path("data").mkdir(exist_ok=True)
    Path("data/train.csv").write_text("a,b\n1,2\n")
    Path("model").mkdir(exist_ok=True)
    Path("model/weights.bin").write_bytes(b"\0weights")
    Path("model/about.txt").write_text("trained\n")
    with mlgit.start_run("exp", name) as run:
        run.log_input("data/train.csv", role="train")
        run.log_model("model")
    return run.id


def test_a_pin_is_a_small_commit_on_top_of_the_code(repo: Path) -> None:
    (repo / "train.py").write_text("print('uncommitted')\n")
    run_id = train()
    said = type_("pin baseline")
    assert said.splitlines()[0] == f"Pinned {run_id[:10]} as {TAG}. With plain DVC, from REPO:"
    assert "  dvc get REPO model --rev run/baseline" in said
    assert git("cat-file", "-t", TAG) == "tag\n"
    code = mlgit.get_run(run_id).record.source.snapshot
    assert git("rev-parse", f"{TAG}^").strip() == code
    assert git("show", f"{TAG}^:train.py") == "print('uncommitted')\n"
    path = names.run_file(run_id, names.RUN_FILE)
    assert git("show", f"{TAG}:run.json") == git("show", f"mlgit:{path}")
    git("merge-base", "--is-ancestor", f"{TAG}^{{commit}}", "mlgit")  # the ledger keeps it
    assert git("tag", "--merged", "mlgit") == f"{TAG}\n"
    assert "there is a git tag run/baseline already" in type_("pin baseline", 1)
    assert "mlgit pin baseline --name NAME" in type_("pin baseline", 1)
    (again,) = json.loads(type_("pin baseline --name again --json")).values()
    assert (
        again["tag"] == "run/again" and again["commit"] != git("rev-parse", f"{TAG}^{{}}").strip()
    )
    assert again["files"] == ["data/train.csv.dvc", "model.dvc", "run.json"]
    assert git("fsck", "--strict") == ""


def test_names_that_git_would_not_take(repo: Path) -> None:
    train("größe #1 ..~^:")
    type_("pin @latest")
    (tag,) = git("tag").split()
    assert tag == tags.pin("größe #1 ..~^:") and tags.is_pin(tag)


def test_code_that_is_not_to_be_kept_is_no_parent(repo: Path) -> None:
    git("config", "mlgit.code", "sha")
    train()
    type_("pin baseline")
    assert git("rev-list", "--count", TAG) == "1\n"


def test_a_pin_in_a_worktree_a_bare_and_a_shallow_clone(
    repo: Path, tmp_path: Path, bare: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    train()
    git("worktree", "add", "--quiet", "--detach", tmp_path / "tree")
    git("remote", "add", "origin", bare())
    git("push", "--quiet", "origin", "main", "mlgit")
    git("clone", "--quiet", "--depth=1", "--no-single-branch", f"file://{tmp_path}/remote.git", "s")
    git("clone", "--quiet", "--bare", tmp_path / "remote.git", tmp_path / "naked")
    for place in ("tree", "project/s", "naked"):
        monkeypatch.chdir(tmp_path / place)
        type_(f"pin baseline --name {place.replace('/', '-')}")
        assert "model.dvc" in git("ls-tree", "--name-only", tags.pin(place.replace("/", "-")))


def test_a_pin_is_signed_where_git_signs(repo: Path, hermetic: Path) -> None:
    sign_with(new_key(hermetic / "key"), "tag", "commit")
    train()
    type_("pin baseline")
    assert "BEGIN SSH SIGNATURE" in git("cat-file", "tag", TAG)
    assert "BEGIN SSH SIGNATURE" in git("cat-file", "commit", f"{TAG}^{{commit}}")


# --- plain DVC -----------------------------------------------------------------------------------


def publish(repo: Path, remote: Path) -> None:
    """A pinned run, registered as a model too, sent to a bare repository and a data remote."""
    train()
    type_("pin baseline")
    with Ledger() as ledger:
        run = mlgit.get_run("baseline").record
        model = versions.model_output(run)
        commit = versions.build(ledger, run, model, "churn v1\n", model="churn")
    git("tag", "-a", "-m", "churn v1", "churn@v1.0.0", commit)
    time.sleep(1)  # GTO orders by whole seconds
    git("tag", "-a", "-m", "production", "churn#production#1", commit)
    git("remote", "add", "origin", remote)
    git("push", "--quiet", "origin", "main")
    type_("push --yes")


def check_with_dvc(remote: Path, tmp_path: Path) -> None:
    """Every way in which plain DVC reads a revision of a repository, from the bare remote."""
    out = tmp_path / "got"
    out.mkdir()
    dvc("get", remote, "model", "--rev", TAG, "--out", out / "model", cwd=tmp_path)
    assert (out / "model/weights.bin").read_bytes() == b"\0weights"
    assert (out / "model/about.txt").read_text() == "trained\n"
    dvc("get", remote, "data/train.csv", "--rev", TAG, "--out", out / "t.csv", cwd=tmp_path)
    assert (out / "t.csv").read_text() == "a,b\n1,2\n"
    listed = dvc("list", remote, "--rev", TAG, "--recursive", "--dvc-only", cwd=tmp_path).split()
    assert listed == ["data/train.csv", "model/about.txt", "model/weights.bin"]
    dvc("artifacts", "get", remote, "churn", "--out", out / "newest", cwd=tmp_path)
    assert (out / "newest/weights.bin").read_bytes() == b"\0weights"
    stage = ("--stage", "production", "--out", out / "staged")
    dvc("artifacts", "get", remote, "churn", *stage, cwd=tmp_path)
    assert (out / "staged/about.txt").read_text() == "trained\n"
    own = tmp_path / "own"
    git("init", "--quiet", own)
    dvc("init", "--quiet", cwd=own)
    dvc("import", "--rev", TAG, remote, "data/train.csv", cwd=own)
    assert (own / "train.csv").read_text() == "a,b\n1,2\n"
    from dvc.api import open as dvc_open

    with dvc_open("model/weights.bin", repo=str(remote), rev=TAG, mode="rb") as file:
        assert file.read() == b"\0weights"


def tell_dvc(*settings: str) -> None:
    dvc("config", "--global", *settings, cwd=Path.home())


def test_dvc_looks_at_no_folder_of_the_branch(repo: Path) -> None:
    from dvc.fs import GitFileSystem
    from dvc.ignore import DvcIgnoreFilter

    train()
    branch = GitFileSystem(str(repo), rev="mlgit")
    assert "/runs" in branch.ls("/", detail=False)
    walked = DvcIgnoreFilter(branch, "/").walk(branch, "/")
    assert [(root, folders) for root, folders, _ in walked] == [("/", [])]


def test_plain_dvc_with_a_folder(repo: Path, bare: Callable[..., Path], tmp_path: Path) -> None:
    type_(f"remote add store {tmp_path / 'store'}")
    remote = bare()
    publish(repo, remote)
    option = f"--remote-config=url={tmp_path / 'store' / 'mlgit'}"
    dvc("get", remote, "model", "--rev", TAG, "--out", "once", option, cwd=tmp_path)
    assert (tmp_path / "once/weights.bin").read_bytes() == b"\0weights"
    tell_dvc("remote.store.url", str(tmp_path / "store" / "mlgit"))
    check_with_dvc(remote, tmp_path)


def test_plain_dvc_with_s3(repo: Path, bare: Callable[..., Path], tmp_path: Path, s3: str) -> None:
    type_(f"remote add store s3://data/x --option endpointurl={s3} --option region=us-east-1")
    remote = bare()
    publish(repo, remote)
    check_with_dvc(remote, tmp_path)


def test_plain_dvc_with_ssh(
    repo: Path, bare: Callable[..., Path], tmp_path: Path, ssh: Remote, hermetic: Path
) -> None:
    type_(f"remote add box {ssh.url.removesuffix('/mlgit').replace('behind ssh', 'behind')}")
    remote = bare()
    publish(repo, remote)
    check_with_dvc(remote, tmp_path)
