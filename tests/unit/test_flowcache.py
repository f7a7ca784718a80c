"""The flow tables, both twins of them, and the cache that fills and empties them."""

from __future__ import annotations

import errno
import gc
import os
import random
import struct
import sys
import threading
import time
from array import array
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.property.octets import IPV4, IPV6, Octets
from tests.unit.frames import BROADCAST, A, B, C, raw
from tests.unit.twins import MODES, Guest, Lab, fast_path, flow_key, make_flow
from vswitch.core.frame import UNTAGGED, Frame, TagEdit
from vswitch.core.offload import DATA_VALID, HEADER, Capability, parse
from vswitch.core.stats import BROADCAST as BROADCAST_CAST
from vswitch.core.stats import DROPPED, MULTICAST
from vswitch.core.verdict import Reason
from vswitch.fastpath.flowcache import ROOM, Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vswitch.fastpath.twins import FastPath

TAG = bytes.fromhex("8100200a")
OTHER_TAG = bytes.fromhex("88a8400b")
VALUES = array("Q", bytes(8 * (DROPPED + 12)))


@pytest.fixture(params=MODES)
def path(request: pytest.FixtureRequest) -> FastPath:
    return fast_path(request.param)


@pytest.fixture
def lab(path: FastPath) -> Iterator[Lab]:
    made = Lab(path)
    yield made
    made.close()


@pytest.fixture
def native() -> FastPath:
    return fast_path("native")


def numbered(count: int, destination: str = B) -> list[bytes]:
    return [raw(destination, A, payload=number.to_bytes(50)) for number in range(count)]


# What a table knows


def test_flows_are_known_until_they_are_discarded(lab: Lab) -> None:
    first, second = raw(B, A), raw(C, A)
    flow, other = lab.knows(first, lab.b), lab.knows(second, lab.c)
    assert len(lab.table) == 2
    assert lab.table.match(first) == (flow, 1, 64, 64)
    lab.table.discard(flow.key)
    lab.table.discard(flow.key)
    assert len(lab.table) == 1
    assert lab.table.match(first) is None
    assert lab.table.match(second) == (other, 1, 64, 64)
    lab.table.clear()
    assert len(lab.table) == 0
    assert lab.table.match(second) is None


def test_a_flow_takes_the_place_of_another_with_its_key(lab: Lab) -> None:
    lab.knows(raw(B, A), lab.b)
    flow = lab.knows(raw(B, A), lab.c)
    assert len(lab.table) == 1
    assert lab.table.match(raw(B, A)) == (flow, 1, 64, 64)


def test_addresses_ethertype_and_tag_tell_flows_apart(lab: Lab) -> None:
    frames = [raw(B, A), raw(A, B), raw(B, A, ethertype=0x0800), raw(B, A, (0x8100, 10)), raw(B, A, (0x8100, 0x200A)),
              raw(B, A, (0x88A8, 10)), raw(B, A, (0x8100, 0)), raw(B, A, ethertype=0)]  # fmt: skip
    flows = [lab.knows(each, lab.b) for each in frames]
    assert len(lab.table) == len(frames)
    found = [lab.table.match(each) for each in frames]
    assert [match and match[0] for match in found] == flows


def test_a_second_tag_and_the_payload_tell_nothing_apart(lab: Lab) -> None:
    flow = lab.knows(raw(B, A, (0x88A8, 10)), lab.b)
    assert lab.table.match(raw(B, A, (0x88A8, 10), (0x8100, 20), payload=b"other")) == (flow, 1, 27, 27)


