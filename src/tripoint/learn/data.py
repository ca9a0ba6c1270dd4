"""Data sets of graphs, scaled by their training split, for PyTorch Lightning."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import Dataset, Sampler
from torch_geometric.loader import DataLoader

from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.learn.scaling import Scaling
from tripoint.learn.splitting import Split
from tripoint.learn.views import Names, View

Scalings = Mapping[str, Scaling]


class Graphs(Protocol):
    """Graphs by the names of their samples: a ``GraphDatabase``, or a mapping."""

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""

    def __getitem__(self, sample: str, /) -> Graph:
        """Return the graph of a sample."""


class GraphDataset(Dataset):
    """Samples as a view shows them.

    Parameters
    ----------
    graphs : GraphDatabase or mapping of str to Graph
    samples : sequence of str
        Names of those that are taken.
    view : View
    names : mapping, optional
        Columns that each sample has to have; by default those of the first.
    scalings : mapping, optional
        With which every sample is scaled; None leaves it as it is.

    Raises
    ------
    InputError
        A sample whose columns are others, when it is made.

    Notes
    -----
    Each sample is made once and stays in memory, 4 bytes per number.
    """

    def __init__(
        self,
        graphs: Graphs,
        samples: Sequence[str],
        view: View,
        names: Names | None = None,
        scalings: Scalings | None = None,
    ) -> None:
        self.graphs, self.samples, self.view = graphs, tuple(samples), view
        self.names, self.scalings = names, scalings
        self._made: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> Any:
        if number not in self._made:
            self._made[number] = self._make(self.samples[number])
        return self._made[number]

    def scaled(self, scalings: Scalings) -> GraphDataset:
        """Return the same samples scaled; those that are made already are not made again."""
        other = GraphDataset(self.graphs, self.samples, self.view, self.names, scalings)
        if self.scalings is None:
            other._made = {at: scale(data, self.view, scalings) for at, data in self._made.items()}
        return other

    def _make(self, sample: str) -> Any:
        data, names = self.view.build(self.graphs[sample])
        self.names = self.names or names
        if names != self.names:
            message = (
                f"sample '{sample}' has other features than the model takes: {_difference(names, self.names)}"
            )
            raise InputError(message)
        return data if self.scalings is None else scale(data, self.view, self.scalings)


class Shuffled(Sampler[int]):
    """Numbers of samples, in an order that seed and epoch decide.

    A training that goes on meets the samples as if it had not been stopped.

    Parameters
    ----------
    count : int
    seed : int
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Take the order of an epoch; Lightning says when one begins."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        return iter(np.random.default_rng([self.seed, self.epoch]).permutation(self.count).tolist())


class GraphDataModule(LightningDataModule):
    """Training, validation and test split of some graphs.

    Parameters
    ----------
    graphs : GraphDatabase or mapping of str to Graph
    view : View
        What the model takes.
    split : Split
    batch_size : int
        Samples per step.
    seed : int
        Of the order of the training samples.
    """

    def __init__(
        self, graphs: Graphs, view: View, split: Split, *, batch_size: int = 4, seed: int = 0
    ) -> None:
        super().__init__()
        self.graphs, self.view, self.split = graphs, view, split
        self.batch_size, self.seed = batch_size, seed
        self._datasets: dict[str, GraphDataset] = {}

    @property
    def scalings(self) -> Scalings:
        """Statistics of the training split."""
        found = self["train"].scalings
        assert found is not None
        return found

    @property
    def names(self) -> Names:
        """Columns of each table of the data."""
        found = self["train"].names
        assert found is not None
        return found

    def __getitem__(self, side: str) -> GraphDataset:
        """Return the scaled samples of ``train``, ``validation`` or ``test``."""
        self.setup()
        return self._datasets[side]

    def setup(self, stage: str | None = None) -> None:
        """Read the training split, and take its statistics."""
        if self._datasets:
            return
        train = GraphDataset(self.graphs, self.split.train, self.view)
        scalings = fit_scalings(train)
        self._datasets["train"] = train.scaled(scalings)
        for side in ("validation", "test"):
            samples = getattr(self.split, side)
            self._datasets[side] = GraphDataset(self.graphs, samples, self.view, train.names, scalings)

    def train_dataloader(self) -> DataLoader:
        """Return the training samples, in another order each time."""
        return DataLoader(self["train"], self.batch_size, sampler=Shuffled(len(self["train"]), self.seed))

    def val_dataloader(self) -> DataLoader:
        """Return the validation samples."""
        return DataLoader(self["validation"], self.batch_size)

    def test_dataloader(self) -> DataLoader:
        """Return the test samples."""
        return DataLoader(self["test"], self.batch_size)

    predict_dataloader = test_dataloader


def fit_scalings(dataset: GraphDataset) -> Scalings:
    """Take the statistics of every table of a data set that is not scaled.

    Raises
    ------
    InputError
        It is empty, or a column is infinite.
    """
    if not len(dataset):
        message = "the training split is empty; give it samples"
        raise InputError(message)
    tables: dict[str, list[Any]] = {}
    for number in range(len(dataset)):
        for key, store, attribute in dataset.view.tables(dataset[number]):
            tables.setdefault(key, []).append(store[attribute].numpy())
    assert dataset.names is not None
    return {
        key: Scaling.fit(dataset.names[key], parts) for key, parts in tables.items() if any(map(len, parts))
    }


def scale(data: Any, view: View, scalings: Scalings) -> Any:
    """Return a copy of some data with every table scaled; tables of which training knew nothing become 0."""
    data = copy.copy(data)
    for key, store, attribute in view.tables(data):
        values = store[attribute]
        known = scalings.get(key)
        store[attribute] = torch.from_numpy(known(values.numpy())) if known else torch.zeros_like(values)
    return data


def _difference(found: Names, expected: Names) -> str:
    for key in sorted({*found, *expected}):
        mine, theirs = set(found.get(key, ())), set(expected.get(key, ()))
        if mine != theirs:
            return f"{key} lacks {sorted(theirs - mine)} and has {sorted(mine - theirs)} besides"
    return "they stand in another order"
