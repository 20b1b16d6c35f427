"""What a stage asks for, in mlgit.toml: read, refused, met, forced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import git, make_run
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
