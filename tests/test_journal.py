"""The journal: whole lines, told exactly, whatever a kill or a full disk left of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import git

import mlgit
from mlgit import MlgitWarning, NotFound, Unreadable, WrongState, names
from mlgit.records import history as histories
from mlgit.tracking import finish, journal
from mlgit.tracking.journal import Header, Journal

RUN = "01kb2q6v6r8m3x0c5t1w9y7zab"
OTHER = "01kb2q6v6r8m3x0c5t1w9y7zac"
STARTED = "2026-01-01T12:00:00.000000Z"


def header(**changes: Any) -> Header:
    plain: dict[str, Any] = {
        **{"id": RUN, "experiment": "default", "name": None, "parent": None, "started": STARTED},
        **{"by": {"name": "Ada", "email": "ada@example.org"}, "pid": 1},
        **{"host": socket.gethostname(), **changes},
    }
    return Header(**plain)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return journal.path_of(tmp_path / "mlgit", RUN)


@pytest.fixture
def common(path: Path) -> Path:
    return path.parent.parent.parent


def written(path: Path, *lines: str | bytes, **changes: Any) -> Path:
    """A journal that nobody holds, with these lines after the header."""
    Journal(path, header(**changes)).close()
    with path.open("ab") as file:
        for line in lines:
            file.write(line.encode() if isinstance(line, str) else line)
    return path


def steps(path: Path) -> list[int]:
    return list(journal.read(path).history["a"].step)


# --- what a journal tells ------------------------------------------------------------


def test_a_story(path: Path) -> None:
    held = Journal(path, header(name="first"))
    held.append('["m","a",0,5,1.5]\n["m","a",1,6,"NaN"]')
    held.append('["p","lr",{"$float":"NaN"}]\n["t","k","1"]\n["t","k","2"]\n["n","note"]')
    digest = held.keep_file(b"content")
    held.append(f'["a","x/y.txt","text","{digest}"]')
    held.append('["end","failed","2026-01-01T12:00:01.000000Z","why"]')
    held.close()
    story = journal.read(path)
    assert (story.id, story.header.name, story.cut) == (RUN, "first", 0)
    assert repr([*histories.rows(story.history["a"])]) == "[(0, 5, 1.5), (1, 6, nan)]"
    assert (story.params, story.tags, story.note) == (
        {"lr": {"$float": "NaN"}},
        {"k": "2"},
        "note",
    )
    assert story.outputs == {"x/y.txt": ("text", digest)}
    assert (held.files / digest).read_bytes() == b"content"
    assert story.ended == ("failed", "2026-01-01T12:00:01.000000Z", "why")


def test_pauses_between_a_death_and_a_resumption_add_up(path: Path) -> None:
    at = "2026-01-01T{}.000000Z".format
    died = written(
        path,
        f'["resume","{at("13:00:00")}",2,"{at("12:30:00")}"]\n',
        '["resume","2026-01-01T13:30:00.000000Z",3]\n',  # of a version that did not say
        f'["resume","{at("15:00:00")}",4,"{at("14:00:00")}"]\n',
        f'["resume","{at("15:00:00")}",5,"{at("15:00:09")}","later"]\n',  # a clock put back
        f'["end","finished","{at("16:00:00")}",null]\n',
        paused=0.5,
    )
    story = journal.read(died)
    assert (story.paused, story.cut) == (1800 + 3600, 0)
    run = finish.record(story, touched=0)
    assert (run.paused, run.duration) == (5400.5, 4 * 3600 - 5400.5)
    other = written(path.with_name(f"{OTHER}.jsonl"), id=OTHER)
    assert finish.record(journal.read(other), touched=0).paused is None


def test_a_torn_last_line_is_left_out_and_ended(path: Path) -> None:
    written(path, '["m","a",0,5,1.0]\n', '["m","a",1,5,1')
    story = journal.read(path)
    assert (steps(path), story.cut) == ([0], 1)
    held = Journal(path, None)
    held.append('["m","a",2,5,1.0]')
    held.close()
    assert steps(path) == [0, 2]
    size = path.stat().st_size
    Journal(path, None).close()  # a whole last line is left as it is
    assert path.stat().st_size == size


NONSENSE = [
    *('["m","a",1', "[]", "null", "5", '"m"', "{}", "\\", '["m"]', '["m","a",1,2]', '["what",1]'),
    *('["m","a","1",2,3]', '["m","a",1,"2",3]', '["m","a",1,2,"x"]', '["m",5,1,2,3]'),
    *('["m","a",1,2,[3]]', '["m","a",1,2,null]', f'["m","a",{2**70},2,3]', '["m","a",1.5,2,3]'),
    *(f'["m","a",1,{2**70},3]', '["p",5,6]', '["t","a",5]', '["n",5]', '["a","../x","text","0"]'),
    *('["a","x"]', '["source",5]', '["source",{"argv":5}]', '["environment",5]', '["end"]'),
    *('["resume","now",5,"then"]', '["resume","2026-01-01T12:00:09.000000Z",5,"then"]'),
    *("[" * 100_000, '["m","a",1,2,NaN]', '["p","\ud800",1]', "\0" * 50, '["m","new",0,0,[]]'),
]


def test_lines_that_make_no_sense_are_passed_over(path: Path) -> None:
    lines = [text.encode(errors="surrogatepass") for text in NONSENSE] + [b"\xff\xfe", b"\x80" * 9]
    good = [f'["m","a",{number},5,{number}.5]' for number in range(len(lines))]
    content = [b"%s\n%s\n" % (bad, point.encode()) for bad, point in zip(lines, good, strict=True)]
    story = journal.read(written(path, *content))
    assert story.cut == len(lines)
    assert story.history.keys() == {"a"}
    assert [*histories.rows(story.history["a"])] == [(n, 5, n + 0.5) for n in range(len(lines))]
    assert (story.params, story.tags, story.outputs, story.ended) == ({}, {}, {}, None)
    finish.record(story, 0.0)


def test_verbs_of_a_later_version_do_no_harm(path: Path) -> None:
    story = journal.read(written(path, '["later",1,{"x":2}]\n', '["m","a",0,5,1.0]\n'))
    assert len(story.history["a"]) == 1


HEADERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "not JSON": lambda plain: "no header",
    "no object": lambda plain: [plain],
    "empty": lambda plain: "",
    "another format": lambda plain: {**plain, "format": 2},
    "a format in words": lambda plain: {**plain, "format": "1"},
    "another run": lambda plain: {**plain, "id": "01kb2q6v6r8m3x0c5t1w9y7zzz"},
    "no experiment": lambda plain: {key: plain[key] for key in plain if key != "experiment"},
    "a hostile name": lambda plain: {**plain, "experiment": "two\nlines"},
    "no time": lambda plain: {**plain, "started": "yesterday"},
    "nobody": lambda plain: {**plain, "by": "Ada"},
}


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_that_is_not_ours(path: Path, common: Path, kind: str) -> None:
    line = path_of_lines = written(path).read_text()
    changed = HEADERS[kind](json.loads(line))
    text = changed if isinstance(changed, str) else json.dumps(changed)
    path.write_text(f'{text}\n["m","a",0,5,1.0]\n')
    assert path_of_lines != path.read_text()
    for look in (journal.read, journal.is_live):
        with pytest.raises(Unreadable, match="damaged, or from another version"):
            look(path)
    # Listings pass it over; `doctor` tells of it.
    assert finish.live_runs(common) == [] and finish.dead_runs(common) == []
    assert [*journal.all_paths(common)] == [path]


def test_more_of_a_later_header_is_ignored(path: Path) -> None:
    plain = json.loads(written(path).read_text())
    path.write_text(json.dumps({**plain, "colour": "blue"}) + "\n")
    assert journal.read(path).header == header()


def test_what_is_not_there(path: Path) -> None:
    for look in (journal.read, journal.is_live, lambda path: Journal(path, None)):
        with pytest.raises(NotFound, match=f"no journal of the run {RUN}"):
            look(path)


def test_only_journals_are_looked_at(path: Path, common: Path) -> None:
    written(path)
    for other in ("notes.txt", "x.jsonl", f"{RUN}.jsonl~", f"{RUN.upper()}.jsonl"):
        (path.parent / other).write_text("")
    assert [*journal.all_paths(common)] == [path]


# --- one writer, many readers --------------------------------------------------------


def test_one_writer_at_a_time(path: Path) -> None:
    held = Journal(path, header())
    for second in (None, header()):
        with pytest.raises(WrongState, match="is being logged to"):
            Journal(path, second)
    assert journal.is_live(path)
    held.close()
    held.close()
    assert not journal.is_live(path)
    Journal(path, None).close()


def test_a_killed_writer_is_dead_at_once(path: Path) -> None:
    code = (
        "import sys, pathlib; from mlgit.tracking.journal import *\n"
        f"held = Journal(pathlib.Path(sys.argv[1]), {header()!r})\n"
        "held.append('[\"n\",\"there\"]'); print('ready', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, path]
    with subprocess.Popen(command, stdin=-1, stdout=-1) as process:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        assert journal.is_live(path)
        with pytest.raises(WrongState):
            Journal(path, None)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not journal.is_live(path) and journal.read(path).note == "there"


def test_another_host_is_judged_by_its_heartbeat(path: Path, common: Path) -> None:
    written(path, host="elsewhere")
    assert journal.is_live(path) and len(finish.live_runs(common)) == 1
    old = time.time() - journal.STALE_SECONDS - 1
    os.utime(path, (old, old))
    assert not journal.is_live(path) and finish.dead_runs(common) == [path]
    held = Journal(path, None)
    held.beat()
    held.close()
    assert journal.is_live(path)


def test_a_reader_never_sees_half_a_line(path: Path) -> None:
    held = Journal(path, header())
    done = threading.Event()

    def write() -> None:
        for step in range(20_000):
            held.append(f'["m","a",{step},5,{step}.5]')
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = 0
    while not done.is_set():
        story = journal.read(path)
        found = list(story.history["a"].step) if story.history else []
        assert not story.cut and found == [*range(len(found))] and len(found) >= seen
        seen = len(found)
    thread.join()
    assert steps(path) == [*range(20_000)]
    held.discard()
    assert not [*path.parent.iterdir()]


# --- when the disk takes nothing -----------------------------------------------------


class FullDisk:
    """Lets `os.write` take `room` bytes of the journal, then no more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: float = float("inf")
        self.write = os.write
        monkeypatch.setattr(os, "write", self)

    def __call__(self, file: int, data: bytes) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        taken = self.write(file, data[: int(min(self.room, len(data)))])
        self.room -= taken
        return taken


