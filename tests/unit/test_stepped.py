"""The switch of the plugin's fixture: its ports are in memory, its time is the test's, and it is deterministic."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether

from vswitch.control.config.reading import ConfigError
from vswitch.control.status import NotFoundError
from vswitch.testing.stepped import Arrival, SteppedSwitch

if TYPE_CHECKING:
    from typing import Any

    from vswitch.testing import Expect

A, B, C = (f"02:00:00:00:00:0{letter}" for letter in "abc")
ALL = "ff:ff:ff:ff:ff:ff"


def numbered(number: int, source: str = A, destination: str = B) -> Ether:
    return Ether(src=source, dst=destination, type=0x88B5) / number.to_bytes(46)


def numbers(switch: SteppedSwitch, port: str) -> list[int]:
    return [int.from_bytes(frame[14:]) for frame in switch.received(port)]


def test_it_learns_floods_and_forwards_at_once(switch: SteppedSwitch) -> None:
    switch.send("a", numbered(1, A, ALL))
    assert numbers(switch, "a") == []
    assert numbers(switch, "b") == numbers(switch, "c") == [1]
    switch.send("b", numbered(2, B, A), numbered(3, B, A))
    assert numbers(switch, "a") == [2, 3]
    assert numbers(switch, "c") == [1]
    assert switch.explain("c", numbered(4, C, B)).ports[0].port == "b"


def test_short_frames_arrive_padded(switch: SteppedSwitch) -> None:
    frame = bytes(Ether(src=A, dst=ALL, type=0x88B5) / b"short")
    switch.send("a", frame)
    assert switch.received("b") == [frame.ljust(60, b"\0")]


def test_time_passes_in_steps_alone(switch: SteppedSwitch) -> None:
    switch.send("a", numbered(1, A, ALL))
    assert switch.next_event() == 300.0
    switch.step(299.5)
    assert [row.age for row in switch.fdb()] == [299.5]
    switch.step(0.5)
    assert switch.fdb() == []
    assert [(row.kind, row.port) for row in switch.history()] == [("learned", "a"), ("aged", "a")]
    assert switch.next_event() is None
    assert switch.now == 300.0
    with pytest.raises(ValueError, match="does not go back"):
        switch.step(-0.1)


def test_a_delay_is_exact(switch: SteppedSwitch) -> None:
    switch.port("b").impair(out={"delay": "10ms"})
    switch.send("a", numbered(1))
    switch.step(0.002)
    switch.send("a", numbered(2))
    assert switch.next_event() == pytest.approx(0.010)
    switch.step(0.0079)
    assert numbers(switch, "b") == []
    switch.step(1.0)
    assert [arrival.time for arrival in switch.arrivals("b")] == pytest.approx([0.010, 0.012])


def test_what_is_on_its_way_arrives_when_the_impairment_is_cleared(switch: SteppedSwitch) -> None:
    switch.port("b").impair(out={"delay": "10s"})
    switch.send("a", numbered(1))
    assert numbers(switch, "b") == []
    switch.port("b").clear()
    assert numbers(switch, "b") == [1]
    assert switch.ports()["b"].impair is None


def test_one_direction_stays_while_the_other_is_set(switch: SteppedSwitch) -> None:
    port = switch.port("b")
    port.impair(out={"delay": "10ms"}, seed=3)
    port.impair(in_={"loss": "100%"})
    switch.send("b", numbered(1, B, A))
    switch.send("a", numbered(2))
    assert [arrival.time for arrival in _later(switch, "b")] == pytest.approx([0.010])
    assert numbers(switch, "a") == []
    row = switch.ports()["b"]
    assert row.dropped["impaired"] == 1
    assert row.impair is not None
    assert row.impair.seed == 3


def _later(switch: SteppedSwitch, port: str) -> list[Arrival]:
    switch.step(10.0)
    return list(switch.arrivals(port))


HARSH = {
    "delay": "20ms", "jitter": "15ms", "overtake": True, "loss": "10%", "duplicate": "5%", "reorder": "5%",
    "corrupt": "5%", "rate": "1mbit",
}  # fmt: skip


def fates(seed: int) -> list[tuple[float, bytes]]:
    with closing(SteppedSwitch({"ports": {"a": {}, "b": {"impair": {"seed": seed, "out": HARSH}}}})) as switch:
        for number in range(500):
            switch.send("a", numbered(number))
            switch.step(0.001)
        return [(arrival.time, arrival.frame) for arrival in _later(switch, "b")]


def test_the_same_seed_gives_every_frame_the_same_fate() -> None:
    once = fates(7)
    assert 350 < len(once) < 550
    assert [frame for _, frame in once] != [bytes(numbered(number)) for number in range(500)]
    assert fates(7) == once
    assert fates(8) != once


def test_the_size_of_steps_changes_nothing() -> None:
    def run(step: float) -> list[tuple[float, bytes]]:
        with closing(SteppedSwitch({"ports": {"a": {}, "b": {"impair": {"seed": 7, "out": HARSH}}}})) as switch:
            switch.send("a", *map(numbered, range(100)))
            for _ in range(round(10.0 / step)):
                switch.step(step)
            return [(arrival.time, arrival.frame) for arrival in switch.arrivals("b")]

    assert run(0.05) == run(10.0)


@pytest.mark.switch(
    """
    ageing: 10s
    ports:
      web: {access: 10}
      trunk: {trunk: [10, 20]}
      other: {access: 20}
    """
)
def test_a_switch_as_a_file_has_it(switch: SteppedSwitch, expect: Expect) -> None:
    switch.send("web", Ether(src=A, dst=ALL) / IP(dst="10.0.0.2") / UDP(dport=53))
    expect(switch.port("trunk"), Dot1Q(vlan=10) / IP(dst="10.0.0.2") / UDP(dport=53), direction="out")
    expect.none(switch.port("other"), lambda _: True)
    assert [(row.vlan, row.tagged) for row in switch.vlans()] == [(10, ["trunk"]), (20, ["trunk"])]
    switch.add("probe", access=20)
    switch.set("other", access=10)
    switch.send("web", Ether(src=A, dst=ALL) / IP(dst="10.0.0.3"))
    expect(switch.port("other"), IP(dst="10.0.0.3"))
    assert switch.received("probe") == []


def test_patience_is_of_stepped_time(switch: SteppedSwitch, expect: Expect) -> None:
    switch.port("b").impair(out={"delay": "2s"})
    switch.send("a", Ether(src=A, dst=B) / IP(dst="10.0.0.2") / ICMP())
    expect.none(switch.port("b"), ICMP(), within=1.5, direction="out")
    assert switch.now == 1.5
    found = expect(switch.port("b"), ICMP(), direction="out")
    assert (found.interface, found.time, switch.now) == ("b", 2_000_000_000, 2.0)
    with pytest.raises(
        AssertionError, match=r"(?s)no packet matched within 3 s: <IPv6 .*what passed:\n  b out Ether / IP"
    ):
        expect(switch.port("b"), IPv6(), timeout=3.0)
    assert switch.now == 5.0
    with pytest.raises(AssertionError, match="this was to match nothing"):
        expect.none(switch.port("b"), ICMP())


def test_what_became_of_frames(switch: SteppedSwitch) -> None:
    switch.send("a", Ether(src=A, dst="01:80:c2:00:00:0e", type=0x88CC) / bytes(46))
    (row,) = switch.last()
    assert (row.port, row.reason, row.egress) == ("a", "reserved_address", [])
    assert switch.ports()["a"].dropped["reserved_address"] == 1
    switch.send("a", b"runt", b"")
    assert switch.ports()["a"].dropped["runt"] == 2


@pytest.mark.parametrize(
    ("config", "mistake"),
    [
        ({"ports": {"a": {"acess": 3}}}, "did you mean access"),
        ({"ports": {"a": {"tap": "x"}}}, "unknown key"),
        ({"ports": {"a": {}}, "agein": 3}, "did you mean ageing"),
        ({"ports": {"a": {}}, "fdb": {"static": [{"mac": A, "port": "b"}]}}, "no port b"),
        ({"ports": [1]}, "expected a mapping"),
        ("[1, 2]", "expected a mapping"),
        ("a: [", "expected"),
    ],
)
def test_what_is_wrong_is_said(config: dict[str, Any] | str, mistake: str) -> None:
    with pytest.raises(ConfigError, match=mistake):
        SteppedSwitch(config)


def test_mistakes_leave_the_switch_as_it_was(switch: SteppedSwitch) -> None:
    with pytest.raises(ConfigError, match="acess"):
        switch.set("a", acess=3)
    with pytest.raises(ConfigError):
        switch.port("a").impair(out={"dely": "10ms"})
    with pytest.raises(NotFoundError, match="no port z"):
        switch.send("z", numbered(1))
    with pytest.raises(NotFoundError, match="no port z"):
        switch.received("z")
    with pytest.raises(ValueError, match="a port a already"):
        switch.add("a")
    switch.send("a", numbered(1, A, ALL))
    assert numbers(switch, "b") == [1]