def test_a_table_knows_what_a_dictionary_would(lab: Lab) -> None:
    numbers = random.Random(8021)
    known: dict[bytes, object] = {}
    frames = [raw(B, A, (0x8100, tci)) for tci in range(400)]
    for step in range(6000):
        frame = numbers.choice(frames)
        if numbers.random() < (0.7 if step // 1000 % 2 else 0.3):
            known[flow_key(frame)] = lab.knows(frame, lab.b)
        else:
            lab.table.discard(flow_key(frame))
            known.pop(flow_key(frame), None)
        assert len(lab.table) == len(known)
        probe = numbers.choice(frames)
        match = lab.table.match(probe)
        assert (match and match[0]) is known.get(flow_key(probe))
    assert [lab.table.match(each) is not None for each in frames] == [flow_key(each) in known for each in frames]


def test_a_table_holds_a_flow_once_and_lets_it_go(lab: Lab) -> None:
    flow = make_flow(raw(B, A), lab.b, (lab.c, TAG))
    counted = sys.getrefcount(flow), sys.getrefcount(lab.b.exit.state), sys.getrefcount(flow.conversation.values)
    other = make_flow(raw(B, A), lab.d)
    for forget in (lab.table.clear, lambda: lab.table.discard(flow.key), lambda: lab.table.add(other)):
        for _ in range(3):
            lab.table.add(flow)
            lab.a.send(raw(B, A))
            lab.burst()
        lab.table.match(raw(B, A))
        forget()
        gc.collect()
        now = sys.getrefcount(flow), sys.getrefcount(lab.b.exit.state), sys.getrefcount(flow.conversation.values)
        assert now == counted


# Bursts


def test_a_burst_leaves_in_order_and_octet_for_octet(lab: Lab) -> None:
    frames = numbered(10)
    flow = lab.knows(frames[0], lab.b)
    lab.a.send(*frames)
    assert lab.burst() == (10, [flow], -1, None, 0)
    assert lab.b.received() == frames


def test_nothing_waits(lab: Lab) -> None:
    assert lab.burst() == (0, [], -1, None, 0)


def test_a_burst_reads_so_many_frames_and_no_more(lab: Lab) -> None:
    frames = numbered(10)
    flow = lab.knows(frames[0], lab.b)
    lab.a.send(*frames)
    assert lab.burst(frames=4) == (4, [flow], -1, None, 0)
    assert lab.b.received() == frames[:4]
    assert lab.burst(frames=0) == (0, [], -1, None, 0)
    assert lab.burst() == (6, [flow], -1, None, 0)


def test_a_burst_reads_no_more_once_it_is_so_many_octets(lab: Lab) -> None:
    frames = [raw(B, A, payload=bytes(990)) for _ in range(10)]  # 1014 with the header
    flow = lab.knows(frames[0], lab.b)
    lab.a.send(*frames)
    assert lab.burst(octets=2028) == (2, [flow], -1, None, 0)
    assert lab.burst(octets=2029) == (3, [flow], -1, None, 0)
    assert lab.burst(octets=0) == (0, [], -1, None, 0)


def test_what_is_not_known_is_handed_back_and_the_rest_stays_unread(lab: Lab) -> None:
    known, unknown = raw(B, A), raw(C, A, payload=b"unknown" * 10)
    flow = lab.knows(known, lab.b)
    lab.a.send(known, unknown, known, known)
    assert lab.burst() == (2, [flow], len(unknown), None, 0)
    assert bytes(lab.buffer[: len(unknown)]) == unknown
    assert lab.b.received() == [known]
    assert lab.a.counters.receive.frames == [1, 0, 0]
    assert lab.burst() == (2, [flow], -1, None, 0)
    assert lab.b.received() == [known, known]


def test_flows_met_stand_in_the_order_of_their_last_frames(lab: Lab) -> None:
    frames = [raw(BROADCAST, source) for source in (A, B, C)]
    a, b, c = (lab.knows(frame, lab.b) for frame in frames)
    for sent, met in (("abcab", [c, a, b]), ("aabba", [b, a]), ("abcba", [c, b, a]), ("c", [c]), ("abab", [a, b])):
        lab.a.send(*(frames["abc".index(letter)] for letter in sent))
        assert lab.burst() == (len(sent), met, -1, None, 0), sent


def test_a_frame_that_is_handed_back_with_its_flow_was_met_last(lab: Lab) -> None:
    good, bad = raw(B, A), raw(A, C)
    passing, stopped = lab.knows(good, lab.b), lab.knows(bad, lab.c)
    lab.c.exit.state[1] = 1
    lab.a.send(good, good, bad, good)
    assert lab.burst() == (3, [passing, stopped], len(bad), stopped, 0)


def test_a_station_is_heard_once_by_the_last_of_its_flows_that_tells_where_it_is(lab: Lab) -> None:
    first, second, other, silent = raw(B, A), raw(C, A), raw(C, B), raw(BROADCAST, A)
    lab.knows(first, lab.b)
    last, another = lab.knows(second, lab.b), lab.knows(other, lab.b)
    lab.knows(silent, lab.b, station=None)
    lab.a.send(first, other, first, second, silent)
    assert lab.burst() == (5, [another, last], -1, None, 0)


# Exits that do not take a frame


@pytest.mark.parametrize("why", ["waits", "no descriptor", "full", "closed", "gone"])
def test_an_exit_that_takes_nothing_hands_the_frame_back(lab: Lab, why: str) -> None:
    frames = numbered(3)
    flow = lab.knows(frames[0], lab.b)
    match why:
        case "waits":
            lab.b.exit.state[1] = 1
        case "no descriptor":
            lab.b.exit.state[0] = -1
        case "full":
            lab.b.fill()
        case "closed":
            lab.b.exit.state[0] = (1 << 31) - 1
        case "gone":
            lab.b.far.close()
    lab.a.send(*frames)
    before = list(lab.b.counters.values)
    for number in range(3):
        assert lab.burst() == (1, [flow], len(frames[0]), flow, 0)
        assert bytes(lab.buffer[: len(frames[0])]) == frames[number]
    assert lab.a.counters.receive.frames == [3, 0, 0], "received is what was handed back with its flow"
    assert lab.a.counters.receive.octets == 3 * 64
    assert list(lab.b.counters.values) == before


def test_an_exit_that_fills_up_in_a_burst_hands_back_what_it_did_not_take(lab: Lab) -> None:
    frames = [raw(B, A, payload=number.to_bytes(4000)) for number in range(40)]
    flow = lab.knows(frames[0], lab.b)
    lab.b.fill()
    for _ in range(6):
        lab.b.far.recv(ROOM)
    lab.a.send(*frames[:20])
    read, met, length, handed, done = lab.burst()
    assert 1 < read < 20
    assert (met, length, handed, done) == ([flow], len(frames[0]), flow, 0)
    assert bytes(lab.buffer[:length]) == frames[read - 1]
    assert [each for each in lab.b.received() if len(each) > 2000] == frames[: read - 1]
    assert lab.b.counters.transmit.frames == [read - 1, 0, 0]
    assert lab.a.counters.receive.frames == [read, 0, 0]
    assert lab.a.counters.receive.octets == read * (len(frames[0]) - HEADER)


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_flood_says_how_many_exits_took_the_frame(lab: Lab, failing: int) -> None:
    frame = raw(BROADCAST, A)
    outs = [lab.b, lab.c, lab.d]
    flow = lab.knows(frame, lab.b, (lab.c, TAG), lab.d, cast=BROADCAST_CAST)
    outs[failing].exit.state[1] = 1
    lab.a.send(frame, frame)
    assert lab.burst() == (1, [flow], len(frame), flow, failing)
    assert [len(guest.received()) for guest in outs] == [int(number < failing) for number in range(3)]
    assert [guest.counters.transmit.frames[2] for guest in outs] == [int(number < failing) for number in range(3)]
    assert lab.a.counters.receive.frames == [0, 0, 1]
    parsed = Frame.parse(frame, lab.a.bridge)
    assert isinstance(parsed, Frame)
    left = list(flow.egress(parsed, failing))
    assert [each.port for each in left] == [guest.bridge for guest in outs[failing:]]
    assert [each.edit for each in left] == [None, TagEdit(0x8100, 0x200A), None][failing:]


def test_a_flow_without_tag_leaves_untagged_by_the_engine_too(lab: Lab) -> None:
    frame = raw(B, A, (0x8100, 10))
    parsed = Frame.parse(frame, lab.a.bridge)
    assert isinstance(parsed, Frame)
    (egress,) = make_flow(frame, (lab.b, b"")).egress(parsed, 0)
    assert egress.edit == UNTAGGED


def test_a_flood_reaches_every_exit(lab: Lab) -> None:
    frame = raw(BROADCAST, A)
    flow = lab.knows(frame, lab.b, lab.c, lab.d, cast=BROADCAST_CAST)
    lab.a.send(frame, frame)
    assert lab.burst() == (2, [flow], -1, None, 0)
    assert [guest.received() for guest in (lab.b, lab.c, lab.d)] == [[frame, frame]] * 3


# Tags, lengths and headers


@pytest.mark.parametrize(
    ("tags", "tag", "left"),
    [
        ((), TAG, [(0x8100, 0x200A)]),
        ([(0x8100, 10)], b"", []),
        ([(0x8100, 10)], OTHER_TAG, [(0x88A8, 0x400B)]),
        ([(0x88A8, 10), (0x8100, 20)], b"", [(0x8100, 20)]),
        ([(0x88A8, 10), (0x8100, 20)], TAG, [(0x8100, 0x200A), (0x8100, 20)]),
        ([(0x8100, 10)], None, [(0x8100, 10)]),
        ((), b"", []),
    ],
    ids=["pushed", "popped", "replaced", "outer popped", "outer replaced", "kept", "none to pop"],
)
@pytest.mark.parametrize("way", ["burst", "carry"])
def test_the_outer_tag_of_a_plain_frame(lab: Lab, tags: Any, tag: bytes | None, left: Any, way: str) -> None:
    frame = raw(B, A, *tags)
    flow = lab.knows(frame, (lab.b, tag))
    send(lab, frame, way)
    assert lab.b.received() == [raw(B, A, *left)]
    assert lab.b.counters.transmit.octets == len(raw(B, A, *left)) - HEADER
    assert lab.table.match(frame) == (flow, 1, len(frame) - HEADER, len(frame) - HEADER)


@pytest.mark.parametrize("ethertype", [IPV4, IPV6])
@pytest.mark.parametrize("tcp", [True, False])
@pytest.mark.parametrize("size", [0, 100])
@pytest.mark.parametrize(
    ("tags", "tag", "left"),
    [((), TAG, [(0x8100, 0x200A)]), ([(0x8100, 10)], b"", []), ([(0x8100, 10)], OTHER_TAG, [(0x88A8, 0x400B)])],
    ids=["pushed", "popped", "replaced"],
)
def test_a_tag_moves_what_the_header_points_to(
    lab: Lab, tags: Any, tag: bytes, left: Any, *, ethertype: int, tcp: bool, size: int
) -> None:
    sent = Octets(b"\2\0\0\0\0\2", b"\2\0\0\0\0\1", tuple(tags), ethertype, tcp, 1, 950, size)
    leaving = replace(sent, tags=tuple(left))
    lab.knows(sent.raw, (lab.b, tag))
    send(lab, sent.raw, "burst")
    assert lab.b.received() == [leaving.raw]
    asked = parse(leaving.raw)
    assert asked is not None
    assert lab.b.counters.transmit.frames == [asked.segments, 0, 0]
    assert lab.b.counters.transmit.octets == asked.octets
    assert lab.a.counters.receive.frames == [asked.segments, 0, 0]
    assert asked.segments == (10 if size else 1)


@pytest.mark.parametrize(
    ("hdr_len", "tags", "tag"),
    [(2, [(0x8100, 10)], b""), (4, [(0x8100, 10)], b""), (0xFFFE, [], TAG), (0xFFFF, [], TAG), (0, [], TAG)],
)
def test_the_length_of_headers_stays_a_number_of_sixteen_bits(lab: Lab, hdr_len: int, tags: Any, tag: bytes) -> None:
    plain = raw(B, A, *tags, payload=bytes(0x10000 if hdr_len > 0xF000 else 50))
    frame = struct.pack("=BBHHHH", DATA_VALID, 0, hdr_len, 0, 0, 0) + plain[HEADER:]
    lab.knows(frame, (lab.b, tag))
    send(lab, frame, "burst")
    (left,) = lab.b.received()
    assert left == as_switch_would(frame, tag)
    assert struct.unpack_from("=H", left, 2) == ({2: 0, 4: 0, 0: 0}.get(hdr_len, 0xFFFF),)


@pytest.mark.parametrize("length", [14, 15, 30, 55, 56, 57, 59, 60, 61, 63, 64])
@pytest.mark.parametrize("tag", [None, b"", TAG], ids=["kept", "popped", "pushed"])
@pytest.mark.parametrize("way", ["burst", "carry"])
def test_a_short_frame_is_padded_with_zeros_and_nothing_else(
    lab: Lab, length: int, tag: bytes | None, way: str
) -> None:
    tags = [(0x8100, 0)] if tag == b"" else []
    frame = raw(B, A, *tags, payload=b"x" * 60)[: HEADER + length]
    if length == 14 and tags:
        frame = frame[: HEADER + 14]
    lab.knows(raw(C, A), lab.c)
    lab.knows(frame if length >= 18 else frame + bytes(4), (lab.b, tag))
    full = b"\xff" * 300
    send(lab, raw(C, A, payload=full), way)
    send(lab, frame, way)
    expected = as_switch_would(frame, tag)
    assert len(expected) >= HEADER + 60
    assert lab.b.received() == [expected]
    assert lab.b.counters.transmit.octets == len(expected) - HEADER
    assert lab.a.counters.receive.octets == length + 314


def test_a_run_of_short_frames_between_long_ones_is_padded_with_zeros(lab: Lab) -> None:
    long, short = raw(B, A, payload=b"\xff" * 300), raw(B, A, payload=b"\xff" * 3)
    lab.knows(long, lab.b)
    lab.a.send(long, long, short, short, short, long, short, short)
    assert lab.burst()[0] == 8
    padded = short.ljust(HEADER + 60, b"\0")
    assert lab.b.received() == [long, long, padded, padded, padded, long, padded, padded]
    assert lab.b.counters.transmit.octets == 3 * 314 + 5 * 60
    assert lab.a.counters.receive.octets == 3 * 314 + 5 * 17


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 23])
def test_a_runt_is_handed_back_even_behind_a_frame_that_it_begins_like(lab: Lab, length: int) -> None:
    frame = raw(B, A, ethertype=0x0800)  # ends in the zero that 23 octets of it are padded with
    flow = lab.knows(frame, lab.b)
    lab.a.send(frame, frame[:length], frame)
    assert lab.burst() == (2, [flow], length, None, 0)
    assert lab.burst() == (1, [flow], -1, None, 0)
    assert lab.table.match(frame[:length]) is None
    assert lab.table.carry(frame[:length]) == (None, 0)


