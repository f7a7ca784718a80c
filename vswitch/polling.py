"""Busy polling: after traffic the loop asks again for some microseconds before it sleeps.

Waking a sleeping loop takes longer than forwarding a frame, so where frames follow each other closely the next one is
dealt with sooner. Where they do not, polling would burn a core for nothing: it is given up once it was in vain some
times in a row, and taken up again as soon as it would have paid. Without traffic there is none.
"""

from __future__ import annotations

import math
from typing import Final

DEFAULT_WINDOW: Final = 50e-6  # seconds

VAIN: Final = 8
"""Polls without a frame, one after the other, until polling is given up."""

CROWDED: Final = 20e-6
"""Seconds that a round takes at least in which somebody else had the core."""

ASLEEP: Final = 2
"""Rounds of the loop in which nothing came, after which it would be asleep but for the polling."""


class BusyPoll:
    """Says when the loop is to go round again at once. It reads no clock: times are seconds of the engine's.

    window: seconds that a poll lasts after the last frame; 0: none.  polling: whether the loop goes round now.
    """

    def __init__(self, window: float = DEFAULT_WINDOW) -> None:
        """No frame came yet."""
        self.window = window
        self.polling = False
        self._last = self._round = -math.inf
        self._rounds = 0
        self._vain = 0

    @property
    def idle(self) -> bool:
        """Whether the last round brought nothing."""
        return self._rounds > 0

    def traffic(self, now: float) -> bool:
        """Frames came; whether a poll begins."""
        pays = self._rounds >= ASLEEP if self.polling else now - self._last < self.window
        if pays:
            self._vain = 0
        begins = self.window > 0 and not self.polling
        self._last, self._rounds, self.polling = now, 0, self.polling or begins
        return begins

    def saturated(self) -> None:
        """More waits already: the loop will not sleep anyway."""
        self.polling = False

    def go_on(self, now: float) -> bool:
        """The loop went round once more; whether it is to do so again."""
        self._rounds += 1
        crowded, self._round = now - self._round > CROWDED, now
        if self._rounds < ASLEEP:
            return True
        if self._vain < VAIN and now - self._last < self.window and not crowded:
            return True
        self._vain = min(self._vain + 1, VAIN)
        self.polling = False
        return False
