"""Conduction on the voxels of the GPU: face conductances, multigrid, conjugate gradients, sums by region."""

from tripoint._cuda.transport.assembly import (
    butler_volmer_residual,
    conduction_faces,
    junction_faces,
    reacting_regions,
    reaction_faces,
)
from tripoint._cuda.transport.solve import solve
from tripoint._cuda.transport.spanning import spanning

__all__ = [
    "butler_volmer_residual",
    "conduction_faces",
    "junction_faces",
    "reacting_regions",
    "reaction_faces",
    "solve",
    "spanning",
]
