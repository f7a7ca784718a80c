"""Counters of a port: plain integers with the meaning of RFC 2863, read only when somebody asks.

Frames and octets count as on the wire without FCS: a superframe counts the segments it stands for. `receive` counts
every valid frame that the port took in, those that a rule then dropped included (ifInUcastPkts and its kin: delivered
to the relay), and its octets count runts too (ifInOctets). `transmit` counts what was handed to the attachment.
`dropped` counts, by reason, at the port where the frame was lost: the ingress port for a rule, the egress port for a
queue, a device or a size.
"""

from __future__ import annotations

from array import array
from typing import Final

from vswitch.core.verdict import Reason

UNICAST, MULTICAST, BROADCAST = range(3)
CASTS = ("unicast", "multicast", "broadcast")

RECEIVE: Final = 0
TRANSMIT: Final = 4
DROPPED: Final = 8
"""Where in `PortCounters.values` a direction begins (octets, then frames by cast), and where the drops by reason do."""


class Direction:
    """Octets, and frames by cast, in one direction of a port."""

    __slots__ = ("_at", "_values")

    def __init__(self, values: array[int], at: int) -> None:
        """The four counters from `at` on."""
        self._values = values
        self._at = at

    @property
    def octets(self) -> int:
        """All casts together."""
        return self._values[self._at]

    @property
    def frames(self) -> list[int]:
        """By UNICAST, MULTICAST and BROADCAST."""
        return list(self._values[self._at + 1 : self._at + 4])

    def count(self, cast: int, frames: int, octets: int) -> None:
        """Count this many frames of one cast."""
        self._values[self._at + 1 + cast] += frames
        self._values[self._at] += octets

    def count_runt(self, octets: int) -> None:
        """Count octets that are no frame."""
        self._values[self._at] += octets


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

    @property
    def dropped(self) -> dict[Reason, int]:
        """Frames by reason, those reasons included that there was no drop for."""
        return dict(zip(Reason, self.values[DROPPED:], strict=True))

    def drop(self, reason: Reason, frames: int = 1) -> None:
        """Count this many frames as dropped."""
        self.values[DROPPED + reason.number] += frames
