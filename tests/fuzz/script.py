"""Bytes read as a script, so that a fuzzer that knows nothing but bytes gets deep: frames, configurations, values.

Any bytes are a script; where they end, zeros go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from tests.property.octets import IPV4, IPV6, OTHER, Octets
from vswitch.core.mac import BROADCAST, ZERO

if TYPE_CHECKING:
    from collections.abc import Sequence

Choice = TypeVar("Choice")

STATIONS: Final = tuple(bytes((2, 0, 0, 0, 0, last)) for last in range(1, 7))
RESERVED: Final = tuple(bytes.fromhex("0180c20000") + bytes((last,)) for last in (0, 1, 2, 0x0B, 0x0E, 0x0F, 0x10))
MULTICAST: Final = bytes.fromhex("01005e000005")
DESTINATIONS: Final = (*STATIONS, BROADCAST, MULTICAST, *RESERVED, ZERO)
SOURCES: Final = (*STATIONS, *STATIONS, *STATIONS, MULTICAST, ZERO)
TPIDS: Final = (0x8100, 0x8100, 0x88A8)
VIDS: Final = (10, 20, 1, 0, 30, 0xFFF)
SIZES: Final = (100, 1000, 8, 1, 1448, 7, 0xFFFE, 0xFFFF)
TEXTS: Final = (
    "a", "b", "web", "tap0", "vnet%d", "%", "10ms", "1e5", "300s", "0x10", "10mbit", "0.5%", "20-29", "29-20", "4095",
    "52:54:00:a8:32:d7", "01:80:c2:00:00:0e", "10.0.0.1/24", "fd00::1/64", "[::1]:9475", "127.0.0.1:9475", "/run/x",
    "wire", "bridge", "", " ", "on", "\0", "é", "\ud800", "x" * 40,
)  # fmt: skip
KEYS: Final = (
    "name", "ports", "ageing", "vlan_filtering", "fdb", "limit", "static", "mac", "port", "vlan", "metrics", "listen",
    "control", "tap", "fd", "netns", "address", "mtu", "speed", "offload", "access", "trunk", "native", "isolated",
    "reserved", "a", "web", "unknown", "\ud800",
)  # fmt: skip
PIECES: Final = (
    *TEXTS,
    *"0123456789.-:/%[], ",
    "us",
    "µs",
    "ms",
    "s",
    "min",
    "h",
    "kbit",
    "gbit",
    "tbit",
    "²",
    "٣",
    "e",
    "ff",
)
NUMBERS: Final = (0, 1, 10, -1, 4094, 4095, 1500, 68, 65535, 10**6, 2**63, 10**400, 0.5, 1e308, float("inf"))


class Script:
    """Reads bytes as choices."""

    def __init__(self, data: bytes) -> None:
        """From the start of `data`."""
        self._data = data
        self._at = 0

    @property
    def ended(self) -> bool:
        """Whether only zeros follow."""
        return self._at >= len(self._data)

    def octets(self, count: int) -> bytes:
        """The next octets."""
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken.ljust(count, b"\0")

    def number(self, below: int) -> int:
        """A number from 0."""
        return int.from_bytes(self.octets(1 if below <= 256 else 2)) % below

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """One of several."""
        return choices[self.number(len(choices))]

    def rest(self) -> bytes:
        """All that is left."""
        rest, self._at = self._data[self._at :], len(self._data)
        return rest


def frame(script: Script) -> bytes:
    """A frame with its virtio-net header: well formed, then changed in up to three places, or cut or lengthened."""
    raw = bytearray(_template(script).raw)
    for _ in range(script.choose((0, 0, 0, 1, 2, 3))):
        kind = script.number(8)
        if kind == 0:
            del raw[script.number(len(raw) + 1) :]
        elif kind == 1:
            raw += bytes(script.number(64))
        elif raw:
            at = script.number(min(len(raw), 10 if kind == 2 else 120))
            raw[at] = script.number(256)
    return bytes(raw)


def _template(script: Script) -> Octets:
    tags = [(script.choose(TPIDS), script.number(16) << 12 | script.choose(VIDS)) for _ in range(_depth(script))]
    ethertype = script.choose((IPV4, IPV6, OTHER, IPV4, IPV6))
    size = script.choose((None, 0, *SIZES))
    tcp = bool(script.number(2))
    segments = script.choose((0, 1, 2, 3, 5, 128, 129, 2048))
    length = min((size or 1) * segments + script.choose((0, 1, 2, 50, 1500)), 60_000)
    return Octets(
        script.choose(DESTINATIONS),
        script.choose(SOURCES),
        tuple(tags),
        ethertype,
        tcp,
        script.choose((0, 0, 1, 2, 8)),
        length,
        size,
    )


def _depth(script: Script) -> int:
    return script.choose((0, 1, 0, 1, 1, 2, 8, 9))


def text(script: Script) -> str:
    """A text of up to eight pieces of what people write."""
    return "".join(script.choose(PIECES) for _ in range(1 + script.number(8)))


def value(script: Script, depth: int = 5) -> Any:
    """Data as JSON has it, of the words of a configuration."""
    kind = script.number(8) if depth else 3 + script.number(5)
    if kind < 2:
        return {script.choose(KEYS): value(script, depth - 1) for _ in range(script.number(6))}
    if kind == 2:
        return [value(script, depth - 1) for _ in range(script.number(4))]
    if kind in (3, 4):
        return script.choose(TEXTS)
    return script.choose(NUMBERS) if kind in (5, 6) else script.choose((None, True, False))


def configuration(script: Script) -> dict[str, Any]:
    """Almost a configuration: ports with options, a few of them strange, and a few strange keys beside."""
    ports = {script.choose(TEXTS[:4]): _port(script) for _ in range(script.number(4))}
    data: dict[str, Any] = {"name": "lab0", "ports": ports}
    for _ in range(script.number(3)):
        data[script.choose(KEYS)] = value(script, 3)
    if script.number(2):
        entries = [
            {"mac": script.choose(TEXTS[15:17]), "port": script.choose((*TEXTS[:4], "\ud800"))} for _ in range(2)
        ]
        data["fdb"] = {"limit": script.choose(NUMBERS), "static": entries[: script.number(3)]}
    return data


def _port(script: Script) -> dict[str, Any]:
    port: dict[str, Any] = {"tap": script.choose(TEXTS[:6])} if script.number(4) else {"fd": script.choose(NUMBERS)}
    for _ in range(script.number(4)):
        port[script.choose(KEYS[13:])] = value(script, 1)
    return port
