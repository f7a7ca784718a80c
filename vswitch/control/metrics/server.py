"""The process that serves `/metrics`: HTTP, TLS, passwords and rendering, all of it away from the switch's loop.

It is started by `exporter`, with the channel to the switch for its standard input, and ends when the switch does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from vswitch.control.listening import speaker
from vswitch.control.metrics.channel import SNAPSHOT, receive, send
from vswitch.control.metrics.credentials import CredentialsError, Passwords, server_context
from vswitch.control.metrics.groups import GROUPS
from vswitch.control.metrics.negotiation import compressed, render, wanted
from vswitch.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiohttp.web_protocol import RequestHandler
    from prometheus_client import Metric

    from vswitch.control.metrics.group import Row

NICE: Final = 5
"""Whoever forwards frames goes first where cores are few (setpriority(2))."""

MOST_CONNECTIONS: Final = 64
"""At a time. For one more the one goes that has had nothing to say for longest."""

HANDSHAKE: Final = 10.0
"""Seconds that a caller has for the handshake of TLS."""

PATIENCE: Final = 10.0
"""Seconds until a switch that does not answer is not waited for any longer."""


class Collected:
    """The metrics of one moment, as `prometheus_client` wants them."""

    def __init__(self, switch: str, rows: Mapping[str, list[Row]]) -> None:
        """rows: by group."""
        self._switch = switch
        self._rows = rows

    def collect(self) -> Iterator[Metric]:
        """Every family, in the order of the documentation."""
        for group in GROUPS:
            yield from group.families(self._switch, self._rows[group.name])


class Server:
    """Answers `/metrics`, and nothing else."""

    def __init__(self, settings: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """settings: of `Exporter`.  reader, writer: the channel."""
        self._switch = settings["switch"]
        self._passwords = Passwords(settings["basic_auth"])
        self._reader, self._writer = reader, writer
        self._answers: asyncio.Queue[Any] = asyncio.Queue()
        self._asking = asyncio.Lock()
        self._worker = Worker("vswitch-metrics")
        self._busy: set[RequestHandler] = set()
        self.over = asyncio.Event()
        """Whether this process is to end."""

    def application(self) -> web.Application:
        """To aiohttp."""
        app = web.Application(client_max_size=1)
        app.router.add_get("/metrics", self._metrics)
        return app

    def speaker(self, runner: web.AppRunner) -> asyncio.BaseProtocol:
        """What speaks with one more caller."""
        return speaker(runner.server, self._busy, MOST_CONNECTIONS)

    async def _metrics(self, request: web.Request) -> web.Response:
        self._busy.add(request.protocol)
        try:
            return await self._answer(request)
        finally:
            self._busy.discard(request.protocol)

    async def _answer(self, request: web.Request) -> web.Response:
        if not await self._may(request.headers.get("Authorization", "")):
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="vswitch metrics", charset="UTF-8"'})
        form = wanted(_header(request, "Accept"))
        compress = compressed(_header(request, "Accept-Encoding"))
        try:
            rows = await asyncio.wait_for(self._snapshot(), PATIENCE)
        except TimeoutError:
            self.over.set()  # an answer that comes yet would be taken for the next one; there is another process soon
            raise web.HTTPServiceUnavailable(text="the switch does not answer\n") from None
        collected = Collected(self._switch, rows)
        body = await self._worker.run(partial(render, form, collected, compress=compress))
        headers = {"Content-Type": form.content_type, "Vary": "Accept, Accept-Encoding"}
        return web.Response(body=body, headers=headers | ({"Content-Encoding": "gzip"} if compress else {}))

    async def _may(self, authorization: str) -> bool:
        passwords = self._passwords
        if not passwords.wanted or passwords.known(authorization):
            return True
        return bool(authorization) and await self._worker.run(partial(passwords.check, authorization))

    async def _snapshot(self) -> dict[str, list[Row]]:
        """The rows of every group."""
        rows: dict[str, list[Row]] = {group.name: [] for group in GROUPS}
        async with self._asking:
            send(self._writer, SNAPSHOT)
            while (message := await self._answers.get()) is not None:
                name, some = message
                rows[name] += some
        return rows

    async def hear(self) -> None:
        """Hear what the switch says, until it is gone."""
        with suppress(EOFError):
            while True:
                self._answers.put_nowait(await receive(self._reader))


def _header(request: web.Request, name: str) -> str:
    """All of it: a header may come in several lines (RFC 9110, section 5.3)."""
    return ",".join(request.headers.getall(name, ()))


async def serve() -> None:
    """Begin, say so, and go on until there is no switch."""
    channel = socket.socket(fileno=os.dup(0))
    reader, writer = await asyncio.open_unix_connection(sock=channel)
    settings = await receive(reader)
    try:
        context = server_context(*settings["tls"]) if settings["tls"] else None
    except CredentialsError as error:
        send(writer, f"{error.key}: {error}")
        await writer.drain()
        return
    server = Server(settings, reader, writer)
    runner = web.AppRunner(server.application(), access_log=None, handle_signals=False, shutdown_timeout=0.5)
    await runner.setup()
    listener = await asyncio.get_running_loop().create_server(
        partial(server.speaker, runner), sock=socket.socket(fileno=settings["socket"]), ssl=context,
        ssl_handshake_timeout=HANDSHAKE if context else None,
    )  # fmt: skip
    send(writer, None)
    ends = [asyncio.ensure_future(end) for end in (server.hear(), server.over.wait())]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in ends:
        end.cancel()
    listener.close()
    await runner.cleanup()


def main() -> None:
    """Signals are for the switch, whose end is this one's."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(NICE)
    with suppress(EOFError):
        asyncio.run(serve())


if __name__ == "__main__":
    main()
