"""Network namespaces: found, made, entered by one thread and left again. Named ones are those of `ip netns`."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
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
_NS_GET_NSTYPE = 0xB703  # linux/nsfs.h
_SO_NETNS_COOKIE = 71  # asm-generic/socket.h, Linux 5.14
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
    try:
        fcntl.ioctl(fd, _NS_GET_NSTYPE)
    except OSError:
        os.close(fd)
        if path.parent == NAMED:
            return None  # a name that somebody died over before it meant anything
        raise PortError(f"{path} is no namespace") from None
    return Namespace.of(fd, name)


@contextmanager
def inside(namespace: Namespace) -> Iterator[None]:
    """Run a block of this thread in `namespace`. Raises PortError where that is not permitted."""
    home = current()
    if home == namespace:  # to enter it takes CAP_SYS_ADMIN even then
        home.close()
        yield
        return
    try:
        _enter(namespace.fd, namespace.name)
        try:
            yield
        finally:
            _enter(home.fd, home.name)
    finally:
        home.close()


def enter(namespace: Namespace) -> None:
    """Move this thread into `namespace` for good. Raises PortError where that is not permitted."""
    _enter(namespace.fd, namespace.name)


def cookie(namespace: Namespace) -> int:
    """The number that no other namespace gets until the next boot; 0 where the kernel has none. Raises PortError.

    An inode number is no such thing: the next namespace made gets that of the last one that ended.
    """
    with inside(namespace):
        return _cookie()


def make(name: str, announce: Callable[[int], None]) -> Namespace:
    """Make a namespace, with its loopback up, and name it. Raises PortError.

    announce: called with its cookie before it has its name, so that whoever dies in between left no trace.
    """
    path = NAMED / name
    result: list[Namespace | Exception] = []

    def work() -> None:
        try:
            _call("unshare", _CLONE_NEWNET)
            _loopback_up()
            namespace = Namespace.of(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC), name)
            try:
                announce(_cookie())
                _name(path)
            except BaseException:
                namespace.close()
                raise
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
    """Bind this thread's namespace to a file, as `ip netns add` does (iproute2 ip/ipnetns.c).

    A file that is there is no namespace, or it would have been found; unlink(2) does not remove a mount.
    """
    _shared_directory(path.parent)
    path.unlink(missing_ok=True)
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


def _cookie() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            return int.from_bytes(probe.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), sys.byteorder)
        except OSError:
            return 0


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
