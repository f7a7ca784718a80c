"""sFlow as octets: whatever is sampled, a collector reads what was sent, from where to where."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.strategies import frames
from tests.sflowreader import Datagram, Flow, read
from tests.superframes import twisted
from tests.unit.frames import BROADCAST, LLDP, A, B, C, raw
from vswitch.control.config.collectors import SflowConfig
from vswitch.core.frame import Frame
from vswitch.core.mirror import Mirror
from vswitch.core.offload import HEADER, Capability, OffloadError, lower, parse
from vswitch.core.port import BridgePort, PortSettings
from vswitch.core.sampling import Sample, Sampler
from vswitch.core.stats import FRAMES, SIZES, TRANSMIT
from vswitch.core.switch import Switch
from vswitch.core.verdict import Reason
from vswitch.core.vlan import PortVlan
from vswitch.observe.sflow import (
    MOST_OVERHEAD,
    UNKNOWN,
    Batch,
    Origin,
    counters_sample,
    datagram,
    flow_sample,
)
from vswitch.stages import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

AGENT = ip_address("192.0.2.1")
C_TAG = 0x8100


def one(samples: Iterable[bytes]) -> Datagram:
    return read(datagram(AGENT, 0, 1, 1, list(samples)))


class Lab:
    """Ports a to d, of which a is in VLAN 10, b in 10, c in 10 and 20, d in 20; everything is a sample."""

    def __init__(self, *, mirrors: Iterable[Mirror] = ()) -> None:
        self.switch = Switch((stage() for stage in STAGES), vlan_filtering=True)
        trunk = PortVlan.trunk((10, 20))
        vlans = {"a": PortVlan.access(10), "b": PortVlan.access(10), "c": trunk, "d": PortVlan.access(20)}
        for name, vlan in vlans.items():
            self.switch.add_port(BridgePort(name, PortSettings(vlan), offload=Capability.ALL))
        self.switch.set_mirrors(mirrors)
        self.ports = list(self.switch.ports.values())
        self.samples: list[Sample] = []
        self.sampler = Sampler(1, lambda: 0.5, self.samples.append)

    def send(self, name: str, octets: bytes, most: int = 128) -> Flow:
        """What a collector is told of the frame."""
        frame = Frame.parse(octets, self.switch.ports[name])
        assert isinstance(frame, Frame)
        self.samples.clear()
        self.sampler.consider(frame, self.switch.receive(frame, 0.0))
        origin = Origin(self.index(frame.port), 7)
        (flow,) = one([flow_sample(origin, self.samples[0], most, self.index)]).flows
        assert (flow.sequence, flow.source, flow.input) == (7, origin.ifindex, origin.ifindex)
        assert (flow.rate, flow.drops) == (1, 0)
        return flow

    def index(self, port: BridgePort) -> int:
        return self.ports.index(port) + 1


def test_a_frame_that_goes_to_one_port() -> None:
    lab = Lab()
    flood = lab.send("b", raw(BROADCAST, B))
    assert flood.output == 0x8000_0002, "to a and c"
    octets = raw(B, A, payload=bytes(range(200)))
    flow = lab.send("a", octets)
    assert flow.output == 2
    assert flow.header == octets[HEADER : HEADER + 128]
    assert (flow.length, flow.stripped) == (len(octets) - HEADER + 4, 4)
    assert flow.vlans == (10, 0, 10, 0)
    assert flow.pool == 2
    assert lab.send("a", raw(C, A)).output == 0x8000_0002


def test_vlan_and_priority_of_a_tagged_frame() -> None:
    lab = Lab()
    lab.send("a", raw(BROADCAST, A))
    flow = lab.send("c", raw(A, C, (C_TAG, 0xA00A)))
    assert (flow.output, flow.vlans) == (1, (10, 5, 10, 5))
    assert lab.send("a", raw(BROADCAST, A, (C_TAG, 0x6000))).vlans == (10, 3, 10, 3), "priority-tagged"
    alone = lab.send("d", raw(BROADCAST, B))
    assert (alone.output, alone.vlans) == (3, (20, 0, 20, 0))


@pytest.mark.parametrize(
    ("name", "octets", "code", "vlans"),
    [
        ("a", raw(BROADCAST, A, (C_TAG, 20)), 258, (20, 0)),
        ("c", raw(BROADCAST, A), 258, (UNKNOWN, 0)),
        ("a", raw(BROADCAST, BROADCAST), 258, (UNKNOWN, 0)),
        ("a", raw(LLDP, A), 258, (10, 0)),
        ("a", raw(A, A), 256, (10, 0)),
        ("b", raw(C, B, payload=bytes(1600)), 262, (10, 0)),
    ],
)
def test_a_frame_that_is_dropped(name: str, octets: bytes, code: int, vlans: tuple[int, int]) -> None:
    lab = Lab()
    if code == 256:
        lab.send("a", raw(BROADCAST, A))
    flow = lab.send(name, octets)
    assert flow.output == 0x4000_0000 | code
    assert flow.vlans == (*vlans, UNKNOWN, UNKNOWN)


def test_a_mirror_is_no_output() -> None:
    lab = Lab(mirrors=[Mirror("m", frozenset("a"), None, True, True, "d")])
    lab.send("b", raw(BROADCAST, B))
    assert lab.send("a", raw(B, A)).output == 2


@given(st.one_of(frames().map(lambda meant: meant.raw), twisted()), st.integers(14, 300), st.data())
@settings(deadline=None, max_examples=400)
def test_the_header_is_that_of_the_frame_on_the_wire(octets: bytes, most: int, data: st.DataObject) -> None:
    port = BridgePort("a")
    frame = Frame.parse(octets, port)
    if not isinstance(frame, Frame):
        return
    try:
        forms = lower(octets, Capability.NONE)
    except OffloadError:
        return  # no room for a tag more: nobody asks for that here
    number = data.draw(st.integers(0, frame.segments - 1))
    samples: list[Sample] = []
    sampler = Sampler(1, lambda: 0.5, samples.append)
    sample = Sample(sampler, frame, number, Switch().receive(frame, 0.0))
    (flow,) = one([flow_sample(Origin(1, 1), sample, most, lambda _: 9)]).flows
    wire = bytes(forms[number][HEADER:])
    assert flow.header == wire[:most]
    assert flow.length == len(wire) + 4
    asked = parse(octets)
    if asked is not None:
        assert asked.segments == len(forms)


def test_the_segments_of_a_superframe_have_together_the_octets_that_are_counted() -> None:
    lab = Lab()

    @given(twisted())
    @settings(deadline=None, max_examples=100)
    def check(octets: bytes) -> None:
        frame = Frame.parse(octets, lab.switch.ports["a"])
        if not isinstance(frame, Frame) or frame.segments > 50:
            return
        verdict = lab.switch.receive(frame, 0.0)
        samples = [Sample(lab.sampler, frame, number, verdict) for number in range(frame.segments)]
        lengths = [one([flow_sample(Origin(1, 1), each, 64, lab.index)]).flows[0].length for each in samples]
        assert sum(lengths) == frame.octets + 4 * frame.segments

    check()


def test_counters() -> None:
    port = BridgePort("a-port")
    port.counters.receive.count(0, 3, 300, 100)
    port.counters.receive.count(1, 4, 400, 100)
    port.counters.receive.count(2, 5, 500, 100)
    port.counters.transmit.count(0, 6, 600, 100)
    port.counters.values[TRANSMIT] = 1 << 33
    port.counters.values[TRANSMIT + FRAMES + 2 * SIZES] = 1 << 32 | 7
    for reason, count in ((Reason.RUNT, 1), (Reason.TRUNCATED, 2), (Reason.IO_ERROR, 3), (Reason.QUEUE_FULL, 4),
                          (Reason.OVERSIZE, 5), (Reason.VLAN_FILTERED, 100)):  # fmt: skip
        port.counters.drop(reason, count)
    (sample,) = one([counters_sample(Origin(3, 9), port, 10**10)]).counters
    assert (sample.sequence, sample.source, sample.name) == (9, 3, "a-port")
    assert sample.generic == {
        "ifindex": 3, "type": 6, "speed": 10**10, "direction": 1, "status": 3, "promiscuous": 1,
        "in_octets": 1200 + 4 * 12, "in_unicast": 3, "in_multicast": 4, "in_broadcast": 5,
        "in_discards": 0, "in_errors": 3, "in_unknown": UNKNOWN,
        "out_octets": (1 << 33) + 4 * (6 + (1 << 32 | 7)), "out_unicast": 6, "out_multicast": 0, "out_broadcast": 7,
        "out_discards": 9, "out_errors": 3,
    }  # fmt: skip
    assert sample.ethernet == (UNKNOWN, UNKNOWN, *(0,) * 6, 3, 0, UNKNOWN, 2, UNKNOWN)
    port.up = False
    (sample,) = one([counters_sample(Origin(3, 10), port, 0)]).counters
    assert (sample.generic["status"], sample.generic["speed"]) == (1, 0)


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_a_datagram_is_never_longer_than_it_may_be(address: str) -> None:
    """The longest samples, a few octets more and less."""
    port = BridgePort("n" * 32)
    for most in range(512, 540):
        header = most - MOST_OVERHEAD
        assert (
            SflowConfig.model_validate({"collector": "192.0.2.2", "header": header, "datagram": most}).header == header
        )
        frame = Frame.parse(raw(BROADCAST, A, payload=bytes(1400)), port)
        assert isinstance(frame, Frame)
        samples: list[Sample] = []
        sample = Sample(Sampler(1, lambda: 0.5, samples.append), frame, 0, Switch().receive(frame, 0.0))
        batch = Batch(most)
        longest = 0
        for octets in [
            flow_sample(Origin(1, 1), sample, header, lambda _: 1),
            counters_sample(Origin(1, 1), port, 0),
        ] * 3:
            if not batch.fits(octets):
                built = datagram(ip_address(address), 0, UNKNOWN + 2, 1 << 40, batch.take())
                assert read(built).sequence == 1, "32 bits, which wrap"
                longest = max(longest, len(built))
                assert batch.fits(octets)
            batch.add(octets)
        assert 0 < longest <= most


def test_a_batch_leaves_room_for_the_head_and_no_more() -> None:
    batch = Batch(600)
    assert not batch.fits(bytes(561))
    assert batch.fits(bytes(560))
    batch.add(bytes(560))
    assert len(datagram(ip_address("2001:db8::1"), 0, 1, 1, batch.take())) == 600


def test_no_sample_is_left_out_of_its_datagram() -> None:
    port = BridgePort("p")
    samples = [counters_sample(Origin(number, 1), port, 0) for number in range(1, 6)]
    read_back = one(samples)
    assert [each.source for each in read_back.counters] == [1, 2, 3, 4, 5]
    assert dataclasses.asdict(read_back)["agent"] == str(AGENT)
