"""Trained networks applied to slices, in overlapping tiles whose answers are blended."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tripoint.errors import DeviceError, InputError
from tripoint.materials import Materials
from tripoint.segment.checkpoint import Trained
from tripoint.segment.methods import Segmented
from tripoint.segment.network import MULTIPLE
from tripoint.segment.normalisation import Normalisation

PROBABILITIES, ENTROPY, DISAGREEMENT = "probabilities", "entropy", "disagreement"


@dataclass(frozen=True)
class Tiled:
    """One or several networks, applied tile by tile and blended by Gaussian weights; see `methods.Method`.

    Parameters
    ----------
    trained : Trained
    tile : int
        Side of a tile at most, pixels. A smaller slice is one tile.
    overlap : float
        Share of a tile that its neighbour sees too.
    batch_size : int
        Tiles at a time.
    device : str
        ``cpu`` or ``cuda``.
    half : bool
        Half precision: float16 on a GPU, bfloat16 on the host.
    normalisation : Normalisation, optional
        In place of that of the training.
    """

    trained: Trained
    tile: int = 512
    overlap: float = 0.25
    batch_size: int = 1
    device: str = "cpu"
    half: bool = False
    normalisation: Normalisation | None = None
    networks: tuple[nn.Module, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.tile, bool) or not isinstance(self.tile, int) or self.tile < MULTIPLE:
            message = f"tile is {self.tile!r}; expected a whole number of pixels of at least {MULTIPLE}"
            raise InputError(message)
        if not 0 <= self.overlap < 1:
            message = (
                f"overlap is {self.overlap!r}; expected a share of a tile from 0 to below 1, such as 0.25"
            )
            raise InputError(message)
        if self.device == "cuda" and not torch.cuda.is_available():
            message = f"device is cuda, and PyTorch {torch.__version__} sees no GPU; take device=cpu"
            raise DeviceError(message)
        ready = [
            _fused(network).to(self.device, memory_format=torch.channels_last)
            for network in self.trained.networks
        ]
        object.__setattr__(self, "networks", tuple(ready))

    @property
    def materials(self) -> Materials:
        """What the phases are."""
        return self.trained.materials

    @property
    def halo(self) -> int:
        """Neighbouring slices on either side that the networks see."""
        return self.trained.context

    @property
    def gives(self) -> tuple[str, ...]:
        """Probabilities and their entropy; several networks tell where they disagree."""
        several = (DISAGREEMENT,) if len(self.networks) > 1 else ()
        return (PROBABILITIES, ENTROPY, *several)

    def with_normalisation(self, normalisation: Normalisation) -> Tiled:
        """Return the same networks for other grey values."""
        return replace(self, normalisation=normalisation)

    def __call__(self, block: np.ndarray, wanted: tuple[str, ...] = ()) -> Segmented:
        """Segment a slab; see `methods.Method`."""
        grey = torch.from_numpy((self.normalisation or self.trained.normalisation)(block))
        depth = block.shape[1] - 2 * self.halo
        classes = np.empty((depth, *block.shape[2:]), np.uint8)
        probabilities = uncertainty = None
        if PROBABILITIES in wanted:
            probabilities = np.empty((len(self.materials.phases), *classes.shape), np.float32)
        if ENTROPY in wanted or DISAGREEMENT in wanted:
            uncertainty = np.empty(classes.shape, np.float32)
        for z in range(depth):
            around = grey[:, z : z + 2 * self.halo + 1].movedim(1, 0)
            scores = self._slice(around.reshape(1, -1, *around.shape[2:]))
            shares = scores[:-1] if DISAGREEMENT in wanted else scores
            classes[z] = shares.argmax(0).to(torch.uint8).cpu().numpy()
            if probabilities is not None or uncertainty is not None:
                shares = shares / shares.sum(0)
            if probabilities is not None:
                probabilities[:, z] = shares.float().cpu().numpy()
            if uncertainty is not None:
                found = _entropy(shares.float())
                found = found - scores[-1].float() if DISAGREEMENT in wanted else found
                uncertainty[z] = found.clamp(0, 1).cpu().numpy()
        return Segmented(classes, probabilities, uncertainty)

    def _slice(self, grey: torch.Tensor) -> torch.Tensor:
        """Return the blended shares of the phases in one slice; of several networks also mean entropy."""
        from monai.inferers.utils import sliding_window_inference

        size = [min(self.tile, n) for n in grey.shape[2:]]
        size = [-(-n // MULTIPLE) * MULTIPLE for n in size]
        with torch.inference_mode(), self._precision():
            if all(n <= side for n, side in zip(grey.shape[2:], size, strict=True)):
                fill = [
                    part
                    for n, side in zip(grey.shape[:1:-1], size[::-1], strict=True)
                    for part in (0, side - n)
                ]
                whole = self._shares(nn.functional.pad(grey.to(self.device), fill, mode="replicate"))
                return whole[0, :, : grey.shape[2], : grey.shape[3]]
            blended = sliding_window_inference(
                grey,
                size,
                self.batch_size,
                self._shares,
                overlap=self.overlap,
                mode="gaussian",
                padding_mode="replicate",
                sw_device=self.device,
                device=self.device,
            )
        return blended[0]

    def _shares(self, grey: torch.Tensor) -> torch.Tensor:
        """Return mean probabilities in tiles; of several networks also the mean of their entropies."""
        grey = grey.contiguous(memory_format=torch.channels_last)
        each = [network(grey).float().softmax(1) for network in self.networks]
        if len(each) == 1:
            return each[0]
        entropies = torch.stack([_entropy(one, 1) for one in each]).mean(0)
        return torch.cat([torch.stack(each).mean(0), entropies[:, None]], 1)

    @contextmanager
    def _precision(self) -> Iterator[None]:
        if not self.half:
            yield
            return
        with torch.autocast(self.device, dtype=torch.float16 if self.device == "cuda" else torch.bfloat16):
            yield


def _entropy(shares: torch.Tensor, axis: int = 0) -> torch.Tensor:
    """Return −Σ p log p / log n, 0 where one of n phases is certain and 1 where all are alike."""
    return torch.special.entr(shares).sum(axis) / math.log(shares.shape[axis])


def _fused(network: nn.Module) -> nn.Module:
    """Return a copy whose normalisations are part of the convolutions before them, which is quicker."""
    import copy

    network = copy.deepcopy(network).eval()
    for parent in list(network.modules()):
        convolution, norm = getattr(parent, "conv", None), getattr(getattr(parent, "adn", None), "N", None)
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            parent.conv = fuse_conv_bn_eval(convolution, norm)
            parent.adn.N = nn.Identity()
    return network


def uncertainty_of(method: Any) -> str | None:
    """Return the best that a method tells of where it may be wrong."""
    return next((name for name in (DISAGREEMENT, ENTROPY) if name in method.gives), None)
