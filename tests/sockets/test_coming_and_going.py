"""Ports that come and go while somebody looks, or asks for them: nobody else notices."""

from __future__ import annotations

import gc
import os
import resource
import select
import socket
import struct
import threading
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.unit.test_engine import on_both_loops
from vswitch.control.api.pump import Pump
from vswitch.control.api.table import application
from vswitch.control.config import reading as config
from vswitch.control.server import ControlServer
from vswitch.control.service import Service
from vswitch.control.status import NotFoundError
from vswitch.core.offload import PLAIN
from vswitch.core.port import BridgePort
from vswitch.observe.capture import Capture, Wanted
from vswitch.ports.base import PortError
from vswitch.ports.host import Host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

BROADCAST = PLAIN + b"\xff" * 6 + b"\x02\0\0\0\0\x01" + b"\x88\xb5" + bytes(46)


@asynccontextmanager
async def serving(*ports: str) -> AsyncIterator[Service]:
    """A switch with ports that wait for a descriptor of their name."""
    service = Service(config.validate({"name": "s", "ports": {name: {"fd": name} for name in ports}}), Host())
    await service.start()
    try:
        yield service
    finally:
        await service.stop()
        service._host.descriptors.close()


@asynccontextmanager
async def calling(service: Service, folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """One who has its API."""
    server = ControlServer(application(service))
    await server.listen(folder / "s.sock")
    try:
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(folder / "s.sock"))) as session:
            yield session
    finally:
        await server.close()


def full() -> tuple[socket.socket, socket.socket]:
    """Two ends of a cable, the first of which can send nothing."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            near.send(b"x")
    return near, far


@on_both_loops
async def test_a_port_that_is_first_seen_as_it_goes_goes_all_the_same(tmp_path: Path) -> None:
    """What waits for it is lost as it is removed: the first that a capture sees of a port that came meanwhile."""
    near, far = full()
    with closing(near), closing(far):
        async with (
            serving("a", "b") as service,
            calling(service, tmp_path) as session,
            session.get("http://s/v1/capture") as answer,
        ):
            await answer.content.readany()
            await service.add_port("late", {}, os.dup(near.fileno()))
            service.switch.set_port_state(service.switch.ports["a"], up=True)
            service.engine.inject("a", BROADCAST)
            assert len(service.engine.attached["late"].queue) == 1
            await service.delete_port("late")
            assert list(service.switch.ports) == list(service.engine.attached) == ["a", "b"]
            service.engine.inject("a", BROADCAST)


@on_both_loops
async def test_a_descriptor_for_a_port_that_is_not_there_is_closed() -> None:
    async with serving("a") as service:
        descriptor = os.open(os.devnull, os.O_RDONLY)
        with pytest.raises(NotFoundError):
            await service.hand_over("nobody", descriptor)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def test_a_capture_ends_whose_reader_reset_the_connection() -> None:
    """As a browser does that leaves octets unread: there is nothing to shut down, and no frame to find that out by."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        reader = socket.create_connection(server.getsockname())
        with closing(server.accept()[0]) as connection:
            capture = Capture(Wanted(filter="ether proto 0x1234"))
            pump = Pump(capture, connection.fileno())
            thread = threading.Thread(target=pump.run, daemon=True)
            thread.start()
            assert reader.recv(1), "the begin of it, and nothing is to follow"
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reader.close()
            assert select.select([connection], [], [], 20)[0]
            pump.stop()
            thread.join(10)
            assert not thread.is_alive()


@contextmanager
def descriptors(spare: int) -> Iterator[None]:
    """The process can open so many more, and no others."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.dup(0)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe + spare, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("kind", ["patch", "qemu", "vde", "fd"])
@on_both_loops
async def test_a_port_for_which_descriptors_are_lacking_leaves_nothing_behind(kind: str, tmp_path: Path) -> None:
    """However many there are: what was opened before is closed, what was made is removed, and it is said why."""
    place = {"patch": "cable", "qemu": str(tmp_path / "q"), "vde": str(tmp_path / "v"), "fd": "a"}
    ports = [{kind: place[kind]} for _ in range(2 if kind == "patch" else 1)]
    near, far = socket.socketpair()
    with closing(near), closing(far):
        async with serving() as service:
            service._host.descriptors.put("a", os.dup(near.fileno()))
            await service.add_port("b", {"fd": "b"})
            await service.delete_port("b")  # what the loop opens for itself is there
            before, failed, done = _open(), 0, False
            for spare in range(12):
                names = [f"p{number}" for number in range(len(ports))]
                bridges = [BridgePort(name) for name in names]
                found = [config.build_port(port, (), lambda *_: None) for port in ports]
                try:
                    with descriptors(spare):
                        for bridge, port in zip(bridges, found, strict=True):
                            assert port is not None
                            await service.engine.attach(bridge, service._attachment(port))
                    done = True
                except (PortError, OSError):
                    failed += 1
                for name in list(service.engine.attached):
                    await service.engine.detach(name)
                assert _open() == before, spare
                assert not list(tmp_path.iterdir()), spare
            assert failed
            assert done


@on_both_loops
async def test_that_descriptors_are_lacking_is_said_as_anything_else(tmp_path: Path) -> None:
    async with serving("a") as service:
        with descriptors(0), pytest.raises(PortError, match=r"port q: .*Too many open files"):
            await service.add_port("q", {"qemu": str(tmp_path / "q")})
        assert list(service.switch.ports) == ["a"]


def _open() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


@on_both_loops
async def test_more_than_so_many_explanations_are_not_made_at_once(tmp_path: Path) -> None:
    """Each has the frame as it leaves each port: of all ports all that they remember may be gigabytes."""
    async with serving("a") as service, calling(service, tmp_path) as session:
        for last, status in (("256", 200), ("257", 400), ("1" * 5000, 400), ("0", 400), ("-1", 400), ("x", 400)):
            async with session.get("http://s/v1/explain/recent", params={"last": last}) as answer:
                assert answer.status == status, await answer.text()
