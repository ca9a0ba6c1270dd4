"""Predicted beside known activity: how far off, where, and beside what is known without learning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.learn.circuit import reaction_circuit
from tripoint.learn.features import active_rows, log_activity, materials_of, targets
from tripoint.learn.scores import scores
from tripoint.report.correlation import spearman

WEAK = 0.1
"""Activity below which a particle is called weak: a tenth of the average."""

DEPTHS = 5
"""Groups of equally many particles along the depth."""


def particles_of(graph: Graph, column: str = "activity") -> pd.DataFrame:
    """Return what predictions are held against.

    Parameters
    ----------
    graph : Graph
    column : str
        Of ``graph.nodes``: simulated or measured activity.

    Returns
    -------
    DataFrame
        A row per particle of active material that is no fragment: ``node``, ``activity`` (NaN where it is not
        known), ``inactive`` (does not react at all) and ``depth``, µm from the terminal of the first carrier
        that has one; NaN where none has.
    """
    graph = graph.to("cpu")
    nodes = graph.nodes.iloc[active_rows(graph)]
    found = pd.DataFrame({"node": nodes["node"].to_numpy(), "activity": np.nan, "inactive": False})
    if column in nodes.columns and nodes[column].notna().any():
        known = targets(graph, column)
        at = found["node"].isin(graph.nodes["node"].to_numpy()[known.rows]).to_numpy()
        found.loc[at, "activity"], found.loc[at, "inactive"] = known.activity, known.inactive
    depth = f"depth_{next(iter(materials_of(graph).terminals), '')}"
    found["depth"] = nodes[depth].to_numpy(np.float64) if depth in nodes.columns else np.nan
    return found


def compare(frame: pd.DataFrame) -> dict[str, Any]:
    """Return how far predictions are off.

    Parameters
    ----------
    frame : DataFrame
        ``activity`` and ``predicted_log_activity``; with ``low_activity`` and ``high_activity`` it is counted
        how many activities lie between them.

    Returns
    -------
    dict
        ``particles``, ``mae``, ``r2``, ``linear_mae`` (`scores.scores`), ``factor`` (10 to the power of mae),
        ``within_factor_2`` (share whose activity, the floor added, is met within it), ``spearman``,
        ``bias`` (mean of predicted less true log-activity), ``covered``.

    Raises
    ------
    InputError
        No activity is known.
    """
    known = frame[frame["activity"].notna()]
    activity = known["activity"].to_numpy(np.float64)
    predicted = known["predicted_log_activity"].to_numpy(np.float64)
    off = predicted - log_activity(activity)
    found: dict[str, Any] = {"particles": len(known), **scores(activity, predicted)}
    found |= {
        "factor": float(10 ** found["mae"]),
        "within_factor_2": float((np.abs(off) <= np.log10(2)).mean()),
        "spearman": spearman(activity, predicted).rho,
        "bias": float(off.mean()),
    }
    if {"low_activity", "high_activity"} <= set(known.columns):
        counted = known["activity"].clip(lower=0)  # as intervals do, which do not reach below 0
        found["covered"] = float(counted.between(known["low_activity"], known["high_activity"]).mean())
    return found


def weak_particles(frame: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count which of the particles that are dead, weak or neither were predicted to be weak.

    Returns
    -------
    dict
        ``dead`` (do not react at all), ``weak`` (react, below `WEAK`), ``reacting``, each with the numbers
        ``predicted_weak`` and ``predicted_reacting``.
    """
    known = frame[frame["activity"].notna()]
    dead = known["inactive"].to_numpy(np.bool_)
    weak = ~dead & (known["activity"] < WEAK).to_numpy()
    predicted = (known["predicted_activity"] < WEAK).to_numpy()
    return {
        name: {
            "predicted_weak": int((chosen & predicted).sum()),
            "predicted_reacting": int((chosen & ~predicted).sum()),
        }
        for name, chosen in (("dead", dead), ("weak", weak), ("reacting", ~dead & ~weak))
    }


def by_depth(frame: pd.DataFrame) -> list[dict[str, float]]:
    """Return ``low``, ``high`` (µm), ``particles``, ``bias`` and ``mae`` of log-activity by depth."""
    known = frame[frame["activity"].notna() & frame["depth"].notna()].sort_values("depth", kind="stable")
    off = (known["predicted_log_activity"] - log_activity(known["activity"])).to_numpy(np.float64)
    depth = known["depth"].to_numpy(np.float64)
    return [
        {
            "low": float(depth[rows[0]]),
            "high": float(depth[rows[-1]]),
            "particles": len(rows),
            "bias": float(off[rows].mean()),
            "mae": float(np.abs(off[rows]).mean()),
        }
        for rows in np.array_split(np.arange(len(known)), DEPTHS)
        if len(rows)
    ]


def yardsticks(graph: Graph, frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return what is had without learning, scored as a prediction.

    Parameters
    ----------
    graph : Graph
    frame : DataFrame
        `particles_of` the graph, with an activity.

    Returns
    -------
    dict
        ``circuit``: the network of resistors with the constants of the simulation
        (`circuit.ReactionCircuit.known_activity`), or under ``absent`` why there is none. ``median``: the
        median of this very sample for all particles, so the best of all predictions that know no particle.
    """
    found: dict[str, dict[str, Any]] = {}
    try:
        circuit = reaction_circuit(graph)
        known = pd.Series(
            log_activity(circuit.known_activity()), graph.nodes["node"].to_numpy()[circuit.particles]
        )
        found["circuit"] = compare(_instead(frame, known.reindex(frame["node"]).to_numpy()))
    except InputError as error:
        found["circuit"] = {"absent": str(error)}
    middle = float(np.median(log_activity(frame["activity"].dropna().to_numpy(np.float64))))
    found["median"] = compare(_instead(frame, np.full(len(frame), middle)))
    return found


def medians(frame: pd.DataFrame) -> dict[str, Any]:
    """Return how far off the median of each sample is for all of its particles, as `compare`.

    Parameters
    ----------
    frame : DataFrame
        ``sample`` and ``activity``, which is known.
    """
    logarithm = pd.Series(log_activity(frame["activity"].to_numpy(np.float64)), frame.index)
    return compare(_instead(frame, logarithm.groupby(frame["sample"]).transform("median").to_numpy()))


def _instead(frame: pd.DataFrame, logarithm: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"activity": frame["activity"].to_numpy(), "predicted_log_activity": logarithm})
