"""The virtio-net header against its frame: what is refused, what is counted, what leaves a port without offload."""

from __future__ import annotations

from functools import reduce
from operator import truediv
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting

from tests.superframes import ADDRESSES, C_TAG, IP4, IP6, S_TAG, Sent, header, pseudo
from vswitch.core.offload import (
    DATA_VALID,
    GSO_ECN,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    HEADER,
    MOST_TCP_SEGMENTS,
    MOST_UDP_SEGMENTS,
    NEEDS_CSUM,
    PLAIN,
    Capability,
    Offload,
    OffloadError,
    lower,
    parse,
    shift,
)

if TYPE_CHECKING:
    from scapy.packet import Packet

TSO4, TSO6 = Capability.CSUM | Capability.TSO4, Capability.CSUM | Capability.TSO6
USO4, USO6 = Capability.CSUM | Capability.USO4, Capability.CSUM | Capability.USO6
DATAGRAM = UDP(sport=1, dport=2)
ACK = TCP(sport=1, dport=2, flags="A", seq=1000)

TCP4 = Sent(IP4, ACK, bytes(3000), 1000)
TCP6 = Sent(IP6, ACK, bytes(3000), 1000)
UDP4 = Sent(IP4, DATAGRAM, bytes(3000), 1000)
UDP6 = Sent(IP6, DATAGRAM, bytes(3000), 1000)
PARTIAL = Sent(IP4, ACK, bytes(100), 0)

GOOD = {"flags": NEEDS_CSUM, "gso": GSO_TCPV4, "hdr_len": 54, "size": 1000, "start": 34, "offset": 16}


def said(**fields: int) -> bytes:
    """The TCP superframe over IPv4 with another header."""
    return header(**{**GOOD, **fields}) + TCP4.raw[HEADER:]


def bent(sent: Sent, at: int, octets: bytes) -> bytes:
    """The frame with these octets there, counted from its Ethernet header."""
    raw = bytearray(sent.raw)
    raw[HEADER + at : HEADER + at + len(octets)] = octets
    return bytes(raw)


def extended(headers: int) -> Packet:
    """IPv6 with so many extension headers."""
    return reduce(truediv, [IPv6ExtHdrDestOpt() for _ in range(headers)], IP6)


def asked(raw: bytes) -> Offload:
    """What a header asks for, which is something."""
    found = parse(raw)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"flags": DATA_VALID},
        {"size": 1448, "start": 0xFFFF, "offset": 0xFFFF},
        {"hdr_len": 60},
    ],
)
def test_a_header_that_asks_for_nothing(fields: dict[str, int]) -> None:
    raw = header(**fields) + bytes(60)
    assert parse(raw) is None
    assert lower(raw, Capability.NONE) == [raw]


@pytest.mark.parametrize(
    ("sent", "needs"),
    [
        (PARTIAL, Capability.CSUM),
        (TCP4, TSO4),
        (TCP6, TSO6),
        (UDP4, USO4),
        (UDP6, USO6),
        (Sent(IP4, ACK, bytes(3000), 1000, ecn=True), TSO4 | Capability.TSO_ECN),
        (Sent(IP6, ACK, bytes(3000), 1000, ecn=True), TSO6 | Capability.TSO_ECN),
    ],
)
def test_what_a_port_must_offer(sent: Sent, needs: Capability) -> None:
    assert asked(sent.raw).needs == needs
    assert lower(sent.raw, needs) == [sent.raw]
    assert lower(sent.raw, Capability.ALL) == [sent.raw]
    for missing in needs:
        assert all(each[:HEADER] == PLAIN for each in lower(sent.raw, Capability.ALL & ~missing))


def test_fields_of_a_superframe() -> None:
    sent = Sent(IP4, ACK, bytes(2500), 1000, ((S_TAG, 100), (C_TAG, 5)))
    assert asked(sent.raw) == Offload(
        flags=NEEDS_CSUM,
        gso_type=GSO_TCPV4,
        gso_size=1000,
        csum_start=42,
        csum_offset=16,
        network=22,
        header_length=62,
        needs=TSO4,
        segments=3,
        octets=2500 + 3 * 62,
        longest=1062,
    )