def test_what_does_not_fit_every_exit_is_not_carried(lab: Lab) -> None:
    frame = raw(B, A)
    lab.knows(frame, lab.b, longest=64)
    assert lab.table.match(frame) is not None
    assert lab.table.match(frame + b"x") is None
    lab.a.send(frame, frame + b"x")
    assert lab.burst()[2:] == (len(frame) + 1, None, 0)


def test_a_superframe_fits_if_its_segments_do(lab: Lab) -> None:
    sent = Octets(b"\2\0\0\0\0\2", b"\2\0\0\0\0\1", (), IPV4, True, 0, 3000, 1000)
    flow = lab.knows(sent.raw, lab.b, longest=1054)
    assert lab.table.match(sent.raw) == (flow, 3, 3 * 1054, 1054)
    lab.knows(sent.raw, lab.b, longest=1053)
    assert lab.table.match(sent.raw) is None


@pytest.mark.parametrize("missing", [Capability.CSUM, Capability.TSO4])
def test_what_an_exit_cannot_complete_is_not_carried(lab: Lab, missing: Capability) -> None:
    sent = Octets(b"\2\0\0\0\0\2", b"\2\0\0\0\0\1", (), IPV4, True, 0, 3000, 1000)
    lab.knows(sent.raw, lab.b, offload=Capability.ALL & ~missing)
    lab.a.send(sent.raw)
    assert lab.burst() == (1, [], len(sent.raw), None, 0)
    assert lab.table.carry(sent.raw) == (None, 0)
    assert lab.b.received() == []
    assert not any(lab.a.counters.values)


