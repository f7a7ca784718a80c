"""`fd`: an open TAP descriptor that the switch inherits. It asks the kernel what it is."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import Field
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from vswitch.core.offload import HEADER, PLAIN, Capability
from vswitch.ports import netns, tun
from vswitch.ports.base import BURST_OCTETS, Capabilities, Options, PortError, PortState
from vswitch.ports.device import DevicePort
from vswitch.ports.links import Link
from vswitch.units import Whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vswitch.core.offload import Buffer
    from vswitch.ports.host import Host


class FdOptions(Options):
    """A TAP by the number of its descriptor."""

    fd: Whole = Field(ge=0, description="the number of an open TAP descriptor")
    offload: bool = Field(True, description="whether superframes and partial checksums pass, if the TAP permits")

    def device(self) -> object:
        """One descriptor, one port."""
        return ("fd", self.fd)


class FdPort(DevicePort):
    """A TAP somebody else made. Its header may have any size, or it may have none."""

    kind = "fd"
    options_type = FdOptions

    options: FdOptions

    def __init__(self, options: Options, host: Host) -> None:
        """Not open yet."""
        super().__init__(options, host)
        self._size = 0
        self._rest = bytearray()

    def open(self) -> None:
        """Learn by TUNGETIFF and TUNGETVNETHDRSZ what the descriptor is."""
        fd = self.options.fd
        try:
            self._fd = os.dup(fd)
            interface = tun.interface(self._fd)
        except OSError:
            self.lose()
            raise PortError(f"descriptor {fd} is {_kind_of(fd)}, not an open TAP; hand a TAP over") from None
        if not interface.flags & tun.IFF_TAP:
            self.lose()
            raise PortError(f"descriptor {fd} is a TUN, which carries IP packets; hand a TAP over (IFF_TAP)")
        os.set_blocking(self._fd, False)
        self.device = interface.name
        offload = Capability.NONE
        if interface.flags & tun.IFF_VNET_HDR:
            self._size = tun.header_size(self._fd)
            offload = tun.set_offload(self._fd, Capability.ALL if self.options.offload else Capability.NONE)
        self._rest = bytearray(max(0, self._size - HEADER))
        self.reads_direct = self.writes_direct = self._size == HEADER
        self.capabilities = Capabilities(offload)
        self._find_link()

    def close(self) -> None:
        """Close the switch's own copy; the one it was made from closes with the process that has it."""
        self.lose()
        if self.namespace is not None:
            self.namespace.close()
            self.namespace = None

    def receive_burst(self, buffers: Sequence[memoryview]) -> list[memoryview]:
        """One read a frame, its header brought to ten octets by where its parts are read to."""
        filled: list[memoryview] = []
        octets = 0
        try:
            for buffer in buffers:
                length = os.readv(self._fd, self._read_parts(buffer)) - self._size
                filled.append(buffer[: HEADER + max(0, length)])
                octets += length
                if octets > BURST_OCTETS:
                    break
        except BlockingIOError:
            pass
        except OSError:
            if not filled:
                raise
        return filled

    def send_burst(self, frames: Sequence[Buffer]) -> int:
        """One write a frame."""
        sent = 0
        try:
            for frame in frames:
                os.writev(self._fd, self._write_parts(frame))
                sent += 1
        except BlockingIOError:
            pass
        except OSError:
            if not sent:
                raise
        return sent

    def locate(self) -> bool:
        """The interface may have been moved to another namespace."""
        try:
            tun.interface(self._fd)
        except OSError:
            return False
        self._find_link()
        return True

    def _find_link(self) -> None:
        """Where the interface is and how. A kernel that does not tell where leaves the port up for good."""
        self.state = PortState.UP
        if self.namespace is not None:
            self.namespace.close()
            self.namespace = None
        with suppress(OSError):
            namespace = netns.Namespace.of(tun.namespace_fd(self._fd), f"of descriptor {self.options.fd}")
            try:
                with netns.inside(namespace), IPRoute() as ipr:
                    message = ipr.link("get", ifname=tun.interface(self._fd).name)[0]
            except (PortError, NetlinkError):
                namespace.close()
                return
            self.namespace = namespace
            self._index = message["index"]
            self.link_changed(Link.of(message))
            # TUNGETIFF cannot tell: its IFF_NOFILTER is the bit of IFF_NO_PI (linux/if_tun.h).
            info = message.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA")
            if info is not None and info.get_attr("IFLA_TUN_PI"):
                self.close()
                raise PortError(
                    f"descriptor {self.options.fd} is a TAP with packet information; make it with IFF_NO_PI"
                )

    def _read_parts(self, buffer: memoryview) -> tuple[Buffer, ...]:
        if self._size == 0:
            buffer[:HEADER] = PLAIN
            return (buffer[HEADER:],)
        return (buffer,) if self._size == HEADER else (buffer[:HEADER], self._rest, buffer[HEADER:])

    def _write_parts(self, frame: Buffer) -> tuple[Buffer, ...]:
        if self._size == 0:
            return (frame[HEADER:],)
        return (frame,) if self._size == HEADER else (frame[:HEADER], bytes(len(self._rest)), frame[HEADER:])


_KINDS: dict[str, Callable[[int], bool]] = {
    "a socket": stat.S_ISSOCK,
    "a file": stat.S_ISREG,
    "a pipe": stat.S_ISFIFO,
    "a folder": stat.S_ISDIR,
}


def _kind_of(fd: int) -> str:
    """What a descriptor is, in words."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return "not open"
    return next((name for name, is_kind in _KINDS.items() if is_kind(mode)), "some other device")
