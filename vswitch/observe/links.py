"""The TAPs of one namespace as rtnetlink and ethtool have them: the near ends of the cables."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyroute2 import IPRoute
from pyroute2.ethtool.ioctl import EthtoolError, IoctlEthtool
from pyroute2.netlink.exceptions import NetlinkDumpInterrupted

from vswitch.observe.processes import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_IFF_UP = 0x1
_NUD_PERMANENT = 0x80  # linux/neighbour.h; in a bridge's table: the port's own address
_TUN, _TAP = 1, 2  # IFLA_TUN_TYPE has IFF_TUN or IFF_TAP: linux/if_tun.h
_TRIES = 5  # a dump that something changed under is begun anew

OFFLOADS = {
    "tx-checksum-ip-generic": "tx-checksum",
    "tx-tcp-segmentation": "tso",
    "tx-tcp6-segmentation": "tso6",
    "tx-tcp-ecn-segmentation": "tso-ecn",
    "tx-udp-segmentation": "uso",
}
"""Features of ethtool that the holder of a TAP turns on by TUNSETOFFLOAD, and what they are called here."""


@dataclass(frozen=True, slots=True)
class Master:
    """What an interface is a port of. kind: `bridge`, `openvswitch`, … as rtnetlink has it."""

    name: str
    kind: str | None


@dataclass(frozen=True, slots=True)
class Near:
    """The near end of a TAP. mtu in octets; owner and group as numbers, None where anyone may attach who may at all.

    offload: what the interface leaves uncompleted because the holder said that it takes it so.
    learned: the MAC addresses that its kernel bridge learned behind it.
    """

    index: int
    interface: str
    mac: str
    up: bool
    carrier: bool
    mtu: int
    master: Master | None
    persistent: bool
    multi_queue: bool
    owner: int | None
    group: int | None
    vnet_hdr: bool
    offload: list[str]
    learned: list[str]


@dataclass(frozen=True, slots=True)
class Links:
    """The interfaces of a namespace: its TAPs, and the kinds of all others by name."""

    taps: list[Near] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)


def read() -> Links:
    """The interfaces of the namespace that this thread is in. Raises NetlinkError or OSError. May block."""
    with IPRoute() as ipr:
        messages = {message["index"]: message for message in _whole(ipr.get_links)}
        masters = {index: Master(_name(message), _kind(message)) for index, message in messages.items()}
        taps = {index: message for index, message in messages.items() if _is_tap(message)}
        learned: dict[int, list[str]] = {}
        if any(_is_bridged(message, masters) for message in taps.values()):
            learned = _learned(_whole(lambda: ipr.fdb("dump")), taps)
    others = {_name(message): _word(message) for index, message in messages.items() if index not in taps}
    return Links([_near(message, masters, learned.get(index, [])) for index, message in taps.items()], others)


def _near(message: Any, masters: Mapping[int, Master], learned: list[str]) -> Near:
    data = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
    return Near(
        index=message["index"],
        interface=_name(message),
        mac=message.get("address") or "",
        up=bool(message["flags"] & _IFF_UP),
        carrier=bool(message["flags"] & _IFF_UP and message.get("carrier")),
        mtu=message.get("mtu") or 0,
        master=masters.get(message.get("master")),
        persistent=bool(data.get_attr("IFLA_TUN_PERSIST")),
        multi_queue=bool(data.get_attr("IFLA_TUN_MULTI_QUEUE")),
        owner=data.get_attr("IFLA_TUN_OWNER"),
        group=data.get_attr("IFLA_TUN_GROUP"),
        vnet_hdr=bool(data.get_attr("IFLA_TUN_VNET_HDR")),
        offload=_offload(_name(message)),
        learned=learned,
    )


def _offload(interface: str) -> list[str]:
    """What ethtool says is on; nothing for a name that cannot be asked for."""
    try:
        interface.encode()  # IoctlEthtool leaves a socket open where it cannot
        with closing(IoctlEthtool(interface)) as ethtool:
            features = ethtool.get_features()
    except (EthtoolError, OSError, ValueError):
        return []
    return [word for feature, word in OFFLOADS.items() if feature in features and features.is_active(feature)]


def _learned(rows: Iterable[Any], taps: Mapping[int, Any]) -> dict[int, list[str]]:
    """The stations behind each TAP; one that is known in several VLANs is one."""
    learned: dict[int, list[str]] = {}
    for row in rows:
        if row["ifindex"] in taps and not row["state"] & _NUD_PERMANENT and (mac := row.get("lladdr")):
            stations = learned.setdefault(row["ifindex"], [])
            if mac not in stations:
                stations.append(mac)
    return learned


def _is_tap(message: Any) -> bool:
    return _kind(message) == "tun" and _type(message) == _TAP


def _is_bridged(message: Any, masters: Mapping[int, Master]) -> bool:
    master = masters.get(message.get("master"))
    return master is not None and master.kind == "bridge"


def _word(message: Any) -> str:
    """What an interface is that is no TAP."""
    kind = _kind(message)
    if kind == "tun":
        return "a TUN, which carries IP packets"
    return f"of the kind {kind}" if kind else "a device of the machine, or its loopback"


def _type(message: Any) -> object:
    data = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
    return data.get_attr("IFLA_TUN_TYPE") if data is not None else None


def _kind(message: Any) -> str | None:
    info = message.get("linkinfo")
    return info.get("kind") if info else None


def _name(message: Any) -> str:
    """pyroute2 leaves a name that is no UTF-8 as octets."""
    name = message.get("ifname") or ""
    return text(name) if isinstance(name, bytes) else str(name)


def _whole(dump: Callable[[], Iterable[Any]]) -> list[Any]:
    for _ in range(_TRIES - 1):
        try:
            return list(dump())
        except NetlinkDumpInterrupted:
            continue
    return list(dump())
