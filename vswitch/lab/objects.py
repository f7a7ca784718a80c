"""A lab for programs: described by objects or by a file, up and down as a context, with guests that do things."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from vswitch.control import lab as topology
from vswitch.control.runner import loop_runner
from vswitch.lab import pinging
from vswitch.lab.guest import Guest as Namespace
from vswitch.lab.running import RunningLab

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping

    from vswitch.control.layout import LabConfig
    from vswitch.control.service import Service

T = TypeVar("T")


class Switch:
    """A switch to be. options: as in a file: `ageing`, `fdb`, `ports` …"""

    def __init__(self, name: str, **options: Any) -> None:
        """Of this name."""
        self.name = name
        self.options = options


class Guest:
    """A guest to be. options: as in a file: `switch`, `address`, `routes`, `sysctls`, `run`, `qemu` …"""

    def __init__(self, name: str, **options: Any) -> None:
        """Of this name."""
        self.name = name
        self.options = options


class Link:
    """A link to be. Each end is a name, `GUEST:INTERFACE`, or a mapping with `node` and options, as in a file."""

    def __init__(self, one: str | Mapping[str, Any], other: str | Mapping[str, Any]) -> None:
        """Of these two."""
        self.ends = (one, other)


class LabGuest(Namespace):
    """A guest of a lab that is up."""

    def __init__(self, lab: Lab, name: str) -> None:
        """lab: that it lives in."""
        super().__init__(lab.config.guests[name].netns)
        self.name = name
        self._lab = lab

    @property
    def addresses(self) -> list[str]:
        """Of all its interfaces."""
        return self._lab.config.guests[self.name].addresses()

    def ping(self, address: str, *, timeout: float = 2.0) -> float | None:
        """Round-trip time in seconds of one ICMP echo to an address or a guest; None: no answer in so many seconds."""
        guest = self._lab.config.guests.get(address)
        if guest is not None:
            own = {ip_address(each).version for each in self.addresses}
            address = next(each for each in guest.addresses() if ip_address(each).version in own)
        return super().ping(address, timeout=timeout)

    def run(self, command: list[str] | str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in the guest and wait: a list of words, or a line for the shell. options: of subprocess.run."""
        options = {"capture_output": True, "text": True, "check": False, **options}
        return subprocess.run(self._command(command), **options)

    def popen(self, command: list[str] | str, **options: Any) -> subprocess.Popen[Any]:
        """Start a command in the guest; the caller ends it, or the end of the lab does. options: of Popen."""
        return subprocess.Popen(self._command(command), **options)

    def _command(self, command: list[str] | str) -> list[str]:
        words = ["/bin/sh", "-c", command] if isinstance(command, str) else command
        lab = [sys.executable, "-m", "vswitch", "lab", "exec", "--lab", self._lab.config.name]
        return [*lab, self.name, "--", *words]


class Lab:
    """A lab that is up while the body of `with`, or of `async with`, runs. `lab["h1"]` is a guest of it."""

    def __init__(
        self,
        name: str,
        *,
        switches: Iterable[Switch] = (),
        guests: Iterable[Guest] = (),
        links: Iterable[Link] = (),
        **options: Any,
    ) -> None:
        """options: of the lab as a whole, such as `loops`. Raises ConfigError with every mistake."""
        data = {
            "name": name,
            **options,
            "switches": {switch.name: switch.options for switch in switches},
            "guests": {guest.name: guest.options for guest in guests},
            "links": [[dict(end) if not isinstance(end, str) else end for end in link.ends] for link in links],
        }
        self.config = topology.validate(data)
        self._running: RunningLab | None = None
        self._thread: _LoopThread | None = None

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The lab of a file. Raises ConfigError."""
        return cls.of(topology.read(Path(path)))

    @classmethod
    def load(cls, text: str) -> Self:
        """The lab of a text in YAML. Raises ConfigError."""
        return cls.of(topology.load(text))

    @classmethod
    def of(cls, config: LabConfig) -> Self:
        """The lab of a configuration."""
        lab = cls(config.name)
        lab.config = config
        return lab

    async def __aenter__(self) -> Self:
        """Bring it up on this loop. Raises PlaceError, PortError, ConflictError or RunError, with nothing left."""
        running = RunningLab(self.config)
        await running.up()
        self._running = running
        return self

    async def __aexit__(self, *_: object) -> None:
        """Take it down."""
        running, self._running = self._running, None
        if running is not None:
            await running.down()

    def __enter__(self) -> Self:
        """Bring it up in a thread with a loop of its own. Raises as `async with` does."""
        self._thread = _LoopThread()
        try:
            self._thread.call(self.__aenter__())
        except BaseException:
            self._thread.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Take it down."""
        if self._thread is not None:
            try:
                self._thread.call(self.__aexit__())
            finally:
                self._thread.stop()
                self._thread = None

    def __getitem__(self, guest: str) -> LabGuest:
        """A guest. Raises KeyError where there is none of that name."""
        return LabGuest(self, guest)

    @property
    def guests(self) -> list[LabGuest]:
        """All of them that have a namespace of their own to do things in."""
        return [self[name] for name, guest in self.config.guests.items() if guest.options.qemu is None]

    def switch_name(self, switch: str) -> str:
        """What `capture(…, switch=…)` and `vswitch --switch` call a switch of this lab."""
        return self.config.switches[switch].name

    def service(self, switch: str) -> Service:
        """A switch as it runs; only to be used on its loop. Raises KeyError."""
        return self._up.switches[switch].service

    def apply(self, new: Lab) -> list[str]:
        """Become another lab; what changed. For `with`; raises ConflictError, PortError or RunError, undone."""
        if self._thread is None:
            raise RuntimeError("the lab is not up by `with`; on a loop of your own it is `await lab.become(new)`")
        return self._thread.call(self.become(new))

    async def become(self, new: Lab) -> list[str]:
        """Become another lab; what changed. Raises ConflictError, PortError or RunError, undone."""
        changes = await self._up.apply(new.config)
        self.config = new.config
        return changes

    def status(self) -> dict[str, Any]:
        """As `vswitch lab status --json` has it."""
        return self._up.status()

    def ping_all(self, timeout: float = 2.0) -> pinging.Result:
        """Ping from everybody to everybody; `lost` of the result is empty where all answered."""
        return pinging.ping_all(pinging.hosts(self.status(), None), timeout)

    @property
    def _up(self) -> RunningLab:
        if self._running is None:
            raise RuntimeError(f"the lab {self.config.name} is not up; use it as a context: `with lab:`")
        return self._running


class _LoopThread:
    """A thread with a loop, for programs that have none."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: loop_runner()(self._main(ready)), name="lab", daemon=True)
        self._thread.start()
        ready.wait()

    async def _main(self, ready: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        await self._stopping.wait()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """What a coroutine gives, once it is done."""
        assert self._loop is not None  # noqa: S101
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stop(self) -> None:
        """End the loop, and wait for that."""
        assert self._loop is not None  # noqa: S101
        assert self._stopping is not None  # noqa: S101
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
