"""Host side of :mod:`tripoint.boundary`."""

from tripoint._cpu.boundary import regions
from tripoint._cpu.boundary.bits import labels_present
from tripoint._cpu.boundary.length import junction_edges
from tripoint._cpu.boundary.scan import scan

__all__ = ["junction_edges", "labels_present", "regions", "scan"]
