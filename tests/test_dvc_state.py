"""Files that DVC hashed are not read again, and read again whenever that could be wrong."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from peers import dvc

from mlgit.data import dvc_state, ingest
from mlgit.data.state import State, open_state
from mlgit.ledger import open_repository
from mlgit.tracking import inputs

PLACE = "hashes/local/cache.db"


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where DVC keeps what it remembers; `peers.dvc` tells it so."""
    found = Path(os.environ["HOME"], "dvc-site")
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(found))
    return found


@pytest.fixture
def tracked(repo: Path, site: Path) -> Path:
    """A repository with a file and a folder that DVC tracks."""
    (repo / "day.csv").write_bytes(b"a\n1\n")
    (repo / "days").mkdir()
    for day in range(3):
        (repo / f"days/{day}.csv").write_text(f"a\n{day}\n")
    dvc("init", "--quiet", cwd=repo)
    dvc("add", "--quiet", "day.csv", "days", cwd=repo)
    return repo


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a file was hashed")

    monkeypatch.setattr(ingest.hashing, "hash_file", refuse)


def recalled(path: Path) -> str | None:
    with dvc_state.recalling(path) as recall:
        return recall(str(path), path.stat()) if recall else None


def database(site: Path) -> Path:
    (found,) = (site / "repo").glob(f"*/{PLACE}")
    return found


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.mark.usefixtures("unread")
def test_what_dvc_hashed_is_not_read(tracked: Path) -> None:
    expected = {path.name: md5(path) for path in tracked.glob("**/*.csv")}
    assert {path.name: recalled(path) for path in tracked.glob("**/*.csv")} == expected
    told = inputs.describe(open_repository(), "day.csv", None, keep=False, fetch=False)
    assert (told.md5, told.size, told.stored) == (expected["day.csv"], 4, None)
    folder = inputs.take(open_repository(), tracked / "days", keep=False)
    pointer = (tracked / "days.dvc").read_text()
    assert folder.md5 in pointer and folder.files == 3
    kept = inputs.take(open_repository(), tracked / "days")
    assert kept == folder


def test_a_file_by_another_way_to_it(tracked: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(tracked)
    assert recalled(tmp_path / "way/day.csv") == md5(tracked / "day.csv")
    (tmp_path / "elsewhere.csv").write_bytes(b"a\n1\n")
    assert recalled(tmp_path / "elsewhere.csv") is None


@pytest.mark.parametrize("change", ["content", "content and its time", "another file"])
def test_a_change_is_read(tracked: Path, change: str) -> None:
    path = tracked / "day.csv"
    before = path.stat()
    if change == "another file":
        path.rename(tracked / "old.csv")
    path.write_bytes(b"a\n2\n")
    if change == "content and its time":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (path.stat().st_mtime_ns, path.stat().st_size) == (before.st_mtime_ns, 4)
    assert recalled(path) is None
    assert inputs.take(open_repository(), path, keep=False).md5 == md5(path)


def test_nothing_that_another_person_wrote(tracked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recalled(tracked / "day.csv")
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert recalled(tracked / "day.csv") is None


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},  # of a text without its carriage returns
        {"checksum": "1"},
        {"hash_info": {"md5": "no hash"}},
        {"hash_info": {"md5": "0" * 32 + ".dir"}},
        {"hash_info": {"etag": "0" * 32}},
        {"hash_info": []},
        "not JSON",
        "[1]",
        "[" * 100_000,
        b"\xff",
        7,
    ],
)
def test_an_entry_of_another_form(tracked: Path, site: Path, change: Any) -> None:
    path = tracked / "day.csv"
    with sqlite3.connect(database(site)) as connection:
        (entry,) = connection.execute(
            "select value from Cache where key = ?", (str(path),)
        ).fetchone()
        if isinstance(change, dict):
            change = json.dumps(json.loads(entry) | change)
        connection.execute("update Cache set value = ? where key = ?", (change, str(path)))
    connection.close()
    assert recalled(path) is None
    assert inputs.take(open_repository(), path, keep=False).md5 == md5(path)


def test_a_database_that_is_none(tracked: Path, site: Path) -> None:
    database(site).write_bytes(b"no database" * 1000)
    assert recalled(tracked / "day.csv") is None
    for file in (tracked / ".dvc/tmp").iterdir():
        file.unlink()
    with dvc_state.recalling(tracked) as recall:
        assert recall is None


def test_where_the_configuration_says(
    tracked: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DVC_SITE_CACHE_DIR")
    dvc("config", "--local", "core.site_cache_dir", str(site), cwd=tracked)
    assert recalled(tracked / "day.csv") == md5(tracked / "day.csv")


def test_a_state_of_no_one_else_recalls_nothing(tracked: Path, tmp_path: Path) -> None:
    path = tracked / "day.csv"
    assert State().known(str(path), path.stat()) is None
    with dvc_state.recalling(path) as recall, open_state(tmp_path / "state", recall) as state:
        assert state.known(str(path), path.stat()) == md5(path)
