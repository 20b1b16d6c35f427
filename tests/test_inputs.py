"""`log_input`: what a run reads, by its exact content, whatever kind of thing it is."""

from __future__ import annotations

import errno
import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy
import pytest
from conftest import git
from peers import dvc

import mlgit
from mlgit import Invalid, MlgitWarning, names, records
from mlgit.data import hashing, ingest
from mlgit.data.store import has
from mlgit.ledger import Ledger
from mlgit.records import Pointer

TAXI = Path(__file__).parents[2] / "shared" / "data" / "nyc-taxi"


@pytest.fixture
def run(repo: Path) -> Iterator[mlgit.ActiveRun]:
    with mlgit.start_run(capture=()) as run:
        yield run


def saved(run: mlgit.ActiveRun) -> mlgit.SavedRun:
    if run.status == "running":
        run.end()
    return mlgit.get_run(run.id)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def in_store(repo: Path, pointer: Pointer) -> bool:
    return has(repo / ".git/mlgit/data", str(pointer.md5))


# --- files, folders, patterns ----------------------------------------------------------------


def test_a_file_is_known_by_its_content_and_can_be_had_again(
    run: mlgit.ActiveRun, repo: Path
) -> None:
    (repo / "data").mkdir()
    (repo / "data/train.csv").write_bytes(b"x,y\n1,2\n")
    pointer = mlgit.log_input("data/train.csv", role="train", name="trips")
    (repo / "data/train.csv").write_bytes(b"changed afterwards")
    assert saved(run).inputs == [pointer]
    assert (pointer.path, pointer.md5) == ("data/train.csv", md5(b"x,y\n1,2\n"))
    assert (pointer.size, pointer.files, pointer.role, pointer.name) == (8, None, "train", "trips")
    assert (pointer.origin, pointer.stored) == ("file", "dvc")
    assert in_store(repo, pointer)
    assert git("status", "--porcelain") == "?? data/\n"


def test_only_the_hash(run: mlgit.ActiveRun, repo: Path) -> None:
    pointer = run.log_input("README.md", keep=False)
    assert (pointer.md5, pointer.stored) == (md5((repo / "README.md").read_bytes()), None)
    assert not in_store(repo, pointer)


def test_an_empty_file_is_data(run: mlgit.ActiveRun, repo: Path) -> None:
    (repo / "empty").touch()
    assert run.log_input("empty").md5 == md5(b"")
    assert saved(run).inputs[0].size == 0


def test_a_folder_and_a_pattern(run: mlgit.ActiveRun, repo: Path) -> None:
    for name in ("a.csv", "b.csv", "note.txt"):
        (repo / "raw").mkdir(exist_ok=True)
        (repo / "raw" / name).write_text(name)
    folder = run.log_input(repo / "raw", role="all")
    pattern = run.log_input("raw/*.csv")
    assert (folder.path, folder.files, folder.size, folder.origin) == ("raw", 3, 18, "file")
    assert (pattern.path, pattern.name, pattern.files) == ("raw", "raw/*.csv", 2)
    assert (pattern.origin, pattern.size) == ("glob", 10)
    assert folder.md5 != pattern.md5 and in_store(repo, folder) and in_store(repo, pattern)
    (repo / "raw/note.txt").unlink()
    assert run.log_input("raw").md5 == pattern.md5  # the same files are the same data
    hash_only = run.log_input("raw/*.csv", keep=False)
    assert (hash_only.md5, hash_only.stored) == (pattern.md5, None)


def test_what_lies_outside_the_repository_tells_only_its_name(
    run: mlgit.ActiveRun, tmp_path: Path
) -> None:
    outside = tmp_path / "secret-home" / "train.csv"
    outside.parent.mkdir()
    outside.write_text("x")
    run.log_input(outside)
    run.log_input(f"{outside.parent}/*.csv")
    run.log_input(outside.parent)
    found = saved(run)
    assert [pointer.path for pointer in found.inputs] == [
        "train.csv",
        "secret-home",
        "secret-home",
    ]
    assert str(tmp_path) not in records.dump_run(found.record).decode()


