"""Which frames carry a tunnel's own datagrams: those that scapy makes, whole and in fragments, and no others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import GRE, IP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Packet, Raw

from vswitch.ports.carried import carries

FAR4, FAR6 = bytes((10, 9, 0, 9)), bytes.fromhex("fd99" + 13 * "00" + "09")
UDP_PORT = 4789
A, B = "02:00:00:00:00:01", "02:00:00:00:00:02"
BEHIND = Raw(bytes(2000))
V4, V6 = IP(dst="10.9.0.9"), IPv6(dst="fd99::9")

WHOLE4 = bytes(Ether(src=A, dst=B) / V4 / UDP(dport=UDP_PORT))
WHOLE6 = bytes(Ether(src=A, dst=B) / V6 / IPv6ExtHdrFragment(nh=17) / Raw(bytes(8)))


def own(packet: Packet, remote: bytes, protocol: int, port: int = 0) -> bool:
    return carries(memoryview(bytes(packet)), remote, protocol, port)


@pytest.mark.parametrize(
    "tags",
    [Ether(src=A, dst=B), Ether(src=A, dst=B) / Dot1Q(vlan=5), Ether(src=A, dst=B) / Dot1AD(vlan=5) / Dot1Q(vlan=6)],
)
def test_a_tunnel_knows_its_own(tags: Packet) -> None:
    assert own(tags / V4 / GRE() / BEHIND, FAR4, 47)
    assert own(tags / V6 / GRE() / BEHIND, FAR6, 47)
    assert own(tags / V4 / UDP(dport=UDP_PORT) / BEHIND, FAR4, 17, UDP_PORT)
    assert own(tags / V6 / UDP(dport=UDP_PORT) / BEHIND, FAR6, 17, UDP_PORT)


@pytest.mark.parametrize("above", [GRE(), UDP(dport=UDP_PORT)])
def test_and_every_fragment_of_it(above: Packet) -> None:
    protocol, port = (47, 0) if above.name == "GRE" else (17, UDP_PORT)
    four = fragment(V4 / above / BEHIND, 600)
    six = fragment6(IPv6(bytes(V6 / IPv6ExtHdrFragment() / above / BEHIND)), 600)
    assert min(len(four), len(six)) >= 3
    assert all(own(Ether(src=A, dst=B) / each, FAR4, protocol, port) for each in four)
    assert all(own(Ether(src=A, dst=B) / each, FAR6, protocol, port) for each in six)


@pytest.mark.parametrize(
    "packet",
    [
        Ether(src=A, dst=B) / IP(dst="10.9.0.8") / UDP(dport=UDP_PORT) / BEHIND,
        Ether(src=A, dst=B) / V4 / UDP(dport=53) / BEHIND,
        Ether(src=A, dst=B) / V4 / GRE() / BEHIND,
        Ether(src=A, dst=B) / V6 / UDP(dport=UDP_PORT) / BEHIND,
        Ether(src=A, dst=B) / Dot1Q() / Dot1Q() / Dot1Q() / V4 / UDP(dport=UDP_PORT) / BEHIND,
        Ether(src=A, dst=B, type=0x88B5) / V4 / UDP(dport=UDP_PORT) / BEHIND,
    ],
)
def test_what_others_send_is_not(packet: Packet) -> None:
    assert not own(packet, FAR4, 17, UDP_PORT)


@given(st.binary(max_size=80), st.sampled_from((0x0800, 0x86DD, 0x8100)), st.sampled_from((FAR4, FAR6)))
def test_any_octets_have_an_answer(octets: bytes, kind: int, remote: bytes) -> None:
    frame = bytes(12) + kind.to_bytes(2) + octets
    assert carries(memoryview(frame), remote, 17, UDP_PORT) in (True, False)
    assert carries(memoryview(octets), remote, 47, 0) in (True, False)


@given(st.data(), st.sampled_from(((WHOLE4, FAR4), (WHOLE6, FAR6))))
def test_a_frame_that_ends_early_has_one_too(data: st.DataObject, whole: tuple[bytes, bytes]) -> None:
    octets, remote = whole
    cut = data.draw(st.integers(0, len(octets)))
    assert carries(memoryview(octets[:cut]), remote, 17, UDP_PORT) in (True, False)
