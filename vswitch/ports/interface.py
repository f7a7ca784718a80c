"""`interface`: an interface that is there already, by a packet socket: a veth, a NIC, a TAP whose guest is QEMU.

As long as the switch has it, it is the switch's alone: the host's stack, and a kernel bridge that it is in, neither
hear what comes in by it nor send on it.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from pydantic import Field
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from vswitch.core.offload import Capability
from vswitch.ports import netns, tun
from vswitch.ports.base import Cable, Capabilities, Options, PortError, PortState, qemu_word
from vswitch.ports.bursts import receive_each, send_each
from vswitch.ports.device import DevicePort
from vswitch.ports.links import Link
from vswitch.ports.packet import receive
from vswitch.ports.silence import Silence
from vswitch.units import InterfaceName, NamespaceName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vswitch.core.offload import Buffer
    from vswitch.ports.host import Host

_SOL_PACKET: Final = 263  # linux/socket.h; those below are of linux/if_packet.h
_ADD_MEMBERSHIP, _AUXDATA, _VNET_HDR, _IGNORE_OUTGOING = 1, 8, 15, 23
_MR_PROMISC, _ETH_P_ALL, _SO_RCVBUFFORCE = 1, 3, 33
_QUEUE: Final = 4 << 20
"""Octets of memory for frames that wait to be read: some thousands of full size."""


class InterfaceOptions(Options):
    """An interface by name."""

    interface: InterfaceName = Field(description="the interface's name")
    netns: NamespaceName | None = Field(None, description="the namespace it lives in")
    offload: bool = Field(True, description="whether superframes and partial checksums pass")
    wait: bool = Field(False, description="whether the port waits for an interface that is not there yet")

    def device(self) -> object:
        """The same name in the same namespace is the same device."""
        return ("interface", self.netns, self.interface)


class InterfacePort(DevicePort):
    """Hears and speaks for whoever is on the other side of the interface."""

    kind = "interface"
    options_type = InterfaceOptions
    reads_direct = True
    writes_direct = True
    packet = True

    options: InterfaceOptions

    def __init__(self, options: Options, host: Host) -> None:
        """Not open yet."""
        super().__init__(options, host)
        self.device = self.options.interface
        self._socket: socket.socket | None = None
        self._silence: Silence | None = None
        self._kind: str | None = None

    def open(self) -> None:
        """Take hold of the interface in its namespace."""
        name = self.options.netns
        self.namespace = netns.find(name) if name else netns.current()
        if self.namespace is None:
            raise PortError(f"there is no namespace {name}; make it first")
        try:
            self._attach(self.options.wait)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go: the host has the interface as it was."""
        self.lose()
        if self.namespace is not None:
            self.namespace.close()
            self.namespace = None

    def lose(self) -> None:
        """The interface is gone."""
        self._fd = -1
        self.state = PortState.NOT_PRESENT
        for held in (self._silence, self._socket):
            if held is not None:
                held.close()
        self._socket = self._silence = None

    def wants(self, link: Link) -> bool:
        """One of that name."""
        return link.name == self.options.interface and not link.gone

    def reopen(self) -> None:
        """Take hold of the interface that came back."""
        try:
            self._attach(missing_is_fine=False)
        except BaseException:
            self.lose()
            raise

    def cable(self) -> Cable | None:
        """For a TAP, whose other end QEMU holds; one that is not there yet is made by QEMU, or libvirt."""
        if self._kind not in (None, "tun"):
            return None
        name, netns = self.options.interface, self.options.netns
        there = {} if self._socket is None else {"managed": "no"}  # libvirt makes the one that is not there
        target = {"target": {"dev": name, **there}}
        netdev = f"tap,ifname={qemu_word(name)},script=no,downscript=no"
        return Cable(netdev, ("ethernet", target) if netns is None else None, netns, name)

    def link_changed(self, link: Link) -> None:
        """What kind of interface it is, too; the hardware's has none."""
        super().link_changed(link)
        self._kind = link.kind or "hardware"

    def receive_burst(self, buffers: Sequence[memoryview]) -> list[memoryview]:
        """One recvmsg(2) a frame."""
        sock = self._socket
        if sock is None:
            return []
        return receive_each(lambda buffer: buffer[: receive(sock, buffer)], buffers)

    def send_burst(self, frames: Sequence[Buffer]) -> int:
        """One write(2) a frame."""
        return send_each(partial(os.write, self._fd), frames)

    def _attach(self, missing_is_fine: bool) -> None:
        if self.namespace is None:
            raise PortError("the port is closed")
        name = self.options.interface
        with netns.inside(self.namespace):
            try:
                self.index = socket.if_nametoindex(name)
            except OSError:
                if missing_is_fine:
                    return
                there = f"{name} in {self.options.netns}" if self.options.netns else name
                raise PortError(
                    f"there is no interface {there}; make it first, or have the port wait for it (wait: true)"
                ) from None
            offload = _offload() if self.options.offload else Capability.NONE
            self.capabilities = Capabilities(offload, speed=tun.speed(name))
            with IPRoute() as ipr:
                try:
                    link = Link.of(ipr.get_links(self.index)[0])
                except NetlinkError as error:
                    raise PortError(f"the interface {name} is gone again") from error
                try:
                    self._silence = Silence(name)
                    self._socket = self._open_socket(self._silence.mark)
                except OSError as error:
                    raise PortError(_why_not(name, error)) from error
                if link.master:
                    _forget_stations(ipr, self.index)
            self._fd = self._socket.fileno()
            self.link_changed(link)

    def _open_socket(self, mark: int) -> socket.socket:
        """A packet socket that hears everything that comes in by the interface, and nothing that goes out."""
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            for option in (_VNET_HDR, _AUXDATA, _IGNORE_OUTGOING):
                sock.setsockopt(_SOL_PACKET, option, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            with suppress(PermissionError):  # in a user namespace the usual limit holds
                sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _QUEUE)
            promiscuous = struct.pack("=iHH8x", self.index, _MR_PROMISC, 0)
            sock.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, promiscuous)
            sock.bind((self.options.interface, _ETH_P_ALL))
        except OSError:
            sock.close()
            raise
        return sock


def _forget_stations(ipr: IPRoute, index: int) -> None:
    """Have the bridge that an interface is in look for its stations elsewhere, since it reaches them there no more."""
    with suppress(NetlinkError):  # the master may be a bond
        ipr.brport("set", index=index, IFLA_BRPORT_FLUSH=None)


def _offload() -> Capability:
    """What a packet socket takes: UDP segmentation since Linux 6.2 (virtio_net_hdr_to_skb())."""
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    return Capability.ALL if release >= (6, 2) else Capability.TSO


def _why_not(name: str, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"not permitted to attach to the interface {name}: run as root (CAP_NET_RAW and CAP_NET_ADMIN)"
    return (
        f"cannot have the interface {name} for the switch alone: {error.strerror}; "
        "the kernel has to be 5.16 or later, with nf_tables for netdev (modprobe nf_tables)"
    )
