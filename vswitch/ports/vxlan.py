"""`vxlan`: a remote switch, or collector, by VXLAN (RFC 7348): frames in UDP, both ways.

There is one far end, and only what comes from its address with the VNI of the port comes in. As in Linux
(drivers/net/vxlan), what is too long for the way there leaves in fragments, though clause 4.3 would not have it so.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Final

from pydantic import Field

from vswitch.core.offload import HEADER, PLAIN
from vswitch.ports.base import BURST_OCTETS
from vswitch.ports.datagrams import DatagramOptions, DatagramPort
from vswitch.units import HostAddress, Whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from vswitch.ports.base import Options
    from vswitch.ports.host import Host

PORT: Final = 4789  # RFC 7348 clause 8
_VALID: Final = 0x08000000  # the I flag; other bits are reserved, and ignored on receipt
_HEADER: Final = struct.Struct("!II")  # flags; VNI and eight reserved bits
_BEFORE: Final = HEADER - _HEADER.size
"""Where in a buffer a datagram is read to, so that its frame begins where one does."""

_NO_CHECK: Final = 11  # SO_NO_CHECK of asm-generic/socket.h; clause 5: the checksum SHOULD be zero
_QUEUE: Final = 4 << 20
_RCVBUFFORCE: Final = 33


class VxlanOptions(DatagramOptions):
    """The far end of a tunnel."""

    vxlan: HostAddress = Field(description="the far end's address")
    vni: Whole = Field(ge=0, le=0xFFFFFF, description="the VXLAN network identifier")
    udp_port: Whole = Field(PORT, ge=1, le=65535, description="the UDP port, here and at the far end")

    identity = ("netns", "vni", "local", "udp_port")

    @property
    def remote(self) -> IPv4Address | IPv6Address:
        """The far end's address."""
        return self.vxlan  # type: ignore[no-any-return]

    def device(self) -> object:
        """One UDP port of one address, one port of the switch."""
        return ("udp", self.netns, str(self.local), self.udp_port)


class VxlanPort(DatagramPort):
    """Carries frames to and from one far end."""

    kind = "vxlan"
    options_type = VxlanOptions

    options: VxlanOptions

    def __init__(self, options: Options, host: Host) -> None:
        """Not open yet."""
        super().__init__(options, host)
        self._header = _HEADER.pack(_VALID, self.options.vni << 8)

    @property
    def protocol(self) -> int:
        """UDP."""
        return socket.IPPROTO_UDP

    @property
    def far_port(self) -> int:
        """Of UDP, the same on both ends."""
        return self.options.udp_port

    def make_socket(self, family: socket.AddressFamily) -> socket.socket:
        """One of UDP, without checksums where there is IPv4's own."""
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if family == socket.AF_INET:
                sock.setsockopt(socket.SOL_SOCKET, _NO_CHECK, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _QUEUE)
            except PermissionError:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE)
        except OSError:
            sock.close()
            raise
        return sock

    def bind(self, sock: socket.socket) -> None:
        """To the UDP port, of one address or of all."""
        sock.bind((str(self.options.local or ""), self.options.udp_port))

    def header(self, _frame: memoryview) -> bytes:
        """The same for every frame."""
        return self._header

    def receive_burst(self, buffers: Sequence[memoryview]) -> list[memoryview]:
        """One recvfrom(2) a datagram; those of others, and of other networks, are none of ours."""
        if self._socket is None:
            return []
        receive, vni = self._socket.recvfrom_into, self.options.vni
        filled: list[memoryview] = []
        octets = 0
        for _ in buffers:
            buffer = buffers[len(filled)]
            try:
                length, sender = receive(buffer[_BEFORE:])
            except OSError:  # nothing waits, or the socket tells of something sent, which it does once
                break
            if length < _HEADER.size or sender[0] != self.device:
                continue
            flags, tail = _HEADER.unpack_from(buffer, _BEFORE)
            if not flags & _VALID or tail >> 8 != vni:
                continue
            buffer[:HEADER] = PLAIN
            filled.append(buffer[: _BEFORE + length])
            octets += length
            if octets > BURST_OCTETS:
                break
        return filled

    def _why_not(self, error: OSError) -> str:
        if error.errno == errno.EADDRINUSE:
            return (
                f"UDP port {self.options.udp_port} is in use, by another port or a VXLAN device of the kernel; "
                "give this one another udp_port, or an address of its own (local)"
            )
        return super()._why_not(error)
