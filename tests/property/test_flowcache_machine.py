"""The switch behind the flow cache against the same switch without one: a cache changes nothing but the speed."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.property.octets import IPV4, IPV6, OTHER, Octets
from tests.property.relays import Bare, Cached, alike
from tests.property.strategies import (
    RESERVED,
    STATIONS,
    any_octets,
    capabilities,
    frames,
    mirrors,
    mtus,
    port_settings,
    stations,
    vids,
)
from tests.unit.twins import MODES, fast_path
from vswitch.core.mac import BROADCAST, is_group
from vswitch.core.offload import HEADER, Capability
from vswitch.core.port import BridgePort, PortSettings
from vswitch.core.switch import Switch
from vswitch.core.vlan import PortVlan
from vswitch.fastpath.shadow import ShadowTable
from vswitch.stages import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from vswitch.core.mirror import Mirror

NAMES = ("red", "green", "blue", "grey")
AGEING = 30.0
SIZES = (None, 0, 8, 100, 1448)

names = st.sampled_from(NAMES)
twists: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={"length": st.sampled_from((0, 20, 45, 46, 87, 105, 300, 1500, 1505)), "size": st.sampled_from(SIZES)},
)
lies = st.none() | st.none() | st.none() | st.tuples(st.integers(0, HEADER - 1), st.integers(0, 255))


def home(station: bytes) -> str:
    """The port that a station mostly talks from."""
    return NAMES[station[5] % 3]


class CachedMachine(RuleBasedStateMachine):
    """Everything that may happen to a switch, to two of them."""

    twin: ClassVar[str] = "python"

    @initialize(
        filtering=st.sampled_from((True, True, False)),
        limit=st.sampled_from((2, 3, 5, 16, 16)),
        pool=st.lists(frames(), min_size=3, max_size=6),
        data=st.data(),
    )
    def start(self, *, filtering: bool, limit: int, pool: list[Octets], data: st.DataObject) -> None:
        def switch() -> Switch:
            return Switch((stage() for stage in STAGES), vlan_filtering=filtering, ageing=AGEING, limit=limit)

        self.now = 0.0
        self.bare, self.cached = Bare(switch()), Cached(switch(), fast_path(self.twin))
        self.pool = pool + [swapped(sent) for sent in pool if not is_group(sent.destination)]
        for name in NAMES[:3]:
            self.plug(name, data.draw(port_settings), data.draw(mtus), data.draw(capabilities))

    def teardown(self) -> None:
        if hasattr(self, "cached"):
            self.cached.close()

    # Frames

    @rule(order=st.lists(names, min_size=1, max_size=4), data=st.data())
    def known_stations_talk(self, order: list[str], data: st.DataObject) -> None:
        for name in order:
            own = [sent for sent in self.pool if home(sent.source) == name] or self.pool
            picks = data.draw(st.lists(st.tuples(st.sampled_from(own), twists, lies), min_size=1, max_size=8))
            self._burst(name, [lied(replace(sent, **twist).raw, lie) for sent, twist, lie in picks])

    @rule(name=names, sent=frames(), count=st.integers(2, 8), twist=twists)
    def one_flow(self, name: str, sent: Octets, count: int, twist: dict[str, Any]) -> None:
        self._burst(name, [sent.raw] * count + [replace(sent, **twist).raw])

    @rule(order=st.lists(st.tuples(names, st.integers(0, 11)), min_size=2, max_size=5), count=st.integers(1, 2))
    def all_talk_at_once(self, order: list[tuple[str, int]], count: int) -> None:
        for name in NAMES:
            self._burst(name, [self.pool[index % len(self.pool)].raw for each, index in order if each == name] * count)

    @rule(name=names, octets=st.lists(any_octets, min_size=1, max_size=4))
    def anybody_says_anything(self, name: str, octets: list[bytes]) -> None:
        self._burst(name, octets)

    @rule(name=names, index=st.integers(0, 11), count=st.integers(1, 3))
    def a_station_talks_from_another_port(self, name: str, index: int, count: int) -> None:
        self._burst(name, [self.pool[index % len(self.pool)].raw] * count)

    # Ports and settings

    @rule(name=names, port=port_settings, mtu=mtus, offload=capabilities)
    def plug(self, name: str, port: PortSettings, mtu: int, offload: Capability) -> None:
        if name not in self.bare.switch.ports:
            for relay in (self.bare, self.cached):
                relay.plug(BridgePort(name, port, mtu, offload))

    @rule(name=names)
    def unplug(self, name: str) -> None:
        if name in self.bare.switch.ports:
            self.bare.unplug(name)
            self.cached.unplug(name)

    @rule(name=names, up=st.booleans())
    def the_state_of_a_port(self, name: str, *, up: bool) -> None:
        self._port(name, lambda switch, port: switch.set_port_state(port, up=up))

    @rule(name=names, port=port_settings)
    def other_settings(self, name: str, port: PortSettings) -> None:
        self._port(name, lambda switch, _: switch.configure_port(name, port))

    @rule(name=names, mtu=mtus, offload=capabilities)
    def other_capabilities(self, name: str, mtu: int, offload: Capability) -> None:
        def change(switch: Switch, port: BridgePort) -> None:
            port.mtu, port.offload = mtu, offload
            switch.ports_changed()

        self._port(name, change)

    @rule(on=st.booleans())
    def vlan_filtering(self, *, on: bool) -> None:
        self._both(lambda switch: switch.set_vlan_filtering(on))

    @rule(some=st.lists(mirrors(NAMES), max_size=2))
    def other_mirrors(self, some: list[Mirror]) -> None:
        self._both(lambda switch: switch.set_mirrors(some))

    # Attachments

    @rule(name=names, held=st.booleans())
    def frames_wait_at_a_port(self, name: str, *, held: bool) -> None:
        if name in self.cached.attached:
            self.cached.attached[name].hold(held=held)

    @rule(name=names, room=st.integers(0, 4))
    def a_guest_reads_slowly(self, name: str, room: int) -> None:
        if name in self.cached.attached:
            self.cached.attached[name].choke(room)

    @rule(name=names, direct=st.booleans())
    def an_attachment_with_or_without_descriptor(self, name: str, *, direct: bool) -> None:
        if name in self.cached.attached:
            attached = self.cached.attached[name]
            attached.exit.state[0] = attached.near.fileno() if direct else -1

    # Time and stations

    @rule(seconds=st.sampled_from((0.5, 7.0, 30.0, 31.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self._both(lambda switch: switch.handle_timer(self.now))

    @rule(seconds=st.sampled_from((20.0, 30.0, 60.0)))
    def another_ageing_time(self, seconds: float) -> None:
        def change(switch: Switch) -> None:
            switch.fdb.ageing = seconds
            switch.handle_timer(self.now)

        self._both(change)

    @rule(vid=vids, mac=stations, name=names)
    def tie(self, vid: int, mac: bytes, name: str) -> None:
        self._port(name, lambda switch, port: outcome(lambda: switch.fdb.add_static(vid, mac, port, self.now)))

    @rule(vid=vids, mac=stations)
    def untie(self, vid: int, mac: bytes) -> None:
        self._both(lambda switch: switch.fdb.remove(vid, mac))

    @rule(name=st.none() | names, vid=st.none() | vids, static=st.booleans())
    def flush(self, name: str | None, vid: int | None, *, static: bool) -> None:
        if name is None:
            self._both(lambda switch: switch.fdb.flush(vid=vid, static=static))
        else:
            self._port(name, lambda switch, port: switch.fdb.flush(port=port, vid=vid, static=static))

    @rule(limit=st.integers(2, 16))
    def resize(self, limit: int) -> None:
        self._both(lambda switch: switch.fdb.resize(limit))

    # What always holds

    @invariant()
    def nobody_can_tell(self) -> None:
        if hasattr(self, "cached"):
            alike(self.bare, self.cached, self.now)
            for attached in self.cached.attached.values():
                assert not isinstance(attached.table, ShadowTable) or attached.table.differences == 0

    # How

    def _burst(self, name: str, raws: list[bytes]) -> None:
        if name in self.bare.switch.ports:
            self.bare.burst(name, raws, self.now)
            self.cached.burst(name, raws, self.now)
            alike(self.bare, self.cached, self.now)

    def _both(self, change: Callable[[Switch], object]) -> None:
        assert change(self.bare.switch) == change(self.cached.switch)

    def _port(self, name: str, change: Callable[[Switch, BridgePort], object]) -> None:
        if name in self.bare.switch.ports:
            self._both(lambda switch: change(switch, switch.ports[name]))


class NativeMachine(CachedMachine):
    """With the C twin."""

    twin = "native"


class ShadowMachine(CachedMachine):
    """With both."""

    twin = "shadow"


slow = settings(max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
for machine in (CachedMachine, NativeMachine, ShadowMachine):
    machine.TestCase.settings = slow
TestPython = CachedMachine.TestCase
TestNative = NativeMachine.TestCase
TestShadow = ShadowMachine.TestCase


@pytest.mark.parametrize("twin", MODES)
def test_most_of_a_lab_s_traffic_passes_by_the_fast_path(twin: str) -> None:
    """What the machines compare happens: flows of all kinds are carried."""
    numbers = random.Random(8021)
    bare, cached = Bare(lab()), Cached(lab(), fast_path(twin))
    for name, (vlan, options, mtu, offload) in LAB.items():
        for relay in (bare, cached):
            relay.plug(BridgePort(name, PortSettings(vlan, options), mtu, offload))
    for step in range(400):
        sent = talk(numbers)
        burst = [replace(sent, length=numbers.choice((sent.length, 20))).raw for _ in range(numbers.randint(1, 8))]
        bare.burst(home(sent.source), burst, step / 10)
        cached.burst(home(sent.source), burst, step / 10)
        alike(bare, cached, step / 10)
    cached.close()
    assert cached.hits["all"] > 0.3 * cached.frames
    kinds = ("drop", "flood", "unicast", "popped", "tagged", "superframe", "superframe edited")
    assert {kind: count for kind in kinds if (count := cached.hits[kind]) < 10} == {}


LAB: dict[str, tuple[PortVlan, dict[str, object], int, Capability]] = {
    "red": (PortVlan.access(10), {"isolated": True}, 1500, Capability.ALL),
    "green": (PortVlan.trunk((1, 10, 20)), {"reserved": "wire"}, 1500, Capability.ALL),
    "blue": (PortVlan.trunk((10, 20), native=1), {"isolated": True}, 9000, Capability.ALL),
    "grey": (PortVlan.access(10), {}, 1500, Capability.NONE),
}


def lab() -> Switch:
    """A switch as people have them."""
    return Switch((stage() for stage in STAGES), vlan_filtering=True, ageing=AGEING, limit=6)


def talk(numbers: random.Random) -> Octets:
    """What a station may say to another, or to all."""
    source = numbers.choice(STATIONS)
    destinations = [station for station in STATIONS if station != source]
    tags = () if home(source) == "red" else ((0x8100, numbers.choice((10, 20))),)
    if numbers.random() < 0.2:
        return Octets(numbers.choice((BROADCAST, RESERVED[0])), source, tags, OTHER, length=30)
    size = numbers.choice((None, 0, 1000))
    ethertype = numbers.choice((IPV4, IPV6))
    return Octets(numbers.choice(destinations), source, tags, ethertype, True, 0, 2500 if size else 500, size)


def swapped(sent: Octets) -> Octets:
    """An answer."""
    return replace(sent, source=sent.destination, destination=sent.source)


def lied(raw: bytes, lie: tuple[int, int] | None) -> bytes:
    """A frame with another octet in its virtio-net header."""
    return raw if lie is None else raw[: lie[0]] + bytes((lie[1],)) + raw[lie[0] + 1 :]


def outcome(change: Callable[[], object]) -> str:
    """What it was refused for."""
    try:
        change()
    except ValueError as error:
        return str(error)
    return ""
