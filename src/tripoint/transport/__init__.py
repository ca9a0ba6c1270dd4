"""What flows through a composite: on its voxels, and through its network of regions."""

from tripoint.transport.activity import Activity, activity
from tripoint.transport.circuit import contact_shares
from tripoint.transport.critical import critical_contacts
from tripoint.transport.kinetics import Kinetics, regimes
from tripoint.transport.network import CarrierCurrents, NetworkTransport, network
from tripoint.transport.roles import check_simulation
from tripoint.transport.tortuosity import Tortuosity, tortuosities, tortuosity

__all__ = [
    "Activity",
    "CarrierCurrents",
    "Kinetics",
    "NetworkTransport",
    "Tortuosity",
    "activity",
    "check_simulation",
    "contact_shares",
    "critical_contacts",
    "network",
    "regimes",
    "tortuosities",
    "tortuosity",
]
