"""Superframes of all kinds against scapy, and headers of any kind against every way out of a port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from tests.superframes import C_TAG, S_TAG, Sent, partials, superframes, twisted
from vswitch.core.frame import UNTAGGED, Frame, TagEdit
from vswitch.core.offload import HEADER, PLAIN, Capability, Offload, OffloadError, lower, parse, shift
from vswitch.core.port import BridgePort

if TYPE_CHECKING:
    from scapy.packet import Packet

CAPABILITIES = st.integers(0, int(Capability.ALL)).map(lambda bits: Capability(bits) & Capability.ALL)
EDITS = st.sampled_from([None, UNTAGGED, TagEdit(C_TAG, 5), TagEdit(S_TAG, 5)])
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(superframes())
@unhurried
def test_segments_are_what_scapy_makes_of_them(sent: Sent) -> None:
    count = max(1, -(-len(sent.payload) // sent.size))
    segments = lower(sent.raw, Capability.NONE)
    expected = [bytes(expected_segment(sent, number, count)) for number in range(count)]
    if count == 1:
        expected = [zero_as_ones(expected[0], sent)]
    assert segments == [PLAIN + sent.ethernet + packet for packet in expected]


@given(superframes())
@unhurried
def test_segments_hold_the_payload(sent: Sent) -> None:
    packets = [Ether(bytes(each[HEADER:])) for each in lower(sent.raw, Capability.NONE)]
    assert b"".join(bytes(packet[type(sent.transport)].payload) for packet in packets) == sent.payload


@given(partials())
@unhurried
def test_a_completed_checksum_is_what_scapy_computes(sent: Sent) -> None:
    (lowered,) = lower(sent.raw, Capability.NONE)
    assert lowered == PLAIN + sent.ethernet + zero_as_ones(bytes(sent.ip / sent.transport / Raw(sent.payload)), sent)


@given(st.one_of(superframes(), partials()), CAPABILITIES)
@unhurried
def test_a_frame_leaves_as_it_is_or_complete(sent: Sent, capability: Capability) -> None:
    raw = sent.raw
    asked = parse(raw)
    assert asked is not None
    if asked.needs in capability:
        assert lower(raw, capability) == [raw]
    else:
        assert lower(raw, capability) == lower(raw, Capability.NONE)


@given(st.one_of(superframes(), partials()))
@unhurried
def test_counts_are_those_of_what_leaves(sent: Sent) -> None:
    asked = parse(sent.raw)
    assert asked is not None
    assert (asked.segments, asked.octets, asked.longest) == counts(sent.raw)
    assert asked.header_length == (sent.headers if sent.size else 0)
    assert (asked.network, asked.csum_start) == (sent.network, sent.start)


@given(st.one_of(st.binary(max_size=200), twisted()))
@unhurried
def test_any_octets_are_parsed_or_refused(raw: bytes) -> None:
    parsed(raw)


@given(twisted(), CAPABILITIES)
@unhurried
def test_whatever_parses_is_lowered(raw: bytes, capability: Capability) -> None:
    asked = parsed(raw)
    if asked is None:
        return
    lowered = lower(raw, capability)
    assert lowered == [raw] or all(each[:HEADER] == PLAIN for each in lowered)
    assert (asked.segments, asked.octets, asked.longest) == counts(raw)


@given(twisted(), EDITS, CAPABILITIES)
@unhurried
def test_whatever_parses_leaves_with_any_tag(raw: bytes, edit: TagEdit | None, capability: Capability) -> None:
    frame = Frame.parse(raw, BridgePort("a"))
    if not isinstance(frame, Frame):
        return
    forms = frame.form(edit, capability)
    assert all(parsed(bytes(form), tolerant=False) is None or len(forms) == 1 for form in forms)
    assert len(forms) in (1, frame.segments)


@given(superframes(), EDITS)
@unhurried
def test_a_tag_changes_nothing_behind_it(sent: Sent, edit: TagEdit | None) -> None:
    frame = Frame.parse(sent.raw, BridgePort("a"))
    assert isinstance(frame, Frame)
    tags = sent.tags
    if edit is not None:
        tags = (*((edit,) if edit.tpid else ()), *tags[1:])
    same = Sent(sent.ip, sent.transport, sent.payload, sent.size, tags)
    assert list(frame.form(edit, Capability.NONE)) == lower(same.raw, Capability.NONE)


@given(st.one_of(superframes(), partials()))
@unhurried
def test_shift_back_undoes_shift(sent: Sent) -> None:
    assert shift(shift(sent.raw, 4), -4) == sent.header


def parsed(raw: bytes, *, tolerant: bool = True) -> Offload | None:
    """What a header asks for, None where it asks for nothing or, with `tolerant`, too much."""
    try:
        return parse(raw)
    except OffloadError:
        assert tolerant
        return None


def counts(raw: bytes) -> tuple[int, int, int]:
    """Segments, octets, and octets of the longest, of what leaves a port without offload."""
    lengths = [len(each) - HEADER for each in lower(raw, Capability.NONE)]
    return len(lengths), sum(lengths), max(lengths)


def expected_segment(sent: Sent, number: int, count: int) -> Packet:
    """One segment, with the lengths and checksums that scapy computes."""
    payload = Raw(sent.payload[number * sent.size : (number + 1) * sent.size])
    packet = (sent.ip / sent.transport / payload).copy()
    if sent.version == 4:
        packet[IP].id = (packet[IP].id + number) & 0xFFFF
    if sent.tcp:
        packet[TCP].seq = (packet[TCP].seq + number * sent.size) & 0xFFFFFFFF
        if number:
            packet[TCP].flags &= ~0x80
        if number < count - 1:
            packet[TCP].flags &= ~0x09
    return packet


def zero_as_ones(packet: bytes, sent: Sent) -> bytes:
    """A packet in which a checksum of zero is written as 0xFFFF, of TCP too."""
    at = (16 if sent.tcp else 6) + sent.start - sent.network
    return packet if any(packet[at : at + 2]) else packet[:at] + b"\xff\xff" + packet[at + 2 :]
