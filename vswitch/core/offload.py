"""The virtio-net header before a frame: what it asks for, and how a port does without it.

A header (`struct virtio_net_hdr`, virtio 1.2 clause 5.1.6, without num_buffers) is untrusted input. It is checked
against its frame, at least as strictly as virtio_net_hdr_to_skb() in Linux include/linux/virtio_net.h does, so that a
TAP refuses no frame that was let in here. A TAP's header has the byte order of the host unless told otherwise
(TUNSETVNETLE, TUNSETVNETBE), which is what `struct` calls native.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import Final, NamedTuple

from vswitch.core import segment

Buffer = bytes | bytearray | memoryview

HEADER: Final = 10
"""Octets of the header."""

PLAIN: Final = bytes(HEADER)
"""The header that asks for nothing."""

NEEDS_CSUM, DATA_VALID = 1, 2
GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, GSO_ECN = 0, 1, 4, 5, 0x80

LEAST_TCP_SIZE: Final = 8
"""TCP_MIN_GSO_SIZE of Linux include/net/tcp.h: no sender makes smaller segments."""

MOST_TCP_SEGMENTS: Final = 2048
"""One frame must not turn into any number of them. 64 KiB in the smallest segments that Linux makes, of 36 octets
(net.ipv4.tcp_min_snd_mss less the timestamps), are 1820."""

MOST_UDP_SEGMENTS: Final = 128
"""UDP_MAX_SEGMENTS of Linux include/linux/udp.h, which a TAP enforces."""

_FORMAT: Final = struct.Struct("=BBHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset

_ETHERNET: Final = 14
_TAGS: Final = (0x8100, 0x88A8)
_TAG: Final = 4
_MOST_TAGS: Final = 8  # VLAN_MAX_DEPTH of Linux include/linux/if_vlan.h
_IPV4, _IPV6 = 0x0800, 0x86DD
_LEAST_IP: Final = 20
_EXTENSIONS: Final = (0, 43, 60)  # hop-by-hop options, routing, destination options
_MOST_EXTENSIONS: Final = 8  # RFC 8200 clause 4.1 has each once, the last one twice
_TCP, _UDP = 6, 17
_GSO_BY_FRAGS: Final = 0xFFFF  # a gso_size with another meaning in Linux include/linux/skbuff.h


class Capability(IntFlag):
    """What an attachment completes by itself: the TUN_F_ bits of `linux/if_tun.h`."""

    NONE = 0
    CSUM = 1
    TSO4 = 2
    TSO6 = 4
    TSO_ECN = 8
    UFO = 16
    USO4 = 32
    USO6 = 64
    TSO = CSUM | TSO4 | TSO6 | TSO_ECN
    ALL = TSO | USO4 | USO6
    """All that is dealt with here. UFO, IP fragments from one UDP datagram, is obsolete and is not."""


class OffloadError(ValueError):
    """The header contradicts its frame."""


@dataclass(frozen=True, slots=True)
class Offload:
    """What a header asks for. Positions count from the start of the Ethernet header.

    flags, gso_type, gso_size, csum_start, csum_offset: as in the header; gso_size is the payload of a segment.
    network: where the IP header begins.
    header_length: octets of all headers of a superframe, that of TCP or UDP included; 0 where it is none.
    needs: what a port must offer to carry the frame as it is.
    segments, octets: as on the wire, without FCS and padding.  longest: octets of the longest segment.
    """

    flags: int
    gso_type: int
    gso_size: int
    csum_start: int
    csum_offset: int
    network: int
    header_length: int
    needs: Capability
    segments: int
    octets: int
    longest: int


class _Kind(NamedTuple):
    """What a superframe of one gso_type and IP version has to be, and needs."""

    protocol: int
    csum_offset: int
    least_size: int
    most_segments: int
    needs: Capability


_KINDS: Final = {
    (GSO_TCPV4, _IPV4): _Kind(_TCP, 16, LEAST_TCP_SIZE, MOST_TCP_SEGMENTS, Capability.CSUM | Capability.TSO4),
    (GSO_TCPV6, _IPV6): _Kind(_TCP, 16, LEAST_TCP_SIZE, MOST_TCP_SEGMENTS, Capability.CSUM | Capability.TSO6),
    (GSO_UDP_L4, _IPV4): _Kind(_UDP, 6, 1, MOST_UDP_SEGMENTS, Capability.CSUM | Capability.USO4),
    (GSO_UDP_L4, _IPV6): _Kind(_UDP, 6, 1, MOST_UDP_SEGMENTS, Capability.CSUM | Capability.USO6),
}


def parse(raw: Buffer) -> Offload | None:
    """What the header at the start of `raw` asks for the frame behind it; None: nothing.

    Raises OffloadError where it contradicts the frame: a checksum outside it, a superframe that is not the TCP or UDP
    it is said to be, one that stands for more frames than any sender means. What lies behind the IP packet is Ethernet
    padding and no payload. An IP length of zero, as in Linux's BIG TCP, is refused: those are longer than any buffer.
    """
    return _parse(raw, spare=1)


def lower(raw: Buffer, capability: Capability) -> list[Buffer]:
    """The frames, each with its header, in which this one can leave a port of that capability.

    `raw` is a frame that `parse` accepts, with one tag more or less since, maybe. Raises OffloadError otherwise.
    """
    asked = _parse(raw, spare=0)
    if asked is None or asked.needs in capability:
        return [raw]
    if asked.segments > 1:
        return [PLAIN + each for each in segment.segments(bytes(raw[HEADER:]), asked)]
    return [PLAIN + segment.complete(bytes(raw[HEADER : HEADER + asked.octets]), asked)]


def shift(raw: Buffer, octets: int) -> bytes:
    """The header of `raw` for when its frame grows by `octets` (shrinks, if negative) before the IP header.

    `raw` is a frame that `parse` accepts.
    """
    flags, gso, hdr_len, size, start, offset = _FORMAT.unpack_from(raw)
    if hdr_len:
        hdr_len = min(max(hdr_len + octets, 0), 0xFFFF)
    if flags & NEEDS_CSUM:
        start = min(start + octets, 0xFFFF)
    return _FORMAT.pack(flags, gso, hdr_len, size, start, offset)


def _parse(raw: Buffer, spare: int) -> Offload | None:
    """`parse`; the frame has to have room for `spare` more tags."""
    if raw[:HEADER] == PLAIN:
        return None
    frame = memoryview(raw)[HEADER:]
    length = len(frame)
    if length < _ETHERNET:
        raise OffloadError("no frame")
    flags, gso, hdr_len, size, start, offset = _FORMAT.unpack_from(raw)
    if flags & ~(NEEDS_CSUM | DATA_VALID):
        raise OffloadError(f"unknown flags {flags:#x}")
    if hdr_len > length:
        raise OffloadError("headers longer than the frame")
    if not flags & NEEDS_CSUM:
        if gso != GSO_NONE:
            raise OffloadError("a superframe without partial checksum")
        return None
    network, ethertype = _network(frame, _MOST_TAGS + 1 - spare)
    if start < network + _LEAST_IP or start + offset + 2 > length or start + spare * _TAG > 0xFFFF:
        raise OffloadError("the checksum lies outside the IP packet")
    if gso == GSO_NONE:
        return Offload(flags, gso, 0, start, offset, network, 0, Capability.CSUM, 1, length, length)
    return _superframe(frame, (flags, gso, size, start, offset), network, ethertype)


def _superframe(frame: memoryview, fields: tuple[int, int, int, int, int], network: int, ethertype: int) -> Offload:
    """A superframe; `fields` are the first ones of Offload, `ethertype` is that of the header at `network`."""
    _, gso, size, start, offset = fields
    ecn = gso & GSO_ECN
    kind = _KINDS.get((gso & ~GSO_ECN, ethertype))
    if kind is None or (ecn and kind.protocol != _TCP):
        raise OffloadError(f"no superframe of type {gso:#x} has ethertype {ethertype:#06x}")
    if offset != kind.csum_offset:
        raise OffloadError("the checksum is not where the transport has it")
    headers, end = _headers(frame, network, ethertype, kind.protocol, start)
    behind = len(frame) - headers  # Linux counts all of it, padding too
    if not kind.least_size <= size < _GSO_BY_FRAGS or behind > size * kind.most_segments:
        raise OffloadError(f"{behind} octets in segments of {size}")
    payload = end - headers
    count = max(1, -(-payload // size))
    needs = kind.needs | Capability.TSO_ECN if ecn else kind.needs
    return Offload(
        *fields, network, headers, needs, count, octets=payload + count * headers, longest=headers + min(payload, size)
    )


def _network(frame: memoryview, most: int) -> tuple[int, int]:
    """Where the header behind Ethernet's and at most so many tags begins, and its ethertype."""
    at = _ETHERNET
    for _ in range(most + 1):
        ethertype = int.from_bytes(frame[at - 2 : at])
        if ethertype not in _TAGS:
            return at, ethertype
        at += _TAG
    raise OffloadError(f"more than {most} tags")


