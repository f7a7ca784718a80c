"""An explanation says, rule by rule, what `receive` then does, and does nothing itself."""

from __future__ import annotations

import pytest

from tests.unit.frames import BROADCAST, LLDP, A, B, C, leaving, raw
from tests.unit.test_switch import C_TAG, Lab
from vswitch.control.api.explain import octets_of
from vswitch.core.explain import Explanation, explain
from vswitch.core.mac import parse_mac
from vswitch.core.offload import PLAIN
from vswitch.core.verdict import Reason
from vswitch.core.vlan import PortVlan


@pytest.fixture
def lab() -> Lab:
    lab = Lab(vlan_filtering=True, limit=3)
    lab.add("red1", PortVlan.access(10))
    lab.add("red2", PortVlan.access(10), isolated=True)
    lab.add("red3", PortVlan.access(10), isolated=True)
    lab.add("trunk", PortVlan.trunk((10, 20)), reserved="wire")
    return lab


def ask(lab: Lab, port: str, octets: bytes) -> Explanation:
    return explain(lab.switch, octets, lab.switch.ports[port], lab.now)


def rules(explanation: Explanation) -> list[str]:
    return [step.rule for step in explanation.steps]


def saw(explanation: Explanation, rule: str) -> str:
    return next(step.saw for step in explanation.steps if step.rule == rule)


def test_a_frame_that_floods(lab: Lab) -> None:
    answer = ask(lab, "red1", raw(BROADCAST, A))
    assert rules(answer) == ["frame", "admission", "vlan_ingress", "reserved_addresses", "learning", "lookup"]
    assert saw(answer, "frame") == "02:00:00:00:00:01 to ff:ff:ff:ff:ff:ff (broadcast), 64 octets"
    assert saw(answer, "vlan_ingress") == "untagged: takes PVID 10 of port red1"
    assert saw(answer, "learning") == "02:00:00:00:00:01 in VLAN 10 is new: learned on red1"
    assert saw(answer, "lookup") == "broadcast: floods in VLAN 10"
    assert {(step.port.name, step.reason, step.saw) for step in answer.ports} == {
        ("red1", Reason.SAME_PORT, Reason.SAME_PORT.meaning),
        ("red2", None, "as it came"),
        ("red3", None, "as it came"),
        ("trunk", None, "with VLAN tag 10"),
    }
    assert (answer.reason, answer.vid) == (None, 10)
    assert next(step for step in answer.ports if step.port.name == "trunk").frames()[0][24:32] == "8100000a"


def test_a_known_station_and_one_that_moves(lab: Lab) -> None:
    lab.send("red2", raw(BROADCAST, B))
    lab.now += 5
    answer = ask(lab, "red1", raw(B, A))
    assert saw(answer, "lookup") == "02:00:00:00:00:02 in VLAN 10 is behind port red2"
    assert [step.port.name for step in answer.ports] == ["red2"]
    moving = ask(lab, "trunk", raw(A, B, (C_TAG, 10)))
    assert saw(moving, "learning") == "02:00:00:00:00:02 in VLAN 10 was heard on red2 5.0 s ago: moves to trunk"
    assert saw(moving, "lookup") == "02:00:00:00:00:01 is unknown in VLAN 10: floods"
    assert saw(ask(lab, "red2", raw(A, B)), "learning").endswith("was heard on red2 5.0 s ago: refreshed")


@pytest.mark.parametrize(
    ("port", "octets", "reason", "rule"),
    [
        ("red1", PLAIN + b"short", Reason.RUNT, "frame"),
        ("red1", b"\x04" + raw(BROADCAST, A)[1:], Reason.OFFLOAD_INVALID, "frame"),
        ("red1", raw(B, BROADCAST), Reason.SOURCE_INVALID, "admission"),
        ("red1", raw(BROADCAST, A, (C_TAG, 20)), Reason.VLAN_FILTERED, "vlan_ingress"),
        ("trunk", raw(BROADCAST, A), Reason.VLAN_FILTERED, "vlan_ingress"),
        ("trunk", raw(BROADCAST, A, (C_TAG, 0x2000)), Reason.VLAN_FILTERED, "vlan_ingress"),
        ("red1", raw(LLDP, A), Reason.RESERVED_ADDRESS, "reserved_addresses"),
    ],
)
def test_the_rule_that_drops_is_the_last_and_has_the_reason(
    lab: Lab, port: str, octets: bytes, reason: Reason, rule: str
) -> None:
    answer = ask(lab, port, octets)
    assert (answer.steps[-1].rule, answer.steps[-1].reason) == (rule, reason)
    assert (answer.reason, answer.egress, answer.ports) == (reason, [], [])


