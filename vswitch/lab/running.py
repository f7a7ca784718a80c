"""A lab that runs: switches and guests in this process and on its loop, from `up` to `down`."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from vswitch.control.config.difference import compare
from vswitch.control.runner import RunError
from vswitch.control.server import ControlServer
from vswitch.control.service import Service
from vswitch.control.status import ConflictError
from vswitch.control.topology.difference import compare_labs, without
from vswitch.lab import machine, report
from vswitch.lab.api import application as lab_application
from vswitch.lab.entering import inhabitants
from vswitch.lab.home import Home
from vswitch.lab.member import RunningSwitch
from vswitch.lab.place import Place, end, make_room
from vswitch.ports.host import Host
from vswitch.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vswitch.control.config.schema import SwitchConfig
    from vswitch.control.topology.difference import LabDifference
    from vswitch.control.topology.layout import GuestConfig, LabConfig

_DESCRIPTORS: Final = 6
"""Of a port and its guest, at most: device, links, namespace, a socket or two."""

log = logging.getLogger(__name__)


class RunningLab:
    """Switches, guests and links, as a topology says. Its methods are coroutines of one loop."""

    def __init__(self, config: LabConfig) -> None:
        """Not up yet."""
        self.config = config
        self.place = Place(config.name)
        self.switches: dict[str, RunningSwitch] = {}
        self.homes: dict[str, Home] = {}
        self._worker = Worker("vswitch-lab")
        self._changing = asyncio.Lock()
        self.started = time.monotonic()
        self._host = Host()
        self._server: ControlServer | None = None
        self.when_asked_to_end: Callable[[], None] | None = None
        """Called when somebody asks the lab to go down; None: nobody may."""
        self._given_up = False

    async def up(self) -> None:
        """Make everything. Raises PlaceError, PortError, ConflictError or RunError, with nothing left behind.

        Whoever is cancelled meanwhile has to wait until what is being made can be removed again.
        """
        work = asyncio.ensure_future(self._up())
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            self._give_up()
            await asyncio.wait((work,))
            if work.exception() is None:
                await self.down()
            raise

    async def _up(self) -> None:
        if await self._worker.run(self.place.take):
            log.warning("cleared up after an earlier run of %s that was killed", self.config.name)
        self._host = Host(self.place.ledger)
        try:
            await self._add(self.config, self.config.guests, self.config.switches)
            self._server = ControlServer(lab_application(self))
            try:
                await self._server.listen(self.place.control)
            except OSError as error:
                raise RunError(f"cannot make the control socket {self.place.control}: {error.strerror}") from error
        except BaseException:
            await self.down()
            raise

    async def down(self) -> None:
        """End and remove everything; a change that is under way is given up first."""
        if self._changing.locked():
            self._give_up()
        async with self._changing:
            await self._down()

    async def _down(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.close()
        await self._end_processes(list(self.homes.values()))
        with _quiet():  # ends of cables are lost because everything is
            await _all(_safely(switch.stop()) for switch in self.switches.values())
            self.switches.clear()
        for home in self.homes.values():
            await self._worker.run(home.close)
        self.homes.clear()
        await self._worker.run(self.place.leave)

    async def apply(self, new: LabConfig, *, dry_run: bool = False) -> list[str]:
        """Become `new`, undone as a whole where that fails; what changes, or would. What stays notices nothing.

        Raises ConflictError, PortError or RunError.
        """
        async with self._changing:
            running = {name: switch.service.config for name, switch in self.switches.items()}
            difference = compare_labs(self.config, new, running)
            if difference.refused:
                raise ConflictError(difference.refused[0])
            if not dry_run and difference.lines:
                await self._change(difference, new)
                log.info("%s changed: %s", new.name, "; ".join(difference.lines))
            return difference.lines

    def _give_up(self) -> None:
        """Have `up` or `apply` fail as soon as may be; commands that they wait for end."""
        self._given_up = True
        for process in [process for home in self.homes.values() for process in home.processes]:
            process.kill()

    def status(self) -> dict[str, Any]:
        """The lab as it is, for people and scripts."""
        return report.status(self)

    # How it is done

    async def _add(
        self, config: LabConfig, guests: Iterable[str], switches: Iterable[str], undo: AsyncExitStack | None = None
    ) -> None:
        """Make guests and switches that are not there yet."""
        make_room(_DESCRIPTORS * sum(len(switch.ports) for switch in config.switches.values()))
        self._write_notes(config)
        for name in guests:
            if self._given_up:
                raise RunError(f"{self.config.name} was told to stop before it was up")
            home = Home(config.guests[name], self._host, self.place)
            await self._worker.run(home.open)
            self.homes[name] = home
            if undo is not None:
                undo.push_async_callback(self._remove_guests, [home])
        await _all(self._start_switch(name, config.switches[name], undo) for name in switches)
        if undo is None:
            await self._move_in(list(guests))

    async def _start_switch(self, name: str, config: SwitchConfig, undo: AsyncExitStack | None) -> None:
        switch = RunningSwitch(Service(config, self._host))
        await switch.start()
        self.switches[name] = switch
        if undo is not None:
            undo.push_async_callback(self._stop_switch, name)

    async def _stop_switch(self, name: str) -> None:
        await _safely(self.switches.pop(name).stop())

    async def _move_in(self, guests: Iterable[str]) -> None:
        """Settings, routes and commands, now that every guest has its interfaces."""
        homes = [self.homes[name] for name in guests]
        await self._worker.run(partial(_furnish, homes))
        if self._given_up:
            raise RunError(f"{self.config.name} was told to stop before it was up")
        await _all(home.set_up() for home in homes)
        for home in homes:
            self._run(home)

    def _run(self, home: Home) -> None:
        options = home.config.options
        if options.qemu is None:
            home.run()
            return
        cards = [
            self.switches[plug.switch].service.guest(plug.port, mac=plug.mac, model=options.qemu.model).qemu_args
            for plug in home.config.plugs
        ]
        home.run(machine.command(home.config.netns, options.qemu, [_numbered(card, n) for n, card in enumerate(cards)]))

    async def _change(self, difference: LabDifference, new: LabConfig) -> None:
        old = self.config
        leaving = [self.homes.pop(name) for name in difference.removed]
        async with AsyncExitStack() as undo:
            undo.callback(self._write_notes, old)
            for home in leaving:
                undo.callback(self.homes.__setitem__, home.config.name, home)
            await self._let_ports_go(difference, new, undo)
            moved_out = [home for home in leaving if home.config.name in difference.added]
            await self._end_processes(moved_out)
            await self._add(new, difference.added, difference.switches_added, undo)
            for name in difference.switches:
                undo.push_async_callback(self._become, name, self.switches[name].service.config)
                await self._become(name, new.switches[name])
            await self._refurnish(difference.changed, new, undo)
            await self._worker.run(partial(_furnish, [self.homes[name] for name in difference.added]))
            undo.pop_all()
        self.config = new
        for name in difference.switches_removed:
            await self._stop_switch(name)
        await self._end_processes(leaving)
        await self._remove_guests(leaving)
        await self._restart(difference, old, new)

    async def _let_ports_go(self, difference: LabDifference, new: LabConfig, undo: AsyncExitStack) -> None:
        """First of all what goes: the guest of a port may be plugged in elsewhere, and so may the end of a cable."""
        for name in difference.switches_removed:
            config = self.switches[name].service.config
            undo.push_async_callback(self._become, name, config)
            await self._become(name, without(config, set(config.ports)))
        for name, each in difference.switches.items():
            config, ports = self.switches[name].service.config, new.switches[name].ports
            moved = {
                port for port in each.attachment if config.ports[port].options.device() != ports[port].options.device()
            }
            if gone := {*each.removed, *moved}:
                undo.push_async_callback(self._become, name, config)
                await self._become(name, without(config, gone))

    async def _become(self, name: str, config: SwitchConfig) -> None:
        service = self.switches[name].service
        if not compare(service.config, config).empty:
            await service.become(config)

    async def _refurnish(self, names: Iterable[str], new: LabConfig, undo: AsyncExitStack) -> None:
        for name in names:
            home = self.homes[name]
            before, home.config = home.config, new.guests[name]
            undo.callback(setattr, home, "config", before)
            await self._worker.run(partial(home.furnish, before))

    async def _restart(self, difference: LabDifference, old: LabConfig, new: LabConfig) -> None:
        """Commands of guests that are new, and of those that are to run others."""
        others = [
            name for name in difference.changed
            if _commands(old.guests[name]) != _commands(new.guests[name])
        ]  # fmt: skip
        await asyncio.to_thread(end, [process.pid for name in others for process in self.homes[name].processes])
        homes = [self.homes[name] for name in [*others, *difference.added]]
        await _all(home.set_up() for home in homes)
        for home in homes:
            self._run(home)

    async def _end_processes(self, homes: list[Home]) -> None:
        """Whoever lives there ends, however it came; in a namespace that is not the lab's, its commands alone."""
        inodes = {home.inode for home in homes if home.own}
        pids = {process.pid for home in homes for process in home.processes}
        if inodes or pids:
            await self._worker.run(lambda: end(pids.union(inhabitants(inodes))))

    async def _remove_guests(self, homes: Iterable[Home]) -> None:
        for home in homes:
            if self.homes.get(home.config.name) is home:
                del self.homes[home.config.name]
            await self._worker.run(home.close)

    def _write_notes(self, config: LabConfig) -> None:
        """What is to be known of the lab on the disk."""
        self.place.note_sockets(switch.control_path for switch in config.switches.values())
        guests = config.guests.values()
        self.place.write_hosts({guest.name: guest.addresses() for guest in guests}, [guest.netns for guest in guests])


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing that ports lose is worth a line meanwhile."""
    ports = logging.getLogger("vswitch.keeper")
    before = ports.level
    ports.setLevel(logging.ERROR)
    try:
        yield
    finally:
        ports.setLevel(before)


def _furnish(homes: Iterable[Home]) -> None:
    for home in homes:
        home.furnish()


def _commands(guest: GuestConfig) -> tuple[object, ...]:
    return guest.options.setup, guest.options.run, guest.options.environment


def _numbered(card: list[str], number: int) -> list[str]:
    """A card whose id no other card of the machine has, though both be plugged into ports of one name."""
    name = card[1].split("id=")[1].split(",")[0]
    return [word.replace(f"id={name},", f"id=net{number},").replace(f"netdev={name},", f"netdev=net{number},")
            for word in card]  # fmt: skip


async def _all(work: Iterable[Any]) -> None:
    """Do all of it at once; the first that fails is raised once all have ended."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def _safely(work: Any) -> None:
    """Whatever goes wrong in taking something down does not keep the rest up."""
    try:
        await work
    except Exception:
        log.exception("something was left behind")