def test_a_full_disk_delays_and_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(monkeypatch)
    held = Journal(path, header())
    held.append('["m","a",0,5,1.0]')
    disk.room = 7
    with pytest.warns(MlgitWarning, match=r"No space|full") as told:
        for step in range(1, 50):
            held.append(f'["m","a",{step},5,1.0]')
    assert len(told) == 1 and held.pending
    assert steps(path) == [0] and journal.read(path).cut == 1
    disk.room = float("inf")
    held.append('["m","a",50,5,1.0]')
    assert not held.pending and steps(path) == [*range(51)] and journal.read(path).cut == 0
    disk.room = 0
    held.append('["m","a",51,5,1.0]')
    disk.room = float("inf")
    held.beat()  # the heartbeat tries, too
    assert steps(path) == [*range(52)]
    held.close()


def test_too_much_waiting_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(monkeypatch)
    monkeypatch.setattr(journal, "PENDING_LIMIT", 1000)
    held = Journal(path, header())
    disk.room = 0
    accepted = 0
    with pytest.warns(MlgitWarning), pytest.raises(mlgit.WriteFailed, match="too much is waiting"):
        while True:
            held.append(f'["m","a",{accepted},5,1.0]')
            accepted += 1
    disk.room = float("inf")
    held.beat()
    held.close()
    assert steps(path) == [*range(accepted)]  # and not the one that was refused


