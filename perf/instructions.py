"""Instructions that the switch's own code takes for a frame, counted by callgrind: a figure that no load changes."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from perf.lab import needs
from vswitch.core.offload import HEADER, Capability
from vswitch.core.port import BridgePort
from vswitch.core.switch import Switch
from vswitch.engine import Engine
from vswitch.ports.base import Capabilities, Options, Port, PortState
from vswitch.ports.host import Host
from vswitch.stages import STAGES

FEW, MANY = 20, 220
"""Bursts of two runs: what their difference leaves has no start-up in it."""

BURST = 32
FRAME = bytes(HEADER) + bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)
ANSWER = bytes(HEADER) + bytes.fromhex("020000000001 020000000002 88b5") + bytes(46)


def count() -> dict[str, float]:
    """Instructions in userspace for a frame of a burst of 32, with each twin. Raises MissingError."""
    needs("valgrind", "valgrind")
    return {
        name: round((_run(mode, MANY) - _run(mode, FEW)) / (MANY - FEW) / BURST)
        for name, mode in (("native", "require"), ("python", "off"))
    }


def _run(mode: str, bursts: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        call = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--trace-children=no"]
        call += [sys.executable, "-m", "perf.instructions", str(bursts)]
        environment = os.environ | {"VSWITCH_NATIVE": mode, "PYTHONHASHSEED": "0"}
        done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
    return int(re.findall(r"Collected : (\d+)", done.stderr)[0])


class SocketPort(Port):
    """A port that is one end of a pair of sockets; the guest has the other one."""

    kind = "socket"
    direct = True

    def __init__(self) -> None:
        """Not open yet."""
        super().__init__(Options(), Host())
        self._socket, self.guest = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        self.capabilities = Capabilities(Capability.ALL)

    def open(self) -> None:
        """It is."""
        self.state = PortState.UP

    def close(self) -> None:
        """Both ends."""
        self._socket.close()
        self.guest.close()

    def fileno(self) -> int:
        """The switch's end."""
        return self._socket.fileno()

    def receive_burst(self, buffers: object) -> list[memoryview]:
        """The fast path reads by itself."""
        raise NotImplementedError

    def send_burst(self, frames: object) -> int:
        """One message a frame."""
        assert isinstance(frames, list)
        for frame in frames:
            self._socket.send(frame)
        return len(frames)


async def drive(bursts: int) -> None:
    """Bursts from one guest to another; nobody else takes a turn."""
    engine = Engine(Switch([stage() for stage in STAGES]), busy_poll=0)
    here, there = SocketPort(), SocketPort()
    await engine.attach(BridgePort("here"), here)
    await engine.attach(BridgePort("there"), there)
    there.guest.send(ANSWER)
    await asyncio.sleep(0.01)
    here.guest.recv(2000)
    for _ in range(bursts):
        for _ in range(BURST):
            here.guest.send(FRAME)
        await asyncio.sleep(0)
        for _ in range(BURST):
            await asyncio.sleep(0)
            there.guest.recv(2000)
    await engine.close()


if __name__ == "__main__":
    asyncio.run(drive(int(sys.argv[1])))
