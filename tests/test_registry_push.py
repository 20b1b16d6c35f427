"""`mlgit model … --push` and `mlgit push` on real remotes: one push, and who said no and why.

Hooks of the remote write down what they are told, refuse one ref, or let somebody else in
between git's look at the remote and its writing there.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click.testing
import pytest
from click.testing import CliRunner
from conftest import git
from terminal import on_terminal
from test_registry import churn, json_of, stages, train, two, type_  # noqa: F401

import mlgit
from mlgit.cli import cli
from mlgit.ledger import open_repository, tagging

TURN = "refs/mlgit/registry/churn"
Bo = Callable[[str], None]
Late = Callable[[Callable[[], None]], None]


@pytest.fixture
def remote(two: tuple[Path, Path], tmp_path: Path) -> Path:  # noqa: F811
    """The remote of the project and of a colleague's clone, `other`, that are in step."""
    return tmp_path / "remote.git"


@pytest.fixture
def not_atomic(remote: Path) -> Path:
    """A remote that takes no push all or nothing."""
    git("config", "receive.advertiseAtomic", "false", cwd=remote)
    return remote


@pytest.fixture
def bo(remote: Path, monkeypatch: pytest.MonkeyPatch) -> Bo:
    """Has the colleague say something about models, and comes back."""

    def says(command: str) -> None:
        with monkeypatch.context() as elsewhere:
            elsewhere.chdir(remote.parent / "other")
            type_(command)

    return says


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Late:
    """Lets something happen after we have fetched and decided, and before we send."""
    send = tagging.send

    def let(happen: Callable[[], None]) -> None:
        def sending(*arguments: Any) -> None:
            monkeypatch.setattr(tagging, "send", send)
            happen()
            send(*arguments)

        monkeypatch.setattr(tagging, "send", sending)

    return let


def push(code: int = 0) -> click.testing.Result:
    done = CliRunner().invoke(cli, ["push", "--yes"], prog_name="mlgit")
    assert done.exit_code == code, done.output
    return done


def hook(remote: Path, name: str, script: str) -> None:
    place = remote / "hooks" / name
    place.write_text(f"#!/bin/sh\n{script}\n")
    place.chmod(0o755)


def refuse(remote: Path, pattern: str, words: str = "") -> None:
    """Has the remote refuse refs, and say so in these words."""
    say = f"echo '{words}' >&2; " if words else ""
    hook(remote, "update", f"case $1 in {pattern}) {say}exit 1;; esac")


def on_the_remote() -> dict[str, str]:
    lines = git("ls-remote", "--refs", "origin").splitlines()
    return {ref: sha for sha, ref in (line.split("\t") for line in lines)}


def head_of(ref: str) -> str:
    return git("rev-parse", ref).strip()


def overtaken(remote: Path, ref: str, by: str) -> None:
    """Has another commit or git tag arrive between git's look at the remote and its writing."""
    move = f"env -u GIT_QUARANTINE_PATH git update-ref {ref} {by}"
    hook(remote, "update", f"rm hooks/update; {move}")


# --- one push ------------------------------------------------------------------------------------


def test_runs_git_tags_and_the_turn_arrive_in_one_push(remote: Path, tmp_path: Path) -> None:
    train("three")
    type_("register churn three")  # not sent, and the promotion stands on it
    hook(remote, "pre-receive", f"cut -d' ' -f3 >> {tmp_path}/told; echo >> {tmp_path}/told")
    type_("promote churn@v3 production --push")
    told = (tmp_path / "told").read_text().strip().split("\n\n")
    tags = ["refs/tags/churn@v3.0.0", "refs/tags/churn#production#1"]
    assert [each.split() for each in told] == [["refs/heads/mlgit", *tags, TURN]]
    assert json_of("ls --unpushed")["tags"] == []


def test_a_registration_sends_no_decision(remote: Path) -> None:
    type_("promote churn@v2 production")
    train("three")
    type_("register churn three --push")
    assert json_of("ls --unpushed")["tags"] == ["churn#production#1"]
    assert TURN not in on_the_remote()


@pytest.mark.parametrize("is_sent", [True, False])
def test_runs_that_arrive_meanwhile_are_merged_and_all_of_it_goes(
    remote: Path, bo: Bo, is_sent: bool
) -> None:
    bo("describe churn -m x")
    train("three")
    bo_pushes = "mlgit:refs/heads/waiting"
    git("push", "--quiet", "origin", bo_pushes, cwd=remote.parent / "other")
    if is_sent:
        overtaken(remote, "refs/heads/mlgit", "refs/heads/waiting")
        type_("promote churn@v2 production --push")
    else:
        type_("promote churn@v2 production")
        overtaken(remote, "refs/heads/mlgit", "refs/heads/waiting")
        assert "Sent churn#production#1" in push().stdout
    assert "refs/tags/churn#production#1" in on_the_remote()
    assert json_of("show churn")["description"] == "x"


