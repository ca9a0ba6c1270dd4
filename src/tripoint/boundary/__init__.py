"""Where phases and regions meet: interfaces, contacts and triple-phase boundaries."""

from typing import Any

from tripoint.boundary.access import Access
from tripoint.boundary.counts import BoundaryScan, Interface, Junction
from tripoint.boundary.length import JunctionEdges, junction_edges
from tripoint.boundary.scan import scan

__all__ = [
    "Access",
    "BoundaryScan",
    "Interface",
    "Junction",
    "JunctionEdges",
    "contacts",
    "junction_edges",
    "junctions",
    "scan",
]


def __getattr__(name: str) -> Any:
    """Load the boundaries of regions when they are first asked for."""
    if name in ("contacts", "junctions"):
        from tripoint.boundary import regions

        return getattr(regions, name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
