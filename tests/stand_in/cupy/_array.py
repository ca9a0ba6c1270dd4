"""The device array: wraps a NumPy array and lets nobody mistake it for one."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from cupy._memory import Block, record

SCALARS = (bool, int, float, complex, np.generic)


def allocate(shape: Any, dtype: Any, order: str = "C") -> np.ndarray:
    """Return poisoned device memory as a NumPy array whose base keeps the allocation alive."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "biufc":
        message = f"Unsupported dtype {dtype}"
        raise ValueError(message)
    shape = (int(shape),) if np.ndim(shape) == 0 else tuple(int(n) for n in shape)
    block = Block(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
    return np.asarray(_Owner(block)).view(dtype).reshape(shape, order=order)


class _Owner:
    """Lends a block's memory to NumPy, which holds on to the lender."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.__array_interface__ = block.memory.__array_interface__


def wrap(values: Any) -> Any:
    """Return NumPy's result as a device array: views as views, everything else in memory of the device."""
    if isinstance(values, tuple):
        return type(values)(*map(wrap, values)) if hasattr(values, "_fields") else tuple(map(wrap, values))
    if isinstance(values, list):
        return [wrap(value) for value in values]
    if not isinstance(values, np.ndarray | np.generic):
        return values
    return ndarray._over(_on_device(np.asarray(values)))


def _on_device(values: np.ndarray) -> np.ndarray:
    if owner(values) is not None:
        return values
    order = "F" if values.flags.f_contiguous and not values.flags.c_contiguous else "C"
    copy = allocate(values.shape, values.dtype, order)
    copy[...] = values
    return copy


def owner(values: np.ndarray) -> Block | None:
    """Return the allocation that a NumPy array is a view of, or None if it is host memory."""
    base: Any = values
    while isinstance(base, np.ndarray):
        base = base.base
    return base.block if isinstance(base, _Owner) else None


def unwrap(value: Any) -> Any:
    """Return the NumPy side of an operand; host arrays are refused as CuPy refuses them."""
    if isinstance(value, ndarray):
        return value._values
    if isinstance(value, np.ndarray):
        message = f"Unsupported type {type(value)}"
        raise TypeError(message)
    if isinstance(value, tuple | list):
        return type(value)(unwrap(part) for part in value)
    return value


class ndarray:
    """A device array.  It holds what tripoint uses of CuPy's; look at CuPy before adding to it."""

    __array_priority__ = 100
    __hash__ = None
    _values: np.ndarray

    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None, order: str = "C"
    ) -> None:
        if memptr is not None or strides is not None:
            message = "the stand-in has no memptr and strides: add them after looking at CuPy"
            raise NotImplementedError(message)
        self._values = allocate(shape, dtype, order)

    @classmethod
    def _over(cls, values: np.ndarray) -> ndarray:
        array = object.__new__(cls)
        array._values = values
        return array

    # What it is.
    dtype = property(lambda self: self._values.dtype)
    ndim = property(lambda self: self._values.ndim)
    size = property(lambda self: self._values.size)
    nbytes = property(lambda self: self._values.nbytes)
    itemsize = property(lambda self: self._values.itemsize)
    strides = property(lambda self: self._values.strides)
    flags = property(lambda self: self._values.flags)
    T = property(lambda self: wrap(self._values.T))
    mT = property(lambda self: wrap(self._values.mT))
    real = property(lambda self: wrap(self._values.real))
    imag = property(lambda self: wrap(self._values.imag))

    @property
    def shape(self) -> tuple[int, ...]:
        return self._values.shape

    @shape.setter
    def shape(self, shape: Any) -> None:
        self._values.shape = shape

    @property
    def base(self) -> ndarray | None:
        base = self._values.base
        return wrap(base) if isinstance(base, np.ndarray) else None

    @property
    def device(self) -> Any:
        from cupy.cuda import Device

        return Device(0)

    @property
    def data(self) -> Any:
        return _Pointer(self)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self._values.__array_interface__, "version": 3, "stream": 1}

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"cupy stand-in {self._values!r}"

    __str__ = __repr__

    # To the host: all of it is counted.
    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> np.ndarray:
        record("to_host", self.nbytes)
        if out is None:
            return np.array(self._values, order=order, copy=True)
        if out.dtype != self.dtype or out.shape != self.shape:
            message = f"out has {out.shape} of {out.dtype}; the array has {self.shape} of {self.dtype}"
            raise ValueError(message)
        out[...] = self._values
        return out

    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        if not isinstance(arr, np.ndarray):
            message = "Only numpy.ndarray can be set to cupy.ndarray"
            raise TypeError(message)
        if arr.dtype != self.dtype:
            message = f"{arr.dtype} array cannot be set to {self.dtype} array"
            raise TypeError(message)
        if arr.shape != self.shape:
            message = f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}"
            raise ValueError(message)
        record("to_device", arr.nbytes)
        self._values[...] = arr

    def item(self, *place: int) -> Any:
        record("to_host", self.itemsize)
        return self._values.item(*place)

    def tolist(self) -> Any:
        record("to_host", self.nbytes)
        return self._values.tolist()

    def _scalar(self, convert: Callable[[Any], Any]) -> Any:
        record("to_host", self.nbytes)
        return convert(self._values)

    def __int__(self) -> int:
        return self._scalar(int)

    def __float__(self) -> float:
        return self._scalar(float)

    def __bool__(self) -> bool:
        return self._scalar(bool)

    def __index__(self) -> int:
        return self._scalar(operator.index)

    def __iter__(self) -> Any:
        return (self[place] for place in range(len(self)))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        message = (
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy "
            "array explicitly."
        )
        raise TypeError(message)

    # NumPy's functions on device arrays.
    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        import cupy

        if method != "__call__":
            return NotImplemented
        return getattr(cupy, ufunc.__name__)(*inputs, **options)

    def __array_function__(self, function: Any, types: Any, values: Any, options: Any) -> Any:
        import cupy

        return getattr(cupy, function.__name__)(*values, **options)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        import cupy

        return cupy

    # Indexing.
    def __getitem__(self, place: Any) -> ndarray:
        return wrap(np.asarray(self._values[_index(place)]))

    def __setitem__(self, place: Any, value: Any) -> None:
        if isinstance(value, np.ndarray) and value.ndim:
            message = "non-scalar numpy.ndarray cannot be used for fill"
            raise ValueError(message)
        if not isinstance(value, ndarray) and not isinstance(value, SCALARS) and np.ndim(value):
            message = "non-scalar numpy.ndarray cannot be used for fill"
            raise ValueError(message)
        place, value = _index(place), unwrap(value)
        self._values[place] = value
        if _by_numbers(place):
            _check_kept(self._values[place], value)

    # Methods that are functions of the same name.
    def _result(self, name: str, *values: Any, **options: Any) -> Any:
        out = options.get("out")
        if out is not None:
            options["out"] = unwrap(out)
        result = getattr(self._values, name)(*map(unwrap, values), **options)
        return out if out is not None else wrap(np.asarray(result))

    def astype(
        self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True
    ) -> ndarray:
        if casting is not None or subok is not None:
            message = "casting and subok are not supported"
            raise TypeError(message)
        if not copy and np.dtype(dtype) == self.dtype:
            return self
        return wrap(self._values.astype(dtype, order=order, copy=True))

    def copy(self, order: str = "C") -> ndarray:
        return wrap(np.array(self._values, order=order, copy=True))

    def view(self, dtype: Any = None) -> ndarray:
        return wrap(self._values.view() if dtype is None else self._values.view(dtype))

    def fill(self, value: Any) -> None:
        self._values.fill(unwrap(value))

    def reshape(self, *shape: Any, order: str = "C") -> ndarray:
        return self._result("reshape", *shape, order=order)

    def ravel(self, order: str = "C") -> ndarray:
        return self._result("ravel", order=order)

    def flatten(self, order: str = "C") -> ndarray:
        return self._result("flatten", order=order)

    def transpose(self, *axes: Any) -> ndarray:
        return self._result("transpose", *axes)

    def swapaxes(self, axis1: int, axis2: int) -> ndarray:
        return self._result("swapaxes", axis1, axis2)

    def squeeze(self, axis: Any = None) -> ndarray:
        return self._result("squeeze", axis)

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        return self._result("sum", axis=axis, dtype=dtype, out=out, keepdims=keepdims)

    def prod(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        return self._result("prod", axis=axis, dtype=dtype, out=out, keepdims=keepdims)

    def mean(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        return self._result("mean", axis=axis, dtype=dtype, out=out, keepdims=keepdims)

    def conj(self) -> ndarray:
        return self._result("conj")

    def std(
        self, axis: Any = None, dtype: Any = None, out: Any = None, ddof: int = 0, keepdims: bool = False
    ) -> ndarray:
        return self._result("std", axis=axis, dtype=dtype, out=out, ddof=ddof, keepdims=keepdims)

    def max(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        return self._result("max", axis=axis, out=out, keepdims=keepdims)

    def min(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        return self._result("min", axis=axis, out=out, keepdims=keepdims)

    def all(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        return self._result("all", axis=axis, out=out, keepdims=keepdims)

    def any(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        return self._result("any", axis=axis, out=out, keepdims=keepdims)

    def argmax(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        return self._result("argmax", axis=axis, out=out, keepdims=keepdims)

    def argmin(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        return self._result("argmin", axis=axis, out=out, keepdims=keepdims)

    def cumsum(self, axis: Any = None, dtype: Any = None, out: Any = None) -> ndarray:
        return self._result("cumsum", axis=axis, dtype=dtype, out=out)

    def argsort(self, axis: int | None = -1, kind: Any = None) -> ndarray:
        return wrap(np.argsort(self._values, axis=axis, kind="stable"))

    def sort(self, axis: int = -1, kind: Any = None) -> None:
        self._values.sort(axis=axis, kind="stable")

    def nonzero(self) -> tuple[ndarray, ...]:
        return wrap(self._values.nonzero())

    def take(self, indices: Any, axis: Any = None, out: Any = None) -> ndarray:
        return wrap(np.take(self._values, unwrap(indices), axis=axis, mode="wrap"))

    def clip(self, min: Any = None, max: Any = None, out: Any = None) -> ndarray:
        return self._result("clip", min, max, out=out)

    def round(self, decimals: int = 0, out: Any = None) -> ndarray:
        return self._result("round", decimals, out=out)


class _Pointer:
    def __init__(self, array: ndarray) -> None:
        self.ptr = array._values.ctypes.data
        self.mem = owner(array._values)


def _index(place: Any) -> Any:
    if isinstance(place, tuple):
        return tuple(map(_index, place))
    if isinstance(place, ndarray):
        return place._values
    if isinstance(place, np.ndarray | list):  # CuPy copies them to the device
        place = np.asarray(place, dtype=None if len(place) else np.int32)
        record("to_device", place.nbytes)
    return place


def _by_numbers(place: Any) -> bool:
    """Return whether an index holds arrays of places, which can name one more than once."""
    parts = place if isinstance(place, tuple) else (place,)
    return any(isinstance(part, np.ndarray) and part.ndim and part.dtype.kind != "b" for part in parts)


def _check_kept(kept: np.ndarray, value: Any) -> None:
    """Refuse what CuPy leaves to chance: different values for one element."""
    wanted = np.broadcast_to(np.asarray(value).astype(kept.dtype), kept.shape)
    if not np.array_equal(kept, wanted, equal_nan=kept.dtype.kind in "fc"):
        message = "an index occurs more than once, with different values: which stays depends on scheduling"
        raise ValueError(message)


def _operators() -> None:
    """Give arrays Python's operators, which CuPy maps to its ufuncs."""
    import cupy

    arithmetic = {
        "add": cupy.add, "sub": cupy.subtract, "mul": cupy.multiply, "truediv": cupy.true_divide,
        "floordiv": cupy.floor_divide, "mod": cupy.remainder, "pow": cupy.power, "and": cupy.bitwise_and,
        "or": cupy.bitwise_or, "xor": cupy.bitwise_xor, "lshift": cupy.left_shift, "rshift": cupy.right_shift,
        "matmul": cupy.matmul,
    }  # fmt: skip
    comparisons = {
        "lt": cupy.less, "le": cupy.less_equal, "gt": cupy.greater, "ge": cupy.greater_equal,
        "eq": cupy.equal, "ne": cupy.not_equal,
    }  # fmt: skip
    for name, ufunc in {**arithmetic, **comparisons}.items():
        setattr(ndarray, f"__{name}__", lambda a, b, f=ufunc: f(a, b))
    for name, ufunc in arithmetic.items():
        setattr(ndarray, f"__r{name}__", lambda a, b, f=ufunc: f(b, a))
        setattr(ndarray, f"__i{name}__", lambda a, b, f=ufunc: f(a, b, out=a))
    for name, ufunc in {"neg": cupy.negative, "invert": cupy.invert, "abs": cupy.absolute}.items():
        setattr(ndarray, f"__{name}__", lambda a, f=ufunc: f(a))
