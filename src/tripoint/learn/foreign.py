"""In what a sample differs from those that a network was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np

from tripoint.graph import Graph
from tripoint.learn.checkpoint import Trained
from tripoint.learn.data import GraphDataset

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
    dataset = GraphDataset({sample: graph}, (sample,), trained.view, trained.names, trained.scalings)
    values: dict[str, list[np.ndarray]] = {}
    for key, store, attribute in trained.view.tables(dataset[0]):
        values.setdefault(key, []).append(store[attribute].numpy())
    shifts = [
        (float(shift), key, name)
        for key, parts in values.items()
        if any(map(len, parts))
        for name, shift in zip(trained.names[key], np.concatenate(parts).mean(axis=0), strict=True)
    ]
    far = sorted((entry for entry in shifts if abs(entry[0]) > FAR), key=lambda entry: -abs(entry[0]))
    return [{"table": key, "feature": name, "shift": shift} for shift, key, name in far[:AT_MOST]]
