"""Which frames of a port are sampled: one in N of them at random, each with the same chance, whatever it is.

The gaps between samples are geometric: so each frame on the wire has the chance 1/N, whether others were sampled or
not, from the first one on. sFlow version 5, section 3.1 and appendix B, leave the distribution open, as long as every
gap is possible and the mean is N.
"""

from __future__ import annotations

from math import log, log1p
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from vswitch.core.frame import Frame
    from vswitch.core.verdict import Verdict

MOST: Final = 64
"""Samples that one superframe gives, at most: it may stand for 2048 frames."""


class Sample(NamedTuple):
    """A frame on the wire that was chosen: segment `number` (from 0) of `frame`, which is good until the taker returns.

    sampler: of the port that it came in by.
    """

    sampler: Sampler
    frame: Frame
    number: int
    verdict: Verdict


class Sampler:
    """Chooses samples of what comes in by one port. A superframe stands for its segments: those are counted and chosen.

    rate: N.  left: how many come until the next sample, that one included.  pool: how many came.
    missed: how many were to be samples and are none, since their superframe gave MOST.
    """

    __slots__ = ("_random", "_scale", "_take", "left", "missed", "pool", "rate")

    def __init__(self, rate: int, random: Callable[[], float], take: Callable[[Sample], None]) -> None:
        """rate: 1 or more.  random: numbers from 0 to 1, 1 excluded.

        take: is given every sample; it must not raise, nor hold the loop up.
        """
        self.rate = rate
        self.pool = self.missed = 0
        self._random = random
        self._take = take
        self._scale = 1 / log1p(-1 / rate) if rate > 1 else 0.0
        self.left = self._gap()

    def passed(self, segments: int) -> None:
        """So many came, fewer than are left: none of them is a sample."""
        self.pool += segments
        self.left -= segments

    def consider(self, frame: Frame, verdict: Verdict) -> None:
        """The switch decided of a frame that came: give away those of its segments that are samples."""
        self.pool += frame.segments
        for number in self._choose(frame.segments):
            self._take(Sample(self, frame, number, verdict))

    def _choose(self, segments: int) -> list[int]:
        """The numbers of the samples among so many segments."""
        chosen: list[int] = []
        at = self.left
        while at <= segments and len(chosen) < MOST:
            chosen.append(at - 1)
            at += self._gap()
        if at <= segments:
            self.missed += 1 + (segments - at) // self.rate
            at = segments + self._gap()  # as good as what was left of that gap: such gaps do not remember
        self.left = at - segments
        return chosen

    def _gap(self) -> int:
        return 1 + int(log(1 - self._random()) * self._scale)
