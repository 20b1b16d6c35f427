"""The data store: DVC's layout, objects that nobody can change unnoticed, no leftovers."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlgit.data import store
from mlgit.errors import Unreadable, WriteFailed

HELLO = b"hello\n"
MD5 = "b1946ac92492d2347c6235b4d2611184"  # md5sum says so
PLACE = "files/md5/b1/946ac92492d2347c6235b4d2611184"  # and DVC 3 keeps it there


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_an_object_lies_where_dvc_looks_for_it(tmp_path: Path) -> None:
    assert store.put(tmp_path / "data", HELLO) == MD5
    assert files(tmp_path / "data") == [PLACE]
    path = tmp_path / "data" / PLACE
    assert path.read_bytes() == HELLO
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_the_same_bytes_are_stored_once(tmp_path: Path) -> None:
    store.put(tmp_path, HELLO)
    before = (tmp_path / PLACE).stat()
    store.put(tmp_path, HELLO)
    after = (tmp_path / PLACE).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert files(tmp_path) == [PLACE]


@given(content=st.binary(max_size=200))
def test_bytes_come_back(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "shared"
    assert store.load(folder, store.put(folder, content)) == content


def test_what_is_not_here_is_none(tmp_path: Path) -> None:
    assert store.load(tmp_path / "nowhere", MD5) is None
    assert files(tmp_path) == []


def test_an_altered_object_is_told_and_replaced_by_the_true_one(tmp_path: Path) -> None:
    store.put(tmp_path, HELLO)
    path = tmp_path / PLACE
    path.chmod(0o644)
    path.write_bytes(b"hullo\n")
    with pytest.raises(Unreadable, match="was altered") as caught:
        store.load(tmp_path, MD5)
    assert str(path) in str(caught.value.hint)
    assert store.put(tmp_path, HELLO) == MD5
    assert store.load(tmp_path, MD5) == HELLO
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_the_list_of_a_folder_is_named_by_its_md5_and_dir(tmp_path: Path) -> None:
    manifest = b'[{"md5": "%s", "relpath": "hello.txt"}]' % MD5.encode()
    digest = hashlib.md5(manifest).hexdigest()
    path = tmp_path / "files" / "md5" / digest[:2] / f"{digest[2:]}.dir"
    path.parent.mkdir(parents=True)
    path.write_bytes(manifest)
    assert store.load(tmp_path, f"{digest}.dir") == manifest
    path.write_bytes(HELLO)
    with pytest.raises(Unreadable, match="was altered"):
        store.load(tmp_path, f"{digest}.dir")


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "ab",
        "ab/etc/passwd",
        "..",
        "../" * 11,
        MD5.upper(),
        f"{MD5}\n",
        f"{MD5}.dir.dir",
        "é" * 32,
    ],
)
def test_what_is_no_md5_opens_no_file(tmp_path: Path, digest: str) -> None:
    with pytest.raises(Unreadable, match="names no object"):
        store.load(tmp_path, digest)


def test_an_object_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / PLACE).mkdir(parents=True)
    with pytest.raises(Unreadable, match="cannot read"):
        store.load(tmp_path, MD5)


@pytest.mark.parametrize("step", ["chmod", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(WriteFailed if isinstance(error, OSError) else KeyboardInterrupt):
        store.put(tmp_path, HELLO)
    monkeypatch.undo()
    assert files(tmp_path) == []
    assert store.load(tmp_path, MD5) is None
    assert store.put(tmp_path, HELLO) == MD5


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the store should be")
    with pytest.raises(WriteFailed, match="cannot store data"):
        store.put(tmp_path / "data", HELLO)


def test_many_may_store_the_same_bytes_at_once(tmp_path: Path) -> None:
    start = threading.Barrier(8)
    found: list[str] = []

    def put() -> None:
        start.wait()
        found.append(store.put(tmp_path, HELLO))

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [MD5] * 8
    assert files(tmp_path) == [PLACE]
