"""Virtual machines by socket, with plain sockets in their place: they come, go and misbehave."""

from __future__ import annotations

import resource
import signal
import socket
import stat
import struct
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.running import until
from tests.sockets.peers import BROADCAST, PATIENCE, A, B, Guest, down, exchange, frame, idle, up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.running import Running


def test_a_stream_whose_machine_calls_the_switch(start: Callable[..., Running], tmp_path: Path) -> None:
    switch = start(a={"qemu": str(tmp_path / "a")}, b={"qemu": str(tmp_path / "b"), "mtu": 9000})
    assert {port["state"] for port in switch.ports().values()} == {"not_present"}
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o660
    with closing(Guest.at(tmp_path / "a")) as a, closing(Guest.at(tmp_path / "b")) as b:
        up(switch, "a", "b")
        exchange(a, b, 500)
        assert switch.ports()["b"]["mtu"] == 9000
    switch.stop()
    assert not (tmp_path / "a").exists()


def test_a_stream_whose_machine_is_called_as_often_as_it_comes(start: Callable[..., Running], tmp_path: Path) -> None:
    switch = start(a={"qemu": str(tmp_path / "a"), "server": False}, b={"qemu": str(tmp_path / "b")})
    with closing(Guest.at(tmp_path / "b")) as b:
        for _ in range(2):
            with closing(socket.socket(socket.AF_UNIX)) as listener:
                listener.bind(str(tmp_path / "a"))
                listener.listen(1)
                listener.settimeout(PATIENCE)
                with closing(Guest(listener.accept()[0])) as a:
                    up(switch, "a", "b")
                    exchange(a, b)
            (tmp_path / "a").unlink()
            down(switch, "a")


