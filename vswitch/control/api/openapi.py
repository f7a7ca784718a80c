"""The OpenAPI 3.1 document of the API, made from its table of routes and its models."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from vswitch import __version__
from vswitch.control.api.models import Problem
from vswitch.control.api.route import PARAMETERS
from vswitch.control.config import schema as configuration
from vswitch.control.page.said import SAID, Ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vswitch.control.api.route import Route

_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "That of the page. The control socket asks for none: its permissions say who may call.",
}
_TEMPLATE = "#/components/schemas/{model}"


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The whole document, as JSON to be."""
    schemas: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    paths["/v1/live"] = {"get": _live(schemas)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "vswitch", "version": __version__, "description": "The control API of a vswitch."},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": _TOKEN}},
    }


def _live(schemas: dict[str, Any]) -> dict[str, Any]:
    """What there is of a WebSocket to say here: OpenAPI has no words for its messages but schemas."""
    said = [_schema(each, schemas)["$ref"].rpartition("/")[2] for each in SAID]
    asked = _body(Ask, schemas)["$ref"].rpartition("/")[2]
    return {
        "operationId": "get_live",
        "summary": "What happens, as it happens; on the page's address alone",
        "description": f"A WebSocket of JSON texts. The switch sends {', '.join(said)}; the page may send {asked}.",
        "responses": {"101": {"description": "the WebSocket begins"}, "4XX": _refused(schemas)},
        "security": [{}, {"token": []}],
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": PARAMETERS[name]}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": schema} for name, schema in route.query.items()
    ]
    answer: dict[str, Any] = {"description": "done"}
    if isinstance(route.answer, str):
        answer["content"] = {route.answer: {"schema": {"type": "string", "format": "binary"}}}
    elif route.answer is not None:
        answer["content"] = _json(_schema(route.answer, schemas))
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}{route.path.removeprefix('/v1')}").strip("_"),
        "summary": route.summary,
        "parameters": parameters,
        "responses": {str(route.status): answer, "4XX": _refused(schemas)},
        "security": [{}, {"token": []}] if route.open else [{"token": []}],
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _json(_body(route.body, schemas))}
    return operation


def _refused(schemas: dict[str, Any]) -> dict[str, Any]:
    return {"description": "refused, and why", "content": _json(_schema(Problem, schemas))}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _schema(answer: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """A schema whose definitions stand under `components`."""
    schema = TypeAdapter(answer).json_schema(ref_template=_TEMPLATE, mode="serialization")
    schemas.update(schema.pop("$defs", {}))
    return _component(schema, schemas)


def _body(body: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    if isinstance(body, str):
        schema = configuration.schemas(_TEMPLATE)[body]
        schemas.update(schema.pop("$defs", {}))
        schema.setdefault("title", body)
        return _component(schema, schemas)
    schema = TypeAdapter(body).json_schema(ref_template=_TEMPLATE)
    schemas.update(schema.pop("$defs", {}))
    return _component(schema, schemas)


def _component(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    title = schema.get("title")
    if title is None or "$ref" in schema:
        return schema
    name = str(title).replace(" ", "")
    schemas[name] = schema
    return {"$ref": _TEMPLATE.format(model=name)}
