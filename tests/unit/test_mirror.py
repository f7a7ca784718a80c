"""Mirrors: what is copied, in which form, and that the frame itself is none the worse."""

from __future__ import annotations

import pytest

from tests.property.checks import receive_as_explained
from tests.unit.frames import BROADCAST, LLDP, A, B, C, ports, raw
from vswitch.core.mirror import Mirror, loss
from vswitch.core.offload import HEADER
from vswitch.core.port import BridgePort, PortSettings
from vswitch.core.switch import Switch
from vswitch.core.verdict import Reason, Verdict
from vswitch.core.vlan import PortVlan
from vswitch.stages import STAGES

C_TAG = 0x8100


def mirror(
    *names: str, vlans: set[int] | None = None, received: bool = True, sent: bool = True, to: str = "span"
) -> Mirror:
    return Mirror(f"to {to}", frozenset(names) or None, None if vlans is None else frozenset(vlans), received, sent, to)


class Lab:
    """Ports a, b and c, and span for the copies."""

    def __init__(self, *mirrors: Mirror, vlans: dict[str, PortVlan] | None = None) -> None:
        self.switch = Switch((stage() for stage in STAGES), vlan_filtering=vlans is not None)
        for name in ("a", "b", "c", "span"):
            self.switch.add_port(BridgePort(name, PortSettings((vlans or {}).get(name, PortVlan()))))
        self.switch.set_mirrors(mirrors)

    def send(self, port: str, octets: bytes) -> Verdict:
        return receive_as_explained(self.switch, octets, self.switch.ports[port], 0.0)

    def dropped(self, port: str) -> dict[Reason, int]:
        return {reason: count for reason, count in self.switch.ports[port].counters.dropped.items() if count}


def copied(verdict: Verdict) -> list[tuple[str, bytes]]:
    """Where the copies go, and their octets."""
    return [
        (copy.port.name, bytes(form[HEADER:]))
        for copy in verdict.mirrored
        for form in copy.frame.form(copy.edit, copy.port.offload)
    ]


def test_what_comes_in_and_what_leaves_is_copied_once_each() -> None:
    lab = Lab(mirror("a"))
    there, back = raw(BROADCAST, A), raw(A, B)
    assert copied(lab.send("a", there)) == [("span", there[HEADER:])]
    assert copied(lab.send("b", back)) == [("span", back[HEADER:])]
    assert copied(lab.send("b", raw(C, B))) == [("span", raw(C, B)[HEADER:])], "a flood passes a, too"
    lab.send("c", raw(BROADCAST, C))
    assert copied(lab.send("b", raw(C, B))) == []


@pytest.mark.parametrize(
    ("received", "sent", "copies"), [(True, False, [1, 0]), (False, True, [0, 1]), (True, True, [1, 1])]
)
def test_the_direction_is_the_guest_s(received: bool, sent: bool, copies: list[int]) -> None:
    lab = Lab(mirror("a", received=received, sent=sent))
    lab.send("a", raw(BROADCAST, A))
    lab.send("b", raw(BROADCAST, B))
    assert [len(copied(lab.send(*frame))) for frame in (("a", raw(B, A)), ("b", raw(A, B)))] == copies


def test_between_two_watched_ports_a_frame_is_copied_as_it_came_and_as_it_left() -> None:
    lab = Lab(mirror("a", "b"))
    assert len(copied(lab.send("a", raw(B, A)))) == 2
    flooded = Lab(mirror("b", "c"))
    assert len(copied(flooded.send("a", raw(BROADCAST, A)))) == 1, "it leaves both in one form"


def test_copies_have_the_tags_of_their_side() -> None:
    vlans = {"a": PortVlan.access(10), "b": PortVlan.access(10), "c": PortVlan.trunk([10, 20])}
    lab = Lab(mirror("a", "c"), vlans=vlans)
    plain, tagged = raw(BROADCAST, A), raw(BROADCAST, A, (C_TAG, 10))
    assert copied(lab.send("a", plain)) == [("span", plain[HEADER:]), ("span", tagged[HEADER:])]
    tagged, plain = raw(BROADCAST, C, (C_TAG, 10)), raw(BROADCAST, C)
    assert copied(lab.send("c", tagged)) == [("span", tagged[HEADER:]), ("span", plain[HEADER:])]


