"""The virtio-net header before a frame: what it asks for, and how a port does without it.

A header (`struct virtio_net_hdr`, virtio 1.2 clause 5.1.6) is untrusted input: it is checked against its frame once,
and `hdr_len` is never used. A legacy TAP header has the byte order of the host, which is what `struct` calls native.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

Buffer = bytes | bytearray | memoryview

HEADER: Final = 10
"""Octets of the header; those with the field num_buffers have 12, which it is never of use to here."""

PLAIN: Final = bytes(HEADER)
"""The header that asks for nothing."""

_FORMAT: Final = struct.Struct("=BBHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset

NEEDS_CSUM, DATA_VALID = 1, 2
GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, GSO_ECN = 0, 1, 4, 5, 0x80

_ETHERNET: Final = 14
_TAGS: Final = (0x8100, 0x88A8)
_MOST_TAGS: Final = 8
_IPV4, _IPV6 = 0x0800, 0x86DD
_TCP, _UDP = 6, 17
_CHECKSUM_AT: Final = {_TCP: 16, _UDP: 6}

MOST_SEGMENTS: Final = 4096
"""A superframe that stands for more than this is refused: 64 KiB in pieces of 16 octets, which no sender makes."""


class Capability(IntFlag):
    """What an attachment completes by itself: the TUN_F_ bits of `linux/if_tun.h`."""

    NONE = 0
    CSUM = 1
    TSO4 = 2
    TSO6 = 4
    TSO_ECN = 8
    USO4 = 32
    USO6 = 64
    TSO = CSUM | TSO4 | TSO6 | TSO_ECN
    ALL = TSO | USO4 | USO6


class OffloadError(ValueError):
    """The header contradicts its frame."""


@dataclass(frozen=True, slots=True)
class Offload:
    """What a header asks for. Positions count from the Ethernet header on.

    checksum_from, checksum_at: where the sum begins, and where it is to be written.
    network: where the IP header begins.  headers: octets of all headers, those of TCP or UDP included (0 where only
    a checksum is asked for).  size: octets of payload that a segment carries at most, 0 for no superframe.
    needs: what a port must offer to carry the frame as it is.
    segments, octets: as on the wire.  longest: octets of the longest segment.
    """

    checksum_from: int
    checksum_at: int
    network: int
    headers: int
    size: int
    needs: Capability
    segments: int
    octets: int
    longest: int


class _Transport(NamedTuple):
    """What the headers of a superframe say: where IP and payload begin, which IP and which transport it is."""

    network: int
    version: int
    protocol: int
    headers: int


def parse(raw: Buffer) -> Offload | None:
    """What the header at the start of `raw` asks for the frame behind it; None: nothing.

    Raises OffloadError where it contradicts the frame: a checksum outside it, a superframe that is not the TCP or UDP
    it is said to be, one that stands for more than MOST_SEGMENTS frames.
    """
    if raw[:HEADER] == PLAIN:
        return None
    flags, gso, _, size, start, offset = _FORMAT.unpack_from(raw)
    if flags & ~(NEEDS_CSUM | DATA_VALID):
        raise OffloadError(f"unknown flags {flags:#x}")
    length = len(raw) - HEADER
    if not flags & NEEDS_CSUM:
        if gso != GSO_NONE:
            raise OffloadError("a superframe without partial checksum")
        return None
    if start < _ETHERNET or start + offset + 2 > length:
        raise OffloadError("the checksum lies outside the frame")
    if gso == GSO_NONE:
        return Offload(start, start + offset, 0, 0, 0, Capability.CSUM, 1, length, length)
    return _superframe(raw[HEADER:], gso, size, start, offset)


def lower(raw: Buffer, capability: Capability) -> list[Buffer]:
    """The frames, each with its header, in which this one can leave a port of that capability.

    `raw` is a frame that `parse` accepts. Raises OffloadError otherwise.
    """
    asked = parse(raw)
    if asked is None or asked.needs in capability:
        return [raw]
    if asked.size:
        return list(_segments(bytes(raw[HEADER:]), asked))
    return [_completed(raw, asked)]


def shift(raw: Buffer, octets: int) -> bytes:
    """The header of `raw` for when its frame grows by `octets` (shrinks, if negative) before the IP header."""
    flags, gso, headers, size, start, offset = _FORMAT.unpack_from(raw)
    if not flags & NEEDS_CSUM:
        return bytes(raw[:HEADER])
    headers = max(0, headers + octets) if headers else 0
    return _FORMAT.pack(flags, gso, headers, size, start + octets, offset)


def _superframe(frame: Buffer, gso: int, size: int, start: int, offset: int) -> Offload:
    kind, ecn = gso & ~GSO_ECN, bool(gso & GSO_ECN)
    network, version, protocol, headers = _transport(frame, start)
    wanted = {GSO_TCPV4: (4, _TCP), GSO_TCPV6: (6, _TCP), GSO_UDP_L4: (version, _UDP)}.get(kind)
    if wanted != (version, protocol) or (ecn and protocol != _TCP):
        raise OffloadError(f"IPv{version} protocol {protocol} is no superframe of type {gso:#x}")
    if offset != _CHECKSUM_AT[protocol]:
        raise OffloadError("the checksum is not where the transport has it")
    payload = len(frame) - headers
    if size == 0 or payload > size * MOST_SEGMENTS:
        raise OffloadError(f"{payload} octets in segments of {size}")
    segments = max(1, -(-payload // size))
    if protocol == _TCP:
        needs = Capability.CSUM | (Capability.TSO4 if version == 4 else Capability.TSO6)
        needs |= Capability.TSO_ECN if ecn else Capability.NONE
    else:
        needs = Capability.CSUM | (Capability.USO4 if version == 4 else Capability.USO6)
    octets, longest = payload + segments * headers, headers + min(payload, size)
    return Offload(start, start + offset, network, headers, size, needs, segments, octets, longest)


def _transport(frame: Buffer, start: int) -> _Transport:
    """The headers of a TCP or UDP frame whose transport header is said to begin at `start`."""
    at = 12
    for _ in range(_MOST_TAGS + 1):
        ethertype = int.from_bytes(frame[at : at + 2])
        at += 2
        if ethertype not in _TAGS:
            break
        at += 2
    if ethertype == _IPV4:
        version, protocol, end = 4, *_ipv4(frame, at)
    elif ethertype == _IPV6:
        version, protocol, end = 6, *_ipv6(frame, at, start)
    else:
        raise OffloadError(f"a superframe of type {ethertype:#06x}")
    if end != start:
        raise OffloadError("the checksum does not begin with the transport header")
    return _Transport(at, version, protocol, start + _transport_length(frame, start, protocol))


def _ipv4(frame: Buffer, at: int) -> tuple[int, int]:
    """Protocol, and where the header ends."""
    if at + 20 > len(frame) or frame[at] >> 4 != 4 or frame[at] & 15 < 5:
        raise OffloadError("not an IPv4 header")
    if int.from_bytes(frame[at + 6 : at + 8]) & 0x3FFF:
        raise OffloadError("a superframe that is a fragment")
    return frame[at + 9], at + (frame[at] & 15) * 4


def _ipv6(frame: Buffer, at: int, start: int) -> tuple[int, int]:
    """Protocol, and where the headers end; hop-by-hop, routing and destination options may stand between."""
    if at + 40 > len(frame) or frame[at] >> 4 != 6:
        raise OffloadError("not an IPv6 header")
    protocol, end = frame[at + 6], at + 40
    while protocol in (0, 43, 60) and end < start:
        if end + 2 > len(frame):
            raise OffloadError("the IPv6 extension headers do not end")
        protocol, end = frame[end], end + (frame[end + 1] + 1) * 8
    return protocol, end


def _transport_length(frame: Buffer, start: int, protocol: int) -> int:
    """Octets of the TCP or UDP header, all of which must be there."""
    if protocol == _UDP:
        length = 8
    elif protocol == _TCP and start + 13 <= len(frame):
        length = (frame[start + 12] >> 4) * 4
    else:
        raise OffloadError(f"a superframe of protocol {protocol}")
    if length < (20 if protocol == _TCP else 8) or start + length > len(frame):
        raise OffloadError("the transport header is not whole")
    return length


def _sum(octets: bytes) -> int:
    """The sum of RFC 1071, not folded, of octets that begin at an even place: equal to it modulo 0xFFFF."""
    value = int.from_bytes(octets)
    return value << 8 if len(octets) & 1 else value


def _completed(raw: Buffer, asked: Offload) -> bytes:
    """The frame with its checksum written, as skb_checksum_help() in Linux net/core/dev.c does."""
    frame = bytearray(raw)
    frame[:HEADER] = PLAIN
    at = HEADER + asked.checksum_at
    checksum = -_sum(bytes(raw[HEADER + asked.checksum_from :])) % 0xFFFF or 0xFFFF
    frame[at : at + 2] = checksum.to_bytes(2)
    return bytes(frame)


def _segments(frame: bytes, asked: Offload) -> Iterator[bytes]:
    """The frames that a superframe stands for, as Linux makes them.

    See tcp_gso_segment() in net/ipv4/tcp_offload.c, __udp_gso_segment() in udp_offload.c and inet_gso_segment() in
    af_inet.c: the IPv4 identification counts up, FIN and PSH stay with the last segment, CWR with the first.
    """
    protocol = _TCP if asked.checksum_at - asked.checksum_from == _CHECKSUM_AT[_TCP] else _UDP
    for number in range(asked.segments):
        begin = asked.headers + number * asked.size
        payload = frame[begin : begin + asked.size]
        head = bytearray(frame[: asked.headers])
        pseudo = _set_network(head, asked.network, asked.checksum_from, number, len(payload), protocol)
        if protocol == _TCP:
            _set_tcp(head, asked, number)
        else:
            head[asked.checksum_from + 4 : asked.checksum_from + 6] = (8 + len(payload)).to_bytes(2)
        at = asked.checksum_at
        head[at : at + 2] = b"\0\0"
        checksum = -(pseudo + _sum(bytes(head[asked.checksum_from :])) + _sum(payload)) % 0xFFFF
        if protocol == _UDP:
            checksum = checksum or 0xFFFF
        head[at : at + 2] = checksum.to_bytes(2)
        yield b"".join((PLAIN, head, payload))


def _set_network(head: bytearray, at: int, start: int, number: int, payload: int, protocol: int) -> int:
    """Write the length (and identification, and checksum) of segment `number`; the sum of its pseudo-header."""
    transport = len(head) - start + payload
    if head[at] >> 4 == 6:
        head[at + 4 : at + 6] = (start - at - 40 + transport).to_bytes(2)
        return _sum(bytes(head[at + 8 : at + 40])) + protocol + transport
    head[at + 2 : at + 4] = (start - at + transport).to_bytes(2)
    identification = int.from_bytes(head[at + 4 : at + 6]) + number
    head[at + 4 : at + 6] = (identification & 0xFFFF).to_bytes(2)
    head[at + 10 : at + 12] = b"\0\0"
    head[at + 10 : at + 12] = (-_sum(bytes(head[at:start])) % 0xFFFF).to_bytes(2)
    return _sum(bytes(head[at + 12 : at + 20])) + protocol + transport


def _set_tcp(head: bytearray, asked: Offload, number: int) -> None:
    """Write the sequence number and the flags of segment `number`."""
    at = asked.checksum_from
    sequence = int.from_bytes(head[at + 4 : at + 8]) + number * asked.size
    head[at + 4 : at + 8] = (sequence & 0xFFFFFFFF).to_bytes(4)
    if number < asked.segments - 1:
        head[at + 13] &= ~0x09 & 0xFF  # FIN, PSH
    if number:
        head[at + 13] &= 0x7F  # CWR
