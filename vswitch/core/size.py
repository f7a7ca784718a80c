"""Which frames are too long for a port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.core.frame import ETHERNET_HEADER

if TYPE_CHECKING:
    from vswitch.core.frame import Frame
    from vswitch.core.port import BridgePort

_TAG = 4
"""Octets that a port's MTU leaves to a tag, and to an outer tag once more: is_skb_forwardable() in Linux
net/core/dev.c, which sees a frame after skb_vlan_untag() took its outer tag off."""


def longest(port: BridgePort, *, tagged: bool) -> int:
    """Octets of the longest frame that may leave there, Ethernet header and the tag that it came with included."""
    return port.mtu + ETHERNET_HEADER + (2 * _TAG if tagged else _TAG)


def oversize(frame: Frame, port: BridgePort) -> bool:
    """Whether a frame that may leave there is too long to: it is lost, where one kept back by any rule is not.

    As in the Linux bridge, where should_deliver() comes before br_dev_queue_push_xmit() (net/bridge/br_forward.c).
    """
    return frame.longest > longest(port, tagged=frame.tpid != 0)
