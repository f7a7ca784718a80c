"""Instructions that the switch's own code takes for a frame, counted by callgrind: a figure that no load changes."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from perf.lab import needs
from vswitch.core.offload import HEADER, Capability
from vswitch.core.port import BridgePort
from vswitch.core.switch import Switch
from vswitch.engine import Engine
from vswitch.ports.base import Capabilities, Options, Port, PortState
from vswitch.ports.host import Host
from vswitch.stages import STAGES

WARM, BURSTS, BURST = 3, 2000, 32
HERE, THERE = 0x020000000100, 0x020000000200
FLOWS = {"": 1, ", a flow a frame": BURST}


def count() -> dict[str, float]:
    """Instructions in userspace for a frame of a burst of 32, with each twin. Raises MissingError."""
    needs("valgrind", "valgrind")
    return {
        name + of: round((_run(mode, "forward", flows) - _run(mode, "spare", flows)) / BURSTS / BURST)
        for of, flows in FLOWS.items()
        for name, mode in (("native", "require"), ("python", "off"))
    }


def _run(mode: str, what: str, flows: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        call = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--trace-children=no"]
        call += [sys.executable, "-m", "perf.instructions", what, str(flows)]
        environment = os.environ | {"VSWITCH_NATIVE": mode, "PYTHONHASHSEED": "0"}
        done = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
    return int(re.findall(r"Collected : (\d+)", done.stderr)[0])


class SocketPort(Port):
    """A port that is one end of a pair of sockets; the guest has the other one."""

    kind = "socket"
    reads_direct = writes_direct = True

    def __init__(self) -> None:
        """Not open yet."""
        super().__init__(Options(), Host())
        self.near, self.guest = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.near.setblocking(False)
        self.capabilities = Capabilities(Capability.ALL)

    def open(self) -> None:
        """It is."""
        self.state = PortState.UP

    def close(self) -> None:
        """Both ends."""
        self.near.close()
        self.guest.close()

    def fileno(self) -> int:
        """The switch's end."""
        return self.near.fileno()

    def receive_burst(self, buffers: object) -> list[memoryview]:
        """The fast path reads by itself."""
        raise NotImplementedError

    def send_burst(self, frames: object) -> int:
        """One message a frame."""
        assert isinstance(frames, list)
        for frame in frames:
            self.near.send(frame)
        return len(frames)


def frame(destination: int, source: int) -> bytes:
    """From one of the stations to another."""
    return b"".join((bytes(HEADER), destination.to_bytes(6), source.to_bytes(6), b"\x88\xb5", bytes(46)))


async def drive(flows: int, *, forward: bool) -> None:
    """Bursts from one guest to another; or the same work for everybody else, while the switch is spared."""
    still = 0.0  # no turn ends for want of time, however slow the machine that is simulated
    engine = Engine(Switch([stage() for stage in STAGES]), busy_poll=0, clock=lambda: still)
    here, there = SocketPort(), SocketPort()
    await engine.attach(BridgePort("here"), here)
    await engine.attach(BridgePort("there"), there)
    receive = partial(engine._receive, engine.attached["here"])
    pairs = [(HERE + number % flows, THERE + number % flows) for number in range(BURST)]
    for ours, theirs in pairs[:flows]:
        there.guest.send(frame(ours, theirs))
    await asyncio.sleep(0.01)
    for _ in range(flows):
        here.guest.recv(2000)
    frames = [frame(theirs, ours) for ours, theirs in pairs]
    for burst in range(WARM + BURSTS):
        spare = burst >= WARM and not forward
        for each in frames:
            here.guest.send(each)
        if not spare:
            receive()
        taker = here.near if spare else there.guest
        for _ in range(BURST):
            taker.recv(2000)
    await engine.close()


if __name__ == "__main__":
    asyncio.run(drive(int(sys.argv[2]), forward=sys.argv[1] == "forward"))
