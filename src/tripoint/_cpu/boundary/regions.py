"""Host side of :mod:`tripoint.boundary.regions`: pairs of regions in one file, triples in the other."""

from tripoint._cpu.boundary.pairs import contacts
from tripoint._cpu.boundary.triples import junctions

__all__ = ["contacts", "junctions"]
