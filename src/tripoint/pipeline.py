"""The order of the rooms: how a sample becomes a result."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tripoint import boundary, distance, graph, particles, percolation, representativity, summary
from tripoint.errors import InputError
from tripoint.record import Progress, RunRecord
from tripoint.result import Result
from tripoint.sample import Sample

STEPS = (
    "percolation",
    "boundary",
    "junction length",
    "representativity",
    "distance",
    "separation",
    "descriptors",
    "contacts",
    "junctions",
    "graph",
)


def analyze(
    sample: Sample,
    *,
    neck_ratio: float = 0.9,
    min_voxels: int = 8,
    connectivity: int = 6,
    subvolumes: int = 4,
    device: str = "auto",
    progress: Progress | None = None,
) -> Result:
    """Separate particles, find interfaces and junctions, build the graph and follow the carriers through it.

    Parameters
    ----------
    sample : Sample
    neck_ratio : float
        Two basins of the distance are one particle when neck radius / radius of the smaller reaches this.
    min_voxels : int
        Smaller regions stay in the tables, flagged ``fragment``.
    connectivity : {6, 18, 26}
        Which neighbours connect voxels in the percolation of phases and carriers.  Regions and their
        contacts are always joined through faces, so the graph speaks of 6.
    subvolumes : int
        The volume is cut into this many parts along each axis for the 95 % intervals; 0 for none.
    device : {"auto", "cpu", "cuda"}
    progress : callable, optional
        Told ``(step, done, total)``.

    Returns
    -------
    Result
        ``graph`` with its three tables, ``summary``, ``regions`` (int32) and ``junction_map`` (uint8).

    Raises
    ------
    InputError
        Parameters out of range.
    DeviceError
        A device that is not there.

    Notes
    -----
    Peak memory at most 24 bytes per voxel, the phases included; ``summary["run"]`` holds what it was.
    """
    _check(neck_ratio, min_voxels, subvolumes)
    sample = sample.to(device)
    phases, spacing, materials = sample.phases, sample.spacing, sample.materials
    configuration = {
        "neck_ratio": neck_ratio,
        "min_voxels": min_voxels,
        "connectivity": connectivity,
        "subvolumes": subvolumes,
    }
    _load_code(sample.device)
    record = RunRecord(len(STEPS), configuration, progress)

    with record.step("percolation"):
        voxels = percolation.measure(phases, materials, connectivity=connectivity)
    with record.step("boundary"):
        scan = boundary.scan(phases, spacing, materials.junction_labels, access=voxels.access)
    with record.step("junction length"):
        edges = boundary.junction_edges(phases, spacing, materials.junction_labels, access=voxels.access)
        scan = scan.with_edges(edges)  # which lets go of the access
    del voxels.access
    with record.step("representativity"):
        intervals = representativity.measure(phases, spacing, materials, scan, subvolumes)
    with record.step("distance"):
        to_wall = distance.transform(phases, spacing)
    with record.step("separation"):
        components = [phase.label for phase in materials.phases if phase.regions == "components"]
        regions = particles.separate(
            phases, spacing, neck_ratio=neck_ratio, components=components, distance=to_wall
        )
    with record.step("descriptors"):
        nodes = particles.describe(regions, phases, spacing, to_wall, min_voxels=min_voxels)
    with record.step("contacts"):
        contacts = boundary.contacts(regions, spacing, distance=to_wall, phases=phases)
    del to_wall
    with record.step("junctions"):
        junctions = boundary.junctions(regions, phases, edges, spacing, materials.junction_labels)
    with record.step("graph"):
        built = graph.build(nodes, contacts, junctions, sample)
    record.finish()
    return Result(
        sample=sample,
        graph=built,
        summary=summary.summarize(sample, scan, voxels, intervals, built, record),
        regions=regions,
        junction_map=scan.junction_map,
    )


def _load_code(device: str) -> None:
    """Import what the rooms import when first used, so that the memory recorded is the volume's."""
    side = "tripoint._cuda" if device == "cuda" else "tripoint._cpu"
    for room in ("boundary.regions", "distance", "particles", "percolation"):
        import_module(f"{side}.{room}")
    import_module("scipy.sparse.csgraph")


def _check(neck_ratio: Any, min_voxels: Any, subvolumes: Any) -> None:
    if isinstance(neck_ratio, bool) or not isinstance(neck_ratio, int | float) or not 0 < neck_ratio <= 1:
        message = f"neck_ratio is {neck_ratio!r}; expected a number above 0 and up to 1, for example 0.9"
        raise InputError(message)
    for name, value in (("min_voxels", min_voxels), ("subvolumes", subvolumes)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            message = f"{name} is {value!r}; expected a whole number of at least 0"
            raise InputError(message)
