"""sFlow: an agent that samples what comes in by the ports and tells collectors, with the counters of the ports.

Samples are collected for at most DELAY, or until a datagram is full. The counters of the ports go out by turns, so that
each port has its turn once a polling interval and none of these turns holds the loop up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import ceil
from typing import TYPE_CHECKING, Final

from vswitch.control.api.models import CollectorRow, SflowModel
from vswitch.control.api.route import Route
from vswitch.control.sflow.sender import Sender
from vswitch.core.sampling import Sampler
from vswitch.observe.sflow import Batch, Origin, counters_sample, datagram, flow_sample

if TYPE_CHECKING:
    from collections.abc import Callable
    from ipaddress import IPv4Address, IPv6Address

    from aiohttp import web

    from vswitch.control.config.collectors import SflowConfig
    from vswitch.control.service import Service
    from vswitch.core.port import BridgePort
    from vswitch.core.sampling import Sample
    from vswitch.engine import Engine

DELAY: Final = 0.5
"""Seconds that a sample waits for others, at most; sFlow permits one second."""

SHORTEST, LONGEST = 0.02, 1.0
"""Seconds between two turns of counters."""

EPSILON: Final = 1e-9


class Source:
    """A port, and how many samples of each kind it gave."""

    __slots__ = ("counters", "flows", "ifindex", "port")

    def __init__(self, port: BridgePort, ifindex: int) -> None:
        """None yet."""
        self.port = port
        self.ifindex = ifindex
        self.flows = self.counters = 0


class Agent:
    """The agent of one switch. It does nothing until it is configured to."""

    def __init__(self, engine: Engine, random: Callable[[], float]) -> None:
        """random: numbers from 0 to 1, 1 excluded, that samples are chosen by."""
        self._engine = engine
        self._random = random
        self._began = engine.clock()
        self._config: SflowConfig | None = None
        self._senders: list[Sender] = []
        self._address: IPv4Address | IPv6Address | None = None
        self._batch = Batch(0)
        self._sequence = self._samples = self._counters = 0
        self._ifindex: dict[str, int] = {}
        self._sources: dict[str, Source] = {}
        self._due: deque[BridgePort] = deque()
        self._flushing: asyncio.TimerHandle | None = None
        self._polling: asyncio.TimerHandle | None = None

    def configure(self, config: SflowConfig | None) -> None:
        """Do as the configuration says from now on; sampling begins anew if it says something else than before."""
        if config == self._config:
            return
        self.close()
        self._config = config
        if config is None:
            return
        self._batch = Batch(config.datagram)
        self._address = config.agent
        self._senders = [Sender(collector) for collector in config.collector]
        for port in self._engine.switch.ports.values():
            self._source(port)
        if config.sampling:
            self._engine.sample(lambda: Sampler(config.sampling, self._random, self._take))
        if config.polling:
            loop = asyncio.get_running_loop()
            self._polling = loop.call_at(loop.time(), self._poll, loop.time(), config.polling)

    def close(self) -> None:
        """Send what waits, and stop."""
        if self._config is None:
            return
        self._engine.sample(None)
        self._flush()
        if self._polling is not None:
            self._polling.cancel()
        for sender in self._senders:
            sender.close()
        self._config, self._senders, self._polling = None, [], None
        self._sources.clear()
        self._due.clear()

    def state(self) -> SflowModel:
        """What it does."""
        config = self._config
        attached = self._engine.attached.values()
        return SflowModel(
            agent=str(self._address) if config and self._address else None,
            sampling=config.sampling if config else 0,
            polling=config.polling if config else 0.0,
            samples=self._samples,
            counters=self._counters,
            missed=sum(each.sampler.missed for each in attached if each.sampler),
            collectors=[
                CollectorRow(collector=str(s.collector), datagrams=s.datagrams, lost=s.lost, trouble=s.trouble)
                for s in self._senders
            ],
            ifindex={name: self._ifindex[name] for name in self._engine.switch.ports if name in self._ifindex},
        )

    # Samples

    def _take(self, sample: Sample) -> None:
        if (config := self._config) is None:
            return
        source = self._source(sample.frame.port)
        source.flows += 1
        self._samples += 1
        self._add(flow_sample(Origin(source.ifindex, source.flows), sample, config.header, self._index))

    def _poll(self, when: float, interval: float) -> None:
        """Send the counters of the ports whose turn it was at `when`, seconds of the loop's clock."""
        loop, ports = asyncio.get_running_loop(), self._engine.switch.ports.values()
        pause = min(max(interval / max(1, len(ports)), SHORTEST), LONGEST)
        for _ in range(ceil(len(ports) * pause / interval - EPSILON)):
            if not self._due:
                self._due.extend(ports)
            self._count(self._due.popleft())
        when = max(when, loop.time() - LONGEST) + pause  # no burst after the loop was held up
        self._polling = loop.call_at(when, self._poll, when, interval)

    def _count(self, port: BridgePort) -> None:
        if (attached := self._engine.attached.get(port.name)) is None or attached.bridge is not port:
            return  # it went meanwhile
        source = self._source(port)
        source.counters += 1
        self._counters += 1
        speed = getattr(attached.port.options, "speed", 0)
        self._add(counters_sample(Origin(source.ifindex, source.counters), port, speed))

    def _source(self, port: BridgePort) -> Source:
        """A port that comes again under its name has its old index, and counts anew, as its counters do."""
        if (source := self._sources.get(port.name)) is None or source.port is not port:
            source = self._sources[port.name] = Source(port, self._index(port))
        return source

    def _index(self, port: BridgePort) -> int:
        return self._ifindex.setdefault(port.name, len(self._ifindex) + 1)

    # Datagrams

    def _add(self, sample: bytes) -> None:
        if not self._batch.fits(sample):
            self._flush()
        self._batch.add(sample)
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().call_later(DELAY, self._flush)

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if not self._batch:
            return
        samples = self._batch.take()
        self._sequence += 1
        if self._address is None:
            found = (sender.local_address() for sender in self._senders)
            self._address = next((address for address in found if address is not None), None)
        if self._address is None:
            for sender in self._senders:
                sender.miss()
            return
        uptime = int((self._engine.clock() - self._began) * 1000)
        octets = datagram(self._address, 0, self._sequence, uptime, samples)
        for sender in self._senders:
            sender.send(octets)


async def _sflow(service: Service, _: web.Request) -> SflowModel:
    return service.sflow.state()


ROUTES = (
    Route("GET", "/v1/sflow", "What sFlow does: its collectors, what they got, and the ports", SflowModel, _sflow),
)
