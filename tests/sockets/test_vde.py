"""Clients of vde_switch: the real ones of vde2, and sockets that misbehave in their place."""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import struct
import subprocess
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.privileges import takes_root
from tests.running import unique, until
from tests.sockets.peers import BROADCAST, PATIENCE, A, B, down, exchange, frame, idle, up
from vswitch.lab.guest import Guest
from vswitch.ports.vdedirectory import parse_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.running import Running

real = pytest.mark.program("vde_plug", "dpipe", "vde_plug2tap")


class Plug:
    """A real vde_plug, which takes and gives frames with two octets of length in front."""

    def __init__(self, place: str) -> None:
        """place: the directory, `directory[port]` for a port of it."""
        self.process = subprocess.Popen(
            ["vde_plug", place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        self._come = b""

    def send(self, octets: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(struct.pack("!H", len(octets)) + octets)

    def receive(self) -> bytes:
        (length,) = struct.unpack("!H", self._exactly(2))
        return self._exactly(length)

    def refused(self) -> bool:
        """Whether it gave up by itself."""
        return self.process.wait(PATIENCE) != 0

    def close(self) -> None:
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        self.process.wait()

    def _exactly(self, count: int) -> bytes:
        assert self.process.stdout is not None
        while len(self._come) < count:
            assert select.select([self.process.stdout], [], [], PATIENCE)[0], "nothing came"
            more = os.read(self.process.stdout.fileno(), 1 << 16)
            assert more, "it ended"
            self._come += more
        octets, self._come = self._come[:count], self._come[count:]
        return octets


class Client:
    """The protocol, spoken by hand."""

    def __init__(self, folder: Path, number: int = 0) -> None:
        self.control = socket.socket(socket.AF_UNIX)
        self.control.connect(str(folder / "ctl"))  # waits where others are before it
        self.control.settimeout(PATIENCE)
        self.own = folder.parent / unique("c")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE)
        self.socket.bind(str(self.own))
        self.control.sendall(request(str(self.own), number))
        answer = self.control.recv(1024)
        assert answer, "no port for it"
        family, path = struct.unpack("=H108s", answer)
        assert family == socket.AF_UNIX
        self.socket.connect(path.split(b"\0")[0].decode())

    def send(self, octets: bytes) -> None:
        self.socket.send(octets)

    def receive(self) -> bytes:
        return self.socket.recv(1 << 16)

    def close(self) -> None:
        self.control.close()
        self.socket.close()
        self.own.unlink()


def request(path: str, number: int = 0) -> bytes:
    """As libvdeplug writes it: magic, version, type, sockaddr_un, and a description."""
    return struct.pack("=IIIH108s", 0xFEEDFACE, 3, 1 | number << 8, socket.AF_UNIX, os.fsencode(path)) + b"a test\0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "vde"


@pytest.fixture
def switch(start: Callable[..., Running], folder: Path) -> Running:
    return start(a={"vde": str(folder)}, b={"vde": str(folder)}, nine={"vde": str(folder), "number": 9})


@real
def test_vde_plug_is_served_as_by_vde_switch(switch: Running, folder: Path) -> None:
    assert stat.S_ISSOCK((folder / "ctl").stat().st_mode)
    assert {port["state"] for port in switch.ports().values()} == {"not_present"}
    with closing(Plug(str(folder))) as a, closing(Plug(f"vde://{folder}")) as b:
        up(switch, "a", "b")
        exchange(a, b, 300)
        with closing(Plug(f"{folder}[9]")) as nine:
            up(switch, "nine")
            exchange(a, nine)
            assert b.receive() == frame(BROADCAST, A)
    for port in ("a", "b", "nine"):
        down(switch, port)
    assert idle(switch)
    assert [path.name for path in folder.iterdir()] == ["ctl"]


@real
def test_who_finds_no_free_port_is_told(switch: Running, folder: Path) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(closing(Plug(str(folder))))
        up(switch, "a", "b", "nine")
        with closing(Plug(str(folder))) as more:
            assert more.refused()
        with closing(Plug(f"{folder}[9]")) as more:
            assert more.refused()
    down(switch, "a")
    with closing(Plug(f"{folder}[7]")) as more:
        assert more.refused()
    with closing(Plug(str(folder))):
        up(switch, "a")


@real
@takes_root
def test_vde_plug2tap_and_a_stream_of_tcp(start: Callable[..., Running], folder: Path) -> None:
    tag = unique("v")
    tap = {"tap": tag, "netns": tag, "address": ["10.83.0.1/24"]}
    switch = start(a={"vde": str(folder)}, n=tap)
    far = f"{tag}g"
    subprocess.run(["ip", "netns", "add", far], check=True)
    inside = ["ip", "netns", "exec", far]
    plug = None
    try:
        plug = subprocess.Popen([*inside, "vde_plug2tap", "-s", str(folder), "tap0"])
        until(lambda: b"tap0" in subprocess.check_output([*inside, "ip", "-br", "link"]), "vde_plug2tap to make it")
        subprocess.run([*inside, "ip", "link", "set", "tap0", "up"], check=True)
        subprocess.run([*inside, "ip", "addr", "add", "10.83.0.2/24", "dev", "tap0"], check=True)
        up(switch, "a")
        until(lambda: Guest(tag).ping("10.83.0.2") is not None, "an echo")
        total = _stream(Guest(far), Guest(tag), "10.83.0.1", 4 << 20)
        assert total == 4 << 20
    finally:
        if plug is not None:
            plug.terminate()
            plug.wait()
        subprocess.run(["ip", "netns", "del", far], check=True)


def _stream(sender: Guest, receiver: Guest, address: str, octets: int) -> int:
    with closing(receiver.open_socket(socket.AF_INET, socket.SOCK_STREAM)) as server:
        server.bind((address, 0))
        server.listen(1)
        with closing(sender.open_socket(socket.AF_INET, socket.SOCK_STREAM)) as client:
            client.settimeout(PATIENCE)
            client.connect(server.getsockname())
            come, _ = server.accept()
            left, count = octets, 0
            with closing(come):
                come.settimeout(PATIENCE)
                while left:
                    left -= client.send(bytes(min(left, 4096)))
                    while select.select([come], [], [], 0)[0]:
                        count += len(come.recv(1 << 16))
                client.shutdown(socket.SHUT_WR)
                while more := come.recv(1 << 16):
                    count += len(more)
    return count


@real
def test_a_client_that_is_killed_leaves_nothing_and_its_port_to_the_next(switch: Running, folder: Path) -> None:
    with closing(Plug(str(folder))) as a:
        up(switch, "a")
        for _ in range(3):
            plug = Plug(str(folder))
            up(switch, "b")
            exchange(a, plug)
            plug.process.send_signal(signal.SIGKILL)
            down(switch, "b")
            plug.close()
        names = [path.name for path in folder.iterdir()]
        assert len([name for name in names if name.startswith(".")]) <= 1, names
    switch.stop()
    assert not folder.exists()


def test_a_switch_that_was_killed_starts_over_what_it_left(start: Callable[..., Running], folder: Path) -> None:
    ports = {"a": {"vde": str(folder)}, "b": {"vde": str(folder)}}
    first = start(**ports)
    with closing(Client(folder)):
        up(first, "a")
        first.stop(signal.SIGKILL)
    assert (folder / "ctl").exists()
    switch = start(**ports)
    with closing(Client(folder)) as a, closing(Client(folder)) as b:
        up(switch, "a", "b")
        exchange(a, b)


def test_a_folder_that_is_there_stays(start: Callable[..., Running], folder: Path) -> None:
    folder.mkdir()
    start(a={"vde": str(folder)}).stop()
    assert list(folder.iterdir()) == []


def test_ports_come_and_go_while_their_directory_stays(switch: Running, folder: Path) -> None:
    with closing(Client(folder)) as a:
        up(switch, "a")
        switch.vswitch("port", "del", "b")
        switch.vswitch("port", "del", "nine")
        result = switch.vswitch("port", "add", "x", "--vde", str(folder), "--number", "4")
        assert result.returncode == 0, result.stderr
        with closing(Client(folder, 4)) as x:
            up(switch, "a", "x")
            exchange(a, x)
        switch.vswitch("port", "del", "a")
        assert a.control.recv(1) == b"", "its connection ends with its port"


def test_a_number_that_is_taken_and_a_folder_that_cannot_be(switch: Running, folder: Path, tmp_path: Path) -> None:
    result = switch.vswitch("port", "add", "x", "--vde", str(folder), "--number", "9")
    assert (result.returncode, "9" in result.stderr, len(result.stderr.splitlines())) == (1, True, 1)
    result = switch.vswitch("port", "add", "x", "--vde", str(tmp_path / "no" / "vde"))
    assert (result.returncode, "cannot make the folder" in result.stderr) == (1, True)


# Hostile callers


@pytest.fixture
def besieged(switch: Running, folder: Path) -> Iterator[tuple[Running, Client, Client]]:
    """Two who talk, and still do in the end."""
    with closing(Client(folder)) as a, closing(Client(folder)) as b:
        up(switch, "a", "b")
        yield switch, a, b
        exchange(a, b, 100)
        assert not switch.dropped("a")
        assert idle(switch), "the switch is busy with nothing"


def call(folder: Path) -> socket.socket:
    caller = socket.socket(socket.AF_UNIX)
    caller.connect(str(folder / "ctl"))  # waits where others are before it
    caller.settimeout(PATIENCE)
    return caller


@pytest.mark.parametrize(
    "octets",
    [
        b"\0",
        b"\xff" * 1024,
        request("/nowhere"),
        request("relative"),
        request("/etc/passwd"),
        request("/"),
        struct.pack("=IIIH108s", 0xFEEDFACE, 2, 1, 1, b"/x"),
        struct.pack("=IIIH108s", 0xFEEDFACE, 3, 255, 1, b"/x"),
        request("/" + "x" * 106),
    ],
)
def test_who_asks_wrongly_is_let_go(besieged: tuple[Running, Client, Client], folder: Path, octets: bytes) -> None:
    switch, _, _ = besieged
    with closing(call(folder)) as caller:
        caller.sendall(octets)
        with suppress(ConnectionResetError):
            assert caller.recv(1024) == b""
    assert switch.ports()["nine"]["state"] == "not_present"


def test_a_port_whose_own_socket_cannot_be_made_has_a_client_once_it_can(switch: Running, folder: Path) -> None:
    """Whoever may write to the folder may be in its way; the client is told, and none is kept waiting for good."""
    in_the_way = folder / f"001.{switch.client.call('GET', 'switch')['pid']}"
    in_the_way.touch()
    with closing(call(folder)) as caller, closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as own:
        own.bind(str(folder.parent / "own"))
        caller.settimeout(PATIENCE)
        caller.sendall(request(str(folder.parent / "own"), 1))
        assert caller.recv(1024) == b""
    in_the_way.unlink()
    with closing(Client(folder, 1)) as a, closing(Client(folder, 2)) as b:
        up(switch, "a", "b")
        exchange(a, b)
    assert "Traceback" not in switch.log.read_text()


def test_who_calls_and_says_nothing_keeps_nobody_out(besieged: tuple[Running, Client, Client], folder: Path) -> None:
    switch, _, _ = besieged
    assert switch.process is not None
    silent = [call(folder) for _ in range(100)]
    with closing(Client(folder)):
        up(switch, "nine")
    assert len(list(Path(f"/proc/{switch.process.pid}/fd").iterdir())) < 80
    for caller in silent:
        caller.close()


def test_ten_thousand_callers(besieged: tuple[Running, Client, Client], folder: Path) -> None:
    switch, a, b = besieged
    assert switch.process is not None
    for number in range(10_000):
        caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with closing(caller), suppress(BlockingIOError):
            caller.connect(str(folder / "ctl"))
        if number % 1000 == 0:
            a.send(frame(BROADCAST, A, number))
            assert b.receive() == frame(BROADCAST, A, number)
    assert len(list(Path(f"/proc/{switch.process.pid}/fd").iterdir())) < 80


def test_a_client_that_does_not_read_loses_alone(besieged: tuple[Running, Client, Client], folder: Path) -> None:
    switch, a, b = besieged
    with closing(Client(folder, 9)):
        up(switch, "nine")
        for number in range(5_000):
            a.send(frame(BROADCAST, A, number))
            assert b.receive() == frame(BROADCAST, A, number)
        assert switch.dropped("nine")["queue_full"] > 0


def test_runts_and_giants_are_counted(besieged: tuple[Running, Client, Client], folder: Path) -> None:
    switch, a, b = besieged
    with closing(Client(folder, 9)) as nine:
        for octets in (b"", b"\xff" * 13, bytes(60_000), frame(BROADCAST, A, 7)):
            nine.send(octets)
        assert a.receive() == b.receive() == frame(BROADCAST, A, 7)
    drops = switch.dropped("nine")
    assert drops.pop("runt") >= 1
    assert sum(drops.values()) >= 1


def test_frames_from_others_than_the_client_do_not_come_in(
    besieged: tuple[Running, Client, Client], folder: Path
) -> None:
    _, a, b = besieged
    ports = [path for path in folder.iterdir() if path.name.startswith("001.")]
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as stranger, pytest.raises(PermissionError):
        stranger.sendto(frame(BROADCAST, B), str(ports[0]))
    a.send(frame(BROADCAST, A, 1))
    assert b.receive() == frame(BROADCAST, A, 1)


@given(st.binary(max_size=300))
def test_any_octets_are_a_request_or_none(octets: bytes) -> None:
    found = parse_request(octets)
    assert found is None or found.path.startswith("/")


@given(
    st.tuples(
        st.sampled_from([0xFEEDFACE, 0]), st.integers(0, 4), st.integers(0, 2**32 - 1), st.integers(0, 3),
        st.one_of(st.binary(max_size=108), st.binary(max_size=107).map(lambda octets: b"/" + octets)),
    ),
    st.binary(max_size=128),
)  # fmt: skip
def test_a_request_is_read_as_it_was_meant(fields: tuple[int, int, int, int, bytes], description: bytes) -> None:
    magic, version, kind, family, path = fields
    found = parse_request(struct.pack("=IIIH108s", *fields) + description)
    right = (magic, version, family) == (0xFEEDFACE, 3, 1) and kind & 0xFF < 2 and path.startswith(b"/")
    assert (found is not None) == right
    if found is not None:
        assert (found.number, os.fsencode(found.path)) == (kind >> 8, path.split(b"\0")[0])
