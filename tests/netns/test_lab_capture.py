"""`vswitch.lab.capture` on a real switch: what real guests send is there from the first frame on."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether

from tests.netns.test_capture import LLDP, A, B, Pair, captures
from tests.running import Running, unique, until
from vswitch.control.client import CallError
from vswitch.control.place import control_socket
from vswitch.lab import capture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.netns.conftest import Lab

REQUEST = Ether() / IP(src="10.88.0.1", dst="10.88.0.2") / ICMP(type="echo-request")


def test_what_guests_say_is_expected_and_found(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three()
    with capture(["a", "b"], switch=switch.control) as c:
        assert lab.guest("a").ping("10.88.0.2") is not None
        request = c.expect(REQUEST)
        assert (request.interface, request.direction) == ("a", 1)
        assert c.expect(REQUEST, direction="out").interface == "b"
        assert c.expect("icmp[icmptype] = icmp-echoreply").interface == "b"
        assert c.expect(lambda packet: packet.interface == "b" and packet.data[12:14] == b"\x08\x06")
        c.expect_none(ARP(pdst="10.88.0.77"), within=0.1)
        assert c.drops == []
    until(lambda: captures(switch) == 0, "the capture to end")
    assert request in c.packets, "what came stays"


def test_no_frame_of_the_body_is_missed(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three()
    with lab.guest("a").wire(lab.name("a")) as wire:
        for number in range(20):
            frame = B + A + b"\x88\xb5" + number.to_bytes(2) + bytes(44)
            with capture("a", switch=switch.control) as c:
                wire.send(frame)
                assert c.expect(frame, direction="in").data == frame


def test_what_was_dropped_and_why(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three()
    with capture(switch=str(switch.control)) as c, lab.guest("c").wire(lab.name("c")) as wire:
        wire.send(LLDP)
        found = c.expect(Ether(dst="01:80:c2:00:00:0e", type=0x88CC))
        assert found.comment == "dropped: reserved_address"
        assert found in c.drops


def test_what_comes_later_is_waited_for(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three()
    with capture("b", switch=switch.control) as c:
        later = threading.Timer(0.5, lab.guest("a").ping, ["10.88.0.2"])
        later.start()
        assert c.expect(REQUEST).interface == "b"
        later.join()


def test_what_does_not_come_is_told_with_what_did(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three()
    with capture("a", switch=switch.control) as c:
        for _ in range(15):
            assert lab.guest("a").ping("10.88.0.2") is not None
        until(lambda: len(c.packets) >= 30, "the packets")
        with pytest.raises(AssertionError) as failure:
            c.expect(IP(dst="10.88.0.99"), timeout=0.1, direction="in")
        with pytest.raises(AssertionError, match=r"a in  Ether / IP / ICMP 10.88.0.1 > 10.88.0.2 echo-request"):
            c.expect_none(REQUEST)
    first, *_rest = lines = str(failure.value).splitlines()
    assert first == "no packet matched within 0.1 s: <IP  dst=10.88.0.99 |>, direction in"
    assert len(lines) == 22
    assert "a in  Ether / IP / ICMP 10.88.0.1 > 10.88.0.2 echo-request" in str(failure.value)


def test_what_is_kept_is_bounded(lab: Lab, three: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    switch = three()
    monkeypatch.setattr(sys.modules["vswitch.lab.capture"], "KEPT", 10_000)
    with capture("a", switch=switch.control) as c, lab.guest("a").wire(lab.name("a")) as wire:
        for number in range(200):
            wire.send(B + A + b"\x88\xb5" + number.to_bytes(2) + bytes(44))
        c.expect(b"\x88\xb5\x00\xc7", direction="in")
        assert 10 <= len(c.packets) < 20


def test_a_capture_where_nothing_passes_ends_with_its_body(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    try:
        with capture(switch=pair.switch.control) as c:
            c.expect_none(lambda _: True, within=0.1)
        assert c.packets == []
        until(lambda: captures(pair.switch) == 0, "the capture to end")
    finally:
        pair.close()


def test_the_end_of_the_switch_is_told_at_once(three: Callable[..., Running]) -> None:
    switch = three()
    with capture(switch=switch.control) as c:
        assert switch.stop() == 0
        with pytest.raises(AssertionError, match="the switch ended the capture"):
            c.expect(b"nothing is like this", timeout=600)
        with pytest.raises(AssertionError, match="the switch ended the capture"):
            c.expect_none(b"nothing is like this", within=600)


def test_a_switch_goes_by_its_name(lab: Lab, three: Callable[..., Running]) -> None:
    switch = three(control=str(control_socket(lab.tag)))
    with capture("a", switch=lab.tag):
        assert captures(switch) == 1


def test_what_cannot_be_captured_is_a_sentence(three: Callable[..., Running]) -> None:
    with pytest.raises(CallError, match="no port nope"), capture("nope", switch=three().control):
        pass
    with pytest.raises(CallError, match="no switch answers"), capture(switch=unique()):
        pass
