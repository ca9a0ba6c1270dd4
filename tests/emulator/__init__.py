"""Runs the project's CUDA kernels on the processor: the same source, the same argument lists, no GPU.

:class:`Module` builds a ``.cu`` source with the machine's C++ compiler against ``cuda.h`` of this folder and
launches its kernels over NumPy memory.  What goes wrong silently or hangs on a GPU is an error here:
arguments that do not fit the signature, launches beyond the limits, barriers that not every thread reaches,
accesses outside of the arguments' memory, races for shared memory, misaligned addresses, overflow.

Threads run one after another: some 80 million a second in a kernel without barriers, and 20 million waits a
second at barriers and warp intrinsics (measured on one core).
"""

from emulator.build import CompileError
from emulator.launch import EmulatorError, Module, order, races

__all__ = ["CompileError", "EmulatorError", "Module", "order", "races"]
