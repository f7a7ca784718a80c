"""A real `vswitch run` as a process of its own, and what a test does to it."""

from __future__ import annotations

import itertools
import os
import select
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from vswitch.control.client import CallError, Client
from vswitch.lab import rootless

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from vswitch.lab.guest import Guest

VSWITCH = [sys.executable, "-m", "vswitch"]
PATIENCE = 30.0  # seconds until what has not happened is taken not to happen

SILENCE = 2.0  # seconds after which no more frames are expected

SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING, TP_STATUS_VLAN_VALID = 263, 8, 23, 0x10

_numbers = itertools.count()


def unique(prefix: str = "t") -> str:
    """A name that no other test has, short enough for an interface."""
    return f"{prefix}{os.getpid() % 100_000:05d}x{next(_numbers)}"


def until(happened: Callable[[], object], what: str) -> None:
    """Wait for something, for as long as it takes within reason."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"waited {PATIENCE:.0f} s for {what}"
        time.sleep(0.02)


def need_taps() -> None:
    """Skip, and say why, where a TAP or a namespace cannot be had."""
    if rootless.needed():
        pytest.skip("needs root, or a user namespace of one's own")
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        pytest.skip(f"needs /dev/net/tun: {error.strerror}")


class Running:
    """A switch in a process: a context that ends it."""

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        *,
        environment: dict[str, str] | None = None,
        fds: tuple[int, ...] = (),
        wrapper: tuple[str, ...] = (),
    ) -> None:
        """fds: what the process inherits.  wrapper: a command that it is run by."""
        self.folder = folder
        self.control = Path(config.get("control", folder / f"{config['name']}.sock"))
        self.file = folder / f"{config['name']}.yml"
        self.log = folder / f"{config['name']}.log"
        self.environment = environment or {}
        self.fds = fds
        self.wrapper = wrapper
        self.write(config)
        self.client = Client(self.control)
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, config: dict[str, Any]) -> None:
        """Write the configuration file anew."""
        self.file.write_text(yaml.safe_dump({"control": str(self.control), **config}, sort_keys=False))

    def __enter__(self) -> Running:
        self.start()
        return self

    def start(self) -> None:
        """Start, and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, *VSWITCH, "run", str(self.file)],
                stderr=log,
                stdout=log,
                env={**os.environ, **self.environment},
                pass_fds=self.fds,
            )
        until(self._answers, f"the switch to start:\n{self.log.read_text()}")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the switch ended:\n{self.log.read_text()}"
        try:
            self.client.call("GET", "switch")
        except CallError:
            return False
        return True

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()

    def ports(self) -> dict[str, dict[str, Any]]:
        """`show ports`, by name."""
        return {row["port"]: row for row in self.client.call("GET", "ports")}

    def dropped(self, port: str) -> dict[str, int]:
        """The drops of a port, those that happened."""
        return {reason: count for reason, count in self.ports()[port]["dropped"].items() if count}

    def vswitch(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command to this switch, as from a shell."""
        return vswitch("--control", str(self.control), *arguments)


def vswitch(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, as from a shell."""
    return subprocess.run([*VSWITCH, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)


def listen(guest: Guest, interface: str) -> socket.socket:
    """A packet socket that hears what arrives at an interface of a guest, VLAN tags included."""
    wire = guest.wire(interface)
    wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    wire.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    return wire


def receive(wire: socket.socket, count: int, *, ethertype: int = 0x88B5) -> list[bytes]:
    """So many frames of one type from a `listen` socket; fewer where no more come."""
    return list(itertools.islice((frame for frame in _arriving(wire) if is_of(frame, ethertype)), count))


def is_of(frame: bytes, ethertype: int) -> bool:
    """Whether this is the frame's type, behind any tags."""
    at = 12
    while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    return frame[at : at + 2] == ethertype.to_bytes(2)


def _arriving(wire: socket.socket) -> Iterator[bytes]:
    while select.select([wire], [], [], SILENCE)[0]:
        received = wire.recvmsg(1 << 17, 256)
        yield _with_tag(received[0], received[1])


def _with_tag(octets: bytes, control: list[tuple[int, int, bytes]]) -> bytes:
    """The frame with the tag put back that AF_PACKET takes off into PACKET_AUXDATA (packet(7))."""
    for level, kind, data in control:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, *_, tci, tpid = struct.unpack("IIIHHHH", data)
            if status & TP_STATUS_VLAN_VALID:
                tag: bytes = struct.pack("!HH", tpid or 0x8100, tci)
                return octets[:12] + tag + octets[12:]
    return octets
