"""GPU side of the boundaries of regions: pairs of regions in one file, triples in the other."""

from tripoint._cuda.boundary.pairs import count
from tripoint._cuda.boundary.triples import junctions

__all__ = ["count", "junctions"]
