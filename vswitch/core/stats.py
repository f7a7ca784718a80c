"""Counters of a port: plain integers with the meaning of RFC 2863, read only when somebody asks.

Frames and octets count as on the wire without FCS: a superframe counts the segments it stands for. `receive` counts
every valid frame that the port took in, those that a rule then dropped included (ifInUcastPkts and its kin: delivered
to the relay), and its octets count runts too (ifInOctets). `transmit` counts what was handed to the attachment.
`dropped` counts, by reason, at the port where the frame was lost: the ingress port for a rule, the egress port for a
queue, a device or a size.

Frames are also counted by size, each segment of a superframe for itself, in the groups of RFC 2819
(etherStatsPkts64Octets and its kin), whose bounds are compared with octets without FCS, as all octets here are.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Final

from vswitch.core.verdict import Reason

UNICAST, MULTICAST, BROADCAST = range(3)
CASTS = ("unicast", "multicast", "broadcast")

SIZE_BOUNDS: Final = (64, 127, 255, 511, 1023, 1518)
"""The longest frame of each group but the last, which has none."""

SIZES: Final = len(SIZE_BOUNDS) + 1
SUPERFRAMES, SEGMENTS, FRAMES = 1, 2, 3
"""Where in a direction, behind its octets: superframes, the frames they stood for, and all frames, those of each group
of sizes by themselves, first the unicast ones. So a frame is one increment, though it counts by cast and by size."""

RECEIVE: Final = 0
TRANSMIT: Final = RECEIVE + FRAMES + len(CASTS) * SIZES
REFUSED: Final = TRANSMIT + TRANSMIT
DROPPED: Final = REFUSED + 1
"""Where in `PortCounters.values` a direction begins, the octets received that were no frame stand, and the drops by
reason begin."""

BEYOND: Final = SIZE_BOUNDS[-1] + 1
"""The least size of the last group."""

PLACES: Final = tuple(
    bytes(FRAMES + cast * SIZES + bisect_left(SIZE_BOUNDS, octets) for octets in range(BEYOND + 1))
    for cast in range(len(CASTS))
)
"""By cast and size, up to BEYOND, the place in a direction where a frame counts."""


def count(values: array[int], at: int, cast: int, segments: int, octets: int, longest: int) -> None:
    """Count a frame as on the wire, in the direction that begins at `at`; longest: octets of its longest segment."""
    values[at] += octets
    places = PLACES[cast]
    if segments == 1:
        values[at + places[min(octets, BEYOND)]] += 1
        return
    values[at + SUPERFRAMES] += 1
    values[at + SEGMENTS] += segments
    values[at + places[min(longest, BEYOND)]] += segments - 1
    values[at + places[min(octets - (segments - 1) * longest, BEYOND)]] += 1  # all but the last are as long as any


class Direction:
    """What is counted in one direction of a port."""

    __slots__ = ("_at", "_values")

    def __init__(self, values: array[int], at: int) -> None:
        """The counters from `at` on."""
        self._values = values
        self._at = at

    @property
    def octets(self) -> int:
        """All casts together."""
        return self._values[self._at]

    @property
    def frames(self) -> list[int]:
        """By UNICAST, MULTICAST and BROADCAST."""
        begin = self._at + FRAMES
        return [sum(self._values[at : at + SIZES]) for at in range(begin, begin + len(CASTS) * SIZES, SIZES)]

    @property
    def sizes(self) -> list[int]:
        """Frames by group of sizes."""
        begin, end = self._at + FRAMES, self._at + TRANSMIT
        return [sum(self._values[at:end:SIZES]) for at in range(begin, begin + SIZES)]

    @property
    def superframes(self) -> tuple[int, int]:
        """How many, and how many frames they stood for."""
        return self._values[self._at + SUPERFRAMES], self._values[self._at + SEGMENTS]

    def count(self, cast: int, segments: int, octets: int, longest: int) -> None:
        """Count a frame as on the wire; longest: octets of its longest segment."""
        count(self._values, self._at, cast, segments, octets, longest)


class PortCounters:
    """All that is counted of one port, from the moment it was added; nothing here ever goes back.

    values: the counters themselves, 64 bits each, in one block of memory that the fast path counts in too.
    """

    __slots__ = ("receive", "transmit", "values")

    def __init__(self) -> None:
        """All zero."""
        self.values = array("Q", bytes(8 * (DROPPED + len(Reason))))
        self.receive = Direction(self.values, RECEIVE)
        self.transmit = Direction(self.values, TRANSMIT)

    def copy(self) -> PortCounters:
        """Those of this moment."""
        made = PortCounters()
        made.values[:] = self.values
        return made

    @property
    def dropped(self) -> dict[Reason, int]:
        """Frames by reason, those reasons included that there was no drop for."""
        return dict(zip(Reason, self.values[DROPPED:], strict=True))

    def refuse(self, octets: int) -> None:
        """Count octets received that are no frame."""
        self.values[RECEIVE] += octets
        self.values[REFUSED] += octets

    def drop(self, reason: Reason, frames: int = 1) -> None:
        """Count this many frames as dropped."""
        self.values[DROPPED + reason.number] += frames
