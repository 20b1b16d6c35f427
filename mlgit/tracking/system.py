"""Feels the pulse of a running program: a heartbeat, and what it takes of the machine.

One daemon thread does both. psutil and NVML are loaded in that thread and not before its
first second is over, so a short run pays for neither, and a missing driver is nobody's
error. Nothing that goes wrong here reaches the program.
"""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mlgit.errors import MlgitWarning

_MEGABYTE = 1e6


class Device(NamedTuple):
    """One NVIDIA GPU; `memory` in bytes."""

    name: str
    memory: int
    handle: Any


def devices() -> Iterator[Device]:
    """Yields the machine's NVIDIA GPUs in NVML's order; none without pynvml or a driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # an optional package, old namesakes of it, and whatever driver is there
        return
    with contextlib.suppress(pynvml.NVMLError):
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            name = pynvml.nvmlDeviceGetName(handle)
            memory = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
            yield Device(name.decode() if isinstance(name, bytes) else name, memory, handle)


class Sampler:
    """Calls `beat()` and logs system metrics every `interval` seconds from a daemon thread.

    The first time is one interval after the start. `log` receives, from that thread:

    - `system/cpu_percent`: the mean since the sample before, over the process and its
      descendants; 100 is one core, kept busy
    - `system/memory_mb`: resident memory of the process, in units of 10⁶ bytes
    - `system/machine_memory_percent`: the share of the machine's memory that is in use
    - `system/gpu<n>_percent`, `system/gpu<n>_memory_mb`: as NVML tells them of each device

    With `log=None`, or without psutil, it only beats. A callback that fails is called again
    at the next interval; the first failure is told as a warning.
    """

    def __init__(
        self,
        log: Callable[[dict[str, float]], None] | None,
        beat: Callable[[], None],
        interval: float = 10.0,
    ) -> None:
        self._log = log
        self._beat = beat
        self._interval = interval
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._has_warned = False

    def start(self) -> None:
        """Starts the thread, unless it runs already. A process that was forked has none."""
        if self._thread and self._thread.is_alive() and not self._stopping.is_set():
            return
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._work, args=(self._stopping,), name="mlgit-sampler", daemon=True
        )
        with contextlib.suppress(RuntimeError):  # no thread to be had; the program needs it more
            self._thread.start()

    def stop(self) -> None:
        """Ends the thread and waits for it, at most a second; without one does nothing."""
        # In a forked child it is not alive, and the event is left alone: whoever held its lock
        # when the process forked is not there to let go.
        if self._thread is None or not self._thread.is_alive():
            return
        self._stopping.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=1.0)

    def _work(self, stopping: threading.Event) -> None:
        settling = min(1.0, self._interval / 2)
        if stopping.wait(settling):
            return
        meter = self._guarded(_Meter.make) if self._log is not None else None
        pause = self._interval - settling
        while not stopping.wait(pause):
            pause = self._interval
            self._guarded(self._beat)
            if meter and (metrics := self._guarded(meter.read)):
                self._guarded(self._log, metrics)

    def _guarded(self, act: Any, *arguments: object) -> Any:
        """Returns what `act` returns, or None if it fails: the heart must go on."""
        try:
            return act(*arguments)
        except Exception as problem:  # mostly others' callbacks
            if not self._has_warned:
                self._has_warned = True
                _warn(problem)


class _Meter:
    """Reads this process and its machine, CPU time since the reading before."""

    def __init__(self, psutil: Any) -> None:
        self._psutil = psutil
        self._process = psutil.Process()
        self._devices = list(devices())
        self._last = time.monotonic(), self._cpu_seconds()

    @classmethod
    def make(cls) -> _Meter | None:
        try:
            import psutil
        except (ImportError, NotImplementedError):  # the latter on systems it does not know
            return None
        return cls(psutil)

    def read(self) -> dict[str, float]:
        metrics: dict[str, float] = {}
        with contextlib.suppress(self._psutil.Error, OSError):
            now, before = (time.monotonic(), self._cpu_seconds()), self._last
            self._last = now
            # Less than before: a child went without being waited for and took its time with it.
            busy = max(0.0, now[1] - before[1])
            metrics["system/cpu_percent"] = 100 * busy / (now[0] - before[0])
            metrics["system/memory_mb"] = self._process.memory_info().rss / _MEGABYTE
            metrics["system/machine_memory_percent"] = self._psutil.virtual_memory().percent
        return metrics | self._read_devices()

    def _cpu_seconds(self) -> float:
        """Returns the CPU time of the process tree so far.

        A child that has ended is in its parent's `children_user` and `children_system`, so
        the sum does not fall when it goes.
        """
        seconds = 0.0
        for process in (self._process, *self._process.children(recursive=True)):
            with contextlib.suppress(self._psutil.Error):
                seconds += sum(process.cpu_times()[:4])
        return seconds

    def _read_devices(self) -> dict[str, float]:
        metrics: dict[str, float] = {}
        if self._devices:
            import pynvml

            for index, device in enumerate(self._devices):
                # Each for itself: a partitioned card tells its memory but not its load.
                with contextlib.suppress(pynvml.NVMLError):
                    load = pynvml.nvmlDeviceGetUtilizationRates(device.handle)
                    metrics[f"system/gpu{index}_percent"] = float(load.gpu)
                with contextlib.suppress(pynvml.NVMLError):
                    memory = pynvml.nvmlDeviceGetMemoryInfo(device.handle)
                    metrics[f"system/gpu{index}_memory_mb"] = memory.used / _MEGABYTE
        return metrics


def _warn(problem: Exception) -> None:
    with contextlib.suppress(MlgitWarning):  # where warnings are errors, this would end the thread
        warnings.warn(
            f"The run goes on, but watching it failed: {type(problem).__name__}: {problem}",
            MlgitWarning,
            stacklevel=2,
        )