def _headers(frame: memoryview, network: int, ethertype: int, protocol: int, start: int) -> tuple[int, int]:
    """Where the headers, and where the packet, of a superframe of this protocol end.

    Its transport header is said to begin at `start`, and what is known of that is that it leaves room for 20 octets of
    IP: an IP header that ends before, or behind the frame, does not end there.
    """
    found, transport, end = (_ipv4 if ethertype == _IPV4 else _ipv6)(frame, network)
    if found != protocol or transport != start:
        raise OffloadError(f"the transport header is of protocol {found} and begins at {transport}")
    if protocol == _UDP:
        headers = start + 8
        consistent = int.from_bytes(frame[start + 4 : start + 6]) == end - start
    else:
        headers = start + (frame[start + 12] >> 4) * 4  # it is there: the checksum, farther on, is
        consistent = headers >= start + 20
    if not consistent or not headers <= end <= len(frame):
        raise OffloadError("the lengths contradict each other")
    return headers, end


def _ipv4(frame: memoryview, at: int) -> tuple[int, int, int]:
    """Protocol, where the header ends, where the packet ends."""
    if frame[at] >> 4 != 4:
        raise OffloadError("not an IPv4 header")
    if int.from_bytes(frame[at + 6 : at + 8]) & 0x3FFF:
        raise OffloadError("a superframe that is a fragment")
    return frame[at + 9], at + (frame[at] & 15) * 4, at + int.from_bytes(frame[at + 2 : at + 4])


def _ipv6(frame: memoryview, at: int) -> tuple[int, int, int]:
    """Protocol, where the header and its extensions end, where the packet ends."""
    if frame[at] >> 4 != 6:
        raise OffloadError("not an IPv6 header")
    protocol, end = frame[at + 6], at + 40
    for _ in range(_MOST_EXTENSIONS):
        if protocol not in _EXTENSIONS or end + 2 > len(frame):
            break
        protocol, end = frame[end], end + (frame[end + 1] + 1) * 8
    return protocol, end, at + 40 + int.from_bytes(frame[at + 4 : at + 6])
