"""Where phases and regions meet: interfaces, contacts and triple-phase boundaries."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tripoint.boundary.access import Access
from tripoint.boundary.counts import BoundaryScan, Interface, Junction
from tripoint.boundary.length import JunctionEdges, junction_edges
from tripoint.boundary.scan import scan

if TYPE_CHECKING:
    from tripoint.boundary.pairs import ContactCounts, ContactTable, contacts, count_contacts
    from tripoint.boundary.triples import JunctionCounts, count_junctions, junctions

__all__ = [
    "Access",
    "BoundaryScan",
    "ContactCounts",
    "ContactTable",
    "Interface",
    "Junction",
    "JunctionCounts",
    "JunctionEdges",
    "contacts",
    "count_contacts",
    "count_junctions",
    "junction_edges",
    "junctions",
    "scan",
]

_OF_REGIONS = {
    "ContactCounts": "pairs",
    "ContactTable": "pairs",
    "contacts": "pairs",
    "count_contacts": "pairs",
    "JunctionCounts": "triples",
    "count_junctions": "triples",
    "junctions": "triples",
}


def __getattr__(name: str) -> Any:
    """Load the boundaries of regions when they are first asked for."""
    if name in _OF_REGIONS:
        return getattr(import_module(f"tripoint.boundary.{_OF_REGIONS[name]}"), name)
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