def test_a_stream_by_tcp_on_loopback(start: Callable[..., Running], tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = probe.getsockname()
    switch = start(a={"qemu": f"127.0.0.1:{place[1]}"}, b={"qemu": str(tmp_path / "b")})
    with closing(Guest(socket.create_connection(place))) as a, closing(Guest.at(tmp_path / "b")) as b:
        up(switch, "a", "b")
        exchange(a, b, 100)


class Datagrams:
    """The far end of a dgram port."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.own = Path(f"{place}.guest")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.own))
        self.socket.settimeout(PATIENCE)

    def send(self, octets: bytes) -> None:
        self.socket.sendto(octets, str(self.place))

    def receive(self) -> bytes:
        return self.socket.recv(1 << 16)

    def close(self) -> None:
        self.socket.close()
        self.own.unlink()


def test_datagrams_and_a_machine_that_comes_again(start: Callable[..., Running], tmp_path: Path) -> None:
    switch = start(a={"qemu": str(tmp_path / "a"), "netdev": "dgram"}, b={"qemu": str(tmp_path / "b")})
    with closing(Guest.at(tmp_path / "b")) as b:
        up(switch, "b")
        for _ in range(2):
            with closing(Datagrams(tmp_path / "a")) as a:
                a.send(frame(BROADCAST, A))  # tells that it is there
                up(switch, "a")
                assert b.receive() == frame(BROADCAST, A)
                exchange(a, b)
            b.send(frame(BROADCAST, B))  # shows that it is gone
            down(switch, "a")


def test_a_machine_that_goes_costs_the_others_nothing(start: Callable[..., Running], tmp_path: Path) -> None:
    switch = start(**{name: {"qemu": str(tmp_path / name)} for name in "abc"})
    with closing(Guest.at(tmp_path / "a")) as a, closing(Guest.at(tmp_path / "b")) as b:
        for _ in range(3):
            with closing(Guest.at(tmp_path / "c")) as c:
                up(switch, "a", "b", "c")
                exchange(a, b, 200)
                c.receive()
            down(switch, "c")
            exchange(a, b, 200)
        assert not switch.dropped("b")


def test_a_switch_that_was_killed_starts_over_what_it_left(start: Callable[..., Running], tmp_path: Path) -> None:
    ports = {"a": {"qemu": str(tmp_path / "a")}, "d": {"qemu": str(tmp_path / "d"), "netdev": "dgram"}}
    start(**ports).stop(signal.SIGKILL)
    assert (tmp_path / "a").exists()
    switch = start(**ports)
    with closing(Guest.at(tmp_path / "a")):
        up(switch, "a")
    result = start(b={"qemu": str(tmp_path / "b")}).vswitch("port", "add", "x", "--qemu", str(tmp_path / "a"))
    assert (result.returncode, "in use by another program" in result.stderr) == (1, True)


def test_a_folder_that_is_not_there_is_said(start: Callable[..., Running], tmp_path: Path) -> None:
    result = start().vswitch("port", "add", "x", "--qemu", str(tmp_path / "no" / "a"))
    assert (result.returncode, "there is no such folder" in result.stderr) == (1, True)


# Hostile peers


@pytest.fixture
def besieged(start: Callable[..., Running], tmp_path: Path) -> Iterator[tuple[Running, Guest, Guest]]:
    """A switch with two who talk, and a port `x` for whoever misbehaves; they still talk in the end."""
    switch = start(**{name: {"qemu": str(tmp_path / name)} for name in "abx"})
    with closing(Guest.at(tmp_path / "a")) as a, closing(Guest.at(tmp_path / "b")) as b:
        up(switch, "a", "b")
        yield switch, a, b
        exchange(a, b, 100)
        assert not switch.dropped("a")
        assert not switch.dropped("b")
        assert idle(switch), "the switch is busy with nothing"


def test_no_octets_are_no_frame(besieged: tuple[Running, Guest, Guest], tmp_path: Path) -> None:
    switch, a, b = besieged
    with closing(Guest.at(tmp_path / "x")) as x:
        x.send(b"", b"\xff" * 13, frame(BROADCAST, A, 7))
        assert b.receive() == a.receive() == frame(BROADCAST, A, 7)
    assert switch.dropped("x") == {"runt": 2}


def test_a_length_that_no_frame_has_ends_the_connection_and_not_the_port(
    besieged: tuple[Running, Guest, Guest], tmp_path: Path
) -> None:
    switch, a, b = besieged
    for _ in range(3):
        with closing(Guest.at(tmp_path / "x")) as x:
            x.socket.sendall(b"\xff" * 4)
            assert x.hung_up()
    assert switch.dropped("x") == {"oversize": 3}
    assert "it announced a frame of 4294967295 octets" in switch.log.read_text()
    with closing(Guest.at(tmp_path / "x")) as x:
        up(switch, "x")
        x.send(frame(BROADCAST, A, 9))
        assert b.receive() == a.receive() == frame(BROADCAST, A, 9)


def test_a_frame_that_never_ends_harms_nobody(besieged: tuple[Running, Guest, Guest], tmp_path: Path) -> None:
    switch, a, b = besieged
    with closing(Guest.at(tmp_path / "x")) as x:
        x.socket.sendall(struct.pack("!I", 60000))
        up(switch, "x")
        for _ in range(50):
            x.socket.sendall(b"x")
            a.send(frame(BROADCAST, A))
            assert b.receive() == frame(BROADCAST, A)
        assert not switch.dropped("x"), "it may come to an end yet"
    down(switch, "x")
    assert switch.dropped("x") == {"truncated": 1}


def test_callers_without_number_are_bounded(besieged: tuple[Running, Guest, Guest], tmp_path: Path) -> None:
    switch, a, b = besieged
    assert switch.process is not None
    process = Path(f"/proc/{switch.process.pid}")
    held: list[socket.socket] = []
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200
    try:
        for number in range(10_000):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            with suppress(BlockingIOError):
                sock.connect(str(tmp_path / "x"))
            held.append(sock)
            if len(held) > min(room, 500):
                held.pop(0).close()
            if number % 1000 == 0:
                a.send(frame(BROADCAST, A, number))
                assert b.receive() == frame(BROADCAST, A, number)
        assert len(list((process / "fd").iterdir())) < 100
    finally:
        for sock in held:
            sock.close()
    until(lambda: switch.ports()["x"]["state"] == "not_present", "the last of them to be gone")


def test_who_does_not_read_loses_alone(besieged: tuple[Running, Guest, Guest], tmp_path: Path) -> None:
    switch, a, b = besieged
    with closing(Guest.at(tmp_path / "x")):
        up(switch, "x")
        for number in range(20_000):
            a.send(frame(BROADCAST, A, number))
            assert b.receive() == frame(BROADCAST, A, number)
        assert switch.dropped("x")["queue_full"] > 0
        assert switch.process is not None
        status = Path(f"/proc/{switch.process.pid}/status").read_text()
        assert int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) < 400_000
