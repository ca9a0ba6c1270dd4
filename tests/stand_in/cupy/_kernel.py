"""Raw kernels: built and run by the emulator."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from cupy._array import ndarray
from cupy._memory import live_blocks
from emulator import CompileError, EmulatorError, Module

built: set[tuple[str, tuple[str, ...]]] = set()  # names and options of the sources that were


class RawModule:
    """The kernels of a CUDA source; built when the first one is asked for, as in CuPy."""

    def __init__(
        self,
        *,
        code: str | None = None,
        path: str | None = None,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Any = None,
        jitify: bool = False,
    ) -> None:
        if (
            code is None
            or path is not None
            or backend != "nvrtc"
            or name_expressions
            or enable_cooperative_groups
        ):
            message = "the stand-in takes code for NVRTC only"
            raise NotImplementedError(message)
        if not isinstance(options, tuple):
            message = f"options is a tuple, not {type(options).__name__}"
            raise TypeError(message)
        self.code, self.options = code, options
        self._module: Module | None = None

    def get_function(self, name: str) -> RawKernel:
        if self._module is None:
            named = re.match(r'#line 1 "([^"]+)"', self.code)
            name_of_source = named[1] if named else "kernel.cu"
            built.add((name_of_source, self.options))
            try:
                self._module = Module(self.code, self.options, name_of_source)
            except CompileError as error:
                from cupy.cuda.compiler import CompileException

                raise CompileException(str(error), self.code, name, self.options) from error
        if name not in self._module.kernels:
            from cupy.cuda.driver import CUDADriverError

            message = f"CUDA_ERROR_NOT_FOUND: named symbol not found ({name!r} of {self._module.name})"
            raise CUDADriverError(message)
        return RawKernel._of(self._module, name)


class RawKernel:
    """A kernel, launched over device arrays and NumPy scalars."""

    def __init__(self, code: str, name: str, options: tuple[str, ...] = (), backend: str = "nvrtc") -> None:
        made = RawModule(code=code, options=options, backend=backend).get_function(name)
        self._module, self.name = made._module, made.name

    @classmethod
    def _of(cls, module: Module, name: str) -> RawKernel:
        kernel = object.__new__(cls)
        kernel._module, kernel.name = module, name
        return kernel

    @property
    def max_threads_per_block(self) -> int:
        return self._module.kernels[self.name].bounds or 1024

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...], *, shared_mem: int = 0
    ) -> None:
        if shared_mem:
            message = "kernels have static shared memory only"
            raise NotImplementedError(message)
        values = [self._argument(place, value) for place, value in enumerate(args)]
        self._module.launch(self.name, grid, block, values)
        for allocation in live_blocks():
            if not allocation.intact():
                message = (
                    f"kernel {self.name!r} of {self._module.name} wrote beside an array of "
                    f"{allocation.memory.nbytes} bytes that {allocation.caller} allocated"
                )
                raise EmulatorError(message)

    def _argument(self, place: int, value: Any) -> Any:
        if isinstance(value, ndarray):
            return value._values
        if isinstance(value, np.ndarray):
            message = (
                f"argument {place} of kernel {self.name!r} is a host array: Unsupported type {type(value)}"
            )
            raise TypeError(message)
        return value
