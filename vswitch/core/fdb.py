"""The filtering database: which station is behind which port, per VLAN (IEEE 802.1Q-2018 clause 8.8).

Every port's learned entries stand in a queue of their own, the one heard least recently first. That one order serves
ageing (only heads can have expired) and eviction: a full table gives up the head of the port that owns most, so a port
that floods random addresses pushes out its own.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from vswitch.core.mac import ZERO, is_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vswitch.core.port import BridgePort

DEFAULT_AGEING: Final = 300.0  # seconds; 802.1Q-2018 Table 8-6 permits 10 to 1,000,000
DEFAULT_LIMIT: Final = 16384

Key = tuple[int, bytes]
"""VID and six octets."""

Change = Literal["learned", "moved", "static", "aged", "evicted", "removed", "flushed", "port_down", "port_removed"]
"""What happened to an entry, in the words of `show history`, which are stable. `port_removed`: its port was."""


class FdbEntry:
    """A station: the port it is behind, and when (seconds of the switch's clock) it was last heard."""

    __slots__ = ("port", "seen", "static")

    def __init__(self, port: BridgePort, now: float, *, static: bool = False) -> None:
        """An entry heard `now`."""
        self.port = port
        self.seen = now
        self.static = static


class FdbRow(NamedTuple):
    """One entry as shown: age in seconds, 0 for a static one."""

    mac: bytes
    vid: int
    port: BridgePort
    static: bool
    age: float


class Preview(NamedTuple):
    """What hearing a source and then looking a destination up would come to: in words, and the port found."""

    learning: str
    found: BridgePort | None


class Fdb:
    """Learned and static entries of one switch.

    limit: learned and static entries together.  ageing: seconds.  changed: called with the key of each station that
    came, moved, was tied to a port or went: what a lookup of it found may be otherwise now.  tell: called with what
    happened to which station, its port, and the port it was behind before where that is another; never for a frame of
    a station that is where it was.
    """

    def __init__(
        self,
        *,
        ageing: float = DEFAULT_AGEING,
        limit: int = DEFAULT_LIMIT,
        changed: Callable[[Key], object] = lambda _: None,
        tell: Callable[[Change, Key, BridgePort, BridgePort | None], object] = lambda *_: None,
    ) -> None:
        """An empty database."""
        self.ageing = ageing
        self.limit = limit
        self.moves = 0
        self.evictions = 0
        self.sizes: dict[int, int] = {}
        self.changed = changed
        self.tell = tell
        self._entries: dict[Key, FdbEntry] = {}
        self._queues: dict[BridgePort, OrderedDict[Key, FdbEntry]] = {}

    def __len__(self) -> int:
        """Entries held, those included that have expired and were not swept yet."""
        return len(self._entries)

    def lookup(self, vid: int, mac: bytes, now: float) -> BridgePort | None:
        """The port that the station is behind; None: unknown, or not heard for the ageing time."""
        entry = self._entries.get((vid, mac))
        return entry.port if entry is not None and self._lives(entry, now) else None

    def learn(self, vid: int, mac: bytes, port: BridgePort, now: float) -> bool:
        """The station was heard on `port`: make, refresh or move its entry. A static one stays as it is.

        Whether there is an entry of it now: a table full of static ones has no room for another.
        """
        key = (vid, mac)
        entry = self._entries.get(key)
        if entry is None:
            if not self._make_room(port):
                return False
            self._insert(key, FdbEntry(port, now))
            self.tell("learned", key, port, None)
        elif entry.port is port:
            if not entry.static:
                entry.seen = now
                self._queues[port].move_to_end(key)
        elif not entry.static:
            self._move(key, entry, port, now)
        return True

    def preview(self, vid: int, source: bytes, port: BridgePort, destination: bytes, now: float) -> Preview:
        """What `learn(source)` and then `lookup(destination)` would do, changing nothing."""
        found = self.lookup(vid, destination, now)
        entry = self._entries.get((vid, source))
        if entry is not None and entry.static:
            return Preview(f"has a static entry on {entry.port.name}", found)
        if entry is not None:
            heard = f"was heard on {entry.port.name} {max(0.0, now - entry.seen):.1f} s ago"
            words = f"{heard}: {'refreshed' if entry.port is port else f'moves to {port.name}'}"
        elif len(self._entries) < self.limit:
            words = f"is new: learned on {port.name}"
        elif (victim := self._victim(port)) is not None:
            words = f"is new: learned on {port.name}, in place of the oldest entry of {self._entries[victim].port.name}"
            found = None if victim == (vid, destination) else found
        else:
            return Preview("is new: not learned, the table is full of static entries", found)
        return Preview(words, port if destination == source else found)

    def add_static(self, vid: int, mac: bytes, port: BridgePort, now: float) -> None:
        """Tie a station to a port for good, in place of what was known of it; nothing happens where it is tied there.

        Raises ValueError for a group or zero address, and where the table is full of static entries.
        """
        if is_group(mac) or mac == ZERO:
            raise ValueError("a static entry needs an individual address")
        key = (vid, mac)
        known = self._entries.get(key)
        if known is not None:
            if known.static and known.port is port:
                return
            self._drop(key)
        elif not self._make_room(port):
            raise ValueError(f"the table is full: it holds {self.limit} static entries already")
        self._insert(key, FdbEntry(port, now, static=True))
        self.tell("static", key, port, None if known is None or known.port is port else known.port)

    def remove(self, vid: int, mac: bytes) -> bool:
        """Forget one station, static or learned; whether it was there."""
        if (vid, mac) not in self._entries:
            return False
        self._drop((vid, mac), "removed")
        return True

    def flush(
        self,
        *,
        port: BridgePort | None = None,
        vid: int | None = None,
        static: bool = False,
        change: Change = "flushed",
    ) -> int:
        """Forget what was learned (and, if asked, static entries) of a port, of a VLAN, of both, or all; how many.

        change: how that is told.
        """
        known = self._entries if port is None or static else self._queues.get(port, ())
        doomed = [
            key
            for key in known
            if (static or not self._entries[key].static)
            and (port is None or self._entries[key].port is port)
            and (vid is None or key[0] == vid)
        ]
        for key in doomed:
            self._drop(key, change)
        return len(doomed)

    def forget_port(self, port: BridgePort) -> None:
        """The port is gone, and every entry of it goes too."""
        self.flush(port=port, static=True, change="port_removed")
        self._queues.pop(port, None)

    def resize(self, limit: int) -> None:
        """Set the limit; learned entries beyond it are evicted, static ones stay."""
        self.limit = limit
        while len(self._entries) > limit and self._evict(None):
            pass

    def rows(self, now: float) -> Iterator[FdbRow]:
        """Every entry that a lookup would find."""
        for (vid, mac), entry in self._entries.items():
            if self._lives(entry, now):
                age = 0.0 if entry.static else max(0.0, now - entry.seen)
                yield FdbRow(mac, vid, entry.port, entry.static, age)

    def next_deadline(self) -> float | None:
        """When the first entry expires; None: nothing will."""
        heads = (next(iter(queue.values())).seen for queue in self._queues.values() if queue)
        oldest = min(heads, default=None)
        return None if oldest is None else oldest + self.ageing

    def expire(self, now: float) -> int:
        """Remove what has not been heard for the ageing time; how many."""
        expired = 0
        for queue in self._queues.values():
            while queue and not self._lives(next(iter(queue.values())), now):
                self._drop(next(iter(queue)), "aged")
                expired += 1
        return expired

    def _lives(self, entry: FdbEntry, now: float) -> bool:
        return entry.static or entry.seen + self.ageing > now

    def _insert(self, key: Key, entry: FdbEntry) -> None:
        self._entries[key] = entry
        self.sizes[key[0]] = self.sizes.get(key[0], 0) + 1
        if not entry.static:
            self._queue(entry.port)[key] = entry
        self.changed(key)

    def _queue(self, port: BridgePort) -> OrderedDict[Key, FdbEntry]:
        return self._queues.setdefault(port, OrderedDict())

    def _move(self, key: Key, entry: FdbEntry, port: BridgePort, now: float) -> None:
        before, lived = entry.port, self._lives(entry, now)
        del self._queues[before][key]
        entry.port, entry.seen = port, now
        self._queue(port)[key] = entry
        self.changed(key)
        if lived:
            self.moves += 1
            self.tell("moved", key, port, before)
        else:
            self.tell("aged", key, before, None)
            self.tell("learned", key, port, None)

    def _make_room(self, port: BridgePort) -> bool:
        """Whether an entry of `port` fits, once one was evicted for it if need be."""
        return len(self._entries) < self.limit or self._evict(port)

    def _evict(self, port: BridgePort | None) -> bool:
        victim = self._victim(port)
        if victim is None:
            return False
        self._drop(victim, "evicted")
        self.evictions += 1
        return True

    def _victim(self, port: BridgePort | None) -> Key | None:
        """The oldest entry of the port that owns most learned ones; of `port` itself where it owns as many."""
        heaviest = max(self._queues.values(), key=len, default=None)
        if not heaviest:
            return None
        own = self._queues.get(port) if port is not None else None
        return next(iter(own if own and len(own) == len(heaviest) else heaviest))

    def _drop(self, key: Key, change: Change | None = None) -> None:
        """change: how that is told; None: its successor is."""
        entry = self._entries.pop(key)
        self.sizes[key[0]] -= 1
        if not self.sizes[key[0]]:
            del self.sizes[key[0]]
        if not entry.static:
            del self._queues[entry.port][key]
        self.changed(key)
        if change is not None:
            self.tell(change, key, entry.port, None)
