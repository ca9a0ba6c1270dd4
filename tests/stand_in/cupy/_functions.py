"""CuPy's functions that tripoint uses, each with CuPy's own parameters, computed by NumPy.

A name is added by its parameters as CuPy has them; where the two libraries differ, the difference is written
out below.  Results live on the device, also those of reductions: an array of no dimension.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from cupy._array import ndarray, unwrap, wrap
from cupy._memory import record

UFUNCS = [
    "abs",
    "absolute",
    "add",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "cbrt",
    "ceil",
    "conj",
    "cos",
    "cosh",
    "divide",
    "equal",
    "exp",
    "expm1",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "greater",
    "greater_equal",
    "hypot",
    "invert",
    "isfinite",
    "isinf",
    "isnan",
    "left_shift",
    "less",
    "less_equal",
    "log",
    "log10",
    "log1p",
    "log2",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "matmul",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "negative",
    "not_equal",
    "power",
    "reciprocal",
    "remainder",
    "right_shift",
    "rint",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
]

SIGNATURES = {
    "all": "a, axis=None, out=None, keepdims=False",
    "any": "a, axis=None, out=None, keepdims=False",
    "argmax": "a, axis=None, dtype=None, out=None, keepdims=False",
    "argmin": "a, axis=None, dtype=None, out=None, keepdims=False",
    "argwhere": "a",
    "array_equal": "a1, a2, equal_nan=False",
    "atleast_1d": "*arys",
    "bincount": "x, weights=None, minlength=None",
    "broadcast_arrays": "*args",
    "broadcast_to": "array, shape",
    "clip": "a, a_min=None, a_max=None, out=None",
    "column_stack": "tup",
    "concatenate": "tup, axis=0, out=None, *, dtype=None, casting='same_kind'",
    "count_nonzero": "a, axis=None",
    "cumprod": "a, axis=None, dtype=None, out=None",
    "cumsum": "a, axis=None, dtype=None, out=None",
    "diff": "a, n=1, axis=-1, prepend=None, append=None",
    "digitize": "x, bins, right=False",
    "dot": "a, b, out=None",
    "einsum": "*operands, dtype=None",
    "expand_dims": "a, axis",
    "flatnonzero": "a",
    "flip": "a, axis=None",
    "isin": "element, test_elements, assume_unique=False, invert=False",
    "linspace": "start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0",
    "max": "a, axis=None, out=None, keepdims=False",
    "mean": "a, axis=None, dtype=None, out=None, keepdims=False",
    "median": "a, axis=None, out=None, overwrite_input=False, keepdims=False",
    "meshgrid": "*xi, copy=True, sparse=False, indexing='xy'",
    "min": "a, axis=None, out=None, keepdims=False",
    "moveaxis": "a, source, destination",
    "nan_to_num": "x, copy=True, nan=0.0, posinf=None, neginf=None",
    "nanmax": "a, axis=None, out=None, keepdims=False",
    "nanmin": "a, axis=None, out=None, keepdims=False",
    "outer": "a, b, out=None",
    "pad": "array, pad_width, mode='constant', **kwargs",
    "percentile": "a, q, axis=None, out=None, overwrite_input=False, method='linear', keepdims=False",
    "prod": "a, axis=None, dtype=None, out=None, keepdims=False",
    "quantile": "a, q, axis=None, out=None, overwrite_input=False, method='linear', keepdims=False",
    "ravel": "a, order='C'",
    "repeat": "a, repeats, axis=None",
    "reshape": "a, newshape, order='C'",
    "roll": "a, shift, axis=None",
    "round": "a, decimals=0, out=None",
    "searchsorted": "a, v, side='left', sorter=None",
    "split": "ary, indices_or_sections, axis=0",
    "squeeze": "a, axis=None",
    "stack": "tup, axis=0, out=None, *, dtype=None, casting='same_kind'",
    "std": "a, axis=None, dtype=None, out=None, ddof=0, keepdims=False",
    "sum": "a, axis=None, dtype=None, out=None, keepdims=False",
    "swapaxes": "a, axis1, axis2",
    "take": "a, indices, axis=None, out=None",
    "take_along_axis": "a, indices, axis",
    "tensordot": "a, b, axes=2",
    "tile": "A, reps",
    "transpose": "a, axes=None",
    "unique": "ar, return_index=False, return_inverse=False, return_counts=False, axis=None, *, "
    "equal_nan=True",
    "unravel_index": "indices, dims, order='C'",
    "var": "a, axis=None, dtype=None, out=None, ddof=0, keepdims=False",
    "vdot": "a, b",
    "vstack": "tup, *, dtype=None, casting='same_kind'",
    "hstack": "tup, *, dtype=None, casting='same_kind'",
}


class ufunc:
    """A function of elements."""

    def __init__(self, name: str) -> None:
        self.name = self.__name__ = name
        self._numpy = getattr(np, name)
        self.nin, self.nout = self._numpy.nin, self._numpy.nout

    def __repr__(self) -> str:
        return f"<ufunc 'cupy_{self.name}'>"

    def __call__(self, *args: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind") -> Any:
        if len(args) == self.nin + 1:
            *args, out = args  # type: ignore[assignment]
        if isinstance(out, tuple):
            (out,) = out
        if out is not None and not isinstance(out, ndarray):
            message = f"return arrays must be of ArrayType, not {type(out)}"
            raise TypeError(message)
        values = [unwrap(value) for value in args]
        if any(isinstance(value, list | tuple) for value in values):
            message = "Unsupported type <class 'list'>"
            raise TypeError(message)
        options: dict[str, Any] = {"casting": casting} | ({} if dtype is None else {"dtype": dtype})
        with np.errstate(all="ignore"):
            if out is None:
                return wrap(np.asarray(self._numpy(*values, **options)))
            self._numpy(*values, out=out._values, **options)
        return out

    def reduceat(
        self, array: ndarray, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None
    ) -> ndarray:
        """Add up runs as CuPy does: by the difference of running sums, which is exact for integers only."""
        if self.name != "add" or array.dtype.kind == "f":
            message = "add.reduceat of integers only: CuPy subtracts running sums, and floats lose digits so"
            raise NotImplementedError(message)
        return wrap(np.add.reduceat(array._values, unwrap(indices), axis, dtype))

    def at(self, a: ndarray, indices: Any, b: Any = None) -> None:
        if self.name not in (
            "add",
            "subtract",
            "maximum",
            "minimum",
            "bitwise_and",
            "bitwise_or",
            "bitwise_xor",
        ):
            raise NotImplementedError(self.name)
        if a.dtype.kind == "f":
            message = (
                "sums of floats by atomics depend on scheduling, and CuPy's maxima of doubles are float32's"
            )
            raise NotImplementedError(message)
        if not (a.dtype.itemsize == 4 or a.dtype == np.uint64):
            message = f"cupy.{self.name}.at of {a.dtype}: CUDA's atomics are of 32 bits or unsigned"
            raise TypeError(message)
        self._numpy.at(a._values, unwrap(indices), unwrap(b))


def _function(name: str, parameters: str) -> Callable[..., Any]:
    """Return CuPy's function: NumPy's of the same name, with CuPy's parameters."""
    signature = inspect.signature(eval(f"lambda {parameters}: None"))
    numpy = getattr(np, name)
    given = signature.parameters.values()
    positional = sum(p.default is p.empty and p.kind is not p.VAR_KEYWORD for p in given)

    @functools.wraps(numpy)
    def function(*values: Any, **options: Any) -> Any:
        bound = signature.bind(*values, **options)
        first = list(bound.args[:positional]) if not _collects(signature) else list(bound.args)
        named = {
            key: value
            for key, value in bound.arguments.items()
            if key not in list(bound.arguments)[:positional]
        }
        named.update(named.pop("kwargs", {}))
        out = named.get("out")
        if not any(isinstance(value, ndarray) for value in _flat([*first, *named.values()])):
            message = f"cupy.{name} was given no device array"
            raise TypeError(message)
        passed = {
            k: unwrap(v) for k, v in named.items() if k == "out" or v is not signature_default(signature, k)
        }
        with np.errstate(all="ignore"):
            result = numpy(*map(unwrap, first), **{k: v for k, v in passed.items() if v is not None})
        return out if out is not None else wrap(result)

    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__doc__ = None
    return function


