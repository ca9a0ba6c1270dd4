"""Host side of :mod:`tripoint.boundary`."""

from tripoint._cpu.boundary import regions
from tripoint._cpu.boundary.bits import label_counts, labels_present
from tripoint._cpu.boundary.length import junction_edges
from tripoint._cpu.boundary.scan import scan

__all__ = ["junction_edges", "label_counts", "labels_present", "regions", "scan"]
