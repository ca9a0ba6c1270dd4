"""How the kernels of transport are launched, and how the sums that they make are added up."""

from __future__ import annotations

from typing import Any

import cupy as cp
import numpy as np

from tripoint._cuda.compiled import kernel

THREADS = 256
MOST_BLOCKS = 4096


def launch(source: str, function: str, count: int, *arguments: Any) -> None:
    """Run a kernel with a thread for each of so many elements, or fewer threads that take turns."""
    if count:
        kernel(f"transport_{source}", function)((_blocks(count),), (THREADS,), arguments)


def launch_sums(source: str, function: str, count: int, *arguments: Any, sums: Any) -> None:
    """Run a kernel whose last argument gets each block's part of some sums, and add these up into ``sums``.

    Parameters
    ----------
    sums : (k,) float64
        On the GPU; the same bits at every run, as the order of the sums depends on ``count`` alone.
    """
    blocks = _blocks(count)
    partial = cp.empty((len(sums), blocks), cp.float64)
    kernel(f"transport_{source}", function)((blocks,), (THREADS,), (*arguments, partial))
    kernel("transport_stencil", "add_up")((len(sums),), (THREADS,), (partial, np.int64(blocks), sums))


def _blocks(count: int) -> int:
    return max(1, min(-(-count // THREADS), MOST_BLOCKS))
