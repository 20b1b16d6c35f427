"""What `mlgit log` says of its own accord."""

from __future__ import annotations

from pathlib import Path

import pytest
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
