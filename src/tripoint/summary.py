"""The figures of a result as plain numbers: what stands in ``summary.json``.

Documented keys stay stable; the form is described in docs/formats.md.  Everything is in µm; what is
not defined (a density without a junction, a diameter without particles) is None, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tripoint._version import __version__
from tripoint.boundary import BoundaryScan, Interface, Junction
from tripoint.films import Films
from tripoint.graph import Graph
from tripoint.io.tables import plain
from tripoint.percolation import Percolation, PhasePercolation, utilization
from tripoint.physics import doubtful_networks
from tripoint.record import RunRecord
from tripoint.representativity import Representativity
from tripoint.sample import Sample

SCHEMA = 1

#: Half-widths of 95 % intervals above this share of the value are called wide.
WIDE = 0.10
#: A map that covers less than this share of the active material says little of it.
LITTLE = 0.5
#: Fewer whole particles than this make poor statistics of their sizes.
FEW_PARTICLES = 100
#: Phases thinner than this many voxels on average (4 · volume / surface) are poorly resolved.
COARSE = 6.0


def summarize(
    sample: Sample,
    scan: BoundaryScan,
    thin: Films,
    voxels: Percolation,
    intervals: Representativity,
    graph: Graph,
    record: RunRecord,
    flow: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Gather every figure of a result in the form of ``summary.json``.

    ``flow`` holds the entries ``transport`` and ``activity`` where these were asked for.

    Lengths are those of ``scan``: give it ``with_edges``, or they are worked out a second time.
    """
    graph = graph.to("cpu")
    names = {phase.label: phase.name for phase in sample.materials.phases}
    counts = _counts(graph, names)
    summary: dict[str, Any] = {
        "schema": SCHEMA,
        "tripoint": __version__,
        "sample": _sample(sample, counts),
        "junctions": [_junction(junction, names) for junction in scan.junctions],
        "junctions_total": _junctions_total(scan.junctions_total),
        "interfaces": [_interface(interface, names) for interface in scan.interfaces],
        "active_area": _active_area(scan, sample),
        "films": thin.to_mapping(sample.materials),
        "percolation": {name: _percolation(phase) for name, phase in voxels.phases.items()},
        "carriers": {carrier: _percolation(network) for carrier, network in voxels.carriers.items()},
        "utilization": utilization(graph.nodes, sample.materials),
        "particles": _particles(graph, sample),
        "graph": {
            "nodes": len(graph.nodes),
            "contacts": len(graph.contacts),
            "junctions": len(graph.junctions),
        },
        "representativity": intervals.to_mapping(),
        **(flow or {}),
        "materials": sample.materials.to_mapping(),
        "run": _run(sample, record),
    }
    summary["warnings"] = [
        *sample.source.get("warnings", ()),
        *voxels.notes,
        *thin.warnings(sample.materials),
        *_warnings(summary, sample, scan, intervals),
    ]
    numbers: dict[str, Any] = plain(summary)
    return numbers


def _run(sample: Sample, record: RunRecord) -> dict[str, Any]:
    """Return what the run cost; the phases count as memory of the device that they are on."""
    voxels = math.prod(sample.shape)
    on_host = sample.phases.nbytes if sample.device == "cpu" else 0
    on_gpu = record.device_peak_bytes
    return {
        "date": record.date,
        "configuration": record.configuration,
        "device": sample.device,
        "device_name": record.device_name,
        "seconds": {step: round(seconds, 4) for step, seconds in record.seconds.items()},
        "peak_memory_bytes": record.peak_bytes,
        "bytes_per_voxel": round((record.working_bytes + on_host) / voxels, 2),
        "device_peak_bytes": on_gpu,
        "device_bytes_per_voxel": None if on_gpu is None else round(on_gpu / voxels, 2),
    }


def _counts(graph: Graph, names: dict[int, str]) -> dict[str, int]:
    """Every voxel is in a region, so the node table knows how many voxels each phase has."""
    voxels = graph.nodes.groupby("label", observed=True)["voxels"].sum()
    return {name: int(voxels.get(label, 0)) for label, name in names.items()}


