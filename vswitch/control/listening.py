"""Listening sockets of TCP."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

    from aiohttp import web
    from aiohttp.web_protocol import RequestHandler

    from vswitch.units import ListenAddress


def server_socket(address: ListenAddress) -> socket.socket:
    """One that listens. The loop would look the address up in threads that then stay. Raises OSError."""
    everywhere = not address.host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if everywhere or ":" in address.host else socket.AF_INET
    return socket.create_server(tuple(address), family=family, dualstack_ipv6=everywhere)


def speaker(server: web.Server | None, busy: Container[RequestHandler], most: int) -> asyncio.BaseProtocol:
    """What speaks with one more caller: with `most` at a time, so that one may have to go who is not busy."""
    assert server is not None  # noqa: S101
    here = [each for each in server.connections if each.transport is not None]
    if len(here) >= most:
        idle = next((each for each in here if each not in busy), None)
        if idle is None:
            return _Full()
        idle.force_close()
    protocol: asyncio.BaseProtocol = server()
    return protocol


class _Full(asyncio.Protocol):
    """Everybody who is here is busy."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
