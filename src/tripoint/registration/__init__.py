"""Where one volume lies in another, and what it shows on the other's grid.

``register`` finds the affine between a fixed and a moving volume, ``resample`` brings the moving one onto the
grid of the fixed one, ``local_shifts`` says how well parts of both fit.
"""

from tripoint.registration.covering import covered
from tripoint.registration.finding import Registration, assess, register
from tripoint.registration.quality import LocalShifts, local_shifts
from tripoint.registration.resampling import SLAB, check_affine, resample, slabs

__all__ = [
    "SLAB",
    "LocalShifts",
    "Registration",
    "assess",
    "check_affine",
    "covered",
    "local_shifts",
    "register",
    "resample",
    "slabs",
]
