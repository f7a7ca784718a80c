"""A bridge of the kernel, as rtnetlink tells of it: its ports with their VLANs, and the stations that it knows."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from vswitch.core.mac import is_group, parse_mac
from vswitch.core.vlan import DEFAULT_VID
from vswitch.ports import netns
from vswitch.ports.base import PortError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HZ: Final = 100  # USER_HZ, in which the kernel tells times
_STATIC, _LOCAL = 0x40, 0x80  # NUD_NOARP, NUD_PERMANENT of linux/neighbour.h: fdb_to_nud() in net/bridge/br_fdb.c
_NTF_MASTER, _NTF_STICKY = 0x04, 0x40  # linux/neighbour.h
_PVID, _UNTAGGED, _RANGE_BEGIN, _RANGE_END = 2, 4, 8, 16  # BRIDGE_VLAN_INFO_ of linux/if_bridge.h

_USUAL: Final = {
    "IFLA_BRPORT_MODE": ("hairpin", 0),
    "IFLA_BRPORT_LEARNING": ("learning", 1),
    "IFLA_BRPORT_UNICAST_FLOOD": ("flood", 1),
    "IFLA_BRPORT_MCAST_FLOOD": ("mcast_flood", 1),
    "IFLA_BRPORT_BCAST_FLOOD": ("bcast_flood", 1),
    "IFLA_BRPORT_NEIGH_SUPPRESS": ("neigh_suppress", 0),
    "IFLA_BRPORT_PROXYARP": ("proxy_arp", 0),
    "IFLA_BRPORT_LOCKED": ("locked", 0),
    "IFLA_BRPORT_VLAN_TUNNEL": ("vlan_tunnel", 0),
}
"""Settings of a bridge port that this switch has no like of, and how they are unless somebody changed them."""


class VlanMembership(NamedTuple):
    """A VLAN that a port is in: whether untagged frames take it, and whether its frames leave untagged."""

    vid: int
    pvid: bool
    untagged: bool


@dataclass(frozen=True, slots=True)
class Member:
    """A port of the bridge. unusual: its settings that have no like here, such as `hairpin on`."""

    name: str
    isolated: bool
    vlans: tuple[VlanMembership, ...]
    unusual: tuple[str, ...]


class Pin(NamedTuple):
    """A static entry as the kernel has it. vlan: None where it holds for untagged frames of a bridge without VLANs.

    sticky: whether the kernel leaves it where it is when the station is heard elsewhere.
    """

    mac: str
    vlan: int | None
    member: str
    sticky: bool


class Station(NamedTuple):
    """A station that the bridge knows: age in seconds."""

    mac: bytes
    vid: int
    member: str
    static: bool
    age: float


@dataclass(frozen=True, slots=True)
class KernelBridge:
    """A bridge. ageing: seconds.  own_vlans: those of the host's own side."""

    name: str
    mac: str
    mtu: int
    ageing: float
    vlan_filtering: bool
    spanning_tree: bool
    group_forward_mask: int
    own_vlans: tuple[VlanMembership, ...]
    members: tuple[Member, ...]
    stations: tuple[Station, ...]
    pins: tuple[Pin, ...]


def read(name: str, namespace: str | None = None) -> KernelBridge:
    """The bridge of this name, in a namespace. Raises PortError. May block."""
    try:
        with _inside(namespace) as route:
            return _read(route, name)
    except NetlinkError as error:
        raise PortError(f"cannot read the bridge {name}: {error.args[-1]}") from error


def pin(name: str, namespace: str | None, pins: Sequence[Pin]) -> None:
    """Have static entries of this bridge lead where they say, as far as that is a port of it. Raises PortError."""
    with _inside(namespace) as route:
        links = list(route.get_links())
        bridge = next((each["index"] for each in links if each.get("ifname") == name), None)
        members = {each.get("ifname"): each["index"] for each in links if bridge and each.get("master") == bridge}
        for each in pins:
            if each.member in members:
                vlan = {} if each.vlan is None else {"vlan": each.vlan}
                flags = _NTF_MASTER | (_NTF_STICKY if each.sticky else 0)
                with suppress(NetlinkError):  # a port that left that VLAN
                    index = members[each.member]
                    route.fdb("replace", ifindex=index, lladdr=each.mac, state=_STATIC, flags=flags, **vlan)


def set_vlans(member: str, namespace: str | None, vlans: Sequence[VlanMembership]) -> None:
    """Have a port of a bridge be in these VLANs and in no others. Raises PortError. May block."""
    try:
        with _inside(namespace) as route:
            index = route.link_lookup(ifname=member)[0]
            there = next((tuple(_vlans(each)) for each in route.get_vlans(index=index)), ())
            for command, changed in (("del", set(there) - set(vlans)), ("add", set(vlans) - set(there))):
                for vlan in sorted(changed):
                    flags = (_PVID if vlan.pvid else 0) | (_UNTAGGED if vlan.untagged else 0)
                    route.vlan_filter(command, index=index, vlan_info={"vid": vlan.vid, "flags": flags})
    except (NetlinkError, IndexError) as error:
        raise PortError(f"cannot set the VLANs of {member}: {error.args[-1]}") from error


