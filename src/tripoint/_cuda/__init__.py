"""The GPU side of every room: the same names as :mod:`tripoint._cpu`, on CuPy arrays.

No room has its GPU side yet.  Asking for one says so; nothing falls back to the host in silence.
"""

from typing import NoReturn

from tripoint.errors import DeviceError


def __getattr__(room: str) -> NoReturn:
    """Answer for every room that is not built yet."""
    if room.startswith("__"):
        raise AttributeError(room)
    message = (
        f"the GPU side of '{room}' is not built yet; "
        "bring the volume to the host with sample.to('cpu') or run with device=cpu"
    )
    raise DeviceError(message)