def test_what_dvc_tracks(run: mlgit.ActiveRun, repo: Path) -> None:
    dvc("init", "--quiet", cwd=repo)
    (repo / "t.csv").write_text("a\n1\n")
    dvc("add", "--quiet", "t.csv", cwd=repo)
    pointer = run.log_input("t.csv")
    assert (pointer.origin, pointer.md5) == ("dvc", md5(b"a\n1\n"))
    (lent,) = (repo / ".dvc/cache/files").rglob(f"*/{str(pointer.md5)[2:]}")
    assert lent.stat().st_nlink == 2  # one object, two names: no second copy of the bytes
    (repo / "t.csv").unlink()
    with pytest.raises(Invalid, match=r"there is no file or folder 't\.csv'") as told:
        run.log_input("t.csv")
    assert told.value.hint == "DVC tracks it, and it is not here: dvc pull t.csv"
    (repo / "t.csv").write_text("edited")
    assert run.log_input("t.csv").origin == "file"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "an empty path is no input"),
        ("nowhere.csv", "there is no file or folder 'nowhere.csv'"),
        ("gs://bucket/t.csv", "there is no file or folder 'gs://bucket/t.csv'"),
        ("secret.csv", "cannot read .*secret.csv: Permission denied"),
        ("closed", "cannot read .*closed/inner: Permission denied"),
        ("worn out.csv", "cannot read .*worn out.csv: Input/output error"),
        ("*.parquet", r"no file matches '\*.parquet'"),
        ("pipe", "is not a plain file"),
        ("loop", "Too many levels of symbolic links"),
        ("x" * 300, "there is no file or folder"),
        ("new\nline.csv", "has control characters"),
        (os.fsdecode(b"\xff.csv"), "is not valid Unicode"),
    ],
)
@pytest.mark.parametrize("keep", [True, False])
def test_files_that_cannot_be_inputs(
    run: mlgit.ActiveRun,
    repo: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    reason: str,
    keep: bool,
) -> None:
    _refuse_to_read(monkeypatch)
    (repo / "closed/inner").mkdir(parents=True)
    (repo / "secret.csv").write_text("x")
    (repo / "worn out.csv").write_text("x")
    os.mkfifo(repo / "pipe")
    (repo / "loop").symlink_to("loop")
    for odd in ("new\nline.csv", os.fsdecode(b"\xff.csv")):
        (repo / odd).write_text("x")
    with pytest.raises(Invalid, match=reason):
        run.log_input(name, keep=keep)
    assert saved(run).inputs == []
    assert not [path for path in (repo / ".git/mlgit/data").rglob("*") if path.is_file()]


