"""A running switch under control: its configuration, and how it changes.

Every change, from a file, a signal or the API, is the step from one whole configuration to another, done or undone
as one.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

from vswitch.control.adopter import Adopter
from vswitch.control.api.history import Chronicle
from vswitch.control.api.models import DifferenceModel, FdbRowModel, MirrorRow, PortRow
from vswitch.control.config import reading as configuration
from vswitch.control.config.difference import compare
from vswitch.control.config.schema import StaticEntry
from vswitch.control.metrics.loop import LoopLag
from vswitch.control.serving import Serving, ServingError
from vswitch.control.sflow.agent import Agent
from vswitch.control.status import ConflictError, NotFoundError, Status
from vswitch.core.mac import format_mac, parse_mac
from vswitch.core.port import BridgePort
from vswitch.core.switch import Switch
from vswitch.engine import Engine
from vswitch.ports import ATTACHMENTS, PortError
from vswitch.stages import STAGES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from vswitch.control.config.difference import Difference
    from vswitch.control.config.schema import PageConfig, PortConfig, SwitchConfig
    from vswitch.ports import Port
    from vswitch.ports.host import Host

log = logging.getLogger(__name__)


class Service(Status):
    """One switch: `start`, then changes and questions, then `stop`."""

    def __init__(self, config: SwitchConfig, host: Host, page: PageConfig | None = None) -> None:
        """A switch that is to be as `config` says, on this host. page: in place of what configurations say of it."""
        switch = Switch(
            (stage() for stage in STAGES),
            vlan_filtering=config.vlan_aware,
            ageing=config.ageing,
            limit=config.fdb.limit,
        )
        super().__init__(config, switch, self._driver(switch, config))
        self._set_mirrors(config)
        self.sflow = Agent(self.engine, Random().random)  # noqa: S311
        self.chronicle = Chronicle(self.switch, self.engine.clock, self.engine.observers.happened)
        self.lag = LoopLag()
        self.serving = Serving(self, page)
        self._host = host
        self._changing = asyncio.Lock()
        self.stopping = False
        """Whether answers that have no end are to come to one."""
        self.adopter = Adopter(self)

    async def start(self) -> None:
        """Open every port and serve the metrics. Raises PortError or ConflictError, with nothing left behind."""
        try:
            for name in self.config.ports:
                await self._attach(name, self.config)
            self._tie(self.config)
            await self._serve(self.config)
            self.sflow.configure(self.config.sflow)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Give everything back; where one thing fails, the others still go."""
        async with AsyncExitStack() as last_first:
            last_first.push_async_callback(self.adopter.close)
            last_first.push_async_callback(self.engine.close)
            last_first.push_async_callback(self.serving.close)
            last_first.callback(self.sflow.close)

    # Changes

    async def apply(self, data: dict[str, Any], *, dry_run: bool = False) -> DifferenceModel:
        """Bring the switch to the configuration in `data`. Raises ConfigError, ConflictError or PortError, undone."""
        return await self.become(configuration.validate(data), dry_run=dry_run)

    async def become(self, new: SwitchConfig, *, dry_run: bool = False) -> DifferenceModel:
        """Bring the switch to `new`; ports that stay the same notice nothing."""
        async with self._changing:
            return await self._become(new, dry_run=dry_run)

    async def add_port(self, name: str, options: dict[str, Any], descriptor: int | None = None) -> PortRow:
        """Add a port with the options that a configuration file would give it; a descriptor goes by its name."""
        with ExitStack() as undo:
            if descriptor is not None:
                undo.callback(os.close, descriptor)
            async with self.editing() as data:
                if name in data["ports"]:
                    raise ConflictError(f"there is a port {name} already; `vswitch port set {name}` changes it")
                data["ports"][name] = options
                if descriptor is not None:
                    options["fd"] = name
                    undo.pop_all()
                    undo.callback(self._host.descriptors.drop, name)
                    self._host.descriptors.put(name, descriptor)
            undo.pop_all()
        return self.port(name)

    async def hand_over(self, name: str, descriptor: int) -> PortRow:
        """Give a port that goes by a descriptor's name that descriptor, in place of the one it had."""
        with ExitStack() as undo:
            undo.callback(os.close, descriptor)
            async with self._changing:
                self.bridge(name)
                named = getattr(self.config.ports[name].options, "fd", None)
                if not isinstance(named, str):
                    raise ConflictError(f"port {name} takes no descriptor: only a port such as {{fd: {name}}} does")
                undo.pop_all()
                self._host.descriptors.put(named, descriptor)
                await self.engine.renew(name)
        return self.port(name)

    async def set_port(self, name: str, changes: dict[str, Any]) -> PortRow:
        """Change options of a port; None takes one away."""
        async with self.editing() as data:
            self.bridge(name)
            merged = {**data["ports"][name], **changes}
            data["ports"][name] = {key: value for key, value in merged.items() if value is not None}
        return self.port(name)

    async def delete_port(self, name: str) -> None:
        """Remove a port, its static entries too."""
        async with self.editing() as data:
            self.bridge(name)
            del data["ports"][name]
            data["fdb"]["static"] = [entry for entry in data["fdb"]["static"] if entry["port"] != name]
        self._host.descriptors.drop(name)

    async def add_static(self, entry: dict[str, Any]) -> FdbRowModel:
        """Tie a station to a port."""
        async with self.editing() as data:
            data["fdb"]["static"].append(entry)
        added = StaticEntry.model_validate(entry)
        return self.fdb(vlan=added.vlan, mac=added.mac)[0]

    async def delete_entry(self, vlan: int, mac: str) -> None:
        """Forget a station, static or learned."""
        address = parse_mac(mac)
        async with self.editing() as data:
            static = data["fdb"]["static"]
            keep = [entry for entry in static if (entry["mac"], entry["vlan"]) != (format_mac(address), vlan)]
            data["fdb"]["static"] = keep
            if len(keep) == len(static) and not self.switch.fdb.remove(vlan, address):
                raise NotFoundError(f"{mac} is not known in VLAN {vlan}")

    def learn(self, port: str, vlan: int, mac: bytes, age: float) -> None:
        """Know a station that somebody else heard, so many seconds ago, as if it had been heard on the port."""
        self.switch.fdb.learn(vlan, mac, self.bridge(port), self.engine.clock() - age)

    def flush(self, *, port: str | None, vlan: int | None) -> int:
        """Forget what was learned on a port, in a VLAN, both, or everywhere; how many entries."""
        return self.switch.fdb.flush(port=None if port is None else self.bridge(port), vid=vlan)

    async def add_mirror(self, name: str, options: dict[str, Any]) -> MirrorRow:
        """Add a mirror with the options that a configuration file would give it."""
        async with self.editing() as data:
            if name in data["mirrors"]:
                raise ConflictError(f"there is a mirror {name} already; `vswitch mirror del {name}` removes it")
            data["mirrors"][name] = options
        return MirrorRow.of(name, self.config.mirrors[name])

    async def delete_mirror(self, name: str) -> None:
        """Remove a mirror; its port is one like the others again."""
        async with self.editing() as data:
            if data["mirrors"].pop(name, None) is None:
                there = ", ".join(data["mirrors"]) or "none"
                raise NotFoundError(f"there is no mirror {name}; the mirrors are {there}")

    # How a change is done

    @asynccontextmanager
    async def editing(self) -> AsyncIterator[dict[str, Any]]:
        """The configuration as data to be edited, which nobody else edits meanwhile; then the switch becomes it."""
        async with self._changing:
            data = self.config.dump()
            yield data
            await self._become(configuration.validate(data))

    async def _become(self, new: SwitchConfig, *, dry_run: bool = False) -> DifferenceModel:
        difference = compare(self.config, new)
        if difference.refused:
            raise ConflictError(difference.refused[0])
        if not dry_run and difference.empty:
            await self._serve(self.config)  # the token's file may have another one
        elif not dry_run:
            await self._change(difference, new)
            log.info("configuration changed: %s", "; ".join(difference.lines))
        return DifferenceModel(changes=difference.lines, applied=not dry_run)

    def _driver(self, switch: Switch, config: SwitchConfig) -> Engine:
        """What the switch is driven by."""
        return Engine(switch, busy_poll=config.busy_poll)

    def _attachment(self, port: PortConfig) -> Port:
        """What a port is attached to, not open yet."""
        return ATTACHMENTS[port.kind](port.options, self._host)

    async def _attach(self, name: str, config: SwitchConfig) -> None:
        port = config.ports[name]
        try:
            await self.engine.attach(BridgePort(name, port.settings()), self._attachment(port))
        except (PortError, OSError) as error:  # out of descriptors, say
            raise PortError(f"port {name}: {error}") from error
        self.adopter.arrived(name)

    async def _change(self, difference: Difference, new: SwitchConfig) -> None:
        """All steps of a difference; if one fails, those done are undone in reverse."""
        async with AsyncExitStack() as undo:
            undo.callback(self._set_mirrors, self.config)
            self._set_mirrors(new)  # first, so that a port which is to take copies never takes part
            for name in difference.removed:
                await self.engine.detach(name)
                undo.push_async_callback(self._attach, name, self.config)
            for name in difference.attachment:
                if await self.engine.change(name, new.ports[name].options):
                    undo.push_async_callback(self.engine.change, name, self.config.ports[name].options)
                else:
                    await self._replace(name, new, undo)
            for name in difference.added:
                await self._attach(name, new)
                undo.push_async_callback(self.engine.detach, name)
            await self._serve(new)
            undo.pop_all()
        old, self.config = self.config, new
        self._settle(old)

    async def _replace(self, name: str, new: SwitchConfig, undo: AsyncExitStack) -> None:
        await self.engine.detach(name)
        undo.push_async_callback(self._attach, name, self.config)
        await self._attach(name, new)
        undo.push_async_callback(self.engine.detach, name)

    def _set_mirrors(self, config: SwitchConfig) -> None:
        self.switch.set_mirrors(mirror.mirror(name) for name, mirror in config.mirrors.items())

    def _settle(self, old: SwitchConfig) -> None:
        """What cannot fail: settings of ports and of the switch."""
        switch, config = self.switch, self.config
        switch.set_vlan_filtering(config.vlan_aware)
        for name, port in config.ports.items():
            if switch.ports[name].settings != port.settings():
                switch.configure_port(name, port.settings())
        self.engine.set_ageing(config.ageing)
        self.engine.set_busy_poll(config.busy_poll)
        switch.fdb.resize(config.fdb.limit)
        for entry in _gone(old, config):
            switch.fdb.remove(entry.vlan, parse_mac(entry.mac))
        self._tie(config)
        self.sflow.configure(config.sflow)

    def _tie(self, config: SwitchConfig) -> None:
        now = self.engine.clock()
        for entry in config.fdb.static:
            self.switch.fdb.add_static(entry.vlan, parse_mac(entry.mac), self.switch.ports[entry.port], now)

    async def reread_files(self) -> None:
        """Have the files read again that the configuration names. Raises ConflictError, with nothing changed."""
        async with self._changing:
            await self._serve(self.config, again=True)

    async def _serve(self, config: SwitchConfig, *, again: bool = False) -> None:
        """Serve metrics and page as the configuration says."""
        try:
            await self.serving.become(config, again=again)
        except ServingError as error:
            raise ConflictError(str(error)) from error


def _gone(old: SwitchConfig, new: SwitchConfig) -> Iterator[Any]:
    stay = {(entry.vlan, entry.mac) for entry in new.fdb.static}
    return (entry for entry in old.fdb.static if (entry.vlan, entry.mac) not in stay)
