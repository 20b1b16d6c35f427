"""Whatever two people decide from two clones: both end with one state, and with all of it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import allow, git, new_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_registry import churn  # noqa: F401  a model with two versions

from mlgit import registry
from mlgit.cli import cli
from mlgit.ledger import Ledger
from mlgit.registry import approvals, signatures
from mlgit.registry.signatures import Signer
from mlgit.tags import parse_approval

VERSIONS = ("churn@v1", "churn@v2")

_who = st.integers(0, 1)
_version = st.sampled_from(VERSIONS)
_stage = st.sampled_from(["staging", "production"])
_verb = st.one_of(
    st.tuples(st.just("register"), st.just("churn"), st.sampled_from(["one", "two"])),
    st.tuples(st.just("rename"), st.just("churn"), st.sampled_from(["leaving", "churn"])),
    st.tuples(st.just("untag"), _version, st.just("team")),
    st.tuples(st.just("promote"), _version, _stage),
    st.tuples(st.sampled_from(["approve", "approve", "unapprove"]), _version, _stage),
    st.tuples(st.just("demote"), _version),
    st.tuples(st.just("archive"), _version),
    st.tuples(st.just("alias"), _version, st.sampled_from(["champion", "challenger"])),
    st.tuples(st.just("unalias"), st.just("churn"), st.sampled_from(["champion", "challenger"])),
    st.tuples(st.just("rm"), st.sampled_from([*VERSIONS, "churn"])),
    st.tuples(st.just("restore"), st.sampled_from([*VERSIONS, "churn"])),
    st.tuples(st.just("describe"), _version, st.sampled_from(["-mgood", "-mbetter"])),
    st.tuples(st.just("tag"), _version, st.sampled_from(["team=ads", "team=risk"])),
)
_deed = st.one_of(
    st.tuples(_who, _verb, st.booleans()),
    st.tuples(_who, st.sampled_from([("pull",), ("push", "--yes")]), st.just(False)),
)


def mlgit(place: Path, *command: str) -> Result:
    """Runs mlgit in a clone; what goes wrong has to be told in a sentence."""
    done = CliRunner().invoke(cli, ["-C", str(place), *command], prog_name="mlgit")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 0 or "Error: " in done.stderr, done.output
    return done


@pytest.fixture
def pattern(churn: Path, tmp_path: Path, hermetic: Path) -> Iterator[Path]:  # noqa: F811
    """A folder with two clones in step, `0` and `1`, and their remote.

    Each is somebody's, whose key signs approvals and is known to both.
    """
    place = tmp_path / "pattern"
    keys = {who: new_key(hermetic / who) for who in ("ada", "bo")}
    allow(hermetic / "allowed", **keys)
    git("config", "gpg.format", "ssh")
    git("config", "user.signingkey", keys["ada"])
    git("init", "--quiet", "--bare", place / "remote.git")
    git("remote", "add", "origin", "../remote.git")
    shutil.copytree(churn, place / "0")
    git("push", "--quiet", "origin", "main", cwd=place / "0")
    assert mlgit(place / "0", "push", "--yes").exit_code == 0
    shutil.copytree(place / "0", place / "1")
    git("config", "user.name", "Bo Beispiel", cwd=place / "1")
    git("config", "user.email", "bo@example.org", cwd=place / "1")
    git("config", "user.signingkey", keys["bo"], cwd=place / "1")
    yield place
    os.chdir(churn)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(deeds=st.lists(_deed, min_size=3, max_size=10))
def test_two_clones_end_with_one_state(
    pattern: Path, deeds: list[tuple[int, tuple[str, ...], bool]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "place")
        shutil.copytree(pattern, place)
        clones = [place / "0", place / "1"]
        shared: dict[str, str] = {}
        for who, words, is_pushed in deeds:
            if words[0] in ("pull", "push"):
                mlgit(clones[who], *words)
            else:
                mlgit(clones[who], "model", *words, *(["--push"] if is_pushed else []))
            there = tags(place / "remote.git")
            assert shared.items() <= there.items()  # what was shared stays, and stays as it was
            shared = there
        for clone in (*clones, *clones):
            for command in (("pull",), ("push", "--yes")):
                as_told(clone, mlgit(clone, *command))
        last = tags(place / "remote.git")
        assert shared.items() <= last.items()
        assert tags(clones[0]) == tags(clones[1]) == last
        assert state(clones[0]) == state(clones[1])
        told = state(clones[0])
        approved = {tag for tag in last if tag.startswith("approved/")}
        assert {event["tag"] for event in told["events"]} == set(last) - approved
        assert {each["tag"] for each in told["history churn"]} == set(last)
        assert standing_by_hand(told["history churn"]) == {
            (number, stage, signer.who)
            for number in ("v1.0.0", "v2.0.0")
            for stage in ("staging", "production")
            for signer in standing(clones[1], number, stage)
        }
        os.chdir(pattern)


def as_told(clone: Path, done: Result) -> None:
    """Does what a refused push or pull says in order to go on."""
    if done.exit_code:
        _, _, told = done.stderr.partition("then decide again: ")
        taken_back, _, pull = told.strip().partition(" && ")
        subprocess.run(shlex.split(taken_back), cwd=clone, check=True, capture_output=True)
        assert pull == "mlgit pull"
        assert mlgit(clone, "pull").exit_code == 0


def standing_by_hand(history: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """Returns version, stage and signer of the approvals that nobody took back."""
    found = set()
    for each in history:
        name = parse_approval(each["tag"])
        if name is not None:
            assert each["signature"]["state"] == "good"
            about = (name.version, name.stage, each["signature"]["by"])
            assert (about in found) == name.withdrawn  # nobody approves twice
            (found.discard if name.withdrawn else found.add)(about)
    return found


def standing(clone: Path, number: str, stage: str) -> list[Signer]:
    with Ledger(clone) as ledger:
        model = registry.load_model(ledger, "churn")
        said = approvals.load(ledger.repository, model.name)
        signed = signatures.check(ledger, [each.sha for each in said])
        (version,) = (each for each in model.versions if each.version == number)
        return approvals.standing(said, signed, version, stage)


def tags(place: Path) -> dict[str, str]:
    lines = git("for-each-ref", "--format=%(refname:strip=2) %(objectname)", "refs/tags", cwd=place)
    return dict(line.split() for line in lines.splitlines())


def state(clone: Path) -> dict[str, Any]:
    """Returns what the reading commands say of the model, by command."""
    found = {}
    for command in ("show churn", "history churn", "events"):
        done = mlgit(clone, "model", *command.split(), "--json")
        (found[command],) = json.loads(done.stdout).values()
    return found
