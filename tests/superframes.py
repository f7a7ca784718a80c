"""Frames with a virtio-net header that asks for something, made by scapy: what senders make, and strategies of them."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop
from scapy.packet import Packet, Raw

from vswitch.core.offload import DATA_VALID, GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, HEADER, NEEDS_CSUM

C_TAG, S_TAG = 0x8100, 0x88A8
ADDRESSES = bytes.fromhex("020000000002020000000001")
IP4 = IP(src="192.0.2.1", dst="198.51.100.2", id=0xFFFE, flags="DF")
IP6 = IPv6(src="2001:db8::1", dst="2001:db8:1::2")


@dataclass(frozen=True)
class Sent:
    """A superframe, or a frame with a partial checksum where `size` is 0; `raw` is what a sender would write.

    ip, transport: without lengths and checksums.  tags: (TPID, TCI), the outer one first.  ecn: the ECN flag is set.
    valid: DATA_VALID is set too.
    """

    ip: Packet
    transport: Packet
    payload: bytes
    size: int
    tags: tuple[tuple[int, int], ...] = ()
    ecn: bool = False
    valid: bool = False

    @property
    def version(self) -> int:
        return int(self.ip.version)

    @property
    def network(self) -> int:
        """Where the IP header begins, in the frame."""
        return 14 + 4 * len(self.tags)

    @property
    def start(self) -> int:
        """Where the transport header begins, in the frame."""
        return self.network + len(bytes(self.ip))

    @property
    def headers(self) -> int:
        """Octets of all headers."""
        return self.start + len(bytes(self.transport))

    @property
    def tcp(self) -> bool:
        return isinstance(self.transport, TCP)

    @property
    def gso_type(self) -> int:
        if not self.size:
            return GSO_NONE
        kind = (GSO_TCPV4 if self.version == 4 else GSO_TCPV6) if self.tcp else GSO_UDP_L4
        return kind | (GSO_ECN if self.ecn else 0)

    @property
    def header(self) -> bytes:
        return header(
            flags=NEEDS_CSUM | (DATA_VALID if self.valid else 0),
            gso=self.gso_type,
            hdr_len=self.headers if self.size else 0,
            size=self.size,
            start=self.start,
            offset=16 if self.tcp else 6,
        )

    @property
    def ethernet(self) -> bytes:
        """Addresses, tags and ethertype."""
        tags = b"".join(struct.pack(">HH", *tag) for tag in self.tags)
        return ADDRESSES + tags + (b"\x08\x00" if self.version == 4 else b"\x86\xdd")

    @property
    def raw(self) -> bytes:
        packet = bytearray(bytes(self.ip / self.transport / Raw(self.payload)))
        start = len(bytes(self.ip))
        at = start + (16 if self.tcp else 6)
        addresses = packet[12:20] if self.version == 4 else packet[8:40]
        packet[at : at + 2] = pseudo(bytes(addresses), 6 if self.tcp else 17, len(packet) - start).to_bytes(2)
        return self.header + self.ethernet + packet


def header(flags: int = 0, gso: int = 0, hdr_len: int = 0, size: int = 0, start: int = 0, offset: int = 0) -> bytes:
    """A virtio-net header."""
    return struct.pack("=BBHHHH", flags, gso, hdr_len, size, start, offset)


def pseudo(addresses: bytes, protocol: int, length: int) -> int:
    """The sum of a pseudo-header, word by word and carry by carry as RFC 1071 has it: what a sender leaves."""
    total = 0
    for (word,) in struct.iter_unpack(">H", addresses + struct.pack(">HH", protocol, length)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


def noise(length: int, seed: int) -> bytes:
    """That many octets, quicker than hypothesis draws them."""
    return random.Random(seed).randbytes(length)


WORDS = st.integers(0, 0xFFFF)
LONGS = st.integers(0, 0xFFFFFFFF)
TAGS = st.lists(st.tuples(st.sampled_from([C_TAG, S_TAG]), WORDS), max_size=3).map(tuple)
TCP_OPTIONS = st.lists(
    st.sampled_from([("NOP", None), ("Timestamp", (7, 9)), ("SAck", (1, 2)), ("SAckOK", b"")]), max_size=3
)


@st.composite
def networks(draw: st.DrawFn) -> Packet:
    """IPv4 with or without options, IPv6 with or without extension headers."""
    if draw(st.booleans()):
        options = [IPOption_NOP()] * draw(st.sampled_from([0, 0, 4, 12]))
        return IP(
            src="192.0.2.1",
            dst="198.51.100.2",
            id=draw(WORDS),
            tos=draw(st.integers(0, 255)),
            ttl=draw(st.integers(1, 255)),
            flags=draw(st.sampled_from(["", "DF"])),
            options=options,
        )
    packet = IPv6(src="2001:db8::1", dst="2001:db8:1::2", tc=draw(st.integers(0, 255)), hlim=draw(st.integers(1, 255)))
    for extension in draw(st.sampled_from([(), (), (IPv6ExtHdrHopByHop,), (IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt)])):
        packet /= extension()
    return packet


@st.composite
def transports(draw: st.DrawFn) -> Packet:
    """TCP with any flags and options, UDP."""
    ports: dict[str, Any] = {"sport": draw(st.integers(1024, 1100)), "dport": draw(st.integers(1024, 1100))}
    if draw(st.booleans()):
        return UDP(**ports)
    return TCP(
        **ports,
        seq=draw(LONGS),
        ack=draw(LONGS),
        window=draw(WORDS),
        urgptr=draw(WORDS),
        flags=draw(st.integers(0, 0x1FF)),
        options=draw(TCP_OPTIONS),
    )


@st.composite
def superframes(draw: st.DrawFn) -> Sent:
    """Superframes of at most 64 KiB and 128 segments, some of one segment and some without payload."""
    ip = draw(networks())
    transport = draw(transports())
    size = draw(st.one_of(st.integers(8, 64), st.integers(65, 1500), st.integers(1501, 0xFFFE)))
    most = min(0xFFFF - len(bytes(ip)) - len(bytes(transport)), size * 128)
    length = draw(st.one_of(st.integers(0, min(most, 2 * size)), st.integers(0, most)))
    ecn = isinstance(transport, TCP) and draw(st.booleans())
    payload = noise(length, draw(LONGS))
    return Sent(ip, transport, payload, size, draw(TAGS), ecn, draw(st.booleans()))


@st.composite
def partials(draw: st.DrawFn) -> Sent:
    """Frames with a partial checksum."""
    ip = draw(networks())
    payload = noise(draw(st.integers(0, 1400)), draw(LONGS))
    return Sent(ip, draw(transports()), payload, 0, draw(TAGS), valid=draw(st.booleans()))


@st.composite
def twisted(draw: st.DrawFn) -> bytes:
    """What `superframes` and `partials` make, with some octets changed (not the addresses), or cut short."""
    raw = bytearray(draw(st.one_of(superframes(), partials())).raw)
    places = [at for at in range(min(len(raw), 110)) if not HEADER <= at < HEADER + len(ADDRESSES)]
    for at, value in draw(st.lists(st.tuples(st.sampled_from(places), st.integers(0, 255)), max_size=4)):
        raw[at] = value
    return bytes(raw[: draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))])
