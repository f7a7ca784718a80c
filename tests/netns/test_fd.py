"""TAP descriptors that somebody else made: any header size, and a sentence for what is no TAP."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from pyroute2 import IPRoute

from tests.netns import guest
from vswitch.core.offload import PLAIN, Capability
from vswitch.ports import netns, tun
from vswitch.ports.base import PortError, PortState
from vswitch.ports.fd import FdOptions, FdPort
from vswitch.ports.host import Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vswitch.ports.netns import Namespace

BARE = tun.IFF_TAP | tun.IFF_NO_PI


@contextmanager
def inherited(name: str, size: int | None = 10, mtu: int = 1500) -> Iterator[tuple[Namespace, int]]:
    """A namespace and a TAP descriptor in it, whose virtio-net header has `size` octets; None: it has none."""
    namespace = netns.make(name, lambda _: None)
    fd = guest.tap(namespace, "t0", BARE if size is None else BARE | tun.IFF_VNET_HDR)
    if size is not None:
        tun.set_header_size(fd, size)
    with netns.inside(namespace), IPRoute() as ipr:
        ipr.link("set", index=ipr.link_lookup(ifname="t0")[0], state="up", mtu=mtu)
    yield namespace, fd
    os.close(fd)
    namespace.close()


def fd_port(fd: int, *, offload: bool = True) -> FdPort:
    return FdPort(FdOptions.model_validate({"fd": fd, "offload": offload}), Host())


@pytest.mark.parametrize("size", [None, 10, 12, 20])
def test_frames_pass_whatever_the_header_s_size(size: int | None, fresh: Callable[[], str]) -> None:
    with inherited(fresh(), size) as (namespace, fd), guest.packet_socket(namespace, "t0") as raw:
        port = fd_port(fd)
        port.open()
        raw.send(guest.FRAME)
        assert guest.received(port, 1) == [PLAIN + guest.FRAME]
        for form in (bytes, bytearray, memoryview):
            assert port.send_burst([form(PLAIN + guest.FRAME)]) == 1
            assert guest.heard(raw) == guest.FRAME
        port.close()


def test_the_device_says_where_and_how_it_is(fresh: Callable[[], str]) -> None:
    with inherited(fresh(), mtu=9000) as (namespace, fd):
        port = fd_port(fd)
        port.open()
        assert (port.device, port.namespace, port.state) == ("t0", namespace, PortState.UP)
        assert port.capabilities.mtu == 9000
        port.close()


def test_offload_takes_a_header(fresh: Callable[[], str]) -> None:
    for size, offload, expected in ((None, True, False), (10, False, False), (10, True, True)):
        with inherited(fresh(), size) as (_, fd):
            port = fd_port(fd, offload=offload)
            port.open()
            assert bool(port.capabilities.offload & Capability.TSO) is expected
            port.close()


def test_reading_never_waits(fresh: Callable[[], str]) -> None:
    with inherited(fresh()) as (_, fd):
        port = fd_port(fd)
        port.open()
        buffers = [memoryview(bytearray(68 * 1024)) for _ in range(8)]
        while port.receive_burst(buffers):
            pass
        assert port.receive_burst(buffers) == []
        port.close()


def test_a_closed_port_may_be_opened_again(fresh: Callable[[], str]) -> None:
    with inherited(fresh()) as (namespace, fd), guest.packet_socket(namespace, "t0") as raw:
        for _ in range(2):
            port = fd_port(fd)
            port.open()
            port.send_burst([PLAIN + guest.FRAME])
            assert guest.heard(raw) == guest.FRAME
            port.close()
            port.close()


def test_a_device_that_vanishes_does_not_come_back(fresh: Callable[[], str]) -> None:
    with inherited(fresh()) as (namespace, fd):
        port = fd_port(fd)
        port.open()
        with netns.inside(namespace), IPRoute() as ipr:
            ipr.link("del", index=ipr.link_lookup(ifname="t0")[0])
        assert not port.locate()
        with pytest.raises(OSError, match="File descriptor in bad state"):
            port.send_burst([PLAIN + guest.FRAME])
        port.lose()
        assert port.state is PortState.NOT_PRESENT
        port.close()


def refused(fd: int) -> str:
    before = guest.descriptors()
    with pytest.raises(PortError) as caught:
        fd_port(fd).open()
    assert guest.descriptors() == before
    return str(caught.value)


def test_what_is_no_tap_is_named() -> None:
    with socket.socket() as sock:
        assert "is no connected stream or datagram socket" in refused(sock.fileno())
    with open("/proc/self/status") as file:
        assert "is a file, not an open TAP" in refused(file.fileno())
    with open("/dev/null") as null:
        assert "not an open TAP" in refused(null.fileno())
    read, write = os.pipe()
    assert "is a pipe, not an open TAP" in refused(read)
    os.close(read)
    os.close(write)
    assert "is not open" in refused(read)


def test_a_tun_device_without_interface_is_no_tap() -> None:
    fd = os.open(tun.DEVICE, os.O_RDWR | os.O_CLOEXEC)
    assert "not an open TAP" in refused(fd)
    os.close(fd)


def test_a_tun_is_refused(fresh: Callable[[], str]) -> None:
    namespace = netns.make(fresh(), lambda _: None)
    fd = guest.tap(namespace, "t0", tun.IFF_TUN | tun.IFF_NO_PI)
    assert f"descriptor {fd} is " in refused(fd)
    os.close(fd)
    namespace.close()


def test_a_descriptor_of_several_queues_is_a_tap(fresh: Callable[[], str]) -> None:
    namespace = netns.make(fresh(), lambda _: None)
    fd = guest.tap(namespace, "t0", BARE | tun.IFF_VNET_HDR | 0x100)  # IFF_MULTI_QUEUE
    assert struct.unpack("i", fcntl.ioctl(fd, 0x800454D7, bytes(4)))[0] == len(PLAIN)
    port = fd_port(fd)
    port.open()
    assert port.device == "t0"
    port.close()
    os.close(fd)
    namespace.close()


def test_packet_information_is_refused(fresh: Callable[[], str]) -> None:
    namespace = netns.make(fresh(), lambda _: None)
    fd = guest.tap(namespace, "t0", tun.IFF_TAP)
    assert "is a TAP with packet information" in refused(fd)
    os.close(fd)
    namespace.close()
