"""The flow table of a port that is sampled: it stops short of each frame that is to be a sample.

Such a frame is handed back as one that is not known, so that the switch decides of it anew and whoever samples sees
frame and verdict; all others pass as ever. A port that is not sampled has its table bare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.core.stats import FRAMES, RECEIVE, TRANSMIT
from vswitch.fastpath.flowcache import UNBOUNDED, segments_of

if TYPE_CHECKING:
    from array import array

    from vswitch.core.offload import Buffer
    from vswitch.core.sampling import Sampler
    from vswitch.fastpath.flowcache import Flow, Turn
    from vswitch.fastpath.twins import Table


class SampledTable:
    """What a port reads by while it is sampled."""

    def __init__(self, table: Table, sampler: Sampler, values: array[int]) -> None:
        """values: the port's counters."""
        self._table = table
        self._sampler = sampler
        self._values = values

    def __len__(self) -> int:
        """Flows known."""
        return len(self._table)

    def burst(self, fd: int, frames: int, octets: int, packet: bool = False) -> Turn:
        """As of the table, up to the next sample at most."""
        before = self._received()
        turn = self._table.burst_below(fd, frames, octets, packet, min(self._sampler.left, UNBOUNDED))
        self._sampler.passed(self._received() - before)
        return turn

    def carry(self, raw: Buffer) -> tuple[Flow | None, int]:
        """As of the table, unless the frame is a sample."""
        segments = segments_of(raw)
        if segments >= self._sampler.left:
            return None, 0
        flow, done = self._table.carry(raw)
        if flow is not None:
            self._sampler.passed(segments)
        return flow, done

    def _received(self) -> int:
        return sum(self._values[RECEIVE + FRAMES : TRANSMIT])
