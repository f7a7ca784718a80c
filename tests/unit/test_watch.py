"""Packets of a capture put together, put into words, and written as lines."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers import l2
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6MLReport2, IPv6, IPv6ExtHdrHopByHop, RouterAlert
from scapy.layers.l2 import Dot1Q, Ether

from vswitch.cli.watch import describe, line
from vswitch.core.verdict import Reason
from vswitch.observe import decode, gather
from vswitch.observe.gather import HOLD, Gathered, Gatherer
from vswitch.observe.marks import Marks
from vswitch.observe.pcapng import INBOUND, OUTBOUND, Packet

if TYPE_CHECKING:
    from collections.abc import Iterator

PING = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.1", dst="10.0.0.2") / ICMP())

HEAD = "ffffffffffff 020000000001"


def packet(number: int, port: str, direction: int, time: int = 0, comment: str = "", data: bytes = PING) -> Packet:
    return Packet(port, time, data, len(data), direction, comment, number, 0)


def gathered(*packets: Packet) -> list[Gathered]:
    gatherer = Gatherer()
    for each in packets:
        gatherer.add(each)
    return [*gatherer.ready(), *gatherer.rest()]


def test_a_burst_that_comes_in_and_then_leaves_is_a_frame_each() -> None:
    burst = [packet(number, "a", INBOUND, comment="vlan 10") for number in (1, 2)]
    burst += [packet(number, port, OUTBOUND, comment="vlan 10") for port in "bc" for number in (1, 2)]
    frames = gathered(*burst)
    assert [(frame.port, list(frame.egress), frame.vlan) for frame in frames] == [("a", ["b", "c"], 10)] * 2


@pytest.mark.parametrize("reason", Reason)
def test_a_drop_has_its_reason(reason: Reason) -> None:
    (frame,) = gathered(packet(1, "a", INBOUND, comment=f"dropped: {reason}"))
    assert (frame.reason, frame.vlan, frame.egress) == (reason, 0, {})
    (frame,) = gathered(packet(1, "a", INBOUND, comment=f"vlan 7, dropped: {reason}"))
    assert (frame.reason, frame.vlan) == (reason, 7)


def test_what_is_lost_on_its_way_out_is_lost_at_that_port() -> None:
    (frame,) = gathered(
        packet(1, "a", INBOUND), packet(1, "b", OUTBOUND), packet(1, "c", OUTBOUND, comment="dropped: queue_full")
    )
    assert (list(frame.egress), frame.lost, frame.reason) == (["b"], {"c": "queue_full"}, None)
    assert frame.frames() == [PING]


def test_what_was_seen_to_leave_alone_has_octets_too() -> None:
    (left, lost) = gathered(packet(1, "b", OUTBOUND), packet(2, "b", OUTBOUND, comment="dropped: oversize"))
    assert left.frames() == lost.frames() == [PING]
    assert left.port == lost.port == ""


def test_a_frame_is_held_for_a_moment_by_the_times_of_packets() -> None:
    gatherer = Gatherer()
    gatherer.add(packet(1, "a", INBOUND, 0))
    assert list(gatherer.ready()) == []
    gatherer.add(packet(1, "b", OUTBOUND, HOLD - 1))
    gatherer.add(packet(2, "a", INBOUND, HOLD))
    (first,) = gatherer.ready()
    assert list(first.egress) == ["b"]
    gatherer.add(packet(3, "a", INBOUND, -HOLD))
    assert len(list(gatherer.ready())) == 1, "a clock that was set back holds nothing up"


def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "MOST", 100_000)
    gatherer = Gatherer()
    given = 0
    for number in range(10_000):
        gatherer.add(packet(number, "a", INBOUND))
        given += len(list(gatherer.ready()))
    assert given > 9_000
    assert given + len(list(gatherer.rest())) == 10_000


def row(frame: Gathered) -> dict[str, Any]:
    return describe(frame, Marks(), decode)


def test_a_frame_is_one_line() -> None:
    frame = Gathered(1_700_000_000_123_456_789, "a", None, 10, [PING], {"b": [PING], "c": [PING]})
    assert row(frame)["time"] == "2023-11-14T22:13:20.123457Z"
    text = str(line(row(frame)))
    assert "a > b c" in text
    assert "  10 ICMP   IP / ICMP 10.0.0.1 > 10.0.0.2 echo-request 0" in text
    assert text.endswith("[flood: left by 2 ports]")
    assert "a > b lost at c: queue_full" in str(
        line(row(Gathered(0, "a", None, 1, [PING], {"b": [PING]}, {"c": "queue_full"})))
    )
    assert "a > - dropped: runt" in str(line(row(Gathered(0, "a", "runt", 0, [b"short"]))))
    assert "- > b" in str(line(row(Gathered(0, egress={"b": [PING]}))))


def test_a_superframe_is_one_line() -> None:
    text = str(line(row(Gathered(0, "a", None, 1, [PING] * 3, {"b": [PING] * 3}))))
    assert f"(the first of 3 segments, {3 * len(PING)} octets)" in text


def test_tcp_has_numbers_and_a_tag_is_shown() -> None:
    tcp = bytes(
        Ether() / Dot1Q(vlan=9) / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=5, dport=80, seq=7, ack=8) / b"xyz"
    )
    assert decode.words(tcp) == (
        "TCP",
        "Dot1Q / IP / TCP 10.0.0.1:5 > 10.0.0.2:80 S seq 7 ack 8 length 3",
    )


@pytest.mark.parametrize(
    ("octets", "protocol", "summary"),
    [
        (f"{HEAD} 88b5 0102", "0x88b5", "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff 0102"),
        (f"{HEAD} 88b5 {'07' * 50}", "0x88b5", f"02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff {'07' * 32} ..."),
        ("", "0x0000", " >  "),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_hexadecimal(octets: str, protocol: str, summary: str) -> None:
    assert decode.words(bytes.fromhex(octets)) == (protocol, summary)


def test_what_scapy_trips_over_is_hexadecimal(monkeypatch: pytest.MonkeyPatch) -> None:
    def trip(_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(l2, "Ether", trip)
    assert decode.words(PING).protocol == "0x0800"


def test_an_option_is_not_taken_for_the_protocol() -> None:
    addresses = Ether(src="02:00:00:00:00:01", dst="33:33:00:00:00:16") / IPv6(src="::", dst="ff02::16")
    report = addresses / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / ICMPv6MLReport2()
    assert decode.words(bytes(report)).protocol == "MLDv2"


def test_words_of_strangers_are_no_escapes_and_no_markup() -> None:
    forged = {**row(Gathered(0, "a", None, 1, [PING])), "summary": "\x1b[31m [b]x[/b]", "protocol": "\x07"}
    forged["marks"] = [{"mark": "dhcp", "detail": "\x1b]0;"}]
    assert str(line(forged)).endswith("\\x07   \\x1b[31m [b]x[/b]  [dhcp: \\x1b]0;]")


def hostile() -> Iterator[bytes]:
    draw = random.Random(7)
    begins = ["0800 45", "86dd 60", "88cc 0207041b5b33316d", "0806 0001", "8100000a 0800 45", "0026 424203", "8809 01"]
    begins += ["0800 45000100000000001111 0000 0a000001 0a000002 0035 0035 00ec 0000", "88a8 0001"]
    for number in range(900):
        begin = bytes.fromhex("ffffffffffff 1b5b33316d07" + begins[number % len(begins)])
        yield begin + b"\x1b]0;owned\x07" * (number % 2) + draw.randbytes(draw.randrange(200))


def test_hostile_frames_are_lines_that_move_no_terminal() -> None:
    for octets in hostile():
        text = str(line(row(Gathered(0, "a", None, 1, [octets], {"b": [octets]}))))
        assert text.isprintable()
