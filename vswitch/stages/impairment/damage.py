"""Frames with bits turned over, as noise does, or as a broken memory does behind the checksums."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from vswitch.core import offload
from vswitch.core.offload import HEADER, NEEDS_CSUM, PLAIN, Capability

if TYPE_CHECKING:
    from collections.abc import Iterable

_TYPE: Final = 12
_TAGS: Final = (0x8100, 0x88A8)
_IPV4, _IPV6 = 0x0800, 0x86DD
_UDP: Final = 17
_CHECKSUM: Final = {6: 16, _UDP: 6}
"""Where the checksum of TCP and of UDP stands."""
_FRAGMENT: Final = 0x3FFF


def damaged(raw: bytes, flips: Iterable[int], *, mend: bool) -> bytes:
    """The frame, which asks for no offload, with these bits turned, modulo its length behind the addresses and type.

    mend: with checksums of IP, TCP and UDP that fit what it is now, where it still is such a packet.
    """
    octets = bytearray(raw[HEADER:])
    first = 14 if len(octets) > 14 else 0
    for flip in flips:
        bit = flip % (8 * (len(octets) - first))
        octets[first + bit // 8] ^= 1 << bit % 8
    return PLAIN + bytes(octets) if not mend else _mended(octets)


def _mended(octets: bytearray) -> bytes:
    at = _TYPE
    while int.from_bytes(octets[at : at + 2]) in _TAGS:
        at += 4
    kind, network = int.from_bytes(octets[at : at + 2]), at + 2
    plain = PLAIN + bytes(octets)
    if len(octets) < network + 40:
        return plain
    if kind == _IPV4 and octets[network] >> 4 == 4:
        header = (octets[network] & 15) * 4
        protocol, transport = octets[network + 9], network + header
        octets[network + 10 : network + 12] = bytes(2)
        octets[network + 10 : network + 12] = (_complement(octets[network:transport])).to_bytes(2)
        end = network + int.from_bytes(octets[network + 2 : network + 4])
        if int.from_bytes(octets[network + 6 : network + 8]) & _FRAGMENT:
            return PLAIN + bytes(octets)
        addresses = octets[network + 12 : network + 20]
    elif kind == _IPV6 and octets[network] >> 4 == 6:
        protocol, transport = octets[network + 6], network + 40
        end = transport + int.from_bytes(octets[network + 4 : network + 6])
        addresses = octets[network + 8 : network + 40]
    else:
        return plain
    where = _CHECKSUM.get(protocol)
    if where is None or not transport + where + 2 <= end <= len(octets):
        return PLAIN + bytes(octets)
    if protocol == _UDP and not any(octets[transport + where : transport + where + 2]):
        return PLAIN + bytes(octets)  # it has none
    pseudo = bytes(addresses) + protocol.to_bytes(4) + (end - transport).to_bytes(4)
    octets[transport + where : transport + where + 2] = (~_complement(pseudo) & 0xFFFF).to_bytes(2)
    try:
        asks = struct.pack("=BBHHHH", NEEDS_CSUM, 0, 0, 0, transport, where)
        (whole,) = offload.lower(asks + bytes(octets[:end]), Capability.NONE)
    except (struct.error, offload.OffloadError):  # it is behind more tags than a header can say
        return plain
    return bytes(whole) + bytes(octets[end:])


def _complement(octets: bytes | bytearray) -> int:
    """The checksum of RFC 1071 over these octets, an even number of them."""
    return -int.from_bytes(octets) % 0xFFFF or (0xFFFF if not any(octets) else 0)
