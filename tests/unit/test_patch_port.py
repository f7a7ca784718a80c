"""A cable between two switches of one process: both ends, and what becomes of one without the other."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import pytest

from vswitch.core.offload import PLAIN, Capability
from vswitch.core.port import BridgePort
from vswitch.core.switch import Switch
from vswitch.engine import Engine
from vswitch.ports import PortError, PortState
from vswitch.ports.host import Host
from vswitch.ports.memory import MemoryPort
from vswitch.ports.patch import PatchOptions, PatchPort

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME = bytes.fromhex("ffffffffffff 020000000001 88b5") + bytes(46)
SUPERFRAME = bytes(65000)


def options(name: str, **more: int) -> PatchOptions:
    return PatchOptions.model_validate({"patch": name, **more})


def port(host: Host, name: str = "c") -> PatchPort:
    return PatchPort(options(name), host)


def pair(host: Host) -> tuple[PatchPort, PatchPort]:
    one, other = port(host), port(host)
    one.open()
    other.open()
    one.answer()
    return one, other


def buffers(count: int) -> list[memoryview]:
    return [memoryview(bytearray(70_000)) for _ in range(count)]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_frames_keep_their_header_and_their_bounds() -> None:
    one, other = pair(Host())
    frames = [PLAIN + FRAME, PLAIN + SUPERFRAME, PLAIN + FRAME]
    assert one.send_burst(frames) == 3
    assert [bytes(frame) for frame in other.receive_burst(buffers(8))] == frames
    assert other.receive_burst(buffers(1)) == []
    assert one.capabilities.offload == Capability.ALL
    one.close()
    other.close()


def test_the_first_end_waits_until_the_bell_rings() -> None:
    host = Host()
    one, other = port(host), port(host)
    one.open()
    one.answer()
    assert (one.state, one.fileno()) == (PortState.NOT_PRESENT, -1)
    other.open()
    assert other.state is PortState.UP
    one.answer()
    assert one.state is PortState.UP
    one.close()
    other.close()


def test_an_end_that_goes_is_noticed_and_may_come_again() -> None:
    host = Host()
    one, other = pair(host)
    other.close()
    with pytest.raises(ConnectionResetError):
        one.receive_burst(buffers(1))
    with pytest.raises(BrokenPipeError):
        one.send_burst([PLAIN + FRAME])
    one.lose()
    again = port(host)
    again.open()
    one.answer()
    assert one.send_burst([PLAIN + FRAME]) == 1
    assert len(again.receive_burst(buffers(4))) == 1
    one.close()
    again.close()


def test_a_cable_has_two_ends_and_nothing_of_it_is_left() -> None:
    before = descriptors()
    host = Host()
    one, other = pair(host)
    third = port(host)
    with pytest.raises(PortError, match="both ends of the cable c are taken"):
        third.open()
    third.close()
    unclaimed, brings = port(host, "d"), port(host, "d")
    unclaimed.open()
    brings.open()
    for each in (one, other, unclaimed, brings, one):
        each.close()
    assert descriptors() == before


def test_a_full_cable_says_not_now() -> None:
    one, other = pair(Host())
    sent = 0
    while (taken := one.send_burst([PLAIN + SUPERFRAME] * 8)) == 8:
        sent += taken
        assert sent < 10_000
    assert one.send_burst([PLAIN + FRAME]) == 0
    other.receive_burst(buffers(16))
    assert one.send_burst([PLAIN + FRAME]) == 1
    one.close()
    other.close()


def test_ends_that_open_at_once_meet() -> None:
    for _ in range(50):
        host = Host()
        ends = [port(host), port(host)]
        threads = [threading.Thread(target=end.open) for end in ends]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for end in ends:
            end.answer()
        assert [end.state for end in ends] == [PortState.UP, PortState.UP]
        for end in ends:
            end.close()


def test_the_mtu_changes_in_place_and_the_cable_does_not() -> None:
    one, other = pair(Host())
    assert one.change(options("c", mtu=1500))
    assert one.capabilities.mtu == 1500
    assert not one.change(options("d"))
    one.close()
    other.close()


async def until(happened: Callable[[], bool]) -> None:
    for _ in range(500):
        if happened():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


def test_two_engines_forward_over_it_and_notice_when_it_is_cut() -> None:
    async def scenario() -> None:
        host, engines, guests = Host(), [], []
        for _ in range(2):
            engine, guest = Engine(Switch()), MemoryPort()
            await engine.attach(BridgePort("guest"), guest)
            await engine.attach(BridgePort("cable"), port(host))
            engines.append(engine)
            guests.append(guest)
        await until(lambda: all(engine.switch.ports["cable"].up for engine in engines))
        for number in range(1, 6):
            guests[0].inject(FRAME)
            await until(lambda number=number: len(guests[1].sent) == number)  # type: ignore[misc]
        assert guests[1].sent[-1] == PLAIN + FRAME
        await engines[1].detach("cable")
        await until(lambda: not engines[0].switch.ports["cable"].up)
        await engines[1].attach(BridgePort("cable"), port(host))
        await until(lambda: all(engine.switch.ports["cable"].up for engine in engines))
        guests[1].inject(FRAME)
        await until(lambda: len(guests[0].sent) == 1)
        for engine in engines:
            await engine.close()

    asyncio.run(scenario())
