"""The guest's side of a TAP: a packet socket, and what the kernel says of the interface."""

from __future__ import annotations

import ctypes
import fcntl
import itertools
import os
import select
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from vswitch.core.offload import HEADER
from vswitch.ports import netns, tun
from vswitch.ports.links import LinkMonitor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vswitch.ports.base import Port, PortState
    from vswitch.ports.netns import Namespace

ETHERTYPE = 0x88B5  # IEEE 802 local experimental: nothing else on the link sends it
FRAME = bytes.fromhex("ffffffffffff 020000000001 88b5") + bytes(range(46))
_TUNSETPERSIST = 0x400454CB
_ETH_P_ALL, _IGNORE_OUTGOING = 3, 23


def packet_socket(namespace: Namespace, device: str) -> socket.socket:
    """A packet socket on the guest's interface that does not hear itself."""
    with netns.inside(namespace):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        raw.setsockopt(263, _IGNORE_OUTGOING, 1)
        raw.bind((device, 0))
    raw.settimeout(5)
    return raw


def silence(name: str) -> None:
    """Have no IPv6 in the namespace of this name, so that the guest's kernel sends nothing of its own accord."""
    namespace = netns.find(name)
    assert namespace is not None
    with netns.inside(namespace):
        for place in ("all", "default"):
            Path(f"/proc/sys/net/ipv6/conf/{place}/disable_ipv6").write_text("1")
    namespace.close()


def watch(namespace: Namespace) -> LinkMonitor:
    """A monitor that has told what there is, and will tell what changes."""
    monitor = LinkMonitor(namespace)
    monitor.read()
    return monitor


def heard(raw: socket.socket) -> bytes:
    """The next frame of ours that the guest receives."""
    while True:
        frame = raw.recv(1 << 16)
        if frame[12:14] == ETHERTYPE.to_bytes(2):
            return frame


def received(port: Port, count: int, buffers: int = 32) -> list[bytes]:
    """The next `count` frames of ours that the guest sent, each with its virtio-net header."""
    return list(itertools.islice(_incoming(port, buffers), count))


def _incoming(port: Port, count: int) -> Iterator[bytes]:
    buffers = [memoryview(bytearray(b"\xee" * 68 * 1024)) for _ in range(count)]
    while select.select([port.fileno()], [], [], 5)[0]:
        for raw in port.receive_burst(buffers):
            if bytes(raw[HEADER + 12 : HEADER + 14]) == ETHERTYPE.to_bytes(2):
                yield bytes(raw)
    raise AssertionError("no frame came")


def tap(namespace: Namespace, name: str, flags: int = tun.IFF_TAP | tun.IFF_NO_PI | tun.IFF_VNET_HDR) -> int:
    """A descriptor of a TAP (or what `flags` say) made in this namespace."""
    with netns.inside(namespace):
        fd = os.open(tun.DEVICE, os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", name.encode(), flags))
    return fd


def persist(namespace: Namespace, name: str, on: bool = True) -> None:
    """Make a TAP that outlives its descriptor, or have it end with it."""
    fd = tap(namespace, name)
    fcntl.ioctl(fd, _TUNSETPERSIST, int(on))
    os.close(fd)


def links() -> list[tuple[int, str]]:
    """Index and name of every interface of this thread's namespace."""
    return socket.if_nameindex()


def speed(namespace: Namespace, name: str) -> int:
    """Mbit/s that ETHTOOL_GSET, which the guest's own tools use, gives for the interface."""
    with netns.inside(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = ctypes.create_string_buffer(struct.pack("I40x", 1), 44)
        fcntl.ioctl(control, 0x8946, struct.pack("16sP16x", name.encode(), ctypes.addressof(answer)))
    low, high = struct.unpack_from("12xH14xH", answer.raw)
    return int(high << 16 | low)


def offloads(namespace: Namespace, name: str) -> tuple[int, int]:
    """Whether the interface hands out superframes (TSO) and partial checksums."""
    return _feature(namespace, name, 0x1E), _feature(namespace, name, 0x16)


def _feature(namespace: Namespace, name: str, command: int) -> int:
    with netns.inside(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = ctypes.create_string_buffer(struct.pack("II", command, 0), 8)
        fcntl.ioctl(control, 0x8946, struct.pack("16sP16x", name.encode(), ctypes.addressof(answer)))
    return int(struct.unpack("II", answer.raw)[1])


def descriptors() -> int:
    """How many descriptors this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def state(port: Port) -> PortState:
    """The port's state as it is now."""
    return port.state
