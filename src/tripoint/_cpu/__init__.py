"""The host side of every room: NumPy, numba and the libraries that work on host arrays.

A module here carries the name of the public module whose branch calls it, and is imported when it is first
asked for: numba is slow to import.  Nothing below this line imports CuPy.
"""

from importlib import import_module
from typing import Any


def __getattr__(room: str) -> Any:
    """Import a room when it is first asked for."""
    if room.startswith("__"):
        raise AttributeError(room)
    return import_module(f"tripoint._cpu.{room}")
