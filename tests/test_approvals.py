"""Approvals: who may say that a version takes a stage, what counts, and GTO beside it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import allow, git, new_key, sign_with
from hypothesis import given
from hypothesis import strategies as st
from test_registry import churn, event, gto, gto_state, json_of, our_state, stages, type_  # noqa: F401

from mlgit import names, registry, tags
from mlgit.ledger import Ledger, open_repository, tagging
from mlgit.registry import approvals
from mlgit.registry.approvals import Approval, standing
from mlgit.registry.fold import Version
from mlgit.registry.history import together
from mlgit.registry.signatures import Signature, Signer
from mlgit.tags import ApprovalName

PEOPLE = ("ada", "bo", "cy")


@pytest.fixture
def keys(churn: Path, hermetic: Path) -> dict[str, Path]:  # noqa: F811
    """The keys of three people, all allowed; production asks for two approvals."""
    made = {who: new_key(hermetic / who) for who in PEOPLE}
    allow(hermetic / "allowed", **made)
    Path("mlgit.toml").write_text("[registry.stage.production]\napprovals = 2\n")
    git("add", "mlgit.toml")
    git("commit", "--quiet", "--message", "policy")
    sign_with(made["ada"], "tag")
    return made


@contextmanager
def being(who: str, keys: dict[str, Path], email: str | None = None) -> Iterator[None]:
    git("config", "user.signingkey", keys[who])
    git("config", "user.email", email or f"{who}@example.org")
    yield
    git("config", "user.signingkey", keys["ada"])
    git("config", "user.email", "ada@example.org")


def test_a_stage_asks_for_approvals(keys: dict[str, Path]) -> None:
    said = type_("promote churn@v2 production", code=1).stderr
    assert "Refused: 2 others have to approve it, and nobody did: mlgit model approve" in said
    type_("approve churn@v2 production -m", "mine")  # Ada's own does not count
    with being("bo", keys):
        done = type_("approve churn@v2 Production -m", "checked on May")
        assert done.stdout.startswith("churn v2: approved for production  (git tag approved/churn/")
    said = type_("promote churn@v2 production", code=1).stderr
    assert "2 others have to approve it, and bo@example.org did" in said
    with being("cy", keys):
        type_("approve churn@v1 production")  # another version
        type_("approve churn@v2 staging")  # another stage
    assert "and bo@example.org did" in type_("promote churn@v2 production", code=1).stderr
    with being("cy", keys):
        type_("approve churn@v2 production")
        type_("unapprove churn@v2 production -m", "wait")
    assert "and bo@example.org did" in type_("promote churn@v2 production", code=1).stderr
    with being("cy", keys):
        type_("approve churn@v2 production")
    type_("promote churn@v2 production -m", "approved")
    assert stages() == {"v1": None, "v2": "production"}
    assert json_of("check") == []
    with being("cy", keys):
        type_("unapprove churn@v2 production -m", "too late")
    assert json_of("check") == []  # what was decided before stands
    type_("demote churn@v2")
    assert "and bo@example.org did" in type_("promote churn@v2 production", code=1).stderr


def test_it_is_the_key_that_counts(keys: dict[str, Path], hermetic: Path) -> None:
    eve = new_key(hermetic / "eve")
    every = {**keys, "eve": eve}
    with being("eve", every, "bo@example.org"):
        type_("approve churn@v2 production")  # of a key that nobody allowed
    with being("ada", every, "cy@example.org"):
        type_("approve churn@v2 production")  # the promoter herself, by another name
    with being("bo", every):
        type_("approve churn@v2 production")
        type_("approve churn@v2 production")  # twice is once
    assert "and bo@example.org did" in type_("promote churn@v2 production", code=1).stderr
    said = type_("check", code=1).stderr
    assert said.count("the key that signed it is not known here") == 1
    type_("promote churn@v2 production --force -m", "urgent")
    forced = json_of("history churn")[-1]["forced"]
    assert "2 others have to approve it, and bo@example.org did" in forced


def test_twice_is_once(keys: dict[str, Path], bare: Callable[..., Path]) -> None:
    git("remote", "add", "origin", bare())
    git("push", "--quiet", "origin", "main")
    with being("bo", keys):
        type_("approve churn@v2 production -m", "checked on May")
        before = git("for-each-ref")
        for more in ("", " --push"):
            done = type_(f"approve churn@v2 Production{more} -m", "again")
            told = "churn@v2 is already approved for production by bo@example.org\n"
            assert done.stdout == told
            assert git("ls-remote", "--refs", "origin").count("approved/") == bool(more)
        assert git("for-each-ref", "refs/tags") in before
        with Ledger() as ledger:
            model = registry.load_model(ledger, "churn")
            assert approvals.say(ledger, model, model.versions[0], "production") == []
        # Another stage or version, or by another key, is another approval.
        type_("approve churn@v2 staging")
        type_("approve churn@v1 production")
    with being("cy", keys, "bo@example.org"):
        type_("approve churn@v2 production")
    assert len(git("tag", "--list", "approved/*").split()) == 4
    # What was taken back can be given again.
    with being("bo", keys):
        type_("unapprove churn@v2 production")
        type_("approve churn@v2 production")
    assert len(git("tag", "--list", "approved/*").split()) == 6


def test_nobody_else_s_approval_is_in_the_way(keys: dict[str, Path], hermetic: Path) -> None:
    every = {**keys, "eve": new_key(hermetic / "eve")}
    with being("eve", every, "bo@example.org"):
        type_("approve churn@v2 production")  # of a key that nobody knows
        type_("approve churn@v2 production")
    with being("bo", every):
        assert "approved for production  (git tag" in type_("approve churn@v2 production").stdout


def test_two_keys_of_one_person_are_one_approval(keys: dict[str, Path], hermetic: Path) -> None:
    second = new_key(hermetic / "second")
    with (hermetic / "allowed").open("a") as file:
        file.write(f"bo@example.org {Path(f'{second}.pub').read_text()}")
    for who, path in (("bo", keys["bo"]), ("bo", second)):
        with being(who, {**keys, "bo": path}):
            type_("approve churn@v2 production")
    assert "and bo@example.org did" in type_("promote churn@v2 production", code=1).stderr


def test_a_promotion_without_a_signature_is_nobody_s(keys: dict[str, Path]) -> None:
    for who in ("bo", "cy"):
        with being(who, keys):
            type_("approve churn@v2 production")
    git("config", "tag.gpgsign", "false")
    said = type_("promote churn@v2 production", code=1).stderr
    assert "its approvals are others' only if it is signed" in said


def test_approvals_are_signed_whatever_git_is_told(keys: dict[str, Path]) -> None:
    git("config", "tag.gpgsign", "false")
    type_("approve churn@v2 production")
    (tag,) = git("tag", "--list", "approved/*").split()
    git("verify-tag", tag)
    git("config", "user.signingkey", "/nowhere")
    done = type_("approve churn@v2 production", code=1)
    assert "could not sign" in done.stderr and "user.signingkey" in done.stderr
    assert git("tag", "--list", "approved/*").split() == [tag]


def test_what_cannot_be_approved(keys: dict[str, Path]) -> None:
    for command, words in {
        "approve churn production": "names no version",
        "approve churn@v9 production": "has no version",
        "approve churn@v2 canary": "there is no stage 'canary'",
        "approve nobody@v1 production": "there is no model",
        "unapprove churn@v2 production": "ada@example.org has not approved churn@v2",
    }.items():
        assert words in type_(command, code=1).stderr
    type_("promote churn@v1 staging")
    assert "is in staging already" in type_("approve churn@v1 staging", code=1).stderr
    assert git("tag", "--list", "approved/*") == ""


def test_gto_passes_over_them(keys: dict[str, Path]) -> None:
    type_("promote churn@v1 staging")
    before = gto_state(), gto("history", "churn"), gto("stages")
    for who in ("bo", "cy"):
        with being(who, keys):
            type_("approve churn@v2 production")
            type_("unapprove churn@v2 staging", code=1)
    assert (gto_state(), gto("history", "churn"), gto("stages")) == before
    assert gto_state() == our_state()
    tag = git("tag", "--list", "approved/*").split()[0]
    done = subprocess.run(
        [sys.executable, "-m", "gto.cli", "check-ref", f"refs/tags/{tag}"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == ""
    type_("promote churn@v2 production")
    assert gto_state() == our_state()
    assert [event["tag"] for event in json_of("events")][-1] == "churn#production#2"


def test_they_are_shown(keys: dict[str, Path]) -> None:
    with being("bo", keys):
        type_("approve churn@v2 production -m", "checked on May")
    type_("promote churn@v1 staging")
    shown = type_("show churn@v2").stdout
    assert "Approved:    for production by bo@example.org" in shown and "checked on May" in shown
    (told,) = json_of("show churn@v2")["approvals"]
    assert told["stage"] == "production" and told["withdrawn"] is False
    assert told["signature"]["state"] == "good" and told["signature"]["by"] == "bo@example.org"
    history = json_of("history churn")
    assert [each["action"] for each in history] == ["register", "register", "approve", "assign"]
    assert [each["signature"] and each["signature"]["by"] for each in history] == [
        *(None, None, "bo@example.org", "ada@example.org")
    ]
    text = type_("history churn").stdout
    assert "v2 approved for production" in text and "bo@example.org" in text
    with being("bo", keys):
        type_("unapprove churn@v2 production")
    assert "Approved:" not in type_("show churn@v2").stdout
    assert [each["action"] for each in json_of("history churn")][-1] == "unapprove"
    git("config", "--unset", "gpg.ssh.allowedSignersFile")
    assert "unknown key" in type_("history churn").stdout


def test_a_remote_holds_to_them(
    keys: dict[str, Path], tmp_path: Path, bare: Callable[..., Path]
) -> None:
    remote = bare()
    git("remote", "add", "origin", remote)
    git("push", "--quiet", "origin", "main", "mlgit", "churn@v1.0.0", "churn@v2.0.0")
    git(
        "config",
        "gpg.ssh.allowedSignersFile",
        git("config", "gpg.ssh.allowedSignersFile").strip(),
        cwd=remote,
    )
    hook = remote / "hooks/pre-receive"
    hook.write_text(f"#!/bin/sh\nexec {sys.executable} -m mlgit model check --receive\n")
    hook.chmod(0o755)
    with being("bo", keys):
        type_("approve churn@v2 production --push")
    name = ApprovalName("churn", "v2.0.0", "production", names.new_id())
    commit = git("rev-parse", "churn@v2.0.0^{commit}").strip()
    git("config", "tag.gpgsign", "false")
    tagging.make(open_repository(), str(name), commit, "forged\n")
    assert "it has no good signature" in refused(str(name))
    git("tag", "--delete", str(name))
    git("config", "tag.gpgsign", "true")
    other = str(name._replace(id=names.new_id()))
    with being("cy", keys):
        git("tag", "--sign", "--message", "elsewhere", other, "HEAD")
    assert "is not that of churn v2.0.0" in refused(other)
    git("tag", "--delete", other)
    # Bo's approval under another name: its object says what it was.
    mine = git("tag", "--list", "approved/*").strip()
    copy = str(name._replace(version="v1.0.0"))
    git("update-ref", f"refs/tags/{copy}", git("rev-parse", mine).strip())
    assert "of that very name" in refused(copy)
    git("tag", "--delete", copy)
    assert "bo@example.org did" in type_("promote churn@v2 production --push", code=1).stderr
    type_("promote churn@v2 production", code=1)
    # The last approval and a promotion by hand come in one push.
    with being("cy", keys):
        type_("approve churn@v2 production")
    type_("promote churn@v2 production")
    pushed = git("tag", "--list", "approved/*", "churn#*").split()
    git("push", "--quiet", "--atomic", "origin", *pushed)
    assert git("ls-remote", "--tags", "--refs", "origin").count("approved/") == 2
    assert "cannot be deleted" in refused(f":{mine}")


def refused(ref: str) -> str:
    done = subprocess.run(["git", "push", "origin", ref], capture_output=True, text=True)
    assert done.returncode, done.stderr
    return done.stderr


def test_they_travel_with_the_registry(
    keys: dict[str, Path], tmp_path: Path, bare: Callable[..., Path], monkeypatch: Any
) -> None:
    git("remote", "add", "origin", bare())
    git("push", "--quiet", "origin", "main")
    with being("bo", keys):
        type_("approve churn@v2 production")
    (tag,) = git("tag", "--list", "approved/*").split()
    options = ["-m", "mlgit", "push", "--yes"]
    subprocess.run([sys.executable, *options], check=True, capture_output=True)
    assert tag in git("ls-remote", "--tags", "origin")
    other = tmp_path / "other"
    git("clone", "--quiet", "--no-tags", tmp_path / "remote.git", other)
    monkeypatch.chdir(other)
    subprocess.run([sys.executable, "-m", "mlgit", "pull"], check=True, capture_output=True)
    assert git("tag", "--list", "approved/*").split() == [tag]


def test_a_fast_clock_of_another_does_not_make_an_approval_late(
    keys: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = names.new_id
    later = 1000 * 60
    monkeypatch.setattr(
        approvals.names, "new_id", lambda: original(names.id_ms(original()) + later)
    )
    for who in ("bo", "cy"):
        with being(who, keys):
            type_("approve churn@v2 production")
    monkeypatch.setattr(approvals.names, "new_id", original)
    type_("promote churn@v2 production")
    assert json_of("check") == []


# --- the rule, pure ------------------------------------------------------------------------------

SIGNERS = [Signer(who, key) for who in "abc" for key in ("k1", "k2", "k3")]
STATEMENT = st.tuples(
    st.sampled_from(SIGNERS),
    st.sampled_from(["production", "staging"]),
    st.booleans(),
    st.booleans(),
)


@given(st.lists(STATEMENT, max_size=12), st.sampled_from([None, *SIGNERS]), st.randoms())
def test_nobody_counts_twice_nor_the_promoter(
    said: list[tuple[Signer, str, bool, bool]], promoter: Signer | None, chance: Any
) -> None:
    version = Version(
        **{"model": "m", "version": "v1.0.0", "commit": "c", "run": None, "path": None},
        **{"hash": None, "time": "", "by": "", "email": "", "reason": ""},
    )
    made, signatures = [], {}
    for number, (signer, stage, withdrawn, good) in enumerate(said):
        name = ApprovalName("m", "v1.0.0", stage, names.new_id(1000 + number), withdrawn)
        made.append(Approval(name, str(name), str(number), "c", "", "", "", "", "SSH"))
        signatures[str(number)] = Signature("good", signer) if good else Signature("bad")
    found = standing(made, signatures, version, "production", promoter)
    chance.shuffle(made)
    assert standing(made, signatures, version, "production", promoter) == found
    assert len({each.who for each in found}) == len({each.key for each in found}) == len(found)
    for each in found:
        assert promoter is None or (each.who != promoter.who and each.key != promoter.key)
        mine = [w for s, stage, w, good in said if (s, stage, good) == (each, "production", True)]
        assert mine[-1] is False
    assert standing(made, signatures, version, "production", None, names.timestamp(0)) == []


@given(st.lists(st.integers(0, 9), max_size=8), st.lists(st.integers(0, 9), max_size=8))
def test_history_keeps_the_order_of_events(events: list[int], said: list[int]) -> None:
    """GTO's events have whole seconds, so their times alone would disturb it."""
    told = [event(number, "assign", 1, "a", when) for number, when in enumerate(events)]
    made = []
    for second in said:
        name = ApprovalName("m", "v1.0.0", "a", names.new_id(1000 * second))
        made.append(Approval(name, str(name), "", "c", "", "", "", "", None))
    found = together(told, made)
    assert [each for each in found if each not in made] == told
    assert sorted(each.tag for each in found) == sorted(each.tag for each in (*told, *made))
    for place, each in enumerate(found):
        later = [other for other in told if other.time > each.time]
        if isinstance(each, Approval) and later:
            assert found.index(later[0]) > place


