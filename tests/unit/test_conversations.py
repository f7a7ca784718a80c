"""Who talks to whom: what is counted, for how long it is remembered, and that none of it grows without bound."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.property.relays import Cached
from tests.unit.frames import BROADCAST, A, B, C, raw
from tests.unit.twins import MODES, fast_path
from vswitch.core.frame import Frame
from vswitch.core.mac import parse_mac
from vswitch.core.port import BridgePort
from vswitch.core.stage import Stage
from vswitch.core.switch import Switch
from vswitch.core.verdict import Reason, Verdict
from vswitch.fastpath import cache, conversations
from vswitch.fastpath.conversations import FRAMES, Conversation, Conversations
from vswitch.fastpath.flowcache import ROOM
from vswitch.fastpath.twins import PYTHON

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = "02:00:00:00:00:99"


class Holds(Stage):
    """Keeps each frame for later."""

    name = "holds"

    def ingress(self, frame: Frame, now: float) -> Verdict:
        return Verdict()


@pytest.fixture(params=MODES)
def relay(request: pytest.FixtureRequest) -> Iterator[Cached]:
    made = plugged(request.param)
    yield made
    made.close()


def plugged(twin: str, *stages: Stage) -> Cached:
    made = Cached(Switch(stages), fast_path(twin))
    for name in "abc":
        made.plug(BridgePort(name))
    return made


def of(relay: Cached, name: str) -> Conversations:
    return relay.cache.conversations(relay.switch.ports[name])


def between(relay: Cached, source: str, destination: str, name: str = "a") -> Conversation:
    found = of(relay, name).get((1, parse_mac(source), parse_mac(destination)))
    assert found is not None
    return found


def names(conversation: Conversation) -> list[str]:
    return [port.name for port in conversation.ports]


def flood(relay: Cached, count: int, now: float = 0.0, seed: int = 8021) -> None:
    """Frames from and to stations at random, by port a."""
    numbers = random.Random(seed)
    for _ in range(count // 50):
        stations = [bytes((2, *numbers.randbytes(11))) for _ in range(50)]
        relay.burst("a", [raw(octets[6:].hex(), octets[:6].hex()) for octets in stations], now)
        relay.collect()


def test_every_frame_is_counted_whoever_decided_of_it(relay: Cached) -> None:
    for number in range(1, 6):
        relay.burst("a", [raw(B, A)], float(number))
        talk = between(relay, A, B)
        assert (list(talk.values[:2]), talk.last) == ([number, number * 64], float(number))
        assert (names(talk), talk.reason, talk.unicast) == (["b", "c"], None, True)
    assert relay.hits["all"] == 3


def test_all_that_two_stations_say_is_one_conversation_in_each_direction(relay: Cached) -> None:
    relay.burst("a", [raw(B, A), raw(B, A, ethertype=0x0800)] * 4, 0.0)
    relay.burst("b", [raw(A, B)] * 3, 0.0)
    assert [each.values[FRAMES] for each in of(relay, "a")] == [8]
    assert names(between(relay, B, A, "b")) == ["a"]
    assert between(relay, B, A, "b").values[FRAMES] == 3


def test_where_it_goes_is_what_was_decided_last(relay: Cached) -> None:
    relay.burst("a", [raw(B, A)] * 4, 0.0)
    relay.burst("b", [raw(A, B)] * 4, 0.0)
    relay.burst("a", [raw(B, A)] * 4, 0.0)
    assert names(between(relay, A, B)) == ["b"]
    relay.burst("b", [raw(BROADCAST, A)], 0.0)
    relay.burst("b", [raw(B, A)], 0.0)
    assert (names(between(relay, A, B, "b")), between(relay, A, B, "b").reason) == ([], Reason.SAME_PORT)


def test_drops_say_why_and_a_group_source_is_in_no_vlan(relay: Cached) -> None:
    relay.burst("a", [raw(B, BROADCAST)] * 5, 0.0)
    (talk,) = of(relay, "a")
    assert talk.parties == (0, parse_mac(BROADCAST), parse_mac(B))
    assert (talk.values[FRAMES], talk.ports, talk.reason) == (5, (), Reason.SOURCE_INVALID)


def test_a_frame_that_is_too_long_for_every_port_is_lost_for_that_reason(relay: Cached) -> None:
    relay.burst("a", [raw(BROADCAST, A, payload=bytes(2000))] * 3, 0.0)
    talk = between(relay, A, BROADCAST)
    assert (talk.values[FRAMES], talk.ports, talk.reason, talk.unicast) == (3, (), Reason.OVERSIZE, False)


def test_a_frame_that_a_stage_holds_back_is_counted() -> None:
    relay = plugged("python", Holds())
    relay.burst("a", [raw(B, A)], 0.0)
    (talk,) = of(relay, "a")
    assert (talk.values[FRAMES], talk.ports, talk.reason) == (1, (), None)
    relay.close()


def test_counts_outlive_the_flows_that_made_them(relay: Cached) -> None:
    relay.burst("a", [raw(B, A)] * 5, 0.0)
    relay.switch.ports_changed()
    relay.burst("a", [raw(B, A)] * 5, 0.0)
    relay.switch.fdb.remove(1, parse_mac(A))
    relay.burst("a", [raw(B, A)] * 5, 0.0)
    assert between(relay, A, B).values[FRAMES] == 15
    assert between(relay, A, B).flows == 1
    relay.switch.fdb.remove(1, parse_mac(A))
    assert between(relay, A, B).flows == 0
    assert len(of(relay, "a")) == 1


def test_a_flood_forgets_only_what_the_table_does_not_know(relay: Cached, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversations, "MOST", 100)
    relay.burst("b", [raw(C, B)], 0.0)
    relay.burst("a", [raw(B, A)] * 5, 0.0)
    relay.burst("a", [raw(C, A)], 0.0)
    flood(relay, 500)
    assert len(of(relay, "a")) == 101
    assert between(relay, A, B).values[FRAMES] == 5
    assert of(relay, "a").get((1, parse_mac(A), parse_mac(C))) is None
    assert between(relay, B, C, "b").values[FRAMES] == 1, "another port's"
    relay.switch.ports_changed()
    relay.burst("a", [raw(B, A)], 0.0)
    assert between(relay, A, B).values[FRAMES] == 6
    assert len(of(relay, "a")) == 100


def test_who_was_heard_last_is_remembered_longest(relay: Cached, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversations, "MOST", 100)
    relay.burst("a", [raw(B, A)], 0.0)
    relay.burst("a", [raw(C, A)], 0.0)
    for seed in range(10):
        flood(relay, 50, 1.0, seed)
        relay.burst("a", [raw(BROADCAST, A)], 1.0)
        relay.switch.ports_changed()
        relay.cache.keep_up(1.0)
    assert between(relay, A, BROADCAST).values[FRAMES] == 10
    assert of(relay, "a").get((1, parse_mac(A), parse_mac(B))) is None


def test_what_the_table_forgets_all_at_once_is_remembered_by_age(
    relay: Cached, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversations, "MOST", 2)
    for now, to in ((1.0, B), (2.0, C), (3.0, NOBODY), (4.0, B)):
        relay.burst("a", [raw(to, A)] * 3, now)
    assert len(of(relay, "a")) == 3
    relay.switch.ports_changed()
    relay.cache.keep_up(5.0)
    assert [each.last for each in of(relay, "a")] == [3.0, 4.0]


def test_a_port_that_overfills_its_table_still_counts(relay: Cached, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flow that does not fit is new, when those that it takes the place of fill what is remembered."""
    monkeypatch.setattr(conversations, "MOST", 3)
    monkeypatch.setattr(cache, "MOST", 12)
    for number in range(200):
        relay.burst("a", [raw(f"02:00:00:00:10:{number:02x}", A)] * 3, 0.0)
        relay.collect()
        assert between(relay, A, f"02:00:00:00:10:{number:02x}").values[FRAMES] == 3
        assert len(of(relay, "a")) <= 3 + 4


def test_a_port_that_goes_takes_its_conversations_along(relay: Cached) -> None:
    relay.burst("a", [raw(B, A)] * 5, 0.0)
    gone = relay.switch.ports["a"]
    relay.unplug("a")
    with pytest.raises(KeyError):
        relay.cache.conversations(gone)


def test_one_tuple_of_ports_serves_a_whole_flood() -> None:
    relay = plugged("python")
    flood(relay, 500)
    assert len({id(each.ports) for each in of(relay, "a")}) == 1
    relay.close()


def test_the_time_before_the_first_burst_is_zero() -> None:
    switch = Switch()
    made = cache.FlowCache(switch, PYTHON.table, bytearray(ROOM))
    port = BridgePort("a")
    made.add_port(port)
    frame = Frame.parse(raw(B, A), port)
    assert isinstance(frame, Frame)
    made.offer(frame, Verdict())
    assert [each.last for each in made.conversations(port)] == [0.0]
