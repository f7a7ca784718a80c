"""Explanations by the API: of a frame that might be, of the last real ones, and of those to come."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from vswitch.control.api.models import ExplainRequest, ExplanationModel, Model
from vswitch.control.api.route import Route, body, common, number
from vswitch.core.explain import explain
from vswitch.core.offload import HEADER, PLAIN
from vswitch.observe.explainer import Explainer
from vswitch.outlet import RECENT, Decided

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vswitch.control.service import Service

MEDIA: Final = "application/x-ndjson"
MOST: Final = 256
"""Frames of one answer, each with its explanation."""

_LOOK: Final = 0.5
"""Seconds without a frame after which it is looked whether the caller is still there."""


class RecentModel(Model):
    """A frame that was decided, and how; `explanation` is what would happen to it by now, null where it is not whole.

    time: UTC.  age: seconds since.  frame: as hexadecimal, the begin of `length` octets.  lost: ports that it was meant
    for, each with the reason.  held: ports at which an impairment kept it.  skipped: frames before it that there was no
    time to explain.
    """

    port: str
    time: str
    age: float
    frame: str
    length: int
    reason: str | None
    egress: list[str]
    lost: dict[str, str]
    explanation: ExplanationModel | None
    held: tuple[str, ...] = ()
    skipped: int = 0


def octets_of(frame: str) -> bytes:
    """A frame from hexadecimal digits. Raises ValueError."""
    try:
        return bytes.fromhex(frame.replace(":", " ").replace("-", " "))
    except ValueError:
        raise ValueError(
            "the frame is not hexadecimal: two digits stand for an octet, as in ffffffffffff 020000000001 0806"
        ) from None


async def _explain(service: Service, request: web.Request) -> ExplanationModel:
    asked: ExplainRequest = await body(request, ExplainRequest)
    bridge, octets = service.bridge(asked.port), octets_of(asked.frame)
    return ExplanationModel.of(asked.port, explain(service.switch, PLAIN + octets, bridge, service.engine.clock()))


async def _recent(service: Service, request: web.Request) -> list[RecentModel]:
    port, drops = _which(service, request)
    last = number(request.query.get("last", "10"), "how many frames to show", MOST)
    return recent(service, last, port=port, drops=drops)


def recent(service: Service, last: int, *, port: str | None = None, drops: bool = False) -> list[RecentModel]:
    """What became of the last frames, those of a port or the dropped ones if asked. Raises NotFoundError."""
    if port is not None:
        service.bridge(port)
    names = [port] if port else list(service.switch.ports)
    found = [
        (name, Decided(*each))
        for name in names
        for each in service.engine.attached[name].recent
        if not drops or each[3].reason is not None or each[3].lost
    ]
    found.sort(key=lambda each: each[1].at)
    return [_row(service, name, each) for name, each in found[len(found) - last if last < len(found) else 0 :]]


def _row(service: Service, name: str, decided: Decided) -> RecentModel:
    now, verdict = service.engine.clock(), decided.verdict
    bridge, whole = service.switch.ports[name], len(decided.raw) == decided.length
    age = max(0.0, now - decided.at)
    return RecentModel(
        port=name,
        time=_utc(datetime.now(UTC).timestamp() - age),
        age=round(age, 3),
        frame=decided.raw[HEADER:].hex(),
        length=decided.length - HEADER,
        reason=verdict.reason,
        egress=[egress.port.name for egress in verdict.egress],
        lost={port.name: reason.value for port, reason in verdict.lost},
        held=tuple(port.name for port in verdict.held),
        explanation=ExplanationModel.of(name, explain(service.switch, decided.raw, bridge, now)) if whole else None,
    )


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _which(service: Service, request: web.Request) -> tuple[str | None, bool]:
    port = request.query.get("port")
    if port is not None:
        service.bridge(port)
    return port, request.query.get("drops", "false").lower() in ("1", "true", "yes")


async def _live(service: Service, request: web.Request) -> web.StreamResponse:
    port, drops = _which(service, request)
    response = web.StreamResponse(headers={"Content-Type": MEDIA})
    await response.prepare(request)
    news, observers = asyncio.Event(), service.engine.observers
    explainer = Explainer(service.switch, port, drops=drops, wake=news.set)
    observers.add_foreseer(explainer)
    try:
        with suppress(ConnectionError):
            while not service.stopping and not (request.transport is None or request.transport.is_closing()):
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), _LOOK)
                news.clear()
                await response.write(b"".join(_lines(explainer)))
    finally:
        observers.remove(explainer)
    return response


def _lines(explainer: Explainer) -> Iterator[bytes]:
    while explainer.ready:
        seen = explainer.ready.popleft()
        explained = seen.explanation
        row = RecentModel(
            port=seen.port, time=_utc(seen.time / 1e9), age=0.0, frame=seen.frame[HEADER:].hex(),
            length=len(seen.frame) - HEADER, reason=explained.reason,
            egress=[egress.port.name for egress in explained.egress],
            lost={port.name: reason.value for port, reason in explained.lost},
            explanation=ExplanationModel.of(seen.port, explained), skipped=seen.skipped,
        )  # fmt: skip
        yield row.model_dump_json().encode() + b"\n"


_DROPS: Final[dict[str, dict[str, Any]]] = {"drops": {"type": "boolean", "description": "only dropped frames"}}
_LAST: Final[dict[str, dict[str, Any]]] = {
    "last": {"type": "integer", "minimum": 1, "maximum": MOST, "description": f"how many; a port remembers {RECENT}"}
}

ROUTES = (
    Route("POST", "/v1/explain", "What would happen to a frame", ExplanationModel, _explain, body=ExplainRequest,
          open=True),
    Route("GET", "/v1/explain/recent", "What became of the last frames that were decided", list[RecentModel], _recent,
          query={**common("port"), **_LAST, **_DROPS}),
    Route("GET", "/v1/explain/live", "Frames as they come in, explained, an object a line", MEDIA, _live,
          query={**common("port"), **_DROPS}),
)  # fmt: skip
