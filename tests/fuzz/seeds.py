"""What a fuzzer starts from: a few inputs of each target that get far."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Final

from tests.property.octets import IPV4, IPV6, Octets

if TYPE_CHECKING:
    from collections.abc import Callable

A, B = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")

FRAMES: Final = tuple(
    sent.raw
    for sent in (
        Octets(b"\xff" * 6, A, length=5),
        Octets(B, A, ((0x8100, 0xA00A),), length=1500),
        Octets(B, A, ((0x88A8, 20), (0x8100, 10)), IPV4, tcp=True, extra=1, length=3000, size=1000),
        Octets(A, B, (), IPV6, tcp=True, extra=2, length=200, size=64),
        Octets(A, B, ((0x8100, 10),), IPV4, length=99, size=10),
        Octets(A, B, (), IPV6, length=3, size=0),
        Octets(bytes.fromhex("0180c200000e"), A),
    )
)
"""Virtio-net header and frame."""

EDITED: Final = bytes((1, 1, 2, 127, 0, 0, 0, 3, 15, 0))
"""How a script begins that has one whole frame leave with another tag."""

CONFIGURATION: Final = """\
name: lab0
ageing: 300s
vlan_filtering: on
ports:
  web: &web {tap: web0, netns: web, address: [10.0.0.1/24, "fd00::1/64"], access: 10, isolated: true}
  db: {<<: *web, tap: vnet%d, mac: 52:54:00:11:22:33, speed: 10mbit}
  "far": {fd: 27, trunk: [10, 20-29], native: 1, reserved: wire}
fdb:
  limit: 16384
  static: [{mac: "52:54:00:a8:32:d7", port: far, vlan: 20}]
metrics: {listen: 127.0.0.1:9475}
control: /run/vswitch/lab0.sock
"""

DATA: Final = {
    "name": "lab0",
    "ageing": 60,
    "ports": {"web": {"tap": "web0", "mtu": 9000, "access": 10}, "far": {"fd": 3, "trunk": ["10-20"], "native": 1}},
    "fdb": {"limit": 100, "static": [{"mac": "52:54:00:a8:32:d7", "port": "web"}]},
}

MISTAKES: Final = (
    "a: [*b, {<<: &b [*b]}]",
    '? {x: y}\n: "\\UFFFFFFFF \\ud800"',
    "name: a\nname: b\nports: {a: {tapp: x}}",
)

QUANTITIES: Final = (
    "10ms",
    "9999tbit",
    "0.5%",
    "10,20-29,4094",
    "vnet%d",
    "52:54:00:a8:32:d7",
    "fd00::1/64",
    "[::1]:9",
)


def seeds(target: str) -> list[bytes]:
    """The inputs that a target starts from."""
    own = _OWN.get(target)
    return own() if own else _scripts()


def _scripts() -> list[bytes]:
    numbers = random.Random(802)
    return [numbers.randbytes(length) for length in (20, 60, 120, 240)]


_OWN: Final[dict[str, Callable[[], list[bytes]]]] = {
    "raw_frame": lambda: [bytes((filtering, port)) + raw for filtering in (0, 1) for port, raw in enumerate(FRAMES)],
    "header": lambda: list(FRAMES),
    "twins": lambda: [*(EDITED + raw for raw in FRAMES), *(b"\0" + script for script in _scripts())],
    "yaml_text": lambda: [text.encode() for text in (CONFIGURATION, *MISTAKES)],
    "json_text": lambda: [json.dumps(DATA).encode(), b'{"ageing": 1' + b"0" * 400 + b', "\\ud800": NaN}'],
    "quantities": lambda: [text.encode() for text in QUANTITIES],
}
