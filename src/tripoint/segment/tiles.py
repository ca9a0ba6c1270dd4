"""Trained networks applied to slices, in overlapping tiles whose answers are blended."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

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

_SMOOTHEST = 5.0

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
    smooth : float, optional
        S.d. of a Gaussian over the probabilities, voxels, also along z: a 2D network decides slice by slice,
        and what it cannot decide flickers from one to the next. Fewer pieces of single voxels come of it,
        which add triple-phase edges and hardly any volume. 0 for none; by default what the slices held out
        of the training say (`smoothing.compare`).
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
    smooth: float | None = None
    device: str = "cpu"
    half: bool = False
    normalisation: Normalisation | None = None
    networks: tuple[nn.Module, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.tile, bool) or not isinstance(self.tile, int) or self.tile < MULTIPLE:
            message = f"tile is {self.tile!r}; expected a whole number of pixels of at least {MULTIPLE}"
            raise InputError(message)
        if isinstance(self.batch_size, bool) or not isinstance(self.batch_size, int) or self.batch_size < 1:
            message = f"batch_size is {self.batch_size!r}; expected a whole number of tiles of at least 1"
            raise InputError(message)
        if not 0 <= self.overlap < 1:
            message = (
                f"overlap is {self.overlap!r}; expected a share of a tile from 0 to below 1, such as 0.25"
            )
            raise InputError(message)
        if not 0 <= self.width <= _SMOOTHEST:
            message = (
                f"smooth is {self.smooth!r}; expected a width from 0 to {_SMOOTHEST} voxels, such as 0.7"
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
    def width(self) -> float:
        """S.d. of the Gaussian over the probabilities, voxels."""
        return self.trained.smooth if self.smooth is None else self.smooth

    @property
    def halo(self) -> int:
        """Slices on either side that the networks see, and that probabilities are smoothed over."""
        return self.trained.context + len(self._weights()) // 2

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
        grey = self._normalised(block)
        depth = block.shape[1] - 2 * self.halo
        classes = np.empty((depth, *block.shape[2:]), np.uint8)
        probabilities = uncertainty = None
        if PROBABILITIES in wanted:
            probabilities = np.empty((len(self.materials.phases), *classes.shape), np.float32)
        if ENTROPY in wanted or DISAGREEMENT in wanted:
            uncertainty = np.empty(classes.shape, np.float32)
        for z, scores in enumerate(self._slices(grey)):
            shares = scores[: len(self.materials.phases)]
            classes[z] = shares.argmax(0).to(torch.uint8).cpu().numpy()
            if probabilities is None and uncertainty is None:
                continue
            shares = (shares / shares.sum(0)).float()
            if probabilities is not None:
                probabilities[:, z] = shares.cpu().numpy()
            if uncertainty is not None:
                found = scores[-1].float() if DISAGREEMENT in wanted else _entropy(shares)
                uncertainty[z] = found.clamp(0, 1).cpu().numpy()
        return Segmented(classes, probabilities, uncertainty)

    def planes(self, block: np.ndarray) -> Iterator[torch.Tensor]:
        """Give the labels of one slice after the other, (y, x) uint8 on the device.

        ``block`` is that of a call.
        """
        labels = torch.tensor(self.materials.labels, dtype=torch.uint8, device=self.device)
        for scores in self._slices(self._normalised(block)):
            yield labels[scores[: len(labels)].argmax(0)]

    def _normalised(self, block: np.ndarray) -> torch.Tensor:
        return torch.from_numpy((self.normalisation or self.trained.normalisation)(block))

    def _slices(self, grey: torch.Tensor) -> Iterator[torch.Tensor]:
        """Give what `_slice` returns, smoothed, of one slice after the other; a few are in memory."""
        weights = self._weights()
        window: deque[torch.Tensor] = deque(maxlen=len(weights))
        seen = 2 * self.trained.context + 1
        for z in range(grey.shape[1] - seen + 1):
            around = grey[:, z : z + seen].movedim(1, 0)
            window.append(_smoothed(self._slice(around.reshape(1, -1, *around.shape[2:])), weights))
            if len(window) == len(weights):
                yield _sum(weights, window)

    def _weights(self) -> list[float]:
        """Return the Gaussian of the smoothing, up to three s.d."""
        reach = round(3 * self.width)
        if not reach:
            return [1.0]
        values = [math.exp(-(k**2) / (2 * self.width**2)) for k in range(-reach, reach + 1)]
        return [value / sum(values) for value in values]

    def _slice(self, grey: torch.Tensor) -> torch.Tensor:
        """Return the blended `_shares` of one slice."""
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
        """Return mean probabilities in tiles; of several networks also what they do not agree on.

        That is the entropy of their mean less the mean of their entropies: 0 where all say the same.
        """
        grey = grey.contiguous(memory_format=torch.channels_last)
        each = [network(grey).float().softmax(1) for network in self.networks]
        if len(each) == 1:
            return each[0]
        mean = torch.stack(each).mean(0)
        apart = _entropy(mean, 1) - torch.stack([_entropy(one, 1) for one in each]).mean(0)
        return torch.cat([mean, apart[:, None]], 1)

    @contextmanager
    def _precision(self) -> Iterator[None]:
        if not self.half:
            yield
            return
        with torch.autocast(self.device, dtype=torch.float16 if self.device == "cuda" else torch.bfloat16):
            yield


def _smoothed(planes: torch.Tensor, weights: list[float]) -> torch.Tensor:
    """Return (n, y, x) convolved with weights along y and x; what lies beyond is as the border."""
    if len(weights) == 1:
        return planes
    padded = nn.functional.pad(planes[None], (len(weights) // 2,) * 4, mode="replicate")[0]
    _, height, width = planes.shape
    down = _sum(weights, [padded[:, k : k + height] for k in range(len(weights))])
    return _sum(weights, [down[:, :, k : k + width] for k in range(len(weights))])


def _sum(weights: list[float], parts: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return Σ weight · part, in place of temporary copies."""
    total: torch.Tensor | None = None
    for weight, part in zip(weights, parts, strict=True):
        total = weight * part if total is None else total.add_(part, alpha=weight)
    assert total is not None
    return total


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
