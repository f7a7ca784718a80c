"""Marks on frames that scapy built, with time stepped by hand; and their words, whatever the octets are."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from vswitch.observe import headers
from vswitch.observe.marks import ALIKE, CONFLICT, FLOWS, LOOP, RANGES, Marks, Passed

if TYPE_CHECKING:
    from scapy.packet import Packet

A, B, C = (f"02:00:00:00:00:{last:02x}" for last in (1, 2, 3))
BROADCAST = "ff:ff:ff:ff:ff:ff"


class Bench:
    """Marks of frames one after another, a second apart unless said otherwise."""

    def __init__(self) -> None:
        self.marks = Marks()
        self.now = 0.0

    def __call__(
        self, *packets: Packet, port: str = "a", egress: tuple[str, ...] = ("b",), vlan: int = 1, after: float = 1.0
    ) -> dict[str, str]:
        self.now += after
        octets = tuple(bytes(packet) for packet in packets)
        return dict(self.marks.of(Passed(self.now, port, egress, vlan, octets)))


@pytest.fixture
def of() -> Bench:
    return Bench()


def segment(sequence: int, length: int, flags: str = "A", identifier: int = 0, **more: Any) -> Packet:
    ip = IP(src="10.0.0.1", dst="10.0.0.2", id=identifier)
    return Ether(src=A, dst=B) / ip / TCP(sport=4000, dport=80, seq=sequence, flags=flags, **more) / Raw(bytes(length))


def claim(ip: str, mac: str, operation: int = 1) -> Packet:
    return Ether(src=mac, dst=BROADCAST) / ARP(op=operation, hwsrc=mac, psrc=ip, pdst="10.0.0.9")


def test_ordinary_frames_have_no_marks(of: Bench) -> None:
    assert of(claim("10.0.0.1", A), egress=("b", "c")) == {}
    assert of(segment(0, 0, "S")) == {}
    assert of(segment(1, 100)) == {}
    assert of(segment(101, 100)) == {}
    assert of(Ether(src=A, dst=B) / IPv6() / UDP() / b"x") == {}
    assert of(Ether(src=A, dst=B) / IP() / ICMP()) == {}


def test_a_segment_that_was_seen_is_a_retransmission(of: Bench) -> None:
    of(segment(1, 100))
    assert of(segment(1, 100, identifier=1)) == {"retransmission": "seq 1, 100 octets"}
    of(segment(101, 100))
    assert "retransmission" in of(segment(151, 100)), "half of it was"
    assert of(segment(251, 0)) == {}, "an acknowledgement is none"


def test_a_segment_out_of_order_is_no_retransmission_until_it_comes_again(of: Bench) -> None:
    of(segment(1, 100))
    of(segment(201, 100))
    assert of(segment(101, 100)) == {}
    assert "retransmission" in of(segment(101, 100, identifier=1))


def test_sequence_numbers_wrap(of: Bench) -> None:
    of(segment((1 << 32) - 50, 100))
    assert of(segment(50, 100)) == {}
    assert "retransmission" in of(segment((1 << 32) - 50, 100, identifier=1))


def test_syn_and_fin_are_retransmitted_too_and_a_new_connection_is_new(of: Bench) -> None:
    of(segment(7, 0, "S"))
    assert "retransmission" in of(segment(7, 0, "S", 1))
    of(segment(8, 0, "FA"))
    assert "retransmission" in of(segment(8, 0, "FA", 1))
    assert of(segment(900_000, 0, "S")) == {}


def test_the_other_direction_and_the_other_side_of_a_router_are_other_flows(of: Bench) -> None:
    of(segment(1, 100))
    answer = Ether(src=B, dst=A) / IP(src="10.0.0.2", dst="10.0.0.1") / TCP(sport=80, dport=4000, seq=1) / Raw(bytes(9))
    assert of(answer, port="b") == {}
    routed = segment(1, 100)
    routed.src, routed.dst = B, C
    assert of(routed, port="b", after=0.001) == {}


def test_segments_of_a_superframe_are_looked_at_each(of: Bench) -> None:
    assert of(segment(1, 100), segment(101, 100)) == {}
    assert of(segment(101, 100, identifier=1)) == {"retransmission": "seq 101, 100 octets"}


def test_flows_and_ranges_are_bounded(of: Bench) -> None:
    for port in range(FLOWS + 10):
        of(Ether(src=A, dst=B) / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=port, seq=1) / Raw(bytes(9)))
    for number in range(RANGES * 2):
        of(segment(number * 200, 100))
    assert len(of.marks._flows) == FLOWS
    assert max(len(flow._ranges) for flow in of.marks._flows.values()) == RANGES
    for number in range(ALIKE + 10):
        of(Ether(src=A, dst=BROADCAST) / Raw(number.to_bytes(4)))
        of(claim(f"10.{number >> 8}.{number & 255}.1", A))
    assert len(of.marks._alike) == ALIKE
    assert len(of.marks._claims) <= ALIKE


def test_an_address_of_two_owners_is_a_conflict_told_with_both(of: Bench) -> None:
    assert of(claim("10.0.0.1", A)) == {}
    assert of(claim("10.0.0.1", A)) == {}
    assert of(claim("10.0.0.1", B, 2), port="b") == {"arp conflict": f"10.0.0.1 is claimed by {A} (a) and {B} (b)"}
    assert "arp conflict" in of(claim("10.0.0.1", A))
    assert of(claim("10.0.0.1", C), vlan=2) == {}, "in another VLAN"
    assert of(claim("10.0.0.2", B)) == {}, "another address"


def test_probes_and_successors_are_no_conflict(of: Bench) -> None:
    of(claim("0.0.0.0", A))
    assert of(claim("0.0.0.0", B)) == {}
    of(claim("10.0.0.1", A))
    assert of(claim("10.0.0.1", B), after=CONFLICT + 1) == {}


@pytest.mark.parametrize(("kind", "word"), [("discover", "discover"), ("ack", "ack"), (200, "type 200")])
def test_dhcp_has_its_message_type(of: Bench, kind: str | int, word: str) -> None:
    options = ["pad", ("hostname", b"x"), ("message-type", kind), "end"]
    message = Ether(src=A, dst=BROADCAST) / IP() / UDP(sport=68, dport=67) / BOOTP() / DHCP(options=options)
    assert of(message, egress=("b", "c")) == {"dhcp": word}


def test_the_same_octets_again_are_a_duplicate_for_a_moment(of: Bench) -> None:
    frame = Ether(src=A, dst=BROADCAST) / Raw(b"once")
    assert of(frame) == {}
    assert of(frame, port="b", after=0.002) == {"duplicate": "came in by a 2.0 ms before"}
    assert of(frame, port="b", after=0.002) == {"duplicate": "came in by b 2.0 ms before"}
    assert of(frame, port="b", after=LOOP * 2) == {}


def test_tcp_repeats_itself_by_one_port_and_loops_by_another(of: Bench) -> None:
    of(segment(1, 0))
    assert of(segment(1, 0), after=0.001) == {}
    of(segment(1, 9))
    assert set(of(segment(1, 9), after=0.001)) == {"retransmission"}
    assert set(of(segment(1, 9), port="b", after=0.001)) == {"duplicate"}


def test_a_flood_is_one_of_a_unicast(of: Bench) -> None:
    frame = Ether(src=A, dst=B) / Raw(b"x")
    assert of(frame, egress=("b", "c")) == {"flood": "left by 2 ports"}
    assert of(frame) == {}
    assert of(Ether(src=A, dst="01:00:5e:00:00:01") / Raw(b"x"), egress=("b", "c")) == {}


@pytest.mark.parametrize(
    ("packet", "which"),
    [
        (IP(chksum=1) / UDP() / b"x", "IP"),
        (IP() / UDP(chksum=1) / b"x", "UDP"),
        (IP() / TCP(chksum=1) / b"x", "TCP"),
        (IPv6() / TCP(chksum=1) / b"odd", "TCP"),
        (IPv6() / UDP(chksum=0) / b"x", "UDP"),
        (IPv6() / IPv6ExtHdrDestOpt() / UDP(chksum=1), "UDP"),
        (Dot1Q(vlan=5) / IP() / TCP(chksum=1), "TCP"),
    ],
)
def test_a_wrong_checksum_is_told(of: Bench, packet: Packet, which: str) -> None:
    assert of(Ether(src=A, dst=B) / packet)["bad checksum"] == which
    right = packet.copy()
    layer = right[which]
    del layer.chksum
    assert Bench()(Ether(src=A, dst=B) / right) == {}


@pytest.mark.parametrize(
    "packet", [IP() / UDP(chksum=0) / b"x", IP(frag=3) / Raw(bytes(30)), IP(flags="MF", proto=6) / Raw(bytes(30))]
)
def test_no_checksum_and_a_fragment_are_not_wrong(of: Bench, packet: Packet) -> None:
    assert of(Ether(src=A, dst=B) / packet) == {}


@given(st.binary(max_size=120))
def test_the_checksum_is_the_sum_of_its_words(octets: bytes) -> None:
    total = sum(int.from_bytes(octets[at : at + 2].ljust(2, b"\0")) for at in range(0, len(octets), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert headers.checksum(octets) in (total ^ 0xFFFF, (total ^ 0xFFFF) % 0xFFFF)


SEEDS = [
    bytes(Ether(src=A, dst=B) / IP() / TCP() / b"x"),
    bytes(Ether(src=A, dst=B) / IPv6() / IPv6ExtHdrDestOpt() / UDP(sport=68, dport=67) / BOOTP() / DHCP(options=[])),
    bytes(claim("10.0.0.1", A)),
    bytes(Ether(src=A, dst=BROADCAST) / IP() / UDP(sport=68, dport=67) / BOOTP() / DHCP(options=["end"])),
]


@given(st.data())
def test_any_octets_have_marks_and_none_raise(data: st.DataObject) -> None:
    marks = Marks()
    for _ in range(5):
        octets = bytearray(data.draw(st.sampled_from(SEEDS)))
        for at in data.draw(st.lists(st.integers(12, 80), max_size=6)):
            octets[at : at + 1] = data.draw(st.binary(max_size=2))
        end = data.draw(st.integers(0, len(octets)))
        marks.of(Passed(0.0, "a", ("b", "c"), 1, (bytes(octets[:end]),)))


def test_random_octets_do_not_raise(of: Bench) -> None:
    draw = random.Random(1)
    for _ in range(2000):
        of(Raw(draw.randbytes(draw.randrange(120))), after=0.0)
