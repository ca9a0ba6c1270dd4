"""Runs the project's CUDA kernels on the processor: the same source, the same argument lists, no GPU.

:class:`Module` builds a ``.cu`` source with the machine's C++ compiler against ``cuda.h`` of this folder and launches its
kernels over NumPy memory.  What would go wrong silently or hang on a GPU is an error here: arguments that do
not fit the kernel's signature, launches beyond the limits, barriers that not every thread reaches.
"""

from emulator.build import CompileError
from emulator.launch import EmulatorError, Module, order

__all__ = ["CompileError", "EmulatorError", "Module", "order"]
