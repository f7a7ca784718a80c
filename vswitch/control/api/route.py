"""One call of the API: what a feature says of it, and what the server and the OpenAPI document are made of."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from vswitch.units import shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web
    from pydantic import BaseModel

    from vswitch.control.service import Service


PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "port": {"type": "string", "description": "the name of a port"},
    "vlan": {"type": "integer", "minimum": 1, "maximum": 4094},
    "mac": {"type": "string", "examples": ["52:54:00:a8:32:d7"]},
    "mirror": {"type": "string", "description": "the name of a mirror"},
    "model": {"type": "string", "description": "a network card", "examples": ["virtio", "e1000"]},
    "dry_run": {"type": "boolean", "description": "say what would change, and change nothing"},
}
"""What several calls take, in their path or behind it, as JSON Schema."""


def common(*names: str) -> dict[str, dict[str, Any]]:
    """Those of PARAMETERS with these names."""
    return {name: PARAMETERS[name] for name in names}


@dataclass(frozen=True, slots=True)
class Route:
    """One call: its method and path, what it takes, what it answers, and how.

    answer: a model or type of what is answered as JSON; a media type where the handler answers by itself, as a stream.
    body: a model of what the call carries, or the name of a part of the configuration.
    query: parameters behind the path by name, each with its JSON Schema.
    open: whether the page serves it without its token: it changes nothing, and tells no octet of a frame and no secret.
    """

    method: str
    path: str
    summary: str
    answer: Any
    handler: Callable[[Service, web.Request], Awaitable[Any]]
    body: Any = None
    query: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    status: int = 200
    open: bool = False


async def body(request: web.Request, model: type[BaseModel]) -> Any:
    """What the call carries, as a model. Raises ValidationError."""
    return model.model_validate_json(await request.read())


def number(text: str, what: str, most: int) -> int:
    """One from 1 on, behind the path or in it. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise ValueError(f"{shown(text)} is not {what}: a number from 1 to {most}")
    return int(text)


async def mapping(request: web.Request) -> dict[str, Any]:
    """What the call carries, a JSON object. Raises ValueError."""
    data = json.loads(await request.read())
    if not isinstance(data, dict):
        raise ValueError("the body has to be a JSON object")
    return data
