"""Every TAP of the host: what is connected to what.

/dev/net/tun is a multiplexer: whoever holds a descriptor is the far end of a cable whose near end is an interface of
the host, and each end may have a MAC address of its own. Three witnesses know those of the far end: the command line
of a QEMU that holds it, the kernel bridge that the near end is in, and a switch that listens on the near end.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pyroute2.netlink.exceptions import NetlinkError

from vswitch.observe import links, qemu
from vswitch.observe.places import Door, doors
from vswitch.observe.processes import scan
from vswitch.ports.base import PortError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vswitch.observe.places import Place
    from vswitch.observe.processes import Descriptor

LISTENS = "interface"
"""The attachment that puts a packet socket on the near end; each other one holds the far end."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a descriptor of a TAP.

    certain: False where only the interface's name says so, and several have it.
    guest: the name of the machine that QEMU runs; macs: those of its network card.
    """

    pid: int
    program: str
    fd: int
    certain: bool
    guest: str | None
    macs: list[str]


@dataclass(frozen=True, slots=True)
class SwitchPort:
    """A port of a running switch that is attached to a TAP.

    macs: the stations behind the port: those of the far end for the attachment `interface`, of the near end for others.
    """

    switch: str
    port: str
    attachment: str
    state: str
    macs: list[str]


@dataclass(frozen=True, slots=True)
class Station:
    """A MAC address of the far end. known_by: `qemu`, `bridge` or `switch`."""

    mac: str
    known_by: list[str]


@dataclass(frozen=True, slots=True)
class Switch:
    """What a running switch answers: rows of the API."""

    name: str
    pid: int
    ports: Sequence[Mapping[str, Any]]
    fdb: Sequence[Mapping[str, Any]]


@dataclass(slots=True)
class Tap:
    """One TAP, with both its ends."""

    near: links.Near
    netns: Place
    holders: list[Holder] = field(default_factory=list)
    ports: list[SwitchPort] = field(default_factory=list)

    def far(self) -> list[Station]:
        """Who is at the far end, by each witness."""
        known: dict[str, list[str]] = {}
        heard = [mac for port in self.ports if port.attachment == LISTENS for mac in port.macs]
        held = [mac for holder in self.holders for mac in holder.macs]
        for witness, macs in (("qemu", held), ("bridge", self.near.learned), ("switch", heard)):
            for mac in dict.fromkeys(macs):
                known.setdefault(mac, []).append(witness)
        return [Station(mac, witnesses) for mac, witnesses in known.items()]

    def as_json(self) -> dict[str, Any]:
        """Both ends as plain data."""
        near = asdict(self.near)
        del near["learned"]
        parts: dict[str, list[Any]] = {"holders": self.holders, "far": self.far(), "ports": self.ports}
        return {**near, "netns": asdict(self.netns), **{key: [asdict(p) for p in part] for key, part in parts.items()}}


@dataclass(slots=True)
class Survey:
    """What could be seen.

    others: what interfaces are that are no TAPs, by name.  closed: namespaces that could not be entered.
    hidden: whether there are processes whose descriptors could not be looked at.
    """

    taps: list[Tap] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)
    closed: int = 0
    hidden: bool = False


def survey(switches: Sequence[Switch] = ()) -> Survey:
    """Look at every TAP of every namespace once. Changes nothing; this thread visits the namespaces. May block."""
    seen = scan()
    rooms = doors(seen.namespaces)
    with ExitStack() as held_open:
        where = [(descriptor, _locate(descriptor, rooms, held_open)) for descriptor in seen.descriptors]
        found = _enter_all(rooms.values())
    found.hidden = seen.hidden
    by_name: dict[str, list[Tap]] = {}
    for tap in found.taps:
        by_name.setdefault(tap.near.interface, []).append(tap)
    machines: dict[int, qemu.Machine] = {}
    for descriptor, inode in where:
        for tap, certain in _cables(descriptor, inode, by_name.get(descriptor.interface, [])):
            tap.holders.append(_holder(descriptor, machines, certain=certain))
    for switch in switches:
        _plug(switch, by_name)
    return found


def _locate(descriptor: Descriptor, rooms: dict[int, Door], held_open: ExitStack) -> int | None:
    """The inode number of the namespace that a descriptor's interface is in, which becomes one of the rooms."""
    namespace = descriptor.namespace()
    if namespace is None:
        return None
    if namespace.inode in rooms:
        namespace.close()
    else:
        held_open.callback(namespace.close)
        rooms[namespace.inode] = Door.held(namespace)
    return namespace.inode


def _enter_all(rooms: Iterable[Door]) -> Survey:
    found = Survey()
    for room in rooms:
        try:
            with room.inside():
                seen = links.read()
        except (PortError, NetlinkError, OSError):
            found.closed += os.path.lexists(room.path)
            continue
        found.taps += [Tap(near, room.place) for near in seen.taps]
        for name, kind in seen.others.items():
            found.others.setdefault(name, kind)
    return found


def _cables(descriptor: Descriptor, inode: int | None, taps: Sequence[Tap]) -> Iterator[tuple[Tap, bool]]:
    """The TAPs, of those that have its name, that a descriptor may be, and whether that is certain.

    inode: the namespace of its interface. Where that is not known, the holder's own is the likeliest.
    """
    if inode is not None:
        yield from ((tap, True) for tap in taps if tap.netns.inode == inode)
        return
    at_home = [tap for tap in taps if tap.netns.inode == descriptor.home]
    yield from ((tap, len(taps) == 1) for tap in at_home or taps)


def _holder(descriptor: Descriptor, machines: dict[int, qemu.Machine], *, certain: bool) -> Holder:
    """machines: the command lines that were read."""
    if descriptor.pid not in machines:
        machines[descriptor.pid] = qemu.read(descriptor.arguments())
    machine = machines[descriptor.pid]
    macs = machine.macs(descriptor.fd, descriptor.interface)
    name = machine.name if machine.cards else None
    return Holder(descriptor.pid, descriptor.program(), descriptor.fd, certain, name, macs)


def _plug(switch: Switch, by_name: Mapping[str, Sequence[Tap]]) -> None:
    """Tell each TAP which ports of a switch are attached to it: the same name in the same namespace."""
    behind: dict[str, dict[str, None]] = {}
    for station in switch.fdb:
        behind.setdefault(station["port"], {})[station["mac"]] = None
    for row in switch.ports:
        macs = list(behind.get(row["port"], ()))
        port = SwitchPort(switch.name, row["port"], row["attachment"], row["state"], macs)
        for tap in by_name.get(row["device"] or "", ()):
            if _attached(row, switch.pid, tap):
                tap.ports.append(port)


def _attached(row: Mapping[str, Any], pid: int, tap: Tap) -> bool:
    inode = row.get("netns")
    if inode is None:  # a kernel that does not tell where a descriptor's interface is
        return any(holder.pid == pid for holder in tap.holders)
    return bool(inode == tap.netns.inode)
