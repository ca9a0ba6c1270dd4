"""How kernels are compiled: a ``.cu`` file and the defines that it is built with, once for each device.

CuPy keeps what it compiled between starts, named by a hash of the source and the options.  That hash does not
see headers, so a hash of theirs is among the options: whatever changes, nothing stale is run.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any

import cupy as cp

from tripoint.errors import DeviceError

KERNELS = Path(str(files("tripoint.kernels")))


def kernel(source: str, function: str, **defines: int) -> Any:
    """Return a kernel, compiled for the current device.

    Parameters
    ----------
    source : str
        Name of a file in ``kernels/``, without ``.cu``.
    function : str
        Name of a kernel in it.
    **defines : int
        What the source is built with: ``LABELS=4`` is ``-DLABELS=4``.

    Returns
    -------
    cupy.RawKernel
        Launched as ``scan((blocks,), (threads,), (array, np.int64(n), ...))``: every scalar as a NumPy scalar
        of exactly the parameter's type.

    Raises
    ------
    DeviceError
        If the kernel does not compile for this device.
    """
    return _function(source, function, tuple(sorted(defines.items())))


def _options(defines: dict[str, int]) -> tuple[str, ...]:
    """Return the options of every kernel: no fused multiply-add, so that results equal the host's.

    CuPy adds ``-ftz=true``: float32 numbers below 1.2e-38 count as zero.
    """
    headers = hashlib.sha256(b"".join(header.read_bytes() for header in sorted(KERNELS.glob("*.cuh"))))
    return (
        "-std=c++17",
        f"-I{KERNELS}",
        "--fmad=false",
        f"-DHEADERS=0x{headers.hexdigest()[:8]}",
        *(f"-D{name}={value}" for name, value in sorted(defines.items())),
    )


@cp.memoize(for_each_device=True)
def _function(source: str, function: str, defines: tuple[tuple[str, int], ...]) -> Any:
    try:
        return _module(source, defines).get_function(function)
    except cp.cuda.compiler.CompileException as error:
        message = f"kernels/{source}.cu does not compile for this GPU (defines: {dict(defines)}): {error}"
        raise DeviceError(message) from error


@cp.memoize(for_each_device=True)
def _module(source: str, defines: tuple[tuple[str, int], ...]) -> Any:
    code = (KERNELS / f"{source}.cu").read_text(encoding="utf-8")
    return cp.RawModule(code=f'#line 1 "{source}.cu"\n{code}', options=_options(dict(defines)))
