"""`mlgit push` cut off in the middle: Ctrl-C, kill -9, a slow remote, one that refuses.

Real processes, a real S3 server, a real SSH server and folders that a file stands in the
way of. Whatever happens, what lies on the remote is whole and under its own name, no list
of a folder's files lies there before the files, and the next push sends the rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from click.testing import CliRunner
from conftest import git
from peers import SlowLine, free_port, refusing, stored_objects

import mlgit
from mlgit.cli import cli
from mlgit.data import hashing, remote, store, transfer
from mlgit.data.remote import Connection, Remote, connect
from mlgit.ledger import open_repository

FILES = 40  # of the model, and its list
BEFORE = 20  # files have arrived when the server stops answering; of 16 nobody may have told
BYTES = 20_000  # of each


def train(files: int = FILES, size: int = BYTES) -> mlgit.SavedRun:
    Path("model").mkdir(exist_ok=True)
    for number in range(files):
        Path(f"model/{number}").write_bytes(b"\0" + os.urandom(size))
    with mlgit.start_run("exp", "baseline", capture=()) as run:
        run.log_model("model")
    return mlgit.get_run(run.id)


@pytest.fixture
def project(repo: Path, bare: Callable[..., Path]) -> Path:
    """A project with a git remote."""
    git("remote", "add", "origin", bare())
    git("push", "--quiet", "origin", "main")
    return repo


def mlgit_(*args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "mlgit", *args], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def cut_off(
    number: signal.Signals,
    when: Callable[[], bool],
    to: Callable[[int, signal.Signals], None] = os.killpg,
) -> tuple[int, str, float]:
    """Pushes, and sends a signal as soon as `when` holds; returns code, stderr and seconds since.

    As a terminal does, to the whole group of processes.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "mlgit", "push", "--yes"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 60
    while not when():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)
    to(process.pid, number)
    since = time.monotonic()
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr, time.monotonic() - since


def settled(read: Callable[[], dict[str, bytes]]) -> dict[str, bytes]:
    """Returns what lies on a remote as soon as it has done what had reached it."""
    found = read()
    while True:
        time.sleep(0.5)
        if (now := read()) == found:
            return now
        found = now


def check_whole(objects: dict[str, bytes]) -> None:
    """Checks that each object is what its name says, and that what a list names is there."""
    for name, content in objects.items():
        assert store.md5_of(content) == name.removesuffix(".dir")
        if name.endswith(".dir"):
            inside = hashing.parse_manifest(content, name)
            assert {member.md5 for member in inside} <= objects.keys()


def sent(done: subprocess.CompletedProcess[str]) -> int:
    found = re.search(r"Sent (\d+) files? \(", done.stdout)
    return int(found[1]) if found else 0


def runs_on_origin() -> bool:
    return "refs/heads/mlgit" in git("ls-remote", "origin")


# --- the git remote ------------------------------------------------------------------------------


@pytest.mark.parametrize("to", [os.killpg, os.kill])
def test_ctrl_c_does_not_wait_for_a_git_remote_that_is_busy(
    project: Path, tmp_path: Path, to: Callable[[int, signal.Signals], None]
) -> None:
    """Told to the group of processes, or to mlgit alone, whose git still has others at work."""
    train(1)
    hook = tmp_path / "remote.git/hooks/pre-receive"
    hook.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/begun\nexec sleep 60\n")
    hook.chmod(0o755)
    begun = tmp_path / "begun"
    code, stderr, seconds = cut_off(
        signal.SIGINT, lambda: begun.exists() and begun.read_text().endswith("\n"), to
    )
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(begun.read_text()), signal.SIGKILL)
    assert code == 130 and stderr.endswith("Stopped.\n") and seconds < 10
    assert not runs_on_origin()
    hook.unlink()
    assert "Sent 1 run to origin." in mlgit_("push", "--yes").stdout


# --- S3 ------------------------------------------------------------------------------------------


def directly(url: str) -> contextlib.AbstractContextManager[Connection]:
    """Opens the bucket past any line between."""
    options = {"endpointurl": url, "region": "us-east-1"}
    return connect(Remote("direct", "s3://data/place/mlgit", options))


