"""Counters of a port: plain integers with the meaning of RFC 2863, read only when somebody asks.

Frames and octets count as on the wire without FCS: a superframe counts the segments it stands for. `receive` counts
every valid frame that the port took in, those that a rule then dropped included (ifInUcastPkts and its kin: delivered
to the relay), and its octets count runts too (ifInOctets). `transmit` counts what was handed to the attachment.
`dropped` counts, by reason, at the port where the frame was lost: the ingress port for a rule, the egress port for a
queue, a device or a size.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vswitch.core.verdict import Reason

UNICAST, MULTICAST, BROADCAST = range(3)
CASTS = ("unicast", "multicast", "broadcast")


@dataclass(slots=True)
class Direction:
    """Octets, and frames by cast, in one direction."""

    octets: int = 0
    frames: list[int] = field(default_factory=lambda: [0, 0, 0])

    def count(self, cast: int, frames: int, octets: int) -> None:
        """Count this many frames of one cast."""
        self.frames[cast] += frames
        self.octets += octets


@dataclass(slots=True)
class PortCounters:
    """All that is counted of one port, from the moment it was added; nothing here ever goes back."""

    receive: Direction = field(default_factory=Direction)
    transmit: Direction = field(default_factory=Direction)
    dropped: dict[Reason, int] = field(default_factory=lambda: dict.fromkeys(Reason, 0))

    def drop(self, reason: Reason, frames: int = 1) -> None:
        """Count this many frames as dropped."""
        self.dropped[reason] += frames
