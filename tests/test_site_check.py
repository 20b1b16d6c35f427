"""Less than the whole ledger, how large it is, and whether a site is what the ledger says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import add_runs, git, make_run
from test_site_build import check_links, content

from mlgit import saved
from mlgit.cli import cli
from mlgit.ledger import Ledger, open_repository
from mlgit.site import budget
from mlgit.site.write import MANIFEST


def site(*words: str | Path, code: int = 0) -> str:
    """Runs `mlgit site …` and returns what it printed."""
    done = CliRunner().invoke(cli, ["site", *map(str, words)])
    assert done.exit_code == code, done.output
    return done.output


def document(*words: str | Path, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(cli, ["site", *map(str, words), "--json"])
    assert done.exit_code == code, done.output
    (value,) = json.loads(done.stdout).values()
    assert isinstance(value, dict)
    return value


# --- fewer runs --------------------------------------------------------------------------------


def test_only_some_runs(showcase: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    site("build", "--out", out, "--since", "2026-11-02", "--experiment", "nyc-taxi")
    with Ledger() as ledger:
        every = [*saved.select(ledger), *saved.select(ledger, deleted=True)]
    chosen = {
        f"{run.id}.html"
        for run in every
        if run.experiment == "nyc-taxi" and run.started >= "2026-11-02"
    }
    assert {path.name for path in (out / "runs").iterdir()} == chosen
    assert 0 < len(chosen) < len(every)
    assert check_links(out) > 20
    about = (out / "about.html").read_text("utf-8")
    assert f"{len(every) - len(chosen)} runs: shown are those of" in about
    for page in out.rglob("*.html"):
        assert "about.html#left-out" in page.read_text("utf-8"), page


def test_a_link_to_a_run_that_is_left_out_is_text(repo: Path, tmp_path: Path) -> None:
    parent, other = make_run(1_767_225_600_000, name="the parent"), make_run(1_767_225_700_000)
    child = make_run(1_777_225_600_000, parent=parent.id, note=f"as {other.id} did")
    add_runs(repo, parent, other, child)
    whole, part = tmp_path / "whole", tmp_path / "part"
    site("build", "--out", whole)
    site("build", "--out", part, "--since", "2026-02-01")
    linked, plain = (
        (out / "runs" / f"{child.id}.html").read_text("utf-8") for out in (whole, part)
    )
    for run in (parent, other):
        assert f"{run.id}.html" in linked
        assert f"{run.id}.html" not in plain
    assert other.id[:10] in plain
    assert check_links(part)


def test_all_of_it_again(showcase: Path, tmp_path: Path) -> None:
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    site("build", "--out", fresh)
    site("build", "--out", out, "--since", "2026-11-02", "--no-artifacts")
    site("build", "--out", out)
    assert content(out) == content(fresh)
    assert "left-out" not in (out / "index.html").read_text("utf-8")


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "2026-01-01T25:00", ""])
def test_a_day_that_is_none(showcase: Path, day: str) -> None:
    assert "write 2026-03-01" in site("build", "--since", day, code=2)


def test_a_time_of_one_figure_is_the_time_that_it_says(showcase: Path, tmp_path: Path) -> None:
    for out, since in (("one", "2026-11-02 9:45"), ("two", "2026-11-02T09:45")):
        site("build", "--out", tmp_path / out, "--since", since)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_an_experiment_that_is_none(showcase: Path) -> None:
    assert "did you mean nyc-taxi?" in site("build", "--experiment", "nyc-taxy", code=1)
    assert not (showcase / "_site").exists()


# --- size --------------------------------------------------------------------------------------


def test_budget(showcase: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    told = document("build", "--out", out)
    files = content(out)
    assert files.pop(".gitignore") == b"*\n"  # no part of the site: it is not published
    assert document("check", "--out", out)["files"] == len(files)
    assert sum(part["files"] for part in told["kinds"].values()) == len(files)
    assert told["files"] == len(files) and told["bytes"] == sum(map(len, files.values()))
    assert sum(part["bytes"] for part in told["kinds"].values()) == told["bytes"]
    artifacts = [len(data) for url, data in files.items() if url.startswith("files/")]
    assert told["kinds"]["artifacts"] == {"files": len(artifacts), "bytes": sum(artifacts)}
    assert told["near_limit"] is False
    assert "artifacts" not in document("build", "--out", out, "--no-artifacts")["kinds"]
    monkeypatch.setattr(budget, "LIMIT", told["bytes"])
    assert "--since DATE, --experiment NAME, --no-artifacts" in site("build", "--out", out)
    assert document("build", "--out", out)["near_limit"] is True


# --- check -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [[], ["--title", "T"], ["--since", "2026-11-02", "--no-artifacts"], ["--redact"]]
)
def test_a_site_is_what_the_ledger_says(showcase: Path, options: list[str]) -> None:
    site("build", *options)
    before = content(showcase / "_site")
    assert document("check")["differences"] == []
    assert "_site is what the ledger says" in site("check")
    assert content(showcase / "_site") == before


def test_a_site_that_was_altered(showcase: Path) -> None:
    site("build")
    out = showcase / "_site"
    page = next((out / "runs").iterdir())
    page.write_bytes(page.read_bytes().replace(b"finished", b"FINISHED"))
    (out / "index.html").unlink()
    (out / "new.html").write_text("new")
    told = document("check", code=1)
    assert told["differences"] == [
        {"url": "index.html", "how": "missing"},
        {"url": "new.html", "how": "extra"},
        {"url": f"runs/{page.name}", "how": "differs"},
    ]
    assert told["same"] is False and told["reasons"] == []
    assert "it may have been altered" in site("check", code=1)


def test_rules_that_take_nothing_out(showcase: Path, tmp_path: Path) -> None:
    (showcase / "mlgit.toml").write_text("[site]\nredact = []\n")
    plain = tmp_path / "plain"
    site("build", "--out", plain)
    site("build", "--redact")
    assert content(showcase / "_site") == content(plain)
    assert document("check")["same"] is True


def test_why_a_site_may_differ(repo: Path) -> None:
    (run_id,) = add_runs(repo, make_run())
    site("build", "--redact")
    (repo / "mlgit.toml").write_text('[site]\nredact = ["mail"]\n')
    saved.annotate(open_repository(), [run_id], "note", {"text": "later"})
    manifest = repo / "_site" / MANIFEST
    manifest.write_text(manifest.read_text().replace('"mlgit": "', '"mlgit": "9'))
    moved, version, rules = document("check", code=1)["reasons"]
    assert "the ledger moved on" in moved and "was made by mlgit 9" in version
    assert "the rules in mlgit.toml are others now" in rules


def test_artifacts_that_are_not_here(repo: Path, tmp_path: Path) -> None:
    import mlgit

    with mlgit.start_run("exp"):
        mlgit.log_text("x" * 100_000, "large.txt")
    site("build")
    clone = tmp_path / "clone"
    git("clone", "--quiet", repo, clone)
    shutil.copytree(repo / "_site", clone / "_site")
    done = CliRunner().invoke(cli, ["-C", str(clone), "site", "check"])
    assert done.exit_code == 1
    assert "1 artifact was not on this machine" in done.output


def test_no_site_to_check(showcase: Path) -> None:
    assert "Hint: make one: mlgit site build" in site("check", code=1)
    (showcase / "_site").mkdir()
    (showcase / "_site" / MANIFEST).write_text("{")
    assert "is damaged" in site("check", code=1)
