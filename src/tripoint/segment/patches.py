"""Patches of annotated slices, as networks are trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from scipy import ndimage
from torch.utils.data import DataLoader, Dataset

from tripoint.segment.annotation import UNLABELLED, Annotation
from tripoint.segment.augmentation import Augmentation
from tripoint.segment.network import MULTIPLE
from tripoint.segment.normalisation import Normalisation
from tripoint.segment.volumes import GreyVolume

_WHOLE = 512
"""Side of the parts in which slices are validated, pixels."""


@dataclass(frozen=True)
class Slices:
    """Annotated slices with the grey values of their neighbours, in memory.

    Parameters
    ----------
    planes : (m, channels, y, x) float16
        Normalised grey values: 2 bytes per pixel and channel, of each slice once.
    around : (n, 2 · context + 1) int
        Which planes belong to each annotated slice, from below to above.
    classes : (n, y, x) uint8
    weights : (n, y, x) float16
        Of each pixel in the loss, 0 where nothing is labelled.
    """

    planes: np.ndarray
    around: np.ndarray
    classes: np.ndarray
    weights: np.ndarray

    def patch(self, row: int, corner: Sequence[int], size: Sequence[int]) -> tuple[np.ndarray, ...]:
        """Return grey values (slices, channels, y, x), classes and weights of a rectangle."""
        box = tuple(slice(begin, begin + n) for begin, n in zip(corner, size, strict=True))
        grey = self.planes[self.around[row]][(..., *box)].astype(np.float32)
        return grey, self.classes[row][box], self.weights[row][box].astype(np.float32)

    def with_classes(self, classes: np.ndarray) -> Slices:
        """Return the same slices with other pixels labelled."""
        return Slices(self.planes, self.around, classes, np.where(classes == UNLABELLED, 0, self.weights))

    def take(self, rows: Sequence[int]) -> Slices:
        """Return some of the slices."""
        return Slices(
            self.planes, self.around[list(rows)], self.classes[list(rows)], self.weights[list(rows)]
        )


def load_slices(
    grey: GreyVolume, annotation: Annotation, normalisation: Normalisation, context: int, emphasis: float
) -> Slices:
    """Read the annotated slices and their neighbours.

    Parameters
    ----------
    grey : GreyVolume
    annotation : Annotation
    normalisation : Normalisation
    context : int
        Neighbouring slices on either side that the network sees.
    emphasis : float
        See `boundary_weights`.
    """
    steps = np.arange(-context, context + 1)
    around = np.clip(np.array(annotation.positions)[:, None] + steps, 0, grey.shape[0] - 1)
    needed, position = np.unique(around, return_inverse=True)
    blocks = grey.blocks([(int(z), int(z) + 1) for z in needed], 0)
    planes = np.stack([normalisation(block)[:, 0].astype(np.float16) for block in blocks])
    weights = np.stack([boundary_weights(plane, emphasis) for plane in annotation.classes])
    return Slices(planes, position.reshape(around.shape), annotation.classes, weights)


def boundary_weights(classes: np.ndarray, emphasis: float, width: float = 2.0) -> np.ndarray:
    """Return what each pixel counts in the loss: 1, and 1 + emphasis where phases meet.

    Interfaces hold few of the pixels and all of what is measured on them. The weight falls with the distance
    d to the nearest boundary as exp(−d²/2 width²).

    Parameters
    ----------
    classes : (y, x) uint8
    emphasis : float
    width : float
        Pixels.

    Returns
    -------
    (y, x) float16
    """
    edge = np.zeros(classes.shape, bool)
    for here, there in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        meets = (
            (classes[here] != classes[there]) & (classes[here] != UNLABELLED) & (classes[there] != UNLABELLED)
        )
        edge[here] |= meets
        edge[there] |= meets
    weights = np.ones(classes.shape, np.float32)
    if edge.any():
        distance = ndimage.distance_transform_edt(~edge)
        weights += emphasis * np.exp(-(distance**2) / (2 * width**2)).astype(np.float32)
    return np.where(classes == UNLABELLED, 0, weights).astype(np.float16)


class Patches(Dataset[Any]):
    """Patches about pixels that are drawn from each phase as often, whatever its share; disturbed at random.

    Parameters
    ----------
    slices : Slices
    size : int
        Side, pixels.
    count : int
        Patches of an epoch.
    augmentation : Augmentation
    seed : sequence of int
        Of this epoch: the same gives the same patches.
    """

    def __init__(
        self, slices: Slices, size: int, count: int, augmentation: Augmentation, seed: Sequence[int]
    ) -> None:
        self.slices, self.count, self.augmentation, self.seed = slices, count, augmentation, tuple(seed)
        limits = slices.classes.shape[1:]
        self.size = (min(size, *(n // MULTIPLE * MULTIPLE for n in limits)),) * 2  # square: they are turned
        flat = slices.classes.reshape(-1)
        self.places = [np.flatnonzero(flat == label) for label in np.unique(flat) if label != UNLABELLED]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        rng = np.random.default_rng([*self.seed, index])
        places = self.places[rng.integers(len(self.places))]
        row, *pixel = np.unravel_index(places[rng.integers(len(places))], self.slices.classes.shape)
        limits = self.slices.classes.shape[1:]
        corner = [
            int(np.clip(at - rng.integers(side), 0, limit - side))
            for at, side, limit in zip(pixel, self.size, limits, strict=True)
        ]
        grey, classes, weights = self.augmentation(rng, *self.slices.patch(int(row), corner, self.size))
        return _tensors(grey, classes, weights)


class Parts(Dataset[Any]):
    """Annotated slices in parts that do not overlap, undisturbed; the last ones are filled up, unlabelled."""

    def __init__(self, slices: Slices) -> None:
        self.slices = slices
        _, height, width = slices.classes.shape
        self.size = tuple(min(_WHOLE, -(-n // MULTIPLE) * MULTIPLE) for n in (height, width))
        self.corners = [
            (row, y, x)
            for row in range(len(slices.classes))
            for y in range(0, height, self.size[0])
            for x in range(0, width, self.size[1])
        ]

    def __len__(self) -> int:
        return len(self.corners)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        row, *corner = self.corners[index]
        grey, classes, weights = self.slices.patch(row, corner, self.size)
        fill = [(0, n - m) for n, m in zip(self.size, classes.shape, strict=True)]
        return _tensors(
            np.pad(grey, ((0, 0), (0, 0), *fill), mode="edge"),
            np.pad(classes, fill, constant_values=UNLABELLED),
            np.pad(weights, fill),
        )


class PatchData(LightningDataModule):
    """Patches to train on, other ones each epoch, and parts of slices to validate on.

    Parameters
    ----------
    training : Slices
    validation : Slices or None
    size, batch_size, steps : int
        Side of a patch in pixels, patches of a step, steps of an epoch.
    augmentation : Augmentation
    seed : int
    """

    def __init__(
        self,
        training: Slices,
        validation: Slices | None,
        *,
        size: int,
        batch_size: int,
        steps: int,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        super().__init__()
        self.training, self.validation = training, validation
        self.size, self.batch_size, self.steps = size, batch_size, steps
        self.augmentation, self.seed = augmentation, seed

    def train_dataloader(self) -> Any:
        """Return the patches of the epoch that begins."""
        epoch = 0 if self.trainer is None else self.trainer.current_epoch
        rank, ranks = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        del ranks
        count = self.steps * self.batch_size
        seed = (self.seed, epoch, rank)
        return DataLoader(Patches(self.training, self.size, count, self.augmentation, seed), self.batch_size)

    def val_dataloader(self) -> Any:
        """Return the slices that are held out."""
        return [] if self.validation is None else DataLoader(Parts(self.validation), 2)


def _tensors(grey: np.ndarray, classes: np.ndarray, weights: np.ndarray) -> tuple[torch.Tensor, ...]:
    return (
        torch.from_numpy(grey.reshape(-1, *grey.shape[2:])),
        torch.from_numpy(classes.astype(np.int64)),
        torch.from_numpy(weights),
    )
