"""The calls that every switch answers: itself, its ports, stations, VLANs and configuration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vswitch.control.api import models
from vswitch.control.api.route import Route, body, common, mapping
from vswitch.control.server import handed
from vswitch.units import parse_station, parse_vid, shown

if TYPE_CHECKING:
    from aiohttp import web

    from vswitch.control.service import Service


async def _switch(service: Service, _: web.Request) -> models.SwitchInfo:
    return service.info()


async def _ports(service: Service, _: web.Request) -> list[models.PortRow]:
    return await service.ports_in_slices()


async def _port(service: Service, request: web.Request) -> models.PortRow:
    return service.port(request.match_info["port"])


async def _add_port(service: Service, request: web.Request) -> models.PortRow:
    options = await mapping(request)
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
    return await service.set_port(request.match_info["port"], await mapping(request))


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
        port=request.query.get("port"), vlan=None if vlan is None else parse_vid(vlan), mac=request.query.get("mac")
    )


async def _add_static(service: Service, request: web.Request) -> models.FdbRowModel:
    return await service.add_static(await mapping(request))


async def _delete_entry(service: Service, request: web.Request) -> None:
    await service.delete_entry(parse_vid(request.match_info["vlan"]), request.match_info["mac"])


async def _flush(service: Service, request: web.Request) -> models.Flushed:
    asked: models.FlushRequest = await body(request, models.FlushRequest)
    return models.Flushed(flushed=service.flush(port=asked.port, vlan=asked.vlan))


async def _vlans(service: Service, _: web.Request) -> list[models.VlanRow]:
    return service.vlans()


async def _config(service: Service, _: web.Request) -> dict[str, Any]:
    return service.config.dump()


async def _apply(service: Service, request: web.Request) -> models.DifferenceModel:
    dry_run = request.query.get("dry_run", "false").lower() in ("1", "true", "yes")
    return await service.apply(await mapping(request), dry_run=dry_run)


async def _adopt(service: Service, request: web.Request) -> models.AdoptionModel:
    asked: models.AdoptRequest = await body(request, models.AdoptRequest)
    return await service.adopter.adopt(asked.bridge, asked.netns, dry_run=asked.dry_run)


async def _release(service: Service, request: web.Request) -> models.ReleaseModel:
    asked: models.ReleaseRequest = await body(request, models.ReleaseRequest)
    return models.ReleaseModel(bridges=await service.adopter.release(asked.bridge))


ROUTES = (
    Route("GET", "/v1/switch", "The switch as a whole", models.SwitchInfo, _switch, open=True),
    Route("GET", "/v1/ports", "Every port with its counters", list[models.PortRow], _ports, open=True),
    Route("POST", "/v1/ports", "Add a port", models.PortRow, _add_port, body="Port", status=201),
    Route("GET", "/v1/ports/{port}", "One port", models.PortRow, _port, open=True),
    Route("PATCH", "/v1/ports/{port}", "Change options of a port; null takes one away", models.PortRow, _set_port,
          body="Port"),
    Route("PUT", "/v1/ports/{port}/fd", "Hand a port the descriptor that came beside the call", models.PortRow,
          _hand_over),
    Route("GET", "/v1/ports/{port}/guest", "What makes a virtual machine its guest", models.GuestModel, _guest,
          query=common("mac", "model"), open=True),
    Route("DELETE", "/v1/ports/{port}", "Remove a port", None, _delete_port, status=204),
    Route("GET", "/v1/fdb", "Stations known", list[models.FdbRowModel], _fdb, query=common("port", "vlan", "mac"),
          open=True),
    Route("POST", "/v1/fdb", "Add a static entry", models.FdbRowModel, _add_static, body="StaticEntry", status=201),
    Route("POST", "/v1/fdb/flush", "Forget what was learned", models.Flushed, _flush, body=models.FlushRequest),
    Route("DELETE", "/v1/fdb/{vlan}/{mac}", "Remove one entry, static or learned", None, _delete_entry, status=204),
    Route("GET", "/v1/vlans", "VLANs and their ports", list[models.VlanRow], _vlans, open=True),
    Route("GET", "/v1/config", "The configuration in force", dict[str, Any], _config),
    Route("PUT", "/v1/config", "Bring the switch to this configuration", models.DifferenceModel, _apply,
          body="Configuration", query=common("dry_run")),
    Route("POST", "/v1/adopt", "Take over the ports of a kernel bridge", models.AdoptionModel, _adopt,
          body=models.AdoptRequest),
    Route("POST", "/v1/release", "Give them back", models.ReleaseModel, _release, body=models.ReleaseRequest),
)  # fmt: skip
