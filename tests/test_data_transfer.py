"""Objects to data remotes and back: a folder, a real S3 server, a real SSH server.

What we push plain DVC fetches, and the other way round.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncssh.sftp import SFTPFailure
from conftest import git
from peers import dvc, free_port, stored_objects

from mlgit import names, remotes, saved
from mlgit import transfer as runs_data
from mlgit.data import copying, hashing, ingest, pointers, store, transfer
from mlgit.data.checkout import checkout
from mlgit.data.hashing import Hash
from mlgit.data.remote import Connection, Remote, connect
from mlgit.data.state import State
from mlgit.data.traffic import Traffic
from mlgit.data.transfer import Moved, missing, pull, push
from mlgit.errors import Invalid, NotFound, RemoteFailed, WriteFailed
from mlgit.ledger import Repository, open_repository
from mlgit.records import Pointer, Run

HELLO = "5d41402abc4b2a76b9719d911017c592"
NOWHERE = "0" * 32


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of eleven files with ten contents."""
    folder = tmp_path / "model"
    (folder / "sub folder").mkdir(parents=True)
    for number in range(10):
        (folder / "sub folder" / f"ü {number}").write_bytes(os.urandom(100 + 1000 * number))
    (folder / "again").write_bytes((folder / "sub folder" / "ü 3").read_bytes())
    return folder


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Connection]:
    with connect(Remote("shelf", str(tmp_path / "shelf"), {})) as remote:
        yield remote


def take(place: Path, path: Path) -> Hash:
    return ingest.take(place, path, State())


