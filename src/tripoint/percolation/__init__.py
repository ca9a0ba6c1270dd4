"""Which voxels and which regions reach which terminal, and along which paths.

``measure`` and ``measure_graph`` ask the same question of a volume and of its graph and give the same
answer; ``access`` marks the voxels, ``paths`` the nodes and contacts. ``scan``, ``merge`` and ``paint`` do
for a volume in blocks what ``measure`` does for one in memory.
"""

from tripoint.percolation.blocks import Part, merge, paint, scan
from tripoint.percolation.conduits import contact_resistances
from tripoint.percolation.fractions import Percolation, PhasePercolation
from tripoint.percolation.paths import measure_graph, paths, utilization
from tripoint.percolation.voxels import access, components, measure

__all__ = [
    "Part",
    "Percolation",
    "PhasePercolation",
    "access",
    "components",
    "contact_resistances",
    "measure",
    "measure_graph",
    "merge",
    "paint",
    "paths",
    "scan",
    "utilization",
]
