"""What taking over a kernel bridge comes to: the ports to add, and what cannot be kept. It only decides.

The bridge's ports stay in it: an `interface` port keeps the kernel from hearing and using them for as long as it is
there, so that they are given back by ending it. The host keeps the bridge as its own interface, addresses and all; a
TAP in the bridge connects that to the switch, and over it frames go on to pass while the ports move one by one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from vswitch.core.fdb import DEFAULT_AGEING
from vswitch.units import vlan_ranges

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from vswitch.ports.kernel_bridge import KernelBridge, Member, Station, VlanMembership

_AGEINGS: Final = (10, 1_000_000)  # seconds: 802.1Q-2018 Table 8-6
_HIGH: Final = "fe:ff:ff:"
"""How the TAP's address begins: a bridge takes on the lowest of its ports' (br_stp_recalculate_bridge_id() in Linux
net/bridge/br_stp_if.c), and the host is to keep its own."""

_NO_NAME = re.compile(r"[^A-Za-z0-9_.:-]")


class AdoptionError(Exception):
    """The bridge cannot be taken over: one sentence."""


@dataclass(frozen=True)
class Adoption:
    """host, ports: options by port name, as in a configuration.  static: entries as in a configuration.

    learned: stations to go on knowing, each with its port's name.  tied: those of the static entries.
    left: what is otherwise from now on, a line each.
    """

    host: dict[str, dict[str, Any]]
    ports: dict[str, dict[str, Any]]
    static: list[dict[str, Any]]
    learned: list[tuple[str, Station]]
    tied: list[tuple[str, Station]]
    ageing: float
    vlan_filtering: bool
    left: list[str] = field(default_factory=list)


def plan(bridge: KernelBridge, namespace: str | None, taken: Container[str]) -> Adoption:
    """How to take this bridge over, in a switch that has ports of the names `taken`. Raises AdoptionError."""
    if bridge.spanning_tree:
        raise AdoptionError(
            f"{bridge.name} runs spanning tree, which this switch does not; "
            f"turn it off first: ip link set {bridge.name} type bridge stp_state 0"
        )
    if not bridge.members:
        raise AdoptionError(f"{bridge.name} has no ports to take over")
    where = {"netns": namespace} if namespace else {}
    names = dict(_names([bridge.name, *(member.name for member in bridge.members)], taken))
    left = list(_left(bridge))
    host = {"tap": "vswitch%d", "bridge": bridge.name, "mtu": bridge.mtu, "mac": _HIGH + bridge.mac[9:], **where}
    ports: dict[str, dict[str, Any]] = {}
    for member in bridge.members:
        ports[names[member.name]] = {"interface": member.name, **where, **_options(member, bridge, left)}
    if bridge.vlan_filtering:
        host |= _vlan_options(bridge.name, bridge.own_vlans, left)
    static = [
        {"mac": station.mac.hex(":"), "vlan": station.vid, "port": names[station.member]}
        for station in bridge.stations
        if station.static
    ]
    learned, tied = (
        [(names[station.member], station) for station in bridge.stations if station.static is kind]
        for kind in (False, True)
    )
    ageing = _ageing(bridge, left)
    return Adoption({names[bridge.name]: host}, ports, static, learned, tied, ageing, bridge.vlan_filtering, left)


def _names(interfaces: Sequence[str], taken: Container[str]) -> Iterator[tuple[str, str]]:
    """A port's name for each interface: its own, as far as a port may be called that."""
    given: set[str] = set()
    for interface in interfaces:
        name = plain = _NO_NAME.sub("_", interface).lstrip("_.:-") or "port"
        number = 2
        while name in taken or name in given:
            name, number = f"{plain}-{number}", number + 1
        given.add(name)
        yield interface, name


def _options(member: Member, bridge: KernelBridge, left: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {"isolated": True} if member.isolated else {}
    if bridge.vlan_filtering:
        options |= _vlan_options(member.name, member.vlans, left)
    left += [f"{member.name}: {setting} has no like here" for setting in member.unusual]
    return options


def _vlan_options(name: str, vlans: Sequence[VlanMembership], left: list[str]) -> dict[str, Any]:
    """VLANs as `access`, or `trunk` and `native`."""
    pvid = next((vlan.vid for vlan in vlans if vlan.pvid), None)
    untagged = {vlan.vid for vlan in vlans if vlan.untagged}
    tagged = {vlan.vid for vlan in vlans} - untagged
    if pvid is not None and untagged == {pvid} and not tagged:
        return {"access": pvid}
    left += [f"{name}: VLAN {vid} leaves tagged, where the bridge sends it untagged" for vid in untagged - {pvid}]
    if pvid is not None and pvid not in untagged:
        left.append(f"{name}: VLAN {pvid} leaves untagged, where the bridge sends it tagged")
    trunk = {"trunk": vlan_ranges(frozenset((tagged | untagged) - {pvid}))}
    return trunk if pvid is None else {**trunk, "native": pvid}


def _left(bridge: KernelBridge) -> Iterator[str]:
    if bridge.group_forward_mask:
        yield f"{bridge.name}: group_fwd_mask {bridge.group_forward_mask:#x}; set `reserved:` of the ports for its like"


def _ageing(bridge: KernelBridge, left: list[str]) -> float:
    low, high = _AGEINGS
    if bridge.ageing == 0:
        left.append(f"{bridge.name}: ageing 0, which forgets at once, is {DEFAULT_AGEING:.0f} s here")
        return DEFAULT_AGEING
    ageing = min(max(bridge.ageing, low), high)
    if ageing != bridge.ageing:
        left.append(f"{bridge.name}: ageing {bridge.ageing:g} s is {ageing:g} s here")
    return ageing


def changes(adoption: Adoption) -> Iterator[str]:
    """What comes to the switch, a line each."""
    for name, options in (adoption.host | adoption.ports).items():
        yield f"+ port {name} ({', '.join(f'{key} {_words(value)}' for key, value in options.items())})"
    for entry in adoption.static:
        yield f"+ static {entry['mac']} vlan {entry['vlan']} on {entry['port']}"
    if adoption.learned:
        yield f"+ {len(adoption.learned)} learned stations"


def _words(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
