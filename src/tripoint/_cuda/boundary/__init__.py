"""GPU side of :mod:`tripoint.boundary`."""

from tripoint._cuda.boundary import regions
from tripoint._cuda.boundary.length import junction_edges
from tripoint._cuda.boundary.scan import label_counts, labels_present, scan

__all__ = ["junction_edges", "label_counts", "labels_present", "regions", "scan"]
