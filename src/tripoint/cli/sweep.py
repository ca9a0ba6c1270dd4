"""The runs of a sweep in processes of their own, several at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

from tripoint.errors import InputError
from tripoint.record import Progress

_THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def count_jobs(given: Any, parallel: bool) -> int:
    """Return how many runs go at a time: the number given, or for ``auto`` one per core where that is wanted.

    Raises
    ------
    InputError
        Neither ``auto`` nor a whole number of at least 1.
    """
    if given == "auto":
        return cores() if parallel else 1
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        message = f"jobs is {given!r}; expected auto or a whole number of at least 1"
        raise InputError(message)
    return given


class Runs:
    """Runs that are under way, each with its share of the cores.

    Parameters
    ----------
    jobs : int
        At a time.
    """

    def __init__(self, jobs: int) -> None:
        # Processes are started anew: threads of OpenMP and of CUDA do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin)
        self._share = str(max(1, cores() // jobs))
        self._runs: list[Future[Any]] = []

    def submit(self, run: Callable[..., Any], *arguments: Any) -> None:
        """Begin a run, as soon as there is a process for it."""
        with _environment(dict.fromkeys(_THREADS, self._share)), _deaf_children():
            self._runs.append(self._pool.submit(run, *arguments))

    def results(self, progress: Progress) -> Iterator[Any]:
        """Wait for the runs, and return what each of them returned, in the order in which they end.

        Raises
        ------
        BrokenProcessPool
            A process was killed; the runs that were over by then have done their work.
        """
        for done, run in enumerate(as_completed(self._runs)):
            progress("runs", done, len(self._runs))
            yield run.result()
        progress("runs", len(self._runs), len(self._runs))

    def close(self) -> None:
        """Begin no more runs, and wait for those that are under way."""
        self._pool.shutdown(cancel_futures=True)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Let processes that begin meanwhile ignore Ctrl-C until they are ready for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin() -> None:
    """Let Ctrl-C end the process at once: what is not complete is not there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    """Change what processes that begin meanwhile find in their environment, where it is not set already."""
    added = {name: value for name, value in changes.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