# --- somebody was faster -------------------------------------------------------------------------


def test_another_decision_about_the_model_came_first(remote: Path, bo: Bo, late: Late) -> None:
    """Under a git tag of another name, so that only the turn tells them apart."""
    late(lambda: bo("promote churn@v1 staging --push"))
    done = type_("promote churn@v2 production --push", code=1)
    assert done.stderr == (
        "Error: origin refused: somebody else decided about the model at the same time; "
        "meanwhile Bo Beispiel: churn v1: staging\n"
        "Hint: nothing was changed; to do it all the same, say it again\n"
    )
    assert stages() == {"v1": "staging", "v2": None}
    assert "refs/tags/churn#production#1" not in on_the_remote()


def test_the_same_number_was_registered_first(remote: Path, bo: Bo, late: Late) -> None:
    train("three")
    late(lambda: bo("register churn one --push"))
    before = head_of("mlgit")
    done = type_("register churn three --push", code=1)
    assert done.stderr == (
        "Error: origin refused the git tag churn@v3.0.0: it has another one of this name; "
        "meanwhile Bo Beispiel: churn v3: registered from run "
        f"{json_of('show churn@v3')['run'][:10]}\n"
        "Hint: nothing was changed; to do it all the same, say it again\n"
    )
    assert on_the_remote()["refs/heads/mlgit"] != before


@pytest.mark.parametrize("ref", [TURN, "refs/tags/churn#production#1"])
def test_somebody_is_faster_between_gits_look_and_its_writing(remote: Path, ref: str) -> None:
    overtaken(remote, f"'{ref}'", "refs/heads/main")
    before = on_the_remote() | {ref: head_of("main")}
    done = type_("promote churn@v2 production --push", code=1)
    assert "Error: origin refused" in done.stderr and "say it again" in done.stderr
    assert on_the_remote() == before
    assert stages() == {"v1": None, "v2": None}


# --- the remote says no --------------------------------------------------------------------------


def test_a_hook_refuses_the_turn_only(remote: Path) -> None:
    """Which is no race: nobody was faster, and to say it again would not help."""
    refuse(remote, "refs/mlgit/*", "branches and tags only")
    before = on_the_remote()
    done = type_("promote churn@v2 production --push", code=1)
    assert done.stderr == (
        f"Error: origin refused {TURN}: hook declined; it says: branches and tags only\n"
        "Hint: nothing was changed; that ref keeps two people from deciding at the same time; "
        "let it in there, or decide without --push and send it with 'mlgit push'\n"
    )
    assert on_the_remote() == before
    assert stages() == {"v1": None, "v2": None}
    type_("promote churn@v2 production")  # as the hint says
    assert "Sent churn#production#1" in push().stdout


def test_a_hook_refuses_a_git_tag_only(remote: Path) -> None:
    refuse(remote, "refs/tags/*", "ask Grace first")
    train("three")  # neither are runs sent
    before = on_the_remote()
    done = type_("promote churn@v2 production --push", code=1)
    assert done.stderr == (
        "Error: origin refused the git tag churn#production#1: hook declined; "
        "it says: ask Grace first\n"
        "Hint: nothing was changed; see to what it asks for, then say it again\n"
    )
    assert on_the_remote() == before
    assert stages() == {"v1": None, "v2": None}


def test_a_hook_refuses_the_runs_only(remote: Path) -> None:
    """The decision stays here, as after one without --push."""
    refuse(remote, "refs/heads/mlgit")
    train("three")
    before = on_the_remote()
    done = type_("promote churn@v2 production --push", code=1)
    assert "Error: origin refused the ledger: hook declined\n" in done.stderr
    assert "can be sent later" in done.stderr
    assert on_the_remote() == before
    assert stages() == {"v1": None, "v2": "production"}
    (remote / "hooks/update").unlink()
    assert "Sent churn#production#1" in push().stdout


def test_a_hook_refuses_all_of_it(remote: Path) -> None:
    train("three")
    hook(remote, "pre-receive", "echo 'not on Fridays' >&2; exit 1")
    said = "origin refused the ledger and the git tags: pre-receive hook declined; it says: not on"
    done = type_("promote churn@v2 production --push", code=1)
    assert f"Error: {said} Fridays\n" in done.stderr
    assert stages() == {"v1": None, "v2": None}
    type_("promote churn@v2 production")
    assert f"Error: {said} Fridays\n" in push(1).stderr
    assert stages() == {"v1": None, "v2": "production"}


