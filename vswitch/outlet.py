"""What leaves by a port: a burst, and behind an attachment that says "not now" a queue of bounded length.

One port's trouble is its own: a slow attachment fills its own queue, a refused frame is counted and done with.
"""

from __future__ import annotations

import errno
import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from vswitch.core.mirror import lost
from vswitch.core.offload import HEADER
from vswitch.core.verdict import Reason
from vswitch.fastpath.sampled import SampledTable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from vswitch.core.offload import Buffer
    from vswitch.core.port import BridgePort
    from vswitch.core.sampling import Sampler
    from vswitch.core.verdict import Egress, Verdict
    from vswitch.fastpath.flowcache import Exit
    from vswitch.fastpath.twins import Reading, Table
    from vswitch.observers import Mark, Observers
    from vswitch.ports.base import Port

RECENT: Final = 32
"""Frames that came in by a port and were decided, of which it is remembered how."""

REMEMBERED: Final = 2048
"""Octets of such a frame that are remembered."""

QUEUE: Final = 512
"""Frames that wait, at most, for an attachment that says "not now"."""

GONE: Final = frozenset((errno.EBADFD, errno.EBADF, errno.ENODEV, errno.ENXIO))
HUNG_UP: Final = frozenset((errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED, errno.ENOTCONN))
LINK_DOWN: Final = frozenset((errno.EIO, errno.ENETDOWN))


class Outgoing(NamedTuple):
    """One frame on its way out, and what it counts for. mark: where somebody may want to see it."""

    raw: Buffer
    cast: int
    segments: int
    octets: int
    longest: int
    mark: Mark | None = None


class Decided(NamedTuple):
    """A frame that came in, and what became of it.

    at: seconds of the engine's clock.  raw: virtio-net header and frame, REMEMBERED octets of it at most, of `length`.
    """

    at: float
    raw: bytes
    length: int
    verdict: Verdict


class Attached:
    """A port of the switch with its attachment, and what waits to leave by it."""

    def __init__(self, bridge: BridgePort, port: Port, table: Table, exit_: Exit, observers: Observers) -> None:
        """Nothing waits yet. table, exit_: what the fast path knows of the port."""
        self._observers = observers
        self.bridge = bridge
        self.port = port
        self.table: Reading = table
        self._bare = table
        self.sampler: Sampler | None = None
        """What chooses the frames that are samples, while the port is sampled."""
        self.exit = exit_
        self.recent: deque[tuple[float, bytes, int, Verdict]] = deque(maxlen=RECENT)
        """The parts of a `Decided` each, the newest last; of a flow that is kept the first two alone."""
        self.burst: list[Outgoing] = []
        self.queue: deque[Outgoing] = deque()
        self.watched = -1
        """The descriptor that the loop watches, if any."""
        self.reading = False
        """Whether that is the one that frames come by."""
        self.turn: asyncio.Handle | None = None
        """Its next turn, if frames wait of which the descriptor does not tell."""
        self.reviving = False
        self.resting: asyncio.TimerHandle | None = None
        """Until when nobody is let in, after somebody went."""
        self.overdue: asyncio.TimerHandle | None = None
        """When the rest of a frame has to be there whose beginning came."""
        self.changed = time.time()
        """When the port came up or went down last, in seconds since the epoch; at first, when it was made."""
        self.hung_up = False
        """Whether sending found that the far end is gone."""

    def sample(self, new_sampler: Callable[[], Sampler] | None) -> None:
        """Sample what comes in by the port from now on; None: nothing any more."""
        self.table, self.sampler = self._bare, None
        if new_sampler is not None:
            self.sampler = new_sampler()
            self.table = SampledTable(self._bare, self.sampler, self.bridge.counters.values)

    def put(self, egress: Egress) -> None:
        """Add a frame to the burst that leaves next; a mirror's copy is lost where it cannot leave."""
        frame = egress.frame
        if self.bridge.takes_copies and lost(frame, self.bridge):
            return
        mark = self._observers.mark(frame) if self._observers else None
        self.exit.state[1] = 1
        forms = frame.form(egress.edit, self.bridge.offload)
        if len(forms) == 1:
            self.burst.append(Outgoing(forms[0], frame.cast, *frame.wire(egress.edit, forms[0]), mark))
        else:
            for form in forms:
                length = len(form) - HEADER
                self.burst.append(Outgoing(form, frame.cast, 1, length, length, mark))

    def flush(self) -> bool:
        """Send the burst behind what waits already; whether anything still waits."""
        burst, self.burst = self.burst, []
        sent = 0 if self.queue else self._send(burst)
        if sent < len(burst):
            self._enqueue(burst[sent:])
        return self._waits()

    def drain(self) -> bool:
        """The attachment is writable again: send what waits; whether anything still does."""
        sent = self._send(list(self.queue))
        for _ in range(sent):
            self.queue.popleft()
        return self._waits()

    def discard(self) -> None:
        """The attachment went away: what waits for it is lost."""
        for outgoing in (*self.queue, *self.burst):
            self._drop(outgoing, Reason.PORT_DOWN)
        self.queue.clear()
        self.burst.clear()
        self._waits()

    def _waits(self) -> bool:
        """Whether anything waits still; the fast path is told, so that it lets no frame overtake."""
        self.exit.state[1] = bool(self.queue)
        return bool(self.queue)

    def _send(self, frames: list[Outgoing]) -> int:
        """Send as many as the attachment takes now; a frame that it refuses is counted and done with."""
        done = 0
        while done < len(frames):
            try:
                taken = self.port.send_burst([frame.raw for frame in frames[done:]])
            except OSError as error:
                self.hung_up |= error.errno in HUNG_UP
                self._drop(frames[done], _reason(error))
                done += 1
                continue
            if taken == 0:
                break
            count = self.bridge.counters.transmit.count
            for frame in frames[done : done + taken]:
                count(frame.cast, frame.segments, frame.octets, frame.longest)
                if frame.mark is not None:
                    self._observers.see(frame.mark, self.bridge, frame.raw, leaves=True)
            done += taken
        return done

    def _enqueue(self, frames: Iterable[Outgoing]) -> None:
        for frame in frames:
            if len(self.queue) < QUEUE:
                self.queue.append(frame._replace(raw=bytes(frame.raw)))
            else:
                self._drop(frame, Reason.QUEUE_FULL)

    def _drop(self, frame: Outgoing, reason: Reason) -> None:
        self.bridge.counters.drop(reason, frame.segments)
        if frame.mark is not None:
            self._observers.see(frame.mark, self.bridge, frame.raw, reason, leaves=True)


def _reason(error: OSError) -> Reason:
    """Why an attachment did not take a frame."""
    if error.errno in GONE | HUNG_UP | LINK_DOWN:
        return Reason.PORT_DOWN
    return Reason.TUNNEL_LOOP if error.errno == errno.ELOOP else Reason.IO_ERROR
