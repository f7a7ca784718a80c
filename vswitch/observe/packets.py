"""Packets of a file: pcap, or pcapng as it is written here."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from vswitch.observe.pcapng import SECTION, PcapngError, Reader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MAGICS: Final = {0xA1B2C3D4: "microseconds", 0xA1B23C4D: "nanoseconds"}
_ETHERNET: Final = 1
_HEAD: Final = 24
_RECORD: Final = 16


def packets(path: Path) -> Iterator[bytes]:
    """The packets of a file, Ethernet header first. Raises OSError, or ValueError for what is none."""
    octets = path.read_bytes()
    if octets[:4] == SECTION.to_bytes(4):
        try:
            yield from (packet.data for packet in Reader().feed(octets))
        except PcapngError as error:
            raise ValueError(f"{path}: {error}") from error
        return
    for order in "<>":
        if len(octets) >= _HEAD and struct.unpack_from(f"{order}I", octets)[0] in _MAGICS:
            if struct.unpack_from(f"{order}I", octets, 20)[0] & 0xFFFF != _ETHERNET:
                raise ValueError(f"{path} has packets of another link than Ethernet")
            yield from _records(octets, order)
            return
    raise ValueError(f"{path} is no pcap or pcapng file")


def _records(octets: bytes, order: str) -> Iterator[bytes]:
    at = _HEAD
    while at + _RECORD <= len(octets):
        _, _, kept, _ = struct.unpack_from(f"{order}IIII", octets, at)
        at += _RECORD
        if at + kept > len(octets):
            return
        yield octets[at : at + kept]
        at += kept
