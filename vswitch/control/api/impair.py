"""The calls of impairments: what a port's link does to frames, asked, set and cleared."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from vswitch.control.api.impairmodels import PortImpairment
from vswitch.control.api.models import Model
from vswitch.control.api.route import Route, mapping
from vswitch.control.config.impairamend import amended
from vswitch.control.config.impairfiles import fate_line
from vswitch.control.config.presets import PRESETS, over_preset
from vswitch.control.status import NotFoundError
from vswitch.stages.impair import OPTION, Impair
from vswitch.units import shown

if TYPE_CHECKING:
    from vswitch.control.service import Service
    from vswitch.stages.impairment.spec import Fate
    from vswitch.stages.impairment.wire import Wire

MEDIA: Final = "application/x-ndjson"
MOST_FATES: Final = 100_000
"""That wait to be read."""

_LOOK: Final = 0.2
"""Seconds after which fates are written, and it is looked whether the caller is still there."""

DIRECTIONS: Final = {"in": ("in",), "out": ("out",), "both": ("in", "out")}


class ImpairmentRow(Model):
    """One port that has an impairment."""

    port: str
    impair: PortImpairment


async def _rows(service: Service, _: web.Request) -> list[ImpairmentRow]:
    return [
        ImpairmentRow.model_construct(port=row.port, impair=row.impair)
        for row in await service.ports_in_slices()
        if row.impair is not None
    ]


async def _row(service: Service, request: web.Request) -> PortImpairment | None:
    return service.port(request.match_info["port"]).impair


async def _set(service: Service, request: web.Request) -> PortImpairment | None:
    """What is said takes the place of what was; the other direction stays. A preset is of both unless one is named."""
    name, directions = request.match_info["port"], _directions(request)
    options = await mapping(request)
    own = {key: value for key, value in options.items() if key not in ("preset", "seed")}
    said = {key: value for key, value in options.items() if key in ("preset", "seed") and value is not None}
    if len(directions) == 1 and str(said.get("preset")) in PRESETS:
        own = over_preset(said.pop("preset"), *directions, own)
    if own or not said:
        said |= dict.fromkeys(directions, own)
    async with service.editing() as data:
        service.bridge(name)
        data["ports"][name][OPTION] = amended(service.config.ports[name].impair, said)
    return service.port(name).impair


async def _clear(service: Service, request: web.Request) -> None:
    """What is on its way arrives at once."""
    name, directions = request.match_info["port"], _directions(request)
    async with service.editing() as data:
        service.bridge(name)
        config = service.config.ports[name].impair
        left = {key: direction.dump() for key in ("in", "out") if config and (direction := config.direction(key))}
        left = {key: value for key, value in left.items() if key not in directions}
        if left:
            data["ports"][name][OPTION] = {"seed": config.seed, **left}
        else:
            data["ports"][name].pop(OPTION, None)


def _directions(request: web.Request) -> tuple[str, ...]:
    word = request.query.get("direction", "both")
    if word not in DIRECTIONS:
        raise ValueError(f"{shown(word)} is no direction: in, out or both")
    return DIRECTIONS[word]


async def _record(service: Service, request: web.Request) -> web.StreamResponse:
    """The fates of frames from now on, until the caller goes, the impairment does, or they come too fast."""
    wire, fates = _wire(service, request), deque[str](maxlen=MOST_FATES)

    def witness(fate: Fate) -> None:
        fates.append(fate_line(fate))

    response = web.StreamResponse(headers={"Content-Type": MEDIA})
    wire.witness = witness
    try:
        await response.prepare(request)
        with suppress(ConnectionError):
            while not service.stopping and not (request.transport is None or request.transport.is_closing()):
                if len(fates) == MOST_FATES or wire.witness is not witness:
                    break
                await response.write("".join(f"{fates.popleft()}\n" for _ in range(len(fates))).encode())
                await asyncio.sleep(_LOOK)
    finally:
        if wire.witness is witness:
            wire.witness = None
    return response


def _wire(service: Service, request: web.Request) -> Wire:
    """The direction that is meant. Raises NotFoundError."""
    name, directions = request.match_info["port"], _directions(request)
    port = service.bridge(name)
    (stage,) = (stage for stage in service.switch.stages if isinstance(stage, Impair))
    if len(directions) != 1:
        raise ValueError("one direction is recorded at a time: in or out")
    wire = stage.wire(port, sent=directions == ("out",))
    if wire is None:
        raise NotFoundError(f"port {name} has no impairment {directions[0]}; `vswitch impair set {name}` sets one")
    return wire


_DIRECTION: Final[dict[str, dict[str, Any]]] = {
    "direction": {"type": "string", "enum": [*DIRECTIONS], "default": "both", "description": "in comes from the guest"}
}

ROUTES = (
    Route("GET", "/v1/impairments", "Every impairment, and what it achieved", list[ImpairmentRow], _rows),
    Route("GET", "/v1/ports/{port}/impair", "Of a port, and what it achieved", PortImpairment | None, _row),
    Route("PUT", "/v1/ports/{port}/impair", "Impair a port; `preset` and `seed` may be said too", PortImpairment, _set,
          body="Direction", query=_DIRECTION),
    Route("DELETE", "/v1/ports/{port}/impair", "Impair it no more", None, _clear, query=_DIRECTION, status=204),
    Route("GET", "/v1/ports/{port}/impair/record", "The fates of frames from now on, one a line", MEDIA, _record,
          query=_DIRECTION),
)  # fmt: skip