def test_a_vlan_is_watched_at_every_port_or_at_those_named() -> None:
    vlans = {"a": PortVlan.access(10), "b": PortVlan.access(20), "c": PortVlan.trunk([10, 20])}
    for watching, counts in (
        (mirror(vlans={10}, sent=False), [1, 0, 1, 0]),
        (mirror("c", vlans={10}, sent=False), [0, 0, 1, 0]),
        (mirror("c", vlans={10, 20}, received=False), [1, 1, 0, 0]),
    ):
        lab = Lab(watching, vlans=vlans)
        frames = [("a", raw(BROADCAST, A)), ("b", raw(BROADCAST, A))]
        frames += [("c", raw(BROADCAST, A, (C_TAG, vid))) for vid in (10, 20)]
        got = [len(copied(lab.send(*frame))) for frame in frames]
        assert got == counts


def test_what_a_rule_drops_is_copied_all_the_same() -> None:
    lab = Lab(mirror("a"))
    for octets, reason in ((raw(LLDP, A), Reason.RESERVED_ADDRESS), (raw(B, BROADCAST), Reason.SOURCE_INVALID)):
        verdict = lab.send("a", octets)
        assert (verdict.reason, copied(verdict)) == (reason, [("span", octets[HEADER:])])
        assert verdict.cacheable
    assert copied(lab.send("a", b"short")) == [], "a runt is no frame"


def test_nothing_comes_in_by_the_destination_and_nothing_else_leaves_there() -> None:
    lab = Lab(mirror("a"), mirror("span", "b", to="c"))
    assert lab.send("span", raw(BROADCAST, C)).reason is Reason.MIRROR_PORT
    assert copied(lab.send("span", raw(BROADCAST, C))) == [], "no mirror of a mirror"
    assert lab.dropped("span") == {Reason.MIRROR_PORT: 2}
    assert ports(lab.send("a", raw(BROADCAST, A))) == {"b"}
    assert len(lab.switch.fdb) == 1


def test_what_was_learned_on_a_port_is_forgotten_once_it_takes_copies() -> None:
    lab = Lab()
    lab.send("span", raw(BROADCAST, C))
    lab.switch.set_mirrors([mirror("a")])
    verdict = lab.send("a", raw(C, A))
    assert ports(verdict) == {"b", "c"}
    lab.switch.set_mirrors([])
    assert ports(lab.send("span", raw(C, A))) == {"a", "b", "c"}


def test_a_mirror_works_once_its_ports_are_there() -> None:
    lab = Lab(mirror("a", "new", to="later"))
    assert copied(lab.send("a", raw(BROADCAST, A))) == []
    lab.switch.add_port(BridgePort("later"))
    lab.switch.add_port(BridgePort("new"))
    assert len(copied(lab.send("new", raw(BROADCAST, B)))) == 2
    lab.switch.remove_port("later")
    assert copied(lab.send("a", raw(BROADCAST, A))) == []


def test_what_the_destination_cannot_take_does_not_concern_the_frame() -> None:
    lab = Lab(mirror("a"))
    span = lab.switch.ports["span"]
    span.mtu = 30
    verdict = lab.send("a", raw(BROADCAST, A))
    assert (ports(verdict), verdict.lost, verdict.cacheable) == ({"b", "c"}, (), True)
    assert loss(verdict.mirrored[0].frame, span) is Reason.OVERSIZE
    lab.switch.set_port_state(span, up=False)
    verdict = lab.send("a", raw(BROADCAST, A))
    assert (ports(verdict), verdict.cacheable) == ({"b", "c"}, True)
    assert loss(verdict.mirrored[0].frame, span) is Reason.PORT_DOWN
