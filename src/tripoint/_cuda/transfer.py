"""Volumes over the bus: through page-locked memory, some planes at a time, two buffers taking turns."""

from __future__ import annotations

from typing import Any

import cupy as cp
import cupyx
import numpy as np

BUFFER = 1 << 26  # bytes of one of the two buffers, or one plane where that is larger


def empty(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return GPU memory to be filled part by part."""
    return cp.empty(shape, dtype)


def to_device(array: np.ndarray, out: Any = None) -> Any:
    """Copy a host array onto the GPU, in C order; while one part is under way the next is made ready.

    Parameters
    ----------
    array : (n, ...) array
        In any memory layout.
    out : (n, ...) CuPy array, optional
        Contiguous, of the same shape and type; a new one by default.
    """
    result = cp.empty(array.shape, array.dtype) if out is None else out
    parts = _parts(array)
    buffers, arrived = _staging(array, parts)
    for k, part in enumerate(parts):
        arrived[k % 2].synchronize()  # at once where nothing was sent from this buffer
        buffer = buffers[k % 2][: part.stop - part.start]
        np.copyto(buffer, array[part])
        result[part].set(buffer)
        arrived[k % 2].record()
    for event in arrived:
        event.synchronize()
    return result


def to_host(array: Any) -> np.ndarray:
    """Copy a GPU array, which may be a strided view of a volume, to the host, in C order.

    Beyond the result it takes one buffer of device memory, where the array is not contiguous.
    """
    result = np.empty(array.shape, array.dtype)
    parts = _parts(array)
    buffers, arrived = _staging(array, parts)
    for k in range(len(parts) + 1):
        if k < len(parts):
            rows = parts[k].stop - parts[k].start
            cp.ascontiguousarray(array[parts[k]]).get(out=buffers[k % 2][:rows], blocking=False)
            arrived[k % 2].record()
        if k > 0:
            part = parts[k - 1]
            arrived[(k - 1) % 2].synchronize()
            result[part] = buffers[(k - 1) % 2][: part.stop - part.start]
    return result


def _parts(array: Any) -> list[slice]:
    """Cut an array along its first axis into parts of about one buffer."""
    if not array.size:
        return []
    step = max(1, BUFFER * array.shape[0] // array.nbytes)
    return [slice(start, min(start + step, array.shape[0])) for start in range(0, array.shape[0], step)]


def _staging(array: Any, parts: list[slice]) -> tuple[list[np.ndarray], list[Any]]:
    """Return page-locked buffers for the parts of an array, and what tells when each was copied."""
    shape = [(part.stop - part.start, *array.shape[1:]) for part in parts[:2]]
    return (
        [cupyx.empty_pinned(size, array.dtype) for size in shape],
        [cp.cuda.Event(disable_timing=True) for _ in shape],
    )
