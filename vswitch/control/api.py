"""The HTTP API on the control socket: the one way in for the command line and for everything else.

A table of routes is the source of the server and of the OpenAPI document alike.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web
from pydantic import BaseModel, TypeAdapter, ValidationError

from vswitch.control import models
from vswitch.control.adoption import AdoptionError
from vswitch.control.config import ConfigError
from vswitch.control.openapi import document
from vswitch.control.server import handed
from vswitch.control.service import ConflictError, NotFoundError, Service
from vswitch.ports import PortError
from vswitch.units import parse_station, shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MAX_BODY = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Route:
    """One call: its method and path, what it takes, what it answers, and how."""

    method: str
    path: str
    summary: str
    answer: Any
    handler: Callable[[Service, web.Request], Awaitable[Any]]
    body: Any = None
    query: tuple[str, ...] = ()
    status: int = 200


async def _body(request: web.Request, model: type[BaseModel]) -> Any:
    return model.model_validate_json(await request.read())


async def _mapping(request: web.Request) -> dict[str, Any]:
    data = json.loads(await request.read())
    if not isinstance(data, dict):
        raise ValueError("the body has to be a JSON object")
    return data


async def _switch(service: Service, _: web.Request) -> models.SwitchInfo:
    return service.info()


async def _ports(service: Service, _: web.Request) -> list[models.PortRow]:
    return service.ports()


async def _port(service: Service, request: web.Request) -> models.PortRow:
    return service.port(request.match_info["port"])


async def _add_port(service: Service, request: web.Request) -> models.PortRow:
    options = await _mapping(request)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ValueError('a port needs a "name"')
    return await service.add_port(name, options, handed(request))


async def _hand_over(service: Service, request: web.Request) -> models.PortRow:
    descriptor = handed(request)
    if descriptor is None:
        raise ValueError("no descriptor came with the call; send one beside it (SCM_RIGHTS), as `vswitch exec` does")
    return await service.hand_over(request.match_info["port"], descriptor)


async def _set_port(service: Service, request: web.Request) -> models.PortRow:
    return await service.set_port(request.match_info["port"], await _mapping(request))


async def _delete_port(service: Service, request: web.Request) -> None:
    await service.delete_port(request.match_info["port"])


async def _guest(service: Service, request: web.Request) -> models.GuestModel:
    model = request.query.get("model", "virtio")
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", model):
        raise ValueError(f"{shown(model)} is no model of a network card; take virtio, e1000 or rtl8139")
    mac = request.query.get("mac")
    return service.guest(request.match_info["port"], mac=mac and parse_station(mac), model=model)


async def _fdb(service: Service, request: web.Request) -> list[models.FdbRowModel]:
    vlan = request.query.get("vlan")
    return service.fdb(
        port=request.query.get("port"), vlan=None if vlan is None else int(vlan), mac=request.query.get("mac")
    )


async def _add_static(service: Service, request: web.Request) -> models.FdbRowModel:
    return await service.add_static(await _mapping(request))


async def _delete_entry(service: Service, request: web.Request) -> None:
    await service.delete_entry(int(request.match_info["vlan"]), request.match_info["mac"])


async def _flush(service: Service, request: web.Request) -> models.Flushed:
    asked: models.FlushRequest = await _body(request, models.FlushRequest)
    return models.Flushed(flushed=service.flush(port=asked.port, vlan=asked.vlan))


async def _vlans(service: Service, _: web.Request) -> list[models.VlanRow]:
    return service.vlans()


async def _config(service: Service, _: web.Request) -> dict[str, Any]:
    return service.config.dump()


async def _apply(service: Service, request: web.Request) -> models.DifferenceModel:
    dry_run = request.query.get("dry_run", "false").lower() in ("1", "true", "yes")
    return await service.apply(await _mapping(request), dry_run=dry_run)


async def _explain(service: Service, request: web.Request) -> models.ExplanationModel:
    asked: models.ExplainRequest = await _body(request, models.ExplainRequest)
    return service.explain(asked.port, asked.frame)


async def _adopt(service: Service, request: web.Request) -> models.AdoptionModel:
    asked: models.AdoptRequest = await _body(request, models.AdoptRequest)
    return await service.adopter.adopt(asked.bridge, asked.netns, dry_run=asked.dry_run)


async def _release(service: Service, request: web.Request) -> models.ReleaseModel:
    asked: models.ReleaseRequest = await _body(request, models.ReleaseRequest)
    return models.ReleaseModel(bridges=await service.adopter.release(asked.bridge))


ROUTES = (
    Route("GET", "/v1/switch", "The switch as a whole", models.SwitchInfo, _switch),
    Route("GET", "/v1/ports", "Every port with its counters", list[models.PortRow], _ports),
    Route("POST", "/v1/ports", "Add a port", models.PortRow, _add_port, body="Port", status=201),
    Route("GET", "/v1/ports/{port}", "One port", models.PortRow, _port),
    Route("PATCH", "/v1/ports/{port}", "Change options of a port; null takes one away", models.PortRow, _set_port,
          body="Port"),
    Route("PUT", "/v1/ports/{port}/fd", "Hand a port the descriptor that came beside the call", models.PortRow,
          _hand_over),
    Route("GET", "/v1/ports/{port}/guest", "What makes a virtual machine its guest", models.GuestModel, _guest,
          query=("mac", "model")),
    Route("DELETE", "/v1/ports/{port}", "Remove a port", None, _delete_port, status=204),
    Route("GET", "/v1/fdb", "Stations known", list[models.FdbRowModel], _fdb, query=("port", "vlan", "mac")),
    Route("POST", "/v1/fdb", "Add a static entry", models.FdbRowModel, _add_static, body="StaticEntry", status=201),
    Route("POST", "/v1/fdb/flush", "Forget what was learned", models.Flushed, _flush, body=models.FlushRequest),
    Route("DELETE", "/v1/fdb/{vlan}/{mac}", "Remove one entry, static or learned", None, _delete_entry, status=204),
    Route("GET", "/v1/vlans", "VLANs and their ports", list[models.VlanRow], _vlans),
    Route("GET", "/v1/config", "The configuration in force", dict[str, Any], _config),
    Route("PUT", "/v1/config", "Bring the switch to this configuration", models.DifferenceModel, _apply,
          body="Configuration", query=("dry_run",)),
    Route("POST", "/v1/adopt", "Take over the ports of a kernel bridge", models.AdoptionModel, _adopt,
          body=models.AdoptRequest),
    Route("POST", "/v1/release", "Give them back", models.ReleaseModel, _release, body=models.ReleaseRequest),
    Route("POST", "/v1/explain", "What would happen to a frame", models.ExplanationModel, _explain,
          body=models.ExplainRequest),
)  # fmt: skip


def application(service: Service) -> web.Application:
    """The server of every route, and of the document that describes them."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[_refusals])
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _handler(service, route))

    async def openapi(_: web.Request) -> web.Response:
        return web.json_response(document(ROUTES))

    app.router.add_get("/v1/openapi.json", openapi)
    return app


