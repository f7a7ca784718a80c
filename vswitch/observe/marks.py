"""What is remarkable about frames as they pass: retransmissions, address conflicts, loops, floods, bad checksums.

Nothing here does I/O or reads a clock; what is remembered of earlier frames is bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from vswitch.observe import headers

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from vswitch.observe.headers import Ip, Segment

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")

FLOWS: Final = 1024
"""TCP flows that are remembered, one for each direction."""

RANGES: Final = 64
"""Ranges of a flow that were seen, with gaps between them."""

CLAIMS: Final = 4096
"""IP addresses whose owners are remembered."""

CONFLICT: Final = 60.0
"""Seconds in which two owners of one address are a conflict, and no successors."""

ALIKE: Final = 4096
"""Frames that are remembered to be told from their duplicates."""

LOOP: Final = 0.1
"""Seconds in which the same octets, come in again, are a duplicate: repetitions on purpose come later."""

_DHCP_TYPES: Final = ("discover", "offer", "request", "decline", "ack", "nak", "release", "inform")  # RFC 2132, 9.6
_DHCP_COOKIE: Final = bytes.fromhex("63825363")
_DHCP_OPTIONS: Final = 236
_DHCP_PORTS: Final = {67, 68}


class Mark(NamedTuple):
    """A remarkable thing. word: what it is, one of few.  detail: which, for people."""

    word: str
    detail: str = ""


class Passed(NamedTuple):
    """A frame that passed the switch.

    time: seconds.  port: where it came in, "" where that was not seen.  egress: the ports that it left by.
    vlan: the switch's, 0 where it got into none.  octets: as on the wire, the segments where it was a superframe.
    """

    time: float
    port: str
    egress: tuple[str, ...]
    vlan: int
    octets: tuple[bytes, ...]


class Marks:
    """Marks frames, each by what it is and by those before it."""

    def __init__(self) -> None:
        """Nothing passed yet."""
        self._flows: OrderedDict[tuple[object, ...], _Flow] = OrderedDict()
        self._claims: OrderedDict[tuple[int, bytes], tuple[bytes, str, float]] = OrderedDict()
        self._alike: OrderedDict[int, tuple[str, float]] = OrderedDict()

    def of(self, passed: Passed) -> list[Mark]:
        """The marks of the next frame; each word once."""
        found: dict[str, Mark] = {}
        for octets in passed.octets:
            for mark in self._of(passed, octets):
                found.setdefault(mark.word, mark)
        if len(passed.egress) > 1 and passed.octets and passed.octets[0][:1] and not passed.octets[0][0] & 1:
            found["flood"] = Mark("flood", f"left by {len(passed.egress)} ports")
        return list(found.values())

    def _of(self, passed: Passed, octets: bytes) -> Iterator[Mark]:
        _, ethertype, payload = headers.payload(octets)
        packet = headers.ip(ethertype, payload)
        segment = None if packet is None else headers.tcp(packet)
        again = self._duplicate(passed, octets, segment)
        if again is not None:
            yield again
        if ethertype == headers.ARP:
            yield from self._conflict(passed, payload)
        if packet is not None:
            yield from _wrong(packet)
            yield from _dhcp(packet)
            if segment is not None and again is None and self._seen_before(passed, packet, segment):
                yield Mark("retransmission", f"seq {segment.sequence}, {segment.length} octets")

    def _duplicate(self, passed: Passed, octets: bytes, segment: Segment | None) -> Mark | None:
        """The same octets again. TCP repeats itself by the same port (RFC 5681, 3.2): that is no loop."""
        key = hash(octets)
        earlier = self._alike.get(key)
        _remember(self._alike, key, (passed.port, passed.time), ALIKE)
        if earlier is None or not passed.port:
            return None
        port, time = earlier
        if abs(passed.time - time) > LOOP or (segment is not None and port == passed.port):
            return None
        return Mark("duplicate", f"came in by {port} {(passed.time - time) * 1000:.1f} ms before")

    def _conflict(self, passed: Passed, octets: bytes) -> Iterator[Mark]:
        """One IP address of two MACs: RFC 5227, 2.4. A probe claims nothing, its sender's address is 0."""
        if octets[:6] != b"\0\x01\x08\0\x06\x04" or len(octets) < 28:
            return
        mac, ip = octets[8:14], octets[14:18]
        if ip == bytes(4):
            return
        key = passed.vlan, ip
        owner, port, time = self._claims.get(key, (mac, passed.port, passed.time))
        _remember(self._claims, key, (mac, passed.port, passed.time), CLAIMS)
        if owner != mac and passed.time - time <= CONFLICT:
            both = " and ".join(
                f"{headers.mac(each)} ({at or '-'})" for each, at in ((owner, port), (mac, passed.port))
            )
            yield Mark("arp conflict", f"{headers.address(ip)} is claimed by {both}")

    def _seen_before(self, passed: Passed, packet: Ip, segment: Segment) -> bool:
        """A router sends the same segment again, by a port of its own: that is another flow."""
        length = segment.length + bool(segment.flags & headers.SYN) + bool(segment.flags & headers.FIN)
        if not length or not passed.port:
            return False
        key = (passed.port, passed.vlan, packet.source, packet.destination, *segment[:2])
        flow = self._flows.get(key) or _Flow(segment.sequence)
        _remember(self._flows, key, flow, FLOWS)
        return flow.seen(segment.sequence, length)


class _Flow:
    """The ranges of sequence numbers that passed in one direction, on a line that does not wrap."""

    def __init__(self, first: int) -> None:
        self._newest = first
        self._ranges: list[tuple[int, int]] = []

    def seen(self, sequence: int, length: int) -> bool:
        """Whether some of these octets passed before; they have passed now."""
        begin = self._newest + ((sequence - self._newest + (1 << 31)) % (1 << 32)) - (1 << 31)
        end = begin + length
        self._newest = max(self._newest, end)
        before = any(low < end and begin < high for low, high in self._ranges)
        touching = [each for each in self._ranges if each[0] <= end and begin <= each[1]]
        apart = [each for each in self._ranges if each not in touching]
        whole = (min([begin, *(low for low, _ in touching)]), max([end, *(high for _, high in touching)]))
        self._ranges = sorted([*apart, whole])[-RANGES:]
        return before


def _wrong(packet: Ip) -> Iterator[Mark]:
    if not packet.right:
        yield Mark("bad checksum", "IP")
    elif not headers.sums_up(packet):
        yield Mark("bad checksum", "TCP" if packet.protocol == headers.TCP else "UDP")


def _dhcp(packet: Ip) -> Iterator[Mark]:
    """Of DHCP for IPv4 the message type: RFC 2131, 3, RFC 2132, 9.6."""
    datagram = headers.udp(packet)
    if datagram is None or not {*datagram[:2]} <= _DHCP_PORTS:
        return
    octets, at = datagram[2], _DHCP_OPTIONS + 4
    if octets[_DHCP_OPTIONS:at] != _DHCP_COOKIE:
        return
    while at + 2 < len(octets) and octets[at] != 255:
        if octets[at] == 53:
            kind = octets[at + 2]
            yield Mark("dhcp", _DHCP_TYPES[kind - 1] if 0 < kind <= len(_DHCP_TYPES) else f"type {kind}")
            return
        at += 1 if octets[at] == 0 else 2 + octets[at + 1]


def _remember(table: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    """Put it last, and forget the first of too many."""
    table[key] = value
    table.move_to_end(key)
    if len(table) > most:
        table.popitem(last=False)
