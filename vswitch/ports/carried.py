"""Whether a frame carries a datagram of a tunnel: IP to its far end, behind two tags at most."""

from __future__ import annotations

from typing import Final

_TAGS: Final = (0x8100, 0x88A8)
_DEEPEST: Final = 14 + 2 * 4
_V4: Final = 0x0800
_V6: Final = 0x86DD
_FRAGMENT: Final = 44  # of IPv6, RFC 8200 section 4.5


def carries(frame: memoryview, remote: bytes, protocol: int, port: int) -> bool:
    """Whether that is what the frame (Ethernet header first) carries, or a fragment of it.

    remote: the far end's address, 4 or 16 octets.  protocol: IP's number of it.  port: of UDP; 0 where there is none.
    """
    at = 14
    while (kind := int.from_bytes(frame[at - 2 : at])) in _TAGS and at < _DEEPEST:
        at += 4
    if kind == _V4 and len(remote) == 4:
        return frame[at + 16 : at + 20] == remote and _v4(frame[at:], protocol, port)
    return kind == _V6 and frame[at + 24 : at + 40] == remote and _v6(frame[at:], protocol, port)


def _v4(packet: memoryview, protocol: int, port: int) -> bool:
    first = not int.from_bytes(packet[6:8]) & 0x1FFF
    return packet[9] == protocol and _to(packet[4 * (packet[0] & 0xF) :], port, first)


def _v6(packet: memoryview, protocol: int, port: int) -> bool:
    if packet[6] != _FRAGMENT:
        return packet[6] == protocol and _to(packet[40:], port, True)
    first = not int.from_bytes(packet[42:44]) & 0xFFF8
    return packet[40:41] == bytes((protocol,)) and _to(packet[48:], port, first)


def _to(payload: memoryview, port: int, first: bool) -> bool:
    """Whether it is for that port, as far as a fragment can tell."""
    return not port or not first or int.from_bytes(payload[2:4]) == port
