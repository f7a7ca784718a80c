"""The ports that the comparisons are made with."""

from __future__ import annotations

from vswitch.core.port import PortSettings
from vswitch.core.vlan import PortVlan

VLANS = (
    PortVlan.access(10),
    PortVlan.access(10),
    PortVlan.access(20),
    PortVlan.trunk((10, 20, 30, 4094)),
    PortVlan.trunk((1, 10, 20), native=1),
    PortVlan(20, frozenset((1, 10, 20, 4094)), frozenset()),  # its PVID leaves tagged too
)
ACCESS = [number for number, vlan in enumerate(VLANS) if not vlan.tagged]

_ISOLATED = {"isolated": True}

PORTS = [PortSettings(options=_ISOLATED if number in (3, 4) else {}) for number in range(5)]
VLAN_PORTS = [PortSettings(vlan, _ISOLATED if number in (1, 3) else {}) for number, vlan in enumerate(VLANS)]
CONNECTED_VLAN_PORTS = [PortSettings(vlan) for vlan in VLANS]
"""The same, none of them isolated."""
