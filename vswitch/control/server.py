"""The control socket: HTTP, and for a request that needs one, an open descriptor beside it (SCM_RIGHTS of unix(7)).

A descriptor comes with the first octets of a connection. They are looked at before the HTTP server has the connection,
which then reads them again, without what came beside them.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import logging
import os
import socket
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

BACKLOG: Final = 64
MOST_UNSPOKEN: Final = 256
"""Connections, at most, on which nothing came yet; the oldest is closed for the next."""

HANDED: Final = web.AppKey("handed", dict[int, int])
"""Descriptors that came, by that of the connection they came on."""

_ROOM: Final = socket.CMSG_LEN(array.array("i").itemsize)


class ControlServer:
    """Serves an application on a Unix socket that its owner and group alone can reach."""

    def __init__(self, app: web.Application) -> None:
        """Not listening yet."""
        self._handed: dict[int, int] = {}
        app[HANDED] = self._handed
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._unspoken: dict[socket.socket, None] = {}
        self._tasks: set[asyncio.Task[object]] = set()

    async def listen(self, path: Path) -> None:
        """Raises OSError."""
        await self._runner.setup()
        mask = os.umask(0o117)
        try:
            self._listener.bind(str(path))
        finally:
            os.umask(mask)
        self._listener.listen(BACKLOG)
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    async def close(self) -> None:
        """Let every caller go."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener.fileno())
        self._listener.close()
        for connection in list(self._unspoken):
            self._forget(connection)
            connection.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.cleanup()
        while self._handed:
            os.close(self._handed.popitem()[1])

    def _accept(self) -> None:
        try:
            connection = self._listener.accept()[0]
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                log.warning("a caller of the control socket cannot be let in: %s", error.strerror)
                self._pause()
            return
        connection.setblocking(False)
        if len(self._unspoken) >= MOST_UNSPOKEN:
            oldest = next(iter(self._unspoken))
            self._forget(oldest)
            oldest.close()
        self._unspoken[connection] = None
        asyncio.get_running_loop().add_reader(connection.fileno(), self._spoke, connection)

    def _pause(self) -> None:
        """Without descriptors the listener stays readable: look again after a while only."""
        loop, fd = asyncio.get_running_loop(), self._listener.fileno()
        loop.remove_reader(fd)
        loop.call_later(1.0, lambda: self._listener.fileno() == fd and loop.add_reader(fd, self._accept))

    def _spoke(self, connection: socket.socket) -> None:
        """The first octets are here: take what came beside them, and give the connection to the HTTP server."""
        self._forget(connection)
        try:
            descriptor = _beside(connection)
        except OSError:
            connection.close()
            return
        if (stale := self._handed.pop(connection.fileno(), None)) is not None:
            os.close(stale)  # its connection ended before anybody asked for it
        if descriptor is not None:
            self._handed[connection.fileno()] = descriptor
        task = asyncio.ensure_future(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        server = self._runner.server
        assert server is not None  # noqa: S101
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(server, connection)

    def _forget(self, connection: socket.socket) -> None:
        del self._unspoken[connection]
        asyncio.get_running_loop().remove_reader(connection.fileno())


def handed(request: web.Request) -> int | None:
    """The descriptor that came with the connection of this request, from now on the caller's; None: none did."""
    connection = request.get_extra_info("socket")
    return None if connection is None else request.app[HANDED].pop(connection.fileno(), None)


def _beside(connection: socket.socket) -> int | None:
    """The descriptor beside the octets that wait, which stay; more than one are not taken. Raises OSError."""
    _, ancillary, _, _ = connection.recvmsg(1, _ROOM, socket.MSG_PEEK | socket.MSG_CMSG_CLOEXEC)
    found = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(data[: len(data) - len(data) % found.itemsize])
    for extra in found[1:]:
        os.close(extra)
    return found[0] if found else None
