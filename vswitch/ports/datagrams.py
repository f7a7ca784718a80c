"""Sockets that carry whole frames to one host of a network, behind a header of their own.

The socket is never connected: what a router or the far host says against a datagram (ICMP) is then nothing that a
later send would fail for (raw_err() and udp_err() in Linux net/ipv4). A datagram that is longer than the way there
takes is sent in fragments of IP.

Where datagrams pass a port of the same switch on their way, a mirror may see them, or a flood carry them on. They are
not sent again (ELOOP): each would bring forth the next.
"""

from __future__ import annotations

import errno
import os
import socket
from abc import abstractmethod
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from vswitch.core.offload import HEADER
from vswitch.core.port import DEFAULT_MTU
from vswitch.ports import netns
from vswitch.ports.base import Capabilities, Options, Port, PortError, PortState
from vswitch.ports.carried import carries
from vswitch.units import HostAddress, Mtu, NamespaceName

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address
    from typing import Self

    from vswitch.core.offload import Buffer
    from vswitch.ports.host import Host


class DatagramOptions(Options):
    """Where the socket is. A subclass says where the far host is."""

    local: HostAddress | None = Field(None, description="the address that datagrams leave from")
    netns: NamespaceName | None = Field(None, description="the namespace of the socket")
    mtu: Mtu = Field(DEFAULT_MTU, description="octets of payload in a frame")

    @property
    @abstractmethod
    def remote(self) -> IPv4Address | IPv6Address:
        """The far host's address."""

    @model_validator(mode="after")
    def _one_family(self) -> Self:
        if self.local is not None and self.local.version != self.remote.version:
            raise ValueError(f"local ({self.local}) and {self.remote} have to be of one kind, IPv4 or IPv6")
        return self


class DatagramPort(Port):
    """A far host by datagrams; frames have no virtio-net header there. It is up for as long as it is open."""

    options: DatagramOptions

    def __init__(self, options: Options, host: Host) -> None:
        """Not open yet."""
        super().__init__(options, host)
        self.capabilities = Capabilities(mtu=self.options.mtu)
        self.device = str(self.options.remote)
        self._socket: socket.socket | None = None
        self.number = 0
        """Of the next frame: those that were sent or refused before."""
        self._remote = (self.device, self.far_port)

    @property
    @abstractmethod
    def protocol(self) -> int:
        """The number that IP has for what it sends."""

    @property
    def far_port(self) -> int:
        """The far host's, where the protocol has ports."""
        return 0

    @abstractmethod
    def make_socket(self, family: socket.AddressFamily) -> socket.socket:
        """A socket of its kind that is not bound yet, in the namespace of this thread. Raises OSError."""

    @abstractmethod
    def header(self, frame: memoryview) -> bytes:
        """What goes before this frame (Ethernet header first)."""

    def open(self) -> None:
        """Make the socket in its namespace."""
        name = self.options.netns
        namespace = netns.find(name) if name else netns.current()
        if namespace is None:
            raise PortError(f"there is no namespace {name}; make it first")
        try:
            with netns.inside(namespace):
                self._socket = self._bound()
        except OSError as error:
            raise PortError(self._why_not(error)) from error
        finally:
            namespace.close()
        self.state = PortState.UP

    def close(self) -> None:
        """Close the socket."""
        self.state = PortState.NOT_PRESENT
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()

    def lose(self) -> None:
        """There is nothing that it could lose but the socket."""
        self.close()

    def fileno(self) -> int:
        """The socket's."""
        return self._socket.fileno() if self._socket else -1

    def send_burst(self, frames: Sequence[Buffer]) -> int:
        """One sendmsg(2) a frame."""
        if self._socket is None:
            return 0
        send, remote, sent = self._socket.sendmsg, self._remote, 0
        try:
            for raw in frames:
                frame = memoryview(raw)[HEADER:]
                if carries(frame, self.options.remote.packed, self.protocol, self.far_port):
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                send((self.header(frame), frame), (), 0, remote)
                self.number += 1
                sent += 1
        except BlockingIOError:
            pass
        except OSError:
            if not sent:
                self.number += 1
                raise
        return sent

    def _bound(self) -> socket.socket:
        family = socket.AF_INET if self.options.remote.version == 4 else socket.AF_INET6
        sock = self.make_socket(family)
        try:
            sock.setblocking(False)
            self.bind(sock)
        except OSError:
            sock.close()
            raise
        return sock

    def bind(self, sock: socket.socket) -> None:
        """To its own address, if it is to have one. Raises OSError."""
        if self.options.local is not None:
            sock.bind((str(self.options.local), 0))

    def _why_not(self, error: OSError) -> str:
        if isinstance(error, PermissionError):
            return f"not permitted to open a {self.kind} socket: run as root (CAP_NET_RAW)"
        where = f" on {self.options.local}" if self.options.local else ""
        return f"cannot open a {self.kind} socket{where}: {error.strerror}"
