"""A guest that is there: its namespace, its settings, and the commands that run in it."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import socket
from collections import deque
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from vswitch.lab.entering import Quarters, spawn
from vswitch.ports import netns
from vswitch.ports.base import PortError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

    from vswitch.control.topology.layout import GuestConfig
    from vswitch.lab.place import Place
    from vswitch.ports.host import Host
    from vswitch.ports.netns import Namespace

log = logging.getLogger(__name__)

SHELL: Final = ("/bin/sh", "-c")

_MOST_FAILURES: Final = 10
_MOST_WORDS: Final = 4096


class Home:
    """Where one guest lives, from `open` to `close`. What blocks is marked so and called in the worker's thread."""

    def __init__(self, config: GuestConfig, host: Host, place: Place) -> None:
        """Not there yet."""
        self.config = config
        self.processes: list[subprocess.Popen[bytes]] = []
        self.failed: deque[tuple[str, int]] = deque(maxlen=_MOST_FAILURES)
        """Commands of `run` that ended with another status than 0, and that."""
        self.own = False
        """Whether the lab made the namespace, so that all who live there are the lab's."""
        self._host = host
        self._place = place
        self._namespace: Namespace | None = None

    @property
    def inode(self) -> int:
        """Of the namespace."""
        return self._namespace.inode if self._namespace else 0

    @property
    def quarters(self) -> Quarters:
        """How to get in."""
        return Quarters(self.config.name, self.config.netns, self._place.hosts)

    def open(self) -> None:
        """Make the namespace, with the settings that it takes without interfaces. Raises PortError. Blocks."""
        self._namespace = self._host.namespace(self.config.netns)
        self.own = self._host.is_made(self.config.netns)
        self._set(strict=False)

    def close(self) -> None:
        """Leave the namespace. Blocks."""
        if self._namespace is not None:
            self._namespace = None
            self._host.release(self.config.netns)

    def furnish(self, old: GuestConfig | None = None) -> None:
        """Settings and routes, now that the interfaces are there. old: what it was before. Raises PortError. Blocks."""
        gone = {} if old is None else {to: via for to, via in old.options.routes.items() if to not in self._routes}
        self._set(strict=True)
        if self._namespace is None or not (self._routes or gone):
            return
        with netns.inside(self._namespace), IPRoute() as ipr:
            for to, via in gone.items():
                with suppress(NetlinkError, OSError):
                    ipr.route("del", **_route(to, via))
            for to, via in self._routes.items():
                try:
                    ipr.route("replace", **_route(to, via))
                except (NetlinkError, OSError) as error:
                    why = error.args[1] if len(error.args) > 1 else error
                    raise PortError(f"guest {self.config.name}: no route to {to} via {via}: {why}") from error

    async def set_up(self) -> None:
        """Run the commands that are waited for, one after the other. Raises PortError where one fails."""
        for line in self.config.options.setup:
            process, ended = self._start([*SHELL, line])
            await ended
            if process.returncode:
                raise PortError(
                    f"guest {self.config.name}: {line!r} ended with status {process.returncode}: {self._last_words()}"
                )

    def run(self, command: Sequence[str] | None = None) -> None:
        """Start the commands that go on, or this one. Raises PortError."""
        self.failed.clear()
        for each in [command] if command else [[*SHELL, line] for line in self.config.options.run]:
            self._start(each)

    def _start(self, command: Sequence[str]) -> tuple[subprocess.Popen[bytes], asyncio.Future[None]]:
        """A process of the guest, and what is done once it has ended."""
        try:
            process = spawn(self.quarters, command, self.config.options.environment, self._place.log(self.config.name))
        except OSError as error:
            raise PortError(f"guest {self.config.name}: cannot run {command[0]}: {error.strerror}") from error
        self.processes.append(process)
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        descriptor = os.pidfd_open(process.pid)
        words = command[-1] if tuple(command[:-1]) == SHELL else shlex.join(command)
        loop.add_reader(descriptor, self._ended, process, descriptor, ended, words)
        return process, ended

    def _ended(
        self, process: subprocess.Popen[bytes], descriptor: int, ended: asyncio.Future[None], words: str
    ) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        status = process.wait()
        self.processes.remove(process)
        if status > 0:
            log.warning("guest %s: %s ended with status %d", self.config.name, words, status)
            self.failed.append((words, status))
        if not ended.done():
            ended.set_result(None)

    def _last_words(self) -> str:
        with suppress(OSError), self._place.log(self.config.name).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _MOST_WORDS))
            if lines := log.read(_MOST_WORDS).decode(errors="replace").strip().splitlines():
                return lines[-1][:200]
        return "it said nothing"

    @property
    def _routes(self) -> dict[str, str]:
        return self.config.options.routes

    def _set(self, *, strict: bool) -> None:
        """Write the settings of the network. strict: those that are not there are mistakes."""
        if self._namespace is None or not self.config.options.sysctls:
            return
        with netns.inside(self._namespace):
            for name, value in self.config.options.sysctls.items():
                path = Path("/proc/sys", *(name.split("/") if "/" in name else name.split(".")))
                try:
                    path.write_text(value)
                except OSError as error:
                    if strict:
                        raise PortError(
                            f"guest {self.config.name}: {name} cannot be {value!r}: {error.strerror}"
                        ) from error


def _route(to: str, via: str) -> dict[str, Any]:
    """As pyroute2 wants it; called in the guest's namespace. Raises OSError where there is no such interface."""
    router = ":" in via or via[0].isdigit()
    route: dict[str, Any] = {"gateway": via} if router else {"oif": socket.if_nametoindex(via)}
    if to == "default":
        version = 6 if ":" in via else 4
        return {**route, "dst": "default", "family": socket.AF_INET6 if version == 6 else socket.AF_INET}
    network = ip_network(to)
    return {**route, "dst": to, "family": socket.AF_INET6 if network.version == 6 else socket.AF_INET}
