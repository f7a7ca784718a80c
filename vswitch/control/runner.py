"""`vswitch run`: one switch in the foreground, from its file to its last breath.

Beside its control socket a switch keeps a lock, held while it lives, and a ledger of the namespaces it made. After a
kill -9 the next start of that name finds the lock free and the ledger full, and clears up before it begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import secrets
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

from vswitch import systemd
from vswitch.control.api.table import application
from vswitch.control.config import reading as configuration
from vswitch.control.config.reading import ConfigError
from vswitch.control.config.schema import PageConfig
from vswitch.control.pinned import give_back_left
from vswitch.control.place import make_folder, runtime_directory
from vswitch.control.server import ControlServer
from vswitch.control.service import Service
from vswitch.control.status import ConflictError
from vswitch.ports import PortError
from vswitch.ports.descriptors import Descriptors
from vswitch.ports.host import Host
from vswitch.units import parse_listen
from vswitch.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path
    from typing import Any

    from vswitch.control.config.schema import SwitchConfig

log = logging.getLogger("vswitch")


ANSWERED: Final = 0.05
"""Seconds in which the call that made a switch superfluous gets its answer."""


class RunError(Exception):
    """The switch cannot start: one sentence."""


def run(path: Path, *, page: PageConfig | None = None, until_released: bool = False) -> None:
    """Run the switch of a configuration file until SIGTERM or SIGINT.

    page: in place of what the file says of it.
    until_released: and no longer than until it has given back the bridges that it took over; its file goes with it.
    Raises ConfigError for mistakes in the file, RunError, PortError, ConflictError or FastPathError where it cannot
    start.
    """
    config = configuration.read(path, files=True)
    with switch_place(config) as socket_path:
        give_back_left()
        try:
            loop_runner()(_main(path, config, socket_path, page, until_released=until_released))
        finally:
            if until_released:
                for left in (path, path.with_suffix(".log")):
                    left.unlink(missing_ok=True)


def loop_runner() -> Callable[[Coroutine[Any, Any, None]], None]:
    """uvloop's where it is there, plain asyncio's where not, or where VSWITCH_LOOP=asyncio asks for it."""
    if os.environ.get("VSWITCH_LOOP") == "asyncio":
        return asyncio.run
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    runner: Callable[[Coroutine[Any, Any, None]], None] = uvloop.run
    return runner


async def _main(
    path: Path, config: SwitchConfig, socket_path: Path, page: PageConfig | None, *, until_released: bool
) -> None:
    host = Host(socket_path.with_suffix(".ledger"), Descriptors.of_systemd())
    service = Service(config, host, page)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        await service.start()
    finally:
        host.settle()
    try:
        server = await _serve(service, socket_path)
        if until_released:
            service.adopter.when_empty = partial(loop.call_later, ANSWERED, stopping.set)
        reloads: set[asyncio.Task[None]] = set()
        loop.add_signal_handler(signal.SIGHUP, lambda: _spawn(reloads, _reload(service, path)))
        gc.collect()
        gc.freeze()  # what is there by now stays: to look at it in every full collection takes milliseconds
        _ready(config, page, service.engine.fast_path.name, socket_path)
        await stopping.wait()
        log.info("stopping")
        await server.close()
    finally:
        await service.stop()
        host.descriptors.close()


def _spawn(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def _serve(service: Service, path: Path) -> ControlServer:
    """The API on a socket that its owner and group alone can reach."""
    server = ControlServer(application(service))
    try:
        await server.listen(path)
    except OSError as error:
        raise RunError(f"cannot make the control socket {path}: {error.strerror or error}") from error
    return server


async def _reload(service: Service, path: Path) -> None:
    """SIGHUP: bring the switch to its file as it is now, or leave it as it was."""
    try:
        new = await Worker("vswitch-configuration").run(partial(configuration.read, path, files=True))
        difference = await service.become(new)
        await service.reread_files()
        log.info("reread %s: %s", path, "; ".join(difference.changes) or "nothing changed")
    except ConfigError as error:
        log.error("%s is wrong and the switch stays as it is:\n%s", path, error)
    except (PortError, ConflictError) as error:
        log.error("%s cannot be applied and the switch stays as it is: %s", path, error)


def _ready(config: SwitchConfig, own_page: PageConfig | None, fast_path: str, path: Path) -> None:
    """Say that the switch runs: to a person, and to systemd where that started it."""
    count = len(config.ports)
    metrics = f", metrics on {config.metrics.url}" if config.metrics else ""
    ports = f"{count} port{'' if count == 1 else 's'}, {fast_path} fast path"
    page = own_page or config.page
    served = f", page on {page.url}" if page else ""
    log.info("%s runs with %s, control on %s%s%s", config.name, ports, path, metrics, served)
    if own_page is not None:  # to the one who called, and to no log
        print(f"the page: {own_page.url}#token={own_page.token}", flush=True)  # noqa: T201
    systemd.notify("READY=1")


def own_page(address: str) -> PageConfig:
    """The page of a switch that is started with one, with a token that nobody has had before. Raises ValueError."""
    return PageConfig.model_validate({"listen": parse_listen(address), "token": secrets.token_urlsafe(24)})


@contextlib.contextmanager
def switch_place(config: SwitchConfig) -> Iterator[Path]:
    """Where the switch's socket, lock and ledger stand; nothing of them, nor a directory made for them, is left."""
    path = config.control_path
    made = path.parent == runtime_directory() or not path.parent.exists()
    try:
        make_folder(path.parent)
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise RunError(f"cannot write to {path.parent}: {error.strerror}; name another `control:` socket") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise RunError(
            f"a switch with control socket {path} runs already; stop it, or name this one otherwise"
        ) from None
    path.unlink(missing_ok=True)
    try:
        yield path
    finally:
        for left in (path, path.with_suffix(".lock")):
            left.unlink(missing_ok=True)
        os.close(lock)
        if made:
            with contextlib.suppress(OSError):
                path.parent.rmdir()


def log_to_stderr() -> None:
    """One line an event; systemd adds the time, a terminal needs none."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s")