def signature_default(signature: inspect.Signature, name: str) -> Any:
    parameter = signature.parameters.get(name)
    return parameter.default if parameter else inspect.Parameter.empty


def _collects(signature: inspect.Signature) -> bool:
    return any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values())


def _flat(values: Any) -> Any:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


# ------------------------------------------------------------------------------------------- creation


def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return ndarray(shape, dtype, order=order)


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> ndarray:
    if isinstance(fill_value, ndarray):
        dtype = dtype or fill_value.dtype
    array = ndarray(shape, dtype or np.asarray(fill_value).dtype, order=order)
    array._values[...] = unwrap(fill_value)
    return array


def zeros(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return full(shape, 0, float if dtype is None else dtype, order)


def ones(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return full(shape, 1, float if dtype is None else dtype, order)


def _like(a: ndarray, dtype: Any, order: str, shape: Any) -> tuple[Any, Any, str]:
    if not isinstance(a, ndarray):
        message = f"Unsupported type {type(a)}"
        raise TypeError(message)
    if order in "KA":
        order = "F" if a.flags.f_contiguous and not a.flags.c_contiguous else "C"
    return a.shape if shape is None else shape, dtype or a.dtype, order


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None) -> ndarray:
    return empty(*_like(prototype, dtype, order, shape))


def zeros_like(a, dtype=None, order="K", subok=None, shape=None) -> ndarray:
    return zeros(*_like(a, dtype, order, shape))


def ones_like(a, dtype=None, order="K", subok=None, shape=None) -> ndarray:
    return ones(*_like(a, dtype, order, shape))


def full_like(a, fill_value, dtype=None, order="K", subok=None, shape=None) -> ndarray:
    shape, dtype, order = _like(a, dtype, order, shape)
    return full(shape, fill_value, dtype, order)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> ndarray:
    values = (
        np.arange(start, dtype=dtype) if stop is None and step == 1 else np.arange(start, stop, step, dtype)
    )
    return wrap(values)


def eye(N: int, M: Any = None, k: int = 0, dtype: Any = float, order: str = "C") -> ndarray:
    return wrap(np.eye(N, M, k, dtype, order))


def array(
    obj: Any,
    dtype: Any = None,
    copy: bool | None = True,
    order: str = "K",
    subok: bool = False,
    ndmin: int = 0,
    *,
    blocking: bool = False,
) -> ndarray:
    """Return a new device array; what comes from the host is counted as a transfer."""
    if isinstance(obj, ndarray):
        same = (dtype is None or np.dtype(dtype) == obj.dtype) and obj.ndim >= ndmin
        laid_out = (
            order in "KA"
            or (order == "C" and obj.flags.c_contiguous)
            or (order == "F" and obj.flags.f_contiguous)
        )
        if not copy and same and laid_out:
            return obj
        return wrap(np.array(obj._values, dtype, order=order, ndmin=ndmin, copy=True))
    if any(isinstance(value, ndarray) for value in _flat([obj])):
        return wrap(np.array(unwrap(obj), dtype, order=order, ndmin=ndmin))
    values = np.array(obj, dtype, order=order, ndmin=ndmin, copy=True)
    if values.dtype.kind not in "biufc":
        message = f"Unsupported dtype {values.dtype}"
        raise ValueError(message)
    record("to_device", values.nbytes)
    return wrap(values)


def asarray(
    a: Any,
    dtype: Any = None,
    order: str | None = None,
    *,
    blocking: bool = False,
    copy: Any = None,
) -> ndarray:
    return array(a, dtype, bool(copy), order or "K")


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    return array(a, dtype, False, "C", ndmin=1)


def asnumpy(
    a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True
) -> np.ndarray:
    if isinstance(a, ndarray):
        return a.get(stream, order, out)
    return np.asarray(a)


def frombuffer(*args: Any, **kwargs: Any) -> ndarray:
    return asarray(np.frombuffer(*args, **kwargs))


def copyto(dst: ndarray, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    np.copyto(
        unwrap(dst), unwrap(src), casting=casting, **({} if where is None else {"where": unwrap(where)})
    )


def may_share_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return np.may_share_memory(unwrap(a), unwrap(b))


def shares_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    return np.shares_memory(unwrap(a), unwrap(b))


# --------------------------------------------------------------------------------------- where CuPy differs


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        return nonzero(condition)
    if not any(isinstance(value, ndarray) for value in (condition, x, y)):
        message = "cupy.where was given no device array"
        raise TypeError(message)
    return wrap(np.asarray(np.where(unwrap(condition), unwrap(x), unwrap(y))))


def nonzero(a: ndarray) -> tuple[ndarray, ...]:
    return a.nonzero()


def sort(a: ndarray, axis: int | None = -1, kind: str | None = None) -> ndarray:
    return wrap(np.sort(unwrap(a), axis, "stable"))


def argsort(a: ndarray, axis: int | None = -1, kind: str | None = None) -> ndarray:
    return wrap(np.argsort(unwrap(a), axis, "stable"))


def lexsort(keys: ndarray) -> ndarray:
    """Sort by rows of one array, the last row first; CuPy takes no tuple of keys."""
    if not isinstance(keys, ndarray):
        message = "'tuple' object has no attribute 'ndim': CuPy takes one array of keys"
        raise TypeError(message)
    return wrap(np.lexsort(keys._values))


def bincount(x: ndarray, weights: Any = None, minlength: Any = None) -> ndarray:
    if not isinstance(x, ndarray):
        message = f"Unsupported type {type(x)}"
        raise TypeError(message)
    if weights is not None:
        _check_exact(unwrap(weights))
    return wrap(np.bincount(x._values, unwrap(weights), minlength or 0))


def _check_exact(weights: np.ndarray) -> None:
    """Refuse weights whose sum depends on the order: CuPy adds them up by atomics, in double precision."""
    if not np.array_equal(weights, np.rint(weights)) or np.abs(weights).sum(dtype=float) >= 2**53:
        message = "bincount with weights adds by atomics, in an order that is not fixed: whole numbers alone"
        raise NotImplementedError(message)


def gradient(f: ndarray, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Return differences along axes: a list of them, or one array where there is one axis."""
    if not isinstance(f, ndarray) or any(isinstance(size, ndarray) for size in varargs):
        message = f"Unsupported type {type(f)}, or steps that are arrays: look at CuPy before adding them"
        raise TypeError(message)
    slopes = np.gradient(f._values, *varargs, axis=axis, edge_order=edge_order)
    return [wrap(slope) for slope in slopes] if isinstance(slopes, list | tuple) else wrap(slopes)


def memoize(for_each_device: bool = False) -> Callable[[Any], Any]:
    return functools.cache


def get_array_module(*args: Any) -> Any:
    import cupy

    return cupy if any(isinstance(value, ndarray) for value in args) else np


functions = {
    name: _function(name, parameters) for name, parameters in SIGNATURES.items() if name != "bincount"
}
ufuncs = {name: ufunc(name) for name in UFUNCS}
