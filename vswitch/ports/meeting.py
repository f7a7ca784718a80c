"""Sockets at a known place: made to be found by others on this machine, and to leave nothing behind."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vswitch.ports.base import PortError
from vswitch.units import ListenAddress

if TYPE_CHECKING:
    from vswitch.units import Endpoint

BACKLOG = 8
"""Callers that wait until there is a free port; those after them are told to come again by the kernel."""

_PRIVATE = 0o117  # a umask: the socket is for its owner and group alone


class Meeting:
    """A socket bound to a place, and the file that it is for others, which goes with it."""

    def __init__(self, place: Endpoint, kind: int = socket.SOCK_STREAM) -> None:
        """Bind; a stream socket listens. Raises PortError."""
        inet = isinstance(place, ListenAddress)
        family = (socket.AF_INET6 if ":" in place[0] else socket.AF_INET) if inet else socket.AF_UNIX
        self.socket = socket.socket(family, kind | socket.SOCK_NONBLOCK)
        self._file: tuple[Path, int] | None = None
        try:
            if isinstance(place, ListenAddress):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.socket.bind(tuple(place))
            else:
                self._bind(Path(place), kind)
            if kind == socket.SOCK_STREAM:
                self.socket.listen(BACKLOG)
        except OSError as error:
            self.close()
            raise PortError(_why_not(place, error)) from error
        except PortError:
            self.close()
            raise

    def accept(self) -> socket.socket | None:
        """The next caller, if one waits. Raises OSError where the process is out of descriptors."""
        try:
            return self.socket.accept()[0]
        except (BlockingIOError, ConnectionAbortedError):
            return None

    def close(self) -> None:
        """Listen no longer, and remove the file if it is still this one."""
        self.socket.close()
        if self._file is not None:
            path, inode = self._file
            with suppress(OSError):
                if path.stat().st_ino == inode:
                    path.unlink()
            self._file = None

    def _bind(self, path: Path, kind: int) -> None:
        """Bind to a path, in place of a socket that somebody died over."""
        mask = os.umask(_PRIVATE)
        try:
            try:
                self.socket.bind(str(path))
            except OSError as error:
                if error.errno != errno.EADDRINUSE or not _dead(path, kind):
                    raise
                path.unlink()
                self.socket.bind(str(path))
        finally:
            os.umask(mask)
        self._file = (path, path.stat().st_ino)


def call(place: Endpoint, kind: int = socket.SOCK_STREAM, patience: float = 2.0) -> socket.socket:
    """Connect to whoever listens there, for so many seconds at most. Raises OSError."""
    inet = isinstance(place, ListenAddress)
    family = (socket.AF_INET6 if ":" in place[0] else socket.AF_INET) if inet else socket.AF_UNIX
    sock = socket.socket(family, kind)
    try:
        sock.settimeout(patience)
        sock.connect(tuple(place) if isinstance(place, ListenAddress) else place)
    except OSError:
        sock.close()
        raise
    return sock


def _dead(path: Path, kind: int) -> bool:
    """Whether nobody has the socket of this file any more."""
    if not path.is_socket():
        return False
    try:
        call(str(path), kind, 0).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _why_not(place: Endpoint, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{place} is in use by another program; end that one, or name another place"
    if error.errno == errno.ENOENT:
        return f"cannot make the socket {place}: there is no such folder; make it first"
    return f"cannot make the socket {place}: {error.strerror}"
