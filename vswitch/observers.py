"""Who sees frames pass: captures and their kin. Usually nobody does, and then nothing is done for them.

A frame that somebody wants to see is decided by the switch, in Python, each time: its verdict is not kept for the fast
path. Flows that pass by other ports, or are not dropped where drops are all that is wanted, stay as fast as they were.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from vswitch.core.frame import Frame
    from vswitch.core.offload import Buffer
    from vswitch.core.port import BridgePort
    from vswitch.core.switch import Switch
    from vswitch.core.verdict import Reason, Verdict


class Mark(NamedTuple):
    """What is known of a frame that is seen, wherever it goes on to.

    packet: its number, the same where it came in and wherever it left.  vid: its VLAN, 0 where it got into none.
    """

    packet: int
    vid: int


class Sight(NamedTuple):
    """A frame at a port.

    time: nanoseconds since the epoch.  leaves: whether it goes to the guest; else it came from there.
    raw: virtio-net header and frame, good until the observer returns.  reason: why it was dropped there, if it was.
    """

    time: int
    mark: Mark
    port: BridgePort
    leaves: bool
    raw: Buffer
    reason: Reason | None


class Observer(Protocol):
    """Somebody who wants to see frames. It must not raise, nor hold the loop up."""

    @property
    def drops_only(self) -> bool:
        """Whether frames that are not dropped are of no interest."""

    def wants(self, port: str) -> bool:
        """Whether frames at the port of this name are of interest."""

    def see(self, sight: Sight) -> None:
        """A frame passes."""


class Foreseer(Observer, Protocol):
    """One who also wants to see what comes in by a port before the switch decides of it."""

    def foresee(self, raw: Buffer, port: BridgePort, now: float) -> None:
        """These octets are about to be decided of."""


class Observers:
    """All observers of one switch. It is false as long as there is none."""

    def __init__(self, switch: Switch, clock: Callable[[], int] = time.time_ns) -> None:
        """Nobody looks. clock: nanoseconds since the epoch."""
        self._switch = switch
        self._clock = clock
        self._observers: list[Observer] = []
        self._foreseers: list[Foreseer] = []
        self._of: dict[tuple[BridgePort, bool], tuple[Observer, ...]] = {}
        self._packets = 0

    def __bool__(self) -> bool:
        """Whether anybody looks."""
        return bool(self._observers)

    def add(self, observer: Observer) -> None:
        """Show frames to one more; verdicts that are kept may be of interest to it."""
        self._observers.append(observer)
        self._of.clear()
        self._switch.ports_changed()

    def add_foreseer(self, foreseer: Foreseer) -> None:
        """As `add`, and before each decision, too."""
        self._foreseers.append(foreseer)
        self.add(foreseer)

    def remove(self, observer: Observer) -> None:
        """Show it none any more. Raises ValueError where it was not there."""
        self._foreseers = [each for each in self._foreseers if each is not observer]
        self._observers.remove(observer)
        self._of.clear()

    def forget_ports(self) -> None:
        """A port went: hold on to none that is not there."""
        self._of.clear()

    def indifferent(self, frame: Frame, verdict: Verdict) -> bool:
        """Whether nobody wants to see each frame of this flow."""
        dropped = verdict.reason is not None or bool(verdict.lost)
        leaving = (port for port, _, _ in (*verdict.egress, *verdict.mirrored))
        return not any(self._who(port, dropped) for port in (frame.port, *leaving, *(port for port, _ in verdict.lost)))

    def foresee(self, raw: Buffer, port: BridgePort, now: float) -> None:
        """These octets are about to be decided of."""
        for foreseer in self._foreseers:
            if foreseer.wants(port.name):
                foreseer.foresee(raw, port, now)

    def number(self) -> int:
        """The number of the next frame."""
        self._packets += 1
        return self._packets

    def mark(self, frame: Frame) -> Mark:
        """The mark of a frame; one that came in before anybody looked gets its number now."""
        frame.packet = frame.packet or self.number()
        return Mark(frame.packet, frame.vid)

    def decided(self, frame: Frame, verdict: Verdict) -> None:
        """A frame came in, and the switch decided."""
        self.see(self.mark(frame), frame.port, frame.raw, verdict.reason)
        self._lost(frame, verdict)

    def released(self, frame: Frame, verdict: Verdict) -> None:
        """A frame goes on that a stage held; it was seen when it came in."""
        if verdict.reason is not None:
            self.see(self.mark(frame), frame.port, frame.raw, verdict.reason)
        self._lost(frame, verdict)

    def _lost(self, frame: Frame, verdict: Verdict) -> None:
        for port, reason in verdict.lost:
            self.see(self.mark(frame), port, frame.raw, reason, leaves=True)

    def see(
        self, mark: Mark, port: BridgePort, raw: Buffer, reason: Reason | None = None, *, leaves: bool = False
    ) -> None:
        """Show a frame to those who want it."""
        if who := self._who(port, reason is not None):
            sight = Sight(self._clock(), mark, port, leaves, raw, reason)
            for observer in who:
                observer.see(sight)

    def _who(self, port: BridgePort, dropped: bool) -> tuple[Observer, ...]:
        key = port, dropped
        if key not in self._of:
            self._of[key] = tuple(o for o in self._observers if o.wants(port.name) and (dropped or not o.drops_only))
        return self._of[key]
