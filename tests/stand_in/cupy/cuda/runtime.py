"""What the CUDA runtime says of the stand-in's device."""

from __future__ import annotations

from typing import Any

from cupy._memory import DEVICE_BYTES as _BYTES
from cupy._memory import get_default_memory_pool as _pool

__stand_in__ = ("switch_on",)  # not CuPy's

_devices = 0


class CUDARuntimeError(RuntimeError):
    pass


def switch_on(on: bool = True) -> bool:
    """Let there be a device or none, and return what was before; the one name here that CuPy lacks."""
    global _devices
    before, _devices = bool(_devices), int(on)
    return before


def getDeviceCount() -> int:
    if not _devices:
        message = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
        raise CUDARuntimeError(message)
    return _devices


def getDevice() -> int:
    return 0


def deviceSynchronize() -> None: ...


def memGetInfo() -> tuple[int, int]:
    return _BYTES - _pool().total_bytes(), _BYTES


def getDeviceProperties(device: int) -> dict[str, Any]:
    return {
        "name": b"CUDA emulated on the processor",
        "totalGlobalMem": _BYTES,
        "multiProcessorCount": 132,
        "major": 9,
        "minor": 0,
        "l2CacheSize": 60 << 20,
        "maxThreadsPerBlock": 1024,
        "sharedMemPerBlock": 48 << 10,
    }


def runtimeGetVersion() -> int:
    return 13000


def driverGetVersion() -> int:
    return 13000 if _devices else 0
