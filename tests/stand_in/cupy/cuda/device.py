"""The one device."""

from __future__ import annotations

from cupy._memory import DEVICE_BYTES as _BYTES
from cupy._memory import get_default_memory_pool as _pool


class Device:
    def __init__(self, device: int | Device | None = None) -> None:
        self.id = 0 if device is None else int(device)
        if self.id:
            from cupy.cuda.runtime import CUDARuntimeError

            message = "cudaErrorInvalidDevice: invalid device ordinal"
            raise CUDARuntimeError(message)

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return self.id

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *error: object) -> None: ...

    def use(self) -> None: ...

    def synchronize(self) -> None: ...

    @property
    def compute_capability(self) -> str:
        return "90"

    @property
    def mem_info(self) -> tuple[int, int]:
        return _BYTES - _pool().total_bytes(), _BYTES
