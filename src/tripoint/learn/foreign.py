"""In what a sample differs from those that a network was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tripoint.graph import Graph
from tripoint.learn.checkpoint import Trained
from tripoint.learn.data import GraphDataset
from tripoint.learn.scaling import Scaling

FAR = 2.0
"""Standard deviations of the training samples from which on a mean is called foreign."""

AT_MOST = 8


def foreign_features(trained: Trained, graph: Graph) -> list[dict[str, Any]]:
    """Return the features whose mean over a sample lies far from that of the training samples.

    A network knows nothing of what lies outside what it has seen.

    Returns
    -------
    list of dict
        ``table``, ``feature`` and ``shift``, the difference of the means in s.d. of the training samples;
        those beyond `FAR`, farthest first, at most `AT_MOST`.
    """
    sample = str(graph.metadata.get("name", ""))
    dataset = GraphDataset({sample: graph}, (sample,), trained.view, trained.names)  # not scaled, so not cut
    values: dict[str, list[np.ndarray]] = {}
    for key, store, attribute in trained.view.tables(dataset[0]):
        values.setdefault(key, []).append(store[attribute].numpy())
    shifts = [
        (shift, key, name)
        for key, parts in values.items()
        if any(map(len, parts)) and key in trained.scalings
        for name, shift in _shifts(trained.scalings[key], np.concatenate(parts))
    ]
    far = sorted((entry for entry in shifts if abs(entry[0]) > FAR), key=lambda entry: -abs(entry[0]))
    return [{"table": key, "feature": name, "shift": shift} for shift, key, name in far[:AT_MOST]]


def _shifts(scaling: Scaling, values: np.ndarray) -> Iterator[tuple[str, float]]:
    """Go through the features that are learned from and have a value here."""
    for at, name in enumerate(scaling.names):
        known = values[np.isfinite(values[:, at]), at]
        if len(known) and name not in scaling.constant:
            yield name, float((known.mean() - scaling.mean[at]) / scaling.scale[at])
