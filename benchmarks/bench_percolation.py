"""Percolation of volumes and of graphs, beside scipy, cc3d and networkx in the same run.

    python benchmarks/bench_percolation.py [--output benchmarks/results] [--no-peer]

Prints seconds, the ratio to the peer, peak bytes per voxel beyond the input, and what the first start
of a fresh installation pays for compilation.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cc3d
import networkx as nx
import numpy as np
import pandas as pd
from scipy import ndimage

from tripoint import percolation
from tripoint.materials import FACES, Materials, Phase

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TWO_CARRIERS = Materials(
    (Phase(0, "pore", ("ion",)), Phase(1, "active", ("electron",)), Phase(2, "binder", ("electron",))),
    terminals={"ion": "z-", "electron": "z+"},
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--no-peer", action="store_true", help="leave out scipy and networkx")
    arguments = parser.parse_args()
    results: dict = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "first_start": first_start(),
    }
    print(f"first start: {results['first_start']}")
    for name, phases, materials in volumes():
        results[name] = voxels(phases, materials, peer=not arguments.no_peer)
        results[name]["peak_bytes_per_voxel"] = peak(name)
        print(name, json.dumps(results[name]))
    for nodes in (10_000, 100_000):
        results[f"graph_{nodes}"] = graph(nodes, peer=not arguments.no_peer)
        print(f"graph_{nodes}", json.dumps(results[f"graph_{nodes}"]))
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "percolation_cpu.json").write_text(json.dumps(results, indent=2) + "\n")


def volumes(only: str | None = None):  # type: ignore[no-untyped-def]
    """Small to large; the real volumes where they are at hand."""
    if only in (None, "blobs_192"):
        random = np.random.default_rng(0)
        fields = [ndimage.gaussian_filter(random.normal(size=(192,) * 3), 3) for _ in range(3)]
        yield "blobs_192", np.argmax(fields, axis=0).astype(np.uint8), TWO_CARRIERS
    if not DATA.is_dir():
        print(f"real volumes are not at {DATA}; only the synthetic one is run")
        return
    import tifffile

    if only in (None, "nmc_cathode"):
        path = DATA / "nmc_cathode" / "nmc-1-cal_generatedCBD_bridge.tif"
        yield "nmc_cathode", tifffile.imread(path), Materials.load("lithium_ion_cathode")
    if only in (None, "soc_electrode"):
        files = sorted((DATA / "soc_electrode" / "labels").glob("slice__*.tif"))
        phases = np.stack([tifffile.imread(file) for file in files])
        yield "soc_electrode", phases, Materials.load("solid_oxide_electrode")


def voxels(phases, materials, peer):  # type: ignore[no-untyped-def]
    percolation.measure(phases[:8], materials)  # load compiled code
    lookup = np.arange(1, 257).astype(np.uint8)
    lookup[255] = 255
    shifted = lookup[phases]
    seconds = best(lambda: percolation.measure(phases, materials), 3)
    alone = best(lambda: cc3d.connected_components(shifted, connectivity=6, out_dtype=np.uint32), 3)
    entry = {
        "shape": phases.shape,
        "seconds": seconds,
        "mvoxel_per_s": round(phases.size / seconds / 1e6),
        "cc3d_labels_alone_seconds": alone,
    }
    if peer:
        entry["scipy_seconds"] = best(lambda: with_scipy(phases, materials), 1)
        entry["ratio"] = round(entry["scipy_seconds"] / seconds, 1)
    return entry


def with_scipy(phases, materials):  # type: ignore[no-untyped-def]
    """Do the same, as a script would: label every phase and network, look at the faces, count voxels."""
    for labels in [(p.label,) for p in materials.phases] + [materials.network(c) for c in materials.carriers]:
        pieces, count = ndimage.label(np.isin(phases, labels))
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)
        touched = [
            np.isin(np.arange(count + 1), np.take(pieces, 0 if f[1] == "-" else -1, "zyx".index(f[0])))
            for f in FACES
        ]
        for axis in range(3):
            both = touched[2 * axis] & touched[2 * axis + 1]
            sizes[1:][both[1:]].sum() / sizes[1:].sum()
        touched[0][pieces]  # which voxels reach a terminal


def graph(count, peer):  # type: ignore[no-untyped-def]
    """About four contacts per region, three phases, two carriers."""
    nodes, contacts, shape = lattice(count)
    one = (1.0, 1.0, 1.0)
    percolation.paths(nodes[:5], contacts[:0], TWO_CARRIERS, shape, one)  # load compiled code
    seconds = best(lambda: percolation.paths(nodes, contacts, TWO_CARRIERS, shape, one), 3)
    entry = {"nodes": len(nodes), "contacts": len(contacts), "seconds": seconds}
    if peer:
        entry["networkx_seconds"] = best(lambda: with_networkx(nodes, contacts), 1)
        entry["ratio"] = round(entry["networkx_seconds"] / seconds, 1)
    return entry


def lattice(count):  # type: ignore[no-untyped-def]
    """Regions on a jittered cubic lattice, in contact with neighbours and some diagonals."""
    random = np.random.default_rng(0)
    side = round(count ** (1 / 3))
    cells = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    index = np.arange(side**3).reshape((side,) * 3)
    steps = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1))
    pairs = [
        (index[: side - z, : side - y, : side - x].ravel(), index[z:, y:, x:].ravel()) for z, y, x in steps
    ]
    source, target = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    centre = 10 * (cells + random.uniform(0.2, 0.8, cells.shape))
    size = random.uniform(3, 6, len(cells))
    nodes = pd.DataFrame(
        {
            "node": np.arange(1, len(cells) + 1, dtype=np.int32),
            "label": random.choice(3, len(cells)).astype(np.uint8),
            "volume": 4 * size**3,
            "inscribed_radius": size,
        }
    )
    contacts = pd.DataFrame({"source": source + 1, "target": target + 1}).astype(np.int32)
    contacts["neck_radius"] = random.uniform(0.5, 3, len(contacts))
    contacts["area"] = np.pi * contacts["neck_radius"] ** 2
    for axis, name in enumerate("zyx"):
        nodes[f"centroid_{name}"] = centre[:, axis]
        contacts[f"centroid_{name}"] = (centre[source, axis] + centre[target, axis]) / 2
        nodes[f"touches_{name}_min"] = cells[:, axis] == 0
        nodes[f"touches_{name}_max"] = cells[:, axis] == side - 1
    return nodes, contacts, (10 * side,) * 3


def with_networkx(nodes, contacts):  # type: ignore[no-untyped-def]
    """Shortest paths, a maximum spanning tree and bridges of both networks."""
    label = nodes["label"].to_numpy()
    for carrier, end in (("ion", "min"), ("electron", "max")):
        conducts = np.isin(label, TWO_CARRIERS.network(carrier))
        inside = conducts[contacts["source"] - 1] & conducts[contacts["target"] - 1]
        made = nx.Graph()
        made.add_nodes_from(nodes.loc[conducts, "node"])
        rows = contacts[inside]
        made.add_weighted_edges_from(
            zip(rows["source"], rows["target"], 1 / rows["neck_radius"], strict=True)
        )
        entry = nodes.loc[conducts & nodes[f"touches_z_{end}"], "node"]
        made.add_weighted_edges_from((node, 0, 1.0) for node in entry)
        nx.single_source_dijkstra(made, 0)
        nx.minimum_spanning_tree(made)
        list(nx.bridges(made))


def peak(name: str) -> float | None:
    """Peak memory of a measurement in a new process, bytes per voxel beyond the loaded volume."""
    if not Path("/proc/self/clear_refs").exists():
        return None  # only Linux can start its high-water mark anew
    code = (
        "import bench_percolation as b, re; from pathlib import Path;"
        "status = Path('/proc/self/status').read_text;"
        "read = lambda key: 1024 * int(re.search(key + r':\\s+(\\d+)', status())[1]);"
        f"_, p, m = next(b.volumes({name!r})); b.percolation.measure(p[:8], m);"
        "Path('/proc/self/clear_refs').write_text('5'); before = read('VmRSS');"
        "b.percolation.measure(p, m); print((read('VmHWM') - before) / p.size)"
    )
    return round(float(run(code).split()[-1]), 2)


def first_start() -> dict[str, float]:
    """Seconds of a small measurement in a new process, compiling at first and from the cache then."""
    code = (
        "import bench_percolation as b, numpy as np, time; t = time.perf_counter();"
        "b.percolation.measure(np.zeros((8, 8, 8), np.uint8), b.TWO_CARRIERS);"
        "n, c, s = b.lattice(64); b.percolation.paths(n, c, b.TWO_CARRIERS, s, (1, 1, 1));"
        "print(time.perf_counter() - t)"
    )
    with tempfile.TemporaryDirectory() as cache:
        seconds = [round(float(run(code, NUMBA_CACHE_DIR=cache)), 2) for _ in range(2)]
    return {"compiling_seconds": seconds[0], "cached_seconds": seconds[1]}


def run(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def best(call, repeats):  # type: ignore[no-untyped-def]
    """Least of several timings, seconds."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return round(min(seconds), 3)


if __name__ == "__main__":
    main()
