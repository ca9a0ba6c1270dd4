"""Tables on the GPU: cuDF as a container of columns, and sums by row whose order never changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cupy as cp
import numpy as np

from tripoint._cuda.compiled import kernel

CHUNK = 32  # values that one thread adds up
THREADS = 256


def table(columns: Mapping[str, Any]) -> Any:
    """Return columns as a cuDF table; NaN stays NaN, which cuDF alone would take for a missing value.

    A contiguous array is not copied: what is written to it later shows in the table.
    """
    return _cudf().DataFrame(dict(columns), nan_as_null=False)


def values(series: Any, dtype: Any = None) -> Any:
    """Return a column of numbers or flags as a CuPy array, to be read only: it may be the column itself."""
    # A column assigned to a table, rather than made with it, has lost its NaN to missing values.
    return series.to_cupy(dtype=dtype, na_value=np.nan if series.dtype.kind == "f" else None)


def named(labels: Any, names: Mapping[int, str]) -> Any:
    """Return the column of the names that labels 0..255 stand for; a label without one is its own name."""
    every = _cudf().Series([names.get(label, str(label)) for label in range(256)])
    return every.take(labels).reset_index(drop=True)


def sums(rows: Any, values: Any, count: int) -> Any:
    """Add up values by row: sorted by row, then a tree over the values of each; see kernels/tables.cu.

    Memory: 40 bytes per value while it works, 24 per row.
    """
    order = cp.argsort(rows)  # stable: within a row the values keep their order
    first = cp.searchsorted(rows[order].astype(cp.int64), cp.arange(count + 1, dtype=cp.int64))
    total = cp.ascontiguousarray(values, dtype=cp.float64)[order]
    add_chunks = kernel("tables", "add_chunks", CHUNK=CHUNK)
    chunks = -1
    while chunks != count:
        first_chunk = cp.zeros(count + 1, cp.int64)
        first_chunk[1:] = cp.cumsum(cp.maximum(-(-cp.diff(first) // CHUNK), 1))
        chunks = int(first_chunk[-1])
        parts = cp.empty(chunks, cp.float64)
        if chunks:
            blocks = min(-(-chunks // THREADS), 1 << 16)
            add_chunks((blocks,), (THREADS,), (total, first, first_chunk, np.int64(count), parts))
        total, first = parts, first_chunk
    return total


def _cudf() -> Any:
    """Return cuDF, which takes a second to import."""
    from tripoint._cuda.dataframes import cudf

    return cudf
