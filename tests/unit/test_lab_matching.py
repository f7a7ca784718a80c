"""What a test may mean by a packet."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from vswitch.lab.matching import matcher, summary
from vswitch.observe.pcapng import INBOUND, OUTBOUND, Packet

if TYPE_CHECKING:
    from vswitch.lab.matching import Pattern

PING = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b") / IP(src="10.0.0.1", dst="10.0.0.2", ttl=9) / ICMP(seq=7)
TAGGED = Ether() / Dot1Q(vlan=10, prio=3) / IP(dst="10.0.0.9") / UDP(sport=1, dport=53) / Raw(b"hello")
TUNNEL = Ether() / IP(dst="10.0.0.1") / IP(dst="10.0.0.2") / TCP(flags="SA", dport=80)


def packet(data: bytes, *, direction: int = INBOUND, comment: str = "") -> Packet:
    return Packet("web", 0, data, len(data), direction, comment, 0, 0)


@pytest.mark.parametrize(
    ("frame", "pattern", "matches"),
    [
        (PING, Ether() / IP(dst="10.0.0.2"), True),
        (PING, IP(dst="10.0.0.2"), True),
        (PING, Ether() / ICMP(), True),
        (PING, Ether(src="02:00:00:00:00:0A") / IP(), True),
        (PING, IP(src="10.0.0.1", ttl=9) / ICMP(type="echo-request", seq=7), True),
        (PING, IP(dst="10.0.0.3"), False),
        (PING, IP(src="10.0.0.1", ttl=8), False),
        (PING, IP() / TCP(), False),
        (PING, ICMP() / IP(), False),
        (PING, IPv6(), False),
        (PING, ARP(), False),
        (TAGGED, Dot1Q(vlan=10) / IP(), True),
        (TAGGED, Dot1Q(vlan=11), False),
        (TAGGED, UDP(dport=53) / Raw(b"hel"), True),
        (TAGGED, UDP(dport=53) / Raw(b"ello"), False),
        (TUNNEL, IP(dst="10.0.0.2") / TCP(flags="SA"), True),
        (TUNNEL, IP(dst="10.0.0.2") / IP(dst="10.0.0.1"), False),
        (TUNNEL, TCP(flags="S"), False),
        (PING, bytes(PING), True),
        (PING, bytes.fromhex("0a000002"), True),
        (PING, b"\xff" * 8, False),
        (PING, "icmp and dst host 10.0.0.2", True),
        (PING, "arp", False),
        (PING, lambda packet: packet.interface == "web", True),
        (PING, lambda packet: packet.direction == OUTBOUND, False),
    ],
)
def test_what_matches(frame: Ether, pattern: Pattern, matches: bool) -> None:
    padded = bytes(frame) + bytes(max(0, 60 - len(frame)))
    assert matcher(pattern)(packet(padded)) is matches


@pytest.mark.parametrize("octets", [b"", b"\x00", bytes(14), b"\xff" * 60, bytes(12) + b"\x08\x00" + b"\x45"])
def test_any_octets_are_a_packet_that_may_not_match(octets: bytes) -> None:
    assert not matcher(Ether() / IP(dst="10.0.0.2") / TCP(dport=1))(packet(octets))
    assert "web in " in summary(packet(octets), Ether())


def test_what_is_no_pattern() -> None:
    with pytest.raises(ValueError, match="not understood"):
        matcher("nonsense here")
    with pytest.raises(TypeError, match="no pattern"):
        matcher(42)


def test_a_packet_in_a_line() -> None:
    dropped = packet(bytes(PING), direction=OUTBOUND, comment="dropped: isolated")
    assert summary(dropped, Ether()).startswith("web out Ether / IP / ICMP 10.0.0.1 > 10.0.0.2 echo-request")
    assert summary(dropped, b"x").startswith("web out 02000000000b02000000000a0800")
    assert summary(dropped, "arp").endswith("… (42 octets) dropped: isolated")


def test_scapy_is_imported_for_a_pattern_of_scapy_alone() -> None:
    code = (
        "import sys; from vswitch.lab.matching import matcher, summary; import vswitch.lab\n"
        "from vswitch.observe.pcapng import Packet; packet = Packet('a', 0, bytes(60), 60, 1, '', 0, 0)\n"
        "for each in ('arp', b'x', bool): matcher(each)(packet), summary(packet, each)\n"
        "print('scapy' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