def test_names_of_approvals() -> None:
    good = {
        "approved/churn/v2.0.0/production/01kb2q6v6r8m3x0c5t1w9y7zab": ApprovalName(
            "churn", "v2.0.0", "production", "01kb2q6v6r8m3x0c5t1w9y7zab"
        ),
        "approved/gr%C3%B6%C3%9Fe/2/v1.0.0-rc.1/a-b!/01kb2q6v6r8m3x0c5t1w9y7zab": ApprovalName(
            "größe/2", "v1.0.0-rc.1", "a-b", "01kb2q6v6r8m3x0c5t1w9y7zab", True
        ),
    }
    for tag, name in good.items():
        assert tags.parse_approval(tag) == name and str(name) == tag
        assert tags.is_ours(tag) and tags.parse(tag) is None
        git("check-ref-format", f"refs/tags/{tag}")
    for tag in (
        "approved/churn/v2/production/01kb2q6v6r8m3x0c5t1w9y7zab",
        "approved/churn/v2.0.0/production/01kb2q6v6r8m3x0c5t1w9y7za",
        "approved/churn/v2.0.0/pro/duction/01kb2q6v6r8m3x0c5t1w9y7zab",
        "approved//v2.0.0/production/01kb2q6v6r8m3x0c5t1w9y7zab",
        "approved/churn/v2.0.0/production!!/01kb2q6v6r8m3x0c5t1w9y7zab",
        "approved/../v2.0.0/production/01kb2q6v6r8m3x0c5t1w9y7zab",
        "approved/churn@v2.0.0",
    ):
        assert tags.parse_approval(tag) is None
