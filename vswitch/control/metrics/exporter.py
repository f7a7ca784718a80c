"""Serves `/metrics`: the end of it that is in the switch.

Rendering the metrics of many ports takes longer than frames may wait, a thread would take the interpreter's lock from
them for milliseconds at a time, and a TLS handshake or the check of a password is no better. So another process, with
little priority, does all that, on the socket that is opened here. It asks for a snapshot, which is copied in slices
between which frames have their turn, and it ends when the switch does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from vswitch.control.listening import server_socket
from vswitch.control.metrics.channel import SNAPSHOT, receive, send
from vswitch.control.metrics.groups import GROUPS
from vswitch.control.status import SLICE
from vswitch.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vswitch.control.config.schema import MetricsConfig
    from vswitch.control.service import Service
    from vswitch.units import ListenAddress

log = logging.getLogger(__name__)

PATIENCE: Final = 30.0
"""Seconds until a server that does not begin is given up."""

AGAIN: Final = 1.0
"""Seconds until a server that ended by itself is started again."""


class ExporterError(Exception):
    """The metrics cannot be served: one sentence."""


class Exporter:
    """Serves the metrics of a switch as a configuration says."""

    def __init__(self, service: Service, config: MetricsConfig) -> None:
        """Not yet."""
        self.config = config
        self._service = service
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._task: asyncio.Task[None] | None = None
        self._worker = Worker("vswitch-metrics")

    @property
    def pid(self) -> int | None:
        """Of the process that serves."""
        return self._process.pid if self._process else None

    async def start(self, *, after: Exporter | None = None) -> None:
        """Serve. Raises ExporterError, with nothing left behind.

        after: the one whose place it takes, which serves until then; where both listen at the same address, at the
        same socket, so that it is never closed.
        """
        if after is not None and after._socket is not None and after.config.listen == self.config.listen:
            listening = after._socket.dup()
        else:
            listening = _open(self.config.listen)
        self._socket = listening
        try:
            streams = await self._begin(listening)
        except BaseException:
            await self._end()
            raise
        self._service.lag.start()
        self._task = asyncio.ensure_future(self._go_on(listening, *streams))

    async def close(self) -> None:
        """Serve no more."""
        if self._task is None:
            return
        self._service.lag.stop()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        await self._end()

    async def _begin(self, listening: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Start the process and hear that it serves. Raises ExporterError."""
        near, far = socket.socketpair()
        with far:
            try:
                self._process = _spawn(far, listening)
            except OSError as error:
                near.close()
                raise ExporterError(f"cannot start {sys.executable}: {error.strerror}") from error
        reader, writer = await asyncio.open_unix_connection(sock=near)
        try:
            send(writer, self._settings(listening))
            refused = await asyncio.wait_for(receive(reader), PATIENCE)
            if refused is not None:
                raise ExporterError(refused)
        except BaseException as error:
            writer.close()  # the process ends with its channel
            if isinstance(error, (EOFError, TimeoutError)):
                raise ExporterError("the process that serves them did not begin; its log says why") from error
            raise
        return reader, writer

    def _settings(self, listening: socket.socket) -> dict[str, Any]:
        """What the process has to know."""
        tls = self.config.tls
        return {
            "socket": listening.fileno(),
            "switch": self._service.config.name,
            "tls": (tls.certificate, tls.key) if tls else None,
            "basic_auth": dict(self.config.basic_auth),
        }

    async def _go_on(
        self, listening: socket.socket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer the process; should it end, start another one."""
        while True:
            try:
                await self._answer(reader, writer)
            except (EOFError, ConnectionError):
                log.warning("the process that serves the metrics ended; another one starts in %g s", AGAIN)
            finally:
                writer.close()
            while True:
                await asyncio.sleep(AGAIN)
                await self._reap()
                try:
                    reader, writer = await self._begin(listening)
                    break
                except ExporterError as error:
                    log.warning("metrics: %s", error)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Every question, until there is nobody to ask. Raises EOFError."""
        while await receive(reader) == SNAPSHOT:
            await self.copy(partial(self._pass_on, writer))

    @staticmethod
    async def _pass_on(writer: asyncio.StreamWriter, message: Any) -> None:
        send(writer, message)
        await writer.drain()

    async def copy(self, take: Callable[[Any], Awaitable[None]]) -> None:
        """Have `take` take the rows of every group, as they are copied, and None at the end."""
        began = time.perf_counter()
        for group in GROUPS:
            rows = []
            for row in group.copy(self._service):
                rows.append(row)
                if time.perf_counter() - began > SLICE:
                    await take((group.name, rows))
                    rows = []
                    await asyncio.sleep(0)
                    began = time.perf_counter()
            await take((group.name, rows))
        await take(None)

    async def _reap(self) -> None:
        """Wait for the process, which ends as soon as its channel does."""
        process, self._process = self._process, None
        if process is not None:
            await self._worker.run(partial(_wait, process))

    async def _end(self) -> None:
        await self._reap()
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _open(address: ListenAddress) -> socket.socket:
    """A listening socket. Raises ExporterError."""
    try:
        return server_socket(address)
    except OSError as error:
        raise ExporterError(f"cannot listen on {address}: {error.strerror}") from error


def _spawn(channel: socket.socket, listening: socket.socket) -> subprocess.Popen[bytes]:
    """The process that serves, which finds its modules where this one does and nowhere else. Raises OSError."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "vswitch.control.metrics.server"],
        stdin=channel.fileno(),
        stdout=subprocess.DEVNULL,
        pass_fds=(listening.fileno(),),
        env=environment,
    )


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(PATIENCE / 10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
