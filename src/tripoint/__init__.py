"""tripoint: topology-aware graphs of particulate composites from 3D X-ray volumes.

>>> import tripoint as tp
>>> sample = tp.read("cathode.tif", spacing=(0.4, 0.4, 0.4), materials="lithium_ion_cathode")
>>> result = tp.analyze(sample)
>>> result.graph.nodes, result.summary  # on the GPU where there is one; result.to("cpu") brings all over
>>> result.save("out/cathode")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tripoint._version import __version__

if TYPE_CHECKING:
    from tripoint import (
        boundary,
        database,
        distance,
        graph,
        io,
        materials,
        particles,
        percolation,
        report,
        spectro,
        synth,
        transport,
    )
    from tripoint.database import GraphDatabase
    from tripoint.errors import (
        DeviceError,
        DeviceMemoryError,
        InputError,
        MaterialsError,
        OutputError,
        TripointError,
    )
    from tripoint.graph import Graph
    from tripoint.io import read
    from tripoint.materials import Materials, Phase
    from tripoint.physics import Measured, Simulation
    from tripoint.pipeline import analyze
    from tripoint.result import Result, load
    from tripoint.sample import Sample
    from tripoint.transport import Kinetics

_HOME = {
    "DeviceError": "errors",
    "DeviceMemoryError": "errors",
    "InputError": "errors",
    "MaterialsError": "errors",
    "OutputError": "errors",
    "TripointError": "errors",
    "Graph": "graph",
    "GraphDatabase": "database",
    "read": "io",
    "Kinetics": "transport",
    "Materials": "materials",
    "Measured": "physics",
    "Phase": "materials",
    "analyze": "pipeline",
    "Result": "result",
    "load": "result",
    "Sample": "sample",
    "Simulation": "physics",
}
_ROOMS = (
    "boundary",
    "database",
    "distance",
    "graph",
    "io",
    "materials",
    "particles",
    "percolation",
    "report",
    "spectro",
    "synth",
    "transport",
)

__all__ = [
    "DeviceError",
    "DeviceMemoryError",
    "Graph",
    "GraphDatabase",
    "InputError",
    "Kinetics",
    "Materials",
    "MaterialsError",
    "Measured",
    "OutputError",
    "Phase",
    "Result",
    "Sample",
    "Simulation",
    "TripointError",
    "__version__",
    "analyze",
    "boundary",
    "database",
    "distance",
    "graph",
    "io",
    "load",
    "materials",
    "particles",
    "percolation",
    "read",
    "report",
    "spectro",
    "synth",
    "transport",
]


def __getattr__(name: str) -> Any:
    """Import a room when it is first asked for, so that ``import tripoint`` is quick."""
    if name in _HOME:
        return getattr(import_module(f"tripoint.{_HOME[name]}"), name)
    if name in _ROOMS:
        return import_module(f"tripoint.{name}")
    message = f"module 'tripoint' has no attribute {name!r}"
    raise AttributeError(message)
