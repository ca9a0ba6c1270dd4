"""Which voxels and which regions reach which terminal, and along which paths.

``of_voxels`` and ``of_graph`` ask the same question of a volume and of its graph and give the same
answer; ``access`` marks the voxels, ``paths`` the nodes and contacts.
"""

from tripoint.percolation.conduits import contact_resistances
from tripoint.percolation.fractions import PhasePercolation, Percolation
from tripoint.percolation.paths import of_graph, paths, utilization
from tripoint.percolation.voxels import access, components, of_voxels

__all__ = [
    "Percolation",
    "PhasePercolation",
    "access",
    "components",
    "contact_resistances",
    "of_graph",
    "of_voxels",
    "paths",
    "utilization",
]
