"""The page of one run: what it says beside the record itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import add_runs, make_run
from showcase import ENVIRONMENT, code_of, start_journal
from test_cli_rules import mlgit

from mlgit import names, saved
from mlgit.ledger import append, open_repository

Resume = Callable[..., None]


@pytest.fixture
def resume(repo: Path) -> Resume:
    """Has a run of two hours, failed at noon, taken up again."""
    started = names.seconds("2026-11-01T10:00:00.000000Z")
    run = make_run(
        int(started * 1000), name="long", status="failed", error="OSError: full",
        ended=names.timestamp(started + 7200), source=code_of("1" * 40),
        environment=packages(repo, ENVIRONMENT["packages"]),
    )  # fmt: skip
    add_runs(repo, run)

    def again(started: str, ended: str, **told: Any) -> None:
        day = "2026-11-02T{}.000000Z".format
        content = {"started": day(started), "ended": day(ended), "status": "finished", **told}
        fact = saved.fact(open_repository(repo), "resume", content)
        saved.add_facts(open_repository(repo), {run.id: [fact]}, "again")

    return again


def packages(repo: Path, versions: Any) -> str:
    """Puts an environment with these packages on the branch and returns its hash."""
    digest, listing = saved.pack_environment({**ENVIRONMENT, "packages": versions})
    append(open_repository(repo), listing, "packages\n")
    return digest


def test_a_run_in_one_go_says_nothing_of_stretches(resume: Resume) -> None:
    assert "Stretches" not in mlgit("show", "long").stdout
    (only,) = shown("long")["stretches"]
    assert (only["status"], only["error"], only["duration"]) == ("failed", "OSError: full", 7200)


def test_every_stretch_is_told_with_its_failure(repo: Path, resume: Resume) -> None:
    newer = packages(repo, {"numpy": "2.1.0", "scikit-learn": "1.6.0", "x": "1"})
    code = {"commit": "1" * 40, "snapshot": "2" * 40}
    resume(
        "08:00:00", "09:30:00", status="interrupted", paused=1800, source=code, environment=newer
    )
    resume("10:00:00", "10:30:00", environment=newer)
    page = mlgit("show", "long").stdout
    assert "Status:   finished\n" in page
    assert "took 3 h 30 min, paused for 21 h\n" in page
    assert (
        "Stretches\n"
        "  STARTED                    TOOK  STATUS       CODE        ERROR\n"
        "  2026-11-01 10:00:00 UTC     2 h  failed       1111111111  OSError: full\n"
        "  2026-11-02 08:00:00 UTC     1 h  interrupted  2222222222\n"
        "  2026-11-02 10:00:00 UTC  30 min  finished     -\n"
    ) in page
    assert "  later     scikit-learn 1.6.0 (was 1.5.2), x 1 (was -)\n" in page
    first, second, third = shown("long")["stretches"]
    assert first["environment"] != second["environment"] == third["environment"]
    assert second["source"]["snapshot"] == "2" * 40
    assert [each["duration"] for each in (first, second, third)] == [7200, 3600, 1800]


def test_nested_runs_and_their_parent_name_each_other(repo: Path) -> None:
    (parent,) = add_runs(repo, make_run(name="search"))
    trials = [make_run(name=f"trial {n}", parent=parent) for n in range(25)]
    ids = add_runs(repo, *trials, make_run(name="other", parent=names.new_id()))
    page = mlgit("show", "search").stdout
    assert f"  {ids[0][:10]}  trial 0   finished  0 ms\n" in page
    assert f"(20 of 25; all: mlgit log -n 0 --where 'parent = {parent}')" in page
    assert "trial 20" not in page and "other" not in page
    assert [child["id"] for child in shown("search")["children"]] == ids[:25]
    mlgit("rm", ids[0])
    assert "trial 0 " not in mlgit("show", "search").stdout
    assert f"Parent:   {parent}  exp/search\n" in mlgit("show", "trial 3").stdout
    assert "Parent:" in mlgit("show", "other").stdout


def test_a_run_that_goes_on_has_children_too(showcase: Path) -> None:
    held = start_journal(showcase, ['["p","lr",0.1]'])
    (live,) = json.loads(mlgit("log", "--live", "--json").stdout)["mlgit.log/v1"]
    add_runs(showcase, make_run(name="inner", parent=live["id"], experiment="taxi"))
    page = mlgit("show", "night").stdout
    assert "running" in page and "inner" in page
    assert shown("night")["stretches"] == []
    held.close()


def shown(run: str) -> Any:
    return json.loads(mlgit("show", run, "--json").stdout)["mlgit.show/v1"]
