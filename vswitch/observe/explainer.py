"""Explanations of real frames: each made just before the switch decides, with the tables as they are then."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from vswitch.core.explain import Explanation, explain

if TYPE_CHECKING:
    from collections.abc import Callable

    from vswitch.core.offload import Buffer
    from vswitch.core.port import BridgePort
    from vswitch.core.switch import Switch
    from vswitch.observers import Sight

MOST: Final = 256
"""Explanations that wait to be read, at most."""

RATE: Final = 500.0
"""Explanations a second, at most: each takes some 100 us of the switch's time."""


class Explained(NamedTuple):
    """A frame that came in. time: nanoseconds since the epoch.  skipped: frames before it that were not explained."""

    time: int
    port: str
    frame: bytes
    explanation: Explanation
    skipped: int


class Explainer:
    """An observer that explains what comes in by ports."""

    def __init__(self, switch: Switch, port: str | None, *, drops: bool, wake: Callable[[], None]) -> None:
        """port: one alone, or all.  drops: only frames that are dropped.  wake: called when there is one to read."""
        self._switch = switch
        self._port = port
        self._drops = drops
        self._wake = wake
        self._pending: tuple[bytes, Explanation] | None = None
        self._spare, self._since = RATE, 0.0
        self._skipped = 0
        self.ready: deque[Explained] = deque()

    @property
    def drops_only(self) -> bool:
        """As asked: flows that pass stay on the fast path."""
        return self._drops

    def wants(self, port: str) -> bool:
        """The one that was named, or all."""
        return self._port in (None, port)

    def foresee(self, raw: Buffer, port: BridgePort, now: float) -> None:
        """Explain it now, while nothing is changed by it; not more often than `RATE`."""
        self._spare, self._since = min(RATE, self._spare + (now - self._since) * RATE), now
        self._pending = None
        if self._spare >= 1 and len(self.ready) < MOST:
            self._spare -= 1
            octets = bytes(raw)
            self._pending = octets, explain(self._switch, octets, port, now)

    def see(self, sight: Sight) -> None:
        """It came in: what was foreseen is told."""
        if sight.leaves or (self._drops and sight.reason is None):
            return
        if self._pending is None:
            self._skipped += 1
            return
        octets, explanation = self._pending
        self.ready.append(Explained(sight.time, sight.port.name, octets, explanation, self._skipped))
        self._pending, self._skipped = None, 0
        self._wake()
