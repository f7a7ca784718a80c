"""Sockets that the switch does not make: inherited, passed by systemd, handed over, or opened for a program."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.running import VSWITCH, Running, unique, until
from tests.sockets.peers import BROADCAST, PATIENCE, A, Guest, down, exchange, frame, up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ECHO = "import socket, sys; end = socket.socket(fileno=int(sys.argv[1])); end.sendall(end.recv(1 << 16))"


def pair() -> tuple[Guest, socket.socket]:
    """A guest, and the other end, which is the switch's."""
    far, near = socket.socketpair()
    return Guest(far), near


@pytest.fixture
def running(start: Callable[..., Running], tmp_path: Path) -> Iterator[tuple[Running, Guest]]:
    """A switch with a guest on port `a`."""
    switch = start(a={"qemu": str(tmp_path / "a")})
    with closing(Guest.at(tmp_path / "a")) as a:
        up(switch, "a")
        yield switch, a


def vswitch(switch: Running, near: socket.socket, *words: str) -> None:
    """A command that inherits a socket, and has `N` in its words replaced by the number."""
    fd = near.fileno()
    call = [*VSWITCH, "--control", str(switch.control), *(str(fd) if word == "N" else word for word in words)]
    subprocess.run(call, pass_fds=[fd], check=True)
    near.close()


def test_a_number_that_the_switch_inherits(tmp_path: Path) -> None:
    (one, near), (other, far) = pair(), pair()
    ports = {"one": {"fd": near.fileno()}, "other": {"fd": far.fileno()}}
    switch = Running(tmp_path, {"name": unique("f"), "ports": ports}, fds=(near.fileno(), far.fileno()))
    with near, far, closing(one), closing(other), switch:
        up(switch, "one", "other")
        exchange(one, other, 100)


@pytest.mark.program("bash")
def test_names_that_systemd_passes_and_one_that_it_is_given_to_keep(tmp_path: Path) -> None:
    """sd_listen_fds(3): the first descriptor is 3; sd_pid_notify_with_fds(3): it comes beside the datagram."""
    passed, near = pair()
    handed, far = pair()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as systemd:
        systemd.settimeout(PATIENCE)
        systemd.bind(str(tmp_path / "notify"))
        environment = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "web", "NOTIFY_SOCKET": str(tmp_path / "notify")}
        shell = f'exec 3<&{near.fileno()}; LISTEN_PID=$$ exec "$@"'
        switch = Running(
            tmp_path,
            {"name": unique("f"), "ports": {"web": {"fd": "web"}, "db": {"fd": "base"}}},
            environment=environment, fds=(near.fileno(),), wrapper=("bash", "-c", shell, "bash"),
        )  # fmt: skip
        with near, closing(passed), closing(handed), switch:
            until(lambda: switch.ports()["web"]["state"] == "up", "the one that was passed")
            assert switch.ports()["db"]["state"] == "not_present"
            assert systemd.recv(1024) == b"READY=1"
            vswitch(switch, far, "port", "set", "db", "--fd", "N")
            up(switch, "db")
            exchange(passed, handed)
            said, fds, _, _ = socket.recv_fds(systemd, 1024, 4)
            assert said.split(b"\n") == [b"FDSTORE=1", b"FDNAME=base"]
            with closing(Guest(socket.socket(fileno=fds[0]))) as kept:
                kept.send(frame(BROADCAST, A, 3))
                assert handed.receive() == frame(BROADCAST, A, 3), "it is the same socket"


def test_one_that_is_handed_over_and_replaced(running: tuple[Running, Guest]) -> None:
    switch, a = running
    b, near = pair()
    vswitch(switch, near, "port", "add", "b", "--fd", "N")
    up(switch, "b")
    exchange(a, b)
    b.close()
    down(switch, "b")
    again, near = pair()
    with closing(again):
        vswitch(switch, near, "port", "set", "b", "--isolated", "--fd", "N")
        up(switch, "b")
        exchange(a, again)
    row = switch.client.call("GET", "config")["ports"]["b"]
    assert (row["fd"], row["isolated"]) == ("b", True)
    assert switch.vswitch("port", "add", "late", "--fd", "later").returncode == 0
    assert switch.ports()["late"]["state"] == "not_present"
    result = switch.vswitch("port", "set", "a", "--fd", "0")
    assert (result.returncode, "port a takes no descriptor" in result.stderr) == (1, True)
    result = switch.vswitch("port", "add", "x", "--fd", "999")
    assert (result.returncode, "999 is not an open descriptor" in result.stderr) == (2, True)


@pytest.mark.parametrize("kind", ["stream", "dgram"])
def test_a_program_that_is_run_with_a_descriptor(running: tuple[Running, Guest], kind: str) -> None:
    switch, a = running
    command = [*VSWITCH, "--control", str(switch.control), "exec", "b", "--as", kind, "--"]
    for _ in range(2):
        with subprocess.Popen([*command, sys.executable, "-c", ECHO, "{fd}"]) as program:
            until(lambda: switch.ports().get("b", {}).get("state") == "up", "the port to be there, and up")
            a.send(frame(BROADCAST, A, 5))
            assert a.receive() == frame(BROADCAST, A, 5)
        assert program.returncode == 0
        a.send(frame(BROADCAST, A))  # a datagram's end shows when something is sent there
        down(switch, "b")


def test_a_program_that_is_not_there_makes_no_port(running: tuple[Running, Guest]) -> None:
    switch, _ = running
    result = switch.vswitch("exec", "b", "--as", "stream", "--", "no-such-program", "{fd}")
    assert (result.returncode, "there is no such program" in result.stderr) == (1, True)
    assert set(switch.ports()) == {"a"}
