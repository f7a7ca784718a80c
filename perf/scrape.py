"""How long a scrape of the metrics keeps the loop from frames: gaps between its turns, at rest and while scraped.

Each port is impaired in both directions, since those figures are the most that is told of a port. Rendering
by a thread, which would be simpler, is measured beside it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.exposition import generate_latest

from vswitch.control.config import reading as config
from vswitch.control.metrics.server import Collected
from vswitch.control.service import Service
from vswitch.ports.host import Host
from vswitch.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PORTS: Final = 256
SCRAPES: Final = 20
PAUSE: Final = 0.1
"""Seconds between two of them."""

CLIENT: Final = """
import sys, time, urllib.request
for _ in range(int(sys.argv[2])):
    urllib.request.urlopen(sys.argv[1]).read()
    time.sleep(float(sys.argv[3]))
"""


class Gaps:
    """Milliseconds between two turns of the loop, by the clock and of this thread's own time."""

    def __init__(self) -> None:
        """None yet. What is kept is little: to make room for much would be a gap."""
        self.wall = self.cpu = 0.0
        self.long = self.own = 0
        self.began = time.perf_counter()

    async def watch(self) -> None:
        """Have turn after turn, until cancelled."""
        wall, cpu = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(0)
            wall_now, cpu_now = time.perf_counter(), time.thread_time()
            self.long += wall_now - wall > 1e-3
            self.own += cpu_now - cpu > 1e-3
            self.wall, self.cpu = max(self.wall, wall_now - wall), max(self.cpu, cpu_now - cpu)
            wall, cpu = wall_now, cpu_now

    def figures(self) -> dict[str, float]:
        """The greatest of both, and how many a second were more than a millisecond."""
        seconds = time.perf_counter() - self.began
        return {
            "greatest ms": round(self.wall * 1e3, 3),
            "greatest ms of its own": round(self.cpu * 1e3, 3),
            "above 1 ms, per second": round(self.long / seconds, 1),
            "of its own above 1 ms, per second": round(self.own / seconds, 2),
            "seconds": round(seconds, 1),
        }


def count() -> dict[str, dict[str, float]]:
    """Figures at rest, while a client scrapes, and while a thread renders as often."""
    import uvloop

    figures: dict[str, dict[str, float]] = uvloop.run(_measure())
    return figures


async def _measure() -> dict[str, dict[str, float]]:
    impaired = {"delay": "10ms", "jitter": "1ms", "loss": "0.5%"}
    impair = {"in": impaired, "out": impaired}
    ports = {f"port{number}": {"fd": f"port{number}", "impair": impair} for number in range(PORTS)}
    listen = f"127.0.0.1:{_free_port()}"
    service = Service(config.validate({"name": "scrape", "ports": ports, "metrics": {"listen": listen}}), Host())
    await service.start()
    gc.collect()
    gc.freeze()  # as `vswitch run` does
    try:
        _apart(service)
        client = _client(listen)
        began = time.perf_counter()
        scraped = await _watched(partial(_ended, client))
        return {
            "scraped": scraped,
            "at rest": await _watched(partial(asyncio.sleep, time.perf_counter() - began)),
            "by a thread": await _watched(partial(_by_thread, service)),
        }
    finally:
        await service.stop()


async def _watched(work: Callable[[], Awaitable[Any]]) -> dict[str, float]:
    gaps = Gaps()
    watching = asyncio.ensure_future(gaps.watch())
    await work()
    watching.cancel()
    return gaps.figures()


def _client(listen: str) -> subprocess.Popen[bytes]:
    """One that begins at once; to start it would be a gap."""
    process = subprocess.Popen([sys.executable, "-c", CLIENT, f"http://{listen}/metrics", str(SCRAPES), str(PAUSE)])
    os.sched_setaffinity(process.pid, _others())
    return process


async def _ended(process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        await asyncio.sleep(PAUSE / 10)


async def _by_thread(service: Service) -> None:
    worker, exporter = Worker("render"), service.serving.exporter
    assert exporter is not None
    for _ in range(SCRAPES):
        rows: dict[str, list[Any]] = {}

        async def take(message: Any, rows: dict[str, list[Any]] = rows) -> None:
            if message is not None:
                rows.setdefault(message[0], []).extend(message[1])

        await exporter.copy(take)
        await worker.run(partial(generate_latest, Collected("scrape", rows)))
        await asyncio.sleep(PAUSE)


def _apart(service: Service) -> None:
    """The loop on one core, who renders on another one."""
    assert service.serving.exporter is not None
    assert service.serving.exporter.pid is not None
    os.sched_setaffinity(service.serving.exporter.pid, _others())
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _others() -> set[int]:
    every = set(range(os.cpu_count() or 1))
    return every - {0} or every


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
