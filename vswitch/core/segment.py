"""What hardware does for a sender, done in software: a checksum completed, a superframe cut into its segments.

The results are those of Linux: skb_checksum_help() in net/core/dev.c, tcp_gso_segment() in net/ipv4/tcp_offload.c,
__udp_gso_segment() in net/ipv4/udp_offload.c, inet_gso_segment() in net/ipv4/af_inet.c and ipv6_gso_segment() in
net/ipv6/ip6_offload.c. Frames here begin with their Ethernet header.

Checksums are the one's complement sums of RFC 1071. Such a sum is a remainder by 0xFFFF: 0x10000 leaves 1, so octets
of an even number are worth as much as the one big number that they spell. Parts are added as they are and reduced once.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vswitch.core.offload import Offload

_WORD, _WORDS, _LONG = struct.Struct(">H"), struct.Struct(">HH"), struct.Struct(">I")
_TCP_CHECKSUM = 16
_FIN_AND_PSH, _CWR = 0x09, 0x80


def complete(frame: bytes, asked: Offload) -> bytes:
    """The frame with its checksum written: what lies in its place is the sum of the pseudo-header.

    All to the end of the frame is summed, and a checksum of zero is written as 0xFFFF whatever the protocol. A
    superframe of one segment is, to Linux, such a frame too.
    """
    at = asked.csum_start + asked.csum_offset
    checksum = -_sum(frame[asked.csum_start :]) % 0xFFFF or 0xFFFF
    return b"".join((frame[:at], _WORD.pack(checksum), frame[at + 2 :]))


def segments(frame: bytes, asked: Offload) -> Iterator[bytes]:
    """The frames, more than one, that a superframe stands for, in order, checksums complete.

    The pseudo-header is taken from the sum that the sender left, less the old length and with the new one: after a
    source route or a routing header it has another destination than the IP header.
    """
    return map(_cutter(frame, asked), range(asked.segments))


def one_segment(frame: bytes, asked: Offload, number: int) -> bytes:
    """The one of `segments` with this number, from 0."""
    return _cutter(frame, asked)(number)


def _cutter(frame: bytes, asked: Offload) -> Callable[[int], bytes]:
    """What makes a segment by its number."""
    headers, size = asked.header_length, asked.gso_size
    end = asked.octets - (asked.segments - 1) * headers
    head = bytearray(frame[:headers])
    write_network = (_ipv4 if head[asked.network] >> 4 == 4 else _ipv6)(head, asked)
    write_transport = (_tcp if asked.csum_offset == _TCP_CHECKSUM else _udp)(head, asked, end)

    def cut(number: int) -> bytes:
        begin = headers + number * size
        payload = frame[begin : min(begin + size, end)]
        write_network(number, headers + len(payload))
        write_transport(number, payload)
        return b"".join((head, payload))

    return cut


def _ipv4(head: bytearray, asked: Offload) -> Callable[[int, int], None]:
    """Writer of total length, identification and checksum; the identification counts up."""
    at = asked.network
    first = _WORD.unpack_from(head, at + 4)[0]
    _WORDS.pack_into(head, at + 2, 0, 0)
    _WORD.pack_into(head, at + 10, 0)
    fixed = _sum(head[at : asked.csum_start])

    def write(number: int, length: int) -> None:
        total, identification = length - at, (first + number) & 0xFFFF
        _WORDS.pack_into(head, at + 2, total, identification)
        _WORD.pack_into(head, at + 10, -(fixed + total + identification) % 0xFFFF)

    return write


def _ipv6(head: bytearray, asked: Offload) -> Callable[[int, int], None]:
    """Writer of the payload length, which counts extension headers."""
    at = asked.network + 4
    before = asked.network + 40

    def write(_: int, length: int) -> None:
        _WORD.pack_into(head, at, length - before)

    return write


def _tcp(head: bytearray, asked: Offload, end: int) -> Callable[[int, bytes], None]:
    """Writer of sequence number, flags and checksum: FIN and PSH stay with the last segment, CWR with the first."""
    at, size, last = asked.csum_start, asked.gso_size, asked.segments - 1
    first, flags = _LONG.unpack_from(head, at + 4)[0], head[at + 13]
    pseudo = _WORD.unpack_from(head, at + 16)[0] - (end - at)
    _LONG.pack_into(head, at + 4, 0)
    head[at + 13] = 0
    _WORD.pack_into(head, at + 16, 0)
    fixed = pseudo + _sum(head[at:]) + len(head) - at

    def write(number: int, payload: bytes) -> None:
        sequence = (first + number * size) & 0xFFFFFFFF
        here = flags
        if number:
            here &= ~_CWR
        if number < last:
            here &= ~_FIN_AND_PSH
        _LONG.pack_into(head, at + 4, sequence)
        head[at + 13] = here
        _WORD.pack_into(head, at + 16, -(fixed + sequence + here + len(payload) + _sum(payload)) % 0xFFFF)

    return write


def _udp(head: bytearray, asked: Offload, end: int) -> Callable[[int, bytes], None]:
    """Writer of length and checksum, 0xFFFF where it comes out as zero, which would mean none: RFC 768."""
    at = asked.csum_start
    pseudo = _WORD.unpack_from(head, at + 6)[0] - (end - at)
    _WORDS.pack_into(head, at + 4, 0, 0)
    fixed = pseudo + _sum(head[at:])

    def write(_: int, payload: bytes) -> None:
        length = 8 + len(payload)
        _WORDS.pack_into(head, at + 4, length, -(fixed + 2 * length + _sum(payload)) % 0xFFFF or 0xFFFF)

    return write


def _sum(octets: bytes | bytearray) -> int:
    """The sum of octets that begin at an even place."""
    value = int.from_bytes(octets) % 0xFFFF
    return value << 8 if len(octets) & 1 else value