def test_a_header_that_contradicts_its_frame_is_handed_back(lab: Lab) -> None:
    sent = Octets(b"\2\0\0\0\0\2", b"\2\0\0\0\0\1", (), IPV4, True, 0, 3000, 1000).raw
    lab.knows(sent, lab.b)
    lie = sent[:1] + b"\x05" + sent[2:]
    lab.a.send(lie)
    assert lab.burst() == (1, [], len(lie), None, 0)


# Counters


@pytest.mark.parametrize("cast", [0, MULTICAST, BROADCAST_CAST])
def test_frames_are_counted_by_cast_on_both_sides(lab: Lab, cast: int) -> None:
    lab.knows(raw(B, A), lab.b, (lab.c, TAG), cast=cast)
    lab.a.send(raw(B, A), raw(B, A, payload=bytes(100)))
    lab.burst()
    frames = [2 * (number == cast) for number in range(3)]
    assert (lab.a.counters.receive.frames, lab.a.counters.receive.octets) == (frames, 64 + 114)
    assert (lab.b.counters.transmit.frames, lab.b.counters.transmit.octets) == (frames, 64 + 114)
    assert (lab.c.counters.transmit.frames, lab.c.counters.transmit.octets) == (frames, 68 + 118)
    assert sum(lab.a.counters.dropped.values()) == 0


