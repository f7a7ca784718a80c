"""CoDel, a queue that drops early when frames wait too long for too long: RFC 8289, clause 5."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vswitch.stages.impairment.spec import Codel

_RECENT: Final = 16
"""Intervals within which a new time of dropping begins as often as the last one ended: RFC 8289 clause 5.4."""

_LONGEST: Final = 1514
"""Octets that may always wait: `maxpacket` of the RFC."""


class Controller:
    """Says of each frame that comes to the head of a queue whether it is to be dropped."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._above_since = 0.0
        self._dropping = self._dropped = False
        self._next = 0.0
        self._count = self._last_count = 0

    def emptied(self) -> None:
        """There is no next frame."""
        self._above_since = 0.0
        self._end()

    def head(self, codel: Codel, waited: float, behind: int, now: float) -> bool:
        """The frame at the head waited so long, and so many octets are behind it; whether to drop it, and ask again."""
        above = self._above(codel, waited, behind, now)
        if self._dropping:
            return self._goes_on(codel, now) if above else self._end()
        if above:
            self._dropping = True
            delta = self._count - self._last_count
            self._count = delta if delta > 1 and now - self._next < _RECENT * codel.interval else 1
            self._next = now + codel.interval / sqrt(self._count)
            self._last_count = self._count
        return above

    def _goes_on(self, codel: Codel, now: float) -> bool:
        if self._dropped:
            self._next += codel.interval / sqrt(self._count)
        self._dropped = now >= self._next
        self._count += self._dropped
        return self._dropped

    def _end(self) -> bool:
        self._dropping = self._dropped = False
        return False

    def _above(self, codel: Codel, waited: float, behind: int, now: float) -> bool:
        """Whether frames waited longer than the target for an interval."""
        if waited < codel.target or behind <= _LONGEST:
            self._above_since = 0.0
            return False
        if not self._above_since:
            self._above_since = now + codel.interval
            return False
        return now >= self._above_since
