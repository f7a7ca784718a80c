"""`qemu`: a virtual machine by a socket, without privileges: QEMU's `-netdev stream`, `socket` and `dgram`.

The machine comes and goes as it likes: the port is down meanwhile, and lets the next one in.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from vswitch.core.port import DEFAULT_MTU
from vswitch.ports.base import Cable, Capabilities, Options, PortError, PortState, qemu_word
from vswitch.ports.meeting import Meeting, call
from vswitch.ports.wired import WiredPort
from vswitch.ports.wires import DatagramWire, StreamWire, Wire
from vswitch.units import ListenAddress, Mtu, Place, SocketPath

if TYPE_CHECKING:
    from vswitch.ports.host import Host


class QemuOptions(Options):
    """Where the switch and a virtual machine meet, and who of them calls the other."""

    qemu: Place = Field(description="the path of a Unix socket, or a loopback address with port")
    netdev: Literal["stream", "dgram"] = Field("stream", description="QEMU's -netdev stream (or socket), or dgram")
    server: bool = Field(True, description="whether the switch waits there for QEMU, or QEMU for the switch")
    remote: SocketPath | None = Field(None, description="dgram: QEMU's own socket; by default PATH.guest")
    mtu: Mtu = Field(DEFAULT_MTU, description="octets of payload in a frame")

    @model_validator(mode="after")
    def _belongs_together(self) -> QemuOptions:
        if self.netdev == "stream" and self.remote is not None:
            raise ValueError("remote goes with `netdev: dgram`; on a stream there is one socket for both")
        if self.netdev == "dgram" and (isinstance(self.qemu, ListenAddress) or not self.server):
            raise ValueError("`netdev: dgram` takes the path of a Unix socket, and no `server: false`")
        return self

    def device(self) -> object:
        """One place, one port."""
        return ("socket", str(self.qemu))

    @property
    def far_socket(self) -> str:
        """Where QEMU has its own socket, for datagrams."""
        return self.remote or f"{self.qemu}.guest"


class QemuPort(WiredPort):
    """A virtual machine by a socket; frames have no virtio-net header there."""

    kind = "qemu"
    options_type = QemuOptions
    far_end = "guest"

    options: QemuOptions

    def __init__(self, options: Options, host: Host) -> None:
        """Not open yet."""
        super().__init__(options, host)
        self.capabilities = Capabilities(mtu=self.options.mtu)
        self.device = str(self.options.qemu)
        self.seeks = not self.options.server
        self._meeting: Meeting | None = None

    def open(self) -> None:
        """Wait for the machine, or call it; without one the port is there all the same."""
        if self.options.server:
            kind = socket.SOCK_DGRAM if self.options.netdev == "dgram" else socket.SOCK_STREAM
            self._meeting = Meeting(self.options.qemu, kind)
            self.answer()

    def close(self) -> None:
        """Hang up, and wait no longer."""
        self.lose()
        if self._meeting is not None:
            self._meeting.close()
            self._meeting = None

    def doorbell(self) -> int:
        """Where the machine calls."""
        return self._meeting.socket.fileno() if self._meeting else -1

    def answer(self) -> None:
        """Let the machine in that calls, or whose datagrams tell that it is there."""
        if self._meeting is None:
            return
        if self.options.netdev == "dgram":
            self._wire = self._find_far_socket(self._meeting.socket)
        elif (caller := self._meeting.accept()) is not None:
            self._wire = StreamWire(caller)
        if self._wire is not None:
            self.state = PortState.UP

    def cable(self) -> Cable:
        """As QEMU 7.2 and later take it; libvirt has words of its own for TCP alone."""
        options = self.options
        place, calls = qemu_word(options.qemu), options.server
        if isinstance(options.qemu, ListenAddress):
            source = {"address": options.qemu.host, "port": str(options.qemu.port)}
            role = ("connect", "client") if calls else ("listen", "server")
            return Cable(f"socket,{role[0]}={place}", (role[1], {"source": source}))
        if options.netdev == "dgram":
            far = qemu_word(options.far_socket)
            return Cable(f"dgram,local.type=unix,local.path={far},remote.type=unix,remote.path={place}")
        return Cable(f"stream,server={'off' if calls else 'on'},addr.type=unix,addr.path={place}")

    def reopen(self) -> None:
        """Call again."""
        try:
            self._wire = StreamWire(call(self.options.qemu))
        except OSError as error:
            raise PortError(f"nobody answers on {self.options.qemu}: {error.strerror}") from error
        self.state = PortState.UP

    def _find_far_socket(self, own: socket.socket) -> Wire | None:
        """Both sockets; None, and what came is dropped, where the far one is not there."""
        try:
            return DatagramWire(own, call(self.options.far_socket, socket.SOCK_DGRAM, 0))
        except OSError:
            _drain(own)
            return None


def _drain(sock: socket.socket) -> None:
    """Drop the datagrams that wait, a bounded number of them."""
    for _ in range(64):
        try:
            sock.recv(1)
        except OSError:
            return
