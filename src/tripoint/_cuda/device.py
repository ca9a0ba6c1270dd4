"""The GPU: whether there is one that can be used, which one it is, and what is missing where there is none.

CuPy and the others are imported when a GPU is asked for, and not before.
"""

from __future__ import annotations

import importlib
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tripoint.errors import DeviceError

#: What the GPU side is made of: the package, what it is called, and what is imported to have it.  Two of them
#: are imported by modules of ours, because they do not get along with the others without care.
LIBRARIES = {
    "cupy": ("CuPy", "cupy"),
    "cucim": ("cuCIM", "tripoint._cuda.percolation.labelling"),
    "pylibcugraph": ("pylibcugraph", "pylibcugraph"),
    "cudf": ("cuDF", "tripoint._cuda.dataframes"),
}

INSTALL = (
    "install tripoint[cuda] for CUDA 13 (NVIDIA driver 580 or newer) or tripoint[cuda12] for CUDA 12 "
    "(driver 535 or newer), or run with device=cpu"
)

_DRIVER = Path("/proc/driver/nvidia/version")


def missing() -> str | None:
    """Return what is missing for a run on the GPU, in a few words; None where nothing is."""
    absent = [name for package, (name, _) in LIBRARIES.items() if find_spec(package) is None]
    if absent:
        return f"{_and(absent)} {'is' if len(absent) == 1 else 'are'} not installed"
    try:
        count = _runtime().getDeviceCount()
    except ImportError as error:
        return f"CuPy cannot be imported: {_first_line(error)}"
    except RuntimeError as error:  # CuPy's CUDARuntimeError: no driver, or one that is too old
        return _explained(error)
    if not count:
        return "no device is visible"
    for name, module in LIBRARIES.values():
        try:
            importlib.import_module(module)
        except Exception as error:  # the libraries refuse a device or a driver in ways of their own
            return f"{name} cannot be imported: {_first_line(error)}"
    return None


def check() -> None:
    """Make sure that the GPU can be used.

    Raises
    ------
    DeviceError
        What is missing, and what to install.
    """
    reason = missing()
    if reason is not None:
        message = f"there is no GPU to run on ({reason}); {INSTALL}"
        raise DeviceError(message)


def name() -> str:
    """Return the name of the current device, such as ``NVIDIA H200``."""
    return str(_properties()["name"].decode())


def describe() -> str:
    """Return the current device in words: ``NVIDIA H200 (139 GiB), CUDA 13.0, driver 580.95.05``."""
    memory = _properties()["totalGlobalMem"] / 2**30
    words = [f"{name()} ({memory:.0f} GiB)", f"CUDA {_version(_runtime().runtimeGetVersion())}"]
    driver = _driver()
    return ", ".join([*words, f"driver {driver}"] if driver else words)


def _runtime() -> Any:
    import cupy as cp

    return cp.cuda.runtime


def _properties() -> Any:
    runtime = _runtime()
    return runtime.getDeviceProperties(runtime.getDevice())


def _explained(error: RuntimeError) -> str:
    supported = _runtime().driverGetVersion()
    if not supported:
        return "there is no NVIDIA driver"
    if "InsufficientDriver" in str(error):
        needed = _version(_runtime().runtimeGetVersion())
        return f"the NVIDIA driver knows CUDA up to {_version(supported)} and CuPy needs {needed}"
    return _first_line(error)


def _driver() -> str:
    """Return the version of the driver where the system tells it, else nothing."""
    try:
        found = re.search(r"\s(\d+\.\d+(?:\.\d+)?)\s", _DRIVER.read_text())
    except OSError:
        return ""
    return found[1] if found else ""


def _version(number: int) -> str:
    """Return CUDA's number of a version in words: ``13.0`` for 13000."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0].rstrip(".")


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
