"""`mlgit verify`: each kind of damage is really made, and found; what is whole passes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import allow, git, make_run, new_key, sign_with
from peers import free_port

import mlgit
from mlgit import names, records
from mlgit.cli import cli
from mlgit.ledger import append, open_repository


def verify(*args: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(cli, ["verify", "--json", *args], prog_name="mlgit")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.stdout, done.output
    (content,) = json.loads(done.stdout).values()
    assert content["holds"] is (done.exit_code == 0)
    return done.exit_code, content


def told(*args: str, answer: str = "failed") -> list[tuple[str, str, str]]:
    """Returns check, subject and reason of what does not hold."""
    code, content = verify(*args)
    found = [e for e in content["outcomes"] if e["answer"] == answer]
    assert code == (1 if any(e["answer"] == "failed" for e in content["outcomes"]) else 0)
    return [(e["check"], e["subject"], e["reason"]) for e in found]


def train(name: str = "baseline", weights: bytes = b"\0weights") -> mlgit.SavedRun:
    Path("data").mkdir(exist_ok=True)
    Path("data/train.csv").write_text("a,b\n1,2\n")
    Path("model").mkdir(exist_ok=True)
    Path("model/w.bin").write_bytes(weights)
    Path("model/v.bin").write_bytes(b"\0v")
    with mlgit.start_run("exp", name) as run:
        run.log_input("data/train.csv", role="train")
        run.log_model("model")
        run.log_text("fine", "note.txt")
        for step in range(3):
            run.log_metric("loss", 1 / (step + 1))
    return mlgit.get_run(run.id)


@pytest.fixture
def run(repo: Path) -> mlgit.SavedRun:
    (repo / "train.py").write_text("print('uncommitted')\n")
    return train()


def obj(repo: Path, md5: str | None) -> Path:
    assert md5 is not None
    return repo / ".git/mlgit/data/files/md5" / md5[:2] / md5[2:]


def forge(changes: dict[str, bytes | None], message: str = "forged") -> str:
    """Commits to the branch what mlgit never would; None removes a path."""
    env = {"GIT_INDEX_FILE": os.path.abspath(".git/forge.index")}
    git("read-tree", "mlgit", env=env)
    for path, content in changes.items():
        if content is None:
            git("update-index", "--force-remove", path, env=env)
        else:
            done = subprocess.run(
                ["git", "hash-object", "-w", "--stdin"], input=content, capture_output=True
            )
            blob = done.stdout.decode().strip()
            git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=env)
    tree = git("write-tree", env=env).strip()
    commit = git("commit-tree", tree, "-p", "mlgit", "-m", message).strip()
    git("update-ref", "refs/heads/mlgit", commit)
    return commit


def test_a_whole_ledger_holds(run: mlgit.SavedRun, repo: Path) -> None:
    train("second", b"\0other")
    CliRunner().invoke(cli, ["pin", "second"])
    for args in ((), ("--rehash",), (run.id,), ("data/train.csv",)):
        code, content = verify(*args)
        assert code == 0 and content["outcomes"] == []
    checks = content["checks"]
    assert checks["record"]["ok"] == 2 and checks["data"]["ok"] == 3 and checks["tag"]["ok"] == 1
    assert checks["code"]["ok"] >= 2  # the commit, and the snapshots
    done = CliRunner().invoke(cli, ["verify"])
    assert done.exit_code == 0 and "Everything that could be checked holds." in done.stderr


def test_data_that_was_altered_or_lost(run: mlgit.SavedRun, repo: Path) -> None:
    csv, model = run.inputs[0].md5, run.record.outputs[0].md5
    place = obj(repo, csv)
    place.chmod(0o644)
    place.write_bytes(b"a,b\n9,9\n")  # the same size
    assert told() == []
    ((check, subject, reason),) = told("--rehash")
    assert (check, subject) == ("data", csv) and "was altered" in reason
    place.write_bytes(b"longer than it was")
    assert told() == [("data", csv, "the record says 8 bytes, the object has 18")]
    place.unlink()
    (weights,) = (
        p for p in place.parents[1].rglob("*") if p.is_file() and b"\0w" in p.read_bytes()
    )
    weights.unlink()
    assert sorted(told()) == sorted(
        [
            ("data", str(csv), "it is neither here nor on the data remote"),
            ("data", str(model), "1 of its 2 files are neither here nor on the data remote"),
        ]
    )


@pytest.mark.parametrize(
    ("pointers", "lie", "reason"),
    [
        ("inputs", {"size": 9}, "the record says 9 bytes, the object has 8"),
        ("outputs", {"size": 10**18}, f"the record says {10**18:,} bytes, the folder has 10"),
        ("outputs", {"files": 3}, "the record says 3 files, the folder has 2"),
    ],
)
def test_one_of_many_records_lies_about_a_size(
    run: mlgit.SavedRun, pointers: str, lie: dict[str, int], reason: str
) -> None:
    """Of the same content another run tells the truth, whichever is read first."""
    content = json.loads(git("show", f"mlgit:{names.run_file(run.id, 'run.json')}"))
    md5 = content[pointers][0]["md5"]
    content[pointers][0] |= lie
    content["id"] = names.new_id()
    forge({names.run_file(content["id"], "run.json"): json.dumps(content).encode()})
    train("last")
    assert ("data", md5, reason) in told()


def test_what_is_not_here_is_looked_for_on_the_remote(
    run: mlgit.SavedRun, repo: Path, tmp_path: Path, bare: Callable[..., Path]
) -> None:
    git("remote", "add", "origin", bare())
    runner = CliRunner()
    runner.invoke(cli, ["remote", "add", "store", str(tmp_path / "store")])
    assert runner.invoke(cli, ["push", "--yes"]).exit_code == 0
    shutil.rmtree(repo / ".git/mlgit/data")
    assert verify() == (0, verify()[1]) and told() == []
    assert {reason for *_, reason in told("--rehash", answer="not checked")} == {
        "on the data remote; its bytes were not read"
    }
    lost = next(
        p for p in (tmp_path / "store").rglob("*") if p.is_file() and b"\0w" in p.read_bytes()
    )
    lost.unlink()
    ((_, subject, reason),) = told()
    assert subject == run.record.outputs[0].md5 and "1 of its 2 files" in reason
    shutil.rmtree(tmp_path / "store")
    git("config", "mlgit.data.store.url", "/proc/nothing/here")
    assert {check for check, *_ in told()} <= {"data"}


def test_an_unreachable_remote_is_no_failure(
    run: mlgit.SavedRun,
    repo: Path,
    s3: str,
    bare: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = ["--option", f"endpointurl={s3}", "--option", "region=us-east-1"]
    runner = CliRunner()
    runner.invoke(cli, ["remote", "add", "cloud", "s3://data/x", *options])
    git("remote", "add", "origin", bare())
    assert runner.invoke(cli, ["push", "--yes"]).exit_code == 0
    shutil.rmtree(repo / ".git/mlgit/data")
    assert told() == []
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    options[1] = f"endpointurl=http://127.0.0.1:{free_port()}"
    runner.invoke(cli, ["remote", "add", "cloud", "s3://data/x", *options])
    assert told() == [] and {check for check, *_ in told(answer="not checked")} == {"data"}


def test_a_rewritten_record_is_found_in_the_history(run: mlgit.SavedRun) -> None:
    path = names.run_file(run.id, names.RUN_FILE)
    better = git("show", f"mlgit:{path}").replace('"last": 0.3333333333333333', '"last": 0.01')
    commit = forge({path: better.encode()})
    assert told() == [
        ("metrics", run.id, "'loss': the summary is not that of the points"),
        ("history", commit, f"'{path}' was changed"),
    ]
    assert len(told(run.id)) == 2


def test_a_run_that_was_removed_is_found_in_the_history(run: mlgit.SavedRun) -> None:
    other = train("other")
    path = names.run_file(run.id, names.RUN_FILE)
    commit = forge({path: None})
    assert ("history", commit, f"'{path}' was removed") in told()
    assert told(other.id) == []


def test_damage_is_found_behind_a_merge(run: mlgit.SavedRun, repo: Path) -> None:
    base = git("rev-parse", "mlgit").strip()
    path = names.artifact_file(run.id, "note.txt")
    bad = forge({path: b"better"})
    restored = forge({path: b"fine"})
    git("update-ref", "refs/heads/mlgit", base)
    train("other")
    ours = git("rev-parse", "mlgit").strip()
    tree = git("rev-parse", f"{ours}^{{tree}}").strip()
    merged = git("commit-tree", tree, "-p", ours, "-p", restored, "-m", "merge").strip()
    git("update-ref", "refs/heads/mlgit", merged)
    assert {subject for check, subject, _ in told() if check == "history"} == {bad, restored}


def test_a_forged_environment_and_a_forged_artifact(run: mlgit.SavedRun) -> None:
    digest = str(run.record.environment)
    forge({names.environment_file(digest): b"{}\n", names.artifact_file(run.id, "note.txt"): b"x"})
    found = told()
    assert ("environment", digest, "its content has another hash") in found
    assert ("artifact", run.id, "'note.txt' was altered") in found


def test_records_that_cannot_be_read(run: mlgit.SavedRun) -> None:
    other = names.new_id()
    path = names.run_file(other, names.RUN_FILE)
    forge({path: b"{", "runs/2020/01/01/stray/run.json": b"{}"})
    assert {(check, subject) for check, subject, _ in told()} == {
        ("record", path),
        ("record", "runs/2020/01/01/stray/run.json"),
    }


def test_code_that_is_gone(run: mlgit.SavedRun, repo: Path) -> None:
    commit = run.record.source.commit
    assert commit
    blob = git("rev-parse", f"{commit}:README.md").strip()
    lost = repo / ".git/objects" / blob[:2] / blob[2:]
    kept = lost.read_bytes()
    lost.unlink()
    assert ("code", commit, "a part of it is missing") in told()
    lost.write_bytes(kept)
    assert told() == []


def test_code_of_which_only_the_id_was_recorded(repo: Path) -> None:
    git("config", "mlgit.code", "sha")
    run = train()
    assert told() == []
    git("checkout", "--quiet", "--orphan", "new")
    git("commit", "--quiet", "--message", "new")
    git("branch", "--quiet", "-D", "main")
    commit = str(run.record.source.commit)
    assert told() == [("code", commit, "no branch or tag leads to it; git may delete it")]
    git("reflog", "expire", "--expire=now", "--all")
    git("gc", "--quiet", "--prune=now")
    reason = "only its id was recorded, and it is not in this repository"
    assert told() == [] and told(answer="not checked") == [("code", commit, reason)]


def test_a_shallow_clone_says_what_it_cannot_know(
    run: mlgit.SavedRun, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"file://{repo}"
    git("clone", "--quiet", "--depth=1", "--branch", "mlgit", source, tmp_path / "shallow")
    monkeypatch.chdir(tmp_path / "shallow")
    git("switch", "--quiet", "--orphan", "other")
    assert {check for check, *_ in told(answer="not checked")} >= {"code", "history"}


def test_hashes_and_addresses_alone_cannot_be_checked(repo: Path) -> None:
    with mlgit.start_run(capture=()) as run:
        md5 = run.log_input("README.md", keep=False).md5
    assert told(answer="not checked") == [("data", md5, "only the hash was recorded")]


def test_signatures(run: mlgit.SavedRun, repo: Path, hermetic: Path) -> None:
    key = new_key(hermetic / "key")
    sign_with(key, "tag", "commit")
    train("signed")
    CliRunner().invoke(cli, ["pin", "signed"])
    assert told() == []
    assert {check for check, *_ in told(answer="not checked")} == {"signature"}
    allow(hermetic / "allowed", ada=key)
    code, content = verify()
    assert code == 0 and content["checks"]["signature"]["ok"] == 2, (
        content
    )  # the pin's commit and tag
    tag = git("cat-file", "tag", "run/signed").replace("signed\n", "forged\n", 1)
    forged = git("hash-object", "-t", "tag", "-w", "--stdin", "--literally", input=tag).strip()
    git("update-ref", "refs/tags/run/signed", forged)
    assert ("signature", "run/signed", "the signature is bad") in told()


def test_a_tag_that_says_something_else_than_the_branch(run: mlgit.SavedRun) -> None:
    CliRunner().invoke(cli, ["pin", "baseline"])
    record = git("show", "run/baseline:run.json").replace(
        '"last": 0.3333333333333333', '"last": 0.01'
    )
    env = {"GIT_INDEX_FILE": os.path.abspath(".git/forge.index")}
    git("read-tree", "run/baseline^{commit}", env=env)
    blob = git("hash-object", "-w", "--stdin", input=record).strip()
    git("update-index", "--cacheinfo", f"100644,{blob},run.json", env=env)
    tree = git("write-tree", env=env).strip()
    git("tag", "-a", "-m", "forged", "run/forged", git("commit-tree", tree, "-m", "x").strip())
    git("tag", "-a", "-m", "no version", "churn@v1.0.0", "HEAD")
    assert told() == [("tag", "run/forged", "its run.json is not the one on the branch")]
    assert ("tag", "churn@v1.0.0", "not on a version commit of mlgit") in told(answer="not checked")


def test_a_run_of_an_importer_has_no_points(repo: Path) -> None:
    summary = records.Metric(last=1.0, min=1.0, max=1.0, step=0, count=1)
    run = make_run(metrics={"rmse": summary})
    append(
        open_repository(), {names.run_file(run.id, "run.json"): records.dump_run(run)}, "import\n"
    )
    assert told(answer="not checked") == [
        ("metrics", run.id, "the run has no histories, only summaries")
    ]


def test_nothing_to_verify(repo: Path) -> None:
    done = CliRunner().invoke(cli, ["verify"], prog_name="mlgit")
    assert done.exit_code == 1 and "Hint:" in done.stderr


def test_what_no_run_knows_is_not_found_true(run: mlgit.SavedRun, repo: Path) -> None:
    (repo / "data/train.csv").write_text("tampered with\n")
    (repo / "copy.bin").write_bytes(b"\0weights")  # lies in the model, which is what was recorded
    for x, hint in (("data/train.csv", "lineage data/train.csv"), ("copy.bin", "lineage copy.bin")):
        done = CliRunner().invoke(cli, ["verify", x], prog_name="mlgit")
        assert done.exit_code == 1 and "no run used or made" in done.stderr
        assert hint in done.stderr and not done.stdout
