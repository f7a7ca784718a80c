"""The HTTP API on the control socket: the one way in for the command line and for everything else.

A table of routes is the source of the server and of the OpenAPI document alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from vswitch.control.adoption import AdoptionError
from vswitch.control.api import calls, capture, explain, flows, history, impair, mirrors, models, send
from vswitch.control.api.openapi import document
from vswitch.control.config.reading import ConfigError
from vswitch.control.sflow import agent as sflow
from vswitch.control.status import ConflictError, NotFoundError
from vswitch.ports import PortError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vswitch.control.api.route import Route
    from vswitch.control.service import Service

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

MAX_BODY = 4 * 1024 * 1024

_FEATURES: Final = (calls, capture, explain, flows, history, impair, mirrors, send, sflow)
"""Each says what it answers: one name here registers it."""

ROUTES: Final[tuple[Route, ...]] = tuple(route for feature in _FEATURES for route in feature.ROUTES)
"""Of all of them."""


def application(service: Service) -> web.Application:
    """The server of every route, and of the document that describes them."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[refusals])
    for route in ROUTES:
        app.router.add_route(route.method, route.path, handler(service, route))

    async def openapi(_: web.Request) -> web.Response:
        return web.json_response(document(ROUTES))

    async def end_streams(_: web.Application) -> None:
        service.stopping = True
        for running in tuple(service.captures):
            running.end()

    app.router.add_get("/v1/openapi.json", openapi)
    app.on_shutdown.append(end_streams)
    return app


def handler(service: Service, route: Route) -> Handler:
    """What answers a call of this route."""
    adapter: TypeAdapter[Any] | None = None
    if route.answer is not None and not isinstance(route.answer, str):
        adapter = TypeAdapter(route.answer)

    async def handle(request: web.Request) -> web.StreamResponse:
        answer = await route.handler(service, request)
        if isinstance(answer, web.StreamResponse):
            return answer
        if adapter is None:
            return web.Response(status=route.status)
        return web.Response(body=adapter.dump_json(answer), status=route.status, content_type="application/json")

    return handle


@web.middleware
async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every mistake of a caller as one sentence with a fitting status."""
    try:
        return await handler(request)
    except NotFoundError as error:
        return refuse(404, str(error))
    except (AdoptionError, ConflictError, PortError) as error:
        return refuse(409, str(error))
    except ConfigError as error:
        problems = [problem.text() for problem in error.problems]
        return refuse(400, problems[0] if len(problems) == 1 else f"{len(problems)} mistakes", problems)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        return refuse(400, f"{where}: {first['msg']}")
    except (ValueError, RecursionError) as error:
        return refuse(400, str(error))
    except web.HTTPException as error:
        return refuse(error.status, f"{request.method} {request.path}: {error.reason}")


def refuse(status: int, error: str, problems: list[str] | None = None) -> web.Response:
    """One sentence that says why not."""
    error = error.encode(errors="backslashreplace").decode()  # a caller may quote half a surrogate pair
    body = models.Problem(error=error, problems=problems or [])
    return web.Response(body=body.model_dump_json(), status=status, content_type="application/json")
