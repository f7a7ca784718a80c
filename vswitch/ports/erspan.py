"""`erspan`: a remote collector, by ERSPAN over GRE. It only sends: frames never come in by it.

The headers are those of draft-foschiano-erspan-03, filled in as Linux does (erspan_build_header() in
include/net/erspan.h), under a GRE header with sequence numbers (RFC 2890).
"""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from vswitch.ports.datagrams import DatagramOptions, DatagramPort
from vswitch.units import HostAddress, Whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

_SEQUENCE: Final = 0x1000  # the S bit of GRE
_PROTOCOLS: Final = {2: 0x88BE, 3: 0x22EB}  # by type; the version in the header is one less
_GRE: Final = struct.Struct("!HHI")  # flags, protocol, sequence number
_BEGIN: Final = struct.Struct("!HH")  # version and VLAN; priority, encapsulation, truncation and session
_INDEX: Final = struct.Struct("!I")  # type II: reserved, port index
_STAMP: Final = struct.Struct("!IHH")  # type III: timestamp, security group tag, flags
_IN_FRAME: Final = 3 << 11  # En: the frame has its tag in it; in type III these bits say what is wrong with it
_ETHERNET: Final = 1 << 15  # P: what follows is an Ethernet frame
_TAGS: Final = (0x8100, 0x88A8)
_TICK: Final = 100_000  # ns; Gra is 0: the timestamp counts 100 µs

_ATTACH_FILTER: Final = 26  # SO_ATTACH_FILTER of asm-generic/socket.h
_NOTHING: Final = struct.pack("=HBBI", 6, 0, 0, 0)  # BPF_RET | BPF_K: let no packet in


class ErspanOptions(DatagramOptions):
    """A collector, and how it tells this source from others."""

    erspan: HostAddress = Field(description="the collector's address")
    session: Whole = Field(1, ge=0, le=1023, description="the session's number, which tells the collector the source")
    version: Literal[2, 3] = Field(2, description="the type of ERSPAN: II, or III with timestamps")

    identity = ("netns", "session")

    @property
    def remote(self) -> IPv4Address | IPv6Address:
        """The collector's address."""
        return self.erspan  # type: ignore[no-any-return]

    def device(self) -> object:
        """One session, one port: sequence numbers would be those of two."""
        return ("erspan", self.netns, str(self.erspan), self.session)


class ErspanPort(DatagramPort):
    """Sends frames to a collector."""

    kind = "erspan"
    options_type = ErspanOptions

    options: ErspanOptions

    @property
    def protocol(self) -> int:
        """GRE."""
        return socket.IPPROTO_GRE

    def make_socket(self, family: socket.AddressFamily) -> socket.socket:
        """A raw socket of GRE that hears nothing."""
        sock = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_GRE)
        program = ctypes.create_string_buffer(_NOTHING, len(_NOTHING))
        try:
            sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(program)))
        except OSError:
            sock.close()
            raise
        return sock

    def header(self, frame: memoryview) -> bytes:
        """GRE's and ERSPAN's."""
        version, session = self.options.version, self.options.session
        gre = _GRE.pack(_SEQUENCE, _PROTOCOLS[version], self.number & 0xFFFFFFFF)
        tpid, tci = struct.unpack_from("!HH", frame, 12)
        vid, priority, form = (tci & 0xFFF, tci & 0xE000, _IN_FRAME) if tpid in _TAGS else (0, 0, 0)
        if version == 2:
            return gre + _BEGIN.pack(1 << 12 | vid, priority | form | session) + _INDEX.pack(0)
        begin = _BEGIN.pack(2 << 12 | vid, priority | session)
        return gre + begin + _STAMP.pack(time.time_ns() // _TICK & 0xFFFFFFFF, 0, _ETHERNET)

    def receive_burst(self, buffers: Sequence[memoryview]) -> list[memoryview]:
        """Nothing; what the socket says of itself, if anything, is read and forgotten."""
        try:
            if self._socket is not None and buffers:
                self._socket.recv(1)
        except OSError:
            pass
        return []
