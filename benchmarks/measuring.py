"""What the benchmarks share: their options and results, seconds, and memory in use."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def argument_parser(doc: str) -> argparse.ArgumentParser:
    """Return a parser that knows ``--output``, the folder of the results."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    return parser


def machine() -> dict[str, Any]:
    return {"cores": os.cpu_count(), "python": platform.python_version()}


def write(results: dict[str, Any], folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(results, indent=2) + "\n")


def least(action: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the least seconds of several runs, and the last result."""
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        result = action()
        seconds.append(time.perf_counter() - begin)
    return min(seconds), result


def first_starts(code: str) -> list[float]:
    """Return the seconds that code prints in a new process: compiling at first, from the cache then."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        runs = [
            subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
            )
            for _ in range(2)
        ]
    return [round(float(run.stdout.split()[-1]), 2) for run in runs]


def reset_peak() -> int:
    """Start the process's high-water mark anew and return the memory in use, 0 where that cannot be told."""
    if not Path("/proc/self/clear_refs").exists():
        return 0  # only Linux can
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def peak() -> int:
    return status("VmHWM")


def status(key: str) -> int:
    """Return bytes that Linux tells of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return 1024 * int(line.split()[1])
    return 0


def watched(action: Callable[[], Any], memory: Callable[[], int]) -> int:
    """Return by how much memory rose at most during an action, looking every 2 ms."""
    before = highest = memory()
    done = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.002):
            highest = max(highest, memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        action()
    finally:
        done.set()
        watcher.join()
    return highest - before
