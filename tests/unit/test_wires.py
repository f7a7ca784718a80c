"""Frames over sockets: whatever pieces a stream is cut into, the frames are those that were sent."""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswitch.core.offload import HEADER, PLAIN
from vswitch.core.verdict import Reason
from vswitch.ports.base import PeerError
from vswitch.ports.wires import LONGEST, DatagramWire, StreamWire

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BUFFERS = [memoryview(bytearray(b"\xee" * 68 * 1024)) for _ in range(8)]


class Ends:
    """A wire, and the socket at its other end."""

    def __init__(self, kind: type[StreamWire | DatagramWire]) -> None:
        near, self.far = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_STREAM if kind is StreamWire else socket.SOCK_DGRAM
        )
        self.wire = kind(near)

    def received(self) -> list[bytes]:
        """All that the wire has, as frames; each has to have the header that asks for nothing."""
        frames: list[bytes] = []
        while burst := self.wire.receive_burst(BUFFERS):
            assert all(raw[:HEADER] == PLAIN for raw in burst)
            frames += [bytes(raw[HEADER:]) for raw in burst]
        return frames

    def close(self) -> None:
        self.wire.close()
        self.far.close()


@pytest.fixture
def stream() -> Iterator[Ends]:
    ends = Ends(StreamWire)
    yield ends
    ends.close()


def framed(frames: Sequence[bytes]) -> bytes:
    return b"".join(struct.pack("!I", len(frame)) + frame for frame in frames)


def raws(frames: Sequence[bytes]) -> list[bytes]:
    return [PLAIN + frame for frame in frames]


some_frames = st.lists(st.binary(max_size=200), max_size=40)


@given(some_frames, st.lists(st.integers(1, 300)))
def test_frames_come_whole_however_the_stream_is_cut(frames: list[bytes], cuts: list[int]) -> None:
    ends, octets, come = Ends(StreamWire), framed(frames), list[bytes]()
    try:
        for cut in [*cuts, len(octets)]:
            ends.far.send(octets[:cut]) if octets else None
            octets = octets[cut:]
            come += ends.received()
        assert come == frames
        assert not ends.wire.pending()
        assert ends.wire.unfinished() is None
    finally:
        ends.close()


def test_frames_beyond_the_buffers_are_pending(stream: Ends) -> None:
    stream.far.send(framed([b"x"] * 20))
    assert len(stream.wire.receive_burst(BUFFERS)) == len(BUFFERS)
    assert stream.wire.pending()
    assert len(stream.received()) == 12
    assert not stream.wire.pending()


def test_a_frame_that_is_not_whole_has_a_number_of_its_own_until_it_is(stream: Ends) -> None:
    seen = []
    for number in range(3):
        octets = framed([b"one", b"two"])
        for part in (octets[:2], octets[2:6], octets[6:12]):
            stream.far.send(part)
            stream.received()
            seen.append(stream.wire.unfinished())
        stream.far.send(octets[12:])
        stream.received()
        assert stream.wire.unfinished() is None
        assert seen[-3:] == [14 * number, 14 * number, 14 * number + 7]


def test_the_longest_frame_passes_and_a_longer_length_ends_it(stream: Ends) -> None:
    stream.far.settimeout(5)
    stream.wire._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    stream.far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    stream.far.sendall(framed([b"a" * LONGEST, b"b"]) + struct.pack("!I", LONGEST + 1))
    assert [len(frame) for frame in _received_until_trouble(stream)] == [LONGEST, 1]


def _received_until_trouble(ends: Ends) -> list[bytes]:
    frames: list[bytes] = []
    reason = None
    while reason is None:
        try:
            frames += [bytes(raw[HEADER:]) for raw in ends.wire.receive_burst(BUFFERS)]
        except PeerError as error:
            reason = error.reason
    assert reason is Reason.OVERSIZE
    return frames


@pytest.mark.parametrize("length", [LONGEST + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_what_came_before_an_impossible_length_is_not_lost(stream: Ends, length: int) -> None:
    stream.far.send(framed([b"one", b""]) + struct.pack("!I", length))
    assert _received_until_trouble(stream) == [b"one", b""]


def test_the_end_of_the_stream_is_an_error(stream: Ends) -> None:
    stream.far.send(framed([b"one"]))
    assert len(stream.wire.receive_burst(BUFFERS)) == 1
    stream.far.close()
    with pytest.raises(ConnectionResetError):
        stream.wire.receive_burst(BUFFERS)


@pytest.mark.parametrize("unread", [b"", b"unread, so that the end is an error"])
def test_half_a_frame_is_none_and_told_as_truncated_once_no_more_can_come(stream: Ends, unread: bytes) -> None:
    stream.wire._out.send(unread or b"x")
    if not unread:
        stream.far.recv(1)
    stream.far.send(framed([b"one"]) + b"\0\0\0\x09half")
    assert len(stream.wire.receive_burst(BUFFERS)) == 1
    assert not stream.wire.pending()
    stream.far.close()
    with pytest.raises(PeerError, match="middle of a frame") as caught:
        stream.wire.receive_burst(BUFFERS)
    assert caught.value.reason is Reason.TRUNCATED


def test_an_end_right_behind_frames_is_told_after_them_without_being_asked_twice_by_the_descriptor(
    stream: Ends,
) -> None:
    stream.wire._out.send(b"unread, so that the end is an error")
    stream.far.send(framed([b"one"]))
    stream.far.close()
    assert len(stream.wire.receive_burst(BUFFERS)) == 1
    assert stream.wire.pending()
    with pytest.raises(ConnectionResetError):
        stream.wire.receive_burst(BUFFERS)


@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=60), st.lists(st.integers(1, 5000), min_size=1))
def test_a_slow_reader_gets_every_frame_once_and_in_order(frames: list[bytes], gulps: list[int]) -> None:
    ends, waiting, come = Ends(StreamWire), raws(frames), b""
    ends.wire._out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    try:
        while waiting:
            waiting = waiting[ends.wire.send_burst(waiting) :]
            for gulp in gulps if waiting else ():
                try:
                    come += ends.far.recv(gulp, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    break
        ends.wire.close()
        while octets := ends.far.recv(1 << 16):
            come += octets
        assert come == framed(frames)
    finally:
        ends.close()


@given(st.binary(max_size=4000))
def test_any_octets_are_frames_or_the_end_of_the_connection(octets: bytes) -> None:
    ends = Ends(StreamWire)
    try:
        if octets:
            ends.far.send(octets)
        ends.far.close()
        while True:
            ends.wire.receive_burst(BUFFERS)
    except (ConnectionResetError, PeerError):
        pass
    finally:
        ends.close()


def test_a_datagram_is_a_frame_both_ways() -> None:
    ends = Ends(DatagramWire)
    frames = [b"", b"one", b"x" * 9000]
    for frame in frames:
        ends.far.send(frame)
    assert ends.received() == frames
    assert ends.wire.send_burst(raws(frames)) == 3
    assert [ends.far.recv(1 << 16) for _ in frames] == frames
    ends.far.close()
    with pytest.raises(ConnectionRefusedError):
        ends.wire.send_burst(raws([b"lost"]))
    ends.close()


def test_a_datagram_reader_that_stops_is_not_waited_for() -> None:
    ends = Ends(DatagramWire)
    taken = ends.wire.send_burst(raws([b"x" * 1500] * 5000))
    assert 0 < taken < 5000
    assert ends.wire.send_burst(raws([b"x"])) == 0
    ends.close()
