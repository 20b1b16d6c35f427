"""Data, marks and git tags on their way: `push`, `pull`, `sync`, `data pull`, `remote`, `gc`."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import pytest
from click.testing import CliRunner
from conftest import git
from peers import dvc

import mlgit
from mlgit import gc, names
from mlgit.cli import cli, output
from mlgit.ledger import append, open_repository, tagging
from mlgit.tracking import inputs


def type_(command: str, code: int = 0) -> click.testing.Result:
    done = CliRunner().invoke(cli, command.split(), prog_name="mlgit")
    assert done.exit_code == code, done.output + repr(done.exception)
    return done


def json_of(command: str, code: int = 0) -> Any:
    (content,) = json.loads(type_(f"{command} --json", code).stdout).values()
    return content


def train(name: str = "baseline", weights: bytes = b"\0weights") -> mlgit.SavedRun:
    Path("data").mkdir(exist_ok=True)
    Path("data/train.csv").write_text("a,b\n1,2\n")
    Path("model").mkdir(exist_ok=True)
    Path("model/w.bin").write_bytes(weights)
    with mlgit.start_run("exp", name, capture=()) as run:
        run.log_input("data/train.csv", role="train")
        run.log_model("model")
    return mlgit.get_run(run.id)


@pytest.fixture
def shared(repo: Path, bare: Callable[..., Path], tmp_path: Path) -> Path:
    """A project with a git remote and a data remote, a folder."""
    git("remote", "add", "origin", bare())
    git("push", "--quiet", "origin", "main")
    type_(f"remote add store {tmp_path / 'store'}")
    return repo


@pytest.fixture
def clone(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes a second clone, which knows the folder of the data remote, the working directory."""

    def make(knows_data: bool = True) -> Path:
        path = tmp_path / "clone"
        git("clone", "--quiet", tmp_path / "remote.git", path)
        if knows_data:
            git("config", "mlgit.data.store.url", tmp_path / "store" / "mlgit", cwd=path)
        monkeypatch.chdir(path)
        return path

    return make


def head() -> str:
    return git("rev-parse", "HEAD").strip()


def objects(path: Path) -> set[str]:
    return {f"{p.parent.name}{p.name}" for p in path.rglob("files/md5/*/*")}


def test_push_sends_data_first_and_pull_brings_them(
    shared: Path, clone: Callable[..., Path], tmp_path: Path
) -> None:
    run = train()
    done = type_("push --yes")
    assert "Sent 3 files (" in done.stdout and "to store." in done.stdout
    assert "Sent 1 run to origin." in done.stdout
    assert objects(tmp_path / "store") == objects(shared / ".git/mlgit/data")
    assert "Everything is up to date" in type_("push --yes").stdout
    clone()
    done = type_("pull")
    assert "Received 1 run" in done.stdout and "Received 2 files" in done.stdout
    assert mlgit.get_run(run.id).read("model/w.bin") == b"\0weights"
    assert mlgit.get_run(run.id).record.missing is None


