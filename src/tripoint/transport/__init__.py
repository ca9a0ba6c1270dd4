"""What flows through a composite: currents through its network of regions."""

from tripoint.transport.network import (
    CarrierCurrents,
    NetworkTransport,
    contact_shares,
    critical_contacts,
    network,
)

__all__ = ["CarrierCurrents", "NetworkTransport", "contact_shares", "critical_contacts", "network"]
