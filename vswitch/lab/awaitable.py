"""A lab on the program's own loop: `async with Lab(…) as lab`. What waits is awaited."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from vswitch.control.topology import reading as topology
from vswitch.lab import pinging
from vswitch.lab.capture import capture
from vswitch.lab.living import GuestNode
from vswitch.lab.nodes import LinkNode, PortNode, SwitchNode, impairment
from vswitch.lab.parts import with_parts
from vswitch.lab.session import Session

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from vswitch.control.topology.layout import LabConfig
    from vswitch.lab.capture import Capturing, Direction, Ports
    from vswitch.lab.matching import Pattern
    from vswitch.lab.parts import Part
    from vswitch.observe.pcapng import Packet


class AsyncLab:
    """A lab that is up."""

    def __init__(self, session: Session) -> None:
        """What `async with` gives."""
        self.session = session

    @property
    def name(self) -> str:
        """As `vswitch lab status` knows it."""
        return self.session.config.name

    def switch(self, name: str) -> AsyncSwitch:
        """Raises LabError where there is none."""
        self.session.service(name)
        return AsyncSwitch(self.session, name)

    def guest(self, name: str) -> AsyncGuest:
        """Raises LabError where there is none."""
        self.session.guest(name)
        return AsyncGuest(self.session, name)

    def link(self, one: str, other: str) -> AsyncLink:
        """Raises LabError where there is none, or more than one."""
        return AsyncLink(self.session, one, other)

    @property
    def switches(self) -> list[AsyncSwitch]:
        """All of them, those that are links between two guests left out."""
        config = self.session.config
        return [self.switch(name) for name in config.switches if name not in config.wires]

    @property
    def guests(self) -> list[AsyncGuest]:
        """All of them."""
        return [self.guest(name) for name in self.session.config.guests]

    def status(self) -> dict[str, Any]:
        """As `vswitch lab status --json` has it."""
        return self.session.running.status()

    async def apply(self, new: Mapping[str, Any] | str) -> list[str]:
        """Become another topology, YAML or a mapping, by difference; what changed. Its name stays.

        Raises ConfigError, ConflictError, PortError or RunError; it is as before then.
        """
        return await self.session.running.apply(topology.renamed(new, self.name))

    async def add(self, *new: Part) -> list[str]:
        """Put parts into the lab; what changed. Raises LabError, and what `apply` raises."""
        return await self.apply(with_parts(self.session.config.data, new))

    async def ping_all(self, timeout: float = 2.0) -> pinging.Result:
        """From everyone to everyone."""
        return await asyncio.to_thread(pinging.ping_all, pinging.hosts(self.status(), None), timeout)


class AsyncSwitch(SwitchNode):
    """One switch of it."""

    def __init__(self, session: Session, name: str) -> None:
        """Of a lab that is up."""
        super().__init__(name)
        self._session = session

    def port(self, name: str) -> AsyncPort:
        """Raises NotFoundError where there is none."""
        return AsyncPort(self.session, self.name, name)

    def capture(self, *ports: str, as_on_wire: bool = False) -> AbstractAsyncContextManager[AsyncCapturing]:
        """What passes at these ports, or at all, while the body of `async with` runs."""
        return _running(capture(ports, switch=self.control, as_on_wire=as_on_wire))


class AsyncPort(PortNode):
    """One port of a switch of it."""

    async def impair(
        self,
        *,
        out: Mapping[str, Any] | None = None,
        in_: Mapping[str, Any] | None = None,
        preset: str | None = None,
        seed: int | None = None,
    ) -> None:
        """As the synchronous one."""
        await self._impair(impairment(preset, seed, in_, out))

    async def clear(self) -> None:
        """Impair it no more."""
        await self._clear()

    def capture(self, *, as_on_wire: bool = False) -> AbstractAsyncContextManager[AsyncCapturing]:
        """What passes there while the body of `async with` runs."""
        return _running(capture(self.name, switch=self.control, as_on_wire=as_on_wire))


class AsyncGuest(GuestNode):
    """One guest of it."""

    def __init__(self, session: Session, name: str) -> None:
        """Of a lab that is up."""
        super().__init__(name)
        self._session = session

    @property
    def ports(self) -> list[AsyncPort]:
        """The port of each of its interfaces."""
        return [AsyncPort(self.session, *place) for place in self.places]

    async def run(
        self,
        command: Sequence[str] | str,
        *,
        check: bool = True,
        timeout: float | None = None,
        input: str | None = None,  # noqa: A002
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        """As the synchronous one."""
        run = partial(self._run, command, check=check, timeout=timeout, given=input, options=options)
        return await asyncio.to_thread(run)

    async def ping(self, other: GuestNode | str, timeout: float = 5.0) -> float | None:
        """As the synchronous one."""
        return await asyncio.to_thread(self._ping, other, timeout)


class AsyncLink(LinkNode):
    """One link of it."""

    def __init__(self, session: Session, one: str, other: str) -> None:
        """Of a lab that is up. Raises LabError where there is none, or more than one."""
        super().__init__(one, other)
        self._session = session
        self._places()

    @property
    def ports(self) -> list[AsyncPort]:
        """The port at each end, that of the end named first first; one alone where a guest is plugged in."""
        return [AsyncPort(self.session, *place) for place in self._places()]

    async def impair(
        self,
        *,
        out: Mapping[str, Any] | None = None,
        in_: Mapping[str, Any] | None = None,
        preset: str | None = None,
        seed: int | None = None,
    ) -> None:
        """As the synchronous one."""
        await self.ports[0].impair(out=out, in_=in_, preset=preset, seed=seed)

    async def clear(self) -> None:
        """Impair it no more, at either end."""
        for port in self.ports:
            await port.clear()


class AsyncCapturing:
    """What passed so far. Expectations are awaited."""

    def __init__(self, capturing: Capturing) -> None:
        """Around one that runs."""
        self._capturing = capturing

    @property
    def packets(self) -> list[Packet]:
        """What passed so far, in order."""
        return self._capturing.packets

    @property
    def drops(self) -> list[Packet]:
        """Those of them that were dropped."""
        return self._capturing.drops

    async def expect(
        self, pattern: Pattern, timeout: float = 5.0, direction: Direction | None = None, *, port: Ports = ()
    ) -> Packet:
        """The first packet that matches. Raises AssertionError with what passed instead."""
        return await asyncio.to_thread(self._capturing.expect, pattern, timeout, direction, port=port)

    async def expect_none(
        self, pattern: Pattern, within: float = 0.5, direction: Direction | None = None, *, port: Ports = ()
    ) -> None:
        """See that nothing matches. Raises AssertionError."""
        await asyncio.to_thread(self._capturing.expect_none, pattern, within, direction, port=port)


@asynccontextmanager
async def _running(opened: AbstractContextManager[Capturing]) -> AsyncIterator[AsyncCapturing]:
    capturing = await asyncio.to_thread(opened.__enter__)
    try:
        yield AsyncCapturing(capturing)
    finally:
        await asyncio.to_thread(opened.__exit__, None, None, None)


async def bring_up(config: LabConfig) -> AsyncLab:
    """A lab on this loop. Raises PlaceError, PortError, ConflictError or RunError, with nothing left behind."""
    session = Session(config)
    await session.up()
    return AsyncLab(session)
