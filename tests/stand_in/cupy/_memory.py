"""Device memory: host memory between guards, counted as CuPy's pool counts it; transfers to and from it."""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

GUARD = 512  # also the granularity and the alignment of CuPy's pool
POISON = 0xCB  # what memory holds that nothing was written to
_HERE = str(Path(__file__).parent.parent)
_live: weakref.WeakSet[Block] = weakref.WeakSet()


class Transfer(NamedTuple):
    """A copy between host and device."""

    direction: str  # "to_host" or "to_device"
    nbytes: int
    caller: str  # file:line of the code that asked for it


transfers: list[Transfer] = []


class OutOfMemoryError(MemoryError):
    """An allocation does not fit into the pool's limit."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes, "
            f"limit set to: {limit:,} bytes)."
        )


class MemoryPool:
    """Counts live allocations; what was freed stays with the pool until ``free_all_blocks``, as with CuPy's.

    So ``total_bytes`` after a run that began with ``free_all_blocks`` is the peak of the run, as far as it is
    made of arrays: temporary memory inside CuPy's functions (sorting, say) is not modelled.
    """

    def __init__(self, allocator: object = None) -> None:
        self._used = self._total = self._limit = 0

    def used_bytes(self) -> int:
        return self._used

    def free_bytes(self) -> int:
        return self._total - self._used

    def total_bytes(self) -> int:
        return self._total

    def free_all_blocks(self, stream: object = None) -> None:
        self._total = self._used

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        if (size is None) == (fraction is None):
            message = (
                "size and fraction cannot be specified at the same time"
                if size
                else "size or fraction is needed"
            )
            raise ValueError(message)
        self._limit = int(size) if size is not None else int(fraction * DEVICE_BYTES)

    def get_limit(self) -> int:
        return self._limit

    def malloc(self, size: int) -> Block:
        return Block(size, self)

    def _take(self, size: int) -> None:
        limit = self._limit or DEVICE_BYTES
        if self._used + size > limit:
            raise OutOfMemoryError(size, self._used, limit)
        self._used += size
        self._total = max(self._total, self._used)

    def _give(self, size: int, event: dict[str, int]) -> None:
        self._used -= size
        _call_hooks("free_postprocess", **event)


_hooks: dict[str, MemoryHook] = {}


class MemoryHook:
    """Told of every allocation and release within its ``with`` block."""

    name = "MemoryHook"

    def __enter__(self) -> MemoryHook:
        if self.name in _hooks:
            message = f"memory hook {self.name} already exists"
            raise KeyError(message)
        _hooks[self.name] = self
        return self

    def __exit__(self, *error: object) -> None:
        del _hooks[self.name]

    def malloc_postprocess(self, **event: int) -> None: ...

    def free_postprocess(self, **event: int) -> None: ...


def _call_hooks(moment: str, **event: int) -> None:
    for hook in list(_hooks.values()):
        getattr(hook, moment)(**event)


DEVICE_BYTES = 8 << 30
_pool = MemoryPool()


def get_default_memory_pool() -> MemoryPool:
    return _pool


_beside_the_pool: list[object] = []  # the allocator that was set, if it is not that of the pool


def allocator() -> object:
    return _beside_the_pool[0] if _beside_the_pool else _pool.malloc


def set_allocator(chosen: object = None) -> None:
    """Have arrays made by something else than the pool: made as before here, but not counted."""
    _beside_the_pool[:] = [] if chosen == _pool.malloc else [chosen]


class Block:
    """An allocation; its memory lives as long as an array over it."""

    def __init__(self, nbytes: int, pool: MemoryPool | None = None) -> None:
        size = -(-nbytes // GUARD) * GUARD
        event = {"device_id": 0, "mem_size": size}
        counted = pool is not None or not _beside_the_pool
        pool = pool or _pool
        if counted:
            try:
                pool._take(size)
            except OutOfMemoryError:
                _call_hooks("malloc_postprocess", **event, size=nbytes, mem_ptr=0, pmem_id=0)
                raise
        raw = np.full(size + 3 * GUARD, POISON, np.uint8)
        start = GUARD + -raw.ctypes.data % GUARD
        self._before = raw[start - GUARD : start]
        self._after = raw[start + nbytes : start + size + GUARD]
        self.memory = raw[start : start + nbytes]
        self.caller = caller()
        event |= {"mem_ptr": self.memory.ctypes.data, "pmem_id": id(self)}
        _live.add(self)
        if counted:
            weakref.finalize(self, pool._give, size, event)
            _call_hooks("malloc_postprocess", **event, size=nbytes)

    def intact(self) -> bool:
        """Return whether nothing was written beside the allocation."""
        return bool((self._before == POISON).all() and (self._after == POISON).all())


def live_blocks() -> list[Block]:
    return list(_live)


def caller() -> str:
    """Return the line of the code outside of the stand-ins that is running."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _passed_over(frame.f_code.co_filename):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _passed_over(file: str) -> bool:
    return file.startswith(_HERE) or "array_api_compat" in file


def record(direction: str, nbytes: int) -> None:
    transfers.append(Transfer(direction, int(nbytes), caller()))


def bytes_by_caller(direction: str = "to_host") -> Counter[str]:
    """Return how many bytes each line of code had copied."""
    total: Counter[str] = Counter()
    for transfer in transfers:
        if transfer.direction == direction:
            total[transfer.caller] += transfer.nbytes
    return total
