"""Chances: what becomes of each frame, drawn from a generator that is given.

As net/sched/sch_netem.c of Linux has it: get_crandom() for correlation, loss_gilb_ell(), tabledist() for jitter, and in
netem_enqueue() the order of what is drawn. What is not asked for draws nothing, so that the fates of the rest are the
same with and without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.stages.impairment.spec import Copy, Every, Gilbert

if TYPE_CHECKING:
    from vswitch.stages.impairment.spec import Fate, Generator, Line, Loss, Share

_ENTIRE = 1 << 32


class Correlated:
    """Numbers from 0 to 1, each of which may resemble the one before."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        """None was drawn."""
        self._last = 0.0

    def draw(self, generator: Generator, correlation: float) -> float:
        """The next one."""
        value = generator.random()
        if correlation:
            value = self._last = value * (1 - correlation) + self._last * correlation
        return value


class Chances:
    """Draws the fates of one direction; it remembers what correlation and bursts depend on."""

    def __init__(self, generator: Generator) -> None:
        """generator: of this direction alone."""
        self._generator = generator
        self._loss, self._duplicate, self._reorder = Correlated(), Correlated(), Correlated()
        self._corrupt, self._jitter = Correlated(), Correlated()
        self._bad = False
        self._frames = self._since_early = self._replayed = 0

    def fate(self, line: Line) -> Fate:
        """What becomes of the next frame."""
        if line.replay:
            fate = line.replay[self._replayed % len(line.replay)]
            self._replayed += 1
            return fate
        copies = 2 if line.duplicate and self._hits(self._duplicate, line.duplicate) else 1
        if line.loss and self._lost(line.loss):
            copies -= 1
        return tuple([self._copy(line) for _ in range(copies)])

    def _copy(self, line: Line) -> Copy:
        flips: tuple[int, ...] = ()
        if line.corrupt and self._hits(self._corrupt, line.corrupt):
            flips = tuple([int(self._generator.random() * _ENTIRE) for _ in range(line.bits)])
        if line.reorder and self._early(line.reorder, line.gap):
            return Copy(0.0, True, flips)
        return Copy(self._delay(line), False, flips)

    def _hits(self, chance: Correlated, share: Share) -> bool:
        return chance.draw(self._generator, share.correlation) < share.share

    def _lost(self, loss: Loss) -> bool:
        if isinstance(loss, Gilbert):
            return self._burst(loss)
        if isinstance(loss, Every):
            self._frames += 1
            return self._frames % loss.n == 0
        return self._hits(self._loss, loss)

    def _burst(self, model: Gilbert) -> bool:
        """The state turns, and the frame is lost by the chance of the state that it was in before."""
        draw = self._generator.random
        if self._bad:
            self._bad = draw() >= model.r
            return draw() < model.bad
        self._bad = draw() < model.p
        return draw() < model.good

    def _early(self, share: Share, gap: int) -> bool:
        if self._since_early < gap - 1 or not self._hits(self._reorder, share):
            self._since_early += 1
            return False
        self._since_early = 0
        return True

    def _delay(self, line: Line) -> float:
        if not line.jitter:
            return line.delay
        value = self._jitter.draw(self._generator, line.correlation)
        table = line.distribution
        multiple = 2 * value - 1 if table is None else table[int(value * len(table))]
        return max(0.0, line.delay + line.jitter * multiple)
