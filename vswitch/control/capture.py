"""Captures by the API: a stream of pcapng for as long as the caller listens."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from vswitch.control.route import Route
from vswitch.observe.capture import BUFFER, Capture, Wanted
from vswitch.units import Duration, PortName, Vid

if TYPE_CHECKING:
    from vswitch.control.service import Service

log = logging.getLogger(__name__)

MEDIA: Final = "application/x-pcapng"
MOST_CAPTURES: Final = 16
"""Captures at a time: each may hold a buffer."""

_CHUNK: Final = 256 * 1024
_PAUSE: Final = 0.01
"""Seconds between two looks at a buffer that frames come into: a caller sees them soon, in few writes."""

_LOOK: Final = 1.0
"""Seconds without a frame after which it is looked whether the caller is still there."""

_STUCK: Final = 5.0
"""Seconds in which a caller read nothing, after which the log says so."""


class CaptureRequest(BaseModel):
    """What a capture is to have, as parameters behind the path; see `Wanted`."""

    model_config = ConfigDict(extra="forbid", title="Capture")

    port: list[PortName] = Field([], max_length=4096, description="ports, by name; all if none is named")
    filter: str = Field("", description="only what matches, as of pcap-filter(7)")
    vlan: Vid | None = Field(None, description="only frames that the switch put into this VLAN")
    drops: bool = Field(False, description="only frames that are dropped")
    snaplen: int = Field(0, ge=0, le=1 << 18, description="octets that are kept of a frame; 0: all")
    count: int = Field(0, ge=0, description="packets after which it ends; 0: no end")
    seconds: Duration = Field(0.0, ge=0, le=1e6, description="how long it lasts; 0: no end")
    as_on_wire: bool = Field(False, description="superframes as the segments they stand for, checksums complete")
    tell_vlan: bool = Field(False, description="a comment with the VLAN that the switch put the frame into")
    buffer: int = Field(BUFFER, ge=1 << 16, le=1 << 30, description="octets that may wait to be read")
    ring: Duration = Field(0.0, ge=0, le=86_400, description="how much of the past is kept until the trigger fires")
    trigger: str = Field("", description="what a ring waits for: drop, drop:REASON, or a filter")
    after: Duration = Field(1.0, ge=0, le=86_400, description="how long a ring goes on once its trigger fired")

    def wanted(self) -> Wanted:
        """To the capture."""
        given = self.model_dump(exclude={"port", "seconds"})
        return Wanted(ports=tuple(self.port), **given)


def _parameters() -> dict[str, dict[str, Any]]:
    properties: dict[str, dict[str, Any]] = CaptureRequest.model_json_schema()["properties"]
    return properties


def _request(request: web.Request) -> CaptureRequest:
    given: dict[str, Any] = dict(request.query)
    if "port" in request.query:
        given["port"] = request.query.getall("port")
    return CaptureRequest.model_validate(given)


async def _capture(service: Service, request: web.Request) -> web.StreamResponse:
    asked = _request(request)
    for name in asked.port:
        service.bridge(name)
    session = _Session(service, asked)
    response = web.StreamResponse(headers={"Content-Type": MEDIA})
    await response.prepare(request)
    await session.serve(request, response)
    return response


class _Session:
    """One capture and the caller who reads it."""

    def __init__(self, service: Service, asked: CaptureRequest) -> None:
        """Raises ValueError where it cannot be had."""
        self._news = asyncio.Event()
        self._asked = asked
        self._service = service
        self._capture = Capture(asked.wanted(), self._describe, self._news.set)
        self._told = False
        if len(service.captures) >= MOST_CAPTURES:
            raise ValueError(f"{MOST_CAPTURES} captures run already; end one of them first")

    def _describe(self, port: str) -> str:
        attachment = self._service.engine.attached[port].port
        return f"{attachment.kind} {attachment.device or ''}".strip()

    async def serve(self, request: web.Request, response: web.StreamResponse) -> None:
        """Until it is complete, or the caller goes."""
        observers, captures = self._service.engine.observers, self._service.captures
        for bridge in self._service.switch.ports.values():
            self._capture.announce(bridge)
        loop = asyncio.get_running_loop()
        ending = [loop.call_later(self._asked.seconds, self._capture.end)] if self._asked.seconds else []
        captures.add(self._capture)
        observers.add(self._capture)
        try:
            with suppress(ConnectionError):
                await self._pass_on(request, response)
        finally:
            observers.remove(self._capture)
            captures.discard(self._capture)
            self._service.captures_lost += self._capture.lost
            for handle in ending:
                handle.cancel()
            if self._capture.lost:
                log.warning("a capture lost %d packets: nobody read them in time", self._capture.lost)

    async def _pass_on(self, request: web.Request, response: web.StreamResponse) -> None:
        capture, loop = self._capture, asyncio.get_running_loop()
        after: asyncio.TimerHandle | None = None
        while True:
            self._news.clear()
            while octets := capture.read(_CHUNK):
                await self._write(response, octets)
            if capture.ended:
                break
            if capture.fired is not None and after is None:
                after = loop.call_later(self._asked.after, capture.end)
            while not await self._wait():
                if request.transport is None or request.transport.is_closing():
                    return
        await response.write_eof()

    async def _wait(self) -> bool:
        """Whether there is something new; if not, it is time to see whether the caller is still there."""
        try:
            await asyncio.wait_for(self._news.wait(), _LOOK)
        except TimeoutError:
            return False
        await asyncio.sleep(_PAUSE)
        return True

    async def _write(self, response: web.StreamResponse, octets: bytes) -> None:
        """A caller that does not read is waited for; its buffer fills, and the log tells of it once."""
        writing = asyncio.ensure_future(response.write(octets))
        done, _ = await asyncio.wait((writing,), timeout=_STUCK)
        if not done and not self._told:
            self._told = True
            log.warning("a capture is not being read; what does not fit its buffer will be lost to it, and counted")
        await writing


ROUTES = (
    Route("GET", "/v1/capture", "Frames as they pass, as pcapng", MEDIA, _capture, query=_parameters()),
)  # fmt: skip
