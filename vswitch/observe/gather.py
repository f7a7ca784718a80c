"""The packets of a capture put together again as frames: where each came in, and where it left or was lost.

A frame's packets do not stand side by side in a capture: a burst comes in, then it leaves. So a frame is held for a
moment. Nothing here reads a clock: the moment is over by the times of the packets, or when the caller says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from vswitch.observe import pcapng

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vswitch.observe.pcapng import Packet

HOLD: Final = 50_000_000
"""Nanoseconds in which a frame leaves, unless it waits for a slow port: then that is told of on its own."""

MOST: Final = 16 << 20
"""Octets of frames that are held, at most."""

_EACH: Final = 512
"""Octets that a packet counts for at least."""

_COMMENT: Final = re.compile(r"(?:vlan (?P<vlan>\d{1,4}))?(?:, )?(?:dropped: (?P<reason>\w+))?")


@dataclass(slots=True)
class Gathered:
    """A frame, as far as it was seen.

    time: nanoseconds since the epoch.  port: where it came in, "" where that was not seen.  reason: why it was dropped
    there.  vlan: the switch's, 0 for none.  octets: the frame, or the segments of a superframe.  egress: the ports that
    it left by.  lost: the ports where it was lost on its way out, each with the reason.
    """

    time: int
    port: str = ""
    reason: str | None = None
    vlan: int = 0
    octets: list[bytes] = field(default_factory=list)
    egress: dict[str, list[bytes]] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)

    def frames(self) -> list[bytes]:
        """The frame as it came in, or else as it left by one port."""
        return self.octets or next(iter(self.egress.values()), [])


class Gatherer:
    """Takes packets, gives frames, in the order in which they were seen first."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self._held: dict[int, Gathered] = {}
        self._size = 0
        self._newest = 0
        self.lost = 0
        """Packets that were lost to the capture."""

    def add(self, packet: Packet) -> None:
        """One more packet."""
        self.lost += packet.lost
        self._newest = packet.time
        self._size += max(len(packet.data), _EACH)
        frame = self._held.setdefault(packet.number, Gathered(packet.time))
        comment = _COMMENT.fullmatch(packet.comment)
        reason = comment["reason"] if comment else None
        frame.vlan = int(comment["vlan"] or 0) if comment else 0
        if packet.direction == pcapng.INBOUND:
            frame.port, frame.reason = packet.interface, reason
            frame.octets.append(packet.data)
        elif reason is None:
            frame.egress.setdefault(packet.interface, []).append(packet.data)
        else:
            frame.lost[packet.interface] = reason
            if not frame.port:
                frame.octets.append(packet.data)

    def ready(self) -> Iterator[Gathered]:
        """The frames that were held long enough, or that there is no room for."""
        while self._held:
            number = next(iter(self._held))
            if abs(self._newest - self._held[number].time) < HOLD and self._size <= MOST:
                return
            yield self._take(number)

    def rest(self) -> Iterator[Gathered]:
        """All that are held: no more packets of them are to come."""
        while self._held:
            yield self._take(next(iter(self._held)))

    def _take(self, number: int) -> Gathered:
        frame = self._held.pop(number)
        packets = [*frame.octets, *(each for frames in frame.egress.values() for each in frames)]
        self._size -= sum(max(len(each), _EACH) for each in packets)
        if not self._held:
            self._size = 0
        return frame
