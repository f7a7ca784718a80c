"""The cache of verdicts: what it takes in, and what it forgets in time."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.property.relays import Bare, Cached, alike
from tests.unit.frames import BROADCAST, A, B, C, raw
from tests.unit.twins import MODES, fast_path
from vswitch.core.frame import Frame
from vswitch.core.mac import parse_mac
from vswitch.core.mirror import Mirror
from vswitch.core.offload import HEADER, Capability
from vswitch.core.port import BridgePort, PortSettings
from vswitch.core.stage import Stage
from vswitch.core.switch import Switch
from vswitch.core.vlan import PortVlan
from vswitch.engine import Engine
from vswitch.fastpath import cache
from vswitch.fastpath.cache import HEARD
from vswitch.ports.memory import MemoryPort
from vswitch.stages import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vswitch.core.verdict import Reason
    from vswitch.fastpath.twins import FastPath

D, NOBODY = "02:00:00:00:00:04", "02:00:00:00:00:99"
HOME = {A: "a", B: "b", C: "c"}


@pytest.fixture(params=MODES)
def path(request: pytest.FixtureRequest) -> FastPath:
    return fast_path(request.param)


@pytest.fixture
def relay(path: FastPath) -> Iterator[Cached]:
    made = plugged(path)
    yield made
    made.close()


def plugged(path: FastPath, *stages: Stage, **options: Any) -> Cached:
    """A switch with ports a, b and c."""
    made = Cached(Switch(stages, **options), path)
    for name in "abc":
        made.plug(BridgePort(name))
    return made


def knows(relay: Cached, source: str, destination: str, name: str | None = None) -> bool:
    """Whether the next frame from there passes by the fast path."""
    return relay.attached[name or HOME[source]].table.match(raw(destination, source)) is not None


def talk(relay: Cached, now: float = 0.0) -> set[tuple[str, str]]:
    """Every station speaks to every other, until all of that is known; the flows."""
    flows = {(source, destination) for source in HOME for destination in (*HOME, NOBODY) if source != destination}
    for _ in range(3):
        for source, destination in sorted(flows):
            relay.burst(HOME[source], [raw(destination, source)], now)
    relay.collect()
    assert all(knows(relay, *flow) for flow in flows)
    return flows


def station(mac: str) -> bytes:
    return parse_mac(mac)


# What is taken in


def test_the_second_frame_of_a_flow_is_kept_and_the_third_passes(relay: Cached) -> None:
    for number, known in ((1, False), (2, True), (3, True)):
        relay.burst("a", [raw(B, A)], 0.0)
        assert knows(relay, A, B) is known
        assert relay.hits["all"] == (number == 3)
    assert len(relay.collect()["b"]) == 3


def test_a_flow_is_of_one_port_one_direction_and_one_ethertype(relay: Cached) -> None:
    relay.burst("a", [raw(B, A)] * 3, 0.0)
    assert not knows(relay, A, B, "c")
    assert not knows(relay, B, A, "b")
    assert not knows(relay, A, C)
    assert relay.attached["a"].table.match(raw(B, A, ethertype=0x0800)) is None


def test_drops_are_kept_too(relay: Cached) -> None:
    relay.burst("a", [raw(B, BROADCAST)] * 3, 0.0)
    assert relay.hits["drop"] == 1
    assert relay.collect() == {}


def test_random_addresses_leave_the_tables_as_they_are(relay: Cached) -> None:
    flows = talk(relay)
    sizes = [len(each.table) for each in relay.attached.values()]
    numbers = random.Random(8021)
    for _ in range(100):
        stations = [bytes((2, *numbers.randbytes(11))) for _ in range(64)]
        relay.burst("c", [raw(octets[6:].hex(), octets[:6].hex()) for octets in stations], 0.0)
        relay.collect()
    assert [len(each.table) for each in relay.attached.values()] == sizes
    assert all(knows(relay, *flow) for flow in flows)
    for entrance in relay.cache._entrances.values():
        assert len(entrance.heard) <= HEARD


def test_a_port_that_overfills_its_table_empties_only_that(relay: Cached, monkeypatch: pytest.MonkeyPatch) -> None:
    talk(relay)
    monkeypatch.setattr(cache, "MOST", 40)
    before = {name: len(each.table) for name, each in relay.attached.items()}
    sizes = []
    for number in range(200):
        relay.burst("c", [raw(BROADCAST, C, (0x8100, number))] * 2, 0.0)
        relay.collect()
        sizes.append(len(relay.attached["c"].table))
    assert max(sizes[50:]) == 13, "each counts for itself and its two exits"
    assert min(sizes) == 1
    assert {name: len(relay.attached[name].table) for name in "ab"} == {name: before[name] for name in "ab"}
    relay.switch.fdb.remove(1, station(C))
    assert len(relay.attached["c"].table) == 0
    assert (knows(relay, A, C), knows(relay, A, B)) == (False, True)


class Every(Stage):
    """Looks at each frame."""

    name = "every"
    cacheable = False


class Copies(Stage):
    """Sends a frame of its own instead."""

    name = "copies"

    def egress(self, frame: Frame, port: BridgePort, now: float) -> Frame | Reason:
        return Frame.parse(bytes(frame.raw), frame.port)


@pytest.mark.parametrize("stage", [Every, Copies])
def test_what_a_stage_decides_frame_by_frame_is_never_kept(path: FastPath, stage: type[Stage]) -> None:
    relay = plugged(path, stage())
    relay.burst("a", [raw(BROADCAST, A)] * 8, 0.0)
    assert relay.hits["all"] == 0
    assert len(relay.attached["a"].table) == 0
    assert len(relay.collect()["b"]) == 8
    relay.close()


def test_a_stage_that_is_not_active_keeps_nothing_from_the_cache(path: FastPath) -> None:
    stage = Every()
    stage.active = False
    relay = plugged(path, stage)
    relay.burst("a", [raw(BROADCAST, A)] * 3, 0.0)
    assert relay.hits["all"] == 1
    stage.active = True
    relay.switch.ports_changed()
    relay.burst("a", [raw(BROADCAST, A)] * 3, 0.0)
    assert relay.hits["all"] == 1
    relay.close()


def test_a_frame_that_a_port_lost_says_nothing_of_shorter_ones(relay: Cached) -> None:
    long, short = raw(BROADCAST, A, payload=bytes(1600)), raw(BROADCAST, A)
    relay.burst("a", [long] * 4, 0.0)
    assert len(relay.attached["a"].table) == 0
    relay.burst("a", [short] * 3, 0.0)
    assert relay.hits["all"] == 1
    relay.burst("a", [long], 0.0)
    assert relay.hits["all"] == 1
    assert relay.switch.ports["b"].counters.dropped == {
        reason: 5 * (reason == "oversize") for reason in relay.switch.ports["b"].counters.dropped
    }


# What is forgotten


def it_moves(relay: Cached) -> None:
    relay.burst("b", [raw(BROADCAST, C)], 5.0)


def it_expires(relay: Cached) -> None:
    for mac in (A, B):
        relay.burst(HOME[mac], [raw(NOBODY, mac)], 5.0)
    relay.switch.handle_timer(301.0)


def it_is_evicted(relay: Cached) -> None:
    relay.switch.fdb.resize(3)
    relay.burst("c", [raw(BROADCAST, D)], 5.0)


def it_is_tied_to_another_port(relay: Cached) -> None:
    relay.switch.fdb.add_static(1, station(C), relay.switch.ports["a"], 5.0)


def it_is_tied_to_its_port(relay: Cached) -> None:
    relay.switch.fdb.add_static(1, station(C), relay.switch.ports["c"], 5.0)


def it_is_removed(relay: Cached) -> None:
    relay.switch.fdb.remove(1, station(C))


def its_port_is_flushed(relay: Cached) -> None:
    relay.switch.fdb.flush(port=relay.switch.ports["c"])


CHANGES = (
    it_moves,
    it_expires,
    it_is_evicted,
    it_is_tied_to_another_port,
    it_is_tied_to_its_port,
    it_is_removed,
    its_port_is_flushed,
)


@pytest.mark.parametrize("change", CHANGES)
def test_what_becomes_of_a_station_voids_the_flows_from_and_to_it(
    relay: Cached, change: Callable[[Cached], object]
) -> None:
    flows = talk(relay)
    change(relay)
    assert {flow for flow in flows if not knows(relay, *flow)} == {flow for flow in flows if C in flow}
    assert len(relay.cache._stations) == 3, "A, B and nobody"


def test_a_static_entry_that_goes_voids_the_flows_from_and_to_it(relay: Cached) -> None:
    relay.switch.fdb.add_static(1, station(C), relay.switch.ports["c"], 0.0)
    flows = talk(relay)
    assert relay.switch.fdb.remove(1, station(C))
    assert {flow for flow in flows if not knows(relay, *flow)} == {flow for flow in flows if C in flow}


def test_a_station_that_comes_voids_the_flows_that_flooded_to_it(relay: Cached) -> None:
    flows = talk(relay)
    relay.burst("c", [raw(BROADCAST, NOBODY)], 5.0)
    assert {flow for flow in flows if not knows(relay, *flow)} == {flow for flow in flows if NOBODY in flow}


def test_a_flush_voids_every_flow(relay: Cached) -> None:
    flows = talk(relay)
    relay.switch.fdb.flush()
    assert not any(knows(relay, *flow) for flow in flows)
    assert relay.cache._stations == {}
    assert all(each.weight == 0 for each in relay.cache._entrances.values())


def test_a_station_in_another_vlan_voids_nothing(path: FastPath) -> None:
    relay = plugged(path, vlan_filtering=True)
    for name in "abc":
        relay.switch.configure_port(name, PortSettings(PortVlan.trunk((10,), native=1)))
    flows = talk(relay)
    relay.burst("b", [raw(BROADCAST, C, (0x8100, 10))], 5.0)
    relay.switch.fdb.flush(vid=10)
    assert all(knows(relay, *flow) for flow in flows)
    relay.close()


def test_a_refreshed_station_voids_nothing(relay: Cached) -> None:
    flows = talk(relay)
    for now in range(1, 50):
        for mac, name in HOME.items():
            relay.burst(name, [raw(D, mac)], float(now))
    assert all(knows(relay, *flow) for flow in flows)


GENERATIONS: dict[str, Callable[[Switch], object]] = {
    "settings": lambda switch: switch.configure_port("c", PortSettings(PortVlan.access(10))),
    "state": lambda switch: switch.set_port_state(switch.ports["c"], up=False),
    "VLAN filtering": lambda switch: switch.set_vlan_filtering(on=True),
    "capabilities": lambda switch: switch.ports_changed(),
}


@pytest.mark.parametrize("change", GENERATIONS.values(), ids=GENERATIONS)
def test_a_change_of_ports_voids_every_flow_before_the_next_burst(
    relay: Cached, change: Callable[[Switch], object]
) -> None:
    flows = talk(relay)
    change(relay.switch)
    relay.cache.keep_up(0.0)
    assert not any(knows(relay, *flow) for flow in flows)
    assert relay.cache._stations == {}


def test_a_port_that_goes_voids_every_flow_and_its_table(relay: Cached) -> None:
    flows = talk(relay)
    relay.unplug("c")
    assert not any(knows(relay, *flow) for flow in flows if C not in flow[:1])
    relay.burst("a", [raw(NOBODY, A)] * 3, 0.0)
    assert len(relay.collect()["b"]) == 3
    relay.plug(BridgePort("c"))
    relay.burst("a", [raw(NOBODY, A)] * 3, 0.0)
    assert len(relay.collect()["c"]) == 3


# Stations that only the fast path hears


def test_a_station_whose_frames_all_pass_by_the_fast_path_does_not_age_out(relay: Cached) -> None:
    for now in range(0, 3000, 100):
        relay.switch.handle_timer(float(now))
        relay.burst("a", [raw(BROADCAST, A)], float(now))
    assert relay.hits["all"] == 28
    (row,) = relay.switch.fdb.rows(2950.0)
    assert (row.mac, row.age) == (station(A), 50.0)


def test_stations_of_one_burst_are_evicted_in_the_order_in_which_they_were_heard(path: FastPath) -> None:
    """A table of three, and three stations whose frames were not last heard in the order of their first ones."""
    bare, cached = Bare(Switch(limit=3)), plugged(path, limit=3)
    for name in "abc":
        bare.plug(BridgePort(name))
    frames = [raw(BROADCAST, source) for source in (A, B, C)]
    for burst in (frames * 3, [frames[number] for number in (0, 1, 2, 0, 1)], [raw(BROADCAST, D)]):
        for relay in (bare, cached):
            relay.burst("a", burst, 1.0)
    alike(bare, cached, 1.0)
    assert cached.hits["all"] == 8
    assert station(C) not in {row.mac for row in cached.switch.fdb.rows(1.0)}
    cached.close()


@pytest.mark.parametrize("name", MODES)
def test_the_engine_hears_stations_whose_frames_all_pass_by_the_fast_path(name: str) -> None:
    async def run() -> None:
        now = [0.0]
        a, b = MemoryPort(), MemoryPort()
        driver = Engine(Switch(ageing=10.0), clock=lambda: now[0], fast_path=fast_path(name))
        await driver.attach(BridgePort("a"), a)
        await driver.attach(BridgePort("b"), b)
        for second in range(0, 100, 5):
            now[0] = float(second)
            driver._ring()
            a.inject(raw(BROADCAST, A)[HEADER:])
            for _ in range(2000):
                if len(b.sent) > second // 5:
                    break
                await asyncio.sleep(0)
        assert len(b.sent) == 20
        assert len(driver.attached["a"].table) == 1
        assert [row.mac for row in driver.switch.fdb.rows(now[0])] == [station(A)]
        await driver.close()

    asyncio.run(run())


def test_a_port_that_a_stage_keeps_a_flood_from_loses_no_longer_frame_of_it(path: FastPath) -> None:
    isolated = PortSettings(options={"isolated": True})
    bare, cached = Bare(Switch([stage() for stage in STAGES])), Cached(Switch([stage() for stage in STAGES]), path)
    for relay in (bare, cached):
        relay.plug(BridgePort("a", isolated, 9000))
        relay.plug(BridgePort("b", isolated, 1500))
        relay.plug(BridgePort("c", mtu=9000))
        relay.burst("a", [raw(BROADCAST, A)] * 3 + [raw(BROADCAST, A, payload=bytes(2000))], 0.0)
    alike(bare, cached, 0.0)
    assert not any(cached.switch.ports["b"].counters.dropped.values())
    cached.close()


def test_a_source_that_found_no_room_is_learned_by_the_first_frame_that_finds_some(path: FastPath) -> None:
    bare, cached = Bare(Switch(limit=1)), Cached(Switch(limit=1), path)
    for relay in (bare, cached):
        relay.plug(BridgePort("a"))
        relay.plug(BridgePort("b"))
        relay.switch.fdb.add_static(1, parse_mac(C), relay.switch.ports["b"], 0.0)
        relay.burst("a", [raw(B, A)] * 2 + [raw(A, B)] * 2, 0.0)
        relay.switch.fdb.resize(3)
        relay.burst("a", [raw(B, A), raw(A, B)], 0.0)
        assert {row.mac for row in relay.switch.fdb.rows(0.0)} == {parse_mac(A), parse_mac(B), parse_mac(C)}
    alike(bare, cached, 0.0)
    cached.close()


# Copies of mirrors


def mirrored(path: FastPath, mtu: int = 9000, offload: Capability = Capability.ALL) -> Cached:
    """Ports a and b know each other and take all offload; c takes the copies of what comes in by a."""
    relay = Cached(Switch([stage() for stage in STAGES]), path)
    for name in "ab":
        relay.plug(BridgePort(name, mtu=9000, offload=Capability.ALL))
    relay.plug(BridgePort("c", mtu=mtu, offload=offload))
    relay.switch.set_mirrors([Mirror("m", frozenset("a"), None, True, False, "c")])
    for _ in range(3):
        relay.burst("a", [raw(B, A)], 0.0)
        relay.burst("b", [raw(A, B)], 0.0)
    relay.collect()
    relay.hits.clear()
    return relay


def test_copies_leave_by_the_fast_path(path: FastPath) -> None:
    relay = mirrored(path)
    frames = [raw(B, A, payload=bytes((number,)) * 100) for number in range(10)]
    relay.burst("a", frames, 0.0)
    assert relay.collect() == {"b": frames, "c": frames}
    assert relay.hits["all"] == 10
    relay.close()


@pytest.mark.parametrize(
    ("mtu", "offload", "up"), [(30, Capability.ALL, True), (9000, Capability.NONE, True), (9000, Capability.ALL, False)]
)
def test_what_the_port_of_a_mirror_lacks_leaves_the_frame_to_the_fast_path(
    path: FastPath, mtu: int, offload: Capability, up: bool
) -> None:
    relay = mirrored(path, mtu, offload)
    port = relay.switch.ports["c"]
    relay.switch.set_port_state(port, up=up)
    frame, long = raw(B, A), raw(B, A, payload=bytes(5000))
    relay.burst("a", [frame] * 2, 0.0)
    relay.collect()
    dropped = sum(port.counters.dropped.values())
    table = relay.attached["a"].table
    for each in (frame, long):
        flow, done = table.carry(each)
        assert flow is not None
        assert (done, len(flow.exits)) == (1, 2), "it left by b, and the copy is the engine's"
    assert relay.collect() == {"b": [frame, long]}
    taken = [frame, long] if up and mtu > 30 else []
    relay.burst("a", [frame, long], 0.0)
    assert relay.collect() == {"b": [frame, long], **({"c": taken} if taken else {})}
    assert sum(port.counters.dropped.values()) == dropped + 2 - len(taken)
    relay.close()


def test_the_copies_of_what_is_dropped_leave_by_the_fast_path(path: FastPath) -> None:
    relay = mirrored(path)
    relay.burst("a", [raw(B, BROADCAST)] * 3, 0.0)
    assert len(relay.collect()["c"]) == 3
    assert relay.hits["drop"] == 1
    relay.close()
