"""The agent by itself: turns of many ports, and datagrams that no one takes."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from tests.sflowreader import read
from tests.unit.frames import BROADCAST, A, raw
from vswitch.control.config.collectors import SflowConfig
from vswitch.control.metrics.sflow import GROUP
from vswitch.control.sflow.agent import Agent
from vswitch.core.port import BridgePort
from vswitch.core.switch import Switch
from vswitch.engine import Engine
from vswitch.ports.memory import MemoryPort

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vswitch.control.service import Service


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


def config(ear: socket.socket, **more: object) -> SflowConfig:
    host, port = ear.getsockname()
    return SflowConfig.model_validate({"collector": f"{host}:{port}", "agent": "192.0.2.1", **more})


def heard(ear: socket.socket) -> Iterator[bytes]:
    try:
        while True:
            yield ear.recv(1 << 16)
    except BlockingIOError:
        return


class Turns(Agent):
    """Notes how many ports have their turn at once."""

    def _poll(self, when: float, interval: float) -> None:
        before = self._counters
        super()._poll(when, interval)
        self.turns = [*getattr(self, "turns", []), self._counters - before]


@pytest.mark.parametrize("count", [1, 7, 512])
def test_each_port_has_its_turn_once_an_interval_and_few_have_theirs_together(count: int, ear: socket.socket) -> None:
    async def run() -> Turns:
        engine = Engine(Switch(), busy_poll=0)
        for number in range(count):
            await engine.attach(BridgePort(f"p{number}"), MemoryPort())
        agent = Turns(engine, Random(1).random)
        agent.configure(config(ear, polling="1s", sampling=0))
        while agent._counters < 2 * count:
            await asyncio.sleep(0.01)
        agent.close()
        await engine.close()
        return agent

    agent = asyncio.run(run())
    sources = [each.source for octets in heard(ear) for each in read(octets).counters]
    assert sources[: 2 * count] == [*range(1, count + 1)] * 2, "in turn"
    share = -(-count // 50)  # 20 ms of a second
    assert max(agent.turns) <= share
    assert len(agent.turns) >= 2 * count // share


def test_an_interval_that_no_float_divides_gives_each_port_one_turn(ear: socket.socket) -> None:
    """25 times 7 / 25 is more than 7, in floats."""

    async def run() -> Turns:
        engine = Engine(Switch(), busy_poll=0)
        for number in range(25):
            await engine.attach(BridgePort(f"p{number}"), MemoryPort())
        agent = Turns(engine, Random(1).random)
        agent.configure(config(ear, polling="7s", sampling=0))
        while len(getattr(agent, "turns", ())) < 2:
            await asyncio.sleep(0.01)
        agent.close()
        await engine.close()
        return agent

    assert set(asyncio.run(run()).turns) == {1}


def test_a_datagram_goes_as_soon_as_it_is_full_and_soon_in_any_case(ear: socket.socket) -> None:
    async def run() -> tuple[list[bytes], list[bytes]]:
        engine = Engine(Switch(), busy_poll=0)
        await engine.attach(BridgePort("a"), MemoryPort())
        agent = Agent(engine, Random(1).random)
        agent.configure(config(ear, polling=0, sampling=1))
        for _ in range(100):
            engine.inject("a", raw(BROADCAST, A))
        at_once = list(heard(ear))
        later: list[bytes] = []
        while not later:
            await asyncio.sleep(0.01)
            later += heard(ear)
        engine.inject("a", raw(BROADCAST, A))
        agent.close()
        last = list(heard(ear))
        agent.configure(None)
        assert engine.attached["a"].sampler is None
        engine.inject("a", raw(BROADCAST, A))
        await engine.close()
        return at_once, later + last

    at_once, later = asyncio.run(run())
    assert all(1400 - 200 < len(octets) <= 1400 for octets in at_once)
    flows = [flow for octets in at_once + later for flow in read(octets).flows]
    assert [flow.sequence for flow in flows] == list(range(1, 102)), "the last one when it ended, and none after"
    assert Counter(flow.output for flow in flows) == {0x4000_0000 | 256: 101}


def told(agent: Agent) -> dict[str, float]:
    """What metrics say of it."""
    rows = list(GROUP.copy(cast("Service", SimpleNamespace(sflow=agent))))
    families = GROUP.families("x", rows)
    samples = [sample for family in families for sample in family.samples]
    return {" ".join((sample.name, *sample.labels.values())): sample.value for sample in samples}


def test_what_cannot_be_sent_is_counted_and_kept_nowhere() -> None:
    """To an address that the kernel refuses to send to: a broadcast one."""

    async def run() -> None:
        engine = Engine(Switch(), busy_poll=0)
        await engine.attach(BridgePort("a"), MemoryPort())
        agent = Agent(engine, Random(1).random)
        agent.configure(SflowConfig.model_validate({"collector": "255.255.255.255", "polling": 0, "sampling": 1}))
        for _ in range(1000):
            engine.inject("a", raw(BROADCAST, A))
        (row,) = agent.state().collectors
        assert row.datagrams == row.lost > 100
        assert row.trouble == "Permission denied"
        assert len(agent._batch._samples) < 20
        assert told(agent) == {
            "vswitch_sflow_samples_total x flow": 1000,
            "vswitch_sflow_samples_total x counters": 0,
            "vswitch_sflow_datagrams_total x 255.255.255.255:6343": row.datagrams,
            "vswitch_sflow_lost_datagrams_total x 255.255.255.255:6343": row.lost,
        }
        agent.configure(None)
        assert told(agent) == {}
        agent.close()
        await engine.close()

    asyncio.run(run())
