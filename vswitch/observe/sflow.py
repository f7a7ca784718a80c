"""sFlow version 5 as octets: what a datagram is, and the samples in it (sflow_version_5.txt of sflow.org, section 5).

Everything is XDR (RFC 4506): numbers of four octets, or eight, the highest first, and padding to a multiple of four.
No port has an index of 2^24 or more, so all samples have the compact form.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from vswitch.core import segment
from vswitch.core.offload import HEADER
from vswitch.core.verdict import Reason
from vswitch.core.vlan import VID_BITS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from vswitch.core.frame import Frame
    from vswitch.core.port import BridgePort
    from vswitch.core.sampling import Sample
    from vswitch.core.verdict import Verdict

VERSION: Final = 5
FCS: Final = 4
"""Octets that a frame has on the wire and nowhere here: lengths count them, and they are said to be stripped."""

UNKNOWN: Final = 0xFFFFFFFF
"""Of a counter, or of a VLAN or priority (errata of sflow.org)."""

DISCARDED: Final = 1 << 30
MULTIPLE: Final = 2 << 30
"""What an output is, beside the index of one port: not sent, with a reason; or sent by so many ports."""

MOST_OVERHEAD: Final = 40 + 88 + 3
"""Octets of a datagram with one flow sample, at most, beside the header that was sampled."""

_FLOW, _COUNTERS = 1, 2  # sample_data
_RAW_HEADER, _SWITCH = 1, 1001  # flow_data
_GENERIC, _ETHERNET, _NAME = 1, 2, 1005  # counter_data; the last is port_name, of sFlow's OpenFlow structures
_ISO8023: Final = 1  # header_protocol: ETHERNET-ISO88023

_HEAD: Final = Struct(">2I")  # a sample or a record: its form, and how long it is
_DATAGRAM: Final = Struct(">4I")  # sub-agent, sequence number, uptime in ms, samples
_FLOW_SAMPLE: Final = Struct(">8I")
_COUNTERS_SAMPLE: Final = Struct(">3I")
_SAMPLED_HEADER: Final = Struct(">4I")
_EXTENDED_SWITCH: Final = Struct(">4I")
_IF_COUNTERS: Final = Struct(">2IQ2IQ6IQ6I")
_DOT3: Final = Struct(">13I")

_CODES: Final = {
    Reason.OVERSIZE: 262,  # packet too big
    Reason.QUEUE_FULL: 259,  # no buffer space
    Reason.VLAN_FILTERED: 258,  # ACL, as what follows
    Reason.SOURCE_INVALID: 258,
    Reason.RESERVED_ADDRESS: 258,
    Reason.ISOLATED: 258,
    Reason.MIRROR_PORT: 258,
}
_UNKNOWN_CODE: Final = 256


class Origin(NamedTuple):
    """Where a sample comes from.

    ifindex: of the port, from 1, below 2^24.  sequence: of the sample, from 1, for each port and kind of sample.
    """

    ifindex: int
    sequence: int


def flow_sample(origin: Origin, sample: Sample, most: int, ifindex: Callable[[BridgePort], int]) -> bytes:
    """A frame that came in, with `most` octets of it at most.  ifindex: of a port."""
    frame, verdict, sampler = sample.frame, sample.verdict, sample.sampler
    header, length = _as_on_wire(frame, sample.number, most)
    sampled = _SAMPLED_HEADER.pack(_ISO8023, length + FCS, FCS, len(header)) + _padded(header)
    head = _FLOW_SAMPLE.pack(
        origin.sequence & UNKNOWN,
        origin.ifindex,
        sampler.rate,
        sampler.pool & UNKNOWN,
        sampler.missed & UNKNOWN,
        origin.ifindex,
        output(verdict, ifindex),
        2,
    )
    return _framed(_FLOW, head, _framed(_RAW_HEADER, sampled), _framed(_SWITCH, _vlans(frame, verdict)))


def output(verdict: Verdict, ifindex: Callable[[BridgePort], int]) -> int:
    """Where a frame went: what mirrors send of it does not count."""
    if len(verdict.egress) == 1:
        return ifindex(verdict.egress[0].port)
    if verdict.egress:
        return MULTIPLE | len(verdict.egress)
    reason = verdict.lost[0][1] if verdict.lost else verdict.reason
    return DISCARDED | (_UNKNOWN_CODE if reason is None else _CODES.get(reason, _UNKNOWN_CODE))


def _as_on_wire(frame: Frame, number: int, most: int) -> tuple[bytes, int]:
    """The first octets of a frame, or of one segment of it, with its checksum; and its length without FCS."""
    asked = frame.offload
    if asked is None:
        return bytes(frame.raw[HEADER : HEADER + min(most, frame.octets)]), frame.octets
    octets = bytes(frame.raw[HEADER:])
    if asked.segments > 1:
        wire = segment.one_segment(octets, asked, number)
    else:
        wire = segment.complete(octets[: asked.octets], asked)
    return wire[:most], len(wire)


def _vlans(frame: Frame, verdict: Verdict) -> bytes:
    """The VLAN that a frame came in and went out in, and its priority, which the switch leaves as it is.

    A frame that no VLAN took in has that of its tag. It does not go out, so nothing is known of that.
    """
    vid = frame.vid or (frame.tci & VID_BITS if frame.tpid else UNKNOWN)
    priority = frame.tci >> 13
    out = (vid, priority) if verdict.egress else (UNKNOWN, UNKNOWN)
    return _EXTENDED_SWITCH.pack(vid, priority, *out)


def counters_sample(origin: Origin, port: BridgePort, speed: int) -> bytes:
    """The counters of a port.  speed: bits a second, 0 where that is not known."""
    head = _COUNTERS_SAMPLE.pack(origin.sequence & UNKNOWN, origin.ifindex, 3)
    name = port.name.encode()
    records = (
        _framed(_GENERIC, _generic(origin.ifindex, port, speed)),
        _framed(_ETHERNET, _ethernet(port)),
        _framed(_NAME, len(name).to_bytes(4) + _padded(name)),
    )
    return _framed(_COUNTERS, head, *records)


def _generic(index: int, port: BridgePort, speed: int) -> bytes:
    """if_counters, with the meaning of RFC 2863, and octets with FCS (RFC 3635).

    What a rule dropped was delivered to the relay, so it is among the frames that came in, and no discard of the
    interface. What did not leave is not among those that left: of which cast it was is not known.
    """
    received, sent, dropped = port.counters.receive, port.counters.transmit, port.counters.dropped
    frames_in, frames_out = received.frames, sent.frames
    bad = dropped[Reason.RUNT] + dropped[Reason.OFFLOAD_INVALID] + dropped[Reason.TRUNCATED]
    discarded = dropped[Reason.QUEUE_FULL] + dropped[Reason.OVERSIZE] + dropped[Reason.PORT_DOWN]
    return _IF_COUNTERS.pack(
        index,
        6,  # ifType: ethernetCsmacd
        speed,
        1,  # full duplex
        3 if port.up else 1,  # administratively up, and whether it is up
        received.octets + FCS * sum(frames_in),
        *_narrow(*frames_in, 0, bad, UNKNOWN),
        sent.octets + FCS * sum(frames_out),
        *_narrow(*frames_out, discarded, dropped[Reason.IO_ERROR]),
        1,  # promiscuous
    )


def _ethernet(port: BridgePort) -> bytes:
    """dot3StatsEntry (RFC 3635): a full-duplex wire without FCS has no errors but those of the interface."""
    dropped = port.counters.dropped
    unknown, none = UNKNOWN, 0
    return _DOT3.pack(
        unknown,  # alignment
        unknown,  # FCS
        *(none,) * 6,  # collisions of all kinds, SQE test, deferred: never in full duplex
        *_narrow(dropped[Reason.IO_ERROR]),  # internal MAC transmit
        none,  # carrier sense: never in full duplex
        unknown,  # too long
        *_narrow(dropped[Reason.TRUNCATED]),  # internal MAC receive
        unknown,  # symbol
    )


def datagram(
    agent: IPv4Address | IPv6Address, sub_agent: int, sequence: int, uptime: int, samples: Sequence[bytes]
) -> bytes:
    """A datagram of these samples.  sequence: of the agent's datagrams.  uptime: of the switch, in milliseconds."""
    address = VERSION.to_bytes(4) + (1 if agent.version == 4 else 2).to_bytes(4) + agent.packed
    head = _DATAGRAM.pack(sub_agent, sequence & UNKNOWN, uptime & UNKNOWN, len(samples))
    return b"".join((address, head, *samples))


class Batch:
    """Samples that go out together, in a datagram of bounded length."""

    def __init__(self, most: int) -> None:
        """most: octets of the datagram."""
        self._room = most - 40  # the head, with an IPv6 address
        self._left = self._room
        self._samples: list[bytes] = []

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._samples)

    def fits(self, sample: bytes) -> bool:
        """Whether there is room for one more."""
        return len(sample) <= self._left

    def add(self, sample: bytes) -> None:
        """One more, that fits."""
        self._left -= len(sample)
        self._samples.append(sample)

    def take(self) -> list[bytes]:
        """All of them; a new batch begins."""
        samples, self._samples = self._samples, []
        self._left = self._room
        return samples


def _framed(form: int, *parts: bytes) -> bytes:
    return b"".join((_HEAD.pack(form, sum(map(len, parts))), *parts))


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)


def _narrow(*counters: int) -> tuple[int, ...]:
    """Counters of 32 bits, which wrap."""
    return tuple(counter & UNKNOWN for counter in counters)
