"""pcapng, written and read: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html

Of the format what captures need: a section, an interface for each port, and enhanced packets with direction, comment,
number and losses. Blocks are written in the byte order of the machine.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from vswitch import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vswitch.core.offload import Buffer

SECTION: Final = 0x0A0D0D0A
INTERFACE, STATISTICS, PACKET = 1, 5, 6
ETHERNET: Final = 1
"""LINKTYPE_ETHERNET."""

INBOUND, OUTBOUND = 1, 2
"""Of epb_flags."""

_END, _COMMENT = 0, 1
_USER_APPLICATION: Final = 4
_IF_NAME, _IF_DESCRIPTION, _IF_TSRESOL, _NANOSECONDS = 2, 3, 9, 9
_FLAGS, _DROPS, _NUMBER = 2, 4, 5
_RECEIVED, _LOST = 4, 5
_MAGIC: Final = 0x1A2B3C4D

_BLOCK: Final = struct.Struct("=II")
_LENGTH: Final = struct.Struct("=I")
_OPTION: Final = struct.Struct("=HH")
_PACKET_HEAD: Final = struct.Struct("=IIIIIII")
_MARKS: Final = struct.Struct("=HHIHHQ")
_NO_MORE: Final = bytes(4)
MOST: Final = 1 << 24
"""Octets of a block, at most; a longer one is not ours."""


class PcapngError(ValueError):
    """These octets are no pcapng, or none that is understood here: one sentence."""


class Packet(NamedTuple):
    """A packet that was read.

    interface: the name of its port.  time: nanoseconds since the epoch.  direction: INBOUND, OUTBOUND or 0.
    length: as it was, where `data` is the beginning.  number: epb_packetid.  lost: packets lost before this one.
    """

    interface: str
    time: int
    data: bytes
    length: int
    direction: int
    comment: str
    number: int
    lost: int


def section() -> bytes:
    """The section header block: the begin of every file."""
    application = f"vswitch {__version__}".encode()
    body = struct.pack("=IHHq", _MAGIC, 1, 0, -1) + _option(_USER_APPLICATION, application) + _NO_MORE
    return _block(SECTION, body)


def interface(name: str, description: str, snaplen: int) -> bytes:
    """The interface description block of a port. snaplen: octets of a packet that are kept, 0 for all."""
    options = _option(_IF_NAME, name.encode()) + _option(_IF_TSRESOL, bytes([_NANOSECONDS]))
    if description:
        options += _option(_IF_DESCRIPTION, description.encode())
    return _block(INTERFACE, struct.pack("=HHI", ETHERNET, 0, snaplen) + options + _NO_MORE)


def packet(
    number: int,
    time: int,
    data: Buffer,
    length: int,
    *,
    interface: int,
    direction: int,
    comment: str = "",
    lost: int = 0,
) -> bytes:
    """The enhanced packet block of a frame: `data`, the begin of `length` octets. See `Packet`."""
    options = _MARKS.pack(_FLAGS, 4, direction, _NUMBER, 8, number)
    if comment:
        options += _option(_COMMENT, comment.encode())
    if lost:
        options += _option(_DROPS, lost.to_bytes(8, sys.byteorder))
    kept = len(data)
    padding = bytes(-kept % 4)
    whole = _PACKET_HEAD.size + kept + len(padding) + len(options) + len(_NO_MORE) + _LENGTH.size
    head = _PACKET_HEAD.pack(PACKET, whole, interface, time >> 32, time & 0xFFFFFFFF, kept, length)
    return b"".join((head, data, padding, options, _NO_MORE, _LENGTH.pack(whole)))


def statistics(interface: int, time: int, received: int, lost: int) -> bytes:
    """The interface statistics block of a port: packets that were wanted, and those of them that were lost."""
    options = _option(_RECEIVED, received.to_bytes(8, sys.byteorder)) + _option(_LOST, lost.to_bytes(8, sys.byteorder))
    return _block(STATISTICS, struct.pack("=III", interface, time >> 32, time & 0xFFFFFFFF) + options + _NO_MORE)


def _block(kind: int, body: bytes) -> bytes:
    length = _BLOCK.size + len(body) + _LENGTH.size
    return b"".join((_BLOCK.pack(kind, length), body, _LENGTH.pack(length)))


def _option(code: int, value: bytes) -> bytes:
    return _OPTION.pack(code, len(value)) + value + bytes(-len(value) % 4)


class Splitter:
    """Cuts a stream of octets, in the byte order of this machine, into its blocks."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self._rest = b""

    def feed(self, octets: bytes) -> Iterator[tuple[int, bytes]]:
        """The blocks, each with its type, that are whole with these octets. Raises PcapngError."""
        data, at = self._rest + octets, 0
        while len(data) - at >= _BLOCK.size:
            kind, length = _BLOCK.unpack_from(data, at)
            if length < _BLOCK.size + _LENGTH.size or length % 4 or length > MOST:
                self._rest = b""
                raise PcapngError("this is no pcapng of this machine: a block says that it has an impossible length")
            if len(data) - at < length:
                break
            yield kind, data[at : at + length]
            at += length
        self._rest = data[at:]


