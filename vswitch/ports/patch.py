"""`patch`: a cable between two switches of one process. Superframes pass it as they are, one a message.

Each end is a socket of a pair that keeps messages apart, so either switch's fast path reads and writes it as it does
a TAP: a frame costs a third of what it would if Python handed it over.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from pydantic import Field

from vswitch.core.offload import Capability
from vswitch.ports.base import Capabilities, Options, Port, PortError, PortState
from vswitch.ports.bursts import receive_each, send_each
from vswitch.units import MOST_MTU, Mtu

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vswitch.core.offload import Buffer
    from vswitch.ports.host import Host

ROOM: Final = 4 << 20
"""Octets that wait in a cable, in each direction; the kernel counts its own overhead twice (socket(7))."""

_SO_SNDBUFFORCE: Final = 32  # asm-generic/socket.h


class PatchOptions(Options):
    """A cable by its name."""

    patch: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,79}$",
        description="the cable's name; its other end is a port of another switch of the same lab",
    )
    mtu: Mtu = Field(MOST_MTU, description="octets of payload in a frame")

    def device(self) -> object:
        """A switch has one end of a cable at most."""
        return ("patch", self.patch)


class Cable:
    """What two ends have in common: the ports at them."""

    def __init__(self) -> None:
        """Nobody has it yet."""
        self._ends: list[PatchPort] = []
        self._lock = threading.Lock()

    def join(self, end: PatchPort) -> socket.socket | None:
        """Take an end; its socket, if the other end is there, which is brought its own. Raises PortError."""
        with self._lock:
            if len(self._ends) == 2:
                raise PortError(f"both ends of the cable {end.options.patch} are taken; name another")
            mine, its = _pair() if self._ends else (None, None)
            self._ends.append(end)
            if its is not None:
                self._ends[0].bring(its)
            return mine

    def leave(self, end: PatchPort) -> None:
        """Let an end go."""
        with self._lock:
            self._ends.remove(end)

    def close(self) -> None:
        """Both ends let go of it."""


class PatchPort(Port):
    """One end of a cable: it is up as long as the other one is there."""

    kind = "patch"
    options_type = PatchOptions
    reads_direct = writes_direct = True
    far_end = "other end"

    options: PatchOptions

    def __init__(self, options: Options, host: Host) -> None:
        """Not open yet."""
        super().__init__(options, host)
        self.capabilities = Capabilities(Capability.ALL, self.options.mtu)
        self._cable: Cable | None = None
        self._socket: socket.socket | None = None
        self._brought: socket.socket | None = None
        self._bell = -1

    def open(self) -> None:
        """Take an end; whoever takes the second one brings the sockets of both."""
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        cable = self.host.share(self._key, Cable)
        try:
            brought = cable.join(self)
        except BaseException:
            self.host.unshare(self._key)
            os.close(self._bell)
            raise
        self._cable = cable
        if brought is not None:
            self._take(brought)

    def bring(self, end: socket.socket) -> None:
        """The other end has come, with this end's socket; the loop hears the bell."""
        self._brought = end
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Let go: the other end hears of it."""
        cable, self._cable = self._cable, None
        if cable is None:
            return
        cable.leave(self)
        self.host.unshare(self._key)
        self.lose()
        brought, self._brought = self._brought, None
        if brought is not None:
            brought.close()
        bell, self._bell = self._bell, -1
        os.close(bell)

    def lose(self) -> None:
        """The other end is gone."""
        self.state = PortState.NOT_PRESENT
        old, self._socket = self._socket, None
        if old is not None:
            old.close()

    def fileno(self) -> int:
        """This end's socket."""
        return self._socket.fileno() if self._socket else -1

    def doorbell(self) -> int:
        """An eventfd, for as long as the other end is not there."""
        return self._bell

    def answer(self) -> None:
        """The other end is there."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        brought, self._brought = self._brought, None
        if brought is not None:
            self._take(brought)

    def change(self, options: Options) -> bool:
        """The MTU changes in place; another cable does not."""
        if not isinstance(options, PatchOptions) or options.patch != self.options.patch:
            return False
        self.options = options
        self.capabilities = Capabilities(Capability.ALL, options.mtu)
        return True

    def receive_burst(self, buffers: Sequence[memoryview]) -> list[memoryview]:
        """One read a frame. Raises ConnectionResetError where the other end went."""
        return receive_each(self._receive, buffers)

    def send_burst(self, frames: Sequence[Buffer]) -> int:
        """One write a frame."""
        return send_each(partial(os.write, self.fileno()), frames)

    def _receive(self, buffer: memoryview) -> memoryview:
        length = os.readv(self.fileno(), (buffer,))
        if length == 0:
            raise ConnectionResetError("the other end went")
        return buffer[:length]

    @property
    def _key(self) -> object:
        return "patch", self.options.patch

    def _take(self, end: socket.socket) -> None:
        self._socket = end
        self.state = PortState.UP


def _pair() -> tuple[socket.socket, socket.socket]:
    """Both ends' sockets, with room for bursts of superframes where the user may have that."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in pair:
        end.setblocking(False)
        try:
            end.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, ROOM)
        except PermissionError:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
    return pair
