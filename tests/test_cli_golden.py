"""What the commands print, as whole sessions: adding a case is adding a line to a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import GOLDEN
from showcase import start_journal, stopped_clock
from transcript import run

from mlgit.ledger import open_repository

LINES = ['["p","lr",0.1]', '["m","loss",0,1500,0.5]', '["m","loss",1,2500,0.25]']


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.txt")))
def test_sessions(showcase: Path, golden: Callable[[Path, str], None], name: str) -> None:
    journal = start_journal(showcase, LINES) if name in ("live", "recover") else None
    if journal and name == "recover":
        journal.close()
    version = open_repository().line("version").split()[2]
    replace = {str(showcase.parent): "…", f"git {version}": "git VERSION"}
    path = GOLDEN / f"{name}.txt"
    with stopped_clock("2026-11-08 12:00:00"):
        golden(path, run(path.read_text("utf-8"), replace))
    if journal and name == "live":
        journal.close()
