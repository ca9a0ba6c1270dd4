"""What a run costs: seconds of each step, and the memory it peaked at, on the host and on the GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import psutil

#: Called as ``progress(step, done, total)`` when a step begins (done steps so far) and at the end.
Progress = Callable[[str, int, int], None]


class Gauge(Protocol):
    """What a GPU tells of a run: see ``tripoint._cuda.memory.Gauge``."""

    device: str
    peak_bytes: int

    def synchronize(self) -> None:
        """Wait until the GPU has done all that it was asked to."""

    def give_back(self) -> None:
        """Return memory that is kept for later."""


class RunRecord:
    """Seconds per step and the peak of memory, with progress told along the way.

    Parameters
    ----------
    steps : int
        Number of steps to come, for the progress bar.
    configuration : mapping
        What the run was asked to do, kept with its cost.
    progress : callable, optional
        Told ``(step, done, total)`` as each step begins and once more at the end.
    gauge : Gauge, optional
        The GPU that the run is on; a step is over when the GPU is done with it.
    """

    def __init__(
        self,
        steps: int,
        configuration: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
        gauge: Gauge | None = None,
    ) -> None:
        self.date = datetime.now(UTC).isoformat(timespec="seconds")
        self.configuration = dict(configuration or {})
        self.seconds: dict[str, float] = {}
        self._total = steps
        self._progress = progress
        self._gauge = gauge
        _reset_peak()
        self._start_bytes = psutil.Process().memory_info().rss

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step."""
        self._tell(name)
        start = time.perf_counter()
        yield
        if self._gauge is not None:
            self._gauge.synchronize()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def finish(self) -> None:
        """Tell the progress bar that all steps are done."""
        if self._progress:
            self._progress("done", self._total, self._total)

    @property
    def device_name(self) -> str | None:
        """Name of the GPU that the run was on; None on the host."""
        return None if self._gauge is None else self._gauge.device

    @property
    def device_peak_bytes(self) -> int | None:
        """Most memory of CuPy's pool that was in use at a time, bytes; None on the host."""
        return None if self._gauge is None else self._gauge.peak_bytes

    @property
    def peak_bytes(self) -> int:
        """Largest resident memory of the process since the record began, bytes."""
        return _peak()

    @property
    def working_bytes(self) -> int:
        """What the steps took beyond the memory that was resident when the record began, bytes."""
        return max(0, self.peak_bytes - self._start_bytes)

    def _tell(self, name: str) -> None:
        if self._progress:
            self._progress(name, len(self.seconds), self._total)


def _reset_peak() -> None:
    """Let the kernel forget the peak so far, where it can (Linux); elsewhere the peak is the process's."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak() -> int:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    memory = psutil.Process().memory_info()
    return int(getattr(memory, "peak_wset", memory.rss))
