"""`/metrics`: what Prometheus reads. Integers are copied on the loop when somebody asks, and rendered off it.

Names and labels are a promise to dashboards: they grow by addition. No MAC address is ever a label.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder

from vswitch import __version__
from vswitch.control import impairmetrics
from vswitch.core.stats import CASTS
from vswitch.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

    from vswitch.control.models import PortRow, Snapshot
    from vswitch.units import ListenAddress


class SwitchCollector:
    """The metrics of one moment, as `prometheus_client` wants them."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Of this moment."""
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Every family, in the order of the documentation."""
        yield from self._traffic()
        yield from self._state()
        yield from self._fdb()
        yield from impairmetrics.families(self._snapshot)
        yield InfoMetricFamily(
            "vswitch_build",
            "Version and fast path of the switch",
            {"version": __version__, "fastpath": self._snapshot.fastpath},
        )

    def _ports(self) -> Iterator[tuple[list[str], PortRow]]:
        for row in self._snapshot.ports:
            yield [self._snapshot.switch, row.port], row

    def _traffic(self) -> Iterator[Metric]:
        for direction in ("receive", "transmit"):
            octets = CounterMetricFamily(
                f"vswitch_port_{direction}_bytes", f"Bytes the port did {direction}, without FCS", labels=_PORT
            )
            frames = CounterMetricFamily(
                f"vswitch_port_{direction}_frames", f"Frames the port did {direction}", labels=[*_PORT, "cast"]
            )
            for labels, row in self._ports():
                traffic = getattr(row, direction)
                octets.add_metric(labels, traffic.bytes)
                for cast in CASTS:
                    frames.add_metric([*labels, cast], getattr(traffic, cast))
            yield octets
            yield frames
        dropped = CounterMetricFamily(
            "vswitch_port_dropped_frames", "Frames lost at the port, by reason", labels=[*_PORT, "reason"]
        )
        for labels, row in self._ports():
            for reason, count in row.dropped.items():
                dropped.add_metric([*labels, reason], count)
        yield dropped

    def _state(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("vswitch_port_up", "Whether frames may pass the port", labels=_PORT)
        for labels, row in self._ports():
            up.add_metric(labels, row.state == "up")
        yield up
        changes = CounterMetricFamily("vswitch_port_state_changes", "Times the port came up or went down", labels=_PORT)
        for labels, row in self._ports():
            changes.add_metric(labels, row.state_changes)
        yield changes

    def _fdb(self) -> Iterator[Metric]:
        switch = self._snapshot.switch
        entries = GaugeMetricFamily(
            "vswitch_fdb_entries", "Stations known, learned and static", labels=["switch", "vlan"]
        )
        for vlan, count in sorted(self._snapshot.fdb_entries.items()):
            entries.add_metric([switch, str(vlan)], count)
        yield entries
        moves = CounterMetricFamily("vswitch_fdb_moves", "Stations that moved to another port", labels=["switch"])
        moves.add_metric([switch], self._snapshot.fdb_moves)
        yield moves
        flaps = CounterMetricFamily(
            "vswitch_fdb_flaps", "Episodes in which a station moved to and fro", labels=["switch"]
        )
        flaps.add_metric([switch], self._snapshot.fdb_flaps)
        yield flaps


_PORT = ["switch", "port"]


class Exporter:
    """Serves `/metrics` on one address."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        """snapshot: copies the counters, on the loop."""
        self._snapshot = snapshot
        self._runner: web.AppRunner | None = None
        self.address: ListenAddress | None = None
        self._worker = Worker("vswitch-metrics")

    async def listen(self, address: ListenAddress) -> None:
        """Start to serve. Raises OSError where the address is taken."""
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await web.SockSite(runner, _server(address)).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self.address = address

    async def close(self) -> None:
        """Serve no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        collector = SwitchCollector(self._snapshot())
        body = await self._worker.run(partial(encode, collector))
        return web.Response(body=body, headers={"Content-Type": content_type})


def _server(address: ListenAddress) -> socket.socket:
    """A listening socket. The loop would look the address up in threads that then stay. Raises OSError."""
    everywhere = not address.host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if everywhere or ":" in address.host else socket.AF_INET
    return socket.create_server(tuple(address), family=family, dualstack_ipv6=everywhere)
