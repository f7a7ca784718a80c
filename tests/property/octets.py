"""Frames built octet by octet from what they should say: plain ones, partial checksums, superframes, with any tags."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vswitch.core.offload import GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM, PLAIN

IPV4, IPV6, OTHER = 0x0800, 0x86DD, 0x88B5
Tag = tuple[int, int]

_PAYLOAD = b"".join(number.to_bytes(2) for number in range(0x8000))


@dataclass(frozen=True)
class Octets:
    """What a sender means; `raw` is what it writes.

    tags: (TPID, TCI), the outer one first.  size: payload octets of a segment; 0: a partial checksum; None: a plain
    frame.  length: octets of payload.  extra: IP options or extension headers, in units of 4 and 8 octets.
    """

    destination: bytes
    source: bytes
    tags: tuple[Tag, ...] = ()
    ethertype: int = OTHER
    tcp: bool = False
    extra: int = 0
    length: int = 0
    size: int | None = None

    @property
    def payload(self) -> bytes:
        """No two places of it look alike."""
        return _PAYLOAD[: self.length]

    @property
    def ethernet(self) -> bytes:
        """The Ethernet header with all tags."""
        tags = b"".join(struct.pack(">HH", *tag) for tag in self.tags)
        return self.destination + self.source + tags + struct.pack(">H", self.ethertype)

    @property
    def start(self) -> int:
        """Where the transport header begins, in the frame."""
        return len(self.ethernet) + (20 + 4 * self.extra if self.ethertype == IPV4 else 40 + 8 * self.extra)

    @property
    def headers(self) -> int:
        """Octets of all headers of a superframe."""
        return self.start + (20 if self.tcp else 8)

    @property
    def segments(self) -> int:
        """Frames on the wire."""
        return max(1, -(-self.length // self.size)) if self.size else 1

    @property
    def frame(self) -> bytes:
        """From the Ethernet header on, without padding."""
        if self.ethertype == OTHER:
            return self.ethernet + self.payload
        return self.ethernet + self._network() + self._transport() + self.payload

    @property
    def header(self) -> bytes:
        """The virtio-net header."""
        if self.size is None or self.ethertype == OTHER:
            return PLAIN
        kind = (GSO_TCPV4 if self.ethertype == IPV4 else GSO_TCPV6) if self.tcp else GSO_UDP_L4
        offset = 16 if self.tcp else 6
        fields = (kind, self.headers, self.size) if self.size else (GSO_NONE, 0, 0)
        return struct.pack("=BBHHHH", NEEDS_CSUM, *fields, self.start, offset)

    @property
    def raw(self) -> bytes:
        """What is written to a TAP."""
        return self.header + self.frame

    def _network(self) -> bytes:
        protocol = 6 if self.tcp else 17
        behind = (20 if self.tcp else 8) + self.length
        if self.ethertype == IPV4:
            length = 20 + 4 * self.extra
            fixed = struct.pack(">BBHHHBBH", 0x45 + self.extra, 0, length + behind, 0xFFFE, 0x4000, 64, protocol, 0)
            return fixed + bytes.fromhex("c0000201c6336402") + b"\x01" * (4 * self.extra)
        chain = [*([60] * self.extra), protocol]
        extensions = b"".join(struct.pack(">BB6x", following, 0) for following in chain[1:])
        return struct.pack(">IHBB", 6 << 28, len(extensions) + behind, chain[0], 64) + bytes(32) + extensions

    def _transport(self) -> bytes:
        if self.tcp:
            return struct.pack(">HHIIBBHHH", 1024, 80, 0xFFFFFF00, 7, 0x50, 0x99, 1000, 0x1234, 0)
        return struct.pack(">HHHH", 1024, 53, 8 + self.length, 0x1234)
