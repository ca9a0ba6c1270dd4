"""Zeiss XRM: .txrm, .txm and .xrm through the package txrm2tiff (extra ``zeiss``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tripoint.errors import InputError
from tripoint.io.stored import Box, Choice, Stored


@contextmanager
def opened(path: Path, choice: Choice) -> Iterator[Stored]:
    """Open a stack of images; each is turned as Zeiss' own viewer shows it, as txrm2tiff does."""
    del choice
    try:
        from txrm2tiff.txrm import open_txrm
    except ImportError as error:
        message = (
            f"reading {path} needs the package txrm2tiff; install it with: pip install 'tripoint[zeiss]'"
        )
        raise InputError(message) from error
    with (
        path.open("rb") as stream,
        open_txrm(stream, load_images=False, load_reference=False, strict=True) as file,
    ):
        info = file.image_info
        count, height, width = info["ImagesTaken"][0], info["ImageHeight"][0], info["ImageWidth"][0]
        if file.is_mosaic:
            message = f"{path} is a mosaic of images; expected a volume, stitch it and save it as TIFF"
            raise InputError(message)

        def read(box: Box) -> np.ndarray:
            images = file.extract_images(box[0].start + 1, box[0].stop)
            if len(images) < box[0].stop - box[0].start:
                message = f"image {box[0].start + len(images) + 1} of {count} is missing"
                raise EOFError(message)
            return images[:, ::-1][:, box[1], box[2]]

        size = info.get("PixelSize", [0.0])[0]
        yield Stored(
            shape=(count, height, width),
            dtype=np.dtype(file.image_dtype.value),
            read=read,
            spacing=(size if size > 0 else None,) * 3,
            units=("µm",) * 3,
        )
