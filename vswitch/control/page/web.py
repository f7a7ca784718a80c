"""The page: its files, the API once more, and what happens as it happens, on one TCP address for browsers.

Whoever calls is a stranger until the rules of `access` say otherwise: connections, bodies and time are bounded.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from vswitch.control.api import table as api
from vswitch.control.api.openapi import document
from vswitch.control.api.table import MAX_BODY, ROUTES, refusals, refuse
from vswitch.control.listening import server_socket, speaker
from vswitch.control.page.access import HEADERS, Access, RefusedError
from vswitch.control.page.assets import INDEX, Assets
from vswitch.control.page.live import Live
from vswitch.control.server import HANDED

if TYPE_CHECKING:
    from aiohttp.web_protocol import RequestHandler

    from vswitch.control.api.route import Route
    from vswitch.control.api.table import Handler
    from vswitch.control.service import Service
    from vswitch.units import ListenAddress

MOST_CONNECTIONS: Final = 192
"""At a time. For one more the one goes that has had nothing to say for longest."""

SEND_BUFFER: Final = 256 * 1024
"""Octets of a connection that the kernel keeps for one who does not read; it would be megabytes."""

OPEN_BODY: Final = 256 * 1024
"""Octets that a call may carry without the token."""

BODY_TIME: Final = 30.0
"""Seconds in which the body of a call has to be here."""


class Page:
    """Serves the page on one address."""

    def __init__(self, service: Service, access: Access) -> None:
        """Not listening yet."""
        self._service = service
        self._access = access
        self._assets = Assets()
        self._live = Live(service)
        self._busy: set[RequestHandler] = set()
        self._runner = web.AppRunner(
            self._application(), access_log=None, handle_signals=False, shutdown_timeout=1.0, auto_decompress=False,
            keepalive_timeout=75.0, lingering_time=0.5, max_headers=64,
        )  # fmt: skip
        self._listener: asyncio.Server | None = None
        self._closing: asyncio.Task[None] | None = None
        self.address: ListenAddress | None = None

    async def listen(self, address: ListenAddress) -> None:
        """Start to serve. Raises OSError where the address is taken."""
        await self._runner.setup()
        try:
            listener = server_socket(address)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # each connection inherits it
        except OSError:
            await self._runner.cleanup()
            raise
        self._listener = await asyncio.get_running_loop().create_server(self._protocol, sock=listener)
        self.address = address

    def retire(self) -> asyncio.Task[None]:
        """Let nobody in from now on, and everybody go soon; the task ends when they are gone.

        One of them may be whoever asked for this, so it is not to be waited for before that call is answered.
        """
        if self._listener is not None:
            self._listener.close()
        return asyncio.ensure_future(self._let_go())

    async def _let_go(self) -> None:
        await self._live.close()
        await self._runner.cleanup()

    def become(self, access: Access) -> None:
        """Go by other rules, on the same address; whoever looks by the old ones has to come in anew."""
        if access != self._access:
            self._access = access
            self._closing = asyncio.ensure_future(self._live.close())

    def _protocol(self) -> asyncio.BaseProtocol:
        """What speaks with one more caller."""
        return speaker(self._runner.server, self._busy, MOST_CONNECTIONS)

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self._guard, refusals])
        app[HANDED] = {}  # descriptors come by the control socket alone
        for route in ROUTES:
            app.router.add_route(route.method, route.path, self._call(route))

        async def openapi(request: web.Request) -> web.Response:
            self._access.admit(request, open_to_all=True)
            return web.json_response(document(ROUTES))

        async def index(request: web.Request) -> web.Response:
            return self._assets.answer(INDEX, request)

        async def file(request: web.Request) -> web.Response:
            return self._assets.answer(request.match_info["name"], request)

        app.router.add_get("/", index)
        app.router.add_get("/static/{name:.+}", file)
        app.router.add_get("/v1/openapi.json", openapi)
        app.router.add_get("/v1/live", self._watch)
        app.on_response_prepare.append(_dress)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let nobody in who is not meant to be here; know who is busy."""
        self._busy.add(request.protocol)
        try:
            self._access.meet(request)
            return await handler(request)
        except RefusedError as error:
            response = refuse(error.status, str(error))
            if error.status == 401:
                response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
            return response
        finally:
            self._busy.discard(request.protocol)

    def _call(self, route: Route) -> Handler:
        """What answers a call of the API to those who may do it."""
        answer = api.handler(self._service, route)

        async def handle(request: web.Request) -> web.StreamResponse:
            if not self._access.admit(request, open_to_all=route.open):
                request = request.clone(client_max_size=OPEN_BODY)
            try:
                async with asyncio.timeout(BODY_TIME):
                    await request.read()
            except TimeoutError:
                raise RefusedError(408, "the body of the call did not come in time") from None
            return await answer(request)

        return handle

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        if not request.headers.getall(hdrs.ORIGIN, []):
            raise RefusedError(403, "the page alone may open this: its browser says an Origin")
        return await self._live.serve(request, trusted=self._access.admit(request, open_to_all=True))


async def _dress(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