def _sample(sample: Sample, counts: dict[str, int]) -> dict[str, Any]:
    total = math.prod(sample.shape)
    return {
        "name": sample.name,
        "shape": list(sample.shape),
        "spacing": list(sample.spacing),
        "phases": {
            phase.name: {
                "label": phase.label,
                "voxels": counts[phase.name],
                "volume_fraction": counts[phase.name] / total,
            }
            for phase in sample.materials.phases
        },
    }


def _junction(junction: Junction, names: dict[int, str]) -> dict[str, Any]:
    return {
        "phases": [names[label] for label in junction.phases],
        "edges": list(junction.edges),
        "raw_length": junction.raw_length,
        "length": junction.length,
        "raw_density": junction.raw_density,
        "density": junction.density,
        "active_edges": _listed(junction.active_edges),
        "unknown_edges": _listed(junction.unknown_edges),
        "dead_edges": _listed(junction.dead_edges),
        "active_length": junction.active_length,
        "unknown_length": junction.unknown_length,
        "dead_length": junction.dead_length,
        "active_density": junction.active_density,
    }


def _junctions_total(total: Junction) -> dict[str, Any]:
    """Figures over distinct edges: one that belongs to several triples counts once, with its best status."""
    return {
        "edges": list(total.edges),
        "length": total.length,
        "density": total.density,
        "active_edges": _listed(total.active_edges),
        "unknown_edges": _listed(total.unknown_edges),
        "dead_edges": _listed(total.dead_edges),
        "active_length": total.active_length,
        "active_density": total.active_density,
    }


def _listed(edges: tuple[int, int, int] | None) -> list[int] | None:
    return None if edges is None else list(edges)


def _interface(interface: Interface, names: dict[int, str]) -> dict[str, Any]:
    return {
        "phases": [names[label] for label in interface.phases],
        "faces": list(interface.faces),
        "area": interface.area,
        "specific_area": interface.specific_area,
        "active_specific_area": interface.active_specific_area,
    }


def _active_area(scan: BoundaryScan, sample: Sample) -> float | None:
    """Area of active material | ion conductor with both sides connected, per volume, µm⁻¹."""
    active = {phase.label for phase in sample.materials.phases if phase.active}
    ionic = set(sample.materials.network("ion"))
    areas = [
        interface.active_area
        for interface in scan.interfaces
        if interface.active_area is not None
        and any(a in active and b in ionic for a, b in (interface.phases, interface.phases[::-1]))
    ]
    return sum(areas) / sample.volume if areas else None


def _percolation(phase: PhasePercolation) -> dict[str, Any]:
    return {
        "components": phase.components,
        "spanning_fraction": list(phase.spanning_fraction),
        "terminal_fraction": phase.terminal_fraction,
    }


def _particles(graph: Graph, sample: Sample) -> dict[str, Any]:
    particles = {}
    for phase in sample.materials.phases:
        if not phase.particulate:
            continue
        regions = graph.nodes[(graph.nodes["label"] == phase.label) & ~graph.nodes["fragment"]]
        diameter, volume = regions["equivalent_diameter"], regions["volume"]
        particles[phase.name] = {
            "count": len(regions),
            "interior_count": int((~regions["touches_border"]).sum()),
            "fragments": int(((graph.nodes["label"] == phase.label) & graph.nodes["fragment"]).sum()),
            "equivalent_diameter_mean": float(diameter.mean()) if len(regions) else None,
            "equivalent_diameter_volume_weighted": (
                float((diameter * volume).sum() / volume.sum()) if len(regions) else None
            ),
        }
    return particles


def _warnings(
    summary: dict[str, Any], sample: Sample, scan: BoundaryScan, intervals: Representativity
) -> list[str]:
    return [
        *_warn_junctions(summary, sample),
        *_warn_particles(summary),
        *_warn_resolution(summary, sample, scan),
        *_warn_intervals(intervals),
        *_warn_flow(summary, sample),
    ]


