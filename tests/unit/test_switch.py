"""The forwarding process: where frames go, and why they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.frames import BROADCAST, LLDP, A, B, C, leaving, ports, raw
from vswitch.core.mac import parse_mac
from vswitch.core.offload import HEADER, PLAIN
from vswitch.core.port import BridgePort, PortSettings
from vswitch.core.stage import Stage
from vswitch.core.switch import Switch
from vswitch.core.verdict import Reason, Verdict
from vswitch.core.vlan import PortVlan
from vswitch.stages import STAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

C_TAG, S_TAG = 0x8100, 0x88A8


class Lab:
    """A switch and a clock."""

    def __init__(self, *names: str, vlan_filtering: bool = False, limit: int = 100) -> None:
        self.switch = Switch((stage() for stage in STAGES), vlan_filtering=vlan_filtering, limit=limit)
        self.now = 1000.0
        for name in names:
            self.add(name)

    def add(self, name: str, vlan: PortVlan | None = None, **options: object) -> BridgePort:
        port = BridgePort(name, PortSettings(vlan or PortVlan(), options))
        self.switch.add_port(port)
        return port

    def send(self, port: str, octets: bytes) -> Verdict:
        return self.switch.receive_raw(octets, self.switch.ports[port], self.now)


@pytest.fixture
def lab() -> Lab:
    return Lab("a", "b", "c")


def test_unknown_and_group_addresses_flood_everywhere_but_back(lab: Lab) -> None:
    assert ports(lab.send("a", raw(B, A))) == {"b", "c"}
    assert ports(lab.send("b", raw(BROADCAST, B))) == {"a", "c"}
    assert ports(lab.send("c", raw("01:00:5e:00:00:05", C))) == {"a", "b"}


def test_a_known_station_gets_its_frames_alone(lab: Lab) -> None:
    lab.send("b", raw(BROADCAST, B))
    verdict = lab.send("a", raw(B, A))
    assert ports(verdict) == {"b"}
    assert verdict.cacheable


def test_a_flood_to_an_unknown_station_holds_until_that_is_heard(lab: Lab) -> None:
    assert lab.send("a", raw(B, A)).cacheable
    told: list[bytes] = []
    lab.switch.fdb.changed = lambda key: told.append(key[1])
    lab.send("b", raw(BROADCAST, B))
    assert told == [parse_mac(B)]


def test_a_frame_never_goes_back_to_its_port(lab: Lab) -> None:
    lab.send("a", raw(BROADCAST, B))
    assert lab.send("a", raw(B, A)).reason is Reason.SAME_PORT
    assert lab.send("a", raw(A, A)).reason is Reason.SAME_PORT


def test_a_station_that_moves_is_found_at_its_new_port_at_once(lab: Lab) -> None:
    lab.send("b", raw(BROADCAST, B))
    lab.send("c", raw(BROADCAST, B))
    assert ports(lab.send("a", raw(B, A))) == {"c"}
    assert lab.switch.fdb.moves == 1


@pytest.mark.parametrize("source", [BROADCAST, "01:00:5e:00:00:01", "00:00:00:00:00:00"])
def test_a_source_that_no_station_can_have_is_dropped_and_not_learned(lab: Lab, source: str) -> None:
    assert lab.send("a", raw(B, source)).reason is Reason.SOURCE_INVALID
    assert len(lab.switch.fdb) == 0


@pytest.mark.parametrize("length", [0, 1, 13])
def test_fewer_than_fourteen_octets_are_a_runt(lab: Lab, length: int) -> None:
    assert lab.send("a", PLAIN + b"\xff" * length).reason is Reason.RUNT
    counters = lab.switch.ports["a"].counters
    assert counters.dropped[Reason.RUNT] == 1
    assert counters.receive.octets == length
    assert sum(counters.receive.frames) == 0


def test_even_less_than_a_header_is_a_runt(lab: Lab) -> None:
    assert lab.send("a", b"").reason is Reason.RUNT


def test_a_short_frame_is_padded_with_zeros(lab: Lab) -> None:
    frame = raw(BROADCAST, A, payload=b"hello")
    assert leaving(lab.send("a", frame))["b"] == [frame[HEADER:].ljust(60, b"\0")]
    assert lab.switch.ports["a"].counters.receive.octets == 19


def test_a_lone_port_has_nowhere_to_send(lab: Lab) -> None:
    lonely = Lab("a")
    assert lonely.send("a", raw(BROADCAST, A)).reason is Reason.NO_EGRESS
    assert lonely.switch.ports["a"].counters.dropped[Reason.NO_EGRESS] == 1


def test_what_was_learned_on_a_port_goes_down_with_it(lab: Lab) -> None:
    lab.send("b", raw(BROADCAST, B))
    lab.switch.set_port_state(lab.switch.ports["b"], up=False)
    assert ports(lab.send("a", raw(B, A))) == {"c"}
    assert lab.send("b", raw(A, B)).reason is Reason.PORT_DOWN


def test_a_static_entry_to_a_port_that_is_down_drops(lab: Lab) -> None:
    lab.switch.fdb.add_static(1, parse_mac(B), lab.switch.ports["b"], 0.0)
    lab.switch.set_port_state(lab.switch.ports["b"], up=False)
    assert lab.send("a", raw(B, A)).reason is Reason.PORT_DOWN


def test_a_port_that_leaves_is_forgotten(lab: Lab) -> None:
    lab.send("b", raw(BROADCAST, B))
    lab.switch.remove_port("b")
    assert ports(lab.send("a", raw(B, A))) == {"c"}
    with pytest.raises(KeyError):
        lab.switch.remove_port("b")


def test_a_name_is_taken_once(lab: Lab) -> None:
    with pytest.raises(ValueError, match="already"):
        lab.add("a")


def test_counters_say_what_came_and_what_was_dropped(lab: Lab) -> None:
    lab.send("a", raw(BROADCAST, A))
    lab.send("a", raw("01:00:5e:00:00:05", A))
    lab.send("a", raw(B, A))
    lab.send("a", raw(A, A))
    counters = lab.switch.ports["a"].counters
    assert counters.receive.frames == [2, 1, 1]
    assert counters.receive.octets == 4 * 64
    assert {reason: count for reason, count in counters.dropped.items() if count} == {Reason.SAME_PORT: 1}


def test_the_mtu_bounds_what_leaves_by_a_port_and_only_there(lab: Lab) -> None:
    lab.switch.ports["b"].mtu = 1000
    longest = raw(BROADCAST, A, payload=b"x" * 1004)
    assert ports(lab.send("a", longest)) == {"b", "c"}
    verdict = lab.send("a", longest + b"x")
    assert ports(verdict) == {"c"}
    assert verdict.lost == ((lab.switch.ports["b"], Reason.OVERSIZE),)
    assert lab.switch.ports["b"].counters.dropped[Reason.OVERSIZE] == 1


def test_an_outer_tag_does_not_count_against_the_mtu(lab: Lab) -> None:
    longest = raw(BROADCAST, A, (S_TAG, 7), (C_TAG, 8), payload=b"x" * 1500)
    assert ports(lab.send("a", longest)) == {"b", "c"}
    assert not ports(lab.send("a", longest + b"x"))


def test_a_verdict_that_loses_a_frame_for_its_length_is_not_to_be_cached(lab: Lab) -> None:
    assert lab.send("a", raw(BROADCAST, A)).cacheable
    assert not lab.send("a", raw(BROADCAST, A, payload=b"x" * 2000)).cacheable


def test_a_verdict_on_a_source_that_found_no_room_is_not_to_be_cached(lab: Lab) -> None:
    lab.switch.fdb.limit = 1
    lab.switch.fdb.add_static(1, parse_mac(C), lab.switch.ports["c"], lab.now)
    assert not lab.send("a", raw(B, A)).cacheable
    lab.switch.fdb.limit = 2
    assert lab.send("a", raw(B, A)).cacheable


# Reserved addresses


@pytest.mark.parametrize("last", range(16))
@pytest.mark.parametrize(
    ("profile", "relayed"),
    [("bridge", set[int]()), ("provider", {0x00, 0x0B, 0x0C, 0x0D, 0x0F}), ("wire", set(range(16)))],
)
def test_a_profile_says_which_reserved_addresses_pass(profile: str, relayed: set[int], last: int) -> None:
    lab = Lab()
    lab.add("a", reserved=profile)
    lab.add("b", reserved=profile)
    verdict = lab.send("a", raw(f"01:80:c2:00:00:{last:02x}", A))
    assert verdict.reason is (None if last in relayed else Reason.RESERVED_ADDRESS)


def test_a_reserved_address_passes_between_ports_that_both_relay_it() -> None:
    lab = Lab()
    lab.add("a", reserved="wire")
    lab.add("b", reserved="wire")
    lab.add("c")
    assert ports(lab.send("a", raw(LLDP, A))) == {"b"}
    assert lab.send("c", raw(LLDP, C)).reason is Reason.RESERVED_ADDRESS


def test_the_address_after_the_reserved_ones_floods(lab: Lab) -> None:
    assert ports(lab.send("a", raw("01:80:c2:00:00:10", A))) == {"b", "c"}


# Isolation


def test_isolated_ports_reach_all_but_one_another() -> None:
    lab = Lab("c")
    lab.add("a", isolated=True)
    lab.add("b", isolated=True)
    assert ports(lab.send("a", raw(BROADCAST, A))) == {"c"}
    assert ports(lab.send("c", raw(BROADCAST, C))) == {"a", "b"}
    assert ports(lab.send("b", raw(C, B))) == {"c"}
    assert lab.send("b", raw(A, B)).reason is Reason.ISOLATED


# VLANs


@pytest.fixture
def vlans() -> Lab:
    """Two access ports in each of VLAN 10 and 20, and a trunk of both with native VLAN 20."""
    lab = Lab(vlan_filtering=True)
    for name, vid in (("red1", 10), ("red2", 10), ("blue1", 20), ("blue2", 20)):
        lab.add(name, PortVlan.access(vid))
    lab.add("trunk", PortVlan.trunk((10, 20), native=20))
    return lab


def test_access_ports_keep_to_their_vlan(vlans: Lab) -> None:
    untagged = raw(BROADCAST, A)
    tagged = raw(BROADCAST, A, (C_TAG, 10))
    assert leaving(vlans.send("red1", untagged)) == {"red2": [untagged[HEADER:]], "trunk": [tagged[HEADER:]]}
    assert leaving(vlans.send("blue1", untagged)) == {"blue2": [untagged[HEADER:]], "trunk": [untagged[HEADER:]]}


@pytest.mark.parametrize("tpid", [C_TAG, S_TAG])
def test_a_tagged_frame_from_the_trunk_loses_its_tag_at_an_access_port(vlans: Lab, tpid: int) -> None:
    verdict = vlans.send("trunk", raw(BROADCAST, A, (tpid, 0x6000 | 10)))
    assert leaving(verdict) == {name: [raw(BROADCAST, A)[HEADER:]] for name in ("red1", "red2")}


def test_only_the_outer_tag_goes(vlans: Lab) -> None:
    verdict = vlans.send("trunk", raw(BROADCAST, A, (C_TAG, 10), (C_TAG, 99)))
    assert leaving(verdict)["red1"] == [raw(BROADCAST, A, (C_TAG, 99))[HEADER:]]


def test_a_frame_that_loses_its_tag_is_padded_again(vlans: Lab) -> None:
    verdict = vlans.send("trunk", raw(BROADCAST, A, (C_TAG, 10), payload=b"x" * 42))
    assert leaving(verdict)["red1"] == [raw(BROADCAST, A, payload=b"x" * 42)[HEADER:].ljust(60, b"\0")]


def test_a_priority_tag_takes_the_pvid_and_keeps_its_priority(vlans: Lab) -> None:
    verdict = vlans.send("red1", raw(BROADCAST, A, (C_TAG, 0xA000)))
    assert leaving(verdict) == {
        "red2": [raw(BROADCAST, A)[HEADER:]],
        "trunk": [raw(BROADCAST, A, (C_TAG, 0xA000 | 10))[HEADER:]],
    }


def test_an_access_port_takes_in_its_own_vlan_tagged_and_no_other(vlans: Lab) -> None:
    assert ports(vlans.send("red1", raw(BROADCAST, A, (C_TAG, 10)))) == {"red2", "trunk"}
    assert vlans.send("red1", raw(BROADCAST, A, (C_TAG, 20))).reason is Reason.VLAN_FILTERED
    assert vlans.send("trunk", raw(BROADCAST, A, (C_TAG, 30))).reason is Reason.VLAN_FILTERED
    assert vlans.send("trunk", raw(BROADCAST, A, (C_TAG, 0xFFF))).reason is Reason.VLAN_FILTERED


def test_a_trunk_without_native_vlan_takes_no_untagged_frame() -> None:
    lab = Lab(vlan_filtering=True)
    lab.add("trunk", PortVlan.trunk((10,)))
    lab.add("red", PortVlan.access(10))
    assert lab.send("trunk", raw(BROADCAST, A)).reason is Reason.VLAN_FILTERED
    assert lab.send("trunk", raw(BROADCAST, A, (C_TAG, 0x2000))).reason is Reason.VLAN_FILTERED


def test_a_dropped_frame_teaches_nothing(vlans: Lab) -> None:
    vlans.send("red1", raw(BROADCAST, A, (C_TAG, 20)))
    assert len(vlans.switch.fdb) == 0


def test_one_address_may_live_in_two_vlans(vlans: Lab) -> None:
    vlans.send("red2", raw(BROADCAST, B))
    vlans.send("blue2", raw(BROADCAST, B))
    assert ports(vlans.send("red1", raw(B, A))) == {"red2"}
    assert ports(vlans.send("blue1", raw(B, A))) == {"blue2"}


def test_a_static_entry_outside_the_vlan_drops(vlans: Lab) -> None:
    vlans.switch.fdb.add_static(10, parse_mac(B), vlans.switch.ports["blue1"], 0.0)
    assert vlans.send("red1", raw(B, A)).reason is Reason.VLAN_FILTERED


def test_a_port_that_goes_down_or_leaves_says_so_of_its_stations() -> None:
    lab = Lab("a", "b")
    told: list[tuple[str, str]] = []
    lab.switch.fdb.tell = lambda change, key, port, before: told.append((change, port.name))
    lab.send("a", raw(BROADCAST, A))
    lab.send("b", raw(BROADCAST, B))
    lab.switch.set_port_state(lab.switch.ports["a"], up=False)
    lab.switch.remove_port("b")
    assert told == [("learned", "a"), ("learned", "b"), ("port_down", "a"), ("port_removed", "b")]


def test_without_filtering_tags_are_payload() -> None:
    lab = Lab("a", "b")
    for tags in ([(C_TAG, 10)], [(S_TAG, 4095)], [(C_TAG, 0)], [(S_TAG, 7), (C_TAG, 8)]):
        frame = raw(BROADCAST, A, *tags)
        assert leaving(lab.send("a", frame)) == {"b": [frame[HEADER:]]}
    assert lab.switch.fdb.sizes == {1: 1}


def test_a_port_that_leaves_a_vlan_forgets_what_it_learned_there(vlans: Lab) -> None:
    vlans.send("trunk", raw(BROADCAST, B, (C_TAG, 10)))
    vlans.send("trunk", raw(BROADCAST, C, (C_TAG, 20)))
    vlans.switch.configure_port("trunk", PortSettings(PortVlan.trunk((20,))))
    assert vlans.switch.fdb.sizes == {20: 1}
    assert ports(vlans.send("red1", raw(B, A))) == {"red2"}


def test_turning_filtering_on_forgets_what_was_learned_without(vlans: Lab) -> None:
    vlans.switch.set_vlan_filtering(False)
    vlans.send("red1", raw(BROADCAST, A))
    vlans.switch.set_vlan_filtering(True)
    assert len(vlans.switch.fdb) == 0
    assert ports(vlans.send("blue1", raw(A, B))) == {"blue2", "trunk"}


# Time


def test_a_station_not_heard_for_the_ageing_time_is_unknown_again(lab: Lab) -> None:
    lab.send("b", raw(BROADCAST, B))
    assert lab.switch.next_deadline() == lab.now + 300.0
    lab.now += 300.0
    assert lab.switch.handle_timer(lab.now) == []
    assert lab.switch.next_deadline() is None
    assert ports(lab.send("a", raw(B, A))) == {"a", "b", "c"} - {"a"}


# Verdicts that hold for one frame


class Fickle(Stage):
    """Decides of each frame anew that comes in by one port, or leaves by another."""

    name = "fickle"

    def ports_changed(self, ports: Sequence[BridgePort]) -> None:
        self.singly_in = frozenset(port for port in ports if port.name == "in")
        self.singly_out = frozenset(port for port in ports if port.name == "out")
        self.active = bool(self.singly_in or self.singly_out)


def test_a_stage_that_decides_frame_by_frame_at_one_port_leaves_the_flows_of_others_alone() -> None:
    switch = Switch([Fickle()])
    for name in ("a", "b", "in", "out"):
        switch.add_port(BridgePort(name))
    stations = {"a": A, "b": B, "in": C, "out": "02:00:00:00:00:04"}

    def cacheable(port: str, to: str) -> bool:
        return switch.receive_raw(raw(stations.get(to, to), stations[port]), switch.ports[port], 0.0).cacheable

    for name in stations:
        cacheable(name, BROADCAST)
    assert not cacheable("a", BROADCAST), "it leaves by out, too"
    kept = {(port, to) for port in stations for to in stations if port != to and cacheable(port, to)}
    assert kept == {("a", "b"), ("b", "a"), ("a", "in"), ("b", "in"), ("out", "a"), ("out", "b"), ("out", "in")}
    for name in ("in", "out"):
        switch.remove_port(name)
    assert cacheable("a", BROADCAST)
