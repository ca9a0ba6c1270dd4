"""How a particle's activity moves when something is taken from it: as predicted, and as simulated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.learn.circuit import reaction_circuit
from tripoint.learn.data import Graphs
from tripoint.learn.explanation.cutting import cut
from tripoint.learn.explanation.editing import EDITS, edited, on_terminal
from tripoint.learn.features import log_activity, materials_of, targets
from tripoint.learn.fitting import Fitted
from tripoint.record import Progress
from tripoint.result import Result
from tripoint.sample import Sample

LEAST_OVERLAP = 0.5
"""Share of voxels in common, of all of both, below which a particle is not the same any more."""


MOVED = 0.1
"""Change of activity, relative to the sample's mean, from which on its direction counts."""

_CHANGES = (
    ("simulated", "activity", "simulated_edited"),
    ("predicted", "predicted", "predicted_edited"),
    ("predicted_volume", "predicted", "predicted_volume"),
    ("known", "known", "known_edited"),
)


@dataclass(frozen=True)
class Volume:
    """The voxels of a sample, and how they are analysed.

    Parameters
    ----------
    sample : Sample
    regions : (z, y, x) int
        Whose numbers are the nodes of the graph.
    analyze : callable
        Analyses a sample as this one was, activity included.
    """

    sample: Sample
    regions: np.ndarray
    analyze: Callable[[Sample], Result]


Volumes = Callable[[str], Volume | None]
"""Gives the volume of a sample, or None where it is not to be had."""


def choose_particles(
    graphs: Graphs, samples: Sequence[str], count: int, most_samples: int = 5
) -> pd.DataFrame:
    """Choose particles over the whole range of activity, of a few samples.

    Parameters
    ----------
    graphs : GraphDatabase or mapping of str to Graph
    samples : sequence of str
    count : int
    most_samples : int
        From so many samples at most, evenly spread over those given.

    Returns
    -------
    DataFrame
        ``sample``, ``node``: particles that react, are not at a terminal's face, and lie evenly in the order
        of the activities of their sample.
    """
    taken = min(most_samples, len(samples), count)
    chosen = [samples[round(at)] for at in np.linspace(0, len(samples) - 1, taken)]
    parts = []
    for number, sample in enumerate(chosen):
        graph = graphs[sample].to("cpu")
        known = targets(graph)
        rows = known.rows[known.activity > 0]
        held = np.logical_or.reduce(
            [on_terminal(graph.nodes, materials_of(graph), edit) for edit in EDITS.values()]
        )
        rows = rows[~held[rows]]
        if not len(rows):
            continue
        rows = rows[np.argsort(graph.nodes["activity"].to_numpy()[rows])]
        share = count // taken + (number < count % taken)
        # Samples begin at different places, so that together they fill the range.
        places = (np.arange(share) + (number + 0.5) / taken) / share * len(rows)
        nodes = graph.nodes["node"].to_numpy()[rows[np.unique(places.astype(int))]]
        parts.append(pd.DataFrame({"sample": sample, "node": nodes}))
    if not parts:
        message = "no particle of these samples reacts away from the terminals; name other samples"
        raise InputError(message)
    return pd.concat(parts, ignore_index=True)


