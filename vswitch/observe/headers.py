"""The headers of a frame that marks are made of, read octet by octet: any octets give an answer, none raise."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import Final, NamedTuple

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
TCP, UDP = 6, 17
SYN, FIN = 2, 1

_TAGS: Final = (0x8100, 0x88A8)
_EXTENSIONS: Final = (0, 43, 60)
"""Of IPv6, those that say their length in units of eight octets: RFC 8200, clause 4."""

_TCP_LEAST, _UDP_LEAST = 20, 8


class Ip(NamedTuple):
    """An IP packet. whole: whether `payload` is all of it, and no fragment.  right: whether its header checksum is."""

    source: bytes
    destination: bytes
    protocol: int
    payload: bytes
    whole: bool
    right: bool


class Segment(NamedTuple):
    """A TCP segment. length: octets of payload, without SYN and FIN."""

    source: int
    destination: int
    sequence: int
    acknowledged: int
    flags: int
    length: int


def payload(frame: bytes) -> tuple[int, int, bytes]:
    """VID of the outer tag (0 where there is none), EtherType behind all tags, and what follows it."""
    at, vid = 12, 0
    while int.from_bytes(frame[at : at + 2]) in _TAGS and len(frame) >= at + 6:
        vid = vid or int.from_bytes(frame[at + 2 : at + 4]) & 0xFFF
        at += 4
    return vid, int.from_bytes(frame[at : at + 2]), frame[at + 2 :]


def ip(ethertype: int, octets: bytes) -> Ip | None:
    """The IP packet, if it is one."""
    if ethertype == IPV4 and len(octets) >= 20 and octets[0] >> 4 == 4:
        return _ipv4(octets)
    if ethertype == IPV6 and len(octets) >= 40 and octets[0] >> 4 == 6:
        return _ipv6(octets)
    return None


def _ipv4(octets: bytes) -> Ip | None:
    head, total, fragment = (octets[0] & 15) * 4, int.from_bytes(octets[2:4]), int.from_bytes(octets[6:8]) & 0x3FFF
    if not 20 <= head <= total:
        return None
    whole = not fragment and total <= len(octets)
    right = checksum(octets[:head]) == 0
    return Ip(octets[12:16], octets[16:20], octets[9], octets[head:total], whole, right)


def _ipv6(octets: bytes) -> Ip | None:
    end, at, following = 40 + int.from_bytes(octets[4:6]), 40, octets[6]
    routed = False
    while following in _EXTENSIONS and at + 8 <= min(end, len(octets)):
        routed = routed or following == 43
        following, at = octets[at], at + (octets[at + 1] + 1) * 8
    whole = end <= len(octets) and not routed  # a routing header changes the destination that is summed
    return Ip(octets[8:24], octets[24:40], following, octets[at:end], whole, right=True)


def tcp(packet: Ip) -> Segment | None:
    """The TCP segment of a packet, if it is one with its whole header."""
    octets = packet.payload
    if packet.protocol != TCP or not packet.whole or len(octets) < _TCP_LEAST:
        return None
    source, destination, sequence, acknowledged, offset, flags = struct.unpack_from("!HHIIBB", octets)
    head = (offset >> 4) * 4
    if not _TCP_LEAST <= head <= len(octets):
        return None
    return Segment(source, destination, sequence, acknowledged, flags, len(octets) - head)


def udp(packet: Ip) -> tuple[int, int, bytes] | None:
    """Source port, destination port and payload of a datagram, if it is one."""
    octets = packet.payload
    if packet.protocol != UDP or not packet.whole or len(octets) < _UDP_LEAST:
        return None
    source, destination, length = struct.unpack_from("!HHH", octets)
    return (source, destination, octets[8:length]) if _UDP_LEAST <= length <= len(octets) else None


def sums_up(packet: Ip) -> bool:
    """Whether the checksum of a TCP segment or UDP datagram is right, or there is none: RFC 9293 3.1, RFC 768."""
    octets = packet.payload
    if packet.protocol == UDP and len(octets) >= _UDP_LEAST:
        if octets[6:8] == bytes(2) and len(packet.source) == 4:
            return True
        octets = octets[: int.from_bytes(octets[4:6])]
    elif packet.protocol != TCP:
        return True
    if not packet.whole or len(octets) < _UDP_LEAST:
        return True
    pseudo = packet.source + packet.destination + len(octets).to_bytes(4) + packet.protocol.to_bytes(4)
    return checksum(pseudo + octets) == 0


def checksum(octets: bytes) -> int:
    """The Internet checksum: RFC 1071. It is 0 over octets that hold their own."""
    return -int.from_bytes(octets + bytes(len(octets) % 2)) % 0xFFFF


def address(octets: bytes) -> str:
    """An IPv4 or IPv6 address for people."""
    return str(ip_address(octets))


def mac(octets: bytes) -> str:
    """A MAC address for people."""
    return octets.hex(":")
