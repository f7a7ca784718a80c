"""`tap`: a TAP that the switch makes, or attaches to where it is there already. The guest has the interface."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field, model_validator
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from vswitch.core.offload import HEADER, Capability
from vswitch.core.port import DEFAULT_MTU
from vswitch.ports import netns, tun
from vswitch.ports.base import Capabilities, Options, PortError, PortState
from vswitch.ports.bursts import receive_each, send_each
from vswitch.ports.device import DevicePort
from vswitch.ports.links import Link
from vswitch.units import Addresses, InterfaceName, InterfacePattern, MacAddress, Mtu, NamespaceName, Rate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from ipaddress import IPv4Interface, IPv6Interface

    from vswitch.core.offload import Buffer
    from vswitch.ports.host import Host

_IPV6_MTU: Final = 1280
_IFA_F_NODAD: Final = 0x02  # usable at once: nobody else is on this link before the switch is


class TapOptions(Options):
    """A TAP by name, or by a pattern such as `vnet%d` for the first free one."""

    tap: InterfacePattern = Field(description="the interface's name, or a pattern such as vnet%d")
    netns: NamespaceName | None = Field(None, description="the namespace it lives in; made if it is missing")
    address: Addresses = Field((), description="addresses of the interface, with prefix length")
    mtu: Mtu = Field(DEFAULT_MTU, description="octets of payload in a frame")
    mac: MacAddress | None = Field(None, description="the guest's MAC address")
    bridge: InterfaceName | None = Field(None, description="a bridge of the kernel that the interface joins")
    speed: Rate = Field(10_000_000_000, description="what the guest sees as the link's speed")
    offload: bool = Field(True, description="whether superframes and partial checksums pass")

    @model_validator(mode="after")
    def _mtu_suits_addresses(self) -> TapOptions:
        if self.mtu < _IPV6_MTU and any(address.version == 6 for address in self.address):
            raise ValueError(f"an IPv6 address needs an mtu of {_IPV6_MTU} or more, not {self.mtu} (RFC 8200 clause 5)")
        return self

    def device(self) -> object:
        """The same name in the same namespace is the same device; a pattern never is."""
        return None if "%" in self.tap else ("tap", self.netns, self.tap)


class TapPort(DevicePort):
    """Reads and writes what the interface's own side sends and receives."""

    kind = "tap"
    options_type = TapOptions
    reads_direct = writes_direct = True

    options: TapOptions

    def __init__(self, options: Options, host: Host) -> None:
        """Not open yet."""
        super().__init__(options, host)
        self._before: _Settings | None = None
        self._moved = False

    def open(self) -> None:
        """Make the TAP in its namespace, or attach to the one of that name."""
        name = self.options.netns
        self.namespace = self.host.namespace(name) if name else netns.current()
        try:
            with netns.inside(self.namespace):
                self._take(_exists(self.options.tap))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the TAP: it goes with its descriptor, one that was there before gets its settings back."""
        if self.namespace is None:
            return
        if self._before is not None and self.state is not PortState.NOT_PRESENT:
            with suppress(PortError, NetlinkError, OSError), netns.inside(self.namespace), IPRoute() as ipr:
                self._before.restore(ipr, self.index, self.options, self._fd)
        self.lose()
        if self.options.netns:
            self.host.release(self.options.netns)
        if self._moved or not self.options.netns:
            self.namespace.close()
        self.namespace = None

    def receive_burst(self, buffers: Sequence[memoryview]) -> list[memoryview]:
        """One read a frame: the kernel hands a TAP's frames out one at a time."""
        fd, readv = self._fd, os.readv
        return receive_each(lambda buffer: buffer[: readv(fd, (buffer,))], buffers)

    def send_burst(self, frames: Sequence[Buffer]) -> int:
        """One write a frame."""
        return send_each(partial(os.write, self._fd), frames)

    def change(self, options: Options) -> bool:
        """MTU, addresses, MAC, bridge and speed change in place; another device, namespace or offload does not."""
        if not isinstance(options, TapOptions) or self.namespace is None or self.state is PortState.NOT_PRESENT:
            return False
        same = {"tap", "netns", "offload"}
        if self.options.mac and not options.mac:
            return False
        if options.model_dump(include=same) != self.options.model_dump(include=same):
            return False
        old, self.options = self.options, options
        with netns.inside(self.namespace):
            try:
                self._configure(old)
            except PortError:
                self.options = old
                self._configure(options)
                raise
        return True

    def locate(self) -> bool:
        """The interface may have been moved to another namespace: its descriptor goes on working."""
        try:
            name = tun.interface(self._fd).name
            namespace = netns.Namespace.of(tun.namespace_fd(self._fd), "where the interface was moved to")
        except OSError:
            return False
        with netns.inside(namespace), IPRoute() as ipr:
            self.index = socket.if_nametoindex(name)
            self.link_changed(Link.of(ipr.get_links(self.index)[0]))
        if self.namespace is not None and (self._moved or not self.options.netns):
            self.namespace.close()
        self.namespace, self._moved = namespace, True
        return True

    def wants(self, link: Link) -> bool:
        """A TAP of that name that somebody makes again."""
        return link.kind == "tun" and link.name == self.device and not link.gone

    def reopen(self) -> None:
        """Attach to the device that came back, which from now on is somebody else's."""
        if self.namespace is None or self.device is None:
            raise PortError("the port is closed")
        with netns.inside(self.namespace):
            if _exists(self.device):
                try:
                    self._take(existing=True)
                except BaseException:
                    self.lose()
                    raise

    def _take(self, existing: bool) -> None:
        """Attach inside the namespace, and set the interface up as the options say."""
        self._fd, self.device = tun.attach(self.device if existing and self.device else self.options.tap)
        tun.set_header_size(self._fd, HEADER)
        offload = tun.set_offload(self._fd, Capability.ALL if self.options.offload else Capability.NONE)
        self.index = socket.if_nametoindex(self.device)
        self.capabilities = Capabilities(offload, self.options.mtu)
        if existing:
            with IPRoute() as ipr:
                self._before = _Settings(ipr, self.index)
        self._configure(None)

    def _configure(self, old: TapOptions | None) -> None:
        """Bring the interface from `old` options to those in force; called inside its namespace."""
        options = self.options
        try:
            with IPRoute() as ipr:
                attributes: dict[str, Any] = {"mtu": options.mtu, "state": "up"}
                if options.mac:
                    attributes["address"] = options.mac
                if options.bridge or (old and old.bridge):
                    attributes["master"] = _bridge(options.bridge)
                ipr.link("set", index=self.index, **attributes)
                before = old.address if old else ()
                self._add(ipr, _missing(options.address, before))
                if gone := list(_missing(before, options.address)):
                    self._remove(ipr, gone)
                    self._add(ipr, options.address)
        except NetlinkError as error:
            raise PortError(f"cannot set the interface {self.device} up: {error.args[1]}") from error
        with suppress(OSError):  # a kernel without settings for a TAP's speed reports its own
            tun.set_speed(str(self.device), options.speed // 1_000_000)
        self.capabilities = Capabilities(self.capabilities.offload, options.mtu, tun.speed(str(self.device)))
        self.state = PortState.UP

    def _add(self, ipr: IPRoute, addresses: Iterable[IPv4Interface | IPv6Interface]) -> None:
        for address in addresses:
            flags = _IFA_F_NODAD if address.version == 6 else 0
            ipr.addr("replace", index=self.index, **_address(address), flags=flags)

    def _remove(self, ipr: IPRoute, addresses: Iterable[IPv4Interface | IPv6Interface]) -> None:
        """Addresses that may be gone: the first of a network takes the others along (promote_secondaries is off)."""
        for address in addresses:
            try:
                ipr.addr("del", index=self.index, **_address(address))
            except NetlinkError as error:
                if error.code != errno.EADDRNOTAVAIL:
                    raise


class _Settings:
    """How an interface was before the switch took it."""

    def __init__(self, ipr: IPRoute, index: int) -> None:
        """Ask the kernel."""
        self._link = Link.of(ipr.get_links(index)[0])
        self._addresses = {(row.get("address"), row["prefixlen"]) for row in ipr.get_addr(index=index)}

    def restore(self, ipr: IPRoute, index: int, options: TapOptions, fd: int) -> None:
        """Put back what the switch changed."""
        for address in options.address:
            if (str(address.ip), address.network.prefixlen) not in self._addresses:
                with suppress(NetlinkError):
                    ipr.addr("del", index=index, **_address(address))
        # A holder without virtio-net headers could not tell a superframe from a frame.
        tun.set_offload(fd, Capability.NONE)
        state = "up" if self._link.up else "down"
        master = {"master": self._link.master} if options.bridge else {}
        ipr.link("set", index=index, mtu=self._link.mtu, address=self._link.mac, state=state, **master)


def _bridge(name: str | None) -> int:
    """The index of a bridge in this thread's namespace; 0 for none. Raises PortError."""
    try:
        return socket.if_nametoindex(name) if name else 0
    except OSError:
        raise PortError(f"there is no bridge {name} in the interface's namespace; make it first") from None


def _exists(name: str) -> bool:
    """Whether there is an interface of this name in this thread's namespace."""
    try:
        return socket.if_nametoindex(name) > 0
    except OSError:
        return False


def _missing(
    wanted: Sequence[IPv4Interface | IPv6Interface], there: Sequence[IPv4Interface | IPv6Interface]
) -> Iterator[IPv4Interface | IPv6Interface]:
    return (address for address in wanted if address not in there)


def _address(address: IPv4Interface | IPv6Interface) -> dict[str, Any]:
    return {"address": str(address.ip), "prefixlen": address.network.prefixlen}
