"""A plain model of the whole switch, from IEEE 802.1Q and docs/rules.md: it works on what senders mean, not on octets
that were parsed, and says what leaves, where, and what is counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.property.octets import OTHER

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.property.model import ModelEntry, ModelFdb
    from tests.property.octets import Octets
    from vswitch.core.mirror import Mirror
    from vswitch.core.port import PortSettings

RELAYED = {"bridge": (), "provider": (0, 0xB, 0xC, 0xD, 0xF), "wire": tuple(range(16))}


@dataclass
class ModelPort:
    """A port, and what is to have been counted at it: frames by cast, octets, drops by reason."""

    settings: PortSettings
    mtu: int
    up: bool = True
    casts: Counter[str] = field(default_factory=Counter)
    octets: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def isolated(self) -> bool:
        return bool(self.settings.options.get("isolated"))

    def member(self, vid: int) -> bool:
        return vid in self.settings.vlan.tagged or vid in self.settings.vlan.untagged

    def relays(self, destination: bytes) -> bool:
        if destination[:5] != bytes.fromhex("0180c20000") or destination[5] > 15:
            return True
        return destination[5] in RELAYED[str(self.settings.options.get("reserved", "bridge"))]


@dataclass
class Fate:
    """What is to become of a frame: why it is dropped, or what leaves by each port, and where it is too long."""

    reason: str | None
    leaving: dict[str, Octets] = field(default_factory=dict)
    oversize: set[str] = field(default_factory=set)
    copies: list[tuple[str, Octets]] = field(default_factory=list)


@dataclass
class ModelSwitch:
    """Ports, stations and rules."""

    fdb: ModelFdb
    filtering: bool
    ports: dict[str, ModelPort] = field(default_factory=dict)
    mirrors: list[Mirror] = field(default_factory=list)

    def receive(self, sent: Octets, name: str, now: float, choose: Callable[[list[ModelEntry]], ModelEntry]) -> Fate:
        """A frame that is whole; `choose` says which of several permitted entries a full table gave up."""
        port = self.ports[name]
        segments, octets, _ = wire(sent)
        port.casts[cast(sent.destination)] += segments
        port.octets += octets
        fate = self._decide(sent, name, now, choose)
        fate.copies = self._copies(sent, name, fate)
        if fate.reason:
            port.dropped[fate.reason] += segments
        for other in fate.oversize:
            self.ports[other].dropped["oversize"] += segments
        return fate

    def refuse(self, octets: int, name: str, reason: str) -> Fate:
        """What is no frame."""
        self.ports[name].octets += octets
        self.ports[name].dropped[reason] += 1
        return Fate(reason)

    def _decide(self, sent: Octets, name: str, now: float, choose: Callable[[list[ModelEntry]], ModelEntry]) -> Fate:
        port = self.ports[name]
        if not port.up:
            return Fate("port_down")
        if sent.source[0] & 1 or not any(sent.source):
            return Fate("source_invalid")
        vid = self._classify(sent, port)
        if vid is None:
            return Fate("vlan_filtered")
        if self.takes_copies(name):
            return Fate("mirror_port")
        if not port.relays(sent.destination):
            return Fate("reserved_address")
        self._learn(vid, sent.source, name, now, choose)
        found = None if sent.destination[0] & 1 else self.fdb.lookup(vid, sent.destination, now)
        fate = Fate(None)
        reasons = [self._leave(sent, vid, name, other, fate) for other in ([found] if found else self.ports)]
        if not fate.leaving and not fate.oversize:
            fate.reason = reasons[0] if found else "no_egress"
        return fate

    def takes_copies(self, name: str) -> bool:
        return any(mirror.to == name for mirror in self.mirrors)

    def _copies(self, sent: Octets, name: str, fate: Fate) -> list[tuple[str, Octets]]:
        """Where mirrors send what: the frame as it came, then each form that it leaves watched ports in."""
        vid = None if fate.reason in ("port_down", "source_invalid") else self._classify(sent, self.ports[name])
        copies: list[tuple[str, Octets]] = []
        for mirror in self.mirrors:
            if mirror.to not in self.ports or (mirror.vlans is not None and vid not in mirror.vlans):
                continue
            names = set(self.ports if mirror.ports is None else mirror.ports)
            watched = {each for each in names if not self.takes_copies(each)}
            came = [sent] if mirror.received and name in watched else []
            left = dict.fromkeys(form for each, form in fate.leaving.items() if mirror.sent and each in watched)
            copies += [(mirror.to, each) for each in (*came, *left)]
        return copies

    def _classify(self, sent: Octets, port: ModelPort) -> int | None:
        if not self.filtering:
            return 1
        vid = sent.tags[0][1] % 4096 if sent.tags else 0
        if vid == 0:
            return port.settings.vlan.pvid
        return vid if port.member(vid) else None

    def _learn(
        self, vid: int, mac: bytes, name: str, now: float, choose: Callable[[list[ModelEntry]], ModelEntry]
    ) -> None:
        if self.fdb.find(vid, mac) is None and len(self.fdb.entries) >= self.fdb.limit:
            if not self.fdb.room(name):
                return
            self.fdb.entries.remove(choose(self.fdb.victims))
        self.fdb.learn(vid, mac, name, now)

    def _leave(self, sent: Octets, vid: int, name: str, other: str, fate: Fate) -> str | None:
        """Put the frame among what leaves, or say why it does not leave by that port."""
        port = self.ports[other]
        if other == name:
            return "same_port"
        if not port.up:
            return "port_down"
        if self.filtering and not port.member(vid):
            return "vlan_filtered"
        if self.takes_copies(other):
            return "mirror_port"
        if not port.relays(sent.destination):
            return "reserved_address"
        if port.isolated and self.ports[name].isolated:
            return "isolated"
        if wire(sent)[2] - 14 - 4 * bool(sent.tags) > port.mtu + 4:  # room for a second tag
            fate.oversize.add(other)
            return "oversize"
        fate.leaving[other] = self._tagged(sent, vid, port)
        return None

    def _tagged(self, sent: Octets, vid: int, port: ModelPort) -> Octets:
        """With the tag that it has on that port: none, or the VID with the type and the priority that it had."""
        if not self.filtering:
            return sent
        outer, inner = sent.tags[:1], sent.tags[1:]
        if vid in port.settings.vlan.untagged:
            return replace(sent, tags=inner)
        tpid, tci = outer[0] if outer else (0x8100, 0)
        return replace(sent, tags=((tpid, tci & 0xF000 | vid), *inner))


def cast(destination: bytes) -> str:
    """As RFC 2863 counts it."""
    if destination == b"\xff" * 6:
        return "broadcast"
    return "multicast" if destination[0] & 1 else "unicast"


def wire(sent: Octets) -> tuple[int, int, int]:
    """Frames, octets, and octets of the longest, as on the wire before padding."""
    if not sent.size or sent.ethertype == OTHER:
        return 1, len(sent.frame), len(sent.frame)
    octets = sent.length + sent.segments * sent.headers
    return sent.segments, octets, sent.headers + min(sent.size, sent.length)
