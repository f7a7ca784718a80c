"""`vswitch lab up`: a lab in the foreground, from its file to its last breath; and `lab down` for what was killed."""

from __future__ import annotations

import asyncio
import logging
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

from vswitch import systemd
from vswitch.control.config.reading import ConfigError
from vswitch.control.runner import RunError, loop_runner
from vswitch.control.status import ConflictError
from vswitch.control.topology import reading as topology
from vswitch.lab.place import Place
from vswitch.lab.running import RunningLab
from vswitch.ports import PortError
from vswitch.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from vswitch.control.topology.layout import LabConfig

log = logging.getLogger("vswitch")


def run(path: Path) -> None:
    """Run the lab of a file until SIGTERM or SIGINT.

    Raises ConfigError for mistakes in the file, PlaceError, PortError, ConflictError, RunError or FastPathError where
    it cannot come up.
    """
    loop_runner()(_main(path, topology.read(path)))


def clear(name: str) -> bool:
    """Remove what a lab that was killed left; whether there was anything. Raises PlaceError where it runs."""
    place = Place(name)
    if not place.folder.exists():
        return False
    left = place.take()
    place.leave()
    return left


async def _main(path: Path, config: LabConfig) -> None:
    lab = RunningLab(config)
    logging.getLogger("vswitch.keeper").setLevel(logging.WARNING)  # of hundreds of ports nobody wants to read
    stopping = asyncio.Event()
    lab.when_asked_to_end = stopping.set
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    coming, ending = asyncio.ensure_future(lab.up()), asyncio.ensure_future(stopping.wait())
    await asyncio.wait((coming, ending), return_when=asyncio.FIRST_COMPLETED)
    if stopping.is_set():
        coming.cancel()
        await asyncio.wait((coming,))
        if not coming.cancelled() and coming.exception() is None:
            await lab.down()
        return
    await coming
    try:
        reloads: set[asyncio.Task[None]] = set()
        loop.add_signal_handler(signal.SIGHUP, lambda: _spawn(reloads, _reload(lab, path)))
        _ready(lab)
        await stopping.wait()
        log.info("stopping")
    finally:
        await lab.down()


def _ready(lab: RunningLab) -> None:
    """Say that the lab is up: to a person, and to systemd where that started it."""
    log.info("%s is up: %s; control on %s", lab.config.name, lab.config.counts(), lab.place.control)
    systemd.notify("READY=1")


def _spawn(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def _reload(lab: RunningLab, path: Path) -> None:
    """SIGHUP: bring the lab to its file as it is now, or leave it as it was."""
    try:
        new = await Worker("vswitch-configuration").run(partial(topology.read, path))
        changes = await lab.apply(new)
        log.info("reread %s: %s", path, "; ".join(changes) or "nothing changed")
    except ConfigError as error:
        log.error("%s is wrong and the lab stays as it is:\n%s", path, error)
    except (PortError, ConflictError, RunError) as error:
        log.error("%s cannot be applied and the lab stays as it is: %s", path, error)
