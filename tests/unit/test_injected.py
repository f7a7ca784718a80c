"""Frames that nobody sent and that go to a guest: the port's mirrors see them, and its impairment has them."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.unit.frames import BROADCAST, LLDP, A, B, raw
from tests.unit.test_capture import seen, watch
from tests.unit.test_engine import counters, on_both_loops
from vswitch.core.mirror import Mirror
from vswitch.core.offload import HEADER
from vswitch.core.port import BridgePort, PortSettings
from vswitch.core.switch import Switch
from vswitch.core.verdict import Reason
from vswitch.core.vlan import PortVlan
from vswitch.engine import Engine
from vswitch.observe.pcapng import OUTBOUND
from vswitch.ports.memory import MemoryPort
from vswitch.stages import STAGES
from vswitch.stages.impair import OPTION
from vswitch.stages.impairment.spec import Every, Impairment, Line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

FRAME = raw(B, A, payload=bytes(range(46)))
C_TAG = 0x8100


@asynccontextmanager
async def guests(
    *mirrors: Mirror, line: Line | None = None, vlan: PortVlan | None = None
) -> AsyncIterator[tuple[Engine, dict[str, MemoryPort]]]:
    """An engine with the guest `a`, whose link is like that, another one, and one that gets copies."""
    driver = Engine(Switch((stage() for stage in STAGES), vlan_filtering=vlan is not None))
    ports = {name: MemoryPort() for name in ("a", "b", "span")}
    options = {OPTION: Impairment(1, random.Random, None, line)}
    for name, port in ports.items():
        settings = PortSettings(vlan or PortVlan(), options if name == "a" and line else {})
        await driver.attach(BridgePort(name, settings), port)
    driver.switch.set_mirrors(mirrors)
    yield driver, ports
    await driver.close()


def mirror(*, received: bool = False, sent: bool = True, vlans: set[int] | None = None) -> Mirror:
    return Mirror("m", frozenset("a"), frozenset(vlans) if vlans else None, received, sent, "span")


def octets(port: MemoryPort) -> list[bytes]:
    return [bytes(each[HEADER:]) for each in port.sent]


@pytest.mark.parametrize(("received", "sent", "copies"), [(False, True, 1), (True, True, 1), (True, False, 0)])
@on_both_loops
async def test_a_mirror_of_what_goes_to_the_guest_has_it(received: bool, sent: bool, copies: int) -> None:
    async with guests(mirror(received=received, sent=sent)) as (driver, ports):
        driver.inject("a", FRAME, leaves=True)
        assert octets(ports["a"]) == [FRAME[HEADER:]]
        assert octets(ports["span"]) == [FRAME[HEADER:]] * copies
        assert octets(ports["b"]) == []
        driver.inject("b", FRAME, leaves=True)
        assert len(octets(ports["span"])) == copies, "b is not watched"


@pytest.mark.parametrize("line", [None, Line(delay=0.001)], ids=["at once", "late"])
@pytest.mark.parametrize(
    ("vlan", "tag", "vid"),
    [
        (PortVlan.access(10), None, 10),
        (PortVlan.access(10), (C_TAG, 10), 10),
        (PortVlan.trunk([20, 30], native=10), (C_TAG, 20), 20),
        (PortVlan.trunk([20, 30]), None, None),
        (PortVlan.access(10), (C_TAG, 20), None),
    ],
)
@on_both_loops
async def test_it_leaves_as_it_is_and_is_in_the_vlan_that_the_port_has_it_in(
    vlan: PortVlan, tag: tuple[int, int] | None, vid: int | None, line: Line | None
) -> None:
    frame = raw(B, A, *([tag] if tag else []))
    async with guests(mirror(vlans={vid or 10}), line=line, vlan=vlan) as (driver, ports):
        driver.inject("a", frame, leaves=True)
        await until(lambda: ports["a"].sent)
        assert octets(ports["a"]) == [frame[HEADER:]]
        assert octets(ports["span"]) == ([frame[HEADER:]] if vid else [])


@on_both_loops
async def test_rules_of_what_is_forwarded_do_not_concern_it() -> None:
    async with guests() as (driver, ports):
        driver.inject("a", raw(LLDP, A), leaves=True)
        driver.switch.configure_port("a", PortSettings(options={"isolated": True}))
        driver.switch.configure_port("b", PortSettings(options={"isolated": True}))
        driver.inject("a", raw(BROADCAST, BROADCAST), leaves=True)
        assert len(ports["a"].sent) == 2
        assert not [*driver.switch.fdb.rows(driver.clock())], "nothing is learned from it"
        assert counters(driver, "a").receive.frames == [0, 0, 0]


@on_both_loops
async def test_the_impairment_loses_it_by_its_word() -> None:
    async with guests(mirror(), line=Line(loss=Every(2))) as (driver, ports):
        capture = watch(driver)
        for _ in range(4):
            driver.inject("a", FRAME, leaves=True)
        await until(lambda: len(ports["a"].sent) == 2)
        assert counters(driver, "a").dropped[Reason.IMPAIRED] == 2
        assert counters(driver, "a").transmit.frames == [2, 0, 0]
        assert len(ports["span"].sent) == 2, "a mirror copies what leaves"
        shown = [each for each in seen(capture) if each[0] == "a"]
        assert sorted(shown) == [("a", OUTBOUND, "")] * 2 + [("a", OUTBOUND, "dropped: impaired")] * 2


@on_both_loops
async def test_the_impairment_delays_it() -> None:
    async with guests(mirror(), line=Line(delay=0.02)) as (driver, ports):
        begin = driver.clock()
        driver.inject("a", FRAME, leaves=True)
        assert not ports["a"].sent
        assert not ports["span"].sent
        await until(lambda: ports["a"].sent)
        assert driver.clock() - begin >= 0.02
        assert octets(ports["a"]) == octets(ports["span"]) == [FRAME[HEADER:]]


@on_both_loops
async def test_at_a_port_that_is_down_it_is_lost_and_not_copied() -> None:
    async with guests(mirror(sent=True)) as (driver, ports):
        driver.switch.set_port_state(driver.switch.ports["a"], up=False)
        driver.inject("a", FRAME, leaves=True)
        assert counters(driver, "a").dropped[Reason.PORT_DOWN] == 1
        assert not ports["a"].sent
        assert not ports["span"].sent


async def until(happened: Callable[[], object]) -> None:
    """Let time pass until something happened."""
    for _ in range(10_000):
        if happened():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not happen")
