"""Stands in for cuDF where no GPU is: columns of the CuPy stand-in's arrays, and names as strings.

As strict as cuDF: nothing turns into a host array by itself, host and device columns do not mix, NaN that is
assigned to a table becomes a missing value, and what comes to the host is recorded with CuPy's transfers.
What tripoint does not use is not there: a name is added after looking at how cuDF behaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import cupy as cp
import numpy as np
import pandas as pd
from cupy._memory import record

__version__ = "26.10.02"
__all__ = ["DataFrame", "Series"]


def _rmm_cupy_allocator(nbytes: int) -> None:
    """Stands for RMM's allocator, which cuDF has CuPy use from its import on."""


cp.cuda.set_allocator(_rmm_cupy_allocator)


class _Numbers:
    """A column of numbers or flags; ``missing`` marks what has no value."""

    def __init__(self, values: Any, missing: Any = None) -> None:
        self.values, self.missing = values, missing

    dtype = property(lambda self: self.values.dtype)

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Any) -> _Numbers:
        return _Numbers(self.values[rows], None if self.missing is None else self.missing[rows])

    def to_pandas(self) -> np.ndarray:
        values = self.values.get()
        if self.missing is None:
            return values
        gone = self.missing.get()
        if values.dtype.kind != "f" and gone.any():
            values = values.astype(object if values.dtype.kind == "b" else np.float64)
        values[gone] = None if values.dtype.kind == "O" else np.nan
        return values


class _Names:
    """A column of strings, on the device: nothing but the host copy may look at them."""

    dtype = pd.StringDtype(na_value=np.nan)

    def __init__(self, names: np.ndarray) -> None:
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    def take(self, rows: Any) -> _Names:
        return _Names(self._names[rows._values])

    def to_pandas(self) -> Any:
        record("to_host", sum(len(name) for name in self._names) + 4 * (len(self._names) + 1))
        return pd.array(self._names, dtype=self.dtype)


def _as_column(value: Any, nan_as_null: bool) -> _Numbers | _Names:
    if isinstance(value, Series):
        return value._column
    if isinstance(value, cp.ndarray):
        if value.ndim != 1:
            message = "Data must be 1-dimensional"
            raise ValueError(message)
        if value.dtype == np.float16:
            message = "Unsupported type float16"
            raise TypeError(message)
        values = cp.ascontiguousarray(value)
        missing = cp.isnan(values) if nan_as_null and values.dtype.kind == "f" else None
        if missing is not None and not missing._values.any():
            missing = None
        return _Numbers(values, missing)
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return _Names(np.array(value, dtype=object))
    message = f"the stand-in makes no column of {type(value)}: cuDF would copy it to the device"
    raise NotImplementedError(message)


class _Frame:
    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        message = (
            "Implicit conversion to a host NumPy array via __array__ is not allowed, To explicitly construct "
            "a GPU matrix, consider using .to_cupy()\nTo explicitly construct a host matrix, consider using "
            ".to_numpy()."
        )
        raise TypeError(message)

    def __iter__(self) -> Any:
        message = f"{type(self).__name__} object is not iterable. Consider using `.to_pandas()`"
        raise TypeError(message)

    def _check_index(self, drop: bool) -> None:
        if not drop:
            message = "reset_index keeps the index as a column unless drop=True"
            raise NotImplementedError(message)