def test_a_port_that_is_down_says_so(lab: Lab) -> None:
    lab.switch.set_port_state(lab.switch.ports["red1"], up=False)
    assert ask(lab, "red1", raw(BROADCAST, A)).reason is Reason.PORT_DOWN
    answer = ask(lab, "red2", raw(BROADCAST, B))
    assert {step.port.name: step.reason for step in answer.ports} == {
        "red1": Reason.PORT_DOWN,
        "red2": Reason.SAME_PORT,
        "red3": Reason.ISOLATED,
        "trunk": None,
    }


def test_reasons_at_egress(lab: Lab) -> None:
    lab.send("red2", raw(BROADCAST, B))
    assert ask(lab, "red3", raw(B, C)).reason is Reason.ISOLATED
    lab.switch.ports["red2"].mtu = 30
    lost = ask(lab, "red1", raw(B, A))
    assert (lost.reason, lost.lost) == (None, [(lab.switch.ports["red2"], Reason.OVERSIZE)])
    assert lost.ports[0].saw == "50 octets of payload, the port's MTU is 30"
    assert lost.ports[0].frames() == []
    assert ask(lab, "trunk", raw(LLDP, A, (C_TAG, 20))).reason is Reason.NO_EGRESS


def test_a_table_that_is_full(lab: Lab) -> None:
    for last in (1, 2, 3):
        lab.send("red1", raw(BROADCAST, f"02:00:00:00:01:0{last}"))
    answer = ask(lab, "red2", raw("02:00:00:00:01:01", B))
    assert saw(answer, "learning").endswith("is new: learned on red2, in place of the oldest entry of red1")
    assert saw(answer, "lookup").endswith("is unknown in VLAN 10: floods"), "the entry given up is the one looked for"
    lab.switch.fdb.flush()
    for last in (1, 2, 3):
        lab.switch.fdb.add_static(10, parse_mac(f"02:00:00:00:01:0{last}"), lab.switch.ports["red1"], 0.0)
    assert saw(ask(lab, "red2", raw(A, B)), "learning").endswith("not learned, the table is full of static entries")
    static = ask(lab, "red2", raw(A, "02:00:00:00:01:01"))
    assert saw(static, "learning").endswith("has a static entry on red1")


def test_words_for_superframes_and_tags(lab: Lab) -> None:
    assert "tag 0x8100 VID 10 priority 5" in saw(ask(lab, "red1", raw(A, B, (C_TAG, 0xA00A))), "frame")
    lab.switch.set_vlan_filtering(False)
    answer = ask(lab, "red1", raw(BROADCAST, B))
    assert saw(answer, "vlan_ingress") == "VLAN filtering is off: tags are payload, everything is VLAN 1"


def test_it_changes_nothing_and_says_what_then_happens(lab: Lab) -> None:
    frames = [("red2", raw(BROADCAST, B)), ("red1", raw(B, A)), ("trunk", raw(A, B, (C_TAG, 10))), ("red1", raw(A, A))]
    for port, octets in frames:
        before = (lab.switch.generation, list(lab.switch.fdb.rows(lab.now)), counters(lab))
        answer = ask(lab, port, octets)
        assert (lab.switch.generation, list(lab.switch.fdb.rows(lab.now)), counters(lab)) == before
        verdict = lab.send(port, octets)
        assert answer.reason == verdict.reason
        assert {step.port.name: step.frames() for step in answer.ports if step.egress} == {
            name: [octets.hex() for octets in forms] for name, forms in leaving(verdict).items()
        }


def counters(lab: Lab) -> object:
    return [list(port.counters.values) for port in lab.switch.ports.values()]


@pytest.mark.parametrize("words", ["zz", "abc", "ff ff f"])
def test_what_is_no_frame_is_said_in_words_of_ours(words: str) -> None:
    assert octets_of("ff:ff-01 02") == b"\xff\xff\1\2"
    with pytest.raises(ValueError, match="not hexadecimal: two digits stand for an octet"):
        octets_of(words)
