"""The filtering database against the plain model, over random histories."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.property.model import ModelEntry, ModelFdb
from vswitch.core.fdb import Fdb
from vswitch.core.port import BridgePort

if TYPE_CHECKING:
    from vswitch.core.fdb import Change, Key

NAMES = ("red", "green", "blue")
macs = st.integers(1, 12).map(lambda number: b"\x02\x00\x00\x00\x00" + bytes((number,)))
vids = st.sampled_from((1, 10))
names = st.sampled_from(NAMES)


class FdbMachine(RuleBasedStateMachine):
    """Everything that may happen to a database."""

    @initialize(limit=st.integers(1, 8))
    def start(self, limit: int) -> None:
        self.now = 0.0
        self.ports = {name: BridgePort(name) for name in NAMES}
        self.fdb = Fdb(ageing=30.0, limit=limit, tell=self.note)
        self.told: dict[Key, str] = {}
        self.counts: Counter[Change] = Counter()
        self.model = ModelFdb(30.0, limit)

    def note(self, change: Change, key: Key, port: BridgePort, before: BridgePort | None) -> None:
        """Know what the database holds by what it tells alone."""
        self.counts[change] += 1
        if change in ("learned", "moved", "static"):
            assert self.told.get(key) == (before and before.name) or change == "static"
            self.told[key] = port.name
        else:
            assert self.told.pop(key) == port.name

    @rule(seconds=st.sampled_from((0.5, 7.0, 31.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(vid=vids, mac=macs, name=names)
    def hear(self, vid: int, mac: bytes, name: str) -> None:
        known = self.model.find(vid, mac)
        if known is None and not self._make_room(name, vid, mac):
            self.fdb.learn(vid, mac, self.ports[name], self.now)
            return
        self.model.learn(vid, mac, name, self.now)
        if known is not None:
            self.fdb.learn(vid, mac, self.ports[name], self.now)

    def _make_room(self, name: str, vid: int, mac: bytes) -> bool:
        """Let the model evict what the database evicts, once that is one of the entries that it may evict."""
        full = len(self.model.entries) >= self.model.limit
        if not self.model.room(name):
            return False
        self.fdb.learn(vid, mac, self.ports[name], self.now)
        if full:
            held = {(row.vid, row.mac) for row in self.fdb.rows(0.0)}
            gone = [entry for entry in self.model.victims if (entry.vid, entry.mac) not in held]
            assert len(gone) == 1, "exactly one of the permitted victims is evicted"
            self.model.entries.remove(gone[0])
        return True

    @rule(vid=vids, mac=macs, name=names)
    def tie(self, vid: int, mac: bytes, name: str) -> None:
        known = self.model.find(vid, mac)
        if known is not None:
            self.model.entries.remove(known)
        elif len(self.model.entries) >= self.model.limit:
            return
        self.fdb.add_static(vid, mac, self.ports[name], self.now)
        self.model.entries.append(ModelEntry(vid, mac, name, self.now, static=True))

    @rule(vid=vids, mac=macs)
    def remove(self, vid: int, mac: bytes) -> None:
        known = self.model.find(vid, mac)
        assert self.fdb.remove(vid, mac) == (known is not None)
        if known is not None:
            self.model.entries.remove(known)

    @rule(name=st.none() | names, vid=st.none() | vids, static=st.booleans())
    def flush(self, name: str | None, vid: int | None, *, static: bool) -> None:
        before = len(self.model.entries)
        self.model.forget(port=name, vid=vid, static=static)
        port = None if name is None else self.ports[name]
        assert self.fdb.flush(port=port, vid=vid, static=static) == before - len(self.model.entries)

    @rule()
    def sweep(self) -> None:
        stay = [entry for entry in self.model.entries if self.model.alive(entry, self.now)]
        assert self.fdb.expire(self.now) == len(self.model.entries) - len(stay)
        self.model.entries = stay

    @rule(vid=vids, source=macs, name=names, destination=macs)
    def preview_tells_what_happens(self, vid: int, source: bytes, name: str, destination: bytes) -> None:
        preview = self.fdb.preview(vid, source, self.ports[name], destination, self.now)
        self.hear(vid, source, name)
        assert self.fdb.lookup(vid, destination, self.now) is preview.found

    @invariant()
    def alike(self) -> None:
        if not hasattr(self, "fdb"):
            return
        held = {(row.vid, row.mac): (row.port.name, row.static) for row in self.fdb.rows(self.now)}
        alive = [entry for entry in self.model.entries if self.model.alive(entry, self.now)]
        assert held == {(entry.vid, entry.mac): (entry.port, entry.static) for entry in alive}
        assert len(self.fdb) == len(self.model.entries) <= self.model.limit
        assert sum(self.fdb.sizes.values()) == len(self.fdb)
        assert self.fdb.moves == self.model.moves == self.counts["moved"]
        assert self.fdb.evictions == self.counts["evicted"]
        assert self.told == {(row.vid, row.mac): row.port.name for row in self.fdb.rows(0.0)}
        waiting = [entry.seen + 30.0 for entry in self.model.entries if not entry.static]
        assert self.fdb.next_deadline() == min(waiting, default=None)


FdbMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestFdb = FdbMachine.TestCase
