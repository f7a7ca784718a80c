"""A frame whose rest never comes: its sender is let go in time, and nobody else."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

import pytest

from tests.unit.test_engine import on_both_loops
from vswitch import keeper
from vswitch.core.port import BridgePort
from vswitch.core.switch import Switch
from vswitch.core.verdict import Reason
from vswitch.engine import Engine
from vswitch.ports.base import PortState
from vswitch.ports.fd import FdOptions, FdPort
from vswitch.ports.host import Host
from vswitch.ports.memory import MemoryPort
from vswitch.ports.qemu import QemuOptions, QemuPort

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from vswitch.ports.base import Port

FRAME = b"\xff" * 6 + b"\x02\0\0\0\0\x01" + b"\x88\xb5" + bytes(46)
WHOLE = struct.pack("!I", len(FRAME)) + FRAME
PARTS = [b"\0", WHOLE[:4], WHOLE[:20], WHOLE[:-1]]
LIMIT = 0.6


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "WHOLE", LIMIT)


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not happened():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def engine(port: Port) -> AsyncIterator[Engine]:
    """A switch with this port, and one that takes what comes in by it."""
    driver = Engine(Switch())
    await driver.attach(BridgePort("taker"), MemoryPort())
    await driver.attach(BridgePort("x"), port)
    try:
        yield driver
    finally:
        await driver.close()


def dropped(driver: Engine) -> dict[Reason, int]:
    counters = driver.switch.ports["x"].counters
    return {reason: counters.dropped[reason] for reason in Reason if counters.dropped[reason]}


def handed(sock: socket.socket) -> FdPort:
    return FdPort(FdOptions.model_validate({"fd": sock.fileno()}), Host())


async def lost(driver: Engine, port: Port, guest: socket.socket) -> None:
    """The port comes to be without its guest, which is told, for the one reason that it may have."""
    await until(lambda: dropped(driver))
    assert dropped(driver) == {Reason.TRUNCATED: 1}
    assert port.state is PortState.NOT_PRESENT
    guest.settimeout(5)
    assert guest.recv(1) == b""


@on_both_loops
async def test_who_sends_a_part_of_a_frame_and_no_more_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    for part in PARTS:
        near, far = socket.socketpair()
        with closing(near), closing(far):
            async with engine(port := handed(near)) as driver:
                near.close()
                far.send(part)
                await lost(driver, port, far)
    assert caplog.messages.count("port x lost its guest: it did not send the rest of a frame within 0.6 seconds") == 4


@on_both_loops
async def test_frames_before_it_do_not_help(tmp_path: Path) -> None:
    async with engine(port := QemuPort(QemuOptions.model_validate({"qemu": str(tmp_path / "x")}), Host())) as driver:
        with closing(socket.socket(socket.AF_UNIX)) as far:
            far.connect(str(tmp_path / "x"))
            for _ in range(10):
                far.send(WHOLE[30:] + WHOLE[:30] if _ else WHOLE + WHOLE[:30])
                await asyncio.sleep(LIMIT / 8)
            assert port.state is PortState.UP
            await lost(driver, port, far)
        assert driver.switch.ports["x"].counters.receive.frames[2] == 10


@on_both_loops
async def test_nor_does_it_to_send_it_in_drops() -> None:
    near, far = socket.socketpair()
    with closing(near), closing(far):
        async with engine(port := handed(near)) as driver:
            near.close()
            far.send(struct.pack("!I", 60_000))
            while port.state is PortState.UP:
                far.send(b"x")
                await asyncio.sleep(LIMIT / 10)
            assert dropped(driver) == {Reason.TRUNCATED: 1}


@on_both_loops
async def test_the_next_guest_is_let_in_and_has_a_time_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "REST", 0.0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = probe.getsockname()
    async with engine(
        port := QemuPort(QemuOptions.model_validate({"qemu": f"{place[0]}:{place[1]}"}), Host())
    ) as driver:
        with closing(socket.create_connection(place)) as far:
            far.send(WHOLE[:20])
            await lost(driver, port, far)
        with closing(socket.create_connection(place)) as far:
            far.send(WHOLE[:20])
            await until(lambda: port.state is PortState.UP)
            await asyncio.sleep(LIMIT / 2)
        await until(lambda: port.state is PortState.NOT_PRESENT)
        with closing(socket.create_connection(place)) as far:
            began = time.monotonic()
            far.send(WHOLE[:20])
            await until(lambda: dropped(driver)[Reason.TRUNCATED] == 3)
            assert time.monotonic() - began >= LIMIT
        with closing(socket.create_connection(place)) as far:
            far.send(WHOLE)
            await until(lambda: driver.switch.ports["x"].counters.receive.frames[2] == 1)
            await asyncio.sleep(3 * LIMIT)
            assert port.state is PortState.UP, "who is silent between two frames stays"


@on_both_loops
async def test_a_loop_that_was_stopped_reads_the_rest_before_it_judges() -> None:
    near, far = socket.socketpair()
    with closing(near), closing(far):
        async with engine(port := handed(near)) as driver:
            near.close()
            far.send(WHOLE[:20])
            await until(lambda: port.unfinished() is not None)
            far.send(WHOLE[20:])
            asyncio.get_running_loop().call_soon(_stopped)
            await until(lambda: driver.switch.ports["x"].counters.receive.frames[2] == 1)
            await asyncio.sleep(3 * LIMIT)
            assert port.state is PortState.UP
            assert not dropped(driver)


def _stopped() -> None:
    """As a process that got SIGSTOP: no time passes for it, and then all of it has."""
    time.sleep(2 * LIMIT)
