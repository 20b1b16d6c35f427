"""What `mlgit log` says of its own accord."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import add_runs, make_run
from showcase import start_journal
from test_cli_rules import mlgit


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--sort metrics.rsme", "no run has metrics.rsme; did you mean metrics.rmse?"),
        ("--sort -metrics.RMSE.min", "no run has metrics.RMSE; did you mean metrics.rmse?"),
        ("--where params.rmse<7", "no run has params.rmse; did you mean metrics.rmse?"),
        ("--where tags.zzz=1 --json", "no run has tags.zzz"),
        ("--columns name,params.depht", "no run has params.depht; did you mean params.depth?"),
        ("--format {{params.modle}}", "no run has params.modle; did you mean params.model?"),
        ("--group-by params.Model --csv", "no run has params.Model; did you mean params.model?"),
    ],
)
def test_what_no_run_has_is_told(showcase: Path, options: str, told: str) -> None:
    done = mlgit("log", *options.split())
    assert done.exit_code == 0
    assert done.stderr.splitlines()[0] == f"Warning: {told}"
    assert "rsme" not in done.stdout, "an empty column would say nothing"


def test_null_is_told_from_what_is_absent(repo: Path) -> None:
    params: list[dict[str, Any]] = [{"x": None, "o": {"i": None}}, {}, {"x": 1}]
    add_runs(repo, *(make_run(name=f"run {len(each)}", params=each) for each in params))
    chosen = ("log", "--sort", "name", "--columns", "params.x,params.o.i")
    assert mlgit(*chosen).stdout.split()[2:] == ["-", "-", "1", "-", "null", "null"]
    assert mlgit(*chosen, "--csv").stdout.splitlines()[1:] == [",", "1,", "null,null"]
    lines = mlgit("log", "--sort", "name", "--format", "{{ params.x }}").stdout
    assert lines == "\n1\nnull\n"
    # For conditions and groups they are the same.
    (one,) = mlgit("log", "--where", "params.x", "--format", "{{ name }}").stdout.splitlines()
    assert one == "run 1"
    groups = mlgit("log", "--group-by", "params.x").stdout.splitlines()[1:]
    assert [line.split() for line in sorted(groups)] == [["-", "2"], ["1", "1"]]


@pytest.mark.parametrize(
    "options",
    [
        "--sort metrics.auc --experiment nyc-taxi",
        "--sort metrics.rmse.max",
        "--where metrics.loss<0",
        "--where params.space.depth.max=99",
        "--where metrics.speed<1",
        "--columns params.night",
    ],
)
def test_what_some_run_has_is_not(showcase: Path, options: str) -> None:
    held = start_journal(showcase, ['["m","speed",0,0,5]', '["p","night",1]'])
    assert "Warning" not in mlgit("log", *options.split()).stderr
    held.close()