@pytest.mark.parametrize("reason", [Reason.RUNT, Reason.SAME_PORT, Reason.NO_EGRESS])
def test_drops_are_counted_for_their_reason_and_by_segments(lab: Lab, reason: Reason) -> None:
    sent = Octets(b"\2\0\0\0\0\2", b"\2\0\0\0\0\1", (), IPV4, True, 0, 3000, 1000).raw
    flow = lab.knows(sent, drop=reason.number)
    lab.a.send(sent, sent)
    assert lab.burst() == (2, [flow], -1, None, 0)
    assert lab.table.carry(sent) == (flow, 0)
    assert lab.a.counters.dropped == {each: 9 * (each is reason) for each in Reason}
    assert lab.a.counters.receive.frames == [9, 0, 0]


def test_a_conversation_counts_what_the_port_counts_as_received(lab: Lab) -> None:
    sent = Octets(b"\2\0\0\0\0\2", b"\2\0\0\0\0\1", (), IPV4, True, 0, 3000, 1000)
    short, flood, waits = raw(B, A, payload=b"x"), raw(BROADCAST, A), raw(C, A)
    stopped = lab.knows(short, drop=Reason.SAME_PORT.number)
    flows = [lab.knows(sent.raw, lab.b), stopped, lab.knows(flood, lab.b, (lab.c, TAG)), lab.knows(waits, lab.d)]
    lab.d.exit.state[1] = 1
    lab.clock[0] = 7
    lab.a.send(sent.raw, short, short, flood, short, waits)
    assert lab.burst()[0] == 6
    lab.clock[0] = (1 << 64) - 1
    lab.table.carry(flood)
    counts = [list(flow.conversation.values) for flow in flows]
    assert counts == [[3, 3162, 7], [3, 45, 7], [2, 128, (1 << 64) - 1], [1, 64, 7]]
    assert [sum(each) for each in zip(*counts, strict=True)][1] == lab.a.counters.receive.octets
    assert sum(each[0] for each in counts) == sum(lab.a.counters.receive.frames)


