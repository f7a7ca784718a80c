"""What an impairment is told to do. The words mean what they do in tc-netem(8), where that has them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

DEFAULT_LIMIT: Final = 128 << 20
OVERHEAD: Final = 640
"""Octets that a frame which is held counts for beside its own: what Python needs to keep it."""


class Generator(Protocol):
    """Whatever draws random numbers."""

    def random(self) -> float:
        """From 0 to 1, without 1."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of all frames, 0 to 1, and how much the chance of one depends on that of the one before."""

    share: float
    correlation: float = 0.0


@dataclass(frozen=True, slots=True)
class Gilbert:
    """The Gilbert-Elliott model of bursts: tc-netem's `gemodel`.

    p, r: the chances that the state turns from good to bad, and back, before a frame.
    bad, good: the share that is lost in either state, 1-h and 1-k.
    """

    p: float
    r: float
    bad: float = 1.0
    good: float = 0.0


@dataclass(frozen=True, slots=True)
class Every:
    """Every n-th frame."""

    n: int


Loss = Share | Gilbert | Every


class Copy(NamedTuple):
    """One of the frames that become of one.

    delay: seconds behind the queue.  early: it leaves without delay, before others.
    flips: positions of bits that turn, modulo its length.
    """

    delay: float
    early: bool = False
    flips: tuple[int, ...] = ()


Fate = tuple[Copy, ...]
"""What becomes of a frame; nothing: it is lost."""


@dataclass(frozen=True, slots=True)
class Codel:
    """Seconds of RFC 8289."""

    target: float = 0.005
    interval: float = 0.1


@dataclass(frozen=True, slots=True)
class Flap:
    """The link is down for the last so many seconds of every so many."""

    every: float
    down: float


@dataclass(frozen=True, slots=True)
class Change:
    """From one time until another, in seconds since the impairment was set, other values hold: fields of `Line`."""

    at: float
    until: float
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One direction of a port. Seconds, shares of 1, bits a second, octets.

    distribution: the inverse of a cumulative distribution, as a table of multiples of `jitter`; None: uniform, -1 to 1.
    correlation: of the jitter.  overtake: whether the jitter may change the order of frames, as in tc-netem.
    gap: of so many frames one at most is early.  bits: that turn in a corrupt frame.  mend: its checksums hide it.
    burst: octets that may pass faster than `rate` after a pause.
    trace: times, in seconds, at each of which 1500 octets may pass, over and over.
    queue: seconds that a frame waits for the rate at most.  queue_octets: octets that wait instead, at most.
    mtu: as of a port.  matches: whether a frame, Ethernet header first, is concerned; None: all are.
    limit: octets that are held at most, `OVERHEAD` included.
    replay: the fates of frames, one after the other, over and over.
    """

    delay: float = 0.0
    jitter: float = 0.0
    distribution: Sequence[float] | None = None
    correlation: float = 0.0
    overtake: bool = False
    loss: Loss | None = None
    duplicate: Share | None = None
    reorder: Share | None = None
    gap: int = 1
    corrupt: Share | None = None
    bits: int = 1
    mend: bool = False
    rate: int = 0
    burst: int = 0
    trace: Sequence[float] | None = None
    queue: float = 0.1
    queue_octets: int = 0
    codel: Codel | None = None
    mtu: int = 0
    flap: Flap | None = None
    vlans: frozenset[int] | None = None
    filter: str = ""
    matches: Callable[[bytes], bool] | None = field(default=None, compare=False)
    limit: int = DEFAULT_LIMIT
    schedule: tuple[Change, ...] = ()
    replay: tuple[Fate, ...] | None = None

    @property
    def by_frame(self) -> bool:
        """Whether each segment of a superframe has a fate of its own."""
        return bool(self.loss or self.duplicate or self.reorder or self.corrupt or self.replay or self.trace)


@dataclass(frozen=True, slots=True)
class Impairment:
    """Of a port: what comes in from its guest, and what goes out to it.

    seed: of the chances.  seeded: makes a generator of one, and of the names of port and direction.
    """

    seed: int
    seeded: Callable[[str], Generator]
    received: Line | None = None
    sent: Line | None = None


def phases(line: Line) -> list[tuple[float, Line]]:
    """What holds from when on, in order, by the schedule of a line; later changes go before earlier ones."""
    times = sorted({0.0, *(c.at for c in line.schedule), *(c.until for c in line.schedule if c.until < inf)})
    found: list[tuple[float, Line]] = []
    for time in times:
        values: dict[str, Any] = {}
        for change in line.schedule:
            if change.at <= time < change.until:
                values |= change.values
        found.append((time, replace(line, **values)))
    return found