def _refuse_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the system refuse what it would refuse anybody but root, and a disk fail."""

    def refuse(real: Any, part: str) -> Any:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            if Path(os.fsdecode(path)).name == part:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
            return real(path, *args, **kwargs)

        return call

    class Worn(io.FileIO):
        def readinto(self, buffer: Any) -> int | None:
            if Path(os.fsdecode(self.name)).name == "worn out.csv":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().readinto(buffer)

    monkeypatch.setattr(os, "open", refuse(os.open, "secret.csv"))
    monkeypatch.setattr(os, "scandir", refuse(os.scandir, "inner"))
    monkeypatch.setattr(hashing, "FileIO", Worn)


def test_a_long_path(run: mlgit.ActiveRun, repo: Path) -> None:
    deep = repo.joinpath(*["a" * 99] * 3)
    deep.mkdir(parents=True)
    (deep / "t.csv").write_text("x")
    assert run.log_input(deep / "t.csv").path == "/".join(["a" * 99] * 3 + ["t.csv"])


def test_a_file_that_changes_while_it_is_read(
    run: mlgit.ActiveRun, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = repo / "growing.log"
    growing.write_bytes(b"first\n")
    copy, hash_file = ingest.copy, ingest.hashing.hash_file

    def copy_and_append(*args: Any) -> Any:
        found = copy(*args)
        with growing.open("ab") as file:
            file.write(b"more\n")
        return found

    def hash_and_append(path: Any, *args: Any) -> Any:
        found = hash_file(path, *args)
        if Path(path) == growing:
            with growing.open("ab") as file:
                file.write(b"more\n")
        return found

    monkeypatch.setattr(ingest, "copy", copy_and_append)
    with pytest.warns(MlgitWarning, match="changed while it was read"):
        pointer = run.log_input("growing.log")
    assert pointer.md5 == md5(b"first\n") and in_store(repo, pointer)
    monkeypatch.setattr(ingest.hashing, "hash_file", hash_and_append)
    with pytest.raises(Invalid, match="changes while it is read"):
        run.log_input("growing.log", keep=False)
    assert saved(run).inputs == [pointer]


def test_a_full_disk_leaves_nothing_half_stored(
    run: mlgit.ActiveRun, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Any, target: Path, progress: Any = None) -> Any:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    (repo / "t.csv").write_text("x")
    monkeypatch.setattr(ingest, "copy", full)
    with pytest.raises(mlgit.WriteFailed, match="No space left on device"):
        run.log_input("t.csv")
    assert saved(run).inputs == []
    assert not [path for path in (repo / ".git/mlgit/data").rglob("*") if path.is_file()]


# --- addresses -----------------------------------------------------------------------------------


class _Handler(http.server.BaseHTTPRequestHandler):
    body: ClassVar[bytes] = b"a,b\n1,2\n3,4\n"
    short: ClassVar[int] = 0
    etag: ClassVar[str] = '"5f-1"'

    def do_HEAD(self) -> None:
        if self.path.startswith("/gone"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.send_header("ETag", self.etag)
        self.send_header("Last-Modified", "Sun, 22 Nov 2026 20:00:00 GMT")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.body[: len(self.body) - self.short])

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{found.server_address[1]}"
        finally:
            found.shutdown()
            thread.join()


def test_an_address_is_recorded_by_what_its_server_says(run: mlgit.ActiveRun, server: str) -> None:
    run.log_input(f"http://{server}/data/t.csv?token=secret", role="train")
    (pointer,) = saved(run).inputs
    assert (pointer.path, pointer.origin, pointer.role) == ("t.csv", "url", "train")
    assert (pointer.md5, pointer.size, pointer.stored) == (None, 12, None)
    assert (pointer.url, pointer.etag) == (f"http://{server}/data/t.csv", '"5f-1"')
    assert pointer.modified == "Sun, 22 Nov 2026 20:00:00 GMT"


def test_an_address_can_be_fetched(run: mlgit.ActiveRun, repo: Path, server: str) -> None:
    pointer = run.log_input(f"http://{server}/t.csv", fetch=True)
    assert (pointer.md5, pointer.size, pointer.stored) == (md5(_Handler.body), 12, "dvc")
    assert in_store(repo, pointer) and pointer.etag == '"5f-1"'
    assert pointer.profile == {"rows": 2, "columns": 2}


def test_addresses_that_cannot_be_read(
    run: mlgit.ActiveRun, repo: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Invalid, match=rf"http://{server}/gone cannot be read: 404 Not Found"):
        run.log_input(f"http://ada:secret@{server}/gone?key=1")
    with pytest.raises(Invalid, match=r"cannot be read: .*refused"):
        run.log_input("http://127.0.0.1:9/t.csv")
    monkeypatch.setattr(_Handler, "short", 5)
    with pytest.raises(Invalid, match=r"broke off|cannot be read"):
        run.log_input(f"http://{server}/t.csv", fetch=True)
    assert saved(run).inputs == []
    assert not [path for path in (repo / ".git/mlgit/data").rglob("*") if path.is_file()]


def test_an_object_on_s3(
    run: mlgit.ActiveRun, repo: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = pytest.importorskip("botocore.session", reason="pip install 'mlgit[s3]'")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    client = session.get_session().create_client("s3")
    client.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
    told = client.put_object(Bucket="data", Key="raw/t.csv", Body=b"a\n1\n")

    def replaced_meanwhile(system: Any, address: str, target: str, **how: Any) -> None:
        assert how == {"version_id": None}
        client.put_object(Bucket="plain", Key="t.csv", Body=b"a\n2\n")
        Path(target).write_bytes(b"a\n2\n")

    named = run.log_input("s3://data/raw/t.csv", role="train")
    assert (named.path, named.md5, named.size, named.stored) == ("t.csv", None, 4, None)
    assert (named.url, named.etag) == ("s3://data/raw/t.csv", told["ETag"])
    assert named.version == told["VersionId"] and named.modified
    fetched = run.log_input("s3://data/raw/t.csv", fetch=True)
    assert (fetched.md5, fetched.stored, fetched.version) == (md5(b"a\n1\n"), "dvc", named.version)
    assert in_store(repo, fetched)
    client.create_bucket(Bucket="plain")
    client.put_object(Bucket="plain", Key="t.csv", Body=b"a\n1\n")
    assert run.log_input("s3://plain/t.csv", role="test", fetch=True).md5 == fetched.md5
    monkeypatch.setattr("s3fs.S3FileSystem.get_file", replaced_meanwhile)
    with pytest.raises(Invalid, match=r"s3://plain/t\.csv changed while it was read"):
        run.log_input("s3://plain/t.csv", fetch=True)
    with pytest.raises(Invalid, match="s3://data/raw is a folder on S3"):
        run.log_input("s3://data/raw")
    with pytest.raises(Invalid, match="s3://data/gone cannot be read"):
        run.log_input("s3://data/gone", fetch=True)
    assert [each.role for each in saved(run).inputs] == ["train", None, "test"]
    objects = [path for path in (repo / ".git/mlgit/data").rglob("*") if path.is_file()]
    assert len(objects) == 1


# --- memory --------------------------------------------------------------------------------------


def test_a_table_in_memory(run: mlgit.ActiveRun, repo: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pip install pandas")
    frame = pandas.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]})
    kept = run.log_input(frame, role="train", name="trips")
    hashed = run.log_input(frame[frame.a > 0].copy(), keep=False)
    assert (kept.path, kept.origin, kept.stored) == ("trips.parquet", "memory", "dvc")
    assert kept.content == hashed.content == hashed.md5 != kept.md5
    assert (hashed.size, hashed.stored, hashed.path) == (None, None, "table")
    assert kept.profile == hashed.profile == {"rows": 3, "columns": 2}
    run.end()
    (repo / "x.parquet").write_bytes(
        (repo / ".git/mlgit/data/files/md5" / kept.md5[:2] / kept.md5[2:]).read_bytes()
    )
    assert pandas.read_parquet(repo / "x.parquet").equals(frame)
    assert saved(run).inputs == [kept, hashed]


def test_arrays_in_memory(run: mlgit.ActiveRun) -> None:
    sparse = pytest.importorskip("scipy.sparse", reason="pip install scipy")
    entries = ([1.0, 2.0], ([0, 9], [7, 999_999_999]))
    matrix = sparse.coo_matrix(entries, shape=(100_000, 1_000_000_000))  # dense: 800 TB
    assert run.log_input(matrix, name="one-hot").path == "one-hot.npz"
    cube = numpy.zeros((2, 3, 4))
    assert run.log_input(cube).path == "array.npy"
    for nothing in (5, None, {"a": 1}, object()):
        with pytest.raises(Invalid, match="cannot be an input"):
            run.log_input(nothing)
    assert len(saved(run).inputs) == 2


# --- profiles ------------------------------------------------------------------------------------


def profiles_on_branch() -> list[str]:
    return [
        path
        for path in git("ls-tree", "-r", "--name-only", "mlgit").splitlines()
        if path.startswith("profiles/")
    ]


def test_a_profile_is_stored_once_for_each_content(repo: Path) -> None:
    pytest.importorskip("pyarrow", reason="pip install pyarrow")
    (repo / "t.csv").write_text("a,b\n1,x\n2,y\n")
    for _ in range(2):
        with mlgit.start_run(capture=()) as run:
            pointer = run.log_input("t.csv")
    assert pointer.profile == {"rows": 2, "columns": 2}
    (path,) = profiles_on_branch()
    content = git("show", f"mlgit:{path}")
    assert path == names.profile_file(
        str(pointer.md5), hashlib.sha256(content.encode()).hexdigest()
    )
    assert [column["name"] for column in json.loads(content)["columns"]] == ["a", "b"]
    git("config", "mlgit.profile", "false")
    (repo / "t.csv").write_text("c\n1\n")
    with mlgit.start_run(capture=(), repository=repo / ".") as run:
        run._repository.__dict__.pop("config", None)
        assert run.log_input("t.csv").profile is None
    assert profiles_on_branch() == [path]


# --- the journal, and what comes back ------------------------------------------------------------


def test_the_same_input_again_is_one_input(run: mlgit.ActiveRun) -> None:
    for role in ("train", "train", "test"):
        run.log_input("README.md", role=role)
    assert [pointer.role for pointer in saved(run).inputs] == ["train", "test"]


def test_a_killed_run_keeps_its_inputs_and_artifacts(repo: Path) -> None:
    script = (
        "import mlgit, os, signal\n"
        "run = mlgit.start_run(capture=())\n"
        "run.log_input('README.md', role='train')\n"
        "run.log_model('train.py')\n"
        "print(run.id, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    subprocess.run([sys.executable, "-m", "mlgit", "recover"], check=True, capture_output=True)
    found = mlgit.get_run(done.stdout.strip())
    assert found.status == "interrupted"
    assert [pointer.role for pointer in found.inputs] == ["train"]
    assert found.read("model") == (repo / "train.py").read_bytes()


def test_a_resumed_run_gets_inputs_and_artifacts_as_facts(repo: Path) -> None:
    (repo / "m.bin").write_bytes(b"\0")
    with mlgit.start_run(capture=()) as run:
        first = run.log_input("README.md")
    with mlgit.start_run(resume=run.id, capture=()) as again:
        second = again.log_input("train.py", role="test")
        again.log_input("README.md")
        again.log_model("m.bin")
    found = saved(run)
    assert found.inputs == [first, second]
    assert found.read("model") == b"\0"
    with Ledger() as ledger:
        assert ledger.index().pointers.find("run", [run.id], "output")[0].path == "model"


def test_twelve_trainings_at_once_on_the_same_data(repo: Path) -> None:
    (repo / "data.bin").write_bytes(os.urandom(3_000_000))
    (repo / "raw").mkdir()
    for number in range(20):
        (repo / f"raw/{number}.bin").write_bytes(os.urandom(1000))
    script = (
        "import mlgit, sys\n"
        "with mlgit.start_run(capture=()) as run:\n"
        "    run.log_input('data.bin', role='train')\n"
        "    run.log_input('raw')\n"
        "    run.log_model('data.bin')\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", script], stderr=subprocess.PIPE)
        for _ in range(12)
    ]
    for process in processes:
        _, said = process.communicate()
        assert process.returncode == 0, said.decode()
    found = mlgit.runs()
    assert len(found) == 12
    assert {tuple(pointer.md5 for pointer in run.inputs) for run in found} == {
        tuple(pointer.md5 for pointer in found[0].inputs)
    }
    objects = [path for path in (repo / ".git/mlgit/data/files").rglob("*") if path.is_file()]
    assert len(objects) == 1 + 20 + 1
    assert not list((repo / ".git/mlgit/data/tmp").iterdir())


@pytest.mark.skipif(not TAXI.is_dir(), reason=f"needs the taxi data in {TAXI.name}")
def test_the_hashes_of_real_data(run: mlgit.ActiveRun) -> None:
    table = [line.split("|") for line in (TAXI / "README.md").read_text().splitlines()]
    listed = {cells[1].strip(): cells for cells in table if len(cells) > 6 and "green_" in cells[1]}
    assert listed
    for name, cells in listed.items():
        pointer = run.log_input(TAXI / name)
        assert (pointer.md5, str(pointer.size)) == (cells[5].strip(), cells[2].strip())
        assert pointer.profile == {"rows": int(cells[3]), "columns": 20}
