"""The two sides that one test body runs on: the host, and the GPU or what stands in for it."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

STAND_IN = Path(__file__).with_name("stand_in")
STOOD_IN = "cuda_stood_in_" + "_".join(("cupy", "cucim", "pylibcugraph", "cudf"))


@dataclass(frozen=True)
class Backend:
    """Where a test's arrays live."""

    name: str  # "cpu" or "cuda"
    emulated: bool = False

    def __str__(self) -> str:
        return STOOD_IN if self.emulated else self.name

    def put(self, values: Any) -> Any:
        """Return a host array on this backend, with its strides' order; anything else as it is."""
        if self.name == "cpu" or not isinstance(values, np.ndarray):
            return values
        import cupy

        return cupy.asarray(values)

    def get(self, result: Any) -> Any:
        """Return a result on the host: NumPy arrays, pandas tables, also inside tuples, lists and dicts."""
        if isinstance(result, dict):
            return {key: self.get(value) for key, value in result.items()}
        if isinstance(result, list | tuple):
            parts = [self.get(part) for part in result]
            return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
        if self.name == "cuda" and hasattr(result, "to_pandas"):
            return result.to_pandas()
        return result.get() if self.name == "cuda" and hasattr(result, "__cuda_array_interface__") else result

    def reversed_threads(self) -> AbstractContextManager[None]:
        """Run the threads of kernels last to first, where they are emulated: what then changes is a race."""
        if not self.emulated:
            return nullcontext()
        import cupy

        return cupy.emulator_order("reverse")


def has_gpu() -> bool:
    """Return whether CuPy itself, not its stand-in, finds a device."""
    if importlib.util.find_spec("cupy") is None:
        return False
    import cupy

    return cupy.cuda.is_available()


def stand_in() -> None:
    """Let the stand-ins be imported under the libraries' names."""
    if str(STAND_IN) not in sys.path:
        sys.path.insert(0, str(STAND_IN))
