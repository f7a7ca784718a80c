"""Takes bridges of the kernel over, and gives them back. What to do is decided in `adoption`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from vswitch.control import adoption
from vswitch.control.api.models import AdoptionModel
from vswitch.control.config import reading as configuration
from vswitch.control.pinned import Pinned
from vswitch.ports import kernel_bridge
from vswitch.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from vswitch.control.service import Service
    from vswitch.ports.kernel_bridge import KernelBridge, Station

_WORKER = Worker("vswitch-adopt")


@dataclass(frozen=True)
class _Taken:
    """The ports that were added for a bridge, that of the host last, the settings from before, and its own entries."""

    namespace: str | None
    ports: list[str]
    before: dict[str, Any]
    pinned: Pinned


class Adopter:
    """Which bridges a switch has taken over."""

    def __init__(self, service: Service) -> None:
        """None yet."""
        self._service = service
        self._taken: dict[str, _Taken] = {}
        self._coming: dict[str, list[Station]] = {}
        """The ports that are on their way, each with the stations behind it."""
        self._moving = asyncio.Lock()
        """One bridge at a time: the next is planned for the switch that the one before made of it."""
        self._moved: list[float] = []
        """When the moving began, and when each port had come."""
        self.when_empty: Callable[[], object] = lambda: None
        """Called once the last bridge has been given back."""

    async def adopt(self, bridge: str, namespace: str | None, *, dry_run: bool) -> AdoptionModel:
        """Take a bridge over, or say what that would come to. Raises PortError, AdoptionError or ConflictError."""
        async with self._moving:
            return await self._adopt(bridge, namespace, dry_run=dry_run)

    async def _adopt(self, bridge: str, namespace: str | None, *, dry_run: bool) -> AdoptionModel:
        if bridge in self._taken:
            raise adoption.AdoptionError(f"{bridge} is taken over already; `vswitch release {bridge}` gives it back")
        found = await _WORKER.run(partial(kernel_bridge.read, bridge, namespace))
        plan = adoption.plan(found, namespace, self._service.config.ports)
        took = outage = None
        if not dry_run:
            took, outage = await self._move(found, namespace, plan)
        return AdoptionModel(
            bridge=bridge,
            ports=[*plan.host, *plan.ports],
            changes=list(adoption.changes(plan)),
            left=plan.left,
            applied=not dry_run,
            outage=outage,
            took=took,
        )

    async def release(self, bridge: str | None = None) -> list[str]:
        """Give a bridge back, or all; which. Raises AdoptionError where the one named was not taken over.

        Raises ConfigError where something needs a port that is to go: the bridge can be given back later.
        """
        async with self._moving:
            if bridge is not None and bridge not in self._taken:
                raise adoption.AdoptionError(
                    f"{bridge} is not taken over by this switch; there is nothing to give back"
                )
            released = [bridge] if bridge is not None else list(self._taken)
            for name in released:
                await self._release(self._taken[name])
                del self._taken[name]
        if released and not self._taken:
            self.when_empty()
        return released

    async def _release(self, taken: _Taken) -> None:
        async with self._service.editing() as data:
            for port in taken.ports[:-1]:
                data["ports"].pop(port, None)
            static = data["fdb"].get("static", [])
            data["fdb"]["static"] = [entry for entry in static if entry["port"] in data["ports"]]
            configuration.validate(data)
            await self._forget(taken)
        await _WORKER.run(taken.pinned.give_back)
        await self._give_back(taken.ports[-1], taken.before)

    async def close(self) -> None:
        """The switch has ended, and its ports are given back: the static entries of bridges too."""
        for taken in self._taken.values():
            await _WORKER.run(taken.pinned.give_back)
        self._taken.clear()

    async def _move(self, bridge: KernelBridge, namespace: str | None, plan: adoption.Adoption) -> tuple[float, float]:
        """Connect the bridge, then move its ports; in how many seconds all, and the one that took longest."""
        service = self._service
        before = {key: service.config.dump().get(key) for key in ("ageing", "vlan_filtering")}
        (host,) = plan.host
        async with service.editing() as data:
            data["ports"] |= plan.host
            data["ageing"] = plan.ageing
            if plan.vlan_filtering:
                data["vlan_filtering"] = True
        moved = self._moved = [service.engine.clock()]
        pinned: Pinned | None = None
        self._coming |= _by_port(plan)
        try:
            tap = str(service.engine.attached[host].port.device)
            if plan.vlan_filtering:
                await _WORKER.run(partial(kernel_bridge.set_vlans, tap, namespace, bridge.own_vlans))
            pinned = await _WORKER.run(partial(Pinned, service.config.name, bridge, namespace, tap))
            async with service.editing() as data:
                data["ports"] |= plan.ports
                data["fdb"]["static"] = [*data["fdb"].get("static", []), *plan.static]
        except BaseException:
            self._coming.clear()
            if pinned is not None:
                await _WORKER.run(pinned.give_back)
            await self._give_back(host, before)
            raise
        self._taken[bridge.name] = _Taken(namespace, [*plan.ports, host], before, pinned)
        return round(moved[-1] - moved[0], 6), round(max(end - begin for begin, end in pairwise(moved)), 6)

    def arrived(self, port: str) -> None:
        """A port is there. So are the stations behind it, which may say nothing while other ports are on their way."""
        if port not in self._coming:
            return
        self._moved.append(self._service.engine.clock())
        for station in self._coming.pop(port):
            self._service.learn(port, station.vid, station.mac, station.age)

    async def _forget(self, taken: _Taken) -> None:
        """Have the bridge look for stations on all sides while its ports come back, one after the other."""
        host = self._service.engine.attached.get(taken.ports[-1])
        if host is not None and host.port.device is not None:
            await _WORKER.run(partial(kernel_bridge.forget, host.port.device, taken.namespace))

    async def _give_back(self, host: str, before: dict[str, Any]) -> None:
        """The host's port goes, and the switch's own settings come back."""
        async with self._service.editing() as data:
            data["ports"].pop(host, None)
            for key, value in before.items():
                data.pop(key, None)
                if value is not None:
                    data[key] = value


def _by_port(plan: adoption.Adoption) -> dict[str, list[Station]]:
    """The stations behind each port: also those that are yet to have static entries."""
    stations: dict[str, list[Station]] = {port: [] for port in plan.ports}
    for port, station in (*plan.learned, *plan.tied):
        stations[port].append(station)
    return stations
