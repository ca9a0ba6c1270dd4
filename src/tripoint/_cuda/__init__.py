"""The GPU side of every room: the same names as :mod:`tripoint._cpu`, on CuPy arrays.

A module here carries the name of the public module whose branch calls it, and is imported when it is first
asked for.  Nothing falls back to the host in silence, and nothing below this line imports numba.
"""

from importlib import import_module
from typing import Any


def __getattr__(room: str) -> Any:
    """Import a room when it is first asked for."""
    if room.startswith("__"):
        raise AttributeError(room)
    return import_module(f"tripoint._cuda.{room}")
