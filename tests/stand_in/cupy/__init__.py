"""Stands in for CuPy where no GPU is: arrays in guarded host memory, kernels run by the emulator.

It is strict.  Host and device arrays do not mix, every copy between them is recorded in :data:`transfers`,
and what tripoint does not use is not there: a name is added after looking at how CuPy itself behaves.
"""

from __future__ import annotations

import numpy as _np
from numpy import (
    bool_,
    broadcast_shapes,
    can_cast,
    complex64,
    complex128,
    complexfloating,
    dtype,
    e,
    finfo,
    float32,
    float64,
    floating,
    generic,
    inf,
    int8,
    int16,
    int32,
    int64,
    integer,
    intp,
    isdtype,
    isscalar,
    issubdtype,
    nan,
    ndindex,
    newaxis,
    number,
    pi,
    promote_types,
    signedinteger,
    uint8,
    uint16,
    uint32,
    uint64,
    unsignedinteger,
)
from numpy import result_type as _result_type

from cupy import cuda, fft, linalg
from cupy._array import _operators, ndarray
from cupy._array import unwrap as _unwrap
from cupy._functions import (
    arange,
    argsort,
    array,
    asarray,
    ascontiguousarray,
    asnumpy,
    bincount,
    copyto,
    empty,
    empty_like,
    eye,
    frombuffer,
    full,
    full_like,
    get_array_module,
    gradient,
    lexsort,
    may_share_memory,
    memoize,
    nonzero,
    ones,
    ones_like,
    shares_memory,
    sort,
    ufunc,
    where,
    zeros,
    zeros_like,
)
from cupy._functions import functions as _named
from cupy._functions import ufuncs as _ufuncs
from cupy._kernel import RawKernel, RawModule, built
from cupy._memory import Transfer, bytes_by_caller, get_default_memory_pool, transfers
from emulator import order as emulator_order

__version__ = "14.2.0"
__stand_in__ = ("Transfer", "built", "bytes_by_caller", "emulator_order", "transfers")  # not CuPy's

globals().update(_named)
globals().update(_ufuncs)
amax, amin = _named["max"], _named["min"]
concat = _named["concatenate"]
_operators()


def result_type(*arrays_and_dtypes):
    return _result_type(*map(_unwrap, arrays_and_dtypes))


def get_default_pinned_memory_pool():
    return cuda.PinnedMemoryPool()


__all__ = [name for name in globals() if not name.startswith("_") and name != "annotations"]


def __getattr__(name: str):
    message = (
        f"the stand-in for CuPy has no {name!r}: if CuPy has it, look at its behaviour there and add it to "
        "tests/stand_in/cupy"
    )
    raise AttributeError(message)
