"""/dev/net/tun: the ioctls of `linux/if_tun.h`, and who holds which of its descriptors.

pyroute2's own helper closes the descriptor that it makes, and a TAP lives no longer than that.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple

from vswitch.core.offload import Capability
from vswitch.ports.base import PortError

DEVICE = "/dev/net/tun"

_TUNSETIFF, _TUNGETIFF = 0x400454CA, 0x800454D2
_TUNSETOFFLOAD = 0x400454D0
_TUNGETVNETHDRSZ, _TUNSETVNETHDRSZ = 0x800454D7, 0x400454D8
_TUNGETDEVNETNS = 0x54E3

IFF_TUN, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 1, 2, 0x1000, 0x4000

_IFREQ = struct.Struct("16sH22x")
_INT = struct.Struct("i")

_SIOCETHTOOL, _ETHTOOL_GSET, _ETHTOOL_SSET, _DUPLEX_FULL = 0x8946, 1, 2, 1
_SPEED_UNKNOWN = 0xFFFFFFFF
_ETHTOOL_CMD = struct.Struct("IIIHBBBBBBIIHBBIII")  # struct ethtool_cmd of linux/ethtool.h


class Interface(NamedTuple):
    """What a descriptor of /dev/net/tun is: the interface's name and its IFF_ flags."""

    name: str
    flags: int


def attach(pattern: str) -> tuple[int, str]:
    """Open /dev/net/tun and make, or attach to, a TAP; descriptor and name. Raises PortError."""
    try:
        fd = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise PortError(f"there is no {DEVICE}: load it (modprobe tun), or hand it to the container") from None
    except OSError as error:
        raise PortError(f"cannot open {DEVICE}: {error.strerror}; run as root, or let this user open it") from error
    try:
        request = _IFREQ.pack(pattern.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
        return fd, _text(fcntl.ioctl(fd, _TUNSETIFF, request))
    except OSError as error:
        os.close(fd)
        raise PortError(_why_not(pattern, error)) from error


def interface(fd: int) -> Interface:
    """What a descriptor is. Raises OSError where it is not, or no longer, one of /dev/net/tun with an interface."""
    answer = fcntl.ioctl(fd, _TUNGETIFF, _IFREQ.pack(b"", 0))
    return Interface(_text(answer), _IFREQ.unpack(answer)[1])


def set_offload(fd: int, wanted: Capability) -> Capability:
    """Say what may be left uncompleted; what the kernel took. Those before 6.2 know no UDP segmentation."""
    for offload in (wanted, wanted & Capability.TSO):
        try:
            fcntl.ioctl(fd, _TUNSETOFFLOAD, int(offload))
        except OSError:
            continue
        return offload
    return Capability.NONE


def header_size(fd: int) -> int:
    """Octets of the virtio-net header before each frame."""
    return int(_INT.unpack(fcntl.ioctl(fd, _TUNGETVNETHDRSZ, _INT.pack(0)))[0])


def set_header_size(fd: int, octets: int) -> None:
    """Have a virtio-net header of this size before each frame."""
    fcntl.ioctl(fd, _TUNSETVNETHDRSZ, _INT.pack(octets))


def namespace_fd(fd: int) -> int:
    """A descriptor of the namespace that the interface is in. Raises OSError."""
    return fcntl.ioctl(fd, _TUNGETDEVNETNS)


def set_speed(name: str, megabits: int) -> None:
    """Have the interface report this speed, full duplex, to whoever asks by ethtool; called in its namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        old = _ETHTOOL_CMD.unpack(_ethtool(control, name, _ETHTOOL_CMD.pack(_ETHTOOL_GSET, *[0] * 17)))
        new = (_ETHTOOL_SSET, *old[1:3], megabits & 0xFFFF, _DUPLEX_FULL, *old[5:12], megabits >> 16, *old[13:])
        _ethtool(control, name, _ETHTOOL_CMD.pack(*new))


def speed(name: str) -> int | None:
    """Bits per second that an interface of this thread's namespace reports; None where it knows none."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            answer = _ETHTOOL_CMD.unpack(_ethtool(control, name, _ETHTOOL_CMD.pack(_ETHTOOL_GSET, *[0] * 17)))
    except OSError:
        return None
    megabits = answer[12] << 16 | answer[3]
    return None if megabits in (0, _SPEED_UNKNOWN) else megabits * 1_000_000


def _ethtool(control: socket.socket, name: str, command: bytes) -> bytes:
    """One SIOCETHTOOL: the request holds the address of the command, which the answer replaces."""
    import ctypes

    buffer = ctypes.create_string_buffer(command, len(command))
    fcntl.ioctl(control, _SIOCETHTOOL, struct.pack("16sP16x", name.encode(), ctypes.addressof(buffer)))
    return buffer.raw


def _why_not(name: str, error: OSError) -> str:
    if error.errno == errno.EBUSY:
        return (
            f"the TAP {name} is held by {holder(name) or 'another program'}: a TAP has one holder; end that one first"
        )
    if error.errno == errno.EINVAL:
        return f"the interface {name} exists and is no TAP; name another"
    if error.errno == errno.EPERM:
        return (
            f"not permitted to attach to the TAP {name}: run as root, or make it for this user (ip tuntap add … user)"
        )
    return f"cannot make the TAP {name}: {error.strerror}"


def holder(name: str) -> str | None:
    """Who holds the TAP of this name: `program (pid 1234, fd 27)`; /proc/PID/fdinfo/FD has a line `iff: NAME`."""
    for info in Path("/proc").glob("[0-9]*/fdinfo/*"):
        try:
            lines = info.read_text().splitlines()
            if any(line.split() == ["iff:", name] for line in lines):
                pid, fd = info.parts[2], info.name
                return f"{Path('/proc', pid, 'comm').read_text().strip()} (pid {pid}, fd {fd})"
        except OSError:
            continue
    return None


def _text(request: bytes) -> str:
    return request[:16].split(b"\0", 1)[0].decode()
