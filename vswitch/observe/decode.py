"""A frame in words, by scapy: imported only where frames are decoded, and never in the process of the switch."""

from __future__ import annotations

import importlib
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from scapy.config import conf
from scapy.contrib import lacp, lldp
from scapy.layers import dhcp, dhcp6, dns, inet, inet6, l2, vrrp, vxlan

from vswitch.observe import headers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scapy.packet import Packet

_LAYERS: Final = (lacp, lldp, dhcp, dhcp6, dns, inet6, vrrp, vxlan)
"""Imported for what they dissect."""

_SHOWN: Final = 32
"""Octets of a frame that is shown as hexadecimal."""

_FRAMING: Final = frozenset(("Ethernet", "802.3", "802.1Q", "802.1AD", "LLC", "SNAP"))
_PAYLOAD: Final = frozenset(("Raw", "Padding"))
_NAMES: Final = {"Spanning Tree Protocol": "STP", "DHCP options": "DHCP", "LLDPDUEndOfLLDPDU": "LLDP"}
"""What some layers of scapy are called elsewhere; of the others the first word."""

_LONGEST: Final = 300
"""Letters of a summary: the names of others may be long."""

with suppress(ModuleNotFoundError):
    importlib.import_module("scapy.layers.igmp")  # from scapy 2.7 on

logging.getLogger("scapy").setLevel(logging.CRITICAL)
conf.noenum.add(inet.TCP.sport, inet.TCP.dport, inet.UDP.sport, inet.UDP.dport)
conf.contribs["LLDP"].strict_mode_disable()


class Words(NamedTuple):
    """A frame in words. protocol: the innermost that is known.  summary: the rest, or octets as hexadecimal.

    Both may hold anything that the frame does: they are not fit for a terminal.
    """

    protocol: str
    summary: str


def words(frame: bytes) -> Words:
    """What the frame says; octets for what scapy does not understand. Does not raise."""
    try:
        packet = l2.Ether(frame)
        known = [name for name in _layers(packet) if name not in _FRAMING and name not in _PAYLOAD]
        if not known:
            return _octets(frame)
        summary = packet.summary().removeprefix("Ether / ").removesuffix(" / Padding").removesuffix(" / Raw")
    except Exception:  # whatever it is that scapy trips over
        return _octets(frame)
    return Words(_NAMES.get(known[-1], known[-1].partition(" ")[0]), (summary + _numbers(frame))[:_LONGEST])


def _layers(packet: Packet) -> Iterator[str]:
    """The names of what is in a packet one within the other, without options of a header."""
    while packet:
        yield packet.name
        packet = packet.payload


def _octets(frame: bytes) -> Words:
    """The EtherType, and how the rest begins."""
    _, ethertype, payload = headers.payload(frame)
    more = " ..." if len(payload) > _SHOWN else ""
    return Words(f"0x{ethertype:04x}", f"{frame[6:12].hex(':')} > {frame[:6].hex(':')} {payload[:_SHOWN].hex()}{more}")


def _numbers(frame: bytes) -> str:
    """What scapy's summary leaves out of TCP."""
    _, ethertype, payload = headers.payload(frame)
    packet = headers.ip(ethertype, payload)
    segment = None if packet is None else headers.tcp(packet)
    if segment is None:
        return ""
    return f" seq {segment.sequence} ack {segment.acknowledged} length {segment.length}"
