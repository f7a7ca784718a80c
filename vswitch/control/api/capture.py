"""Captures by the API: a stream of pcapng for as long as the caller listens."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from vswitch.control.api.pump import Pump
from vswitch.control.api.route import Route
from vswitch.observe.capture import BUFFER, Capture, Wanted
from vswitch.observe.trigger import FORMS, Trigger
from vswitch.units import Duration, PortName, Vid
from vswitch.worker import Worker

if TYPE_CHECKING:
    from vswitch.control.service import Service

log = logging.getLogger(__name__)

MEDIA: Final = "application/x-pcapng"
MOST_CAPTURES: Final = 16
"""Captures at a time: each may hold a buffer."""

_FLUSH: Final = 0.001
"""Seconds between two looks whether the head of the answer is out."""

_LOOK: Final = 1.0
"""Seconds between two looks whether the caller is still there."""


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
    trigger: str = Field("", description=f"what a ring waits for: {FORMS}")
    after: Duration = Field(1.0, ge=0, le=86_400, description="how long a ring goes on once its trigger fired")

    def awaited(self) -> tuple[str, ...]:
        """The port that a ring waits for. Raises ValueError where that is not understood."""
        if self.trigger and not self.ring:
            raise ValueError("a trigger is for a ring, which keeps some of the past: 30s")
        port = Trigger(self.trigger).port if self.ring else ""
        return (port,) if port else ()

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
    for name in (*asked.port, *asked.awaited()):
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
        self._asked = asked
        self._service = service
        self._capture = Capture(asked.wanted(), self._describe, self._woken)
        self._pump: Pump | None = None
        self._ending: list[asyncio.TimerHandle] = []
        self._fired = False
        if len(service.captures) >= MOST_CAPTURES:
            raise ValueError(f"{MOST_CAPTURES} captures run already; end one of them first")

    def _describe(self, port: str) -> str:
        attached = self._service.engine.attached.get(port)
        if attached is None:
            return ""  # what is lost as a port goes may be the first that is seen of it
        return f"{attached.port.kind} {attached.port.device or ''}".strip()

    def _woken(self) -> None:
        """There is something to read: for a ring, from when its trigger fired."""
        if self._capture.fired is not None and not self._fired:
            self._fired = True
            self._end_in(self._asked.after)
        if self._pump is not None:
            self._pump.wake()

    def _end_in(self, seconds: float) -> None:
        self._ending.append(asyncio.get_running_loop().call_later(seconds, self._capture.end))

    async def serve(self, request: web.Request, response: web.StreamResponse) -> None:
        """Until it is complete, or the caller goes."""
        observers, captures = self._service.engine.observers, self._service.captures
        for bridge in self._service.switch.ports.values():
            self._capture.announce(bridge)
        if self._asked.seconds:
            self._end_in(self._asked.seconds)
        captures.add(self._capture)
        observers.add(self._capture)
        observers.listeners.append(self._capture.happened)
        try:
            with suppress(ConnectionError):
                await self._pass_on(request, response)
        finally:
            observers.listeners.remove(self._capture.happened)
            observers.remove(self._capture)
            captures.discard(self._capture)
            self._service.captures_lost += self._capture.lost
            for handle in self._ending:
                handle.cancel()
            if self._capture.lost:
                log.warning("a capture lost %d packets: nobody read them in time", self._capture.lost)

    async def _pass_on(self, request: web.Request, response: web.StreamResponse) -> None:
        """Have a thread pass it on, once aiohttp has sent what is before it."""
        await response.write(self._capture.read(0))
        while (transport := request.transport) is not None and transport.get_write_buffer_size():
            await asyncio.sleep(_FLUSH)
        if transport is None or transport.is_closing():
            return
        self._pump = pump = Pump(self._capture, transport.get_extra_info("socket").fileno())
        worker = Worker("vswitch-capture")
        running = asyncio.ensure_future(worker.run(pump.run))
        try:
            while not (await asyncio.wait((running,), timeout=_LOOK))[0]:
                if transport.is_closing():
                    pump.stop()
        finally:
            pump.stop()
            worker.close()
        if await running:
            await response.write_eof()
        elif not self._service.stopping:
            log.info("who read a capture went, after %d packets", self._capture.packets)


ROUTES = (
    Route("GET", "/v1/capture", "Frames as they pass, as pcapng", MEDIA, _capture, query=_parameters()),
)  # fmt: skip
