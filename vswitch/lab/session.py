"""A lab that runs for a program in Python: on the program's own loop, or on one in a thread of its own.

Questions are asked on the loop, whoever asks; what was started in guests ends, and is closed, with the lab.
"""

from __future__ import annotations

import asyncio
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from vswitch.control.runner import loop_runner
from vswitch.lab.running import RunningLab

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine
    from typing import Any

    from vswitch.control.service import Service
    from vswitch.control.topology.layout import GuestConfig, LabConfig

T = TypeVar("T")


class LabError(Exception):
    """What was asked of a lab cannot be: one sentence."""


class Session:
    """One lab from `up` to `down`. It answers `vswitch lab status` and the like meanwhile, as any lab does."""

    def __init__(self, config: LabConfig) -> None:
        """Not up yet; made on the loop that it is to run on."""
        self.running = RunningLab(config)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._stopping = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None
        self._started: list[subprocess.Popen[Any] | socket.socket] = []

    @property
    def config(self) -> LabConfig:
        """The topology, as it is now."""
        return self.running.config

    async def up(self) -> None:
        """Make everything. Raises PlaceError, PortError, ConflictError or RunError, with nothing left behind."""
        await self.running.up()
        self.running.when_asked_to_end = self._stopping.set
        self._ending = asyncio.ensure_future(self._end())

    async def down(self) -> None:
        """End and remove everything."""
        self._stopping.set()
        if self._ending is not None:
            await self._ending

    async def _end(self) -> None:
        """Once somebody asks for it: the program, or `vswitch lab down`."""
        await self._stopping.wait()
        await self.running.down()
        for each in self._started:
            _close(each)
        self._started.clear()

    def ask(self, question: Callable[[], T]) -> T:
        """The answer to a question that does not wait."""
        if threading.get_ident() == self._thread:
            return question()

        async def answer() -> T:
            return question()

        return self.do(answer())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for work, from another thread. Raises LabError on the loop itself: it would wait forever."""
        if threading.get_ident() == self._thread:
            work.close()
            raise LabError("this would wait for the loop that it runs on: `async with Lab(…) as lab` has what to await")
        if self._loop.is_closed():
            work.close()
            raise LabError(f"the lab {self.config.name} is down")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def keep(self, started: subprocess.Popen[Any] | socket.socket) -> None:
        """Close this once the lab is down, if nobody did."""
        self._started = [each for each in self._started if not _is_done(each)]
        self._started.append(started)

    # What there is

    def service(self, switch: str) -> Service:
        """A switch. Raises LabError."""
        try:
            return self.running.switches[switch].service
        except KeyError:
            raise LabError(_there_is_no("switch", switch, self.running.switches)) from None

    def guest(self, name: str) -> GuestConfig:
        """A guest. Raises LabError."""
        try:
            return self.running.homes[name].config
        except KeyError:
            raise LabError(_there_is_no("guest", name, self.running.homes)) from None


class LoopThread:
    """A loop in a thread of its own, so that the program's main thread may block."""

    def __init__(self) -> None:
        """It runs once this returns."""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=loop_runner(), args=(self._main(),), name="vswitch-lab", daemon=True)
        self._thread.start()
        self._ready.wait()

    async def _main(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._ended.wait()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for work there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()


def _there_is_no(what: str, name: str, known: dict[str, Any]) -> str:
    there = ", ".join(list(known)[:20])
    return f"there is no {what} {name}; there {'are ' + there if there else 'is none'}"


def _is_done(started: subprocess.Popen[Any] | socket.socket) -> bool:
    if isinstance(started, subprocess.Popen):
        pipes = (started.stdin, started.stdout, started.stderr)
        return started.poll() is not None and all(pipe is None or pipe.closed for pipe in pipes)
    return started.fileno() < 0


def _close(started: subprocess.Popen[Any] | socket.socket) -> None:
    """A process has ended by now; its pipes, and sockets of the guest, are still open."""
    if not isinstance(started, subprocess.Popen):
        started.close()
        return
    for pipe in (started.stdin, started.stdout, started.stderr):
        if pipe is not None:
            with suppress(OSError):  # what was still to be written
                pipe.close()
    started.kill()
    started.wait()
