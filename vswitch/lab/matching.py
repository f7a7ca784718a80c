"""Whether a packet is what a test means: by a scapy packet, octets, a filter, or a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vswitch.observe import bpf, pcapng

if TYPE_CHECKING:
    from collections.abc import Callable

    from vswitch.observe.pcapng import Packet

    Pattern: TypeAlias = "bytes | str | Callable[[Packet], object] | Any"
    """`Any` is a packet of scapy, which is imported only where one is given."""

_SHOWN: Final = 32
_WAYS: Final = {pcapng.INBOUND: "in ", pcapng.OUTBOUND: "out"}


def matcher(pattern: Pattern) -> Callable[[Packet], bool]:
    """Whether a packet matches. Raises ValueError for a filter that is not understood, TypeError for no pattern."""
    if isinstance(pattern, (bytes, bytearray)):
        return lambda packet: pattern in packet.data
    if isinstance(pattern, str):
        compiled = bpf.compiled(pattern)
        return lambda packet: compiled(packet.data)
    if _is_scapy(pattern):
        layers = _layers(pattern)
        return lambda packet: _has(_dissected(packet.data), layers)
    if callable(pattern):
        return lambda packet: bool(pattern(packet))
    raise TypeError(f"{pattern!r} is no pattern: give a scapy packet, bytes, a filter or a function")


def summary(packet: Packet, pattern: Pattern) -> str:
    """A packet in a line: as scapy says it where the pattern is one of scapy, else its begin."""
    if _is_scapy(pattern):
        words = _dissected(packet.data).summary()
    else:
        rest = "…" if len(packet.data) > _SHOWN else ""
        words = f"{packet.data[:_SHOWN].hex()}{rest} ({packet.length} octets)"
    return " ".join(filter(None, (packet.interface, _WAYS.get(packet.direction), words, packet.comment)))


def _is_scapy(pattern: Pattern) -> bool:
    """Without importing it: whoever has a packet of scapy has done so."""
    return any(kind.__module__ == "scapy.packet" and kind.__name__ == "Packet" for kind in type(pattern).__mro__)


def _dissected(frame: bytes) -> Any:
    """As scapy reads it; it raises what its dissectors happen to, such as for a runt: that is octets."""
    from scapy.layers.l2 import Ether
    from scapy.packet import Raw

    try:
        return Ether(frame)
    except Exception:
        return Raw(frame)


def _layers(packet: Any) -> list[Any]:
    layers = []
    while packet.name != "NoPayload":
        layers.append(packet)
        packet = packet.payload
    return layers


def _has(frame: Any, wanted: list[Any]) -> bool:
    """Whether the layers are there in this order, others between them or not, with the fields that were set."""
    there = iter(_layers(frame))
    return all(any(_same(layer, each) for layer in there) for each in wanted)


def _same(layer: Any, wanted: Any) -> bool:
    if type(layer) is not type(wanted):
        return False
    if wanted.name == "Raw":  # short frames are padded
        return bool(layer.load.startswith(wanted.load))
    return all(_equal(layer, name, value) for name, value in wanted.fields.items())


def _equal(layer: Any, name: str, value: Any) -> bool:
    """As values, or as octets: an address may be written in several ways."""
    field, actual = layer.get_field(name), layer.getfieldval(name)
    return bool(actual == value or field.i2m(layer, actual) == field.i2m(layer, value))
