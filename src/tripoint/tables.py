"""Tables of columns, pandas on the host and cuDF on the GPU, and the few things that differ between them.

What is computed from tables is array algebra, ``xp = namespace(array)``, written once: a table only holds
its columns, of one length and each with a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from array_api_compat import array_namespace, is_cupy_array

from tripoint import _cuda


def table(columns: Mapping[str, Any]) -> Any:
    """Return columns as a table where they live: pandas for NumPy arrays, cuDF for CuPy arrays.

    Parameters
    ----------
    columns : mapping of str to (n,) array
        All on the host or all on the GPU.

    Returns
    -------
    pandas.DataFrame or cudf.DataFrame
    """
    if any(is_cupy_array(column) for column in columns.values()):
        return _cuda.tables.table(columns)
    return pd.DataFrame(dict(columns))


def column(frame: Any, name: str, dtype: Any = None) -> Any:
    """Return a column of numbers or flags as an array where the table lives."""
    series = frame[name]
    if on_gpu(frame):
        return _cuda.tables.values(series, dtype)
    return series.to_numpy() if dtype is None else series.to_numpy(dtype)


def named(labels: Any, names: Mapping[int, str]) -> Any:
    """Return the column of the names of phases, ready to be assigned to a table.

    Parameters
    ----------
    labels : (n,) uint8
    names : mapping of int to str
        A label without a name is its own name.

    Returns
    -------
    pandas.Series or cudf.Series
    """
    if is_cupy_array(labels):
        return _cuda.tables.named(labels, names)
    every = np.array([names.get(label, str(label)) for label in range(256)], dtype=object)
    return pd.Series(every[labels], dtype=str)


def on_gpu(frame: Any) -> bool:
    """Return whether a table lives on the GPU."""
    return not isinstance(frame, pd.DataFrame)


def to_host(frame: Any) -> pd.DataFrame:
    """Return a table as a pandas table; a table of the host as it is."""
    return frame.to_pandas() if on_gpu(frame) else frame


def on_host(values: Any) -> np.ndarray:
    """Return an array of few numbers, such as one per region, as a NumPy array."""
    return np.asarray(values.get() if is_cupy_array(values) else values)


def namespace(values: Any) -> Any:
    """Return the module whose functions work on an array: NumPy's names for either side."""
    return array_namespace(values)


def find_rows(ids: Any, wanted: Any) -> Any:
    """Return where ids stand in a column of distinct ids that are not negative, -1 where they do not.

    Parameters
    ----------
    ids : (n,) int
        In any order.
    wanted : (m,) int

    Returns
    -------
    (m,) int64
    """
    xp = array_namespace(ids)
    highest = int(ids.max()) if len(ids) else 0
    place = xp.full(highest + 1, -1, dtype=xp.int64)
    place[ids] = xp.arange(len(ids))
    known = (wanted >= 0) & (wanted <= highest)
    return xp.where(known, place[xp.where(known, wanted, 0)], -1)


def sums(rows: Any, values: Any, count: int) -> Any:
    """Add up values by row, always in the same order.

    Parameters
    ----------
    rows : (n,) int
        Row of each value, 0 to count − 1.
    values : (n,) float or int
    count : int

    Returns
    -------
    (count,) float64
        On the GPU the order is that of a tree over each row's values, the same at every run: no atomics.
    """
    if is_cupy_array(values):
        return _cuda.tables.sums(rows, values, count)
    return np.bincount(rows, values, count).astype(np.float64, copy=False)  # of nothing, they are integers
