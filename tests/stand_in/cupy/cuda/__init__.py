"""Devices, streams, events and memory; there is no device until :func:`switch_on` is called."""

from __future__ import annotations

import time
from typing import Any

from cupy import _memory
from cupy._memory import MemoryHook, MemoryPool
from cupy.cuda import compiler, device, driver, memory, runtime
from cupy.cuda.device import Device

__all__ = [
    "Device",
    "Event",
    "MemoryHook",
    "MemoryPool",
    "Stream",
    "alloc_pinned_memory",
    "compiler",
    "device",
    "driver",
    "get_allocator",
    "get_current_stream",
    "get_elapsed_time",
    "is_available",
    "memory",
    "runtime",
    "set_allocator",
]


def is_available() -> bool:
    try:
        return runtime.getDeviceCount() > 0
    except runtime.CUDARuntimeError:
        return False


def get_allocator() -> Any:
    return _memory.allocator()


def set_allocator(allocator: Any = None) -> None:
    _memory.set_allocator(allocator)


class Stream:
    """Work is done when a call returns, so there is nothing to wait for."""

    null: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False) -> None:
        self.ptr = 0

    def synchronize(self) -> None: ...

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None: ...

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event


Stream.null = Stream(null=True)


def get_current_stream(device_id: int = -1) -> Stream:
    return Stream.null


class Event:
    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self._time = 0.0

    def record(self, stream: Stream | None = None) -> None:
        self._time = time.perf_counter()

    def synchronize(self) -> None: ...


def get_elapsed_time(start_event: Event, end_event: Event) -> float:
    return (end_event._time - start_event._time) * 1e3


class PinnedMemoryPool:
    def free_all_blocks(self) -> None: ...


def alloc_pinned_memory(size: int) -> bytearray:
    return bytearray(size)