def test_a_name_that_the_remote_cannot_have_is_no_race(remote: Path) -> None:
    """A git tag stands where the folder of another would be."""
    git("update-ref", "refs/tags/run", "main", cwd=remote)
    tagging.make(open_repository(), "run/one", head_of("main"), "x\n")
    assert "'refs/tags/run' exists; cannot create 'refs/tags/run/one'" in push(1).stderr


def test_a_hook_is_quoted_on_a_terminal_too(remote: Path) -> None:
    refuse(remote, "refs/tags/*", "ask Grace first")
    shown, code = on_terminal(
        *("mlgit", "model", "promote", "churn@v2", "production", "--push"), size=(300, 40)
    )
    assert code == 1
    assert "churn#production#1: hook declined; it says: ask Grace first\n" in shown


# --- a remote that takes no push all or nothing --------------------------------------------------


def test_a_remote_that_is_not_atomic_gets_all_of_it(not_atomic: Path) -> None:
    train("three")
    done = type_("promote churn@v2 production --push")
    assert done.stderr.endswith("Sent to origin.\n") and "atomic" not in done.stderr
    assert {"refs/tags/churn#production#1", TURN} <= on_the_remote().keys()
    assert on_the_remote()["refs/heads/mlgit"] == head_of("mlgit")


def test_of_who_loses_nothing_arrives_where_a_remote_is_not_atomic(
    not_atomic: Path, bo: Bo, late: Late
) -> None:
    train("three")
    late(lambda: bo("promote churn@v1 staging --push"))
    done = type_("promote churn@v2 production --push", code=1)
    assert "somebody else decided about the model at the same time; meanwhile Bo" in done.stderr
    assert "refs/tags/churn#production#1" not in on_the_remote()
    assert on_the_remote()["refs/heads/mlgit"] != head_of("mlgit")
    assert stages() == {"v1": "staging", "v2": None}


def test_what_arrived_in_part_where_a_remote_is_not_atomic_is_told(not_atomic: Path) -> None:
    type_("promote churn@v1 production --push")
    refuse(not_atomic, "*production#3", "one a day")
    done = type_("promote churn@v2 production --push", code=1)
    assert done.stderr == (
        "Error: origin refused the git tag churn#production#3: hook declined; "
        "it says: one a day\n"
        "Hint: churn#production!#2 has arrived all the same: origin takes no push all or "
        "nothing; see 'mlgit model history churn'\n"
    )
    assert "refs/tags/churn#production!#2" in on_the_remote()
    assert stages() == {"v1": None, "v2": None}
    (not_atomic / "hooks/update").unlink()
    type_("promote churn@v2 production --push")
    assert stages() == {"v1": None, "v2": "production"}


def test_a_terminal_shows_no_failure_where_a_remote_is_not_atomic(not_atomic: Path) -> None:
    shown, code = on_terminal("mlgit", "model", "promote", "churn@v2", "production", "--push")
    assert code == 0 and shown.endswith("Sent to origin.\n")
    assert TURN in on_the_remote()


# --- the rules, held on the remote ---------------------------------------------------------------


def test_a_run_its_version_and_its_promotion_may_come_in_one_push(remote: Path) -> None:
    """The hook judges by the ledger that is being pushed, not by the one that is there."""
    Path("mlgit.toml").write_text(
        '[registry.stage.production]\nrequire = ["metrics.rmse < 6.8"]\nreason = true\n'
    )
    git("add", "mlgit.toml")
    git("commit", "--quiet", "--message", "policy")
    git("push", "--quiet", "origin", "main")
    path = f"PYTHONPATH={Path(mlgit.__file__).parents[1]}"
    hook(remote, "pre-receive", f"{path} exec {sys.executable} -m mlgit model check --receive")
    train("three", 6.0)
    type_("register churn three")
    type_("promote churn@v3 production -m good --push")
    train("four", 5.0)
    type_("register churn four")
    type_("promote churn@v4 production -m better")
    assert "Sent churn#production!#2, churn#production#3, churn@v4.0.0" in push().stdout
    train("five", 7.5)
    type_("register churn five")
    before = on_the_remote()
    commit = head_of("churn@v5.0.0^{commit}")
    tagging.make(open_repository(), "churn#production#4", commit, "by hand\n")
    done = push(1)
    assert "churn#production#4: a reason has to be given: -m TEXT; " in done.stderr
    assert "churn#production#4: metrics.rmse < 6.8 does not hold" in done.stderr
    assert on_the_remote() == before
    told = subprocess.run(["git", "push", "origin", "+main:mlgit"], capture_output=True, text=True)
    assert told.returncode and "is not a ledger of mlgit: it has no mlgit.json" in told.stderr
