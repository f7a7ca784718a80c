"""Frames at ports of a running switch, and what a test expects of them."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from vswitch.control.client import CallError, Client, find
from vswitch.lab.matching import matcher, summary
from vswitch.observe import pcapng

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vswitch.control.client import Stream
    from vswitch.lab.matching import Pattern
    from vswitch.observe.pcapng import Packet

KEPT: Final = 64 << 20
"""Octets of packets that are kept, at most; the oldest are forgotten first."""

SHOWN: Final = 20
"""Packets that a failed expectation shows, at most: the last."""

_OVERHEAD: Final = 512
_DROPPED: Final = "dropped: "

Direction: TypeAlias = Literal["in", "out"]
Ports: TypeAlias = "str | Iterable[str]"
_DIRECTIONS: Final = {"in": pcapng.INBOUND, "out": pcapng.OUTBOUND}


@contextmanager
def capture(
    port: str | Iterable[str] = (), *, switch: str | Path | None = None, as_on_wire: bool = False
) -> Iterator[Capturing]:
    """Capture at a port, at several, or at all while the body of `with` runs, from its very begin.

    switch: its name, the path of its control socket, or nothing where only one runs.  as_on_wire: superframes as the
    segments they stand for, checksums complete.  Raises CallError where it cannot be had.
    """
    ports = [port] if isinstance(port, str) else list(port)
    stream = _client(switch).stream("capture", port=ports or None, as_on_wire=as_on_wire or None)
    try:
        first = next(stream, b"")  # describes the ports: the switch sends it when frames are seen already
        capturing = Capturing(stream, first)
        try:
            yield capturing
        finally:
            capturing.close()
    finally:
        stream.close()


def _client(switch: str | Path | None) -> Client:
    if isinstance(switch, Path) or (switch is not None and "/" in switch):
        return find(None, Path(switch))
    return find(switch, None)


class Capturing:
    """What passed so far. Expectations look at all of it, and wait for what is to come."""

    def __init__(self, stream: Stream, first: bytes) -> None:
        """first: octets of the stream that came already."""
        self._stream = stream
        self._packets: deque[Packet] = deque()
        self._size = 0
        self._came = 0
        self._ended = ""
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(first,), name="capture", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more; what came stays."""
        self._stream.close()
        self._thread.join()

    def _read(self, first: bytes) -> None:
        reader = pcapng.Reader()
        ended = "the switch ended the capture"
        try:
            for octets in itertools.chain((first,), self._stream):
                self._keep(list(reader.feed(octets)))
        except (CallError, pcapng.PcapngError) as error:
            ended = str(error)
        with self._news:
            self._ended = ended
            self._news.notify_all()

    def _keep(self, packets: list[Packet]) -> None:
        with self._news:
            self._packets += packets
            self._came += len(packets)
            self._size += sum(map(_size, packets))
            while self._size > KEPT:
                self._size -= _size(self._packets.popleft())
            self._news.notify_all()

    @property
    def packets(self) -> list[Packet]:
        """What passed so far, in order: a frame once for each port where it came in or left."""
        with self._news:
            return list(self._packets)

    @property
    def drops(self) -> list[Packet]:
        """Those of them that were dropped; `comment` says why: `dropped: REASON`."""
        return [packet for packet in self.packets if packet.comment.startswith(_DROPPED)]

    def expect(
        self, pattern: Pattern, timeout: float = 5.0, direction: Direction | None = None, *, port: Ports = ()
    ) -> Packet:
        """The first packet that matches, of those that passed or will within `timeout` seconds.

        pattern: a scapy packet, whose layers and explicitly set fields must be there in this order; bytes that the
        frame contains; a filter of pcap-filter(7); or a callable that takes the Packet.  direction: `in` from a guest,
        `out` to one.  port: where alone it counts, of those that are captured.  Raises AssertionError with what passed
        instead.
        """
        where = Where(port, direction)
        found = self.find(pattern, timeout, where)
        if found is None:
            raise AssertionError(self.instead(pattern, timeout, where))
        return found

    def expect_none(
        self, pattern: Pattern, within: float = 0.5, direction: Direction | None = None, *, port: Ports = ()
    ) -> None:
        """See that nothing matches, of what passed or will within so many seconds. Raises AssertionError."""
        found = self.find(pattern, within, Where(port, direction))
        if found is not None:
            raise AssertionError(f"this was to match nothing: {words(pattern)}; there is\n  {summary(found, pattern)}")
        if self._ended:
            raise AssertionError(f"who knows whether nothing came: {self._ended}")

    def find(self, pattern: Pattern, seconds: float, where: Where) -> Packet | None:
        """The first packet that matches, of those that count; None: none passes within so many seconds."""
        matches = where.only(matcher(pattern))
        deadline = time.monotonic() + seconds
        seen = 0
        while True:
            with self._news:
                while self._came == seen and not self._ended and (left := deadline - time.monotonic()) > 0:
                    self._news.wait(left)
                forgotten = self._came - len(self._packets)
                new = list(itertools.islice(self._packets, max(0, seen - forgotten), None))
                seen, last = self._came, bool(self._ended) or time.monotonic() >= deadline
            found = next(filter(matches, new), None)
            if found is not None or last:
                return found

    def instead(self, pattern: Pattern, timeout: float, where: Where) -> str:
        """What to say where none did."""
        lines = [f"no packet matched within {timeout:g} s: {words(pattern)}{where}"]
        if self._ended:
            lines.append(self._ended)
        return "\n".join([*lines, *passed(list(filter(where.here, self.packets)), pattern)])


def passed(packets: Sequence[Packet], pattern: Pattern) -> Iterator[str]:
    """What passed where something else was expected, in lines."""
    if not packets:
        yield "nothing passed"
    elif len(packets) > SHOWN:
        yield f"the last {SHOWN} of {len(packets)} that passed:"
    else:
        yield "what passed:"
    yield from (f"  {summary(packet, pattern)}" for packet in packets[-SHOWN:])


def _size(packet: Packet) -> int:
    return len(packet.data) + _OVERHEAD


class Where:
    """The packets that count: of ports, and of a direction. Raises ValueError for what is no direction."""

    def __init__(self, port: Ports, direction: Direction | None) -> None:
        """Nothing named: all."""
        if direction is not None and direction not in _DIRECTIONS:
            raise ValueError(f"a direction is in or out, not {direction!r}")
        self._ports = (port,) if isinstance(port, str) else tuple(port)
        self._direction = direction

    def __str__(self) -> str:
        """At the end of a sentence."""
        ports = f", at {' or '.join(self._ports)}" if self._ports else ""
        return ports + (f", direction {self._direction}" if self._direction else "")

    def here(self, packet: Packet) -> bool:
        """Whether it passed there, in whatever direction."""
        return not self._ports or packet.interface in self._ports

    def only(self, matches: Callable[[Packet], bool]) -> Callable[[Packet], bool]:
        """Whether a packet is one of them, and matches."""
        wanted = _DIRECTIONS[self._direction] if self._direction else None
        return lambda packet: self.here(packet) and wanted in (None, packet.direction) and matches(packet)


def words(pattern: Pattern) -> str:
    """A pattern, for people."""
    return pattern.hex(" ") if isinstance(pattern, bytes) else repr(pattern)
