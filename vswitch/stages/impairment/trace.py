"""A rate that a trace gives, in the form of Mahimahi: times at each of which 1500 octets may pass, over and over.

An opportunity at which nothing waits is lost. What is left of one serves the next frame, and a frame that is longer
than what is left goes on with the next one (src/frontend/link_queue.cc of Mahimahi).
"""

from __future__ import annotations

from bisect import bisect_left
from math import floor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

PORTION: Final = 1500
"""Octets of IP, so not those of the Ethernet header."""

_HEADER: Final = 14


class Opportunities:
    """Those that are not yet used, from some time on."""

    def __init__(self, begin: float) -> None:
        """begin: when the trace begins."""
        self._begin = begin
        self._last = begin
        self._left = 0
        self._used = 0
        """How many, counted from the beginning, are gone."""

    def next(self, trace: Sequence[float], came: float) -> float:
        """The time of the first one for a frame that came then."""
        if self._left > 0 and self._last >= came:
            return self._last
        return self._time(trace, self._first(trace, came))

    def use(self, trace: Sequence[float], begin: float, octets: int) -> float:
        """Let a frame pass from this opportunity on; the time of the one at which it is through."""
        needed = max(1, octets - _HEADER)
        if not (self._left > 0 and self._last >= begin):
            self._open(trace, self._first(trace, begin))
        while needed > self._left:
            needed -= self._left
            self._open(trace, self._used)
        self._left -= needed
        return self._last

    def _open(self, trace: Sequence[float], number: int) -> None:
        self._last, self._used, self._left = self._time(trace, number), number + 1, PORTION

    def _first(self, trace: Sequence[float], time: float) -> int:
        """The number of the first unused opportunity at this time or later."""
        rounds = max(0, floor((time - self._begin) / trace[-1]) - 1)
        first = rounds * len(trace)  # of the round before, since a quotient may be a little too great
        numbers = range(first, first + 3 * len(trace))
        return max(self._used, first + bisect_left(numbers, time, key=lambda number: self._time(trace, number)))

    def _time(self, trace: Sequence[float], number: int) -> float:
        rounds, index = divmod(number, len(trace))
        return self._begin + rounds * trace[-1] + trace[index]
