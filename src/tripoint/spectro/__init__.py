"""Energy stacks to chemical maps, their registration to the structure, and maps to particles.

``fit`` turns the spectrum of every voxel into maps, ``register`` finds where a map lies in the volume,
``resample`` and ``onto_grid`` bring it onto the volume's grid, ``aggregate`` says what it holds in each
particle.
"""

from tripoint.particles.aggregation import aggregate
from tripoint.spectro.edge import EdgePosition
from tripoint.spectro.maps import Maps, fit
from tripoint.spectro.normalise import Normalisation
from tripoint.spectro.references import References
from tripoint.spectro.registration import Registration, register
from tripoint.spectro.resampling import onto_grid, resample
from tripoint.spectro.weights import Mixture

__all__ = [
    "EdgePosition",
    "Maps",
    "Mixture",
    "Normalisation",
    "References",
    "Registration",
    "aggregate",
    "fit",
    "onto_grid",
    "register",
    "resample",
]