def bucket(url: str) -> dict[str, bytes]:
    """Returns the objects in the bucket."""
    with directly(url) as direct:
        found = direct.fs.call_s3("list_objects_v2", Bucket="data").get("Contents", [])
        keys = [each["Key"] for each in found]
        return {"".join(key.split("/")[-2:]): direct.fs.cat_file(f"data/{key}") for key in keys}


@pytest.fixture
def slow(s3: str) -> Iterator[SlowLine]:
    line = SlowLine(urlsplit(s3).port or 0, 200_000)
    yield line
    line.close()


def on_s3(line: SlowLine) -> None:
    mlgit_("remote", "add", "cloud", "s3://data/place", "--option", "region=us-east-1")
    git("config", "mlgit.data.cloud.endpointurl", f"http://127.0.0.1:{line.port}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_push_to_s3_that_is_cut_off_goes_on(
    project: Path, s3: str, slow: SlowLine, number: signal.Signals
) -> None:
    train()
    on_s3(slow)
    begun = len(bucket(s3))
    code, stderr, seconds = cut_off(number, lambda: len(bucket(s3)) - begun >= 3)
    slow.cut()
    arrived = settled(lambda: bucket(s3))
    check_whole(arrived)
    assert 3 <= len(arrived) < FILES + 1 and not runs_on_origin()
    if number == signal.SIGINT:
        assert code == 130 and "Traceback" not in stderr
        assert seconds < 6
        told = re.search(r"Stopped. (\d+) of 41 files have arrived, and are kept; the same", stderr)
        assert told and 3 <= int(told[1]) <= len(arrived)
    slow.rate = 1e9
    assert sent(mlgit_("push", "--yes")) == FILES + 1 - len(arrived)
    assert len(bucket(s3)) == FILES + 1 and runs_on_origin()
    check_whole(bucket(s3))
    assert mlgit.get_run("baseline").record.missing is None


def test_ctrl_c_does_not_wait_for_a_line_that_hangs(project: Path, s3: str, slow: SlowLine) -> None:
    train(3, 3_000_000)
    on_s3(slow)
    slow.rate = 2_000
    code, stderr, seconds = cut_off(signal.SIGINT, lambda: slow.sent > 50_000)
    assert code == 130 and "0 of 4 files have arrived" in stderr
    assert seconds < 8  # the line would take half an hour
    assert bucket(s3) == {}


