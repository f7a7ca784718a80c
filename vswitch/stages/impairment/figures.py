"""What an impairment achieved, beside what it was told to do."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Final

RECENT: Final = 1024
"""Frames whose delay is remembered one by one."""

BOUNDS: Final = (0.0001, 0.0003, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds up to which each bucket of delays goes; one more takes the rest."""

SLOT: Final = 0.1
_SLOTS: Final = 10


class Figures:
    """Of one direction, since its impairment was set. Frames and octets are as on the wire."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self.offered = self.lost = self.full = self.duplicated = self.reordered = self.corrupted = 0
        self.passed = self.passed_octets = 0
        self.delay_sum = 0.0
        self.buckets = [0] * (len(BOUNDS) + 1)
        self._delays: deque[float] = deque(maxlen=RECENT)
        self._slots: deque[list[float]] = deque(maxlen=_SLOTS + 1)

    def released(self, delay: float, frames: int, octets: int, now: float) -> None:
        """A frame was let go after so many seconds."""
        self.passed += frames
        self.passed_octets += octets
        self.delay_sum += delay * frames
        self.buckets[bisect_left(BOUNDS, delay)] += frames
        self._delays.append(delay)
        slot = now // SLOT
        if self._slots and self._slots[-1][0] == slot:
            self._slots[-1][1] += octets
        else:
            self._slots.append([slot, octets])

    @property
    def mean(self) -> float | None:
        """Seconds, of the last frames; None: there were none."""
        return sum(self._delays) / len(self._delays) if self._delays else None

    @property
    def p99(self) -> float | None:
        """Seconds that 99 of 100 of the last frames were faster than; None: there were none."""
        return sorted(self._delays)[(len(self._delays) * 99 - 1) // 100] if self._delays else None

    def rate(self, now: float) -> float:
        """Bits a second that passed in the last whole second."""
        current = now // SLOT
        octets = sum(octets for slot, octets in self._slots if current - _SLOTS <= slot < current)
        return octets * 8 / (_SLOTS * SLOT)
