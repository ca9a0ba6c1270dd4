"""Grey values that become phases in memory, on the network's device, so that an analysis begins there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tripoint.errors import InputError
from tripoint.islands import remove_islands
from tripoint.record import Progress
from tripoint.sample import Sample
from tripoint.segment import volumes
from tripoint.segment.prediction import FEWEST, SLAB
from tripoint.segment.tiles import Tiled


def segmented(  # noqa: PLR0913  # each of them is one word on the command line
    images: str | Path | Sequence[str | Path],
    method: Tiled,
    *,
    channels: Sequence[int] | None = None,
    roi: Any = None,
    smallest: float | None = None,
    spacing: Any = None,
    units: str | None = None,
    name: str | None = None,
    origin: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Sample:
    """Segment a grey volume in memory; see `prediction.predict`, which writes files.

    Grey values go to the device of the method slab by slab, and the phases stay there: what
    :func:`tripoint.analyze` then makes of the sample begins on the GPU.

    Parameters
    ----------
    images, channels, roi, smallest, spacing, units, name, origin
        As of `prediction.predict`.
    method : Tiled

    Returns
    -------
    Sample
        With its phases on ``method.device``.

    Raises
    ------
    InputError
        No voxel size; grey values that are not finite.

    Notes
    -----
    1 byte per voxel of the volume, on the device, 4 per channel of a slab of 32 slices, and what a tile
    takes.
    """
    with volumes.opened(images, channels, roi) as grey:
        voxel = grey.spacing(spacing, units)
        if voxel is None:
            message = f"{grey.names[0]} does not state its voxel size; give it as spacing=[z,y,x] in µm"
            raise InputError(message)
        phases = torch.empty(grey.shape, dtype=torch.uint8, device=method.device)
        slabs = [(z, min(z + SLAB, grey.shape[0])) for z in range(0, grey.shape[0], SLAB)]
        for number, (slab, block) in enumerate(zip(slabs, grey.blocks(slabs, method.halo), strict=True)):
            if progress is not None:
                progress("segmenting", number, len(slabs))
            for z, plane in enumerate(method.planes(block), start=slab[0]):
                phases[z] = plane
        warnings = volumes.tell_gaps(grey.names, grey.gaps())
        volume = _shared(phases)
        least = FEWEST if smallest is None else math.ceil(smallest / math.prod(voxel) - 1e-9)
        if least > 1:
            remove_islands(volume, least, progress=progress)
    return Sample(
        volume,
        voxel,
        method.materials,
        name=name or Path(grey.names[0]).stem,
        source={
            "images": list(grey.names),
            "roi": roi,
            **(origin or {}),
            **({"warnings": warnings} if warnings else {}),
        },
    )


def _shared(tensor: torch.Tensor) -> Any:
    """Return the same memory as an array of NumPy or CuPy."""
    if tensor.device.type == "cpu":
        return tensor.numpy()
    import cupy

    torch.cuda.empty_cache()  # what the network took is free for what comes
    return cupy.from_dlpack(tensor)
