"""The fast path of one port: a verdict that was decided once is carried out for every frame of its flow.

A flow is what enters by one port with the same addresses and the same tag. The table knows no rule: it reads, looks up,
counts, writes, and hands back the first frame that it knows no verdict for, or cannot carry out wholly. Who fills it,
and empties it in time, is `fastpath.cache`.

This is the Python twin of `_flowcache.c`, which does the same, function by function, without the interpreter's lock.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from socket import AF_PACKET, SOCK_RAW, socket
from struct import Struct
from typing import TYPE_CHECKING, Final

from vswitch.core import offload
from vswitch.core.frame import C_TAG, MINIMUM, S_TAG, TagEdit
from vswitch.core.offload import HEADER, PLAIN, Buffer
from vswitch.core.stats import BEYOND, DROPPED, PLACES, RECEIVE, TRANSMIT, count
from vswitch.core.verdict import Egress
from vswitch.fastpath.conversations import FRAMES, LAST, OCTETS
from vswitch.ports.packet import receive

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vswitch.core.fdb import Key
    from vswitch.core.frame import Frame
    from vswitch.core.port import BridgePort
    from vswitch.fastpath.conversations import Conversation

_NOTHING, _UNREAD, _REFUSED = -1, -2, -3
"""In place of a length: nothing waits; nothing was read yet; the frame before could not be written."""

ROOM: Final = 68 * 1024
"""Octets of a receive buffer: a superframe (64 KiB of IP), its headers, tags and virtio-net header, and to spare."""

TYPE: Final = HEADER + 12
KEY: Final = TYPE + 2
"""Where the ethertype of a frame begins, and ends: all before is the key of a flow that has no tag."""

TAG_END: Final = TYPE + 4
PADDED: Final = HEADER + MINIMUM
_TAG: Final = Struct(">HH")
_TAGS: Final = (C_TAG.to_bytes(2), S_TAG.to_bytes(2))


class Exit:
    """Where frames leave by one port.

    state: the descriptor that a frame with its virtio-net header is written to, -1 where only the engine knows how; and
        whether frames wait there already (0 or 1), which none may overtake.
    values: the port's counters.
    """

    __slots__ = ("state", "values")

    def __init__(self, values: array[int]) -> None:
        """Not open yet."""
        self.state = array("i", (-1, 0))
        self.values = values


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """A verdict, as it is carried out.

    key: PLAIN, addresses and ethertype, and the tag control information where that is a tag's.
    station: the VLAN and the source, whose whereabouts its frames tell; None: they are not to be learned from.
    needs: the stations whose whereabouts it depends on.
    cast: of `core.stats`.  drop: the number of the Reason that its frames are dropped for, or -1.
    longest: octets of the longest frame that fits every exit.  offload: what every exit completes by itself.
    exits: with the tag that a frame is to have there: four octets, none (b""), or as it came (None).
    ports: the ports of the exits.
    conversation: what its frames are counted in, beside the counters of the ports.
    """

    key: bytes
    station: Key | None
    needs: tuple[Key, ...]
    cast: int
    drop: int
    longest: int
    offload: int
    exits: tuple[tuple[Exit, bytes | None], ...]
    ports: tuple[BridgePort, ...]
    conversation: Conversation

    def egress(self, frame: Frame, done: int) -> Iterator[Egress]:
        """How a frame of the flow leaves by the exits from number `done` on."""
        for port, (_, tag) in zip(self.ports[done:], self.exits[done:], strict=True):
            yield Egress(port, frame, None if tag is None else TagEdit(*_TAG.unpack(tag or bytes(4))))


Match = tuple[Flow, int, int, int]
"""The flow of a frame, its segments and octets as on the wire, and the octets of its longest segment."""

Turn = tuple[int, list[Flow], int, Flow | None, int]
"""What came of a burst: the frames read; of each station that was heard the last flow, the one heard last at the end;
the length of the frame in the buffer that is handed back, or -1; its flow, if that is known; and how many of the flow's
exits it left by."""


Reader = Callable[[bytearray], int | None]
"""Reads a frame into the table's buffer: its length, None where none waits. Raises OSError."""


