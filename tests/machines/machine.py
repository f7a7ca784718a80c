"""A virtual machine that runs a real Linux under QEMU, without help of the processor, and what a test does in it."""

from __future__ import annotations

import itertools
import select
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from tests.machines.image import image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

QEMU = "qemu-system-x86_64"
PATIENCE = 120.0  # seconds until what a machine has not done is taken not to be done

OFFLOADS = ("csum", "gso", "host_tso4", "host_tso6", "host_ecn", "host_ufo", "guest_csum", "guest_tso4", "guest_tso6",
            "guest_ecn", "guest_ufo")  # fmt: skip
"""Properties of virtio-net-pci: `host_` is what the machine may leave to the other side, `guest_` what it takes."""


def hardware(*, offload: bool) -> str:
    """What the card of a test has beyond what a user gives it."""
    return ",romfile=" + ("" if offload else "".join(f",{name}=off" for name in OFFLOADS))


def device(netdev: str, mac: str, *, offload: bool = True, mtu: int = 1500) -> str:
    """The argument of `-device` for a network card."""
    more = f",host_mtu={mtu}" if mtu != 1500 else ""
    return f"virtio-net-pci,netdev={netdev},mac={mac}{more}{hardware(offload=offload)}"


class Shell:
    """What takes commands inside of a machine, by its second serial line."""

    def __init__(self, log: Path) -> None:
        """log: what the machine writes on its console."""
        self.log = log
        self._numbers = itertools.count()
        self._come = b""
        self._channel: socket.socket | None = None

    def connect(self, channel: socket.socket) -> None:
        """Of a machine that starts to boot."""
        self._channel = channel
        self._come = b""

    def disconnect(self) -> None:
        """The machine is gone."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def booted(self) -> None:
        """Wait until it takes commands."""
        self._until(b"ready\n")

    def run(self, command: str) -> str:
        """What a shell command in the machine prints; an AssertionError with that where it fails."""
        mark = f"@{next(self._numbers)}@"
        assert self._channel is not None
        self._channel.sendall(f"{{ {command}; }}; echo {mark} $?\n".encode())
        output = self._until(f"{mark} ".encode())
        status = self._until(b"\n")
        assert status.strip() == b"0", f"{command}: {output.decode(errors='replace')}"
        return output.decode(errors="replace")

    def _until(self, end: bytes) -> bytes:
        """What comes before `end`."""
        assert self._channel is not None
        deadline = time.monotonic() + PATIENCE
        while end not in self._come:
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self._channel], [], [], left)[0]
            octets = self._channel.recv(1 << 16) if ready else b""
            assert octets, f"the machine says no more:\n{self._come.decode(errors='replace')}\n{self._tail()}"
            self._come += octets
        before, _, self._come = self._come.partition(end)
        return before

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


class Machine(Shell):
    """A machine as a context: it boots, and is gone at the end."""

    def __init__(
        self, folder: Path, name: str, *arguments: str, wrapper: Sequence[str] = (), fds: Sequence[int] = ()
    ) -> None:
        """arguments: QEMU's for the network.  wrapper: a command that QEMU is run by.  fds: what it inherits."""
        super().__init__(folder / f"{name}.log")
        self._arguments = arguments
        self._wrapper = wrapper
        self._fds = fds
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Machine:
        """Start to boot; `wait` waits for the end of that."""
        near, far = socket.socketpair()
        self.connect(near)
        kernel, initrd = image()
        with far, self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *self._wrapper, QEMU, "-accel", "tcg", "-m", "160", "-nodefaults", "-no-user-config", "-no-reboot",
                    "-display", "none", "-kernel", str(kernel), "-initrd", str(initrd),
                    "-append", "console=ttyS0 quiet panic=-1 mitigations=off", "-serial", "stdio",
                    "-chardev", f"socket,id=commands,fd={far.fileno()}", "-serial", "chardev:commands",
                    *self._arguments,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[far.fileno(), *self._fds],
            )  # fmt: skip
        return self

    def wait(self) -> Machine:
        """Until it takes commands."""
        self.booted()
        return self

    def __enter__(self) -> Machine:
        if self.process is None:
            self.start()
        return self.wait()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """As if its plug had been pulled."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        self.disconnect()