def forget(member: str, namespace: str | None) -> None:
    """Have a bridge know nobody behind this port any more, and learn nobody there: it is about to go. May block."""
    with suppress(PortError, NetlinkError), _inside(namespace) as route:
        for index in route.link_lookup(ifname=member):
            route.brport("set", index=index, IFLA_BRPORT_LEARNING=0, IFLA_BRPORT_FLUSH=None)


@contextmanager
def _inside(namespace: str | None) -> Iterator[IPRoute]:
    """Netlink of a namespace, by default this thread's. Raises PortError."""
    place = netns.find(namespace) if namespace else netns.current()
    if place is None:
        raise PortError(f"there is no namespace {namespace}")
    try:
        with netns.inside(place), IPRoute() as route:
            yield route
    finally:
        place.close()


def _read(route: IPRoute, name: str) -> KernelBridge:
    links = list(route.get_links())
    link = next((each for each in links if each.get("ifname") == name), None)
    info = link.get("linkinfo") if link is not None else None
    if link is None or info is None or info.get("kind") != "bridge":
        raise PortError(f"there is no bridge {name}" if link is None else f"{name} is an interface, and no bridge")
    data = info.get("data")
    slaves = {each["index"]: each for each in links if each.get("master") == link["index"]}
    vlans = {each["index"]: tuple(_vlans(each)) for each in route.get_vlans()}
    names = {index: str(each.get("ifname")) for index, each in slaves.items()}
    return KernelBridge(
        name=name,
        mac=link.get("address") or "",
        mtu=link.get("mtu") or 1500,
        ageing=(data.get("br_ageing_time") or 0) / _HZ,
        vlan_filtering=bool(data.get("br_vlan_filtering")),
        spanning_tree=bool(data.get("br_stp_state")),
        group_forward_mask=data.get("br_group_fwd_mask") or 0,
        own_vlans=vlans.get(link["index"], ()),
        members=tuple(_member(slaves[index], vlans.get(index, ())) for index in sorted(slaves)),
        stations=tuple(_stations(route, names)),
        pins=tuple(_pins(route, names, link["index"])),
    )


def _member(link: Any, vlans: tuple[VlanMembership, ...]) -> Member:
    settings = link.get("linkinfo").get_attr("IFLA_INFO_SLAVE_DATA")
    unusual = [
        f"{words} {'on' if value else 'off'}"
        for key, (words, usual) in _USUAL.items()
        if (value := settings.get_attr(key)) is not None and value != usual
    ]
    if settings.get_attr("IFLA_BRPORT_GROUP_FWD_MASK"):
        unusual.append("group_fwd_mask")
    return Member(link.get("ifname"), bool(settings.get_attr("IFLA_BRPORT_ISOLATED")), vlans, tuple(unusual))


def _vlans(message: Any) -> Iterator[VlanMembership]:
    """From a message of the bridge family; a run of VLANs is two entries."""
    spec = message.get("af_spec")
    first = 0
    for key, value in spec["attrs"] if spec else ():
        if key != "IFLA_BRIDGE_VLAN_INFO":
            continue
        vid, flags = value["vid"], value["flags"]
        if flags & _RANGE_BEGIN:
            first = vid
            continue
        for each in range(first if flags & _RANGE_END else vid, vid + 1):
            yield VlanMembership(each, bool(flags & _PVID), bool(flags & _UNTAGGED))


def _stations(route: IPRoute, names: dict[int, str]) -> Iterator[Station]:
    for entry in route.fdb("dump"):
        address, member = entry.get("lladdr"), names.get(entry["ifindex"])
        if member is None or not address or entry["state"] & _LOCAL or is_group(mac := parse_mac(address)):
            continue
        updated = (entry.get("cacheinfo") or {}).get("ndm_updated", 0)
        yield Station(mac, entry.get("vlan") or DEFAULT_VID, member, bool(entry["state"] & _STATIC), updated / _HZ)


def _pins(route: IPRoute, names: dict[int, str], bridge: int) -> Iterator[Pin]:
    for entry in route.fdb("dump"):
        member, ours = names.get(entry["ifindex"]), entry.get("master") == bridge
        if member is not None and ours and entry["state"] & _STATIC and not is_group(parse_mac(entry.get("lladdr"))):
            yield Pin(entry.get("lladdr"), entry.get("vlan"), member, bool(entry["flags"] & _NTF_STICKY))
