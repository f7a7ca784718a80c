"""Who holds which descriptor of /dev/net/tun, and who lives in which network namespace: one pass over proc(5)."""

from __future__ import annotations

import ctypes
import os
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from vswitch.ports import tun
from vswitch.ports.netns import Namespace

_PIDFD_GETFD = 438  # the same number on every architecture: Linux 5.6
_ARGUMENTS = 1 << 20  # octets of a command line that are read

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An open TAP or TUN. interface: its name.  home: the inode number of its holder's own namespace."""

    pid: int
    fd: int
    interface: str
    home: int

    def program(self) -> str:
        """What the kernel calls the holder; empty where it is gone."""
        return text(_read(f"/proc/{self.pid}/comm", 64)).strip()

    def arguments(self) -> list[str]:
        """The holder's command line; empty where it is gone."""
        return text(_read(f"/proc/{self.pid}/cmdline", _ARGUMENTS)).split("\0")

    def namespace(self) -> Namespace | None:
        """The namespace that the interface is in, held open; None where the kernel does not let us know.

        The holder's own says nothing: the interface may have been moved, or the descriptor handed over.
        """
        try:
            with closing(_Copy(self.pid, self.fd)) as copy:
                return Namespace.of(tun.namespace_fd(copy.fd), "where a TAP is")
        except OSError:
            return None


@dataclass(slots=True)
class Processes:
    """What one pass saw.

    namespaces: a process in each, by inode number.  hidden: whether some process did not let itself be looked at.
    """

    descriptors: list[Descriptor] = field(default_factory=list)
    namespaces: dict[int, int] = field(default_factory=dict)
    hidden: bool = False


def scan() -> Processes:
    """Look at every process once. A process that ends meanwhile is left out."""
    found = Processes()
    for pid in sorted(int(name) for name in _names("/proc") if name.isdecimal()):
        try:
            home = Path(f"/proc/{pid}/ns/net").stat().st_ino
            found.namespaces.setdefault(home, pid)
            found.descriptors += _held(pid, home)
        except PermissionError:
            found.hidden = True
        except OSError:
            continue
    return found


def text(octets: bytes) -> str:
    """Octets that may be anything as text that can be turned back."""
    return octets.decode(errors="surrogateescape")


def _held(pid: int, home: int) -> list[Descriptor]:
    """A readlink(2) for each descriptor never waits, unlike a stat(2) of a file that is far away."""
    folder = f"/proc/{pid}/fd"
    held: list[Descriptor] = []
    for fd in _names(folder):
        with suppress(FileNotFoundError):
            if "/tun" in os.readlink(f"{folder}/{fd}") and (name := _interface(pid, fd)):  # noqa: PTH115  there are many
                held.append(Descriptor(pid, int(fd), name, home))
    return sorted(held, key=lambda descriptor: descriptor.fd)


def _names(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


def _interface(pid: int, fd: str) -> str | None:
    for line in _read(f"/proc/{pid}/fdinfo/{fd}", 4096).split(b"\n"):
        if line.startswith(b"iff:"):
            return text(line.removeprefix(b"iff:").strip())
    return None


def _read(path: str, most: int) -> bytes:
    """The first `most` octets; none where they cannot be had."""
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except OSError:
        return b""


class _Copy:
    """A descriptor of another process as one of our own: pidfd_getfd(2). Raises OSError."""

    def __init__(self, pid: int, fd: int) -> None:
        holder = os.pidfd_open(pid)
        try:
            self.fd = int(_libc.syscall(_PIDFD_GETFD, holder, fd, 0))
            if self.fd < 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        finally:
            os.close(holder)

    def close(self) -> None:
        os.close(self.fd)
