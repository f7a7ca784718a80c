"""Random frames from a few stations: seeded, so that a run can be had again, and mostly of the awkward kind."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, NamedTuple

from vswitch.core.frame import C_TAG, S_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TAGS = (C_TAG, S_TAG)
RESERVED = bytes.fromhex("0180c20000")  # five octets of 01-80-C2-00-00-00 … 0F
MARKER_TYPE = 0x88B5  # IEEE 802 local experimental EtherType 1: never in a random frame
VIDS = (1, 10, 20, 30, 4094)

_STATIONS = [bytes((2, 0, 0, 0, 0x5A, number)) for number in range(20)]
_STRANGERS = [bytes((2, 0, 0, 1, 0x5A, number)) for number in range(3)]  # they never send
_BROADCAST = b"\xff" * 6
_GROUPS = [
    bytes.fromhex(mac)
    for mac in [
        "01005e000001",
        "01005e7ffffa",
        "333300000001",
        "3333ff123456",
        "0180c2000010",
        "0180c2000020",
        "0180c2000021",
        "010ccdcdcdcd",
        "01000ccccccc",
        "01000ccccccd",
        "01000ccdcdcd",
        "01000c000000",
        "01e02b000000",
        "01e02b000004",
        "01e02b000006",
        "00e02b000000",
        "030000000001",
        "abababababab",
        "01b4a8320d7e",
        "01b80000000f",
        "011b19000000",
    ]
]
_RESERVED = [RESERVED + bytes((last,)) for last in range(16)]
_TYPES = (0x0800, 0x0806, 0x86DD, 0x8808, 0x8809, 0x888E, 0x88CC, 0x8847, 0x9100, 0x88B6, 0, 46, 1500, 1535, 0xFFFF)
_BOUNDARIES = (14, 18, 19, 20, 59, 60, 61, 63, 64, 65, *range(1500, 1530), 2000)
_PAYLOAD = 4096


class Sent(NamedTuple):
    """A frame as a guest sends it: into which port, and its octets (without FCS)."""

    port: int
    octets: bytes

    @property
    def destination(self) -> bytes:
        """Six octets; fewer in a runt."""
        return self.octets[:6]

    @property
    def source(self) -> bytes:
        """Six octets; fewer in a runt."""
        return self.octets[6:12]

    @property
    def tpid(self) -> int:
        """The TPID of the outer tag, cut short or not; 0: it has none."""
        tpid = int.from_bytes(self.octets[12:14])
        return tpid if tpid in TAGS else 0

    @property
    def tci(self) -> int:
        """The outer tag's PCP, DEI and VID; 0 where there is no tag. Octets that are missing count as zeros."""
        return int.from_bytes(self.octets[14:16].ljust(2, b"\0")) if self.tpid else 0

    @property
    def vid(self) -> int:
        """The outer tag's VID; 0 where there is no tag."""
        return self.tci & 0x0FFF

    def altered(self, destination: bytes | None = None, *, octets: bytes | None = None) -> Sent:
        """The same with another destination, or other octets."""
        if destination is not None:
            octets = destination + self.octets[6:]
        return Sent(self.port, self.octets if octets is None else octets)

    def __repr__(self) -> str:
        """Enough to send it again."""
        return f"Sent({self.port}, bytes.fromhex({self.octets.hex()!r}))"


def batches(seed: int, count: int, ports: int) -> Iterator[list[Sent]]:
    """`count` random frames into `ports` ports, in batches of a few that enter one port each."""
    random = Random(seed)
    payload = random.randbytes(2 * _PAYLOAD)
    while count > 0:
        size = min(count, random.randint(1, 16))
        port = random.randrange(ports)
        yield [Sent(port, _octets(random, port, ports, payload)) for _ in range(size)]
        count -= size


def _octets(random: Random, port: int, ports: int, payload: bytes) -> bytes:
    offset = random.randrange(_PAYLOAD)
    length = _length(random)
    source = _source(random, port, ports)
    destination = source if random.random() < 0.01 else _destination(random)
    ether_type = random.choice(_TYPES).to_bytes(2)
    head = b"".join((destination, source, *_tags(random), ether_type))
    return (head + payload[offset : offset + length])[:length]


def _length(random: Random) -> int:
    kind = random.random()
    if kind < 0.02:
        return random.randint(1, 13)
    if kind < 0.15:
        return random.randint(14, 59)
    if kind < 0.85:
        return random.randint(60, 200)
    return random.choice(_BOUNDARIES) if kind < 0.95 else random.randint(200, 1514)


def _source(random: Random, port: int, ports: int) -> bytes:
    """Usually a station at home on this port, sometimes one that moves here, rarely none that can be."""
    kind = random.random()
    if kind < 0.85:
        return random.choice(_STATIONS[port::ports])
    if kind < 0.95:
        return random.choice(_STATIONS)
    return random.choice((bytes(6), _BROADCAST, random.choice(_GROUPS)))


def _destination(random: Random) -> bytes:
    pools: Sequence[Sequence[bytes]] = (_STATIONS, _STRANGERS, (_BROADCAST,), _GROUPS, _RESERVED, (bytes(6),))
    return random.choice(random.choices(pools, (60, 8, 8, 12, 10, 2))[0])


def _tags(random: Random) -> list[bytes]:
    kind = random.random()
    number = 0 if kind < 0.4 else 1 if kind < 0.85 else 2 if kind < 0.97 else 3
    return [_tag(random) for _ in range(number)]


def _tag(random: Random) -> bytes:
    vid = random.choice((*VIDS, *VIDS, 0, 0, 0xFFF, random.randrange(0x1000)))
    priority = random.choice((0, 0, random.randrange(16)))  # PCP and DEI
    tpid = random.choices(TAGS, (3, 1))[0]
    return tpid.to_bytes(2) + (priority << 12 | vid).to_bytes(2)
