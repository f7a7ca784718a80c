"""What became of stations: who was learned, moved and forgotten, when and at which port; and which of them flap.

Every port has a ring of records of its own, so a port that floods random addresses washes out its own history alone.

A station flaps that moved FLAPS times within WINDOW seconds: there is a loop, or two stations have one address. That is
one episode, until it has kept still for WINDOW seconds.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from vswitch.core.fdb import Change, Key

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from vswitch.core.port import BridgePort

RECORDS: Final = 1024
"""Records that a port's ring holds, and that an answer has at most."""

GONE: Final = 32
"""Ports that are no longer there, at most, whose history is kept."""

FLAPS: Final = 5
WINDOW: Final = 10.0

MOVING: Final = 4096
"""Stations, at most, whose moves are watched; the one that has kept still longest goes first."""


class Record(NamedTuple):
    """One event.

    number: grows with every event of the switch.  time: seconds of the engine's clock.
    came_from: the port that the station was behind before.  flapping: whether it does when the question is asked.
    """

    number: int
    time: float
    change: Change
    vid: int
    mac: bytes
    port: str
    came_from: str | None
    flapping: bool


class Flap(NamedTuple):
    """A station that began to flap, and the ports of its last moves."""

    vid: int
    mac: bytes
    ports: tuple[str, ...]


class _Moves:
    """Of one station: the last ones, FLAPS at most, as time and ports; and whether they are an episode."""

    __slots__ = ("flapping", "last")

    def __init__(self) -> None:
        self.last: tuple[tuple[float, str, str], ...] = ()
        self.flapping = False


_Event = tuple[int, float, Change, Key, str, str | None]
"""A Record as it is kept: number, time, what, whom, the port, and the one before. A plain tuple is made fastest."""


class History:
    """The last events of each port of a switch.

    flaps: episodes so far.  number: events so far.
    """

    def __init__(self, ports: Container[str], flapping: Callable[[Flap], object] = lambda _: None) -> None:
        """ports: the names of those that are there, at any time.  flapping: called once for each episode."""
        self.flaps = 0
        self._ports = ports
        self._flapping = flapping
        self.number = 0
        self._rings: dict[str, deque[_Event]] = {}
        self._moves: OrderedDict[Key, _Moves] = OrderedDict()

    def __contains__(self, port: str) -> bool:
        """Whether there are records of a port of this name."""
        return port in self._rings

    def note(self, now: float, change: Change, key: Key, port: BridgePort, before: BridgePort | None) -> None:
        """Something happened to a station; the arguments are those of `Fdb.tell`."""
        self.number += 1
        name = port.name
        ring = self._rings.get(name)
        if ring is None:
            ring = self._ring(name)
        ring.append((self.number, now, change, key, name, None if before is None else before.name))
        if change == "moved" and before is not None:
            self._moved(now, key, before.name, name)

    def query(
        self,
        now: float,
        *,
        mac: bytes | None = None,
        vid: int | None = None,
        port: str | None = None,
        flapping: bool | None = None,
        limit: int = RECORDS,
    ) -> list[Record]:
        """Events of an address, in a VLAN, at a port (those that left it too), of stations that flap now or do not.

        The last ones, `limit` at most; newest last.
        """
        flap = set(self.flapping(now))
        found = [
            (
                event
                for event in reversed(ring)
                if (mac is None or event[3][1] == mac)
                and (vid is None or event[3][0] == vid)
                and (port is None or event[4] == port or event[5] == port)
                and (flapping is None or (event[3] in flap) is flapping)
            )
            for ring in self._rings.values()
        ]
        last = list(islice(merge(*found, reverse=True), limit))
        return [
            Record(number, time, change, *key, name, before, key in flap)
            for number, time, change, key, name, before in reversed(last)
        ]

    def flapping(self, now: float) -> Iterator[Key]:
        """The stations that flap."""
        return (key for key, moves in self._moves.items() if moves.flapping and now - moves.last[-1][0] < WINDOW)

    def _ring(self, name: str) -> deque[_Event]:
        """A ring for a port that has none; of those whose ports are no longer there, the oldest go."""
        gone = [port for port in self._rings if port not in self._ports]
        gone.sort(key=lambda port: self._rings[port][-1])
        for port in gone[: max(0, len(gone) - GONE + 1)]:
            del self._rings[port]
        ring: deque[_Event] = deque(maxlen=RECORDS)
        self._rings[name] = ring
        return ring

    def _moved(self, now: float, key: Key, before: str, port: str) -> None:
        self._settle(now)
        moves = self._moves.get(key)
        if moves is None:
            moves = self._moves[key] = _Moves()
            if len(self._moves) > MOVING:
                self._moves.popitem(last=False)
        else:
            self._moves.move_to_end(key)
        moves.last = (*moves.last[1 - FLAPS :], (now, before, port))
        if not moves.flapping and len(moves.last) == FLAPS and now - moves.last[0][0] <= WINDOW:
            moves.flapping = True
            self.flaps += 1
            self._flapping(Flap(*key, _ports(moves)))

    def _settle(self, now: float) -> None:
        """Forget the moves of stations that have kept still."""
        while self._moves and now - next(iter(self._moves.values())).last[-1][0] >= WINDOW:
            self._moves.popitem(last=False)


def _ports(moves: _Moves) -> tuple[str, ...]:
    return tuple(sorted({port for _, *ports in moves.last for port in ports}))