def _handler(service: Service, route: Route) -> Callable[[web.Request], Awaitable[web.Response]]:
    adapter: TypeAdapter[Any] | None = None if route.answer is None else TypeAdapter(route.answer)

    async def handle(request: web.Request) -> web.Response:
        answer = await route.handler(service, request)
        if adapter is None:
            return web.Response(status=route.status)
        return web.Response(body=adapter.dump_json(answer), status=route.status, content_type="application/json")

    return handle


@web.middleware
async def _refusals(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every mistake of a caller as one sentence with a fitting status."""
    try:
        return await handler(request)
    except NotFoundError as error:
        return _refuse(404, str(error))
    except (AdoptionError, ConflictError, PortError) as error:
        return _refuse(409, str(error))
    except ConfigError as error:
        problems = [problem.text() for problem in error.problems]
        return _refuse(400, problems[0] if len(problems) == 1 else f"{len(problems)} mistakes", problems)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        return _refuse(400, f"{where}: {first['msg']}")
    except (ValueError, RecursionError) as error:
        return _refuse(400, str(error))
    except web.HTTPException as error:
        return _refuse(error.status, f"{request.method} {request.path}: {error.reason}")


def _refuse(status: int, error: str, problems: list[str] | None = None) -> web.Response:
    error = error.encode(errors="backslashreplace").decode()  # a caller may quote half a surrogate pair
    body = models.Problem(error=error, problems=problems or [])
    return web.Response(body=body.model_dump_json(), status=status, content_type="application/json")