def test_the_amount_of_a_large_transfer_is_said_beforehand(
    shared: Path, clone: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(weights=bytes(50_000))
    assert "Sending data:" not in type_("push --yes").stderr
    train("second", bytes(60_000))
    monkeypatch.setattr(output, "_LARGE", 60_000)
    assert "Sending data: 2 files, 60.1 kB.\n" in type_("push --yes").stderr
    clone()
    done = type_("pull --json")
    assert "Fetching data: 3 files, 110.0 kB.\n" in done.stderr
    assert json.loads(done.stdout)["mlgit.pull/v1"]["data_received"]["size"] == 110_008


def test_a_folder_that_is_not_mounted_is_told_and_not_begun_anew(
    shared: Path, clone: Callable[..., Path], tmp_path: Path
) -> None:
    train()
    type_("push --yes")
    folder = tmp_path / "store"
    folder.rename(tmp_path / "elsewhere")
    type_("push --yes")  # nothing is to be sent there
    train("second", b"\0other")
    done = type_("push --yes", 1)
    assert done.stderr.endswith(
        f"Error: the folder of the data remote store, {folder}/mlgit, is not there; no run was "
        f"sent\nHint: is its disk mounted? If it is lost, 'mkdir -p {folder}/mlgit', and the "
        "next push sends all that is here; to send runs without their data: mlgit push --no-data\n"
    )
    assert not folder.exists()
    clone()
    done = type_("pull", 1)
    assert f"Error: the folder of the data remote store, {folder}/mlgit, is not there\n" in (
        done.stderr
    )
    assert "is its disk mounted?" in done.stderr
    os.chdir(shared)
    (folder / "mlgit").mkdir(parents=True)  # as the hint says
    assert "Sent 5 files (" in type_("push --yes").stdout
    assert objects(folder) == objects(shared / ".git/mlgit/data")


def test_commits_of_pins_and_versions_are_not_counted_as_code(shared: Path) -> None:
    git("commit", "--quiet", "--allow-empty", "--message", "an idea")
    Path("model.bin").write_bytes(b"\0weights")
    with mlgit.start_run("exp", "baseline", capture=["code"]) as run:
        run.log_model("model.bin")
    type_(f"pin {run.id}")
    type_(f"model register churn {run.id}")
    assert "exact code: 1 commit will go to origin" in type_("push --yes").stderr
    type_(f"pin {run.id} --name again")
    assert "exact code" not in type_("push --yes").stderr


def test_what_is_not_fetched_is_fetched_when_it_is_needed(
    shared: Path, clone: Callable[..., Path]
) -> None:
    run = train()
    type_("push --yes")
    path = clone()
    type_("pull --no-data")
    assert not objects(path / ".git/mlgit/data")
    assert json_of("artifacts ls baseline")[0]["place"] == "not here"
    assert mlgit.get_run(run.id).read("model/w.bin") == b"\0weights"
    done = type_("data pull data/train.csv -o restored.csv")
    assert done.stderr == "Wrote restored.csv\n"
    assert (path / "restored.csv").read_text() == "a,b\n1,2\n"
    type_("data pull baseline -o x", 2)
    assert "is there already" in type_("data pull data/train.csv -o README.md", 1).stderr
    assert "no data and no run" in type_("data pull nothing", 1).stderr
    assert "2 datasets on this machine" in type_("data pull baseline").stderr


def test_the_data_of_a_version_are_fetched_by_its_name(
    shared: Path, clone: Callable[..., Path]
) -> None:
    run = train()
    type_(f"model register churn {run.id}:model")
    type_("push --yes")
    path = clone()
    type_("pull --no-data")
    assert type_("data pull churn@v1 -o copy").stderr == "Wrote copy\n"
    assert (path / "copy" / "w.bin").read_bytes() == b"\0weights"
    assert "1 dataset on this machine" in type_("data pull churn@latest").stderr
    assert "has no version, stage or alias 'v9'" in type_("data pull churn@v9", 1).stderr


def test_a_clone_that_does_not_know_the_folder_is_told_what_to_say(
    shared: Path, clone: Callable[..., Path]
) -> None:
    train()
    type_("push --yes")
    clone(knows_data=False)
    done = type_("pull", 1)
    assert "Received 1 run" in done.stdout
    assert "git config mlgit.data.store.url" in done.stderr
    assert [run.name for run in mlgit.runs()] == ["baseline"]


def test_data_held_back_are_marked_for_everybody_until_they_arrive(
    shared: Path, clone: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train("first")
    type_("push --yes")
    second = train("second", b"\0other weights")
    assert "The data of 1 run stay here" in type_("push --yes --no-data").stderr
    path = clone()
    type_("pull --no-data")
    assert mlgit.get_run(first.id).record.missing is None
    missing = mlgit.get_run(second.id).record.missing
    assert missing and second.record.inputs[0].md5 not in missing  # the first run sent it
    assert second.record.outputs[0].md5 in missing
    assert json_of("show second")["missing"] == missing
    assert "not on the data remote" in type_("show second").stdout
    assert "and not on the data remote" in type_("artifacts get second -o out", 1).stderr
    monkeypatch.chdir(shared)
    assert "Sent 2 files" in type_("push --yes").stdout
    monkeypatch.chdir(path)
    type_("sync --yes")
    assert mlgit.get_run(second.id).record.missing is None
    assert mlgit.get_run(second.id).read("model/w.bin") == b"\0other weights"


def test_lost_and_altered_objects_are_told_and_marked(shared: Path) -> None:
    run = train()
    store = shared / ".git/mlgit/data/files/md5"
    csv, model = run.record.inputs[0].md5, run.record.outputs[0].md5
    assert csv and model
    (store / csv[:2] / csv[2:]).unlink()
    weights = next(p for p in store.rglob("*") if p.is_file() and p.read_bytes() == b"\0weights")
    weights.chmod(0o644)
    weights.write_bytes(b"\0altered")
    done = type_("push --yes")
    assert "were altered and stayed" in done.stderr and "are not on this machine" in done.stderr
    assert "'mlgit verify --rehash' finds all such" in done.stderr
    assert "Sent 1 run to origin." in done.stdout
    assert mlgit.get_run(run.id).record.missing == sorted([csv, model])
    (store / csv[:2] / csv[2:]).write_text("a,b\n1,2\n")
    told = "1 file or folder that runs keep is not on this machine, or not all of it"
    assert told in type_("push --yes").stderr
    assert mlgit.get_run(run.id).record.missing == [model]


def test_without_a_data_remote_runs_are_sent_and_it_is_said(
    repo: Path, bare: Callable[..., Path]
) -> None:
    git("remote", "add", "origin", bare())
    train()
    done = type_("push --yes")
    assert "3 files (" in done.stderr and "mlgit remote add NAME" in done.stderr
    assert "Sent 1 run to origin." in done.stdout


def test_json_tells_all_that_moved(shared: Path, clone: Callable[..., Path]) -> None:
    train()
    moved = json_of("push --yes")
    assert (moved["remote"], moved["sent"], moved["data_sent"]["objects"]) == ("origin", 1, 3)
    clone()
    moved = json_of("pull")
    assert (moved["received"], moved["data_received"]["objects"]) == (1, 2)
    assert moved["tags_received"] == moved["tags_clashing"] == []


# --- where the bytes are ------------------------------------------------------------------------


def findings() -> list[str]:
    return [f"{each['level']}: {each['what']}" for each in json_of("doctor")]


def where(thing: str) -> tuple[bool, str | None]:
    (shown,) = json_of(f"data show {thing}")
    return shown["here"], shown["remote"]


def test_it_is_told_where_bytes_are_without_asking_anybody(
    shared: Path, clone: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train()
    md5 = str(run.record.outputs[0].md5)
    assert where(md5) == where("data/train.csv") == (True, None)
    assert "Bytes: here only (share: mlgit push)" in type_("data show data/train.csv").stdout
    assert "note: the data of 1 run are on this machine only" in findings()
    type_("push --yes")
    (tmp_path / "store").rename(tmp_path / "away")  # whoever asks finds nothing
    assert where(md5) == (True, "store")
    assert "Bytes: here, and on store" in type_(f"data show {md5}").stdout
    assert "ok: the data of 1 run are shared" in findings()
    path = clone()
    type_("pull --no-data")
    assert where(md5) == (False, "store")  # a run that was shared says if they stayed behind
    told = type_("data show data/train.csv").stdout
    assert "Bytes: on store, as far as is known (mlgit data pull " in told
    monkeypatch.chdir(shared)
    (tmp_path / "away").rename(tmp_path / "store")
    second = train("second", b"\0other weights")
    type_("push --yes --no-data")
    monkeypatch.chdir(path)
    type_("pull --no-data")
    model = str(second.record.outputs[0].md5)
    assert where(model) == (False, None)
    assert "Bytes: missing: not here, and on no data remote" in type_(f"data show {model}").stdout
    (lost,) = (each for each in findings() if "neither here nor" in each)
    assert lost.endswith(f"that is known: {second.id[:10]}")
    monkeypatch.chdir(shared)
    assert where(model) == (True, None)
    type_("push --yes")
    assert where(model) == (True, "store")


def test_several_versions_each_tell_where_they_are(shared: Path) -> None:
    train()
    type_("push --yes")
    (shared / "data/train.csv").write_text("a,b\n3,4\n")
    with mlgit.start_run("exp", "later", capture=()) as later:
        later.log_input("data/train.csv")
    (shared / "data/train.csv").write_text("a,b\n5,6\n")
    with mlgit.start_run("exp", "last", capture=()) as last:
        last.log_input("data/train.csv", keep=False)
    lines = type_("data show data/train.csv").stdout.splitlines()
    (shared / "data/train.csv").unlink()
    lines = type_("data show data/train.csv").stdout.splitlines()
    cells = [line.split("  ")[-1].strip() for line in lines[:4]]
    assert cells == ["WHERE", "-", "here", "here, store"]


def test_what_a_pull_did_not_find_is_not_taken_for_shared(
    shared: Path, clone: Callable[..., Path], tmp_path: Path
) -> None:
    """Whatever those who shared the run say of it."""
    run = train()
    type_("push --yes")
    (md5,) = [p.md5 for p in run.record.inputs]
    lost = tmp_path / f"store/mlgit/files/md5/{md5[:2]}/{md5[2:]}"
    kept = lost.read_bytes()
    lost.unlink()
    clone()
    assert "1 file or folder that runs keep is not on store" in type_("pull").stderr
    assert "the data of 1 run are neither here nor on a data remote" in type_("doctor").stdout
    lost.write_bytes(kept)
    type_("pull")
    assert "the data of 1 run are shared" in type_("doctor").stdout


def test_what_was_deleted_when_all_was_pushed_is_not_taken_for_pushed(shared: Path) -> None:
    gone, kept = train("gone", b"\0gone"), train("kept")
    type_(f"rm {gone.id}")
    type_("push --yes")
    type_(f"restore {gone.id}")
    assert where(str(gone.record.outputs[0].md5)) == (True, None)
    assert where(str(kept.record.outputs[0].md5)) == (True, "store")
    type_("push --yes")
    assert where(str(gone.record.outputs[0].md5)) == (True, "store")


def test_without_a_data_remote_it_is_said_what_to_do(repo: Path) -> None:
    train()
    shown = json_of("doctor")
    (told,) = (each for each in shown if "on this machine only" in each["what"])
    assert told["hint"].startswith("mlgit remote add NAME")


# --- git tags ------------------------------------------------------------------------------------


def test_our_tags_travel_others_do_not_and_none_is_moved(
    shared: Path, clone: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    train()
    repository = open_repository()
    for name in ("churn@v1.0.0", "churn#production#1", "run/baseline", "v1.0"):
        tagging.make(repository, name, head(), f"{name}\n")
    git("tag", "churn@v9.0.0")  # lightweight: not ours
    assert json_of("push --yes")["tags_sent"] == [
        *("churn#production#1", "churn@v1.0.0", "run/baseline")
    ]
    path = clone()
    git("tag", "-d", *git("tag").split(), cwd=path)
    assert json_of("pull")["tags_received"] == [
        *("churn#production#1", "churn@v1.0.0", "run/baseline")
    ]
    assert git("tag").split() == ["churn#production#1", "churn@v1.0.0", "run/baseline"]
    tagging.make(open_repository(), "churn#production#2", head(), "theirs\n")
    type_("push --yes")
    monkeypatch.chdir(shared)
    tagging.make(repository, "churn#production#2", head(), "ours\n")
    tagging.make(repository, "churn#staging#3", head(), "ours\n")
    done = type_("push --yes", 1)
    assert "other git tags of the same name: churn#production#2" in done.stderr
    assert "ours" in git("tag", "-n", "-l", "churn#production#2")
    remote = git("ls-remote", "--tags", "origin")
    assert "churn#staging#3" in remote
    assert type_("pull", 1).exit_code == 1


def test_a_hook_that_refuses_a_tag_is_quoted(shared: Path, tmp_path: Path) -> None:
    train()
    hook = tmp_path / "remote.git/hooks/update"
    hook.write_text('#!/bin/sh\ncase $1 in refs/tags/*) echo "no tags today" >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    for name in ("churn@v1.0.0", "churn#production#1"):
        tagging.make(open_repository(), name, head(), f"{name}\n")
    done = type_("push --yes", 1)
    assert "origin refused the git tag" in done.stderr and "no tags today" in done.stderr
    assert "what is here is safe" in done.stderr
    assert "mlgit" not in git("ls-remote", "origin")  # all or none
    hook.unlink()
    done = type_("push --yes")
    assert "Sent 1 run to origin." in done.stdout and "Sent churn#production#1" in done.stdout


def test_a_tag_that_is_refused_leaves_the_branch_as_it_was(shared: Path, tmp_path: Path) -> None:
    train()
    type_("push --yes")
    before = git("ls-remote", "origin")
    train("second")
    tagging.make(open_repository(), "churn@v1.0.0", head(), "one\n")
    hook = tmp_path / "remote.git/hooks/update"
    hook.write_text("#!/bin/sh\ncase $1 in refs/tags/*) exit 1;; esac\n")
    hook.chmod(0o755)
    for verb in ("push", "sync"):
        done = type_(f"{verb} --yes", 1)
        assert "origin refused the git tag churn@v1.0.0: hook declined" in done.stderr
        assert git("ls-remote", "origin") == before


def test_branch_and_tags_go_together_also_after_a_merge(
    shared: Path, clone: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    train()
    type_("push --yes")
    clone()
    train("theirs")
    type_("push --yes")
    monkeypatch.chdir(shared)
    train("ours")
    names = [f"atomic@v{number}.0.0" for number in range(1, 4)]
    for name in names:
        tagging.make(open_repository(), name, head(), f"{name}\n")
    monkeypatch.setattr(tagging, "_AT_ONCE", 2)  # the third goes in a push of its own
    moved = json_of("push --yes")
    assert (moved["sent"], moved["received"], moved["tags_sent"]) == (1, 1, names)
    assert git("ls-remote", "--tags", "--refs", "origin").count("refs/tags/atomic@") == 3


def test_a_server_that_cannot_do_all_or_nothing_gets_them_all_the_same(
    shared: Path, tmp_path: Path
) -> None:
    train()
    git("config", "receive.advertiseAtomic", "false", cwd=tmp_path / "remote.git")
    for name in ("churn@v1.0.0", "churn#production#1"):
        tagging.make(open_repository(), name, head(), f"{name}\n")
    moved = json_of("push --yes")
    assert (moved["sent"], len(moved["tags_sent"])) == (1, 2)
    hook = tmp_path / "remote.git/hooks/update"
    hook.write_text("#!/bin/sh\ncase $1 in refs/tags/*) exit 1;; esac\n")
    hook.chmod(0o755)
    train("second")
    tagging.make(open_repository(), "churn@v2.0.0", head(), "two\n")
    assert "refused the git tag churn@v2.0.0" in type_("push --yes", 1).stderr
    hook.unlink()
    moved = json_of("push --yes")
    assert (moved["sent"], moved["tags_sent"]) == (0, ["churn@v2.0.0"])


# --- remotes -------------------------------------------------------------------------------------


def test_remotes_are_added_listed_chosen_and_removed(repo: Path, tmp_path: Path) -> None:
    assert type_("remote ls").stderr == "There is no data remote.\n"
    done = type_(f"remote add box {tmp_path / 'box'}")
    assert "the default" in done.stderr and "mlgit.data.box.url" in done.stderr
    type_("remote add far s3://bucket/data --option region=eu-west-1")
    rows = json_of("remote ls")["remotes"]
    assert [(row["name"], row["default"]) for row in rows] == [("box", True), ("far", False)]
    assert rows[1]["url"] == "s3://bucket/data/mlgit"
    assert rows[0]["place"] == str(tmp_path / "box" / "mlgit")
    type_("remote default far")
    type_("remote rm box")
    assert "far" in type_("remote ls").stdout
    for wrong, reason in {
        "s3://key:secret@bucket/x": "password",
        "ftp://host/x": "is not a place for data",
    }.items():
        assert reason in type_(f"remote add bad {wrong}", 1).stderr
    assert "secret" in type_("remote add bad s3://b --option access_key_id=x", 1).stderr
    type_("remote add bad s3://b --option nothing", 2)
    assert "no data remote" in type_("remote rm box", 1).stderr


def test_the_remotes_of_dvc_are_offered(repo: Path) -> None:
    dvc("init", "--quiet", cwd=Path.cwd())
    dvc("remote", "add", "team", "s3://bucket/dvc", cwd=Path.cwd())
    assert "mlgit remote add team s3://bucket/dvc" in type_("remote ls").stderr
    assert json_of("remote ls")["dvc"] == {"team": "s3://bucket/dvc"}


# --- gc ------------------------------------------------------------------------------------------


def age(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets three weeks pass."""
    later = time.time() + 21 * 24 * 60 * 60
    monkeypatch.setattr(gc.time, "time", lambda: later)


def test_gc_drops_what_no_run_names(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train()
    type_(f"rm {run.id}")
    live = mlgit.start_run(capture=())
    (repo / "live.bin").write_bytes(b"\0live")
    live.log_model("live.bin")
    (repo / "orphan.bin").write_bytes(b"\0orphan")
    orphan = inputs.take(open_repository(), repo / "orphan.bin").md5
    left = repo / ".git/objects/objabc123"
    left.write_bytes(b"half an object")
    assert type_("gc").stderr == "There is nothing to drop.\n"  # all is young
    age(repo, monkeypatch)
    assert json_of("gc --dry-run")["objects"] == {orphan: 7}
    assert "Nothing was dropped; to do it: --yes." in type_("gc", 1).stderr
    before = objects(repo / ".git/mlgit/data")
    type_("gc --yes")
    assert before - objects(repo / ".git/mlgit/data") == {orphan}
    assert not left.exists()
    monkeypatch.undo()
    os.chdir(repo)
    live.end()
    type_(f"restore {run.id}")
    assert mlgit.get_run(run.id).read("model/w.bin") == b"\0weights"
    assert mlgit.get_run(live.id).read("model") == b"\0live"


def test_gc_does_nothing_while_a_run_cannot_be_read(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train()
    other = names.new_id()
    append(open_repository(), {names.run_file(other, names.RUN_FILE): b'{"format": 2}'}, "later\n")
    age(repo, monkeypatch)
    assert "nothing was deleted" in type_("gc --yes", 1).stderr
    assert mlgit.get_run(run.id).read("model/w.bin") == b"\0weights"


def test_gc_spares_what_a_run_stores_again(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repo / "again.bin").write_bytes(b"\0again")
    md5 = inputs.take(open_repository(), repo / "again.bin").md5
    place = repo / ".git/mlgit/data/files/md5" / md5[:2] / md5[2:]
    old = time.time() - 21 * 24 * 60 * 60
    os.utime(place, (old, old))
    age(repo, monkeypatch)
    waste = gc.find(open_repository())
    assert waste.objects == {md5: 6}
    with mlgit.start_run(capture=()) as run:  # while a person is asked
        run.log_model("again.bin")
    assert time.time() - place.stat().st_mtime > 0 and place.stat().st_mtime > old
    assert gc.drop(open_repository(), waste) == 0
    assert mlgit.get_run(run.id).read("model") == b"\0again"


def test_gc_keeps_the_files_of_a_folder_whose_list_is_lost(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train()
    md5 = str(run.record.outputs[0].md5)
    (shared / ".git/mlgit/data/files/md5" / md5[:2] / md5[2:]).unlink()
    before = objects(shared / ".git/mlgit/data")
    age(shared, monkeypatch)
    assert "so nothing was deleted" in type_("gc --yes", 1).stderr
    assert objects(shared / ".git/mlgit/data") == before
    monkeypatch.undo()
    os.chdir(shared)
    store = shared.parent / "store/mlgit/files/md5" / md5[:2] / md5[2:]
    assert not store.exists()


def test_gc_asks_the_remote_for_lists_that_are_not_here(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train()
    type_("push --yes")
    md5 = str(run.record.outputs[0].md5)
    (shared / ".git/mlgit/data/files/md5" / md5[:2] / md5[2:]).unlink()
    age(shared, monkeypatch)
    assert type_("gc --yes").stderr == "There is nothing to drop.\n"


def test_what_dvc_gc_deletes_is_never_ours(shared: Path, tmp_path: Path) -> None:
    dvc("init", "--quiet", cwd=Path.cwd())
    dvc("remote", "add", "--default", "team", str(tmp_path / "store"), cwd=Path.cwd())
    train()
    dvc("add", "--quiet", "data/train.csv", cwd=Path.cwd())
    dvc("push", "--quiet", cwd=Path.cwd())
    again = train("again")
    type_("push --yes")
    git("rm", "--quiet", "--cached", "--ignore-unmatch", "data/train.csv.dvc")
    Path("data/train.csv.dvc").unlink()
    dvc("gc", "--workspace", "--cloud", "--force", cwd=Path.cwd())
    assert not objects(shared / ".dvc/cache")  # it did its work
    assert not objects(tmp_path / "store") - objects(tmp_path / "store/mlgit")
    assert mlgit.get_run(again.id).read("model/w.bin") == b"\0weights"
    type_("data pull data/train.csv -o restored.csv")
    assert Path("restored.csv").read_text() == "a,b\n1,2\n"
    shutil.rmtree(shared / ".git/mlgit/data")
    assert mlgit.get_run(again.id).read("model/w.bin") == b"\0weights"  # from the remote
