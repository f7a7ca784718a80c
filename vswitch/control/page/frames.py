"""Frames in words, for one who looks at the page: decoded in a process of its own, which ends with the connection.

What strangers send is taken apart there, not in the switch. The process has the frames by a pipe and gives back lines;
when the switch ends, however that happens, the pipe does, and the process with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

import vswitch
from vswitch.control.page.access import RefusedError
from vswitch.control.page.said import FrameLine
from vswitch.observe.sampler import Sampler

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

    from vswitch.control.page.live import Viewer
    from vswitch.control.service import Service

MOST: Final = 4
"""Who may see frames at a time: each has a process of some 70 MB."""

PAUSE: Final = 0.2
"""Seconds from message to message."""

EACH: Final = 10
"""Frames of one message."""

_WAITING: Final = 50
"""Frames that wait to be decoded."""

_LONGEST: Final = 1 << 16
"""Octets of a line that the process gives back."""

_PROGRAM: Final = ("-P", "-m", "vswitch.observe.lines")


def decodable() -> bool:
    """Whether frames can be decoded here: scapy does that, and is not imported by the switch."""
    return importlib.util.find_spec("scapy") is not None


class Frames:
    """Those of one port at a time, for one viewer."""

    _shown = 0

    def __init__(self, service: Service, viewer: Viewer) -> None:
        """None are wanted yet."""
        self._service = service
        self._viewer = viewer
        self._port: str | None = None
        self._wish = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def want(self, port: str | None) -> None:
        """Show frames of this port from now on. Raises NotFoundError for one that is not there, or RefusedError."""
        if port is not None:
            self._service.bridge(port)
            if not decodable():
                raise RefusedError(409, "frames are decoded by scapy, which is not here: pip install 'vswitch[scapy]'")
            if self._task is None and Frames._shown >= MOST:
                raise RefusedError(503, f"{MOST} pages show frames already; stop one of them first")
        self._port = port
        self._wish.set()
        if self._task is None and port is not None:
            Frames._shown += 1
            self._task = asyncio.ensure_future(self._serve())

    async def close(self) -> None:
        """Show no more; the process is gone when this returns."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _serve(self) -> None:
        """A process for as long as some port's frames are wanted."""
        try:
            while self._port is not None:
                try:
                    async with _decoder() as process:
                        while self._port is not None:
                            self._wish.clear()
                            await self._show(self._port, process)
                except (OSError, EOFError, ValueError):
                    self._viewer.error("the process that decodes frames ended, and another one begins")
                await asyncio.sleep(PAUSE)
        finally:
            Frames._shown -= 1
            self._task = None

    async def _show(self, port: str, process: Process) -> None:
        """Until another port is wanted, or none."""
        sampler, observers = Sampler(port), self._service.engine.observers
        observers.add(sampler)
        try:
            while not self._wish.is_set():
                sampler.room = EACH
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wish.wait(), PAUSE)
                rows = sampler.take()
                if self._viewer.busy:
                    sampler.lost += len(rows)
                    continue
                lines = [await _decoded(process, row) for row in rows]
                lost, sampler.lost = sampler.lost, 0
                if lines or lost:
                    news = {"type": "frames", "port": port, "frames": lines, "lost": lost}
                    self._viewer.event(json.dumps(news))
        finally:
            observers.remove(sampler)


@contextlib.asynccontextmanager
async def _decoder() -> AsyncIterator[Process]:
    """The process, and its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *_PROGRAM, env=_environment(), stdin=asyncio.subprocess.PIPE, cwd="/",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, start_new_session=True, limit=_LONGEST,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _decoded(process: Process, row: dict[str, Any]) -> dict[str, Any]:
    """A row with what its frame says. Raises OSError or ValueError where the process is of no use any longer."""
    assert process.stdin is not None  # noqa: S101
    assert process.stdout is not None  # noqa: S101
    if process.stdin.is_closing():
        raise BrokenPipeError  # uvloop would raise RuntimeError
    process.stdin.write(json.dumps(row).encode() + b"\n")
    await process.stdin.drain()
    del row["frame"]
    said = json.loads(await process.stdout.readuntil(b"\n"))
    try:
        return FrameLine.model_validate({**row, "line": said["line"], "marks": said["marks"]}).model_dump()
    except (KeyError, TypeError, ValidationError) as error:
        raise ValueError("the process that decodes says what it should not") from error


def _environment() -> dict[str, str]:
    """Such that the process finds this very package, wherever the switch was started."""
    here = str(Path(vswitch.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))}
