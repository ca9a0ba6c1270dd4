"""Energy stacks to chemical maps, and maps to particles.

``fit`` turns the spectrum of every voxel into maps, ``onto_grid`` brings a map onto the grid of the structure
(`tripoint.registration` finds where it lies there), ``aggregate`` says what it holds in each particle.
"""

from tripoint.particles.aggregation import aggregate
from tripoint.spectro.edge import EdgePosition
from tripoint.spectro.grid import onto_grid
from tripoint.spectro.maps import Maps, fit
from tripoint.spectro.normalise import Normalisation
from tripoint.spectro.references import References
from tripoint.spectro.weights import Mixture

__all__ = [
    "EdgePosition",
    "Maps",
    "Mixture",
    "Normalisation",
    "References",
    "aggregate",
    "fit",
    "onto_grid",
]
