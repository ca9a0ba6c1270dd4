"""Nothing yet: tripoint solves nothing on the GPU.  The name is there for array-api-compat."""

from typing import Any

import numpy as np

from cupy._array import unwrap, wrap

__all__ = ["lstsq", "norm"]


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    return wrap(np.asarray(np.linalg.norm(unwrap(x), ord, axis, keepdims)))


def lstsq(a: Any, b: Any, rcond: Any = "warn") -> Any:
    message = "the stand-in has no lstsq"
    raise NotImplementedError(message)
