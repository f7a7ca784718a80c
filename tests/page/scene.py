"""A switch with guests that talk: what the page is looked at with, by tests and for its pictures."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from vswitch.lab.guest import Guest
from vswitch.ports import netns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SO_MAX_PACING_RATE: Final = 47
_TICK: Final = 0.02
_DATAGRAM: Final = 1400

LLDP: Final = bytes.fromhex("0180c200000e 020000000001 88cc") + bytes(50)
TAGGED: Final = bytes.fromhex("ffffffffffff 020000000001 8100 0fa0 88b5") + bytes(46)
"""In VLAN 4000, which nobody is in."""


def free_port() -> int:
    """A TCP port of loopback that nobody listens at."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@dataclass
class Paced:
    """Something that is sent again and again, `rate` times a second, give or take a share of `swing`."""

    source: socket.socket
    octets: bytes
    rate: float
    swing: float = 0.0
    due: float = 0.0

    def send(self, seconds: float, phase: float) -> None:
        """What is due after so many seconds more, at a phase of -1 to 1."""
        self.due += self.rate * seconds * (1 + self.swing * phase)
        while self.due >= 1:
            with contextlib.suppress(OSError):  # refused, or the interface is down for a while
                self.source.send(self.octets)
            self.due -= 1


class Traffic:
    """Guests that send to each other, each at a rate of its own, until the context ends."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open = contextlib.ExitStack()
        self._paced: list[Paced] = []

    def __enter__(self) -> Self:
        return self

    def datagrams(self, sender: Guest, receiver: Guest, address: str, bits: float, swing: float = 0.0) -> None:
        """UDP from one to the other, at so many bit/s of payload, or around that."""
        port = 9000 + len(self._paced)
        sink = self._open.enter_context(receiver.open_socket(socket.AF_INET, socket.SOCK_DGRAM))
        sink.bind((address, port))
        source = self._open.enter_context(sender.open_socket(socket.AF_INET, socket.SOCK_DGRAM))
        source.connect((address, port))
        self._paced.append(Paced(source, bytes(_DATAGRAM), bits / 8 / _DATAGRAM, swing))

    def frames(self, sender: Guest, interface: str, frame: bytes, rate: float) -> None:
        """The same frame, so many times a second."""
        self._paced.append(Paced(self._open.enter_context(sender.wire(interface)), frame, rate))

    def stream(self, sender: Guest, receiver: Guest, address: str, bits: int) -> None:
        """One TCP connection that carries so many bit/s."""
        server = receiver.open_socket(socket.AF_INET, socket.SOCK_STREAM)
        with server:
            server.bind((address, 0))
            server.listen(1)
            client = self._open.enter_context(sender.open_socket(socket.AF_INET, socket.SOCK_STREAM))
            client.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, bits // 8)
            client.settimeout(5.0)
            client.connect(server.getsockname())
            connection = self._open.enter_context(server.accept()[0])
        connection.settimeout(0.5)
        self._run(self._pour, client)
        self._run(self._drain, connection)

    def start(self) -> None:
        """Let those talk that send by the clock."""
        self._run(self._pace)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._open.close()

    def _run(self, work: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _pace(self) -> None:
        last = begin = time.monotonic()
        while not self._stop.wait(_TICK):
            now = time.monotonic()
            for number, paced in enumerate(self._paced):
                paced.send(now - last, math.sin((now - begin) / (5 + 3 * number) + number))
            last = now

    def _pour(self, client: socket.socket) -> None:
        chunk = bytes(1 << 16)
        while not self._stop.is_set():
            try:
                client.send(chunk)
            except TimeoutError:
                continue
            except OSError:
                return

    def _drain(self, connection: socket.socket) -> None:
        buffer = bytearray(1 << 18)
        while not self._stop.is_set():
            try:
                if not connection.recv_into(buffer):
                    return
            except TimeoutError:
                continue
            except OSError:
                return


def config(name: str, ports: Mapping[str, dict[str, Any]], tag: str, **options: Any) -> dict[str, Any]:
    """A configuration whose devices and namespaces begin with `tag`, so that nobody else has them."""
    made = {}
    for number, (port, more) in enumerate(ports.items(), 1):
        address = [f"10.88.{number // 250}.{number % 250 or 250}/16"]
        made[port] = {"tap": f"{tag}{number}", "netns": f"{tag}{number}", "address": address, **more}
    return {"name": name, **options, "ports": made}


class Guests:
    """Those of a `config`, by the names of their ports."""

    def __init__(self, ports: Sequence[str], tag: str) -> None:
        self._numbers = {port: number for number, port in enumerate(ports, 1)}
        self._tag = tag

    def __getitem__(self, port: str) -> Guest:
        return Guest(self.device(port))

    def device(self, port: str) -> str:
        """The name of its interface, and of its namespace."""
        return f"{self._tag}{self._numbers[port]}"

    def address(self, port: str) -> str:
        """Its IPv4 address."""
        number = self._numbers[port]
        return f"10.88.{number // 250}.{number % 250 or 250}"


def counters(guest: Guest, device: str) -> dict[str, int]:
    """What the kernel of the guest counts at its interface: octets and frames, received and sent."""
    namespace = netns.find(guest.namespace)
    assert namespace is not None
    with netns.inside(namespace):
        text = Path("/proc/thread-self/net/dev").read_text()
    namespace.close()
    words = next(line.split(":")[1].split() for line in text.splitlines() if line.strip().startswith(f"{device}:"))
    return {
        "rx_bytes": int(words[0]),
        "rx_frames": int(words[1]),
        "tx_bytes": int(words[8]),
        "tx_frames": int(words[9]),
    }