def test_fields_of_a_partial_checksum() -> None:
    assert asked(PARTIAL.raw) == Offload(
        flags=NEEDS_CSUM,
        gso_type=0,
        gso_size=0,
        csum_start=34,
        csum_offset=16,
        network=14,
        header_length=0,
        needs=Capability.CSUM,
        segments=1,
        octets=154,
        longest=154,
    )


@pytest.mark.parametrize(("length", "segments", "longest"), [(0, 1, 54), (1, 1, 55), (1000, 1, 1054), (1001, 2, 1054)])
def test_a_superframe_may_be_of_one_segment(length: int, segments: int, longest: int) -> None:
    raw = Sent(IP4, ACK, b"x" * length, 1000).raw
    found = asked(raw)
    assert (found.segments, found.octets, found.longest) == (segments, length + segments * 54, longest)
    assert len(lower(raw, Capability.NONE)) == segments


def test_the_header_length_it_says_is_not_believed() -> None:
    assert asked(said(hdr_len=0)) == asked(said(hdr_len=20)) == asked(said())


REFUSED = {
    "RSC_INFO": said(flags=NEEDS_CSUM | 4),
    "RSC_INFO alone": header(flags=4) + bytes(60),
    "unknown flag": said(flags=NEEDS_CSUM | 8),
    "hdr_len beyond the frame": said(hdr_len=len(TCP4.raw) - HEADER + 1),
    "hdr_len beyond the frame, nothing else": header(hdr_len=61) + bytes(60),
    "no frame": header(flags=NEEDS_CSUM) + bytes(13),
    "not even a header": bytes(9),
    "superframe without partial checksum": said(flags=0),
    "superframe with a valid checksum": said(flags=DATA_VALID),
    "ECN and no superframe": said(gso=GSO_ECN),
    "UDP fragmentation": header(**{**GOOD, "gso": 3, "offset": 6}) + UDP4.raw[HEADER:],
    "UDP fragmentation without checksum": said(flags=0, gso=3),
    "unknown type": said(gso=2),
    "accurate ECN": said(gso=GSO_TCPV4 | 0x10),
    "tunnel": said(gso=GSO_TCPV4 | 0x20),
    "UDP with ECN": header(**{**GOOD, "gso": GSO_UDP_L4 | GSO_ECN, "offset": 6}) + UDP4.raw[HEADER:],
    "checksum begins in the IP header": said(gso=0, start=33),
    "checksum begins in the Ethernet header": said(gso=0, start=13),
    "checksum ends behind the frame": said(gso=0, start=34, offset=len(TCP4.raw) - HEADER - 35),
    "checksum begins behind the frame": said(gso=0, start=len(TCP4.raw)),
    "no room to push a tag": header(NEEDS_CSUM, start=0xFFFC) + bytes(0x10010),
    "TCP checksum elsewhere": said(offset=18),
    "UDP checksum elsewhere": header(**{**GOOD, "gso": GSO_UDP_L4, "offset": 4}) + UDP4.raw[HEADER:],
    "checksum does not begin with TCP": said(start=38),
    "IPv6 said to be IPv4": header(**{**GOOD, "start": 54}) + TCP6.raw[HEADER:],
    "IPv4 said to be IPv6": said(gso=GSO_TCPV6),
    "UDP said to be TCP": header(**GOOD) + UDP4.raw[HEADER:],
    "TCP said to be UDP": said(gso=GSO_UDP_L4, offset=6),
    "ARP": bent(TCP4, 12, b"\x08\x06"),
    "nine tags": Sent(IP4, ACK, bytes(3000), 1000, ((C_TAG, 1),) * 9).raw,
    "nine tags, partial checksum": Sent(IP4, ACK, bytes(100), 0, ((C_TAG, 1),) * 9).raw,
    "ICMP": bent(TCP4, 23, b"\x01"),
    "IPv4 of version 6": bent(TCP4, 14, b"\x65"),
    "IPv4 header of 16 octets": bent(TCP4, 14, b"\x44"),
    "IPv4 header longer than where TCP begins": bent(TCP4, 14, b"\x46"),
    "first fragment": bent(TCP4, 20, b"\x20\x00"),
    "later fragment": bent(TCP4, 20, b"\x00\x01"),
    "IPv4 length zero": bent(TCP4, 16, b"\0\0"),
    "IPv4 length beyond the frame": bent(TCP4, 16, (3041).to_bytes(2)),
    "IPv4 length before the payload": bent(TCP4, 16, (39).to_bytes(2)),
    "IPv6 of version 4": bent(TCP6, 14, b"\x40"),
    "IPv6 length zero": bent(TCP6, 18, b"\0\0"),
    "IPv6 length beyond the frame": bent(TCP6, 18, (3021).to_bytes(2)),
    "IPv6 fragment": bent(TCP6, 20, b"\x2c"),
    "IPv6 cut off": header(NEEDS_CSUM, GSO_TCPV6, 0, 8, 34, 16) + TCP6.raw[HEADER : HEADER + 53],
    "IPv6 extension header beyond the frame": bent(Sent(extended(1), ACK, bytes(100), 50), 54, b"\x3c\xff"),
    "nine IPv6 extension headers": Sent(extended(9), ACK, bytes(100), 50).raw,
    "TCP header of 16 octets": bent(TCP4, 46, b"\x40"),
    "TCP header beyond the frame": bent(Sent(IP4, ACK, bytes(8), 8), 46, b"\xf0"),
    "TCP header cut off": TCP4.raw[: HEADER + 53],
    "UDP length zero": bent(UDP4, 38, b"\0\0"),
    "UDP length is another": bent(UDP4, 38, (3007).to_bytes(2)),
    "size zero": said(size=0),
    "size below what TCP makes": said(size=7),
    "size that means fragments": said(size=0xFFFF),
    "UDP size zero": header(NEEDS_CSUM, GSO_UDP_L4, 42, 0, 34, 6) + Sent(IP4, UDP(), b"", 1).raw[HEADER:],
    "too many TCP segments": Sent(IP4, ACK, bytes(8 * MOST_TCP_SEGMENTS + 1), 8).raw,
    "too many UDP segments": Sent(IP4, UDP(), bytes(MOST_UDP_SEGMENTS + 1), 1).raw,
    "too many UDP segments, with padding": Sent(IP4, UDP(), bytes(MOST_UDP_SEGMENTS), 1).raw + b"\0",
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_a_header_that_contradicts_its_frame_is_refused(raw: bytes) -> None:
    with pytest.raises(OffloadError):
        parse(raw)


ACCEPTED: dict[str, tuple[bytes, int]] = {
    "both flags": (said(flags=NEEDS_CSUM | DATA_VALID), 3),
    "hdr_len of the whole frame": (said(hdr_len=len(TCP4.raw) - HEADER), 3),
    "checksum right behind the least IP header": (said(gso=0, start=34), 1),
    "checksum at the end of the frame": (said(gso=0, start=34, offset=len(TCP4.raw) - HEADER - 36), 1),
    "room to push one tag": (header(NEEDS_CSUM, start=0xFFFB) + bytes(0x10010), 1),
    "eight tags": (Sent(IP4, ACK, bytes(3000), 1000, ((C_TAG, 1),) * 8).raw, 3),
    "partial checksum of what is no IP": (header(NEEDS_CSUM, start=34) + bytes(60), 1),
    "eight IPv6 extension headers": (Sent(extended(8), ACK, bytes(100), 50).raw, 2),
    "UDP of one octet each": (Sent(IP4, UDP(), bytes(MOST_UDP_SEGMENTS), 1).raw, MOST_UDP_SEGMENTS),
    "most TCP segments": (Sent(IP4, ACK, bytes(8 * MOST_TCP_SEGMENTS), 8).raw, MOST_TCP_SEGMENTS),
    "largest size": (Sent(IP4, ACK, bytes(3000), 0xFFFE).raw, 1),
    "longest IPv4 packet": (Sent(IP4, ACK, bytes(0xFFFF - 40), 1448).raw, 46),
    "longest IPv6 packet": (Sent(IP6, ACK, bytes(0xFFFF - 20), 1428).raw, 46),
    "source port of a tag's value": (Sent(IP4, TCP(sport=C_TAG, dport=2), bytes(3000), 1000).raw, 3),
}


@pytest.mark.parametrize(("raw", "segments"), ACCEPTED.values(), ids=ACCEPTED)
def test_what_just_passes(raw: bytes, segments: int) -> None:
    found = asked(raw)
    assert found.segments == len(lower(raw, Capability.NONE)) == segments


def test_padding_behind_the_packet_is_no_payload() -> None:
    for size in (2, 3):
        sent = Sent(IP4, DATAGRAM, b"abc", size)
        padded = sent.raw + b"p" * 15
        assert asked(padded) == asked(sent.raw)
        assert lower(padded, Capability.NONE) == lower(sent.raw, Capability.NONE)


def test_a_tag_pushed_onto_the_most_tags_is_no_contradiction() -> None:
    sent = Sent(IP4, ACK, bytes(3000), 1000, ((C_TAG, 1),) * 8)
    pushed = shift(sent.raw, 4) + Sent(IP4, ACK, bytes(3000), 1000, ((C_TAG, 1),) * 9).raw[HEADER:]
    assert len(lower(pushed, Capability.NONE)) == 3


def fields(raw: Any, layer: Any, name: str) -> list[Any]:
    """A header field of each segment, as scapy reads it."""
    return [getattr(IP(bytes(each[HEADER + 14 :]))[layer], name) for each in lower(raw, Capability.NONE)]


def test_identification_counts_up_and_wraps() -> None:
    assert fields(TCP4.raw, IP, "id") == [0xFFFE, 0xFFFF, 0]
    assert fields(UDP4.raw, IP, "id") == [0xFFFE, 0xFFFF, 0]


def test_sequence_numbers_wrap() -> None:
    sent = Sent(IP4, TCP(seq=0xFFFFFFFF - 999), bytes(3000), 1000)
    assert fields(sent.raw, TCP, "seq") == [0xFFFFFC18, 0, 1000]


def test_fin_and_psh_stay_with_the_last_and_cwr_with_the_first() -> None:
    sent = Sent(IP4, TCP(flags="FSRPAUECN"), bytes(3000), 1000)
    assert fields(sent.raw, TCP, "flags") == ["SRAUECN", "SRAUEN", "FSRPAUEN"]
    alone = Sent(IP4, TCP(flags="FPAC"), bytes(300), 1000)
    assert fields(alone.raw, TCP, "flags") == ["FPAC"]


def test_lengths_of_the_last_segment_are_its_own() -> None:
    assert fields(Sent(IP4, UDP(), bytes(2500), 1000).raw, UDP, "len") == [1008, 1008, 508]
    assert fields(Sent(IP4, UDP(), bytes(2500), 1000).raw, IP, "len") == [1028, 1028, 528]


def test_the_source_s_pseudo_header_is_kept_behind_a_routing_header() -> None:
    """The checksum is of the last destination, RFC 8200 clause 8.1: scapy knows that one and the segments verify."""
    ip = IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrRouting(addresses=["2001:db8::3"])
    sent = Sent(ip, ACK, bytes(range(250)) * 4, 400)
    raw = bytearray(sent.raw)
    at = HEADER + sent.start + 16
    last = bytes(ip)[8:24] + bytes(ip)[-16:]
    raw[at : at + 2] = pseudo(last, 6, 20 + 1000).to_bytes(2)
    for each in lower(bytes(raw), Capability.NONE):
        packet = IPv6(bytes(each[HEADER + 14 :]))
        written = packet[TCP].chksum
        del packet[TCP].chksum
        assert IPv6(bytes(packet))[TCP].chksum == written


@pytest.mark.parametrize(
    ("transport", "size", "written"),
    [(ACK, 0, 0xFFFF), (DATAGRAM, 0, 0xFFFF), (ACK, 100, 0), (DATAGRAM, 100, 0xFFFF), (ACK, 200, 0xFFFF)],
    ids=["partial TCP", "partial UDP", "TCP segment", "UDP segment", "one TCP segment"],
)
def test_a_checksum_of_zero(transport: Packet, size: int, written: int) -> None:
    """Linux writes 0xFFFF for it, but in segments of TCP."""
    at = HEADER + 34 + (16 if transport is ACK else 6)

    def checksum(word: bytes) -> bytes:
        """Of the first frame, whose payload begins with this word."""
        return bytes(lower(Sent(IP4, transport, word + bytes(198), size).raw, Capability.NONE)[0][at : at + 2])

    assert checksum(checksum(b"\0\0")) == written.to_bytes(2)


def test_one_segment_keeps_its_ip_header() -> None:
    """It is not for us to mend the checksum of it."""
    (lowered,) = lower(bent(Sent(IP4, ACK, bytes(100), 100), 24, b"\xba\xd0"), Capability.NONE)
    assert lowered[HEADER + 24 : HEADER + 26] == b"\xba\xd0"


def test_a_checksum_over_nothing_but_zeros() -> None:
    raw = header(NEEDS_CSUM, start=34, offset=6) + ADDRESSES + bytes(48)
    (lowered,) = lower(raw, Capability.NONE)
    assert lowered == PLAIN + ADDRESSES + bytes(28) + b"\xff\xff" + bytes(18)


def test_a_partial_checksum_covers_an_odd_octet_at_the_end() -> None:
    raw = header(NEEDS_CSUM, start=34, offset=0) + ADDRESSES + bytes(22) + b"\0\0" + b"\x01\x02\x03"
    (lowered,) = lower(raw, Capability.NONE)
    assert lowered[HEADER + 34 : HEADER + 36] == (0xFFFF - 0x0102 - 0x0300).to_bytes(2)


def test_a_port_with_the_checksum_alone_gets_whole_segments() -> None:
    assert lower(TCP4.raw, Capability.CSUM) == lower(TCP4.raw, Capability.NONE)


@pytest.mark.parametrize("octets", [4, 0, -4])
def test_shift_moves_checksum_and_headers(octets: int) -> None:
    assert shift(said(), octets) == header(**{**GOOD, "start": 34 + octets, "hdr_len": 54 + octets})
    assert shift(said(hdr_len=0), octets) == header(**{**GOOD, "start": 34 + octets, "hdr_len": 0})
    assert shift(PLAIN + bytes(60), octets) == PLAIN
    assert shift(header(flags=DATA_VALID, hdr_len=60) + bytes(60), octets) == header(DATA_VALID, hdr_len=60 + octets)


def test_shift_of_a_header_length_stays_a_number() -> None:
    assert shift(header(hdr_len=2) + bytes(60), -4) == PLAIN
    assert shift(header(hdr_len=0xFFFE) + bytes(60), 4) == header(hdr_len=0xFFFF)


def test_any_buffer_will_do() -> None:
    for kind in (bytes, bytearray, memoryview):
        assert parse(kind(TCP4.raw)) == asked(TCP4.raw)
        assert lower(kind(TCP4.raw), Capability.NONE) == lower(TCP4.raw, Capability.NONE)
        assert shift(kind(TCP4.raw), 4) == shift(TCP4.raw, 4)


def test_what_is_left_as_it_is_is_not_copied() -> None:
    view = memoryview(bytearray(TCP4.raw))
    assert lower(view, Capability.ALL)[0] is view


def test_a_frame_of_icmp_may_have_a_partial_checksum() -> None:
    packet = bytes(IP(src="192.0.2.1", dst="198.51.100.2") / ICMP(chksum=0) / b"ping")
    raw = header(NEEDS_CSUM, start=34, offset=2) + ADDRESSES + b"\x08\x00" + packet
    (lowered,) = lower(raw, Capability.NONE)
    assert lowered[HEADER + 14 :] == bytes(IP(src="192.0.2.1", dst="198.51.100.2") / ICMP() / b"ping")
