"""A collector of sFlow version 5 for tests: it takes a datagram apart, octet by octet, and believes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from struct import unpack_from

GENERIC = (
    "ifindex", "type", "speed", "direction", "status",
    "in_octets", "in_unicast", "in_multicast", "in_broadcast", "in_discards", "in_errors", "in_unknown",
    "out_octets", "out_unicast", "out_multicast", "out_broadcast", "out_discards", "out_errors", "promiscuous",
)  # fmt: skip
WIDE = {"speed", "in_octets", "out_octets"}


@dataclass
class Flow:
    """A flow sample."""

    sequence: int
    source: int
    rate: int
    pool: int
    drops: int
    input: int
    output: int
    length: int = -1
    stripped: int = -1
    header: bytes = b""
    vlans: tuple[int, ...] = ()
    """Of extended_switch: VLAN and priority in, VLAN and priority out."""


@dataclass
class Counters:
    """A counters sample."""

    sequence: int
    source: int
    generic: dict[str, int] = field(default_factory=dict)
    ethernet: tuple[int, ...] = ()
    name: str = ""


@dataclass
class Datagram:
    """All of it."""

    agent: str
    sub_agent: int
    sequence: int
    uptime: int
    flows: list[Flow] = field(default_factory=list)
    counters: list[Counters] = field(default_factory=list)


class Octets:
    """What is left to read; reading more than that is an error, and so is leaving some."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets

    def take(self, count: int) -> bytes:
        assert len(self.octets) >= count, "it ends early"
        taken, self.octets = self.octets[:count], self.octets[count:]
        return taken

    def number(self) -> int:
        return int.from_bytes(self.take(4))

    def opaque(self) -> bytes:
        length = self.number()
        taken = self.take(length)
        assert self.take(-length % 4) == bytes(-length % 4), "padding is zeros"
        return taken

    def done(self) -> None:
        assert not self.octets, f"{len(self.octets)} octets are left"


def read(octets: bytes) -> Datagram:
    """A datagram. Raises AssertionError where it is none."""
    at = Octets(octets)
    assert at.number() == 5
    agent = ip_address(at.take({1: 4, 2: 16}[at.number()]))
    datagram = Datagram(str(agent), at.number(), at.number(), at.number())
    for _ in range(at.number()):
        form, body = at.number(), Octets(at.opaque())
        if form == 1:
            datagram.flows.append(_flow(body))
        else:
            assert form == 2, f"a sample of form {form}"
            datagram.counters.append(_counters(body))
        body.done()
    at.done()
    return datagram


def _flow(at: Octets) -> Flow:
    flow = Flow(at.number(), at.number(), at.number(), at.number(), at.number(), at.number(), at.number())
    for _ in range(at.number()):
        form, body = at.number(), Octets(at.opaque())
        if form == 1:
            assert body.number() == 1, "Ethernet"
            flow.length, flow.stripped, flow.header = body.number(), body.number(), body.opaque()
        else:
            assert form == 1001
            flow.vlans = unpack_from(">4I", body.take(16))
        body.done()
    return flow


def _counters(at: Octets) -> Counters:
    counters = Counters(at.number(), at.number())
    for _ in range(at.number()):
        form, body = at.number(), Octets(at.opaque())
        if form == 1:
            counters.generic = {name: int.from_bytes(body.take(8 if name in WIDE else 4)) for name in GENERIC}
        elif form == 2:
            counters.ethernet = unpack_from(">13I", body.take(52))
        else:
            assert form == 1005
            counters.name = body.opaque().decode()
        body.done()
    return counters
