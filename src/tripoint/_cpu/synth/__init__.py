"""Host side of :mod:`tripoint.synth`: numba loops over pairs of particles and over slabs of planes."""

from __future__ import annotations

from tripoint._cpu.synth.fields import interpolate
from tripoint._cpu.synth.packing import relax
from tripoint._cpu.synth.painting import mark, number, paint, raise_top, states

__all__ = ["interpolate", "mark", "number", "paint", "raise_top", "relax", "states"]