def _warn_junctions(summary: dict[str, Any], sample: Sample) -> list[str]:
    present = [name for name, phase in summary["sample"]["phases"].items() if phase["voxels"]]
    if len(present) < 3:
        return [
            f"only {len(present)} phase{'s are' if len(present) != 1 else ' is'} in the volume "
            f"({', '.join(present)}), so there is no triple-phase boundary"
        ]
    return [
        f"the phases {', '.join(junction['phases'])} meet nowhere: there is no such triple-phase boundary"
        for junction in summary["junctions"]
        if not sum(junction["edges"])
    ]


def _warn_particles(summary: dict[str, Any]) -> list[str]:
    warnings = []
    for name, particles in summary["particles"].items():
        if not particles["count"]:
            warnings.append(f"there are no particles of '{name}' in the volume")
        elif particles["interior_count"] < FEW_PARTICLES:
            warnings.append(
                f"too few particles: only {particles['interior_count']} of {particles['count']} particles of "
                f"'{name}' lie wholly inside the volume, statistics of their sizes want {FEW_PARTICLES}"
            )
    if not summary["particles"]:
        warnings.append("no phase is particulate, so there are no particle statistics; set particulate: true")
    return warnings


def _warn_resolution(summary: dict[str, Any], sample: Sample, scan: BoundaryScan) -> list[str]:
    """Warn of phases whose mean thickness 4V/S is a few voxels: their junctions and areas are uncertain."""
    voxel = sample.voxel_volume ** (1 / 3)
    warnings = []
    for phase in sample.materials.phases:
        surface = sum(i.area for i in scan.interfaces if phase.label in i.phases)
        if not surface:
            continue
        volume = summary["sample"]["phases"][phase.name]["voxels"] * sample.voxel_volume
        thickness = 4 * volume / surface / voxel
        if thickness < COARSE:
            warnings.append(
                f"the resolution is coarse for '{phase.name}': its mean thickness is {thickness:.1f} voxels; "
                f"below {COARSE:.0f} areas are uncertain and junction lengths short, by some 20 % at 5"
            )
    return warnings


def _warn_flow(summary: dict[str, Any], sample: Sample) -> list[str]:
    """Warn of networks without conductivities, and of maps that show little of the particles."""
    warnings = []
    for carrier in sample.materials.carriers if "transport" in summary else ():
        members = [phase for phase in sample.materials.phases if carrier in phase.conducts]
        if len(members) > 1 and not any(carrier in phase.conductivity for phase in members):
            warnings.append(
                f"{', '.join(phase.name for phase in members)} have no conductivity for {carrier}: its "
                "currents take all for equal, and its network has no tortuosity factor; choose a regime, "
                "such as transport=mixed, or give conductivities in the materials"
            )
    warnings += [
        f"the network of regions is {ratio:.2g} times as tortuous for {carrier} as the voxels are, between "
        "its terminal and the opposite face: it takes regions for ducts from their centroids, so its "
        "currents and critical contacts are uncertain here; the voxels are right"
        for carrier, ratio in doubtful_networks(summary, sample.materials).items()
    ]
    covered = summary.get("activity", {}).get("covered_fraction")
    if covered is not None and covered < LITTLE:
        warnings.append(
            f"the map covers only {covered:.0%} of the active material; check its mask and its affine"
        )
    return warnings


def _warn_intervals(intervals: Representativity) -> list[str]:
    if not intervals.subvolumes:
        return ["no confidence intervals: the volume is too small for sub-volumes, or they were switched off"]
    kinds = (
        ("volume fraction", intervals.volume_fraction),
        ("TPB density", intervals.tpb_density),
        ("specific area", intervals.specific_area),
    )
    wide = sorted(
        (
            (interval.relative_width, f"{kind} of {name}")
            for kind, table in kinds
            for name, interval in table.items()
            if interval.value and interval.relative_width > WIDE
        ),
        reverse=True,
    )
    if not wide:
        return []
    worst = ", ".join(f"{what} (±{width:.0%})" for width, what in wide[:3])
    more = f" and {len(wide) - 3} more" if len(wide) > 3 else ""
    return [
        f"the sample may be too small to stand for its material: the 95 % interval is wide for {worst}{more}"
    ]
