"""Data out of the store: exact, the user's own, and nothing overwritten."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from mlgit.data import checkout as module
from mlgit.data import ingest, store
from mlgit.data.checkout import checkout
from mlgit.data.state import State
from mlgit.errors import Invalid, NotFound, Unreadable, WriteFailed

HELLO = "5d41402abc4b2a76b9719d911017c592"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    for number, name in enumerate(["a", "sub/b", "sub/deep/c c", "sub/ünï", "same as a"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(str(number % 4) * 1000)
    return folder


def take(place: Path, path: Path) -> str:
    return ingest.take(place, path, State()).md5


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_folder_and_a_file_come_back(place: Path, folder: Path, tmp_path: Path) -> None:
    md5 = take(place, folder)
    moved: list[int] = []
    assert checkout(place, md5, tmp_path / "new" / "there", moved.append)
    assert contents(tmp_path / "new" / "there") == contents(folder)
    assert sum(moved) == 5000
    assert os.listdir(tmp_path / "new") == ["there"]
    md5 = take(place, folder / "a")
    assert checkout(place, md5, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "0" * 1000
    # The user's own: written to without harm.
    with (tmp_path / "file").open("a") as file:
        file.write("more")
    store.verify_object(place, md5)
    assert (tmp_path / "file").stat().st_nlink == 1


def test_what_is_there_stays_unless_it_is_the_same(
    place: Path, folder: Path, tmp_path: Path
) -> None:
    md5, file_md5 = take(place, folder), take(place, folder / "a")
    assert not checkout(place, md5, folder)
    assert not checkout(place, file_md5, folder / "a")
    (folder / "extra").write_text("mine")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "empty").mkdir()
    for destination in (folder, tmp_path / "broken", tmp_path / "empty", folder / "extra"):
        for wanted in (md5, file_md5):
            with pytest.raises(Invalid, match="is there already"):
                checkout(place, wanted, destination)
    assert (folder / "extra").read_text() == "mine"


def test_somebody_who_comes_in_between_is_not_overwritten(
    place: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    md5 = take(place, folder / "a")
    real = module.copy

    def slow(*arguments: object) -> object:
        (tmp_path / "file").write_text("mine")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "copy", slow)
    with pytest.raises(WriteFailed, match="exists"):
        checkout(place, md5, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["file", "folder", "store"]


def test_altered_and_lacking_objects_are_told(place: Path, folder: Path, tmp_path: Path) -> None:
    md5 = take(place, folder)
    members = store.members(place, md5)
    altered = store.object_path(place, members[0].md5)
    altered.chmod(0o644)
    altered.write_bytes(b"1" * 1000)
    with pytest.raises(Unreadable, match="was altered"):
        checkout(place, md5, tmp_path / "new")
    with pytest.raises(Unreadable, match="was altered"):
        store.verify_object(place, members[0].md5)
    altered.unlink()
    assert not store.has_all(place, md5)
    with pytest.raises(NotFound, match="2 files' data are not on this machine"):
        checkout(place, md5, tmp_path / "new")
    with pytest.raises(NotFound):
        store.verify_object(place, members[0].md5)
    for unknown in (HELLO, HELLO + ".dir"):
        with pytest.raises(NotFound, match="not on this machine"):
            checkout(place, unknown, tmp_path / "new")
        assert not store.has_all(place, unknown)
    assert sorted(os.listdir(tmp_path)) == ["folder", "store"]


def test_a_hostile_manifest_writes_nothing(place: Path, tmp_path: Path) -> None:
    store.put(place, b"hello")
    for path in ("../evil", "/tmp/evil", ".git/config", "a/../../evil"):
        manifest = json.dumps([{"md5": HELLO, "relpath": path}]).encode()
        md5 = store.put(place, manifest, ".dir")
        with pytest.raises(Unreadable, match="cannot be in a folder"):
            checkout(place, md5, tmp_path / "new")
    for md5 in ("../../x", "", HELLO + "/..", HELLO.upper()):
        with pytest.raises(Unreadable, match="names no object"):
            checkout(place, md5, tmp_path / "new")
    assert os.listdir(tmp_path) == ["store"]


def test_a_full_disk_leaves_nothing(
    place: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    md5 = take(place, folder)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mlgit.data.copying._copy_and_hash", fail)
    for wanted in (md5, store.members(place, md5)[0].md5):
        with pytest.raises(WriteFailed, match="No space left"):
            checkout(place, wanted, tmp_path / "new")
    assert sorted(os.listdir(tmp_path)) == ["folder", "store"]
