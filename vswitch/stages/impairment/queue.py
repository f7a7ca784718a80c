"""A queue before a rate: what comes faster than it may pass waits here, and is dropped where too much waits.

Nothing here ticks: asked at some time, the queue works out what passed since it was asked last.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from vswitch.stages.impairment.codel import Controller
from vswitch.stages.impairment.trace import Opportunities

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vswitch.stages.impairment.spec import Line

T = TypeVar("T")

LEAST: Final = 16_384
"""Octets that may wait if the queue is only known by time: ten frames must not be too many for a slow rate."""


class Waiting(NamedTuple, Generic[T]):
    """An item that came at some time, of so many octets."""

    item: T
    came: float
    octets: int


class Queue(Generic[T]):
    """First in, first out."""

    def __init__(self, now: float) -> None:
        """Empty at this time, from which on a trace counts."""
        self._waiting: deque[Waiting[T]] = deque()
        self._octets = 0
        self._free = now
        """When the rate has worked off all that passed; it may have passed up to `burst` earlier."""
        self._codel = Controller()
        self._opportunities = Opportunities(now)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def offer(self, line: Line, item: T, octets: int, now: float) -> bool:
        """Let an item wait; false: the queue is full. One that finds it empty is always taken."""
        if self._waiting and self._octets + octets > room(line):
            return False
        self._waiting.append(Waiting(item, now, octets))
        self._octets += octets
        return True

    def pass_on(self, line: Line, now: float) -> Iterator[tuple[T, float | None]]:
        """The items that began to pass by now, each with the time at which it is through; None: CoDel dropped it."""
        while self._waiting:
            head = self._waiting[0]
            begin = self._begin(line, head)
            if begin > now:
                return
            self._waiting.popleft()
            self._octets -= head.octets
            if line.codel and self._codel.head(line.codel, begin - head.came, self._octets, begin):
                yield head.item, None
            else:
                yield head.item, self._through(line, begin, head.octets)
        self._codel.emptied()

    def next(self, line: Line) -> float:
        """When the next item can be through; infinite if none waits."""
        if not self._waiting:
            return inf
        head = self._waiting[0]
        begin = self._begin(line, head)
        if line.codel or line.trace or not line.rate:
            return begin
        return max(begin, max(self._free, begin) + head.octets * 8 / line.rate - _ahead(line))

    def _begin(self, line: Line, head: Waiting[T]) -> float:
        if line.trace:
            return self._opportunities.next(line.trace, head.came)
        return max(head.came, self._free - _ahead(line)) if line.rate else head.came

    def _through(self, line: Line, begin: float, octets: int) -> float:
        if line.trace:
            return self._opportunities.use(line.trace, begin, octets)
        if not line.rate:
            return begin
        self._free = max(self._free, begin) + octets * 8 / line.rate
        return max(begin, self._free - _ahead(line))


def room(line: Line) -> int:
    """Octets that may wait."""
    if line.queue_octets:
        return line.queue_octets
    rate = 12_000 * len(line.trace) / max(line.trace[-1], 1e-3) if line.trace else line.rate
    return max(LEAST, int(line.queue * rate / 8))


def _ahead(line: Line) -> float:
    """Seconds of the rate that may be used up in advance."""
    return line.burst * 8 / line.rate if line.rate else 0.0
