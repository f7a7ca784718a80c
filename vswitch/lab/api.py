"""A lab's own API, on a Unix socket: what it is, what it would become, and its end. Its switches have one each."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from aiohttp import web

from vswitch.control.api.models import DifferenceModel
from vswitch.control.api.route import mapping
from vswitch.control.api.table import MAX_BODY, refusals
from vswitch.control.status import ConflictError
from vswitch.control.topology import reading as topology

if TYPE_CHECKING:
    from vswitch.lab.running import RunningLab


def application(lab: RunningLab) -> web.Application:
    """The server."""

    async def status(_: web.Request) -> web.Response:
        return web.json_response(lab.status())

    async def config(_: web.Request) -> web.Response:
        return web.json_response(dict(lab.config.data))

    async def apply(request: web.Request) -> web.Response:
        dry_run = request.query.get("dry_run", "false").lower() in ("1", "true", "yes")
        data: dict[str, Any] = await mapping(request)
        changes = await lab.apply(topology.validate(data), dry_run=dry_run)
        return web.json_response(DifferenceModel(changes=changes, applied=not dry_run).model_dump())

    async def down(_: web.Request) -> web.Response:
        if lab.when_asked_to_end is None:
            raise ConflictError(f"the lab is part of a program (process {os.getpid()}), which alone takes it down")
        lab.when_asked_to_end()
        return web.json_response({})

    app = web.Application(client_max_size=MAX_BODY, middlewares=[refusals])
    app.router.add_get("/v1/lab", status)
    app.router.add_get("/v1/config", config)
    app.router.add_put("/v1/config", apply)
    app.router.add_post("/v1/down", down)
    return app
