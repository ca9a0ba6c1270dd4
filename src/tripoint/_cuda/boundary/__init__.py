"""GPU side of :mod:`tripoint.boundary`."""

from tripoint._cuda.boundary import regions
from tripoint._cuda.boundary.length import junction_edges

__all__ = ["junction_edges", "regions"]
