"""A plain model of the switch, written from the rules and not from the code: lists, loops and no cleverness."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class ModelEntry:
    """A station as the model knows it."""

    vid: int
    mac: bytes
    port: str
    seen: float
    static: bool


@dataclass
class ModelFdb:
    """The filtering database as one list, least recently heard first."""

    ageing: float
    limit: int
    entries: list[ModelEntry] = field(default_factory=list)
    moves: int = 0

    def find(self, vid: int, mac: bytes) -> ModelEntry | None:
        for entry in self.entries:
            if (entry.vid, entry.mac) == (vid, mac):
                return entry
        return None

    def alive(self, entry: ModelEntry, now: float) -> bool:
        return entry.static or now - entry.seen < self.ageing

    def lookup(self, vid: int, mac: bytes, now: float) -> str | None:
        entry = self.find(vid, mac)
        return entry.port if entry and self.alive(entry, now) else None

    def learned(self, port: str) -> list[ModelEntry]:
        return [entry for entry in self.entries if entry.port == port and not entry.static]

    def room(self, port: str) -> bool:
        """Make room for an entry of `port`: the oldest of a port that owns most goes, its own where it is one."""
        if len(self.entries) < self.limit:
            return True
        ports = sorted({entry.port for entry in self.entries if not entry.static})
        if not ports:
            return False
        most = max(len(self.learned(name)) for name in ports)
        heaviest = [name for name in ports if len(self.learned(name)) == most]
        victims = [self.learned(name)[0] for name in heaviest]
        if port in heaviest:
            victims = [self.learned(port)[0]]
        self.victims = victims
        return True

    def learn(self, vid: int, mac: bytes, port: str, now: float) -> None:
        entry = self.find(vid, mac)
        if entry and entry.static:
            return
        if entry:
            if entry.port != port and self.alive(entry, now):
                self.moves += 1
            self.entries.remove(entry)
        self.entries.append(ModelEntry(vid, mac, port, now, static=False))

    def forget(self, *, port: str | None = None, vid: int | None = None, static: bool = False) -> None:
        self.entries = [
            entry
            for entry in self.entries
            if (entry.static and not static)
            or (port is not None and entry.port != port)
            or (vid is not None and entry.vid != vid)
        ]