def spoil(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(b"spoilt")
    path.chmod(0o444)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- a folder ------------------------------------------------------------------------


def test_only_what_is_missing_moves(
    place: Path, folder: Path, tmp_path: Path, shelf: Connection
) -> None:
    found = take(place, folder)
    told: list[Traffic] = []
    sent = push(place, shelf, [found.md5], told.append)
    manifest = len(store.load(place, found.md5) or b"")
    assert sent == Moved(11, _distinct(folder) + manifest, [], [])
    assert told[-1][:4] == (11, 11, sent.size, sent.size)
    assert told[-1].rate > 0
    assert [traffic.bytes for traffic in told] == sorted(traffic.bytes for traffic in told)
    assert push(place, shelf, [found.md5]) == Moved(0, 0, [], [])
    assert stored_objects(tmp_path / "shelf") == stored_objects(place)
    for path in (tmp_path / "shelf" / "files").glob("*/*/*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o444

    there = tmp_path / "there"
    assert pull(there, shelf, [found.md5, HELLO], told.append).absent == [HELLO]
    assert told[-1][:4] == (10, 10, _distinct(folder), _distinct(folder))
    assert pull(there, shelf, [found.md5]) == Moved(0, 0, [], [])
    checkout(there, found.md5, tmp_path / "copy")
    assert files(tmp_path / "copy") == files(folder)
    lost = store.object_path(there, store.members(there, found.md5)[0].md5)
    lost.unlink()
    assert pull(there, shelf, [found.md5]).objects == 1
    assert os.listdir(there / "tmp") == os.listdir(tmp_path / "shelf" / "tmp") == []


def _distinct(folder: Path) -> int:
    return sum(map(len, set(files(folder).values())))


def test_many_objects_are_asked_for_by_listing(tmp_path: Path, shelf: Connection) -> None:
    place = tmp_path / "store"
    md5s = [store.put(place, str(number).encode()) for number in range(400)]
    assert missing(shelf, md5s) == set(md5s)
    assert push(place, shelf, md5s[:390]).objects == 390
    assert missing(shelf, md5s) == set(md5s[390:])
    assert pull(tmp_path / "there", shelf, md5s).absent == sorted(md5s[390:])


def test_a_manifest_never_arrives_before_its_files(
    place: Path, folder: Path, tmp_path: Path, shelf: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    md5 = take(place, folder).md5
    real = copying.copy

    def fails_in_the_middle(source: Path, target: Path, *more: Any) -> Hash:
        if len(list((tmp_path / "shelf").glob("files/md5/*/*"))) >= 4:
            raise OSError("the line was cut")
        return real(source, target, *more)

    with monkeypatch.context() as patch:
        patch.setattr(copying, "copy", fails_in_the_middle)
        with pytest.raises(RemoteFailed, match="shelf failed: the line was cut"):
            push(place, shelf, [md5])
    arrived = stored_objects(tmp_path / "shelf")
    assert arrived.keys() & {md5} == set()
    assert all(hashing.manifest_md5(data) == name + ".dir" for name, data in arrived.items())
    assert 11 - push(place, shelf, [md5]).objects == len(arrived) >= 4

    with monkeypatch.context() as patch:
        patch.setattr(copying, "copy", lambda *_: 1 / 0)
        with pytest.raises(RemoteFailed, match="division by zero"):
            pull(tmp_path / "there", shelf, [md5])
    assert stored_objects(tmp_path / "there") == {}
    assert pull(tmp_path / "there", shelf, [md5]).objects == 10


def test_what_is_spoilt_stays_where_it_is(
    place: Path, folder: Path, tmp_path: Path, shelf: Connection
) -> None:
    """And is named, and keeps nothing else back."""
    md5 = take(place, folder).md5
    other = store.put(place, b"hello")
    bad = store.members(place, md5)[0].md5
    good = store.object_path(place, bad).read_bytes()
    spoil(store.object_path(place, bad))
    assert push(place, shelf, [md5, other])[2:] == ([md5], [bad])
    assert missing(shelf, [bad, md5, other]) == {bad, md5}
    store.object_path(place, bad).unlink()
    assert push(place, shelf, [md5])[2:] == (sorted([bad, md5]), [])
    store.put(place, good)
    assert push(place, shelf, [md5]).objects == 2

    spoil(Path(shelf.path(bad)))
    there = tmp_path / "there"
    assert pull(there, shelf, [md5, other])[2:] == ([md5], [bad])
    assert not store.has(there, bad) and not store.has(there, md5)
    assert store.load(there, other) == b"hello"
    spoil(Path(shelf.path(md5)))
    assert pull(tmp_path / "elsewhere", shelf, [md5])[2:] == ([], [md5])
    spoil(store.object_path(place, md5))
    assert push(place, shelf, [md5])[2:] == ([], [md5])


def test_a_hostile_remote_writes_nowhere_else(tmp_path: Path, shelf: Connection) -> None:
    theirs = tmp_path / "shelf"
    store.put(theirs, b"hello")
    wanted = []
    for path in ("../../../evil", "/tmp/evil", ".git/hooks/post-checkout"):
        manifest = json.dumps([{"md5": HELLO, "relpath": path}]).encode()
        wanted.append(store.put(theirs, manifest, ".dir"))
    wanted += [store.put(theirs, b"not a manifest", ".dir"), store.put(theirs, b"[1]", ".dir")]
    moved = pull(tmp_path / "store", shelf, [*wanted, "../../etc/passwd", ".dir"])
    assert moved == Moved(0, 0, [], sorted(wanted))
    assert stored_objects(tmp_path / "store") == {}


def test_full_disks_are_told(
    place: Path, folder: Path, tmp_path: Path, shelf: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    md5 = take(place, folder).md5
    push(place, shelf, [md5])

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(copying, "copy", full)
    with pytest.raises(WriteFailed, match="no space is left on this machine; 0 of"):
        pull(tmp_path / "there", shelf, [md5])
    Path(shelf.path(md5)).unlink()
    with pytest.raises(WriteFailed, match="no space is left on the data remote shelf; 0 of"):
        push(place, shelf, [md5])
    assert os.listdir(tmp_path / "there" / "tmp") == os.listdir(tmp_path / "shelf" / "tmp") == []


def test_a_full_disk_behind_ssh_is_guessed_at(shelf: Connection) -> None:
    """The protocol has no word for it: OpenSSH's server says "Failure"."""
    with pytest.raises(RemoteFailed, match="perhaps its disk is full"), shelf.reaching():
        raise SFTPFailure("Failure")


def test_rubbish_of_killed_transfers_is_swept(place: Path, shelf: Connection) -> None:
    store.put(place, b"hello")
    tmp = Path(shelf.root, "tmp")
    tmp.mkdir(parents=True)
    today = time.strftime("%Y%m%d", time.gmtime())
    (tmp / "20200101-abc").touch()
    (tmp / f"{today}-abc").touch()
    push(place, shelf, [HELLO])
    assert os.listdir(tmp) == [f"{today}-abc"]


def test_a_folder_that_is_not_known_here(place: Path) -> None:
    with pytest.raises(Invalid, match="not known") as caught, connect(Remote("nas", "local:", {})):
        pass
    assert caught.value.hint == (
        "name the one in which files/md5 lies: git config mlgit.data.nas.url /path/to/mlgit"
    )


# --- what runs keep ----------------------------------------------------------------------


def save_run(repository: Repository, *outputs: Pointer) -> str:
    run = Run(
        id=names.new_id(),
        experiment="churn",
        status="finished",
        started="2026-01-01T12:00:00.000000Z",
        by=repository.person,
        outputs=list(outputs),
    )
    saved.save(repository, run, {})
    return run.id


def test_what_runs_keep_is_pushed_once(
    repo: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, _ = _added(repo, "nas", str(tmp_path / "nas"))
    data = repository.state / "data"
    found = take(data, folder)
    model = Pointer(path="model", md5=found.md5, size=found.size, files=11, stored="dvc")
    kept_in_git = Pointer(path="note", md5=HELLO, size=5, stored="git")
    save_run(repository, model, kept_in_git)
    assert runs_data.push(repository).objects == 11
    with monkeypatch.context() as patch:
        patch.setattr(runs_data, "connect", None)  # nothing new, so nobody is asked
        assert runs_data.push(repository) == Moved(0, 0, [], [])
    lost = store.put(data, b"hello")
    store.object_path(data, lost).unlink()
    first = save_run(repository, Pointer(path="x", md5=lost, size=5, stored="dvc"))
    assert runs_data.push(repository).absent == [lost]
    assert runs_data.push(repository).absent == [lost]
    store.put(data, b"hello")
    assert runs_data.push(repository).objects == 1
    Path(tmp_path, "nas", "mlgit", "files", "md5", lost[:2], lost[2:]).unlink()
    assert runs_data.push(repository).objects == 0
    (note,) = (repository.state / "sent").iterdir()
    note.unlink()  # what was sent before is looked for again
    assert runs_data.push(repository).objects == 1
    other = store.put(data, b"other")
    deleted = save_run(repository, Pointer(path="y", md5=other, size=5, stored="dvc"))
    saved.annotate(repository, [deleted, first], "delete", {})
    assert runs_data.push(repository).objects == 0
    saved.annotate(repository, [deleted], "restore", {})
    assert runs_data.push(repository).objects == 1
    for damage in (b"{", b"[]", b'{"tree": "x", "unsent": []}', b'{"tree": 3, "unsent": 3}'):
        note.write_bytes(damage)
        assert runs_data.push(repository) == Moved(0, 0, [], [])

    shutil.rmtree(data)
    moved = runs_data.pull(repository, [found.md5])
    assert (moved.objects, moved.absent) == (10, [])
    assert store.has_all(data, found.md5)
    with pytest.raises(NotFound, match="no data remote 'elsewhere'"):
        runs_data.pull(repository, [], "elsewhere")


# --- with plain DVC --------------------------------------------------------------------


def publish(project: Path, config: bytes, found: Hash) -> None:
    """Makes a version commit's tree by hand: a pointer and the data remotes."""
    (project / ".dvc").mkdir()
    (project / ".dvc" / "config").write_bytes(config)
    (project / "model.dvc").write_bytes(pointers.format_pointer("model", found))
    git("add", "--force", ".dvc/config", "model.dvc", cwd=project)
    git("commit", "--quiet", "--message", "version", cwd=project)
    git("tag", "v1", cwd=project)


def check_with_dvc(
    project: Path, remote: Remote, connection: Connection, place: Path, folder: Path
) -> None:
    """Checks that plain DVC gets what we push."""
    found = take(place, folder)
    assert push(place, connection, [found.md5]).objects == len(stored_objects(place))
    publish(project, remotes.dvc_config([remote._replace(is_default=True)]), found)
    dvc("get", project, "model", "--rev", "v1", "--out", "got", cwd=project.parent)
    assert files(project.parent / "got") == files(folder)
    dvc("pull", "--quiet", cwd=project)
    assert files(project / "model") == files(folder)
    assert stored_objects(project / ".dvc" / "cache") == stored_objects(place)


def test_dvc_and_we_share_a_folder(
    repo: Path, place: Path, folder: Path, tmp_path: Path, shelf: Connection
) -> None:
    check_with_dvc(repo, Remote("shelf", str(tmp_path / "shelf"), {}), shelf, place, folder)
    (repo / "theirs").mkdir()
    for number in range(3):
        (repo / "theirs" / str(number)).write_text(f"by DVC {number}")
    dvc("add", "--quiet", "theirs", cwd=repo)
    dvc("push", "--quiet", cwd=repo)
    (tracked,) = pointers.read_pointer((repo / "theirs.dvc").read_bytes(), "theirs.dvc")
    there = tmp_path / "there"
    assert pull(there, shelf, [tracked.hash.md5]) == Moved(3, 24, [], [])
    checkout(there, tracked.hash.md5, tmp_path / "ours")
    assert files(tmp_path / "ours") == files(repo / "theirs")


def test_dvc_gc_of_the_user_spares_our_objects(
    repo: Path, place: Path, folder: Path, tmp_path: Path
) -> None:
    """Also where we share the folder of their own remote: we lie below it, apart."""
    (repo / ".dvc").mkdir()
    theirs = Remote("theirs", str(tmp_path / "remote"), {}, is_default=True)
    (repo / ".dvc" / "config").write_bytes(remotes.dvc_config([theirs]))
    (repo / "data").write_text("theirs")
    dvc("add", "--quiet", "data", cwd=repo)
    dvc("push", "--quiet", cwd=repo)
    ours = remotes.here(*_added(repo, "ours", str(tmp_path / "remote")))
    md5 = take(place, folder).md5
    with connect(ours) as connection:
        push(place, connection, [md5])
        (repo / "data.dvc").unlink()
        dvc("gc", "--workspace", "--cloud", "--force", "--quiet", cwd=repo)
        assert stored_objects(tmp_path / "remote") == {}
        store_md5s = stored_objects(place).keys()
        assert stored_objects(tmp_path / "remote" / "mlgit").keys() == store_md5s
        assert missing(connection, store_md5s) == set()


def _added(repo: Path, name: str, url: str) -> tuple[Repository, Remote]:
    repository = open_repository(repo)
    return repository, remotes.add(repository, name, url)


def test_plain_dvc_is_told_where_a_folder_lies(
    repo: Path, place: Path, folder: Path, tmp_path: Path
) -> None:
    """No version commit names a path of this machine."""
    repository, remote = _added(repo, "nas", str(tmp_path / "nas"))
    found = take(place, folder)
    with connect(remotes.here(repository, remote)) as connection:
        push(place, connection, [found.md5])
    config = remotes.dvc_config([remote])
    assert str(tmp_path) not in config.decode()
    publish(repo, config, found)
    option = f"--remote-config=url={tmp_path / 'nas' / 'mlgit'}"
    bare = tmp_path / "bare.git"  # in a work tree DVC would take what is checked out, too
    git("clone", "--quiet", "--bare", repo, bare)
    dvc("get", bare, "model", "--rev", "v1", "--out", "got", option, cwd=tmp_path)
    assert files(tmp_path / "got") == files(folder)


# --- S3 ------------------------------------------------------------------------------


def test_dvc_and_we_share_a_bucket(
    repo: Path,
    place: Path,
    folder: Path,
    tmp_path: Path,
    s3: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (folder / "large").write_bytes(os.urandom(1 << 20) * 40)  # two parts and a half
    (folder / "again").unlink()
    options = {"endpointurl": s3, "region": "us-east-1"}
    remote = Remote("bucket", "s3://data/some/path/mlgit", options)
    told: list[Traffic] = []
    with connect(remote) as connection:
        check_with_dvc(repo, remote, connection, place, folder)
        md5 = take(place, folder).md5
        assert pull(tmp_path / "again", connection, [md5], told.append).objects == 11
        assert store.has_all(tmp_path / "again", md5)
        assert told[-1].bytes == told[-1].total == _distinct(folder)
        many = [store.put(place, str(number).encode()) for number in range(9)]
        monkeypatch.setattr(transfer, "_ASK_EACH", 3)
        assert push(place, connection, many).objects == 9
        assert missing(connection, [*many, HELLO]) == {HELLO}
        monkeypatch.setattr(transfer, "_FEW", 0)
        assert missing(connection, [*many, HELLO]) == {HELLO}
        connection.fs.pipe_file(connection.path(many[0]), b"spoilt")
        assert pull(tmp_path / "again", connection, many[:2]).damaged == [many[0]]
    with (
        connect(remote._replace(url="s3://nobody-has-this/mlgit")) as connection,
        pytest.raises(RemoteFailed, match="bucket failed"),
    ):
        push(place, connection, many)


def test_s3_that_cannot_be_reached_or_entered(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    md5 = store.put(place, b"hello")
    url = f"http://127.0.0.1:{free_port()}"
    remote = Remote("bucket", "s3://data/mlgit", {"endpointurl": url, "region": "us-east-1"})
    with connect(remote) as connection, pytest.raises(RemoteFailed, match="credentials") as caught:
        push(place, connection, [md5])
    assert "~/.aws" in str(caught.value.hint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with connect(remote) as connection, pytest.raises(RemoteFailed, match="bucket failed"):
        missing(connection, [md5])


# --- SSH -----------------------------------------------------------------------------


def test_dvc_and_we_share_a_server(
    repo: Path,
    place: Path,
    folder: Path,
    tmp_path: Path,
    ssh: Remote,
    hermetic: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Traffic] = []
    with connect(ssh) as connection:
        check_with_dvc(repo, ssh, connection, place, folder)
        md5 = take(place, folder).md5
        assert pull(tmp_path / "again", connection, [md5], told.append).objects == 10
        assert told[-1].bytes == told[-1].total == _distinct(folder)
        many = [store.put(place, str(number).encode()) for number in range(9)]
        monkeypatch.setattr(transfer, "_ASK_EACH", 3)
        assert push(place, connection, many).objects == 9
        assert missing(connection, [*many, HELLO]) == {HELLO}
        behind = tmp_path / "behind ssh" / "mlgit"
        assert os.listdir(behind / "tmp") == []
        spoil(store.object_path(behind, many[0]))
        assert pull(tmp_path / "again", connection, many[:2]).damaged == [many[0]]
    for broken, message in [("known_hosts", "not trusted"), ("id_ed25519", "server failed")]:
        (hermetic / ".ssh" / broken).rename(hermetic / broken)
        with pytest.raises(RemoteFailed, match=message), connect(ssh):
            pass
        (hermetic / broken).rename(hermetic / ".ssh" / broken)
    key = hermetic / "moved key"
    (hermetic / ".ssh" / "id_ed25519").rename(key)
    with connect(ssh._replace(options={"keyfile": str(key)})) as connection:
        assert missing(connection, [HELLO]) == {HELLO}
