"""Small simulated composites to learn from, made once per run of the tests."""

from dataclasses import replace
from functools import cache

import numpy as np

import tripoint as tp
from tripoint import synth
from tripoint.physics import Simulation
from tripoint.synth import Composite

EDGE = 28
CHANGES = {
    "particles": {"active": {"fraction": 0.48, "diameter": 3.0, "shape": "ellipsoid"}},
    "fill": {"carbon": {"fraction": 0.07, "grain": 0.8}, "void": {"fraction": 0.1}},
}


@cache
def graph_of(seed=0, kinetics="mixed"):
    """Return the graph of a composite of 28³ voxels with its local activity."""
    composite = Composite.load("solid_state_cathode", CHANGES)
    sample = synth.make(composite, (EDGE,) * 3, (0.4,) * 3, seed=seed)
    result = tp.analyze(
        sample, activity="simulate", kinetics=kinetics, simulation=Simulation(axes=("z",)), subvolumes=0,
        device="cpu",
    )  # fmt: skip
    return result.graph


def graphs(count=6):
    """Return graphs by name, as a database does."""
    return {f"made_{seed}": graph_of(seed) for seed in range(count)}


def mirrored(graph, axis):
    """Return the graph of the volume whose direction along an axis is turned round."""
    at = "zyx".index(axis)
    voxels = graph.metadata["shape"][at]
    length = voxels * graph.metadata["spacing"][at]
    nodes = graph.nodes.copy()
    for low, high in ((f"bbox_{axis}_min", f"bbox_{axis}_max"),):
        nodes[low], nodes[high] = voxels - graph.nodes[high], voxels - graph.nodes[low]
    low, high = f"touches_{axis}_min", f"touches_{axis}_max"
    nodes[low], nodes[high] = graph.nodes[high], graph.nodes[low]
    tables = [nodes, graph.contacts.copy(), graph.junctions.copy()]
    for table in tables:
        table[f"centroid_{axis}"] = length - table[f"centroid_{axis}"]
    return replace(graph, nodes=tables[0], contacts=tables[1], junctions=tables[2])


def turned(graph):
    """Return the graph of the volume after its axes y and x have changed places and one is turned round."""

    def swapped(table):
        names = {}
        for name in table.columns:
            parts = name.split("_")
            if "y" in parts or "x" in parts:
                names[name] = "_".join({"y": "x", "x": "y"}.get(part, part) for part in parts)
        return table.rename(columns=names)

    tables = (swapped(table) for table in (graph.nodes, graph.contacts, graph.junctions))
    return mirrored(replace(graph, **dict(zip(("nodes", "contacts", "junctions"), tables, strict=True))), "x")


def renumbered(graph, seed=0):
    """Return the graph with its regions, contacts and junctions in another order and under other numbers."""
    random = np.random.default_rng(seed)
    ids = graph.nodes["node"].to_numpy()
    other = dict(zip(ids.tolist(), random.permutation(ids).tolist(), strict=True))
    nodes, contacts, junctions = (
        table.sample(frac=1, random_state=seed).reset_index(drop=True)
        for table in (graph.nodes, graph.contacts, graph.junctions)
    )
    nodes["node"] = nodes["node"].map(other)
    for table, ends in ((contacts, ("source", "target")), (junctions, ("a", "b", "c"))):
        for end in ends:
            table[end] = table[end].map(other)
    turned_round = (contacts["source"] > contacts["target"]).to_numpy()
    for one, two in (("source", "target"), ("source_phase", "target_phase")):
        first, second = contacts[one].to_numpy().copy(), contacts[two].to_numpy().copy()
        contacts[one] = np.where(turned_round, second, first)
        contacts[two] = np.where(turned_round, first, second)
    return replace(graph, nodes=nodes, contacts=contacts, junctions=junctions), other
