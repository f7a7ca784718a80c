"""`vde`: a client of vde_switch, such as vde_plug, QEMU's `-netdev vde` or User-Mode Linux, in place of that program.

Ports with the same directory share it; each has one client at a time.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from vswitch.core.port import DEFAULT_MTU
from vswitch.ports.base import Cable, Capabilities, Options, PortError, PortState, qemu_word
from vswitch.ports.meeting import Meeting
from vswitch.ports.vdedirectory import Caller, VdeDirectory, address
from vswitch.ports.wired import WiredPort
from vswitch.ports.wires import DatagramWire
from vswitch.units import Mtu, SocketPath, Whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vswitch.ports.host import Host


class VdeOptions(Options):
    """The directory that clients know, and which of its ports this is."""

    vde: SocketPath = Field(description="the directory that clients are told, as of `vde_switch -s`")
    number: Annotated[Whole, Field(ge=1, le=65535)] | None = Field(
        None, description="the port's number, for clients that ask for one; by default the first that is free"
    )
    mtu: Mtu = Field(DEFAULT_MTU, description="octets of payload in a frame")

    def device(self) -> object:
        """One number, one port; many ports, one directory."""
        return None if self.number is None else ("vde", self.vde, self.number)


class VdePort(WiredPort):
    """One client, by a pair of datagram sockets and the connection that it asked for them by."""

    kind = "vde"
    options_type = VdeOptions
    far_end = "guest"

    options: VdeOptions

    def __init__(self, options: Options, host: Host) -> None:
        """Not open yet."""
        super().__init__(options, host)
        self.capabilities = Capabilities(mtu=self.options.mtu)
        self.device = self.options.vde
        self._directory: VdeDirectory | None = None
        self._number = 0
        self._epoll: select.epoll | None = None
        self._bell = -1
        self._caller: Caller | None = None
        self._meeting: Meeting | None = None

    def open(self) -> None:
        """Be one of the directory's ports."""
        place = self.options.vde
        directory = self.host.share(("vde", place), partial(VdeDirectory, place))
        try:
            self._number = directory.join(self.options.number, self._take)
        except BaseException:
            self.host.unshare(("vde", place))
            raise
        self._directory = directory
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll = select.epoll()
        for fd in (directory.fileno(), self._bell):
            self._epoll.register(fd, select.EPOLLIN)

    def close(self) -> None:
        """Let the client go; the directory goes with the last port."""
        self.lose()
        if self._directory is None:
            return
        self._directory.part(self._number)
        self._directory = None
        self.host.unshare(("vde", self.options.vde))
        if self._epoll is not None:
            self._epoll.close()
        bell, self._bell = self._bell, -1
        if bell >= 0:
            os.close(bell)

    def fileno(self) -> int:
        """One descriptor for frames, for the connection's end, and for callers to the directory."""
        return self._epoll.fileno() if self._epoll and not self._epoll.closed else -1

    doorbell = fileno

    def answer(self) -> None:
        """Serve whoever calls, and have the client that was given to this port."""
        if self._directory is not None:
            self._directory.serve()
        if self._caller is not None:
            self._ring(False)
            self._welcome(self._caller)

    def cable(self) -> Cable:
        """As QEMU takes it, where it was built with VDE; the port's number where the configuration has one."""
        number = "" if self.options.number is None else f",port={self.options.number}"
        return Cable(f"vde,sock={qemu_word(self.options.vde)}{number}")

    def receive_burst(self, buffers: Sequence[memoryview]) -> list[memoryview]:
        """Frames first; only where there are none, it is something else that the descriptor told of."""
        if self._wire is None or self._caller is None or self._directory is None:
            return []
        filled = self._wire.receive_burst(buffers)
        if not filled:
            self._directory.serve()
            with suppress(BlockingIOError):
                if not self._caller.connection.recv(1024):
                    raise ConnectionResetError("the client is gone")
        return filled

    def lose(self) -> None:
        """The client is gone, and what it may have left in the directory goes too."""
        self.state = PortState.NOT_PRESENT
        caller, self._caller = self._caller, None
        if caller is not None:
            caller.connection.close()
            own = Path(caller.path)
            if own.parent == Path(self.options.vde) and own.name.startswith("."):  # as libvdeplug calls it
                with suppress(OSError):
                    own.unlink()
        meeting, self._meeting, self._wire = self._meeting, None, None
        if meeting is not None:
            meeting.close()
        if self._bell >= 0 and self._directory is not None:
            self._ring(False)

    def _take(self, caller: Caller) -> bool:
        """The directory has a client for this port, which may be asleep or at rest."""
        if self._caller is not None:
            return False
        self._caller = caller
        self._ring(True)
        return True

    def _ring(self, on: bool) -> None:
        with suppress(BlockingIOError):
            os.eventfd_write(self._bell, 1) if on else os.eventfd_read(self._bell)

    def _welcome(self, caller: Caller) -> None:
        """Make the port's own socket, and tell the client."""
        try:
            own = Path(self.options.vde, f"{self._number:03d}.{os.getpid()}")
            self._meeting = Meeting(str(own), socket.SOCK_DGRAM)
            self._meeting.socket.connect(caller.path)
            caller.connection.send(address(own))
        except (OSError, PortError):
            self.lose()
            return
        self._wire = DatagramWire(self._meeting.socket)
        if self._epoll is not None:
            self._epoll.register(self._meeting.socket, select.EPOLLIN)
            self._epoll.register(caller.connection, select.EPOLLIN)
        self.state = PortState.UP
