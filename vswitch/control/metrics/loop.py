"""How late the loop is: what it was asked to do at a time, it did so much later."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily

from vswitch.control.metrics.group import Group, Row, bound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from vswitch.control.service import Service

INTERVAL: Final = 0.25
"""Seconds between two looks."""

WINDOW: Final = 60.0
"""Seconds that the greatest lag is remembered for, at least; twice as long at most. It is not the time since the last
scrape, so that several Prometheus servers see the same."""

BOUNDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)


class LoopLag:
    """Looks from time to time, while somebody wants to know, and only then.

    The timers of uvloop are good to a millisecond, and so is what is found.
    """

    def __init__(self) -> None:
        """Nobody does yet."""
        self.counts = [0] * (len(BOUNDS) + 1)
        self.sum = 0.0
        self._most, self._most_before, self._turn = 0.0, 0.0, 0.0
        self._wanted = 0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def most(self) -> float:
        """The greatest lag of the last minute or two, in seconds."""
        return max(self._most, self._most_before)

    def start(self) -> None:
        """One more wants to know."""
        self._wanted += 1
        if self._timer is None:
            self._arm()

    def stop(self) -> None:
        """One less does."""
        self._wanted -= 1
        if not self._wanted and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def note(self, lag: float, now: float) -> None:
        """It was that late, in seconds; now: of a clock that never goes back."""
        self.counts[bisect_left(BOUNDS, lag)] += 1
        self.sum += lag
        if now - self._turn >= WINDOW:
            self._most_before, self._most = (self._most if now - self._turn < 2 * WINDOW else 0.0), 0.0
            self._turn = now
        self._most = max(self._most, lag)

    def _arm(self) -> None:
        self._due = time.monotonic() + INTERVAL
        self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        self.note(max(0.0, now - self._due), now)
        self._arm()


def copy(service: Service) -> Iterator[Row]:
    """What was found."""
    lag = service.lag
    yield lag.sum, lag.most, *lag.counts


def families(switch: str, rows: Sequence[Row]) -> Iterator[Metric]:
    """A histogram, and the greatest."""
    ((total, most, *counts),) = rows
    lags = HistogramMetricFamily(
        "vswitch_loop_lag_seconds", "How late the event loop did what was to be done at a time", labels=("switch",)
    )
    bounds = (*map(bound, BOUNDS), "+Inf")
    lags.add_metric([switch], list(zip(bounds, accumulate(counts), strict=True)), total)
    yield lags
    greatest = GaugeMetricFamily(
        "vswitch_loop_lag_max_seconds", "The greatest such lag of the last minute, or two", labels=("switch",)
    )
    greatest.add_metric([switch], most)
    yield greatest


GROUP: Final = Group("loop", copy, families)
