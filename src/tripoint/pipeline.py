"""The order of the rooms: how a sample becomes a result."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal

from tripoint import (
    _cuda,
    boundary,
    distance,
    films,
    graph,
    particles,
    percolation,
    representativity,
    summary,
)
from tripoint.errors import DeviceMemoryError, InputError
from tripoint.flow import Flow
from tripoint.physics import Measured, Simulation
from tripoint.record import Gauge, Progress, RunRecord
from tripoint.result import Result
from tripoint.sample import Sample, choose_device
from tripoint.transport import Kinetics

log = logging.getLogger("tripoint")

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


def analyze(  # noqa: PLR0913  # each of them is one word on the command line
    sample: Sample,
    *,
    neck_ratio: float = 0.9,
    min_voxels: int = 8,
    connectivity: int = 6,
    subvolumes: int = 4,
    transport: bool = False,
    activity: Literal["simulate"] | Measured | None = None,
    kinetics: Kinetics | str | Mapping[str, Any] | None = None,
    simulation: Simulation | None = None,
    device: str = "auto",
    device_memory: float = 0.9,
    progress: Progress | None = None,
) -> Result:
    """Separate particles, find interfaces and junctions, build the graph and follow the carriers through it.

    With ``transport`` and ``activity`` also what flows: tortuosity factors, currents through the graph, and
    which particle reacts how much.

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
    transport : bool
        Tortuosity factors of every phase and network, and Kirchhoff currents through the graph.
    activity : {"simulate"}, Measured, optional
        Each particle's local activity: from a simulation on the voxels, or from a map on the sample's grid.
    kinetics : Kinetics, str or mapping, optional
        Conductivities and charge transfer of both: a regime by name, by path or as a mapping. By default that
        of the materials. The sample of the result carries the conductivities that were used.
    simulation : Simulation, optional
        Axes, voltage, kinetics linear or not, tolerance.
    device : {"auto", "cpu", "cuda"}
        ``auto`` takes the GPU where there is one and the volume fits, and logs which device that is.
    device_memory : float
        Share of the GPU's free memory that the analysis may take.
    progress : callable, optional
        Told ``(step, done, total)``.

    Returns
    -------
    Result
        ``graph`` with its three tables, ``summary``, ``regions`` (int32) and ``junction_map`` (uint8), all of
        them on the device of the run; ``Result.to("cpu")`` brings them over, ``Result.save`` needs no such.

    Raises
    ------
    InputError
        Parameters out of range; kinetics, conductivities or terminals that are missing.
    ConvergenceError
        A solver did not reach its tolerance.
    DeviceError
        A device that is not there.
    DeviceMemoryError
        With ``device="cuda"``: the analysis does not fit into the GPU's memory, before it begins or, where
        the estimate was too low, when memory runs out. With ``auto`` it is then made on the host,
        and a line of the log says why.

    Notes
    -----
    Peak memory at most 24 bytes per voxel on the host and 16 on the GPU, the phases included, and up to
    100 with tortuosity factors or a simulation, 147 with Butler–Volmer kinetics, tables apart;
    ``summary["run"]`` holds what it was.
    """
    _check(neck_ratio, min_voxels, subvolumes, device_memory)
    flow = Flow.of(sample, transport, activity, kinetics, simulation or Simulation())
    sample = flow.prepare(sample)
    configuration = {
        "neck_ratio": neck_ratio,
        "min_voxels": min_voxels,
        "connectivity": connectivity,
        "subvolumes": subvolumes,
        **flow.configuration(),
        **({"input": dict(sample.source)} if sample.source else {}),
    }
    stays = device == sample.device or (device == "auto" and sample.device == "cuda")
    place = sample.device if stays else choose_device(device)
    if place == "cuda":
        resident = sample.phases.nbytes if sample.device == "cuda" else 0
        try:
            with _cuda.memory.budget(
                sample.shape, resident=resident, share=device_memory, flow=flow.bytes_per_voxel
            ) as gauge:
                # Nothing looks at the channels, so they need not take memory there.
                return _analyze(sample.to("cuda", channels=False), configuration, flow, progress, gauge)
        except DeviceMemoryError as error:
            if device != "auto":
                raise
            log.warning("device: cpu (%s)", str(error))  # the error itself holds on to GPU memory
    return _analyze(sample.to("cpu"), configuration, flow, progress)


def _analyze(
    sample: Sample,
    configuration: Mapping[str, Any],
    flow: Flow,
    progress: Progress | None,
    gauge: Gauge | None = None,
) -> Result:
    """Take a sample through all steps on the device that it is on."""
    phases, spacing, materials = sample.phases, sample.spacing, sample.materials
    _load_code(sample.device)
    record = RunRecord(len(STEPS) + flow.steps, configuration, progress, gauge)

    with record.step("percolation"):
        voxels = percolation.measure(phases, materials, connectivity=configuration["connectivity"])
    with record.step("boundary"):
        scan = boundary.scan(phases, spacing, materials.junction_labels, access=voxels.access)
        thin = films.scan(phases, materials.labels)
    with record.step("junction length"):
        edges = boundary.junction_edges(phases, spacing, materials.junction_labels, access=voxels.access)
        scan = scan.with_edges(edges)  # which lets go of the access
    del voxels.access
    with record.step("representativity"):
        intervals = representativity.measure(phases, spacing, materials, scan, configuration["subvolumes"])
    with record.step("distance"):
        to_wall = distance.transform(phases, spacing)
    with record.step("separation"):
        components = [phase.label for phase in materials.phases if phase.regions == "components"]
        regions = particles.separate(
            phases, spacing, neck_ratio=configuration["neck_ratio"], components=components, distance=to_wall
        )
    with record.step("descriptors"):
        nodes = particles.describe(regions, phases, spacing, to_wall, min_voxels=configuration["min_voxels"])
    with record.step("contacts"):
        contacts = boundary.contacts(regions, spacing, distance=to_wall, phases=phases)
    del to_wall
    with record.step("junctions"):
        junctions = boundary.junctions(regions, phases, edges, spacing, materials.junction_labels)
    del edges
    with record.step("graph"):
        if gauge is not None:
            gauge.give_back()
        built = graph.build(nodes, contacts, junctions, sample)
    sample, built, entries = flow.follow(sample, built, regions, record)
    record.finish()
    return Result(
        sample=sample,
        graph=built,
        summary=summary.summarize(sample, scan, thin, voxels, intervals, built, record, entries),
        regions=regions,
        junction_map=scan.junction_map,
    )


def _load_code(device: str) -> None:
    """Import what the rooms import when first used, so that time and memory recorded are the volume's."""
    if device == "cuda":
        _cuda.device.check()
    side = "tripoint._cuda" if device == "cuda" else "tripoint._cpu"
    for room in ("boundary.regions", "distance", "films", "particles", "percolation"):
        import_module(f"{side}.{room}")
    import_module("scipy.sparse.csgraph")


def _check(neck_ratio: Any, min_voxels: Any, subvolumes: Any, device_memory: Any) -> None:
    for name, value in (("neck_ratio", neck_ratio), ("device_memory", device_memory)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            message = f"{name} is {value!r}; expected a number above 0 and up to 1, for example 0.9"
            raise InputError(message)
    for name, value in (("min_voxels", min_voxels), ("subvolumes", subvolumes)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            message = f"{name} is {value!r}; expected a whole number of at least 0"
            raise InputError(message)
