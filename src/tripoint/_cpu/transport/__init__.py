"""Conduction on the voxels: face conductances, multigrid, conjugate gradients, sums over regions."""

from tripoint._cpu.transport.assembly import (
    butler_volmer_residual,
    conduction_faces,
    junction_faces,
    reacting_regions,
    reaction_faces,
)
from tripoint._cpu.transport.solve import Solution, solve
from tripoint._cpu.transport.spanning import spanning

__all__ = [
    "Solution",
    "butler_volmer_residual",
    "conduction_faces",
    "junction_faces",
    "reacting_regions",
    "reaction_faces",
    "solve",
    "spanning",
]
