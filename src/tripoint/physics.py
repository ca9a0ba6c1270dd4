"""What flows through a sample and what reacts in it, as columns of its graph and figures of its summary."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from tripoint import _cuda, transport
from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.materials import AXES, Materials
from tripoint.particles.aggregation import aggregate
from tripoint.percolation.conduits import neck_radii
from tripoint.sample import Sample
from tripoint.tables import column, find_rows, named, namespace, on_host, to_host
from tripoint.transport import Kinetics, NetworkTransport, critical_contacts
from tripoint.transport.activity import REASONS

ALIKE = 1.3
"""Tortuosity factors of network and voxels that differ by a larger factor are told."""

CRITICAL = 10
"""Contacts of each carrier that the summary lists."""

MAP = "activity_map"
"""Channel that holds a measured map on the sample's grid."""


@dataclass(frozen=True)
class Simulation:
    """How transport and local activity are solved.

    Parameters
    ----------
    axes : sequence of {"z", "y", "x"}
        Directions of the tortuosity factors; each takes a solution per phase. None leaves them out.
    voltage : float
        Between the terminals, V.
    butler_volmer : bool
        Nonlinear kinetics, by Newton's method; linear otherwise.
    tolerance : float
        Residual relative to the right-hand side, and imbalance of the currents; of tortuosity factors ten
        times this.
    limit : int
        Iterations at most, per linear system.

    Raises
    ------
    InputError
        Numbers that are not positive, axes that do not exist.
    """

    axes: tuple[str, ...] = AXES
    voltage: float = 1.0
    butler_volmer: bool = False
    tolerance: float = 1e-7
    limit: int = 500

    def __post_init__(self) -> None:
        """Check every number."""
        axes = tuple(self.axes) if isinstance(self.axes, str | list | tuple) else (None,)
        if not set(axes) <= set(AXES):
            message = f"axes are {self.axes!r}; expected some of z, y, x, for example [z], or [] for none"
            raise InputError(message)
        object.__setattr__(self, "axes", tuple(axis for axis in AXES if axis in axes))
        for name in ("voltage", "tolerance", "limit"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                message = f"{name} of the simulation is {value!r}; expected a positive number"
                raise InputError(message)
        if not isinstance(self.butler_volmer, bool):
            message = f"butler_volmer is {self.butler_volmer!r}; expected true or false"
            raise InputError(message)
        if int(self.limit) != self.limit:
            message = f"limit of the simulation is {self.limit!r}; expected a whole number"
            raise InputError(message)


@dataclass(frozen=True)
class Measured:
    """A measured map of activity or state of charge, on the grid of the sample.

    Parameters
    ----------
    values : (z, y, x) float32
        NaN where nothing was measured.
    name : str
    source : mapping
        Where it was read from, plain values such as the path of its affine; kept with the result.
    """

    values: Any
    name: str = "map"
    source: Mapping[str, Any] = field(default_factory=dict)


def tortuosities(sample: Sample, simulation: Simulation) -> dict[str, dict[str, dict[str, float | None]]]:
    """Solve for every phase that conducts and every carrier's network, along each axis.

    Returns
    -------
    dict
        ``tortuosity`` and ``effective_conductivity`` (relative to 1 for a phase alone, S/m for a network):
        by name and axis. None and 0 where a network does not span.
    """
    if not simulation.axes:
        return {"tortuosity": {}, "effective_conductivity": {}}
    found = transport.tortuosities(
        sample.phases, sample.materials, sample.spacing, axes=simulation.axes,
        tolerance=10 * simulation.tolerance, limit=int(simulation.limit),
    )  # fmt: skip
    return {
        "tortuosity": {
            name: {axis: one.factor if one.spans else None for axis, one in along.items()}
            for name, along in found.items()
        },
        "effective_conductivity": {
            name: {axis: one.effective_conductivity for axis, one in along.items()}
            for name, along in found.items()
        },
    }


def currents(graph: Graph, sample: Sample) -> tuple[Graph, dict[str, Any]]:
    """Solve Kirchhoff's equations on the graph: the graph with its currents, and the figures per carrier.

    Returns
    -------
    Graph
        With the columns of `transport.network`.
    dict
        Per carrier ``faces`` (held at 1 and at 0), ``spans``, ``effective_conductivity`` (S/m, or relative),
        ``tortuosity_factor`` (None where it does not span), ``current_balance``, ``regions``, ``contacts``,
        ``bridges`` (that carry current), ``iterations``; ``critical``, the contacts on which the
        resistance depends most, and ``critical_bridges``, the bridges that carry most. Of each of these:
        ``source``, ``target``, ``phases``, ``kind``, ``centroid`` (z, y, x in µm), ``neck_radius`` (µm),
        ``current_share`` and ``dissipation_share``.
    """
    found = transport.network(graph.nodes, graph.contacts, sample.materials, sample.shape, sample.spacing)
    return replace(graph, nodes=found.nodes, contacts=found.contacts), summarize_network(found)


def summarize_network(found: NetworkTransport, critical: int = CRITICAL) -> dict[str, Any]:
    """Return the figures of every carrier's network, as `currents` describes them."""
    return {
        carrier: {
            "faces": list(figures.faces),
            "spans": figures.spans,
            "effective_conductivity": figures.effective_conductivity,
            "tortuosity_factor": figures.factor if figures.spans else None,
            "current_balance": figures.imbalance,
            "regions": figures.regions,
            "contacts": figures.contacts,
            "bridges": figures.bridges,
            "iterations": figures.iterations,
            "critical": _listed(critical_contacts(found.contacts, carrier, critical)),
            "critical_bridges": _bridges(found.contacts, carrier, critical),
        }
        for carrier, figures in found.carriers.items()
    }


def network_over_voxels(summary: Mapping[str, Any], materials: Materials, carrier: str) -> float | None:
    """Return a network's tortuosity factor over that of the voxels along the same axis, where both are known.

    The voxels' factor is that of the carrier, or of the one phase that conducts it.
    """
    found = summary["transport"]
    entry, along = found["network"][carrier], found.get("tortuosity", {})
    members = [phase.name for phase in materials.phases if carrier in phase.conducts and phase.name in along]
    of_voxels = along.get(carrier) or (along[members[0]] if len(members) == 1 else {})
    voxels, regions = of_voxels.get(entry["faces"][0][0]), entry["tortuosity_factor"]
    return regions / voxels if voxels and regions else None


def doubtful_networks(summary: Mapping[str, Any], materials: Materials) -> dict[str, float]:
    """Return the ratio of `network_over_voxels` of the carriers whose network is unlike the voxels."""
    ratios = {
        carrier: network_over_voxels(summary, materials, carrier)
        for carrier in summary.get("transport", {}).get("network", {})
    }
    return {
        carrier: ratio
        for carrier, ratio in ratios.items()
        if ratio is not None and not 1 / ALIKE <= ratio <= ALIKE
    }


def simulate(
    sample: Sample, graph: Graph, regions: Any, kinetics: Kinetics, simulation: Simulation
) -> tuple[Sample, Graph, dict[str, Any]]:
    """Simulate local activity: the sample with its potentials, the graph with its activity, the figures.

    Returns
    -------
    Sample
        With the channels ``ion_potential`` and ``electron_potential``: (z, y, x) float32, V, NaN outside the
        voxels that are connected to the carrier's terminal.
    Graph
        Nodes with ``activity`` and ``reaction_current`` (µA), NaN in regions that are no active material, and
        ``inactive_because``, empty for those and where a particle reacts.
    dict
        ``summary["activity"]``; its statistics leave out fragments.
    """
    found = transport.activity(
        sample.phases, sample.materials, kinetics, sample.spacing, regions,
        voltage=simulation.voltage, nonlinear=simulation.butler_volmer, tolerance=simulation.tolerance,
        limit=int(simulation.limit),
    )  # fmt: skip
    table = to_host(found.table)
    xp = namespace(column(graph.nodes, "node"))
    rows = find_rows(column(graph.nodes, "node"), xp.asarray(table["region"].to_numpy()))
    columns: dict[str, Any] = {}
    for name in ("activity", "reaction_current"):
        columns[name] = xp.full(len(graph.nodes), xp.nan)
        columns[name][rows] = xp.asarray(table[name].to_numpy())
    codes = xp.zeros(len(graph.nodes), dtype=xp.uint8)
    reasons = pd.Categorical(table["inactive_because"], categories=["", *REASONS]).codes
    codes[rows] = xp.asarray(reasons.astype(np.uint8))
    columns["inactive_because"] = named(codes, dict(enumerate(("", *REASONS))))
    nodes = graph.nodes.assign(**columns)
    channels = {"ion_potential": found.ion_potential, "electron_potential": found.electron_potential}
    fragments = to_host(nodes[["fragment"]])["fragment"].to_numpy()[on_host(rows)]
    figures = {
        "source": "simulation",
        **replace(found, table=table[~fragments]).summary(),
        "fragments": int(fragments.sum()),
        "current_in": found.current_in,
        "current_out": found.current_out,
        "reaction": found.reaction,
        "newton_steps": found.newton_steps,
        "kinetics": kinetics.name,
    }
    return _with_channels(sample, channels), replace(graph, nodes=nodes), figures


def assign_map(
    sample: Sample, graph: Graph, regions: Any, measured: Measured
) -> tuple[Sample, Graph, dict[str, Any]]:
    """Aggregate a measured map over the regions: the sample with the map, the graph with it, the figures.

    Returns
    -------
    Sample
        With the channel ``activity_map``.
    Graph
        Nodes with the columns of `particles.aggregation.aggregate` called ``activity_…``, and ``activity``,
        the mean over each region of active material, NaN where it has no value and in other regions.
    dict
        ``summary["activity"]``; its statistics leave out fragments.
    """
    values = measured.values
    if sample.device == "cuda" and isinstance(values, np.ndarray):
        values = _cuda.transfer.to_device(values)
    table = aggregate(regions, values, "activity")
    nodes = graph.nodes
    rows = find_rows(column(table, "node"), column(nodes, "node"))
    kept = [name for name in table.columns if name.startswith("activity_")]
    columns = {name: column(table, name)[rows] for name in kept}
    xp = namespace(rows)
    active = np.zeros(256, bool)
    active[[phase.label for phase in sample.materials.phases if phase.active]] = True
    mine = xp.asarray(active)[column(nodes, "label")]
    columns["activity"] = xp.where(mine, columns["activity_mean"], xp.nan)
    nodes = nodes.assign(**columns)
    figures = _summarize_map(
        to_host(nodes[["activity", "activity_missing", "voxels", "fragment"]]), on_host(mine)
    )
    return (
        _with_channels(sample, {MAP: values}),
        replace(graph, nodes=nodes),
        {"source": "map", "map": measured.name, **figures},
    )


def _summarize_map(nodes: pd.DataFrame, active: np.ndarray) -> dict[str, Any]:
    """Return the statistics of a map over the particles of active material."""
    particles = nodes[active & ~nodes["fragment"]]
    values = particles["activity"].dropna()
    mean = float(values.mean()) if len(values) else None
    voxels, missing = int(particles["voxels"].sum()), int(particles["activity_missing"].sum())
    return {
        "particles": len(particles),
        "without_value": len(particles) - len(values),
        "mean": mean,
        "std": float(values.std(ddof=0)) if len(values) else None,
        "cv": float(values.std(ddof=0)) / mean if mean else None,
        "covered_fraction": 1 - missing / voxels if voxels else None,
        "missing_voxels": missing,
        "fragments": int((active & nodes["fragment"]).sum()),
        "dead_fraction": None,
        "by_reason": {},
        "current_balance": None,
    }


def _with_channels(sample: Sample, channels: Mapping[str, Any]) -> Sample:
    return replace(sample, channels={**sample.channels, **channels})


def _bridges(contacts: Any, carrier: str, critical: int) -> list[dict[str, Any]]:
    if f"bridge_{carrier}" not in contacts.columns:
        return []
    return _listed(critical_contacts(contacts, carrier, critical, "current_share", only_bridges=True))


def _listed(rows: pd.DataFrame) -> list[dict[str, Any]]:
    necks = neck_radii(rows)
    return [
        {
            "source": int(row["source"]),
            "target": int(row["target"]),
            "phases": [row[end] for end in ("source_phase", "target_phase") if end in rows],
            "kind": row["kind"],
            "centroid": [float(row[f"centroid_{axis}"]) for axis in AXES],
            "neck_radius": float(neck),
            "current_share": float(row["current_share"]),
            "dissipation_share": float(row["dissipation_share"]),
        }
        for row, neck in zip(rows.to_dict("records"), necks, strict=True)
    ]
