"""`fd`: an open descriptor that the switch inherits or is handed: a TAP, or a socket that carries frames.

It asks the kernel what it is. One that goes by a name may be missing at first, and may be replaced.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from vswitch.core.offload import Capability
from vswitch.core.port import DEFAULT_MTU
from vswitch.ports import netns, tun, wires
from vswitch.ports.base import Capabilities, Options, PortError, PortState
from vswitch.ports.device import DevicePort
from vswitch.ports.links import Link
from vswitch.ports.tapwire import TapWire
from vswitch.ports.wired import WiredPort
from vswitch.units import Descriptor, Mtu

if TYPE_CHECKING:
    from collections.abc import Callable


class FdOptions(Options):
    """A descriptor by its number, or by the name under which it was passed or handed over."""

    fd: Descriptor = Field(description="an open TAP or socket: its number, or the name it was handed over by")
    mtu: Mtu = Field(DEFAULT_MTU, description="octets of payload in a frame, for a socket; a TAP says its own")
    offload: bool = Field(True, description="whether superframes and partial checksums pass, if the TAP permits")

    def device(self) -> object:
        """One descriptor, one port."""
        return ("fd", self.fd)


class FdPort(WiredPort, DevicePort):
    """What somebody else made and opened."""

    kind = "fd"
    options_type = FdOptions

    options: FdOptions

    def open(self) -> None:
        """Learn what the descriptor is; one that goes by a name may come later."""
        fd = self.options.fd
        found = self.host.descriptors.get(fd) if isinstance(fd, str) else fd
        if found is None:
            return
        try:
            self._open_socket(found) if _is_socket(found) else self._open_tap(found)
        except BaseException:
            self.close()
            raise

    def reopen(self) -> None:
        """Take what the name stands for now."""
        self.open()

    def close(self) -> None:
        """Close the switch's own copy; the one it was made from is its owner's."""
        self.lose()
        self._leave()

    def locate(self) -> bool:
        """The interface may have been moved to another namespace."""
        try:
            tun.interface(self.fileno())
        except OSError:
            return False
        self._find_link()
        return True

    @property
    def _called(self) -> str:
        """The descriptor in words."""
        return f"descriptor {self.options.fd}"

    def _open_socket(self, fd: int) -> None:
        sock = wires.adopt(fd)
        try:
            sock.getpeername()
            self._wire = wires.wire(sock)
        except OSError:
            pass
        if self._wire is None:
            sock.close()
            raise PortError(f"{self._called} is no connected stream or datagram socket; hand one over, or a TAP")
        self.capabilities = Capabilities(mtu=self.options.mtu)
        self.far_end = "guest"  # type: ignore[misc]
        self.state = PortState.UP

    def _open_tap(self, fd: int) -> None:
        try:
            interface = tun.interface(fd)
        except OSError:
            raise PortError(f"{self._called} is {_kind_of(fd)}, not an open TAP; hand a TAP over") from None
        if not interface.flags & tun.IFF_TAP:
            raise PortError(f"{self._called} is a TUN, which carries IP packets; hand a TAP over (IFF_TAP)")
        self.device = interface.name
        size, offload = 0, Capability.NONE
        if interface.flags & tun.IFF_VNET_HDR:
            size = tun.header_size(fd)
            offload = tun.set_offload(fd, Capability.ALL if self.options.offload else Capability.NONE)
        self._wire = wire = TapWire(os.dup(fd), size)
        self.reads_direct = self.writes_direct = wire.direct
        self.capabilities = Capabilities(offload)
        self._find_link()

    def _find_link(self) -> None:
        """Where the interface is and how. A kernel that does not tell where leaves the port up for good."""
        self.state = PortState.UP
        self._leave()
        with suppress(OSError):
            namespace = netns.Namespace.of(tun.namespace_fd(self.fileno()), f"of {self._called}")
            try:
                with netns.inside(namespace), IPRoute() as ipr:
                    name = tun.interface(self.fileno()).name
                    message = ipr.link("get", ifname=name)[0]
                    self.capabilities = replace(self.capabilities, speed=tun.speed(name))
            except (PortError, NetlinkError):
                namespace.close()
                return
            self.namespace = namespace
            self.index = message["index"]
            self.link_changed(Link.of(message))
            # TUNGETIFF cannot tell: its IFF_NOFILTER is the bit of IFF_NO_PI (linux/if_tun.h).
            info = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
            if info is not None and info.get_attr("IFLA_TUN_PI"):
                raise PortError(f"{self._called} is a TAP with packet information; make it with IFF_NO_PI")

    def _leave(self) -> None:
        if self.namespace is not None:
            self.namespace.close()
            self.namespace = None


_KINDS: dict[str, Callable[[int], bool]] = {
    "a file": stat.S_ISREG,
    "a pipe": stat.S_ISFIFO,
    "a folder": stat.S_ISDIR,
}


def _is_socket(fd: int) -> bool:
    with suppress(OSError):
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    return False


def _kind_of(fd: int) -> str:
    """What a descriptor is, in words."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return "not open"
    return next((name for name, is_kind in _KINDS.items() if is_kind(mode)), "some other device")
