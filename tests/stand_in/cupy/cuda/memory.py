"""The memory pool, where CuPy also keeps it."""

from cupy._memory import MemoryPool, OutOfMemoryError

__all__ = ["MemoryPool", "OutOfMemoryError"]
