"""Plain sockets in the place of virtual machines, and what a test wants to see of the switch."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.running import until

if TYPE_CHECKING:
    from tests.running import Running

BROADCAST, A, B = (bytes.fromhex(text) for text in ("ffffffffffff", "020000000001", "020000000002"))
PATIENCE = 20.0


def frame(destination: bytes, source: bytes, number: int = 0) -> bytes:
    return destination + source + b"\x88\xb5" + number.to_bytes(4) + bytes(42)


class Guest:
    """The far end of a stream port."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.settimeout(PATIENCE)

    @classmethod
    def at(cls, place: object) -> Guest:
        """Call the switch."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(str(place))
        return cls(sock)

    def send(self, *frames: bytes) -> None:
        self.socket.sendall(b"".join(struct.pack("!I", len(each)) + each for each in frames))

    def receive(self) -> bytes:
        (length,) = struct.unpack("!I", self._exactly(4))
        return self._exactly(length)

    def hung_up(self) -> bool:
        """Whether the switch ends the connection, whatever it sent before."""
        with suppress(ConnectionResetError):
            while self.socket.recv(1 << 16):
                pass
        return True

    def _exactly(self, count: int) -> bytes:
        octets = b""
        while len(octets) < count:
            more = self.socket.recv(count - len(octets))
            assert more, "the switch hung up"
            octets += more
        return octets

    def close(self) -> None:
        self.socket.close()


def up(switch: Running, *ports: str) -> None:
    until(lambda: all(switch.ports()[port]["state"] == "up" for port in ports), f"{ports} to be up")


def down(switch: Running, port: str) -> None:
    until(lambda: switch.ports()[port]["state"] == "not_present", f"{port} to be down")


def exchange(one: Any, other: Any, count: int = 1) -> None:
    """So many frames one way, in order, and an answer."""
    for number in range(count):
        one.send(frame(BROADCAST, A, number))
    for number in range(count):
        assert other.receive() == frame(BROADCAST, A, number)
    other.send(frame(A, B))
    assert one.receive() == frame(A, B)


def idle(switch: Running) -> bool:
    """Whether it uses hardly any time of a processor while nobody sends anything."""
    time.sleep(0.3)
    before = _ticks(switch)
    time.sleep(1.0)
    return _ticks(switch) - before < 20


def _ticks(switch: Running) -> int:
    assert switch.process is not None
    fields = Path(f"/proc/{switch.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])
