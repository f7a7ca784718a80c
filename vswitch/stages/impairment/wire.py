"""One direction of a port whose link is not perfect: what it is given, it lets go later, if at all.

    MTU, flaps → chances, by segment where they ask for it → queue before the rate → delay

What waits in the queue and what is delayed are one account, of bounded size. The delay is a heap by time; frames of
equal times leave in the order in which they came, and none before one that came earlier, unless that is asked for.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

from vswitch.core import offload
from vswitch.core.frame import ETHERNET_HEADER
from vswitch.core.offload import HEADER, Capability
from vswitch.core.verdict import HELD, Held, Hold, Reason
from vswitch.stages.impairment.chance import Chances
from vswitch.stages.impairment.damage import damaged
from vswitch.stages.impairment.figures import Figures
from vswitch.stages.impairment.queue import Queue, room
from vswitch.stages.impairment.spec import OVERHEAD, Copy, Every, Line, Share, phases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vswitch.core.frame import Frame
    from vswitch.core.port import BridgePort
    from vswitch.stages.impairment.spec import Fate, Generator

LUMP: Final = 0.002
"""Seconds of the rate that a superframe may take up as a whole."""

BATCH: Final = 64
"""Frames that are let go until everybody else had a turn."""


class Load(NamedTuple):
    """A frame on its way: when it came, and what becomes of it."""

    frame: Frame
    came: float
    copy: Copy


class Wire:
    """One direction of one port."""

    def __init__(self, port: BridgePort | None, line: Line, seed: int, generator: Generator) -> None:
        """port: that the frames leave by; None: they go on in the switch.  generator: of the chances, by the seed."""
        self.port = port
        self.line = line
        self.seed = seed
        self.figures = Figures()
        self.witness: Callable[[Fate], None] | None = None
        """Told of each fate."""
        self.octets = 0
        """That are held."""
        self._chances = Chances(generator)
        self._phases = phases(line)
        self._begin: float | None = None
        self._now = line
        self._queue: Queue[Load] | None = None
        self._delayed: list[tuple[float, int, Load]] = []
        self._numbers = count()
        self._last = 0.0
        self._over = False
        """Whether what is held is to leave at once."""
        self._dropped: list[Held] = []

    def change(self, line: Line, seed: int, generator: Generator) -> None:
        """Do something else from now on, with what is held too."""
        self.line = self._now = line
        self.seed = seed
        self.figures = Figures()
        self._chances = Chances(generator)
        self._phases = phases(line)
        self._begin = None
        self._over = False

    def hurry(self) -> None:
        """Do nothing any more: what is held leaves at once, in order."""
        self.line = self._now = Line(limit=self.line.limit)
        self._phases = phases(self.line)
        self._delayed = [(0.0, number, load) for _, number, load in sorted(self._delayed)]
        heapify(self._delayed)
        self._last = 0.0
        self._over = True

    def __len__(self) -> int:
        """Frames that are held."""
        return len(self._delayed) + len(self._dropped) + (len(self._queue) if self._queue else 0)

    # Frames

    def take(self, frame: Frame, now: float) -> Reason | Hold | None:
        """Take a frame; HELD, or why it is lost. None: it is none of those that are concerned."""
        line = self.at(now)
        if not concerns(line, frame):
            return None
        self.figures.offered += frame.segments
        reason = self.certain(frame, now)
        if reason is not None:
            self.figures.lost += frame.segments
            return reason
        units = self._units(frame, line)
        reasons = [self._meet(unit, line, now) for unit in units]
        if all(reasons):
            return reasons[0]
        self._dropped += [
            Held(unit, self.port, reason) for unit, reason in zip(units, reasons, strict=True) if reason is not None
        ]
        self._move(now)
        return HELD

    def certain(self, frame: Frame, now: float) -> Reason | None:
        """Why a frame is lost whatever chance has it."""
        line = self.at(now)
        tag = 4 if frame.tpid else 0
        if line.mtu and frame.longest > line.mtu + ETHERNET_HEADER + tag:
            return Reason.OVERSIZE
        down = line.flap and (now - (self._begin or 0.0)) % line.flap.every >= line.flap.every - line.flap.down
        return Reason.IMPAIRED if down else None

    def doomed(self, frame: Frame, now: float) -> Reason | None:
        """Why a frame would be lost, if no chance is left to it."""
        line = self.at(now)
        if not concerns(line, frame):
            return None
        always = line.loss == Every(1) or (isinstance(line.loss, Share) and line.loss.share >= 1.0)
        lost = always and not line.duplicate and not line.replay
        return self.certain(frame, now) or (Reason.IMPAIRED if lost else None)

    def _units(self, frame: Frame, line: Line) -> list[Frame]:
        """The frame, or its segments where each of them is to have a fate of its own."""
        if not (line.by_frame or (frame.segments > 1 and _lumps(frame.octets, line))):
            return [frame.kept()]
        if frame.offload is None or (frame.segments == 1 and not line.corrupt):
            return [frame.kept()]
        return [frame.like(bytes(form), None) for form in offload.lower(frame.raw, Capability.NONE)]

    def _meet(self, unit: Frame, line: Line, now: float) -> Reason | None:
        """A frame meets its fate; why it is lost, if it is."""
        fate = self._chances.fate(line)
        if self.witness is not None:
            self.witness(fate)
        figures, segments = self.figures, unit.segments
        if not fate:
            figures.lost += segments
            return Reason.IMPAIRED
        entered = 0
        for copy in fate:
            entered += self._enter(self._with_damage(unit, copy, line), copy, line, now)
        if not entered:
            figures.full += segments
            return Reason.QUEUE_FULL
        figures.duplicated += (entered - 1) * segments
        return None

    def _with_damage(self, unit: Frame, copy: Copy, line: Line) -> Frame:
        if not copy.flips:
            return unit
        (raw,) = offload.lower(unit.raw, Capability.NONE)
        self.figures.corrupted += 1
        return unit.like(damaged(bytes(raw), copy.flips, mend=line.mend), None)

    def _enter(self, frame: Frame, copy: Copy, line: Line, now: float) -> bool:
        """Put a frame in front of the rate, or of the delay if there is none; whether there was room."""
        weight = _weight(frame)
        if self.octets + weight > line.limit:
            return False
        self.figures.reordered += copy.early
        load = Load(frame, now, copy)
        if line.rate or line.trace or self._queue:
            if self._queue is None:
                self._queue = Queue(now)
            if not self._queue.offer(line, load, frame.octets, now):
                return False
        else:
            self._delay(load, now)
        self.octets += weight
        return True

    def _delay(self, load: Load, when: float) -> None:
        """A frame is through the rate, then."""
        due = 0.0 if self._over else when + load.copy.delay
        if not load.copy.early and not self._now.overtake:
            due = self._last = max(due, self._last)
        heappush(self._delayed, (due, next(self._numbers), load))

    def _move(self, now: float) -> None:
        """Let pass what the rate lets pass by now."""
        if self._queue is None:
            return
        for load, through in self._queue.pass_on(self.at(now), now):
            if through is not None:
                self._delay(load, through)
                continue
            self.octets -= _weight(load.frame)
            self.figures.full += load.frame.segments
            self._dropped.append(Held(load.frame, self.port, Reason.QUEUE_FULL))
        if not self._queue and not (self._now.rate or self._now.trace):
            self._queue = None

    # Time

    def due(self) -> float:
        """When `release` is wanted; infinite: not."""
        if self._dropped or self._begin is None:
            return 0.0
        due = self._delayed[0][0] if self._delayed else inf
        return min(due, self._queue.next(self._now) + _least_delay(self._now)) if self._queue else due

    def release(self, now: float, most: int = BATCH) -> Iterator[Held]:
        """Frames that are let go now: some, if there are more."""
        self.at(now)
        self._move(now)
        dropped, self._dropped = self._dropped, []
        yield from dropped
        while self._delayed and self._delayed[0][0] <= now and most > 0:
            frame, came, _ = heappop(self._delayed)[2]
            most -= 1
            self.octets -= _weight(frame)
            self.figures.released(now - came, frame.segments, frame.octets, now)
            yield Held(frame, self.port)

    def at(self, now: float) -> Line:
        """What holds now, by the schedule, which begins when this is first asked."""
        if self._begin is None:
            self._begin = now
        while len(self._phases) > 1 and self._phases[1][0] <= now - self._begin:
            del self._phases[0]
        self._now = self._phases[0][1]
        return self._now


def concerns(line: Line, frame: Frame) -> bool:
    """Whether a line says anything of a frame."""
    if line.vlans is not None and frame.vid not in line.vlans:
        return False
    return line.matches is None or line.matches(bytes(frame.raw[HEADER:]))


def _lumps(octets: int, line: Line) -> bool:
    """Whether the rate would notice that a superframe is not a stream of frames."""
    return bool(line.rate) and (octets * 8 / line.rate > LUMP or octets * 8 > room(line))


def _weight(frame: Frame) -> int:
    return len(frame.raw) + OVERHEAD


def _least_delay(line: Line) -> float:
    """Seconds that every frame takes behind the rate."""
    return 0.0 if line.jitter or line.reorder or line.replay else line.delay
