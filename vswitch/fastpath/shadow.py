"""Both twins at once: the Python one forwards, and whatever it answers the C one has to answer too."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from vswitch.fastpath.flowcache import UNBOUNDED, FlowTable, meet, segments_of

if TYPE_CHECKING:
    from array import array

    from vswitch.core.fdb import Key
    from vswitch.core.offload import Buffer
    from vswitch.fastpath.flowcache import Flow, Reader, Turn
    from vswitch.fastpath.twins import TableType

log = logging.getLogger(__name__)


class ShadowTable(FlowTable):
    """A Python table with a C table that knows the same flows.

    differences: frames that the twins did not agree on. Each is logged with its octets, as far as 256 of them.
    """

    def __init__(self, values: array[int], buffer: bytearray, clock: array[int], native: TableType) -> None:
        """values, buffer, clock: as of `FlowTable`.  native: makes the other twin, which carries nothing."""
        super().__init__(values, buffer, clock)
        self._native = native(values[:], bytearray(len(buffer)), clock)
        self.differences = 0

    def add(self, flow: Flow) -> None:
        """To both."""
        super().add(flow)
        self._native.add(flow)

    def discard(self, key: bytes) -> None:
        """From both."""
        super().discard(key)
        self._native.discard(key)

    def clear(self) -> None:
        """Both."""
        super().clear()
        self._native.clear()

    def _burst(self, take: Reader, frames: int, octets: int) -> Turn:
        """Frame by frame, so that each can be compared."""
        return self._burst_below(take, frames, octets, UNBOUNDED)

    def _burst_below(self, take: Reader, frames: int, octets: int, limit: int) -> Turn:
        met: dict[Key, Flow] = {}
        read = 0
        while read < frames and octets > 0 and (got := self._take(take, first=not read)) >= 0:
            read += 1
            octets -= got
            raw = self._view[:got]
            segments = segments_of(raw)
            flow, done = self.carry(raw) if segments < limit else (None, 0)
            limit -= segments
            meet(met, flow)
            if flow is None or done < len(flow.exits):
                return read, list(met.values()), got, flow, done
        return read, list(met.values()), -1, None, 0

    def carry(self, raw: Buffer) -> tuple[Flow | None, int]:
        """By Python, after both were asked."""
        self._compare(bytes(raw))
        return super().carry(raw)

    def _compare(self, raw: bytes) -> None:
        ours, theirs = self.match(raw), self._native.match(raw)
        if ours != theirs:
            self.differences += 1
            log.error("the twins do not agree on %s: %s and %s", raw[:256].hex(), ours, theirs)
