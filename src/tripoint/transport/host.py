"""What conduction on the voxels can be asked of arrays on a GPU: nothing yet, and it says so."""

from __future__ import annotations

from typing import Any

from array_api_compat import is_cupy_array

from tripoint.errors import DeviceError


def check_host(phases: Any, what: str) -> None:
    """Raise DeviceError for arrays on a GPU."""
    if is_cupy_array(phases):
        message = f"{what} runs on the host alone so far; bring the volume there with sample.to('cpu')"
        raise DeviceError(message)
