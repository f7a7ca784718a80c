"""A Bridge Port: what the rules need to know of a port. The device behind it belongs to `vswitch.ports`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vswitch.core.offload import Capability
from vswitch.core.stats import PortCounters
from vswitch.core.vlan import PortVlan

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_MTU = 1500


@dataclass(frozen=True, slots=True)
class PortSettings:
    """What the configuration says of a port, to the rules.

    vlan: its VLANs (unused while VLAN filtering is off).  options: the options of stages, by `PortOption.name`.
    """

    vlan: PortVlan = field(default_factory=PortVlan)
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class BridgePort:
    """A port as the rules see it.

    name: unique in its switch.  mtu: octets of payload that fit a frame, without header and tag.
    offload: what its attachment completes by itself.  up: whether frames may pass, set by `Switch.set_port_state`.
    state_changes: how often it came up or went down.  takes_copies: whether it is the destination of a mirror.
    """

    name: str
    settings: PortSettings = field(default_factory=PortSettings)
    mtu: int = DEFAULT_MTU
    offload: Capability = Capability.NONE
    up: bool = True
    state_changes: int = 0
    takes_copies: bool = False
    counters: PortCounters = field(default_factory=PortCounters)

    def __repr__(self) -> str:
        """The name says it."""
        return f"<BridgePort {self.name}>"
