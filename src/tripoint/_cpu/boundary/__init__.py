"""Host side of :mod:`tripoint.boundary`."""

from tripoint._cpu.boundary.length import junction_edges
from tripoint._cpu.boundary.scan import labels_present, scan

__all__ = ["junction_edges", "labels_present", "scan"]
