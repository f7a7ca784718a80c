"""The directory by which clients of vde_switch find a switch: a socket `ctl` that they ask for a port on.

A client connects, sends a request with the address of its own datagram socket, and is told that of the port's. Its
connection stays for as long as it does. (vde-2: src/vde_switch/datasock.c, and libvdeplug for the other side.)
"""

from __future__ import annotations

import os
import select
import socket
import stat
import struct
from collections import OrderedDict
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from vswitch.ports.base import PortError
from vswitch.ports.meeting import Meeting

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_SILENT: Final = 16
"""Callers, at most, whose request has not come yet; the one that has waited longest goes for the next."""

MOST_AT_ONCE: Final = 16
"""Callers let in, and requests read, before others have their turn."""

_MAGIC, _VERSION = 0xFEEDFACE, 3
_REQUEST: Final = struct.Struct("=IIIH108s")  # magic, version, type with the wanted port above it; sockaddr_un
_ADDRESS: Final = struct.Struct("=H108s")  # sockaddr_un
_NEW_CONTROL, _NEW_PORT = 0, 1
_CREDENTIALS: Final = struct.Struct("=iII")  # ucred


class Request(NamedTuple):
    """What a client asks for. number: of the port, 0 for any.  path: of its own socket."""

    number: int
    path: str


class Caller(NamedTuple):
    """A client that is to have a port: its connection, and where its own socket is."""

    connection: socket.socket
    path: str


def parse_request(octets: bytes) -> Request | None:
    """A request as it comes over `ctl`; None where it is none."""
    if len(octets) < _REQUEST.size:
        return None
    magic, version, kind, family, path = _REQUEST.unpack_from(octets)
    if (magic, version, family) != (_MAGIC, _VERSION, socket.AF_UNIX) or kind & 0xFF not in (_NEW_CONTROL, _NEW_PORT):
        return None
    text = path.split(b"\0", 1)[0].decode(errors="surrogateescape")
    return Request(kind >> 8, text) if text.startswith("/") else None


class VdeDirectory:
    """One directory: its `ctl`, the callers that have not said yet what they want, and the ports to choose from."""

    def __init__(self, path: str) -> None:
        """Make what is missing of it. Raises PortError."""
        self.path = Path(path)
        self._made = False
        try:
            self.path.mkdir(mode=0o750)
            self._made = True
        except FileExistsError:
            pass
        except OSError as error:
            raise PortError(f"cannot make the folder {path}: {error.strerror}") from error
        self._silent: OrderedDict[int, socket.socket] = OrderedDict()
        self._ports: dict[int, Callable[[Caller], bool]] = {}
        with ExitStack() as undo:
            undo.callback(self._leave)
            self._epoll = select.epoll()
            undo.callback(self._epoll.close)
            self._control = Meeting(f"{path}/ctl")
            undo.pop_all()
        self._epoll.register(self._control.socket, select.EPOLLIN)

    def fileno(self) -> int:
        """Readable while somebody is to be served."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Whoever waits is let go."""
        self._epoll.close()
        for caller in self._silent.values():
            caller.close()
        self._control.close()
        self._leave()

    def join(self, number: int | None, take: Callable[[Caller], bool]) -> int:
        """A port is there: its number. take: gives it a caller; False where it has one already. Raises PortError."""
        if number in self._ports:
            raise PortError(f"port number {number} of {self.path} is taken already")
        given = number or next(n for n in range(1, len(self._ports) + 2) if n not in self._ports)
        self._ports[given] = take
        return given

    def part(self, number: int) -> None:
        """A port is gone."""
        self._ports.pop(number, None)

    def serve(self) -> None:
        """Let callers in, and give those their ports who have said what they want. Raises OSError where none can be."""
        for fd, _ in self._epoll.poll(0, MOST_AT_ONCE):
            if fd == self._control.socket.fileno():
                self._let_in()
            elif (caller := self._silent.get(fd)) is not None:
                self._hear(caller)

    def _let_in(self) -> None:
        for _ in range(MOST_AT_ONCE):
            caller = self._control.accept()
            if caller is None:
                return
            caller.setblocking(False)
            if len(self._silent) >= MOST_SILENT:
                self._silent.popitem(last=False)[1].close()
            self._silent[caller.fileno()] = caller
            self._epoll.register(caller, select.EPOLLIN)

    def _hear(self, caller: socket.socket) -> None:
        """The request comes in one piece, as it was sent; whoever sends anything else has to go."""
        del self._silent[caller.fileno()]
        self._epoll.unregister(caller)
        try:
            request = parse_request(caller.recv(1024))
        except OSError:
            request = None
        if request is None or not _owns(caller, request.path) or not self._give(request, caller):
            caller.close()

    def _give(self, request: Request, caller: socket.socket) -> bool:
        """The port that is asked for, or the first free one; False where there is none."""
        wanted = [request.number] if request.number else sorted(self._ports)
        return any(self._ports[n](Caller(caller, request.path)) for n in wanted if n in self._ports)

    def _leave(self) -> None:
        if self._made:
            with suppress(OSError):
                self.path.rmdir()


def address(path: Path) -> bytes:
    """The answer to a request: where the port's own socket is."""
    return _ADDRESS.pack(socket.AF_UNIX, os.fsencode(path))


def _owns(caller: socket.socket, path: str) -> bool:
    """Whether the caller may have frames sent to this socket: its own, unless it is root."""
    _, uid, _ = _CREDENTIALS.unpack(caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return False
    return stat.S_ISSOCK(found.st_mode) and uid in (0, found.st_uid)