def test_flows_of_one_conversation_count_in_it_together(lab: Lab) -> None:
    frames = [raw(B, A), raw(B, A, ethertype=0x0800)]
    first = lab.knows(frames[0], lab.b)
    lab.knows(frames[1], lab.b, conversation=first.conversation)
    lab.a.send(*frames, *frames, frames[0])
    lab.burst()
    lab.table.clear()
    assert list(first.conversation.values) == [5, 5 * 64, 0]


# Descriptors that fail


def test_a_descriptor_that_cannot_be_read_raises(lab: Lab) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)) as raised:
        lab.table.burst(-1, 64, 1 << 20)
    assert raised.value.errno == errno.EBADF


def test_an_error_is_raised_and_reading_goes_on_behind_it(lab: Lab) -> None:
    frame = raw(B, A)
    flow = lab.knows(frame, lab.b)
    lab.a.near.send(b"never read")
    lab.a.send(frame, frame)
    lab.a.far.close()
    with pytest.raises(ConnectionResetError):
        lab.burst()
    assert lab.burst(frames=2) == (2, [flow], -1, None, 0)


def test_the_end_of_a_socket_is_handed_back_and_does_not_spin(lab: Lab) -> None:
    lab.knows(raw(B, A), lab.b)
    lab.a.far.close()
    for _ in range(3):
        assert lab.burst() == (1, [], 0, None, 0)


