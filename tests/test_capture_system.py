"""The heartbeat goes on whatever happens, and never in the program's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from mlgit.errors import MlgitWarning
from mlgit.tracking import system
from mlgit.tracking.system import Sampler

SOON = 5.0  # seconds until a test gives up on what takes milliseconds


class Calls(list[Any]):
    """Records its calls; `fail` is raised at each."""

    def __init__(self, fail: Exception | None = None) -> None:
        self.fail = fail
        self.arrived = threading.Condition()

    def __call__(self, *args: Any) -> None:
        with self.arrived:
            self.append(args)
            self.arrived.notify_all()
        if self.fail:
            raise self.fail

    def wait(self, count: int) -> bool:
        with self.arrived:
            return self.arrived.wait_for(lambda: len(self) >= count, SOON)


@pytest.fixture
def sampler() -> Iterator[Callable[..., Sampler]]:
    made: list[Sampler] = []

    def make(log: Any, beat: Any, interval: float = 0.02) -> Sampler:
        made.append(Sampler(log, beat, interval))
        return made[-1]

    yield make
    for each in made:
        each.stop()


def threads() -> int:
    return sum(thread.name == "mlgit-sampler" for thread in threading.enumerate())


def test_beats_and_logs_each_interval(sampler: Callable[..., Sampler]) -> None:
    log, beat = Calls(), Calls()
    sampler(log, beat).start()
    assert beat.wait(3) and log.wait(2)
    (metrics,) = log[-1]
    assert metrics.keys() == {
        "system/cpu_percent",
        "system/memory_mb",
        "system/machine_memory_percent",
    }
    assert all(type(value) is float for value in metrics.values())
    assert metrics["system/cpu_percent"] >= 0
    assert 5 < metrics["system/memory_mb"] < 10_000
    assert 0 < metrics["system/machine_memory_percent"] <= 100


def test_a_short_run_is_left_alone(
    sampler: Callable[..., Sampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "_Meter", None)  # neither measured nor imported for
    log, beat = Calls(), Calls()
    short = sampler(log, beat, 60)
    short.start()
    time.sleep(0.05)
    before = time.monotonic()
    short.stop()
    assert time.monotonic() - before < 0.5
    assert threads() == 0
    assert log == beat == []


def test_start_and_stop_may_be_repeated(sampler: Callable[..., Sampler]) -> None:
    beat = Calls()
    again = sampler(None, beat)
    again.stop()
    again.start()
    again.start()
    assert threads() == 1
    again.stop()
    again.stop()
    assert threads() == 0
    beaten = len(beat)
    again.start()
    assert beat.wait(beaten + 1)


def test_without_a_log_nothing_is_measured(
    sampler: Callable[..., Sampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "_Meter", None)
    beat = Calls()
    sampler(None, beat).start()
    assert beat.wait(2)


def test_without_psutil_it_only_beats(
    sampler: Callable[..., Sampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    log, beat = Calls(), Calls()
    sampler(log, beat).start()
    assert beat.wait(3)
    assert log == []


def test_a_failing_log_is_told_once_and_the_heart_goes_on(sampler: Callable[..., Sampler]) -> None:
    log, beat = Calls(fail=ValueError("disk full")), Calls()
    with pytest.warns(MlgitWarning, match="ValueError: disk full") as told:
        sampling = sampler(log, beat)
        sampling.start()
        assert log.wait(3) and beat.wait(4)
        sampling.stop()
    assert len(told) == 1


def test_a_failing_beat_does_not_end_the_log(sampler: Callable[..., Sampler]) -> None:
    # Warnings are errors in these tests: the one that is due must not end the thread either.
    log, beat = Calls(), Calls(fail=OSError("read-only"))
    sampler(log, beat).start()
    assert beat.wait(3) and log.wait(2)


def test_a_machine_that_refuses_to_be_measured_does_not_end_the_heartbeat(
    sampler: Callable[..., Sampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object) -> float:
        raise problems.pop(0) if problems else ValueError("/proc is not what it was")

    problems: list[Exception] = [PermissionError("hidepid"), ValueError("odd")]
    monkeypatch.setattr(system._Meter, "_cpu_seconds", refuse)
    for _ in range(2):
        log, beat = Calls(), Calls()
        sampler(log, beat).start()
        assert beat.wait(3)
        assert log == []


def test_may_be_stopped_from_its_own_thread(sampler: Callable[..., Sampler]) -> None:
    stopped = Calls()
    sampling = sampler(None, lambda: (sampling.stop(), stopped()))
    sampling.start()
    assert stopped.wait(1)


def test_a_machine_out_of_threads_is_borne(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    sampling = Sampler(None, Calls())
    sampling.start()
    sampling.stop()


def test_a_forked_child_has_no_thread_and_may_start_one(sampler: Callable[..., Sampler]) -> None:
    beat = Calls()
    sampling = sampler(None, beat)
    sampling.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 on: forking with threads
        child = os.fork()
    if child == 0:
        signal.alarm(10)  # what must not happen is that it waits
        sampling.stop()
        none = threads() == 0
        beat = sampling._beat = Calls()
        sampling.start()
        os._exit(0 if none and beat.wait(1) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert beat.wait(len(beat) + 1)


def test_processor_time_is_of_the_whole_tree() -> None:
    command = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    meter = system._Meter.make()
    assert meter is not None
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        meter.read()
        time.sleep(0.3)
        assert meter.read()["system/cpu_percent"] > 5
        alive = meter._cpu_seconds()
        child.kill()
    # Now it is among the children waited for, whose times the kernel rounds on their own.
    assert meter._cpu_seconds() >= alive - 0.05


def test_reads_each_graphics_card_as_far_as_it_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    class NVMLError(Exception):
        pass

    def load(card: int) -> SimpleNamespace:
        if card == 1:
            raise NVMLError("Not Supported")  # a partition of a card
        return SimpleNamespace(gpu=87)

    nvml = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda card: "NVIDIA H100",
        nvmlDeviceGetMemoryInfo=lambda card: SimpleNamespace(total=80 * 10**9, used=3 * 10**9),
        nvmlDeviceGetUtilizationRates=load,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    meter = system._Meter.make()
    assert meter is not None
    metrics = {key: value for key, value in meter.read().items() if "gpu" in key}
    assert metrics == {
        "system/gpu0_percent": 87.0,
        "system/gpu0_memory_mb": 3000.0,
        "system/gpu1_memory_mb": 3000.0,
    }


def test_no_driver_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def init() -> None:
        raise OSError("libnvidia-ml.so.1: cannot open shared object file")

    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(nvmlInit=init))
    assert list(system.devices()) == []
