"""The registry on a real remote over ssh: a hook that holds the rules, and two who race."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from conftest import git
from hypothesis import example, given
from hypothesis import strategies as st
from test_registry import churn, json_of, stages, train, type_  # noqa: F401

from mlgit.cli import cli
from mlgit.data.remote import Remote
from mlgit.errors import Invalid
from mlgit.ledger import open_repository, tagging
from mlgit.registry.receive import parse


@pytest.fixture
def over_ssh(
    churn: Path,  # noqa: F811
    tmp_path: Path,
    ssh: Remote,
    hermetic: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """A bare repository behind a real sshd, with the project pushed; its URL."""
    bare = tmp_path / "remote.git"
    git("init", "--quiet", "--bare", bare)
    # sshd gives its sessions a home of their own; the keys are of this test's home.
    key, known = hermetic / ".ssh/id_ed25519", hermetic / ".ssh/known_hosts"
    # One connection serves them all: twenty rounds would make three hundred.
    shared = f"-o ControlMaster=auto -o ControlPath={hermetic}/s -o ControlPersist=60"
    command = f"ssh -i {key} -o UserKnownHostsFile={known} {shared}"
    monkeypatch.setenv("GIT_SSH_COMMAND", command)
    port = urlsplit(ssh.url).port
    url = f"ssh://127.0.0.1:{port}{bare}"
    git("remote", "add", "origin", url)
    git("push", "--quiet", "origin", "main", "mlgit")
    git("push", "--quiet", "origin", "churn@v1.0.0", "churn@v2.0.0")
    yield url
    subprocess.run(
        ["ssh", "-o", f"ControlPath={hermetic}/s", "-O", "exit", "127.0.0.1"], check=False
    )


def install_hook(bare: Path) -> None:
    hook = bare / "hooks/pre-receive"
    path = os.environ.get("PYTHONPATH", "")
    hook.write_text(
        f"#!/bin/sh\nexport PYTHONPATH='{path}' HOME='{os.environ['HOME']}'\n"
        f"exec {sys.executable} -m mlgit model check --receive\n"
    )
    hook.chmod(0o755)


def make(tag: str, message: str = "by hand\n", of: str = "churn@v1.0.0") -> None:
    commit = git("rev-parse", f"{of}^{{commit}}").strip()
    tagging.make(open_repository(), tag, commit, message)


def push(*refs: str, code: int = 0) -> str:
    done = subprocess.run(["git", "push", "origin", *refs], capture_output=True, text=True)
    assert (done.returncode == 0) is (code == 0), done.stderr
    return done.stderr


def test_the_hook_holds_the_rules(over_ssh: str, tmp_path: Path) -> None:
    Path("mlgit.toml").write_text(
        '[registry.stage.production]\nrequire = ["metrics.rmse < 6.8"]\nreason = true\n'
    )
    git("add", "mlgit.toml")
    git("commit", "--quiet", "--message", "policy")
    push("main", "mlgit")
    install_hook(tmp_path / "remote.git")
    make("churn#production#1")  # by hand, around promote
    said = push("churn#production#1", code=1)
    assert "churn#production#1: metrics.rmse < 6.8 does not hold: metrics.rmse is 7" in said
    assert "a reason has to be given" in said
    git("tag", "-d", "churn#production#1")
    type_("promote churn@v2 production -m", "good", "--push")
    make("churn#staging#7")
    assert "its number should be 2" in push("churn#staging#7", code=1)
    git("tag", "-d", "churn#staging#7")
    git("tag", "-a", "-m", "x", "churn@v9.0.0", "HEAD")
    assert "it is on no version commit" in push("churn@v9.0.0", code=1)
    git("tag", "-d", "churn@v9.0.0")
    git("tag", "churn#staging#2", "churn@v1.0.0^{commit}")
    assert "is no annotated git tag" in push("churn#staging#2", code=1)
    git("tag", "-d", "churn#staging#2")
    assert "cannot be deleted" in push(":churn@v1.0.0", code=1)
    git("tag", "-f", "-a", "-m", "moved", "churn@v1.0.0", "HEAD")
    assert "cannot be moved" in push("+churn@v1.0.0", code=1)
    git("tag", "-a", "-m", "mine", "v1.0", "HEAD")
    push("v1.0")  # none of our business
    git("tag", "-d", "churn@v1.0.0")
    git("fetch", "--quiet", "origin", "refs/tags/churn@v1.0.0:refs/tags/churn@v1.0.0")
    type_("promote churn@v1 production --force -m", "an experiment", "--push")
    assert stages() == {"v1": "production", "v2": None}
    assert json_of("check") == []


A, B = "0" * 40, "1" * 40


@pytest.mark.parametrize(
    "line",
    [
        *("", " ", "x", f"{A} {B}", f"{A} {B} refs/tags/x more", f"{A}  {B} refs/tags/x"),
        *(f"{A} {B[1:]} refs/tags/x", f"{A} {B} x", f"{A} {B} refs/tags/a\x00b", "\udcff"),
        f"{A.replace('0', 'G')} {B} refs/tags/x",
    ],
)
def test_a_push_that_is_none(churn: Path, line: str) -> None:  # noqa: F811
    good = f"{A} {B} refs/heads/main\n"
    with pytest.raises(Invalid, match="line 2 of the push is no update"):
        parse(f"{good}{line}\n{good}")
    said = f"{good}{line}\n".encode(errors="surrogateescape")
    done = CliRunner().invoke(cli, ["model", "check", "--receive"], input=said)
    assert done.exit_code == 1 and done.stderr.startswith("Error: line 2 of the push"), done.output
    assert "\x00" not in done.stderr


def test_a_push_of_nothing(churn: Path) -> None:  # noqa: F811
    assert CliRunner().invoke(cli, ["model", "check", "--receive"], input="").exit_code == 0
    unknown = f"{A} {B} refs/tags/churn#staging#1\n"  # an object that is not here
    done = CliRunner().invoke(cli, ["model", "check", "--receive"], input=unknown)
    assert done.exit_code == 1 and "is no annotated git tag" in done.stderr
    gone = f"{A} {A} refs/tags/churn#staging#1\n"
    assert CliRunner().invoke(cli, ["model", "check", "--receive"], input=gone).exit_code == 0


@given(st.text(max_size=200))
@example(f"{A} {B} refs/tags/x")
def test_any_text_is_a_push_or_refused(text: str) -> None:
    try:
        updates = parse(text)
    except Invalid:
        return
    said = "".join(f"{old} {new} {ref}\n" for old, new, ref in updates)
    assert said == (text if text.endswith("\n") or not text else text + "\n")


def test_two_race_and_none_is_lost(
    over_ssh: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty rounds of two promotions at once: one wins, the other is told by whom it lost."""
    places = [Path.cwd(), tmp_path / "other"]
    git("clone", "--quiet", over_ssh, places[1])
    git("config", "user.name", "Bo Beispiel", cwd=places[1])
    for place in places:
        git("config", "user.email", "x@example.org", cwd=place)
    wanted = ["churn@v1", "churn@v2"]
    done: list[subprocess.CompletedProcess[str]] = []
    ready = threading.Barrier(2)

    def promote(place: Path, version: str, stage: str) -> None:
        ready.wait()
        command = ["-m", "mlgit", "model", "promote", version, stage, "-m", "race", "--push"]
        done.append(
            subprocess.run([sys.executable, *command], cwd=place, capture_output=True, text=True)
        )

    rounds = 20
    won = 0
    for number in range(rounds):
        done.clear()
        stage = ("staging", "production")[number % 2]
        order = wanted if number % 4 < 2 else wanted[::-1]
        threads = [
            threading.Thread(target=promote, args=(place, version, stage))
            for place, version in zip(places, order, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for each in done:
            assert "Traceback" not in each.stderr, each.stderr
            if each.returncode:
                told = "refused" in each.stderr or "is in " in each.stderr
                assert told, each.stderr
        won += sum(each.returncode == 0 for each in done)
        assert any(each.returncode == 0 for each in done), [each.stderr for each in done]
    listed = {
        line.split("refs/tags/")[1]
        for line in git("ls-remote", "--tags", "--refs", "origin").splitlines()
    }
    for place in places:
        monkeypatch.chdir(place)
        subprocess.run([sys.executable, "-m", "mlgit", "pull"], check=True, capture_output=True)
        assert {*git("tag").split()} == listed  # nothing of the losers stays behind
    taken = [tag for tag in listed if "#" in tag and "!" not in tag]
    assert len(taken) == won >= rounds
    numbers = sorted(int(tag.rpartition("#")[2]) for tag in listed if "#" in tag)
    assert numbers == sorted(set(numbers))
