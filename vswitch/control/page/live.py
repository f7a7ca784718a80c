"""What happens, as it happens, to those who have the page open: a WebSocket each (`/v1/live`).

Counters are read only while somebody looks, once for all who are due. Who does not read what is sent misses states, and
holds nobody up: for each of them waits one message of a kind at most, and of those that tell of events a few.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from aiohttp import WSCloseCode, WSMsgType, web

from vswitch import __version__
from vswitch.control.page.access import PROTOCOL, RefusedError
from vswitch.control.page.frames import Frames, decodable
from vswitch.control.page.said import Fdb, Hello, HistoryNews, Loop, State, understood
from vswitch.control.page.talkers import Talkers
from vswitch.control.status import NotFoundError
from vswitch.core.verdict import Reason
from vswitch.worker import Worker

if TYPE_CHECKING:
    from vswitch.control.service import Service

MOST: Final = 64
"""Who may look at a time."""

TICK: Final = 0.25
"""Seconds between two states, at least; they come at multiples of it."""

EVENTS: Final = 100
"""Events of one message, the last ones."""

_LETTERS: Final = 4096
"""Of a message that the page sends."""

_PULSE: Final = 20.0
"""Seconds of silence after which it is asked whether the page is still there; half of that until it is taken not to."""

_FAREWELL: Final = 2.0
"""Seconds in which one who is let go has to say goodbye."""

_WAITING: Final = 8
"""Messages of one kind that tell of events, and wait to be sent."""


class Viewer:
    """One who looks: what is to be sent to it, and how often it wants to know."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        """socket: prepared."""
        self._socket = socket
        self._state = ""
        self._events: deque[str] = deque(maxlen=_WAITING)
        self._error = ""
        self._news = asyncio.Event()
        self.every = round(1.0 / TICK)
        """Ticks from state to state."""
        self.due = 0
        self.fresh = True
        """Whether it was told of no event yet."""

    def state(self, text: str) -> None:
        """Send this, in place of one that it did not read in time."""
        self._state = text
        self._news.set()

    def event(self, text: str) -> None:
        """Send this, in place of the oldest of too many."""
        self._events.append(text)
        self._news.set()

    def error(self, sentence: str) -> None:
        """Say what was wrong with what it sent last."""
        self._error = json.dumps({"type": "error", "message": sentence})
        self._news.set()

    @property
    def busy(self) -> bool:
        """Whether there is more to send than it reads."""
        return len(self._events) == _WAITING

    async def send(self) -> None:
        """Send what there is, as fast as it is read, until cancelled or the connection is lost."""
        while True:
            await self._news.wait()
            self._news.clear()
            error, state = self._error, self._state
            self._error = self._state = ""
            events, self._events = self._events, deque(maxlen=_WAITING)
            for text in (error, *events, state):
                if text:
                    await self._socket.send_str(text)


class Live:
    """All who look, and the one who looks for them."""

    def __init__(self, service: Service) -> None:
        """Nobody looks."""
        self._service = service
        self._sockets: set[web.WebSocketResponse] = set()
        self._viewers: set[Viewer] = set()
        self._looking: asyncio.Task[None] | None = None
        self._worker = Worker("vswitch-live")
        self._talkers = Talkers(service)
        self._told = 0

    async def serve(self, request: web.Request, *, trusted: bool) -> web.WebSocketResponse:
        """One who looks, until it goes. trusted: whether it has the token. Raises RefusedError."""
        if len(self._sockets) >= MOST:
            raise RefusedError(503, f"{MOST} pages are open already; close one of them first")
        socket = web.WebSocketResponse(
            protocols=(PROTOCOL,), heartbeat=_PULSE, compress=False, max_msg_size=_LETTERS, timeout=1.0
        )
        if not socket.can_prepare(request):
            raise RefusedError(426, "this is a WebSocket: a plain call gets nothing here")
        self._sockets.add(socket)
        try:
            await socket.prepare(request)
            with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
                await self._attend(socket, trusted=trusted)
        finally:
            self._sockets.discard(socket)
        return socket

    async def close(self) -> None:
        """Let everybody go; they may come again."""
        closing = [each.close(code=WSCloseCode.SERVICE_RESTART, message=b"come again") for each in self._sockets]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await asyncio.gather(*closing, return_exceptions=True)

    async def _attend(self, socket: web.WebSocketResponse, *, trusted: bool) -> None:
        viewer = Viewer(socket)
        frames = Frames(self._service, viewer) if trusted else None
        await socket.send_str(self._hello(trusted=trusted).model_dump_json())
        sending = asyncio.ensure_future(viewer.send())
        self._viewers.add(viewer)
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._look())
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._asked(viewer, frames, message.data)
                else:
                    viewer.error("a message is a JSON object, as text")
                await asyncio.sleep(0)  # one who sends without end leaves the others their turns
        finally:
            self._viewers.discard(viewer)
            sending.cancel()
            if frames is not None:
                await frames.close()
            await asyncio.gather(sending, return_exceptions=True)

    def _hello(self, *, trusted: bool) -> Hello:
        info = self._service.info()
        may = ["explain", "capture", "frames", "change"] if trusted else ["explain"]
        if not decodable():
            may = [each for each in may if each != "frames"]
        return Hello(
            switch=info.name, version=__version__, fastpath=info.fastpath, interval=1.0, may=may,
            started=round(time.time() - info.uptime, 3), reasons={reason.value: reason.meaning for reason in Reason},
        )  # fmt: skip

    def _asked(self, viewer: Viewer, frames: Frames | None, text: str) -> None:
        """Do what a page asks for, or say why not."""
        try:
            asked = understood(text)
        except ValueError as error:
            viewer.error(str(error))
            return
        if asked.interval is not None:
            viewer.every = max(1, round(asked.interval / TICK))
            viewer.due = 0
        if "frames" not in asked.model_fields_set:
            return
        if frames is None:
            viewer.error("live frames need the page's token")
            return
        try:
            frames.want(asked.frames)
        except (NotFoundError, RefusedError) as error:
            viewer.error(str(error))

    # Looking

    async def _look(self) -> None:
        """For as long as anybody wants to know."""
        loop = asyncio.get_running_loop()
        begin, tick = loop.time(), 0
        self._told = self._service.chronicle.history.number
        try:
            while self._viewers:
                wake = max(begin + (tick + 1) * TICK, loop.time())
                await asyncio.sleep(wake - loop.time())
                tick = max(tick + 1, int((loop.time() - begin) / TICK))
                await self._tell(tick, max(0.0, loop.time() - wake))
        finally:
            self._looking = None
            self._talkers.forget()

    async def _tell(self, tick: int, late: float) -> None:
        """What there is to say at this tick. late: seconds that the loop was held up."""
        self._tell_events()
        due = [viewer for viewer in self._viewers if viewer.due <= tick]
        if not due:
            return
        for viewer in due:
            viewer.due = (tick // viewer.every + 1) * viewer.every
        text = await self._worker.run((await self._state(late)).model_dump_json)
        for viewer in due:
            viewer.state(text)

    async def _state(self, late: float) -> State:
        service = self._service
        flows = await self._talkers.busiest()
        fdb, at = service.switch.fdb, service.engine.clock()
        return State.model_construct(
            type="state",
            at=at,
            ports=await service.ports_in_slices(),
            fdb=Fdb(entries=len(fdb), limit=fdb.limit, moves=fdb.moves, flaps=service.chronicle.history.flaps),
            flows=flows,
            loop=Loop(lag=round(late, 4)),
        )

    def _tell_events(self) -> None:
        number = self._service.chronicle.history.number
        fresh = [viewer for viewer in self._viewers if viewer.fresh]
        new, self._told = number - self._told, number
        for viewers, count in ((fresh, EVENTS), ([v for v in self._viewers if not v.fresh], min(new, EVENTS))):
            if not viewers or not count:
                continue
            events = self._service.chronicle.rows(limit=count)
            text = HistoryNews.model_construct(
                type="history", events=events, skipped=max(0, new - EVENTS) if viewers is not fresh else 0
            ).model_dump_json()
            for viewer in viewers:
                viewer.event(text)
                viewer.fresh = False
