"""Network namespaces: found, made, entered by one thread and left again. Named ones are those of `ip netns`."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vswitch.ports.base import PortError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAMED = Path("/run/netns")

_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED, _MNT_DETACH = 4096, 16384, 1 << 20, 2
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Namespace:
    """A namespace held open: two are equal if they are the same one, however they were found."""

    device: int
    inode: int
    fd: int = field(compare=False)
    name: str = field(compare=False)

    @classmethod
    def of(cls, fd: int, name: str) -> Namespace:
        """The namespace behind a descriptor, which it takes over."""
        status = os.fstat(fd)
        return cls(status.st_dev, status.st_ino, fd, name)

    def close(self) -> None:
        """Hold it no longer."""
        os.close(self.fd)


def current() -> Namespace:
    """The namespace that this thread is in."""
    return Namespace.of(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC), "this namespace")


def path_of(name: str) -> Path:
    """Where a namespace is found: `NAME` of `ip netns`, an absolute path, or `pid:N`."""
    if name.startswith("pid:"):
        return Path("/proc", name.removeprefix("pid:"), "ns/net")
    return Path(name) if name.startswith("/") else NAMED / name


def find(name: str) -> Namespace | None:
    """The namespace of this name; None where there is none. Raises PortError where it cannot be opened."""
    path = path_of(name)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PortError(f"cannot open the namespace {name} ({path}): {error.strerror}") from error
    return Namespace.of(fd, name)


@contextmanager
def inside(namespace: Namespace) -> Iterator[None]:
    """Run a block of this thread in `namespace`. Raises PortError where that is not permitted."""
    home = current()
    try:
        _enter(namespace.fd, namespace.name)
        try:
            yield
        finally:
            _enter(home.fd, home.name)
    finally:
        home.close()


def make(name: str, announce: Callable[[int], None]) -> Namespace:
    """Make a namespace, with its loopback up, and name it. Raises PortError.

    announce: called with its inode number before it has its name, so that whoever dies in between left no trace.
    """
    path = NAMED / name
    result: list[Namespace | Exception] = []

    def work() -> None:
        try:
            _call("unshare", _CLONE_NEWNET)
            _loopback_up()
            namespace = Namespace.of(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC), name)
            announce(namespace.inode)
            _name(path)
            result.append(namespace)
        except OSError as error:
            result.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if isinstance(result[0], Namespace):
        return result[0]
    what = f"cannot make the namespace {name}: {result[0]}"
    raise PortError(f"{what}; run as root, or `vswitch demo` for what works without")


def remove(name: str) -> None:
    """Take the name of a namespace away; it ends with the last process in it. Never raises."""
    path = NAMED / name
    with suppress(OSError):
        _call("umount2", os.fsencode(path), _MNT_DETACH)
    with suppress(OSError):
        path.unlink()


def _enter(fd: int, name: str) -> None:
    try:
        _call("setns", fd, _CLONE_NEWNET)
    except OSError as error:
        raise PortError(f"cannot enter the namespace {name}: {error.strerror}; run as root") from error


def _name(path: Path) -> None:
    """Bind this thread's namespace to a file, as `ip netns add` does (iproute2 ip/ipnetns.c)."""
    _shared_directory(path.parent)
    path.touch(0o444, exist_ok=False)
    try:
        _call("mount", b"/proc/thread-self/ns/net", os.fsencode(path), b"none", _MS_BIND, None)
    except OSError:
        path.unlink()
        raise


def _shared_directory(directory: Path) -> None:
    """Names have to be seen by, and taken away for, every mount namespace: the folder is a shared mount."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    where = os.fsencode(directory)
    try:
        _call("mount", b"", where, b"none", _MS_SHARED | _MS_REC, None)
    except OSError:
        _call("mount", where, where, b"none", _MS_BIND | _MS_REC, None)
        _call("mount", b"", where, b"none", _MS_SHARED | _MS_REC, None)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        flags = fcntl.ioctl(probe, _SIOCGIFFLAGS, struct.pack("16sH22x", b"lo", 0))
        up = struct.unpack("16sH22x", flags)[1] | _IFF_UP
        fcntl.ioctl(probe, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", up))


def _call(function: str, *arguments: object) -> None:
    """A function of the C library that Python 3.11 lacks. Raises OSError."""
    if getattr(_libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
