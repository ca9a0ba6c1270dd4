"""A trained network applied to many samples, by as many processes as are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
from torch.utils.data import DataLoader, Dataset

from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.learn.checkpoint import Trained
from tripoint.learn.comparison import particles_of
from tripoint.learn.data import Graphs
from tripoint.learn.ensemble import Ensemble
from tripoint.learn.features import active_rows
from tripoint.learn.targets import Activity

Network = Trained | Ensemble


@dataclass(frozen=True)
class Applied:
    """What came of one sample.

    Parameters
    ----------
    sample : str
    frame : DataFrame, optional
        As `predicted_particles`; None of a sample that cannot be read, or has no active material.
    reason : str
        Why there is none.
    """

    sample: str
    frame: pd.DataFrame | None
    reason: str = ""


def predicted_particles(trained: Network, graph: Graph) -> pd.DataFrame:
    """Predict the particles of a sample.

    Returns
    -------
    DataFrame
        A row per particle of active material that is no fragment: what `comparison.particles_of` and
        `checkpoint.Trained.predict` tell of it.

    Raises
    ------
    InputError
        A graph that the network does not fit, in what it differs.
    """
    target = trained.target
    column = target.column if isinstance(target, Activity) else "activity"
    return particles_of(graph, column).merge(trained.predict(graph), on="node", validate="one_to_one")


def apply_to(trained: Network, graphs: Graphs, samples: Iterable[str], jobs: int = 1) -> Iterator[Applied]:
    """Predict samples, and give them in their order.

    Parameters
    ----------
    trained : Trained or Ensemble
    graphs : GraphDatabase or mapping of str to Graph
    samples : iterable of str
    jobs : int
        Processes that read and predict beside each other, each on one thread; 1 for this process alone.

    Raises
    ------
    InputError
        A sample that the network does not fit, in what it differs.

    Notes
    -----
    One graph per process is in memory, and a few tables of predictions.
    """
    dataset = _Samples(trained, graphs, tuple(samples))
    workers = min(jobs, len(dataset)) if jobs > 1 else 0
    for found in DataLoader(dataset, batch_size=None, num_workers=workers, collate_fn=_as_it_is):
        if isinstance(found, InputError):
            raise found
        yield found


@dataclass(frozen=True)
class _Samples(Dataset):
    trained: Network
    graphs: Graphs
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> Applied | InputError:
        """Return errors as they are: raised in another process they would come with its whole stack."""
        sample = self.names[number]
        try:
            graph = self.graphs[sample]
            active_rows(graph)
        except InputError as error:
            return Applied(sample, None, str(error))
        try:
            return Applied(sample, predicted_particles(self.trained, graph))
        except InputError as error:
            return InputError(f"{error}; choose the samples that the network fits with where=…")


def _as_it_is(found: Any) -> Any:
    return found