class Series(_Frame):
    """A column with an index; the stand-in knows whether that is 0, 1, … and no more."""

    def __init__(self, data: Any, *, nan_as_null: bool = True) -> None:
        self._column, self._in_order = _as_column(data, nan_as_null), True

    @classmethod
    def _of(cls, column: Any, in_order: bool) -> Series:
        made = object.__new__(cls)
        made._column, made._in_order = column, in_order
        return made

    dtype = property(lambda self: self._column.dtype)
    size = property(lambda self: len(self._column))

    def __len__(self) -> int:
        return len(self._column)

    def take(self, indices: Any, axis: int = 0) -> Series:
        rows = indices if isinstance(indices, cp.ndarray) else cp.asarray(indices)
        if rows.dtype.kind not in "iu":
            message = "Gather map must have integer dtype"
            raise TypeError(message)
        if rows.size and not (rows._values.min() >= -len(self) and rows._values.max() < len(self)):
            message = f"Gather map is out of bounds for [0, {len(self)})"
            raise IndexError(message)
        return Series._of(self._column.take(rows), in_order=False)

    def reset_index(self, level: Any = None, drop: bool = False) -> Series:
        self._check_index(drop)
        return Series._of(self._column, in_order=True)

    def to_cupy(self, dtype: Any = None, copy: bool = False, na_value: Any = None) -> Any:
        column = self._column
        if isinstance(column, _Names):
            message = f"CuPy does not support {column.dtype}"
            raise NotImplementedError(message)
        values = column.values
        if column.missing is not None:
            if na_value is None:
                message = "Column must have no nulls."
                raise ValueError(message)
            values = cp.where(column.missing, values.dtype.type(na_value), values)
        return values.astype(dtype or values.dtype, copy=copy)

    @property
    def values(self) -> Any:
        return self.to_cupy()

    def to_pandas(self) -> pd.Series:
        return pd.Series(self._column.to_pandas())


class DataFrame(_Frame):
    """Columns of one length, each with a name."""

    def __init__(self, data: Mapping[str, Any] | None = None, *, nan_as_null: bool = True) -> None:
        self._columns: dict[str, Any] = {}
        self._in_order = True
        for name, value in (data or {}).items():
            self._insert(name, value, nan_as_null)

    def _insert(self, name: str, value: Any, nan_as_null: bool = True) -> None:
        if isinstance(value, Series) and value._in_order != self._in_order:
            message = "cuDF aligns a series by its index; give it the table's by reset_index(drop=True)"
            raise NotImplementedError(message)
        if isinstance(value, bool | int | float | np.generic):
            value = cp.full(len(self), value)
        column = _as_column(value, nan_as_null)
        if any(len(column) != len(other) for key, other in self._columns.items() if key != name):
            message = "All columns must be of equal length"
            raise ValueError(message)
        self._columns[name] = column

    @classmethod
    def _of(cls, columns: dict[str, Any], in_order: bool) -> DataFrame:
        made = object.__new__(cls)
        made._columns, made._in_order = columns, in_order
        return made

    @property
    def columns(self) -> pd.Index:
        return pd.Index(list(self._columns))

    @property
    def dtypes(self) -> pd.Series:
        return pd.Series({name: column.dtype for name, column in self._columns.items()}, dtype=object)

    @property
    def empty(self) -> bool:
        return not self._columns or not len(self)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), len(self._columns)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()))) if self._columns else 0

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, str):
            return Series._of(self._columns[which], self._in_order)
        if isinstance(which, list):
            return DataFrame._of({name: self._columns[name] for name in which}, self._in_order)
        if isinstance(which, cp.ndarray) and which.dtype == bool:
            return self._rows(cp.flatnonzero(which))
        message = f"the stand-in does not take rows by {type(which)}"
        raise NotImplementedError(message)

    def __setitem__(self, name: str, value: Any) -> None:
        self._insert(name, value)

    def _rows(self, rows: Any) -> DataFrame:
        return DataFrame._of(
            {name: column.take(rows) for name, column in self._columns.items()}, in_order=False
        )

    def take(self, indices: Any, axis: int = 0) -> DataFrame:
        return self._rows(indices)

    def assign(self, **columns: Callable[[DataFrame], Any] | Any) -> DataFrame:
        made = DataFrame._of(dict(self._columns), self._in_order)
        for name, value in columns.items():
            made[name] = value(made) if callable(value) else value
        return made

    def reset_index(self, level: Any = None, drop: bool = False) -> DataFrame:
        self._check_index(drop)
        return DataFrame._of(self._columns, in_order=True)

    def rename(self, *, columns: Mapping[str, str]) -> DataFrame:
        return DataFrame._of({columns.get(n, n): c for n, c in self._columns.items()}, self._in_order)

    def drop(self, *, columns: Iterable[str]) -> DataFrame:
        gone = set(columns)
        return DataFrame._of({n: c for n, c in self._columns.items() if n not in gone}, self._in_order)

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame({name: column.to_pandas() for name, column in self._columns.items()})
