"""The registry: what people do to models, what it adds up to, and what GTO makes of it."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click.testing
import pytest
from click.testing import CliRunner
from conftest import allow, git, make_run, new_key, sign_with
from hypothesis import given
from hypothesis import strategies as st
from peers import dvc
from ruamel.yaml import YAML

import mlgit
from mlgit import names, records, registry, saved, tags
from mlgit.cli import cli
from mlgit.ledger import Ledger, append, open_repository
from mlgit.registry import events
from mlgit.registry.events import Event
from mlgit.registry.fold import fold, semver_key


def type_(*command: str, code: int = 0) -> click.testing.Result:
    words = command[0].split() + list(command[1:])
    done = CliRunner().invoke(cli, ["model", *words], prog_name="mlgit")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == code, done.output
    return done


def json_of(*command: str) -> Any:
    (content,) = json.loads(type_(*command, "--json").stdout).values()
    return content


def train(name: str = "baseline", rmse: float = 7.0) -> str:
    Path("model").mkdir(exist_ok=True)
    Path("model/w.bin").write_bytes(b"\0" + name.encode())
    Path("train.csv").write_text("a\n1\n")
    with mlgit.start_run("exp", name, capture=["code"], params={"lr": rmse / 10}) as run:
        run.log_input("train.csv", role="train")
        run.log_metric("rmse", rmse)
        run.log_model("model")
    return run.id


def stages(model: str = "churn") -> dict[str, Any]:
    return {v["short"]: v["stage"] for v in json_of(f"show {model}")["versions"]}


@pytest.fixture
def churn(repo: Path) -> Path:
    """A model with two versions."""
    train("one", 7.0)
    type_("register churn one")
    (repo / "train.py").write_text("print('better')\n")
    git("commit", "--quiet", "--all", "--message", "better")
    train("two", 6.5)
    type_("register churn two -m", "lower error")
    return repo


# --- MLflow's registry workflow, bullet by bullet ------------------------------------------------


def test_the_workflow_of_mlflow(churn: Path, tmp_path: Path) -> None:
    # add a model, and a second version of it
    assert git("tag").split() == ["churn@v1.0.0", "churn@v2.0.0"]
    assert git("cat-file", "-t", "churn@v1.0.0") == "tag\n"
    # fetch one
    done = type_(f"pull models:/churn/2 -o {tmp_path / 'got'}")
    assert done.stderr == f"Wrote churn@v2 to {tmp_path / 'got'}\n"
    assert (tmp_path / "got/w.bin").read_bytes() == b"\0two"
    # describe a model and a version, tag them
    type_("describe churn -m", "Who **leaves**")
    type_("describe churn@v2 -m", "without postcodes")
    type_("tag churn team=growth")
    type_("tag churn@v2 audited=yes checked=")
    type_("untag churn@v2 checked")
    shown = json_of("show churn")
    assert (shown["description"], shown["tags"]) == ("Who **leaves**", {"team": "growth"})
    assert shown["versions"][0]["description"] == "without postcodes"
    assert shown["versions"][0]["tags"] == {"audited": "yes"}
    # transition between stages, in MLflow's spelling too
    type_("promote churn@1 Production -m", "first")
    type_("promote churn@v2 Staging")
    assert stages() == {"v1": "production", "v2": "staging"}
    type_("promote models:/churn/Staging PRODUCTION --archive-existing -m", "better")
    assert stages() == {"v1": "archived", "v2": "production"}
    assert json_of("show models:/churn/Production")["version"] == "v2.0.0"
    type_("demote churn@v2")
    assert json_of("show models:/churn/None")["version"] == "v2.0.0"
    # list and search
    assert type_("ls").stdout.splitlines()[1].split()[:3] == ["churn", "v2", "-"]
    found = json_of("search", "metrics.rmse < 7 and tags.team = growth and params.lr > 0.1")
    assert [version["short"] for version in found] == ["v2"]
    assert [v["short"] for v in json_of("search", "stage = archived")] == ["v1"]
    # aliases
    type_("alias churn@v1 champion")
    type_("alias churn@v2 champion")
    assert json_of("show churn@champion")["short"] == "v2"
    type_("unalias churn champion")
    # rename: the old name keeps answering
    type_("rename churn leaving")
    assert "is called leaving now" in type_("show churn").stderr
    assert json_of("show leaving@v1")["model"] == "leaving"
    # archive
    type_("archive leaving@v2")
    assert stages("leaving") == {"v1": "archived", "v2": "archived"}
    # delete a version and the model, and bring both back
    type_("rm leaving@v1 -m", "leaked")
    assert "was withdrawn" in type_("show leaving@v1", code=1).stderr
    type_("restore leaving@v1")
    assert stages("leaving") == {"v1": None, "v2": "archived"}
    type_("rm leaving")
    assert type_("ls").stdout == "" and "deprecated" in type_("ls --all").stdout
    type_("restore leaving")
    assert "leaving" in type_("ls").stdout
    # a model saved outside, and one that nothing here can open
    (churn / "foreign.onnx").write_bytes(b"\x08\x07opaque")
    type_("register other foreign.onnx")
    outside = json_of("show other@v1")
    assert mlgit.get_run(outside["run"]).tags == {"mlgit.imported": "foreign.onnx"}
    type_(f"pull other@latest -o {tmp_path / 'o.onnx'}")
    assert (tmp_path / "o.onnx").read_bytes() == b"\x08\x07opaque"


def test_python_reads_it(churn: Path, tmp_path: Path) -> None:
    type_("promote churn@v1 production")
    assert [model.title for model in registry.models()] == ["churn"]
    version = registry.get("churn@production")
    assert (version.name, version.stage) == ("churn@v1", "production")
    assert mlgit.get_run(str(version.run)).name == "one"
    assert registry.model("churn").latest == registry.get("churn@latest")
    registry.download("churn@v2", tmp_path / "m")
    assert (tmp_path / "m/w.bin").read_bytes() == b"\0two"
    with pytest.raises(mlgit.NotFound, match="names no version"):
        registry.get("churn")


def test_history_says_who_did_what_when_and_why(churn: Path) -> None:
    type_("promote churn@v1 production -m", "first")
    git("config", "user.name", "Bo Beispiel")
    type_("promote churn@v2 production -m", "beats v1 by 7 %")
    told = json_of("history churn")
    assert [event["tag"] for event in told] == [
        *("churn@v1.0.0", "churn@v2.0.0", "churn#production#1"),
        *("churn#production!#2", "churn#production#3"),
    ]
    assert [event["by"]["name"] for event in told][2:] == ["Ada Example", *["Bo Beispiel"] * 2]
    assert told[-1]["reason"] == "beats v1 by 7 %" and told[-1]["version"] == "v2.0.0"
    assert [e["tag"] for e in json_of("history churn@v1")] == [
        *("churn@v1.0.0", "churn#production#1", "churn#production!#2")
    ]
    text = type_("history churn").stdout
    assert "Bo Beispiel" in text and "v2 → production" in text and "v1 leaves production" in text


def test_as_of(churn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = events.time.time()
    for day, version in ((1, "churn@v1"), (3, "churn@v2")):
        monkeypatch.setattr(events.time, "time", lambda day=day: base + day * 86400)
        type_(f"promote {version} production")
    between = names.timestamp(base + 2 * 86400)[:10]
    assert json_of(f"show churn@production --as-of {between}")["short"] == "v1"
    assert json_of("show churn@production")["short"] == "v2"
    assert "no stage" in type_(f"show churn@v2 --as-of {between}").stdout
    type_("show churn@production --as-of 2020-01-01", code=1)
    compared = json_of(f"diff churn@production churn@v2 --as-of {between}")
    assert compared["versions"] == ["churn@v1", "churn@v2"]
    type_(f"pull churn@production --as-of {between} -o then")
    type_("pull churn@v1 -o first")
    then, first = (
        {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*.*")}
        for place in (Path("then"), Path("first"))
    )
    assert then == first != {}
    type_("pull churn@production --as-of 2020-01-01 -o before", code=1)
    type_("ls --as-of yesterday", code=2)
    assert [e["tag"] for e in json_of("events --since churn#production#1")] == [
        *("churn#production!#2", "churn#production#3")
    ]
    assert len(json_of("events --since HEAD")) <= len(json_of("events"))
    assert [e["tag"] for e in json_of(f"events --as-of {between}")] == [
        *("churn@v1.0.0", "churn@v2.0.0", "churn#production#1")
    ]


def test_diff_of_two_versions(churn: Path) -> None:
    fields = json_of("diff churn@v1 churn@v2")["fields"]
    assert fields["metrics.rmse"] == [7.0, 6.5] and fields["params.lr"] == [0.7, 0.65]
    assert "outputs.model" in fields and "inputs.train.csv" not in fields
    said = type_("diff churn@v1 churn@v2").stderr
    command = said.strip().partition("git diff ")[2].split()
    assert "better" in git("diff", *command)
    assert "better" in git("diff", "churn@v1.0.0^", "churn@v2.0.0^")


# --- bad input -----------------------------------------------------------------------------------


def test_what_is_unknown_is_said_with_the_nearest_names(churn: Path) -> None:
    for command, words in {
        "show chrun": "there is no model 'chrun'",
        "show churn@v3": "has no version, stage or alias 'v3'",
        "show churn@prodction": "has no version, stage or alias",
        "promote churn@v1 prod": "there is no stage 'prod'",
        "promote churn production": "names no version",
        "register churn nobody": "nobody",
        "register churn one:other": "has no artifact 'other'",
        "demote churn@v1": "is in no stage",
        "unalias churn champion": "has the alias 'champion'",
        "restore churn@v1": "was not withdrawn",
        "restore churn": "is not deprecated",
        "register CHURN one": "differs only in case",
        "register churn one --version v2": "has a version v2.0.0 already",
        "register churn one --version two": "is no version",
        "alias churn@v1 production": "cannot be an alias",
        "alias churn@v1 v2": "cannot be an alias",
        "alias churn@v1 a@b": "cannot be the name of an alias",
        "untag churn nothing": "there is no tag 'nothing'",
    }.items():
        done = type_(command, code=1)
        assert words in done.stderr and done.stderr.startswith("Error: "), (command, done.stderr)
    assert "did you mean churn?" in type_("show chrun", code=1).stderr
    before = git("tag")
    type_("promote churn@v1 staging")
    assert "is in staging already" in type_("promote churn@v1 staging", code=1).stderr
    assert len(git("tag").split()) == len(before.split()) + 1


def test_a_run_without_a_model(repo: Path) -> None:
    with mlgit.start_run("exp", "bare", capture=()) as run:
        run.log_text("x", "note.txt")
    assert "has no model" in type_("register churn bare", code=1).stderr
    type_("register churn bare:note.txt")  # a text is a model if somebody says so
    assert git("show", "churn@v1.0.0:model") == "x"
    type_("pull churn@v1 -o note")
    assert Path("note").read_text() == "x"


def test_names_that_gto_cannot_carry(repo: Path) -> None:
    train()
    type_("register", "größe 2 #1", "baseline")
    assert git("tag").strip() == "gr%C3%B6%C3%9Fe%202%20%231@v1.0.0"
    type_("promote", "größe 2 #1@v1", "production")
    assert json_of("show", "größe 2 #1@production")["model"] == "größe 2 #1"
    train("other")
    type_("register", "team/churn", "other")
    assert "team/churn@v1.0.0" in git("tag")


def test_forged_and_foreign_tags_change_nothing_and_are_told(churn: Path) -> None:
    commit = git("rev-parse", "churn@v1.0.0^{commit}").strip()
    git("tag", "churn#production#1", commit)  # lightweight
    git("tag", "-a", "-m", "a tag of a tag", "churn#staging#2", "churn@v1.0.0")
    git("tag", "-a", "-m", "elsewhere", "churn#staging#3", "HEAD")
    git("tag", "-a", "-m", "another", "churn@v1.0.0!#4", commit)
    git("tag", "-a", "-m", "withdrawn before", "churn#staging#5", commit)
    git("tag", "-a", "-m", "mine", "v1.0", "HEAD")
    git("tag", "-a", "-m", "nobody", "other@v7.0.0!#1", "HEAD")
    told = {e["tag"]: e["problem"] for e in json_of("history churn")}
    assert "is no version of churn" in told["churn#staging#3"]
    assert "was withdrawn before" in told["churn#staging#5"]
    assert set(told) == {
        *("churn@v1.0.0", "churn@v2.0.0", "churn#staging#3", "churn@v1.0.0!#4", "churn#staging#5")
    }
    assert stages() == {"v2": None, "v1": None}
    type_("promote churn@v2 production")
    assert "churn#production#6" in git("tag")  # one more than the highest known
    said = CliRunner().invoke(cli, ["doctor"]).output
    assert "the git tag churn#staging#3 changes nothing" in said
    assert "other@v7.0.0!#1" in said


def test_a_clock_that_goes_backwards(churn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    type_("promote churn@v1 production")
    now = events.time.time()
    monkeypatch.setattr(events.time, "time", lambda: now - 86400)
    type_("promote churn@v2 production")
    assert stages() == {"v1": None, "v2": "production"}
    whens = [event.when for event in events.load(open_repository(), "churn")]
    assert whens[2:] == sorted(set(whens[2:]))  # for GTO, which knows only times


def test_tags_of_one_promotion_appear_together_or_not_at_all(churn: Path) -> None:
    type_("promote churn@v1 production")
    git("tag", "-a", "-m", "in the way", "churn#production#3", "HEAD")
    git("tag", "-d", "churn#production#3")
    before = git("tag")
    (churn / ".git/refs/tags/churn#production#3.lock").touch()
    assert "cannot be made" in type_("promote churn@v2 production", code=1).stderr
    assert git("tag") == before
    (churn / ".git/refs/tags/churn#production#3.lock").unlink()
    type_("promote churn@v2 production")


def test_versions_are_ordered_as_semver_says() -> None:
    ordered = (
        "v1.0.0-alpha v1.0.0-alpha.1 v1.0.0-beta.2 v1.0.0-beta.11 v1.0.0 v1.2.0 v1.10.0 v2.0.0"
    )
    mixed = sorted(ordered.split())
    assert sorted(mixed, key=semver_key) == ordered.split() != mixed


# --- signatures ----------------------------------------------------------------------------------


def test_tags_are_signed_where_git_signs(churn: Path, hermetic: Path) -> None:
    key = new_key(hermetic / "key")
    sign_with(key, "tag")
    allow(hermetic / "allowed", ada=key)
    type_("promote churn@v1 production")
    type_("promote churn@v2 production -m", "signed reason")
    for tag in ("churn#production#1", "churn#production!#2", "churn#production#3"):
        git("verify-tag", tag)
    told = json_of("history churn")
    assert [event["signed"] for event in told] == [False, False, True, True, True]
    assert told[-1]["reason"] == "signed reason"
    assert stages() == {"v1": None, "v2": "production"}
    git("config", "user.signingkey", "/nowhere")
    before = git("tag")
    assert "could not sign" in type_("promote churn@v1 production", code=1).stderr
    assert git("tag") == before


# --- GTO -----------------------------------------------------------------------------------------


def gto(*args: str) -> str:
    done = subprocess.run([sys.executable, "-m", "gto.cli", *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def gto_state() -> dict[str, dict[str, Any]]:
    """Returns model: {version: stages} as GTO sees it."""
    found: dict[str, dict[str, Any]] = {}
    for name in json.loads(gto("show", "--json")) or {}:
        rows = json.loads(gto("show", name, "--json"))
        found[name] = {row["version"]: sorted(s["stage"] for s in row["stages"]) for row in rows}
    return found


def our_state() -> dict[str, dict[str, Any]]:
    """The same as we see it; of the archived GTO shows the highest version alone."""
    found = _our_state()
    for versions in found.values():
        archived = sorted((v for v in versions if "archived" in versions[v]), key=semver_key)
        for version in archived[:-1]:
            versions[version].remove("archived")
    return found


def _our_state() -> dict[str, dict[str, Any]]:
    return {
        m["git_name"]: {
            v["version"]: sorted([*filter(None, [v["stage"]]), *v["aliases"]])
            for v in m["versions"]
            if not v["withdrawn"]
        }
        for m in json_of("ls")
    }


def test_gto_agrees_with_every_state(churn: Path) -> None:
    train("three", 6.0)
    for command in (
        "promote churn@v1 production",
        "promote churn@v2 staging",
        "promote churn@v2 production",
        "alias churn@v2 champion",
        "alias churn@v1 champion",
        "register churn three",
        "promote churn@v1 production",  # an older version comes back
        "promote churn@v3 production --archive-existing",
        "demote churn@v3",
        "archive churn@v2",
        "unalias churn champion",
        "rm churn@v3",
        "restore churn@v3",
        "register other three",
    ):
        type_(command)
        assert gto_state() == our_state(), command
    assert "churn" in gto("history", "churn")
    assert gto("check-ref", "refs/tags/churn@v1.0.0", "--json")
    type_("rm other")
    assert "other" not in gto("show")


def test_a_new_version_brings_a_deprecated_model_back(churn: Path) -> None:
    def is_active() -> bool:
        """Tells whether GTO takes the model for active; its commands show it either way."""
        ask = (
            "import gto.registry as r, sys\n"
            "with r.GitRegistry.from_url('.') as found:\n"
            "    sys.stdout.write(str(found.get_artifacts()['churn'].is_active))\n"
        )
        said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
        assert said.returncode == 0, said.stderr
        return said.stdout == "True"

    assert is_active() and "churn" in type_("ls").stdout
    type_("rm churn")
    assert not is_active() and type_("ls").stdout == ""
    train("three", 6.0)
    type_("register churn three")  # a git tag without a number
    assert is_active() and "churn" in type_("ls").stdout
    assert json_of("show churn")["deprecated"] is False
    type_("rm churn")
    assert not is_active() and json_of("show churn")["deprecated"] is True
    type_("promote churn@v3 staging")
    assert is_active() and json_of("show churn")["deprecated"] is False


def test_tags_that_gto_makes_are_ours(churn: Path) -> None:
    commit = git("rev-parse", "churn@v1.0.0^{commit}").strip()
    gto("assign", "churn", commit, "--stage", "production", "--message", "by gto")
    gto("register", "foreign", "HEAD", "--version", "v0.3.0", "--message", "theirs")
    assert json_of("show churn@production")["short"] == "v1"
    version = json_of("show foreign@latest")
    assert (version["version"], version["run"]) == ("v0.3.0", None)
    assert gto_state() == our_state()
    type_("promote churn@v2 production")
    assert stages() == {"v1": None, "v2": "production"}
    assert gto_state() == our_state()
    assert json_of("history churn")[2]["reason"] == ""
    assert "names no data" in type_("pull foreign@latest -o x", code=1).stderr


def test_dvc_gets_a_stage(churn: Path, tmp_path: Path, bare: Callable[..., Path]) -> None:
    remote = bare()
    git("remote", "add", "origin", remote)
    runner = CliRunner()
    runner.invoke(cli, ["remote", "add", "store", str(tmp_path / "store")])
    train("three", 6.0)
    type_("register churn three")  # version commits name the remotes as they stand
    type_("promote churn@v3 production")
    assert runner.invoke(cli, ["push", "--yes"]).exit_code == 0
    git("push", "--quiet", "origin", "main")
    dvc("config", "--global", "remote.store.url", tmp_path / "store" / "mlgit", cwd=tmp_path)
    options = ("--stage", "production", "--out", tmp_path / "got")
    dvc("artifacts", "get", remote, "churn", *options, cwd=tmp_path)
    assert (tmp_path / "got/w.bin").read_bytes() == b"\0three"


# --- two people ----------------------------------------------------------------------------------


@pytest.fixture
def two(churn: Path, tmp_path: Path, bare: Callable[..., Path]) -> tuple[Path, Path]:
    """The project and a colleague's clone, in step."""
    git("remote", "add", "origin", bare())
    git("push", "--quiet", "origin", "main")
    assert CliRunner().invoke(cli, ["push", "--yes"]).exit_code == 0
    other = tmp_path / "other"
    git("clone", "--quiet", tmp_path / "remote.git", other)
    git("config", "user.name", "Bo Beispiel", cwd=other)
    return churn, other


