"""Labels as a measurement gives them: with noise, and of part of the particles only."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np

from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.learn.data import Graphs


@dataclass(frozen=True)
class MeasuredLabels:
    """Graphs of which some have noisy and missing labels; the others stay as they are.

    Parameters
    ----------
    graphs : GraphDatabase or mapping of str to Graph
    samples : collection of str
        Whose labels change: those that are trained on and chosen by, never those that are tested on.
    noise : float
        s.d. of the label, relative to its value.
    share : float
        Share of the particles that keep a label.
    seed : int
        With the name of a sample it decides on its noise.
    column : str
        Of the nodes.

    Raises
    ------
    InputError
        Noise below 0, a share that is not above 0 and at most 1.
    """

    graphs: Graphs
    samples: Collection[str]
    noise: float = 0.0
    share: float = 1.0
    seed: int = 0
    column: str = "activity"

    def __post_init__(self) -> None:
        """Refuse what is no noise and no share."""
        if not self.noise >= 0:
            message = f"the noise of the labels is {self.noise}; expected 0 or more, such as 0.1"
            raise InputError(message)
        if not 0 < self.share <= 1:
            message = f"the share of labels is {self.share}; expected more than 0 and at most 1"
            raise InputError(message)

    def __iter__(self) -> Iterator[str]:
        return iter(self.graphs)

    def __getitem__(self, sample: str) -> Graph:
        """Return a graph, with the labels that a measurement would have given."""
        graph = self.graphs[sample]
        if sample not in self.samples or (not self.noise and self.share == 1):
            return graph
        nodes = graph.to("cpu").nodes
        if self.column not in nodes.columns:
            return graph
        random = np.random.default_rng([self.seed, zlib.crc32(sample.encode())])
        values = nodes[self.column].to_numpy(np.float64)
        values = values * (1 + self.noise * random.standard_normal(len(values)))
        values[random.random(len(values)) >= self.share] = np.nan
        return replace(graph, nodes=nodes.assign(**{self.column: values}))
