"""Frames that nobody sent: put on a port by the API, for tests and to see what becomes of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from vswitch.control.api.explain import octets_of
from vswitch.control.api.models import Model
from vswitch.control.api.route import Route, body
from vswitch.core.offload import HEADER, PLAIN
from vswitch.fastpath.flowcache import ROOM

if TYPE_CHECKING:
    from aiohttp import web

    from vswitch.control.service import Service

_BATCH: Final = 16
"""Frames until everybody else has a turn."""


class SendRequest(Model):
    """A frame as hexadecimal octets, Ethernet header first, to come `in` by a port as if its guest had sent it, or to
    go `out` to the guest. rate: frames a second; 0: as fast as the others leave time for.
    """

    port: str
    frame: str = Field(max_length=200_000, examples=["ffffffffffff525400a832d70806"])
    direction: Literal["in", "out"] = "in"
    count: int = Field(1, ge=1, le=10_000_000)
    rate: float = Field(0.0, ge=0, le=1e6)


class Sent(Model):
    """How many frames were put on the port."""

    sent: int


async def _send(service: Service, request: web.Request) -> Sent:
    """It stops where the caller goes, the port does, or the switch."""
    asked: SendRequest = await body(request, SendRequest)
    raw = PLAIN + octets_of(asked.frame)
    if len(raw) > ROOM:
        raise ValueError(f"a frame has at most {ROOM - HEADER} octets")
    bridge, loop, sent = service.bridge(asked.port), asyncio.get_running_loop(), 0
    begin = loop.time()
    while sent < asked.count and not service.stopping:
        due = asked.count if not asked.rate else min(asked.count, 1 + int((loop.time() - begin) * asked.rate))
        for _ in range(min(_BATCH, due - sent)):
            service.engine.inject(asked.port, raw, leaves=asked.direction == "out")
            sent += 1
        behind = sent < due
        await asyncio.sleep(0 if behind or sent == asked.count else max(0.0, begin + sent / asked.rate - loop.time()))
        gone = request.transport is None or request.transport.is_closing()
        if gone or service.switch.ports.get(asked.port) is not bridge:
            break
    return Sent(sent=sent)


ROUTES = (
    Route("POST", "/v1/send", "Put a frame on a port, as if its guest had sent it, or to it", Sent, _send,
          body=SendRequest),
)  # fmt: skip
