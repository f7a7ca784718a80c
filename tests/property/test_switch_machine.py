"""The whole switch against the plain model, over random histories: the same ports, the same octets, the same counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.property.checks import LONG_AGO, forms, receive_as_explained
from tests.property.model import ModelEntry, ModelFdb
from tests.property.octets import IPV4, OTHER, Octets
from tests.property.strategies import capabilities, frames, mirrors, mtus, port_settings, stations, vids
from tests.property.switch_model import Fate, ModelPort, ModelSwitch, wire
from vswitch.core.offload import HEADER, PLAIN, Capability, lower
from vswitch.core.port import BridgePort, PortSettings
from vswitch.core.stats import CASTS
from vswitch.core.switch import Switch
from vswitch.core.verdict import Reason, Verdict
from vswitch.stages import STAGES

if TYPE_CHECKING:
    from vswitch.core.mirror import Mirror

NAMES = ("red", "green", "blue", "grey")
AGEING = 30.0
ELSEWHERE = {"runt", "offload_invalid", "oversize"}
"""Drops of what was not received as a frame, or of a frame that another port received."""

names = st.sampled_from(NAMES)


class SwitchMachine(RuleBasedStateMachine):
    """Everything that may happen to a switch."""

    @initialize(filtering=st.sampled_from((True, True, False)), limit=st.integers(1, 8), data=st.data())
    def start(self, *, filtering: bool, limit: int, data: st.DataObject) -> None:
        self.now = 0.0
        self.switch = Switch((stage() for stage in STAGES), vlan_filtering=filtering, ageing=AGEING, limit=limit)
        self.model = ModelSwitch(ModelFdb(AGEING, limit), filtering)
        self.forwarded: Counter[str] = Counter()
        self.last: tuple[str, Octets, Verdict, int] | None = None
        self.changed: set[bytes] = set()
        self.switch.fdb.changed = lambda key: self.changed.add(key[1])
        for name in NAMES[:3]:
            self.plug(name, data.draw(port_settings), data.draw(mtus), data.draw(capabilities))

    # Frames

    @rule(name=names, sent=frames())
    def a_frame_comes_in(self, name: str, sent: Octets) -> None:
        if name not in self.model.ports:
            return
        self._receive(name, sent)

    @rule(source=names, destination=names, sent=frames(), macs=st.permutations((1, 2, 3)))
    def two_stations_talk(self, source: str, destination: str, sent: Octets, macs: list[int]) -> None:
        """A frame and its answer, so that the answer finds its way."""
        here, there = (bytes((2, 0, 0, 0, 0, number)) for number in macs[:2])
        for name, frame in ((source, replace(sent, source=here)), (destination, replace(sent, source=there))):
            if name in self.model.ports:
                self._receive(name, replace(frame, destination=there if frame.source == here else here))

    @precondition(lambda self: self.last is not None and self.last[0] in self.model.ports)
    @rule(length=st.sampled_from((0, 20, 80)))
    def the_next_of_a_flow_fares_the_same(self, length: int) -> None:
        """As long as a verdict may be cached, a frame of the same flow that is no longer gets the same one."""
        assert self.last is not None
        name, sent, before, generation = self.last
        due = self.switch.next_deadline()
        same = generation == self.switch.generation and not {sent.source, sent.destination} & self.changed
        still = before.cacheable and same and (due is None or due > self.now)
        verdict = self._receive(name, replace(sent, length=min(sent.length, length)))
        if still:
            assert fared(verdict) == fared(before)

    @rule(name=names, octets=st.binary(max_size=13), headless=st.booleans())
    def a_runt_comes_in(self, name: str, octets: bytes, *, headless: bool) -> None:
        if name in self.model.ports:
            self._refused(name, octets[:9] if headless else PLAIN + octets, "runt")

    @rule(name=names, sent=frames(), kind=st.integers(0, 3))
    def a_header_contradicts_its_frame(self, name: str, sent: Octets, kind: int) -> None:
        if name not in self.model.ports:
            return
        lies = replace(sent, tags=sent.tags[:1], ethertype=IPV4, tcp=True, size=8, length=20)
        raw = lies.raw
        far = (len(lies.frame) - 17).to_bytes(2, "little") if kind == 1 else b""
        change = {0: (0, b"\x04"), 1: (6, far), 2: (4, b"\x07\x00"), 3: (1, b"\x04")}
        at, octets = change[kind]
        self._refused(name, raw[:at] + octets + raw[at + len(octets) :], "offload_invalid")

    # Ports and settings

    @rule(name=names, port=port_settings, mtu=mtus, offload=capabilities)
    def plug(self, name: str, port: PortSettings, mtu: int, offload: Capability) -> None:
        if name not in self.model.ports:
            self.switch.add_port(BridgePort(name, port, mtu, offload))
            self.model.ports[name] = ModelPort(port, mtu)
            self.forwarded[name] = 0

    @rule(name=names)
    def unplug(self, name: str) -> None:
        if name in self.model.ports:
            self.switch.remove_port(name)
            del self.model.ports[name]
            self.model.fdb.forget(port=name, static=True)

    @rule(name=names, up=st.booleans())
    def the_state_of_a_port(self, name: str, *, up: bool) -> None:
        port = self.model.ports.get(name)
        if port is None:
            return
        self.switch.set_port_state(self.switch.ports[name], up=up)
        if port.up and not up:
            self.model.fdb.forget(port=name)
        port.up = up

    @rule(name=names, port=port_settings)
    def other_settings(self, name: str, port: PortSettings) -> None:
        if name not in self.model.ports:
            return
        before = self.model.ports[name]
        self.switch.configure_port(name, port)
        self.model.ports[name] = replace(before, settings=port)
        for vid in range(1, 4095) if self.model.filtering else ():
            if before.member(vid) and not self.model.ports[name].member(vid):
                self.model.fdb.forget(port=name, vid=vid)

    @rule(on=st.booleans())
    def vlan_filtering(self, *, on: bool) -> None:
        self.switch.set_vlan_filtering(on)
        if self.model.filtering != on:
            self.model.fdb.forget()
        self.model.filtering = on

    @rule(some=st.lists(mirrors(NAMES), max_size=2))
    def other_mirrors(self, some: list[Mirror]) -> None:
        before = {name for name in NAMES if self.model.takes_copies(name)}
        self.switch.set_mirrors(some)
        self.model.mirrors = some
        for name in self.model.ports:
            if self.model.takes_copies(name) and name not in before:
                self.model.fdb.forget(port=name)

    # Time and stations

    @rule(seconds=st.sampled_from((0.5, 7.0, 31.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def what_is_due_is_done(self) -> None:
        assert self.switch.handle_timer(self.now) == []
        fdb = self.model.fdb
        fdb.entries = [entry for entry in fdb.entries if fdb.alive(entry, self.now)]

    @rule(vid=vids, mac=stations, name=names)
    def tie(self, vid: int, mac: bytes, name: str) -> None:
        fdb = self.model.fdb
        if name not in self.model.ports:
            return
        known, full = fdb.find(vid, mac), len(fdb.entries) >= fdb.limit
        if known is None and full and not fdb.room(name):
            return
        self.switch.fdb.add_static(vid, mac, self.switch.ports[name], self.now)
        if known is not None or full:
            fdb.entries.remove(known or self._gone(fdb.victims))
        fdb.entries.append(ModelEntry(vid, mac, name, self.now, static=True))

    @rule(vid=vids, mac=stations)
    def untie(self, vid: int, mac: bytes) -> None:
        known = self.model.fdb.find(vid, mac)
        assert self.switch.fdb.remove(vid, mac) == (known is not None)
        if known is not None:
            self.model.fdb.entries.remove(known)

    @rule(limit=st.integers(1, 8))
    def resize(self, limit: int) -> None:
        fdb = self.model.fdb
        self.switch.fdb.resize(limit)
        fdb.limit = limit
        while len(fdb.entries) > limit and fdb.room(""):
            fdb.entries.remove(next(entry for entry in fdb.victims if not self._held(entry)))

    # What always holds

    @invariant()
    def stations_are_where_the_model_has_them(self) -> None:
        fdb = self.model.fdb
        held = {(row.vid, row.mac, row.port.name, row.static) for row in self.switch.fdb.rows(self.now)}
        alive = [entry for entry in fdb.entries if fdb.alive(entry, self.now)]
        assert held == {(entry.vid, entry.mac, entry.port, entry.static) for entry in alive}
        assert len(self.switch.fdb) == len(fdb.entries)
        assert self.switch.fdb.moves == fdb.moves

    @invariant()
    def every_frame_is_counted_once(self) -> None:
        assert self.switch.ports.keys() == self.model.ports.keys()
        for name, port in self.model.ports.items():
            counters = self.switch.ports[name].counters
            assert dict(zip(CASTS, counters.receive.frames, strict=True)) == {cast: port.casts[cast] for cast in CASTS}
            assert counters.receive.octets == port.octets
            assert counters.dropped == {reason: port.dropped[reason] for reason in Reason}
            dropped = sum(count for reason, count in counters.dropped.items() if reason not in ELSEWHERE)
            assert sum(counters.receive.frames) == self.forwarded[name] + dropped

    # How

    def _receive(self, name: str, sent: Octets) -> Verdict:
        verdict = receive_as_explained(self.switch, sent.raw, self.switch.ports[name], self.now)
        fate = self.model.receive(sent, name, self.now, self._gone)
        self._compare(verdict, fate, sent)
        if verdict.reason is None:
            self.forwarded[name] += wire(sent)[0]
        self.last = (name, sent, verdict, self.switch.generation)
        self.changed.clear()
        return verdict

    def _refused(self, name: str, raw: bytes, reason: str) -> None:
        verdict = receive_as_explained(self.switch, raw, self.switch.ports[name], self.now)
        self._compare(verdict, self.model.refuse(max(0, len(raw) - HEADER), name, reason), None)

    def _compare(self, verdict: Verdict, fate: Fate, sent: Octets | None) -> None:
        assert verdict.reason == fate.reason
        assert {port.name: reason for port, reason in verdict.lost} == dict.fromkeys(fate.oversize, "oversize")
        assert {egress.port.name for egress in verdict.egress} == fate.leaving.keys()
        for egress in verdict.egress:
            assert sent is not None
            assert forms(egress) == expected(sent, fate.leaving[egress.port.name], egress.port.offload)
        assert [copy.port.name for copy in verdict.mirrored] == [to for to, _ in fate.copies]
        for copy, (_, form) in zip(verdict.mirrored, fate.copies, strict=True):
            assert sent is not None
            assert forms(copy) == expected(sent, form, copy.port.offload)

    def _gone(self, victims: list[ModelEntry]) -> ModelEntry:
        (gone,) = (entry for entry in victims if not self._held(entry))
        return gone

    def _held(self, entry: ModelEntry) -> bool:
        return any((row.vid, row.mac) == (entry.vid, entry.mac) for row in self.switch.fdb.rows(LONG_AGO))


def expected(sent: Octets, leaving: Octets, offload: Capability) -> list[bytes]:
    """The frames that leave: as if they had been sent with that tag, padded to 60 octets before and after."""
    padding = bytes(max(0, 60 - len(sent.frame)))
    whole = leaving.header + (leaving.frame + padding).ljust(60, b"\0")
    if needs(leaving) in offload:
        return [whole]
    return [bytes(each) for each in lower(whole, Capability.NONE)]


def needs(sent: Octets) -> Capability:
    """What a port has to complete by itself to get this frame whole."""
    if sent.size is None or sent.ethertype == OTHER:
        return Capability.NONE
    if not sent.size:
        return Capability.CSUM
    kinds = (Capability.TSO4, Capability.TSO6) if sent.tcp else (Capability.USO4, Capability.USO6)
    return Capability.CSUM | kinds[sent.ethertype != IPV4]


def fared(verdict: Verdict) -> object:
    """What became of a frame, whatever its payload."""
    leaving = [(egress.port, egress.edit) for egress in verdict.egress + verdict.mirrored]
    return verdict.reason, leaving, verdict.lost


SwitchMachine.TestCase.settings = settings(
    max_examples=400, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestSwitch = SwitchMachine.TestCase