# What is no flow


class Anything:
    """An object with these attributes."""

    def __init__(self, **attributes: object) -> None:
        self.__dict__.update(attributes)


WRONG: dict[str, dict[str, Any]] = {
    "cast": {"cast": 3},
    "negative cast": {"cast": -1},
    "cast of another kind": {"cast": "unicast"},
    "drop": {"drop": len(Reason)},
    "negative drop": {"drop": -2},
    "longest": {"longest": -1},
    "too long": {"longest": 1 << 70},
    "offload": {"offload": None},
    "short key": {"key": bytes(23)},
    "long key": {"key": bytes(29)},
    "key of another kind": {"key": bytearray(24)},
    "exits": {"exits": []},
    "an exit": {"exits": ([None, None],)},
    "an exit of one": {"exits": ((Exit(VALUES[:]),),)},
    "an exit without state": {"exits": ((object(), None),)},
    "a short state": {"exits": ((Anything(state=array("i", [1]), values=VALUES[:]), None),)},
    "a state of octets": {"exits": ((Anything(state=bytearray(8), values=VALUES[:]), None),)},
    "short counters": {"exits": ((Exit(VALUES[: DROPPED - 1]), None),)},
    "counters of another kind": {"exits": ((Exit(array("i", bytes(160))), None),)},
    "counters that are read only": {"exits": ((Anything(state=array("i", [1, 0]), values=bytes(160)), None),)},
    "a short tag": {"exits": ((Exit(VALUES[:]), b"\x81\0\0"),)},
    "a long tag": {"exits": ((Exit(VALUES[:]), b"\x81\0\0\0\0"),)},
    "a tag of another kind": {"exits": ((Exit(VALUES[:]), 5),)},
    "a conversation": {"conversation": None},
    "a short conversation": {"conversation": Anything(values=array("Q", (0, 0)))},
    "a narrow conversation": {"conversation": Anything(values=array("I", (0, 0, 0)))},
    "a constant conversation": {"conversation": Anything(values=bytes(24))},
    "a second exit": {"exits": ((Exit(VALUES[:]), None), (Exit(array("Q", bytes(160))), b"x"))},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_the_native_table_refuses_what_is_no_flow(native: FastPath, wrong: dict[str, Any]) -> None:
    lab = Lab(native)
    try:
        good = make_flow(raw(B, A), lab.b)
        fields = {name: getattr(good, name) for name in good.__slots__}
        flow: Any = Anything(**{**fields, **wrong})
        for _ in range(100):
            with pytest.raises((TypeError, ValueError, AttributeError, OverflowError, BufferError)):
                lab.table.add(flow)
        assert len(lab.table) == 0
        for name in ("key", "cast", "drop", "longest", "offload", "exits", "conversation"):
            less: Any = Anything(**{each: value for each, value in fields.items() if each != name})
            with pytest.raises(AttributeError, match=name):
                lab.table.add(less)
        lab.table.add(good)
        assert lab.table.match(raw(B, A)) == (good, 1, 64, 64)
    finally:
        lab.close()


CLOCK = array("Q", (0,))


@pytest.mark.parametrize(
    ("values", "buffer", "clock"),
    [
        (VALUES, bytearray(ROOM - 1), CLOCK),
        (VALUES, bytes(ROOM), CLOCK),
        (VALUES, array("H", bytes(2 * ROOM)), CLOCK),
        (VALUES, None, CLOCK),
        (VALUES[: DROPPED - 1], bytearray(ROOM), CLOCK),
        (array("I", bytes(160)), bytearray(ROOM), CLOCK),
        (bytes(160), bytearray(ROOM), CLOCK),
        ([0] * 20, bytearray(ROOM), CLOCK),
        (VALUES, bytearray(ROOM), array("Q")),
        (VALUES, bytearray(ROOM), array("I", (0, 0))),
        (VALUES, bytearray(ROOM), 5.0),
    ],
    ids=["small", "read only", "wide", "none", "few counters", "narrow counters", "constant counters", "a list",
         "no clock", "a narrow clock", "a time"],
)  # fmt: skip
def test_the_native_table_refuses_other_memory(native: FastPath, values: Any, buffer: Any, clock: Any) -> None:
    for _ in range(100):
        with pytest.raises((ValueError, TypeError, BufferError)):
            native.table(values, buffer, clock)


def test_the_native_table_refuses_other_arguments(native: FastPath) -> None:
    table: Any = native.table(VALUES, bytearray(ROOM), CLOCK)
    calls: list[Callable[[], object]] = [
        lambda: table.burst(),
        lambda: table.burst("0", 1, 1),
        lambda: table.burst(1 << 40, 1, 1),
        lambda: table.match(5),
        lambda: table.carry("text"),
        lambda: table.match(bytes(ROOM + 1)),
        lambda: table.discard(5),
        lambda: table.discard(bytes(23)),
        lambda: table.discard(bytes(29)),
        lambda: table.add(None),
        lambda: table.clear(1),
    ]
    for call in calls:
        with pytest.raises((TypeError, ValueError, AttributeError, OverflowError)):
            call()
    assert len(table) == 0


def test_the_native_table_is_for_one_thread_at_a_time(native: FastPath) -> None:
    lab = Lab(native)
    flow = lab.knows(raw(B, A), lab.b)
    lab.a.near.setblocking(True)
    other = threading.Thread(target=lab.burst, args=(1,))
    other.start()
    try:
        until_refused(lambda: lab.table.discard(bytes(24)))
        with pytest.raises(RuntimeError, match="another thread"):
            lab.table.add(flow)
        with pytest.raises(RuntimeError, match="another thread"):
            lab.table.clear()
        with pytest.raises(RuntimeError, match="another thread"):
            lab.burst()
    finally:
        lab.a.send(raw(B, A))
        other.join()
        assert lab.b.received() == [raw(B, A)]
        lab.close()


# How


def until_refused(call: Callable[[], object]) -> None:
    """Call until the table says that it is in use."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            call()
        except RuntimeError as error:
            assert "another thread" in str(error)  # noqa: PT017
            return
    raise AssertionError("the other thread did not begin")


def send(lab: Lab, frame: bytes, way: str) -> None:
    """By a burst, or as a frame that the engine read."""
    if way == "carry":
        flow, done = lab.table.carry(memoryview(bytearray(frame)))
    else:
        lab.a.send(frame)
        read, (flow,), length, _, _ = lab.burst()
        assert (read, length) == (1, -1)
        done = len(flow.exits)
    assert flow is not None
    assert done == len(flow.exits)


def as_switch_would(frame: bytes, tag: bytes | None) -> bytes:
    """The frame as it leaves without a fast path."""
    parsed = Frame.parse(frame, Guest.__new__(Guest))  # type: ignore[arg-type]
    assert isinstance(parsed, Frame)
    edit = None if tag is None else TagEdit(int.from_bytes(tag[:2]), int.from_bytes(tag[2:]))
    (form,) = parsed.form(edit, Capability.ALL)
    return bytes(form)