def test_parts_that_never_became_an_object_are_swept_on_another_day(
    project: Path, s3: str, slow: SlowLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 keeps them and charges for them, and shows them to nobody."""
    train(1, 20_000_000)
    on_s3(slow)
    slow.rate = 4_000_000
    with directly(s3) as direct:

        def parts() -> list[dict[str, Any]]:
            found = direct.fs.call_s3("list_multipart_uploads", Bucket="data")
            return list(found.get("Uploads", []))

        cut_off(signal.SIGKILL, lambda: slow.sent > 2_000_000)
        slow.cut()
        (left,) = parts()
        assert bucket(s3) == {}
        place, begun = open_repository().data_store, left["Initiated"].timestamp()
        with monkeypatch.context() as patch:
            patch.setattr(transfer.time, "time", lambda: begun + 60)
            transfer.push(place, direct, [store.put(place, b"other")])
        assert len(parts()) == 1  # somebody may be sending it right now
        monkeypatch.setattr(transfer.time, "time", lambda: begun + 2 * 24 * 60 * 60)
        transfer.push(place, direct, [store.put(place, b"more")])
        assert parts() == []


def test_s3_that_refuses_half_takes_the_other_half(project: Path, s3: str) -> None:
    train(40, 100)
    mlgit_("remote", "add", "cloud", "s3://data/place", "--option", "region=us-east-1")
    objects = stored_objects(project / ".git/mlgit/data")
    refused = {md5 for md5 in objects if md5[0] in "01234567" and not md5.endswith(".dir")}
    assert refused and refused < objects.keys()

    def refuses(method: str, path: str) -> bool:
        return method == "PUT" and re.search(r"/files/md5/[0-7]./[^.]*$", path) is not None

    with refusing(s3, refuses) as url:
        git("config", "mlgit.data.cloud.endpointurl", url)
        done = mlgit_("push", "--yes", code=1)
    count = len(objects) - len(refused) - 1
    assert f"{count} of 41 files have arrived; no run was sent" in done.stderr
    assert re.search(r"Error: the data remote cloud failed: .*not yours", done.stderr)
    assert "mlgit push --no-data" in done.stderr
    assert bucket(s3).keys() == {
        md5 for md5 in objects.keys() - refused if not md5.endswith(".dir")
    }
    assert not runs_on_origin()
    git("config", "mlgit.data.cloud.endpointurl", s3)
    assert sent(mlgit_("push", "--yes")) == len(refused) + 1
    check_whole(bucket(s3))
    assert mlgit.get_run("baseline").record.missing is None


def test_a_remote_that_refuses_everything_is_not_asked_for_each(project: Path, s3: str) -> None:
    train(100, 10)
    mlgit_("remote", "add", "cloud", "s3://data/place", "--option", "region=us-east-1")
    asked = []

    def refuses(method: str, path: str) -> bool:
        asked.append(path) if method == "PUT" else None
        return method == "PUT"

    with refusing(s3, refuses) as url:
        git("config", "mlgit.data.cloud.endpointurl", url)
        done = mlgit_("push", "--yes", code=1)
    assert "0 of 101 files have arrived" in done.stderr
    assert len(set(asked)) <= 3 * transfer._JOBS


# --- SSH -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_push_over_ssh_that_is_cut_off_goes_on(
    project: Path, ssh: Remote, hermetic: Path, number: signal.Signals
) -> None:
    train()
    parts = urlsplit(ssh.url)
    line = SlowLine(parts.port or 0, 200_000)
    known = hermetic / ".ssh/known_hosts"
    known.write_text(known.read_text().replace(f":{parts.port} ", f":{line.port} "))
    there = project.parent / "there"
    mlgit_("remote", "add", "server", f"ssh://127.0.0.1:{line.port}{there}")
    code, stderr, seconds = cut_off(number, lambda: len(stored_objects(there / "mlgit")) >= 3)
    line.cut()
    arrived = settled(lambda: stored_objects(there / "mlgit"))
    check_whole(arrived)
    assert 3 <= len(arrived) < FILES + 1 and not runs_on_origin()
    if number == signal.SIGINT:
        assert code == 130 and "Traceback" not in stderr and seconds < 8, stderr
        assert re.search(r"Stopped. \d+ of 41 files have arrived", stderr)
    line.rate = 1e9
    assert sent(mlgit_("push", "--yes")) == FILES + 1 - len(arrived)
    assert stored_objects(there / "mlgit") == stored_objects(project / ".git/mlgit/data")
    line.close()


def test_a_server_that_stops_answering_ends_the_push(
    project: Path, ssh: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line stays open and nothing comes any more: only being asked can tell."""
    train(FILES, 200_000)
    there = project.parent / "there"
    mlgit_("remote", "add", "server", f"ssh://127.0.0.1:{urlsplit(ssh.url).port}{there}")
    monkeypatch.setattr(remote, "SSH_ALIVE", 1)
    sessions: list[psutil.Process] = []
    over = threading.Event()

    def hang() -> None:
        (server,) = (p for p in psutil.Process().children() if p.name() == "sshd")
        while len(stored_objects(there / "mlgit")) < BEFORE:
            time.sleep(0.001)
        sessions.extend(server.children(recursive=True))
        for session in sessions:
            session.suspend()
        over.wait(30)  # lest a push that waits for ever keep the tests from ending
        for session in sessions:
            session.resume()

    hanging = threading.Thread(target=hang)
    hanging.start()
    begun = time.monotonic()
    done = CliRunner().invoke(cli, ["push", "--yes"], prog_name="mlgit")
    seconds = time.monotonic() - begun
    arrived = stored_objects(there / "mlgit")
    over.set()
    hanging.join()
    assert done.exit_code == 1 and sessions and seconds < 20
    told = re.search(
        r"^Error: the data remote server failed: it does not answer; "
        r"(\d+) of 41 files have arrived; no run was sent\n"
        r"Hint: what has arrived is kept; try again; .*\n\Z",
        done.stderr,
        re.MULTILINE,
    )
    assert told, done.stderr
    check_whole(arrived)
    assert 3 <= int(told[1]) <= len(arrived) < FILES + 1 and not runs_on_origin()
    assert len(arrived) >= BEFORE
    arrived = settled(lambda: stored_objects(there / "mlgit"))  # it does what it was told before
    check_whole(arrived)
    assert sent(mlgit_("push", "--yes")) == FILES + 1 - len(arrived)
    assert stored_objects(there / "mlgit") == stored_objects(project / ".git/mlgit/data")
    assert runs_on_origin()


def test_where_nobody_listens(project: Path) -> None:
    train(1, 10)
    mlgit_("remote", "add", "server", f"ssh://127.0.0.1:{free_port()}/there")
    told = mlgit_("push", "--yes", code=1).stderr
    assert told.startswith("Error: the data remote server failed: Connect call failed")


def test_a_server_that_never_answers_ends_the_push(
    project: Path, ssh: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the connection, as a machine whose memory is full does, and says nothing."""
    train(3, 10)
    there = project.parent / "there"
    mlgit_("remote", "add", "server", f"ssh://127.0.0.1:{urlsplit(ssh.url).port}{there}")
    monkeypatch.setattr(remote, "SSH_BEGIN", 1)
    (server,) = (p for p in psutil.Process().children() if p.name() == "sshd")
    server.suspend()
    begun = time.monotonic()
    done = CliRunner().invoke(cli, ["push", "--yes"], prog_name="mlgit")
    server.resume()
    assert time.monotonic() - begun < 20
    assert "Error: the data remote server failed: it does not answer; no run was" in done.stderr
    assert not runs_on_origin()
    assert sent(mlgit_("push", "--yes")) == 4


# --- folders -------------------------------------------------------------------------------------


def test_a_folder_that_refuses_half_takes_the_other_half(project: Path, tmp_path: Path) -> None:
    run = train(40, 100)
    mlgit_("remote", "add", "store", str(tmp_path / "store"))
    objects = stored_objects(project / ".git/mlgit/data")
    manifest = str(run.record.outputs[0].md5)
    refused = {md5 for md5 in objects if md5[0] in "01234567" and md5[:2] != manifest[:2]}
    top = tmp_path / "store/mlgit/files/md5"
    top.mkdir(parents=True)
    for md5 in refused:
        (top / md5[:2]).write_text("in the way, for root as well\n")
    done = mlgit_("push", "--yes", code=1)
    assert f"{40 - len(refused)} of 41 files have arrived; no run was sent" in done.stderr
    assert stored_objects(tmp_path / "store/mlgit").keys() == objects.keys() - refused - {manifest}
    assert not runs_on_origin()
    assert os.listdir(tmp_path / "store/mlgit/tmp") == []
    for md5 in refused:
        (top / md5[:2]).unlink(missing_ok=True)
    assert sent(mlgit_("push", "--yes")) == len(refused) + 1
    assert stored_objects(tmp_path / "store/mlgit") == objects
    assert runs_on_origin()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_push_to_a_folder_that_is_cut_off_goes_on(
    project: Path, tmp_path: Path, number: signal.Signals
) -> None:
    train(12, 4_000_000)
    mlgit_("remote", "add", "store", str(tmp_path / "store"))
    there = tmp_path / "store/mlgit"

    def has_begun() -> bool:
        with contextlib.suppress(OSError):
            return any((there / "tmp").iterdir())
        return False

    code, stderr, seconds = cut_off(number, has_begun)
    arrived = stored_objects(there)
    check_whole(arrived)
    assert len(arrived) < 13
    if number == signal.SIGINT:
        assert code == 130 and "of 13 files have arrived" in stderr and seconds < 6
        assert os.listdir(there / "tmp") == []
    assert sent(mlgit_("push", "--yes")) == 13 - len(arrived)
    assert stored_objects(there) == stored_objects(project / ".git/mlgit/data")


def test_what_arrived_is_said_as_json_on_stderr_only(project: Path, tmp_path: Path) -> None:
    """A script that reads stdout gets a whole document or nothing."""
    train(3, 10)
    mlgit_("remote", "add", "store", str(tmp_path / "store"))
    (tmp_path / "store").write_text("in the way\n")
    done = mlgit_("push", "--yes", "--json", code=1)
    assert done.stdout == "" and done.stderr.count("Error: ") == 1
    (tmp_path / "store").unlink()
    (content,) = json.loads(mlgit_("push", "--yes", "--json").stdout).values()
    assert content["data_sent"]["objects"] == 4
