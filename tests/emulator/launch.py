"""Launches emulated kernels over NumPy memory, checking what CUDA leaves to the caller."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emulator.build import build

MAX_THREADS = 1024
MAX_BLOCK = (1024, 1024, 64)
MAX_GRID = (2**31 - 1, 65535, 65535)
_order: list[str] = []
_races: list[bool] = []


class EmulatorError(RuntimeError):
    """A kernel did what goes wrong on a GPU: it would hang, or its result would be undefined."""


@contextlib.contextmanager
def order(name: str) -> Iterator[None]:
    """Run threads and blocks ``"forward"`` or in ``"reverse"``: what depends on the order is a race."""
    if name not in ("forward", "reverse"):
        message = f"order is forward or reverse, not {name!r}"
        raise ValueError(message)
    _order.append(name)
    try:
        yield
    finally:
        _order.pop()


def _reversed() -> bool:
    return (_order[-1] if _order else os.environ.get("TRIPOINT_EMULATOR_ORDER", "forward")) == "reverse"


@contextlib.contextmanager
def races() -> Iterator[None]:
    """Look for races also for the memory of the arguments: it takes 16 bytes per byte, and time."""
    _races.append(True)
    try:
        yield
    finally:
        _races.pop()


def _watched() -> bool:
    return bool(_races) or os.environ.get("TRIPOINT_EMULATOR_RACES", "0") not in ("", "0")


@dataclass(frozen=True)
class Parameter:
    """A parameter of a kernel: a scalar, or a pointer to elements of a kind and size."""

    pointer: bool
    kind: str  # b bool, i signed, u unsigned, c char, f float, s struct, v void
    size: int

    def __str__(self) -> str:
        names = {
            "b": "bool",
            "i": "int",
            "u": "uint",
            "c": "char",
            "f": "float",
            "s": "struct of ",
            "v": "void",
        }
        name = names[self.kind] + (
            "" if self.kind in "bcv" else str(self.size * (1 if self.kind == "s" else 8))
        )
        return f"pointer to {name}" if self.pointer else name


@dataclass(frozen=True)
class Kernel:
    """A kernel of a module."""

    name: str
    bounds: int  # most threads in a block that it declares, or 0
    parameters: tuple[Parameter, ...]


class Module:
    """The kernels of a CUDA source.

    Parameters
    ----------
    code : str
        The source.
    options : sequence of str
        As for NVRTC; ``-D`` and ``-I`` count.
    name : str
        What errors call it.
    """

    def __init__(self, code: str, options: Sequence[str] = (), name: str = "kernel.cu") -> None:
        self.name = name
        self._library = _load(str(build(code, tuple(options), name)))
        self.kernels = _describe(self._library)

    def launch(
        self, function: str, grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any]
    ) -> None:
        """Run a kernel to its end over NumPy arrays and scalars."""
        if function not in self.kernels:
            message = f"{self.name} has no kernel {function!r}; it has {', '.join(self.kernels)}"
            raise EmulatorError(message)
        kernel = self.kernels[function]
        what = f"kernel {function!r} of {self.name}"
        grid, block = _dimensions(grid, block, kernel, what)
        values, kept = _pack(kernel, arguments, what)
        error = ctypes.create_string_buffer(1024)
        ranges = _ranges(arguments)
        launch = _Launch(
            (ctypes.c_uint * 3)(*grid),
            (ctypes.c_uint * 3)(*block),
            values,
            (ctypes.c_size_t * len(ranges))(*ranges),
            len(ranges) // 3,
            int(_reversed()),
            int(_watched()),
            ctypes.cast(error, ctypes.c_char_p),
            len(error),
        )
        if self._library.emulator_launch(function.encode(), ctypes.byref(launch)):
            message = f"{what}: {_with_line(error.value.decode(), self._library._name)}"
            raise EmulatorError(message)
        del kept


class _Launch(ctypes.Structure):
    """What cuda.h calls Launch."""

    _fields_ = (
        ("grid", ctypes.POINTER(ctypes.c_uint)),
        ("block", ctypes.POINTER(ctypes.c_uint)),
        ("values", ctypes.POINTER(ctypes.c_void_p)),
        ("ranges", ctypes.POINTER(ctypes.c_size_t)),
        ("range_count", ctypes.c_int),
        ("reverse", ctypes.c_int),
        ("races", ctypes.c_int),
        ("error", ctypes.c_char_p),
        ("error_size", ctypes.c_size_t),
    )


def _ranges(arguments: Sequence[Any]) -> list[int]:
    """Return start, size and argument of each piece of memory that a kernel was given.

    Sizes count whole 32-bit words: CuPy's memory comes in multiples of 512 bytes, so a kernel may read a word
    of which only the first bytes belong to the array.
    """
    ranges = {}
    for place, argument in enumerate(arguments):
        if isinstance(argument, np.ndarray):
            whole = argument
            while isinstance(whole.base, np.ndarray):
                whole = whole.base
            ranges.setdefault(whole.ctypes.data, (-(-whole.nbytes // 4) * 4, place))
    return [number for start, (size, place) in ranges.items() for number in (start, size, place)]


def _with_line(message: str, library: str) -> str:
    """Replace an access's place in the library by the line of the source, where ``addr2line`` can tell."""
    found = re.search(r" \[([0-9a-f]+)\]$", message)
    if not found:
        return message
    text, line = message[: found.start()], ""
    if shutil.which("addr2line"):
        place = hex(int(found[1], 16) - 1)
        asked = subprocess.run(
            ["addr2line", "-e", library, place], capture_output=True, text=True, check=False
        )
        line = asked.stdout.split(" (")[0].strip().rsplit("/", 1)[-1]
    return f"{text} (at {line})" if line and "?" not in line else text


