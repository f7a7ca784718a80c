"""The calls of mirrors: what there are, one more, one less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.control.api import models
from vswitch.control.api.route import Route, mapping

if TYPE_CHECKING:
    from aiohttp import web

    from vswitch.control.service import Service


async def _mirrors(service: Service, _: web.Request) -> list[models.MirrorRow]:
    return service.mirrors()


async def _add(service: Service, request: web.Request) -> models.MirrorRow:
    options = await mapping(request)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise ValueError('a mirror needs a "name"')
    return await service.add_mirror(name, options)


async def _delete(service: Service, request: web.Request) -> None:
    await service.delete_mirror(request.match_info["mirror"])


ROUTES = (
    Route("GET", "/v1/mirrors", "Every mirror", list[models.MirrorRow], _mirrors, open=True),
    Route("POST", "/v1/mirrors", "Add a mirror", models.MirrorRow, _add, body="Mirror", status=201),
    Route("DELETE", "/v1/mirrors/{mirror}", "Remove a mirror", None, _delete, status=204),
)