def counterfactuals(
    fitted: Fitted,
    graphs: Graphs,
    particles: pd.DataFrame,
    volumes: Volumes | None = None,
    *,
    edits: Iterable[str] = tuple(EDITS),
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Take something from particles, and see where their activity goes.

    Parameters
    ----------
    fitted : Fitted
    graphs : GraphDatabase or mapping of str to Graph
    particles : DataFrame
        ``sample``, ``node``, as `choose_particles` gives them.
    volumes : callable, optional
        Without it, or where it gives None, only the predictions move.
    edits : iterable of str
        Of `editing.EDITS`.
    progress : callable, optional

    Returns
    -------
    DataFrame
        A row per particle and edit, activities relative to their sample: ``activity`` as simulated,
        ``predicted``; then of the edited graph ``predicted_edited`` and, where the materials give the
        constants, ``known_edited``, by the circuit without learning (``known`` before); then of the edited
        volume, analysed and simulated again, ``simulated_edited``, ``predicted_volume`` and ``overlap`` of
        the particle with what it became. Where it became another one (`LEAST_OVERLAP`) these are NaN. The
        changes of log-activity are ``simulated_change``, ``predicted_change``, ``predicted_volume_change``
        and ``known_change``.
    """
    edits = tuple(edits)
    rows: list[dict[str, Any]] = []
    total = len(particles) * len(edits)
    for sample, group in particles.groupby("sample", sort=False):
        graph = graphs[str(sample)].to("cpu")
        volume = volumes(str(sample)) if volumes is not None else None
        before, known = _predicted(fitted, graph), _known(graph)
        truth = dict(zip(graph.nodes["node"], graph.nodes["activity"], strict=True))
        for node in group["node"]:
            for edit in edits:
                if progress is not None:
                    progress("counterfactuals", len(rows), total)
                other = edited(graph, int(node), edit)
                row = {
                    "sample": sample,
                    "node": int(node),
                    "edit": edit,
                    "activity": truth[node],
                    "predicted": before[node],
                    "predicted_edited": _predicted(fitted, other)[node],
                    "known": known.get(node, np.nan),
                    "known_edited": _known(other).get(node, np.nan),
                }
                rows.append(row | _simulated(fitted, volume, int(node), edit))
    table = pd.DataFrame(rows)
    for name, start, end in _CHANGES:
        table[f"{name}_change"] = log_activity(table[end]) - log_activity(table[start])
    return table


def summarize(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Compare predicted with simulated changes of log-activity, per edit.

    Returns
    -------
    list of dict
        ``edit``, ``particles``; mean changes ``predicted``, ``predicted_volume``, ``known`` and
        ``simulated``; ``mae`` of the predicted against the simulated change and ``mae_volume`` of that on
        the edited volume's graph; ``same_direction``, the share of changes of the same sign among those that
        move by more than `MOVED`. None where nothing was simulated.
    """
    found = []
    for edit, group in table.groupby("edit", sort=False):
        simulated, predicted = group["simulated_change"], group["predicted_change"]
        moved = simulated.notna() & ((group["simulated_edited"] - group["activity"]).abs() > MOVED)
        entry: dict[str, Any] = {
            "edit": edit,
            "particles": len(group),
            "simulated_particles": int(simulated.count()),
        }
        entry |= {name: _mean(group[f"{name}_change"]) for name, _, _ in _CHANGES}
        entry["mae"] = _mean((predicted - simulated).abs())
        entry["mae_volume"] = _mean((group["predicted_volume_change"] - simulated).abs())
        entry["same_direction"] = _mean((np.sign(predicted) == np.sign(simulated))[moved])
        found.append(entry)
    return found


def _simulated(fitted: Fitted, volume: Volume | None, node: int, edit: str) -> dict[str, float]:
    nothing = dict.fromkeys(("simulated_edited", "predicted_volume", "overlap"), np.nan)
    if volume is None:
        return nothing
    changed = cut(volume.sample, volume.regions, node, EDITS[edit])
    if changed is None:
        return nothing
    result = volume.analyze(changed).to("cpu")
    became, overlap = _match(volume.regions == node, np.asarray(result.regions))
    if overlap < LEAST_OVERLAP:
        return nothing | {"overlap": overlap}
    nodes = result.graph.nodes
    activity = float(nodes.loc[nodes["node"] == became, "activity"].iloc[0])
    return {
        "simulated_edited": activity,
        "predicted_volume": _predicted(fitted, result.graph)[became],
        "overlap": overlap,
    }


def _match(body: np.ndarray, regions: np.ndarray) -> tuple[int, float]:
    """Return the region that a body shares most voxels with, and their share of all of both."""
    counts = np.bincount(regions[body])
    became = int(counts.argmax())
    shared = int(counts[became])
    return became, shared / (int(body.sum()) + int((regions == became).sum()) - shared)


def _predicted(fitted: Fitted, graph: Graph) -> dict[int, float]:
    found = fitted.predict(graph)
    return dict(zip(found["node"].tolist(), found["predicted_activity"].tolist(), strict=True))


def _known(graph: Graph) -> dict[int, float]:
    """Return activities of the circuit with the constants of the materials; none where these lack them."""
    if {"ion", "electron"} - set(materials_of(graph).terminals):
        return {}
    circuit = reaction_circuit(graph)
    if np.isnan(circuit.known).any():
        return {}
    nodes = graph.nodes["node"].to_numpy()[circuit.particles]
    return dict(zip(nodes.tolist(), circuit.known_activity().tolist(), strict=True))


def _mean(values: pd.Series) -> float | None:
    values = values.dropna()
    return float(values.mean()) if len(values) else None