def test_no_room_for_the_first_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(monkeypatch)
    for room in (0, 10):
        disk.room = room
        with pytest.raises(mlgit.WriteFailed, match=r"No space|full"):
            Journal(path, header())
        assert not path.exists()


def test_what_a_kill_left_before_the_first_line_is_swept(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()
    state = path.parent.parent
    journal.sweep(state)
    assert path.exists()  # another process may be about to write
    old = time.time() - journal.STALE_SECONDS - 1
    os.utime(path, (old, old))
    journal.sweep(state)
    assert not path.exists()
    os.utime(written(path), (old, old))
    journal.sweep(state)
    assert path.exists()


def test_the_disk_is_waited_for_if_asked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr(os, "fsync", waited.append)
    held = Journal(path, header(), fsync=True)
    held.append('["n","x"]')
    held.keep_file(b"x")
    assert len(waited) == 2

    def fail(file: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(mlgit.WriteFailed, match="may not survive a power cut"):
        held.append('["m","a",0,5,1.0]')
    held.close()
    assert steps(path) == [0]


# --- a million points ----------------------------------------------------------------

MILLION = """
import gc, os, psutil, sys
import mlgit

process = psutil.Process()
with mlgit.start_run(capture=()) as run:
    for i in range(20_000):
        mlgit.log_metric("loss", i / 7)
    gc.collect()
    before = process.memory_info().rss
    for i in range(20_000, 1_000_000):
        mlgit.log_metric("loss", -1e9 if i == 777_777 else 1e9 if i == 333_333 else i / 7)
    gc.collect()
    print(run.id, process.memory_info().rss - before)
"""


def test_a_million_points(repo: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MILLION], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run_id, growth = done.stdout.split()
    assert int(growth) < 15e6
    run = mlgit.get_run(run_id)
    metric = run.record.metrics["loss"]
    assert (metric.min, metric.max, metric.step) == (-1e9, 1e9, 999_999)
    assert (metric.last, metric.count) == (999_999 / 7, 1_000_000)

    stored = git("show", f"mlgit:{names.run_file(run_id, names.METRICS_FILE)}")
    reduced = json.loads(stored)["loss"]
    assert reduced["reduced"] is True and len(reduced["step"]) <= histories.REDUCED_POINTS
    assert {-1e9, 1e9} < {*reduced["value"]}
    assert (reduced["step"][0], reduced["step"][-1]) == (0, 999_999)

    (pointer,) = run.record.outputs
    assert (pointer.kind, pointer.stored) == ("history", "dvc")
    assert (repo / ".git/mlgit/data/files/md5" / pointer.md5[:2] / pointer.md5[2:]).is_file()
    assert run.artifacts() == []
    points = run.history("loss")
    assert [point.step for point in points] == [*range(1_000_000)]
    assert points[333_333].value == 1e9 and points[500_000].value == 500_000 / 7