class Reader:
    """Reads the packets of a stream that was written here."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self._splitter = Splitter()
        self._names: list[str] = []
        self._resolutions: list[int] = []

    def feed(self, octets: bytes) -> Iterator[Packet]:
        """The packets that are whole with these octets. Raises PcapngError."""
        for kind, block in self._splitter.feed(octets):
            if kind == SECTION:
                self._names.clear()
                self._resolutions.clear()
            elif kind == INTERFACE:
                if block[8:10] != ETHERNET.to_bytes(2, sys.byteorder):
                    raise PcapngError("it has packets of another link than Ethernet")
                options = dict(_options(block, 16))
                self._names.append(options.get(_IF_NAME, b"").decode(errors="replace"))
                self._resolutions.append(_nanoseconds(options.get(_IF_TSRESOL, b"\x06")))
            elif kind == PACKET:
                yield self._packet(block)

    def _packet(self, block: bytes) -> Packet:
        if len(block) < _PACKET_HEAD.size + _LENGTH.size:
            raise PcapngError("a packet block is too short")
        _, _, number, high, low, kept, length = _PACKET_HEAD.unpack_from(block)
        end = _PACKET_HEAD.size + kept
        if end > len(block) - _LENGTH.size or number >= len(self._names):
            raise PcapngError("a packet is longer than its block, or of an interface that is not described")
        options = dict(_options(block, end + -kept % 4))
        return Packet(
            interface=self._names[number],
            time=(high << 32 | low) * self._resolutions[number],
            data=block[_PACKET_HEAD.size : end],
            length=length,
            direction=int.from_bytes(options.get(_FLAGS, b"")[:4], sys.byteorder) & 3,
            comment=options.get(_COMMENT, b"").decode(errors="replace"),
            number=int.from_bytes(options.get(_NUMBER, b"")[:8], sys.byteorder),
            lost=int.from_bytes(options.get(_DROPS, b"")[:8], sys.byteorder),
        )


def lost_before(block: bytes) -> int:
    """Packets that were lost before the one of this packet block, which was written here."""
    if len(block) < _PACKET_HEAD.size:
        return 0
    kept = int.from_bytes(block[20:24], sys.byteorder)
    for code, value in _options(block, _PACKET_HEAD.size + kept + -kept % 4):
        if code == _DROPS:
            return int.from_bytes(value[:8], sys.byteorder)
    return 0


def _options(block: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    end = len(block) - _LENGTH.size
    while at + _OPTION.size <= end:
        code, length = _OPTION.unpack_from(block, at)
        at += _OPTION.size
        if code == _END or at + length > end:
            return
        yield code, block[at : at + length]
        at += length + -length % 4


def _nanoseconds(resolution: bytes) -> int:
    """Of one tick, of those that are powers of ten."""
    power = resolution[0] if resolution else 6
    if power > _NANOSECONDS:
        raise PcapngError("the times of an interface are finer than nanoseconds, or in powers of two")
    return int(10 ** (_NANOSECONDS - power))