def test_the_second_is_told_what_the_first_did(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = two
    monkeypatch.chdir(theirs)
    type_("promote churn@v1 production --push")
    monkeypatch.chdir(ours)
    original = mlgit.cli.model_change._fetch  # type: ignore[attr-defined]
    monkeypatch.setattr("mlgit.cli.model_change._fetch", lambda: [])  # too early to see it
    done = type_("promote churn@v2 production --push", code=1)
    assert "meanwhile Bo Beispiel: churn v1: production" in done.stderr
    assert "say it again" in done.stderr
    assert stages() == {"v1": "production", "v2": None}
    monkeypatch.setattr("mlgit.cli.model_change._fetch", original)
    type_("promote churn@v2 production --push")
    assert stages() == {"v1": None, "v2": "production"}
    monkeypatch.chdir(theirs)
    assert CliRunner().invoke(cli, ["pull"]).exit_code == 0
    assert stages() == {"v1": None, "v2": "production"}
    assert gto_state() == our_state()


def test_unpushed_tags_are_listed(two: tuple[Path, Path]) -> None:
    assert json_of("ls --unpushed")["tags"] == []
    type_("promote churn@v1 production")
    assert type_("ls --unpushed").stdout == "churn#production#1\n"
    train("three")
    type_("register churn three --push")
    assert json_of("ls --unpushed")["tags"] == ["churn#production#1"]
    assert CliRunner().invoke(cli, ["push", "--yes"]).exit_code == 0
    assert json_of("ls --unpushed")["tags"] == []


def test_plain_git_carries_the_registry(two: tuple[Path, Path], tmp_path: Path) -> None:
    train("three")
    type_("register churn three")
    git("push", "--quiet", "--follow-tags", "origin", "mlgit")
    assert "churn@v3.0.0" in git("ls-remote", "--tags", "origin")


def test_the_workflow_in_the_docs_deploys(two: tuple[Path, Path], tmp_path: Path) -> None:
    text = Path(__file__).parents[1].joinpath("docs/registry.md").read_text()
    (block,) = re.findall(r"```yaml\n(# \.github/workflows/deploy\.yml.*?)```", text, re.DOTALL)
    workflow = YAML(typ="safe").load(block)  # 1.2, by which "on" is a name
    (pattern,) = workflow["on"]["push"]["tags"]
    checkout, fetch, install, *steps = workflow["jobs"]["deploy"]["steps"]
    assert (checkout["with"], install) == ({"fetch-depth": 0}, {"run": "pip install mlgit"})
    CliRunner().invoke(cli, ["remote", "add", "store", str(tmp_path / "store")])
    train("three", 6.0)
    type_("register churn three --push")
    assert CliRunner().invoke(cli, ["push", "--yes"]).exit_code == 0
    before = {*git("tag").split()}
    for version, bytes_ in (("v2", b"\0two"), ("v3", b"\0three")):
        type_(f"promote churn@{version} production --push")
        (tag, *left) = sorted({*git("tag").split()} - before, key=lambda name: "!" in name)
        before |= {tag, *left}
        assert fnmatch(tag, pattern) and not any(fnmatch(name, pattern) for name in left)
        job = tmp_path / f"job-{version}"
        git("clone", "--quiet", tmp_path / "remote.git", job)  # as that action does it
        # Checkouts of 2025 and before leave the tag that was pushed without its message.
        commit = git("rev-parse", f"{tag}^{{commit}}", cwd=job).strip()
        git("update-ref", f"refs/tags/{tag}", commit, cwd=job)
        git("checkout", "--quiet", "--detach", tag, cwd=job)
        git("config", "mlgit.data.store.url", tmp_path / "store/mlgit", cwd=job)
        for step in (fetch, *steps):
            command = step["run"].replace("mlgit", f"{sys.executable} -m mlgit", 1)
            subprocess.run(["bash", "-e", "-c", command], cwd=job, check=True)
        assert (job / "model/w.bin").read_bytes() == bytes_
    type_("demote churn@v3 --push")
    (left,) = {*git("tag").split()} - before
    assert not fnmatch(left, pattern)


# --- the fold ------------------------------------------------------------------------------------


def event(
    counter: int | None, action: Any, number: int, stage: str | None = None, when: int = 0
) -> Event:
    commit = f"{number:040x}"
    version = f"v{number}.0.0" if action in ("register", "withdraw") else None
    name = tags.EventName("m", action, version, stage, counter)
    stamp = names.timestamp(when)
    return Event(name, str(name), "", commit, when, stamp, "A", "a@b", "", "", {}, None)


ACTIONS = st.tuples(
    st.sampled_from(["assign", "unassign", "withdraw", "register"]),
    st.integers(1, 3),
    st.sampled_from(["staging", "production", "archived", "champion"]),
    st.integers(1, 9),
)


@given(st.lists(ACTIONS, max_size=14), st.randoms())
def test_any_order_of_arrival_folds_to_one_state(
    said: list[tuple[Any, int, str, int]], chance: random.Random
) -> None:
    known = [event(None, "register", number) for number in (1, 2, 3)]
    for action, number, stage, counter in said:
        stage_of = stage if action in ("assign", "unassign") else None
        known.append(event(counter, action, number, stage_of, when=counter))
    known = list({each.tag: each for each in known}.values())  # git has each name once
    first = fold(known, {})
    shuffled = known[:]
    chance.shuffle(shuffled)
    again = fold(shuffled, {})
    assert again == first
    model = first.models["m"]
    assert sorted(e.tag for e in model.events) == sorted(e.tag for e in known)  # none is lost
    for stage in ("staging", "production"):
        assert sum(version.stage == stage for version in model.versions) <= 1
    aliases = [alias for version in model.versions for alias in version.aliases]
    assert len(aliases) == len(set(aliases))
    assert not any(v.stage or v.aliases for v in model.versions if v.withdrawn)


def test_what_lineage_and_verify_make_of_versions(churn: Path) -> None:
    done = CliRunner().invoke(cli, ["verify", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["mlgit.verify/v1"]["checks"]["tag"]["ok"] == 2


def test_lineage_of_a_version(churn: Path) -> None:
    type_("promote churn@v2 production")
    for name in ("churn@v2", "churn@production", "models:/churn/2"):
        done = CliRunner().invoke(cli, ["lineage", name, "--json"])
        assert done.exit_code == 0, done.output
        assert "exp/two" in done.stdout and "train.csv" in done.stdout
        assert "exp/one" not in CliRunner().invoke(cli, ["lineage", name, "--up"]).stdout
    done = CliRunner().invoke(cli, ["lineage", "churn@v9"])
    assert done.exit_code == 1 and "has no version" in done.stderr
    done = CliRunner().invoke(cli, ["verify", "churn@v2", "--json"])
    assert json.loads(done.stdout)["mlgit.verify/v1"]["checks"]["record"]["ok"] == 1


def test_facts_about_no_model_do_no_harm(churn: Path) -> None:
    repository = open_repository()
    for kind, data in [
        ("describe", {"text": 5}),
        ("rename", {"name": "a\nb"}),
        ("tag", {"key": []}),
        ("describe", {"text": "x", "version": "v9.0.0"}),
        ("applaud", {}),
    ]:
        fact = saved.fact(repository, kind, data)
        append(
            repository, {names.model_fact_file("churn", fact.id): records.dump_fact(fact)}, "x\n"
        )
    shown = json_of("show churn")
    assert (shown["name"], shown["description"], shown["tags"]) == ("churn", None, {})


def test_a_registry_without_a_ledger(repo: Path) -> None:
    git("tag", "-a", "-m", "theirs", "foreign@v1.0.0", "HEAD")
    assert [m["name"] for m in json_of("ls")] == ["foreign"]
    with Ledger() as ledger:
        assert not ledger.exists
    assert make_run().id  # nothing was written