class FlowTable:
    """The flows that enter by one port."""

    def __init__(self, values: array[int], buffer: bytearray, clock: array[int]) -> None:
        """values: the port's counters.  buffer: ROOM octets that bursts are read into.  clock: one number, the time."""
        self._values = values
        self._clock = clock
        self._buffer = buffer
        self._view = memoryview(buffer)
        self._key = self._view[:KEY].tobytes
        self._flows: dict[bytes, Flow] = {}
        self._file: FileIO | None = None

    def __len__(self) -> int:
        """Flows known."""
        return len(self._flows)

    def add(self, flow: Flow) -> None:
        """Know a flow, instead of another one with that key."""
        self._flows[flow.key] = flow

    def discard(self, key: bytes) -> None:
        """Know it no longer."""
        self._flows.pop(key, None)

    def clear(self) -> None:
        """Know none."""
        self._flows.clear()

    def burst(self, fd: int, frames: int, octets: int, packet: bool = False) -> Turn:
        """Forward what waits at a descriptor: at most so many frames, and no more once it were so many octets.

        Frames of one flow and one length that follow each other are a run: what is the same for all of it is done once.
        packet: it is a packet socket's. Raises OSError where nothing can be read, other than that nothing waits.
        """
        if not packet:
            return self._burst(self._reader(fd), frames, octets)
        sock = socket(AF_PACKET, SOCK_RAW, 0, fd)
        try:
            return self._burst(lambda _: receive(sock, self._view), frames, octets)
        finally:
            sock.detach()

    def _burst(self, take: Reader, frames: int, octets: int) -> Turn:
        view = self._view
        met: dict[Key, Flow] = {}
        read, got = 0, _UNREAD
        while read < frames and octets > 0:
            if got == _UNREAD:
                got = self._take(take, first=not read)
            if got == _NOTHING:
                break
            if got < PADDED:
                view[got:PADDED] = bytes(PADDED - got)
            flow, done = self._flows.get(self._key()), 0
            if flow is not None and _runs(flow, got):
                most = min(frames - read, -(-octets // got))
                sent, after = self._run(flow, got, take, most)
                read, octets, length, got = read + sent, octets - sent * got, got, after
                if got != _REFUSED:
                    meet(met, flow)
                    continue
                got = length
                self._count_received(flow, 1, got - HEADER, got - HEADER)
            else:
                flow, done = self._carry(view[: max(got, PADDED)], got)
            read, octets = read + 1, octets - got
            meet(met, flow)
            if flow is None or done < len(flow.exits):
                return read, list(met.values()), got, flow, done
            got = _UNREAD
        return read, list(met.values()), -1, None, 0

    def _run(self, flow: Flow, got: int, take: Reader, most: int) -> tuple[int, int]:
        """Send the frame in the buffer, and those of the same flow and length that follow, `most` of them at most.

        How many left, and the length of the frame that was read after them, or what became of it.
        """
        exit_, key, name, buffer, write = flow.exits[0][0], self._key, flow.key, self._buffer, os.write
        fd, out = exit_.state[0], self._view[: max(got, PADDED)]
        after: int | None = _UNREAD
        try:
            for sent in range(1, most + 1):
                try:
                    write(fd, out)
                except OSError:
                    sent -= 1
                    after = _REFUSED
                    break
                if sent == most:
                    break
                after = take(buffer)
                if after != got or key() != name:
                    break
                after = _UNREAD
        except OSError:
            after = _NOTHING  # the next read will say it again
        self._count_run(flow, got, sent)
        return sent, _NOTHING if after is None else after

    def _reader(self, fd: int) -> Reader:
        """What reads a frame: None where none waits. It is cheaper than readv(), and raises nothing for that."""
        if self._file is None or self._file.fileno() != fd:
            os.fstat(fd)
            self._file = FileIO(fd, "r+", closefd=False)
        return self._file.readinto

    def _take(self, take: Reader, *, first: bool) -> int:
        """The length of the next frame. Raises OSError where it is to be the first."""
        try:
            got = take(self._buffer)
        except BlockingIOError:
            return _NOTHING
        except OSError:
            if first:
                raise
            return _NOTHING  # the next burst will say it again
        return _NOTHING if got is None else got

    def carry(self, raw: Buffer) -> tuple[Flow | None, int]:
        """Forward one frame: its flow, None where that is unknown, and how many of its exits it left by."""
        return self._carry(_padded(raw), len(raw))

    def match(self, raw: Buffer) -> Match | None:
        """The flow that a frame belongs to, if it is known and the frame can leave whole by every exit of it."""
        return self._match(_padded(raw), len(raw))

    def _match(self, raw: Buffer, got: int) -> Match | None:
        """`raw` is padded; `got` octets were received."""
        if got < KEY:
            return None
        key = PLAIN + bytes(raw[HEADER:KEY])
        flow = self._flows.get(key + bytes(raw[KEY:TAG_END]) if key[TYPE:] in _TAGS else key)
        if flow is None:
            return None
        try:
            asked = offload.parse(raw[:got])
        except offload.OffloadError:
            return None
        if asked is None:
            length = got - HEADER
            return (flow, 1, length, length) if length <= flow.longest else None
        if asked.longest > flow.longest or asked.needs & ~flow.offload:
            return None
        return flow, asked.segments, asked.octets, asked.longest

    def _carry(self, raw: Buffer, got: int) -> tuple[Flow | None, int]:
        """`raw` is padded; `got` octets were received."""
        matched = self._match(raw, got)
        if matched is None:
            return None, 0
        flow, segments, octets, longest = matched
        self._count_received(flow, segments, octets, longest)
        for done, (exit_, tag) in enumerate(flow.exits):
            fd, waiting = exit_.state
            if fd < 0 or waiting:
                return flow, done
            form = retagged(raw, tag)
            try:
                os.writev(fd, form)
            except OSError:
                return flow, done
            if segments > 1:
                moved = _moved(raw, tag)
                count(exit_.values, TRANSMIT, flow.cast, segments, octets + segments * moved, longest + moved)
            else:
                sent = sum(map(len, form)) - HEADER
                exit_.values[TRANSMIT] += sent
                exit_.values[TRANSMIT + PLACES[flow.cast][min(BEYOND, sent)]] += 1
        return flow, len(flow.exits)

    def _count_run(self, run: Flow, length: int, frames: int) -> None:
        """So many plain frames of this length passed: as `_count_received`, without a call, and as sent."""
        octets, place = frames * (length - HEADER), PLACES[run.cast][min(length - HEADER, BEYOND)]
        received, sent, counts = self._values, run.exits[0][0].values, run.conversation.values
        received[RECEIVE] += octets
        received[RECEIVE + place] += frames
        if run.drop >= 0:
            received[DROPPED + run.drop] += frames
        counts[FRAMES] += frames
        counts[OCTETS] += octets
        counts[LAST] = self._clock[0]
        sent[TRANSMIT] += octets if length >= PADDED else frames * MINIMUM
        sent[TRANSMIT + place] += frames  # padding leaves a frame in its group

    def _count_received(self, flow: Flow, frames: int, octets: int, longest: int) -> None:
        if frames == 1:  # as `count` has it, without a call
            self._values[RECEIVE] += octets
            self._values[RECEIVE + PLACES[flow.cast][min(BEYOND, octets)]] += 1
        else:
            count(self._values, RECEIVE, flow.cast, frames, octets, longest)
        counts = flow.conversation.values
        counts[FRAMES] += frames
        counts[OCTETS] += octets
        counts[LAST] = self._clock[0]
        if flow.drop >= 0:
            self._values[DROPPED + flow.drop] += frames


def retagged(raw: Buffer, tag: bytes | None) -> Sequence[Buffer]:
    """A padded frame with its header, in parts, with that tag as its outer one; None: as it is."""
    if tag is None:
        return (raw,)
    moved = _moved(raw, tag)
    rest = raw[TYPE + len(tag) - moved :]
    return offload.shift(raw, moved), raw[HEADER:TYPE], tag, rest, bytes(max(0, PADDED - len(raw) - moved))


def _padded(raw: Buffer) -> Buffer:
    return raw if len(raw) >= PADDED else bytes(raw).ljust(PADDED, b"\0")


def _moved(raw: Buffer, tag: bytes | None) -> int:
    """Octets that a frame grows by with that tag as its outer one."""
    return 0 if tag is None else len(tag) - (4 if raw[TYPE:KEY] in _TAGS else 0)


def _runs(flow: Flow, got: int) -> bool:
    """Whether plain frames of this length only have to be written, to one descriptor."""
    if len(flow.exits) != 1 or not KEY <= got <= flow.longest + HEADER:
        return False
    exit_, tag = flow.exits[0]
    fd, waiting = exit_.state
    return tag is None and fd >= 0 and not waiting


def meet(met: dict[Key, Flow], flow: Flow | None) -> None:
    """Note that a frame of this flow was the last one heard of its station."""
    if flow is not None and flow.station is not None:
        met.pop(flow.station, None)
        met[flow.station] = flow
