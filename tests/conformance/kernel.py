"""The Linux kernel's bridge, with the guests' TAPs as its ports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from tests.conformance.taps import Guests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conformance.frames import Sent
    from tests.conformance.ours import Egress
    from vswitch.core.port import PortSettings

_BRIDGE = "bridge"
_AGEING = 1_000_000 * 100  # hundredths of a second


class KernelBridge:
    """A bridge with the ports that `settings` describe, without spanning tree and multicast snooping."""

    def __init__(self, guests: Guests, settings: Sequence[PortSettings], *, vlan_filtering: bool) -> None:
        """Make it in the guests' namespace, which takes it along when it goes."""
        self._guests = guests
        with guests.inside(), IPRoute() as route:
            bridge = _make(route, vlan_filtering=vlan_filtering)
            for name, port in zip(guests.names, settings, strict=True):
                index = route.link_lookup(ifname=name)[0]
                route.link("set", index=index, master=bridge)
                route.brport("set", index=index, isolated=int(bool(port.options.get("isolated", False))))
                if vlan_filtering:
                    _set_vlans(route, index, port)
            route.link("set", index=bridge, state="up")

    def exchange(self, batch: Sequence[Sent]) -> list[Egress]:
        """Send the frames one by one; what left for each. A TAP's write returns once the bridge is done with it."""
        return [self._exchange(sent) for sent in batch]

    def _exchange(self, sent: Sent) -> Egress:
        self._guests.send(sent.port, sent.octets)
        left = []
        for port in range(len(self._guests.names)):
            while (octets := self._guests.receive(port)) is not None:
                left.append((port, octets))
        return tuple(left)


def has_vlan_filtering() -> bool:
    """Whether this kernel's bridge was built with VLAN filtering (CONFIG_BRIDGE_VLAN_FILTERING)."""
    with Guests(0) as guests, guests.inside(), IPRoute() as route:
        try:
            index = _make(route, vlan_filtering=True)
        except NetlinkError:
            return False
        (link,) = route.get_links(index)
        data = link.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
        return bool(data.get_attr("IFLA_BR_VLAN_FILTERING"))


def has_netfilter() -> bool:
    """Whether bridged frames pass br_netfilter, which is the whole kernel's affair as soon as somebody loads it."""
    return Path("/proc/sys/net/bridge").exists()


def _make(route: IPRoute, *, vlan_filtering: bool) -> int:
    options = {"br_stp_state": 0, "br_forward_delay": 0, "br_mcast_snooping": 0, "br_ageing_time": _AGEING}
    if vlan_filtering:
        options |= {"br_vlan_filtering": 1, "br_vlan_default_pvid": 0}
    route.link("add", ifname=_BRIDGE, kind="bridge", **options)
    return int(route.link_lookup(ifname=_BRIDGE)[0])


def _set_vlans(route: IPRoute, index: int, port: PortSettings) -> None:
    vlan = port.vlan
    for vid in sorted(vlan.members):
        flags = ["pvid"] * (vid == vlan.pvid) + ["untagged"] * (vid in vlan.untagged)
        route.vlan_filter("add", index=index, vlan_info={"vid": vid, "flags": flags})