@functools.cache
def _load(path: str) -> ctypes.PyDLL:
    library = ctypes.PyDLL(path)  # keeps the interpreter's lock: a library runs one launch at a time
    library.emulator_launch.argtypes = [ctypes.c_char_p, ctypes.POINTER(_Launch)]
    library.emulator_describe.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return library


def _describe(library: ctypes.PyDLL) -> dict[str, Kernel]:
    text = ctypes.create_string_buffer(1 << 16)
    library.emulator_describe(text, len(text))
    kernels = {}
    for line in text.value.decode().splitlines():
        name, bounds, parameters = line.split("|")
        kernels[name] = Kernel(name, int(bounds), tuple(_parameter(part) for part in parameters.split()))
    return kernels


def _parameter(text: str) -> Parameter:
    *pointer, value = text.split(":")
    return Parameter(bool(pointer), value[0], int(value[1:]))


def _dimensions(
    grid: Sequence[int], block: Sequence[int], kernel: Kernel, what: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if not (
        isinstance(grid, tuple) and isinstance(block, tuple) and 1 <= len(grid) <= 3 and 1 <= len(block) <= 3
    ):
        message = f"{what}: grid and block are tuples of one to three numbers, not {grid!r} and {block!r}"
        raise TypeError(message)
    grid = tuple(int(n) for n in grid) + (1,) * (3 - len(grid))
    block = tuple(int(n) for n in block) + (1,) * (3 - len(block))
    for name, sizes, limits in (("grid", grid, MAX_GRID), ("block", block, MAX_BLOCK)):
        if not all(1 <= size <= limit for size, limit in zip(sizes, limits, strict=True)):
            message = f"{what}: a {name} of {sizes}; each size is 1 to {limits}"
            raise EmulatorError(message)
    threads, most = block[0] * block[1] * block[2], kernel.bounds or MAX_THREADS
    if threads > most:
        message = f"{what}: {threads} threads in a block; at most {most}"
        raise EmulatorError(message)
    return grid, block


def _pack(kernel: Kernel, arguments: Sequence[Any], what: str) -> tuple[Any, list[Any]]:
    if len(arguments) != len(kernel.parameters):
        message = f"{what} takes {len(kernel.parameters)} arguments, not {len(arguments)}"
        raise TypeError(message)
    values = (ctypes.c_void_p * max(1, len(arguments)))()
    kept = []
    for place, (parameter, argument) in enumerate(zip(kernel.parameters, arguments, strict=True)):
        _check(parameter, argument, f"argument {place} of {what}")
        data = (
            np.array([argument.ctypes.data], np.uintp)
            if isinstance(argument, np.ndarray)
            else np.array([argument])
        )
        kept.append(data)
        values[place] = data.ctypes.data
    return values, kept


def _check(parameter: Parameter, argument: Any, what: str) -> None:
    if isinstance(argument, np.ndarray):
        fits = parameter.pointer and _points_to(parameter, argument)
    elif isinstance(argument, np.generic):
        kind = "iu" if parameter.kind == "c" else parameter.kind
        fits = (
            not parameter.pointer
            and argument.dtype.kind in kind
            and argument.dtype.itemsize == parameter.size
        )
    else:
        message = f"{what} is a {type(argument).__name__}: pass arrays and NumPy scalars, here {parameter}"
        raise TypeError(message)
    if not fits:
        form = "an array" if isinstance(argument, np.ndarray) else "a scalar"
        message = f"{what} is {form} of {argument.dtype}; the kernel takes {parameter}"
        raise TypeError(message)


def _points_to(parameter: Parameter, array: np.ndarray) -> bool:
    if parameter.kind == "v":
        return True
    if parameter.kind == "s":  # a vector type: the memory must hold whole ones, aligned
        return array.nbytes % parameter.size == 0 and array.ctypes.data % min(parameter.size, 16) == 0
    kinds = "f" if parameter.kind == "f" else "iub"
    return array.dtype.kind in kinds and array.dtype.itemsize == parameter.size
