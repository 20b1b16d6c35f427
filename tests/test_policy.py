"""What a stage asks for, in mlgit.toml: read, refused, met, forced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import allow, git, make_run, new_key, sign_with
from test_registry import churn, json_of, stages, train, type_  # noqa: F401

from mlgit.errors import Invalid
from mlgit.records import Metric, Pointer, Run, Source
from mlgit.registry.policy import Policy, Stage, check, parse

FULL = """
[registry]
stages = ["staging", "production", "archived", "canary"]

[registry.stage.production]
require = ["metrics.rmse < 6.8", "metrics.rmse <= current.metrics.rmse"]
clean_code = true
versioned_inputs = true
reason = true
signature = true
signers = ["ada@example.org"]
"""


def run(rmse: float | None = 6.5, **fields: Any) -> Run:
    metrics = (
        {} if rmse is None else {"rmse": Metric(last=rmse, min=rmse, max=rmse, step=0, count=1)}
    )
    data = Pointer(path="t.csv", md5="0" * 32, size=1, stored="dvc")
    fixed = {"metrics": metrics, "inputs": [data], "source": Source(commit="0" * 40)}
    return make_run(**(fixed | fields))


def test_a_policy_is_read() -> None:
    policy = parse(FULL.encode())
    assert policy.stages[-1] == "canary"
    assert policy.stage["production"].signers == ["ada@example.org"]
    assert parse(b"[other]\nx = 1\n") == Policy()
    assert parse(b"").stages == ["staging", "production", "archived"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[registry", "cannot be read"),
        ("registry = 5", "cannot be read"),
        ('[registry]\nstage = ["x"]', "cannot be read"),
        ("[registry.stage.prod]\nreason = true", "there is no stage 'prod'"),
        ("[registry.stage.production]\nreasons = true", "unknown field `reasons`"),
        ('[registry.stage.production]\nrequire = ["rmse <"]', "of production: cannot read"),
        ('[registry.stage.production]\nrequire = ["current.metrics. < 1"]', "of production"),
        ("\xff", "cannot be read"),
    ],
)
def test_a_policy_with_a_mistake_is_refused(text: str, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        parse(text.encode("latin-1"))


def test_what_a_stage_has_against_a_version() -> None:
    stage = parse(FULL.encode()).stage["production"]
    assert check(stage, run(), run(6.6), "better", "ada@example.org") == []
    assert check(stage, run(), None, "first", "ada@example.org") == []
    dirty = Source(commit="0" * 40, snapshot="1" * 40)
    hashed = Pointer(path="x.csv", md5="0" * 32, size=1)
    found = check(stage, run(6.9, source=dirty, inputs=[hashed]), run(6.6), " ", "bo@example.org")
    assert found == [
        "a reason has to be given: -m TEXT",
        "it has to be signed by ada@example.org",
        "metrics.rmse < 6.8 does not hold: metrics.rmse is 6.9",
        "metrics.rmse <= current.metrics.rmse (metrics.rmse <= 6.6) does not hold: "
        "metrics.rmse is 6.9",
        "its code had uncommitted changes, or none was recorded",
        "of its input x.csv only a hash or an address was recorded",
    ]
    assert "metrics.rmse is absent" in check(stage, run(None), None, "x", "ada@example.org")[0]
    assert check(stage, None, None, "x", None)[-1] == (
        "the run of the version is not in this ledger"
    )
    assert check(Stage(), None, None, "", None) == []


def test_conditions_on_the_version_in_the_stage() -> None:
    def of(**last: float) -> Run:
        return run(
            None,
            metrics={key: Metric(last=v, min=v, max=v, step=0, count=1) for key, v in last.items()},
        )

    both = Stage(require=["metrics.a >= current.metrics.a and metrics.ab >= current.metrics.ab"])
    assert check(both, of(a=1, ab=5), of(a=1, ab=5), "", None) == []
    assert "metrics.ab >= 5)" in check(both, of(a=1, ab=4), of(a=1, ab=5), "", None)[0]
    for value in (float("nan"), float("inf"), -3, 2**70):
        same = Stage(require=["metrics.a = current.metrics.a"])
        assert check(same, of(a=value), of(a=value), "", None) == []
    for param in ("it's", 'a "b"', r"back\slash", True, [1, 2], {"k": "v"}):
        held = run(params={"p": param, "pp": 1})
        same = Stage(require=["params.p = current.params.p", "params.pp = current.params.pp"])
        assert check(same, held, held, "", None) == []
        assert check(same, run(params={"p": "x", "pp": 1}), held, "", None) != []


def test_who_signed_is_told_by_the_key(churn: Path, hermetic: Path) -> None:  # noqa: F811
    """Whoever may sign at all could write another's address into a tag."""
    ada, bo = (new_key(hermetic / name) for name in ("ada", "bo"))
    allow(hermetic / "allowed", ada=ada, bo=bo)
    Path("mlgit.toml").write_text('[registry.stage.production]\nsigners = ["ada@example.org"]\n')
    git("add", "mlgit.toml")
    git("commit", "--quiet", "--message", "policy")
    sign_with(ada, "tag")
    type_("promote churn@v1 production")
    assert json_of("check") == []
    sign_with(bo, "tag")
    assert git("config", "user.email").strip() == "ada@example.org"
    type_("promote churn@v2 production")
    assert "churn#production#3: it has to be signed by ada@example.org" in (
        type_("check", code=1).stderr
    )


def test_promotions_are_refused_accepted_and_forced(churn: Path) -> None:  # noqa: F811
    Path("mlgit.toml").write_text(
        "[registry]\nstages = ['staging', 'production', 'archived', 'canary']\n"
        "[registry.stage.production]\n"
        'require = ["metrics.rmse < 6.8", "metrics.rmse <= current.metrics.rmse"]\n'
        "reason = true\nclean_code = true\n"
    )
    before = git("tag")
    done = type_("promote churn@v1 production", code=1)
    assert "Refused: a reason has to be given" in done.stderr
    assert "Refused: metrics.rmse < 6.8 does not hold: metrics.rmse is 7" in done.stderr
    assert git("tag") == before
    assert "--force needs a reason" in type_("promote churn@v1 production --force", code=1).stderr
    type_("promote churn@v1 production --force -m", "a demo")
    assert "v1 → production (forced)" in type_("history churn").stdout
    assert "metrics.rmse < 6.8 does not hold" in json_of("history churn")[-1]["forced"]
    type_("promote churn@v2 production -m", "lower error")
    assert stages() == {"v1": None, "v2": "production"}
    train("worse", 6.6)
    type_("register churn worse")
    done = type_("promote churn@v3 production -m", "newer", code=1)
    assert "(metrics.rmse <= 6.5) does not hold: metrics.rmse is 6.6" in done.stderr
    type_("promote churn@v3 canary")
    assert stages()["v3"] == "canary"
    Path("mlgit.toml").write_text("[registry.stage.production]\nreasons = true\n")
    assert "mlgit.toml cannot be read" in type_("promote churn@v1 staging", code=1).stderr
