"""The engine against the core that it drives: bursts, buffers that are reused, and all that it remembers of a flow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.conformance.comparison import SCALE, SEED
from tests.conformance.frames import batches
from tests.conformance.ours import Ours
from tests.conformance.settings import PORTS, VLAN_PORTS
from vswitch.core.offload import HEADER
from vswitch.core.port import BridgePort
from vswitch.core.switch import Switch
from vswitch.core.verdict import Reason
from vswitch.engine import Engine
from vswitch.ports.memory import MemoryPort
from vswitch.stages import STAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conformance.frames import Sent
    from vswitch.core.port import PortSettings

FRAMES = 50_000


@pytest.mark.parametrize("vlan_filtering", [False, True])
def test_same_frames_as_the_core(vlan_filtering: bool) -> None:
    asyncio.run(same_frames_as_the_core(vlan_filtering))


async def same_frames_as_the_core(vlan_filtering: bool) -> None:
    settings = VLAN_PORTS if vlan_filtering else PORTS
    ours = Ours(settings, vlan_filtering=vlan_filtering)
    other = Driven(Switch((stage() for stage in STAGES), vlan_filtering=vlan_filtering))
    try:
        await other.attach(settings)
        for batch in batches(SEED, int(FRAMES * SCALE), ours.ports):
            expected: list[list[bytes]] = [[] for _ in settings]
            for sent in batch:
                for port, octets in ours.relay(sent):
                    expected[port].append(octets)
            assert await other.exchange(batch) == expected, f"seed {SEED}, one burst of {batch}"
    finally:
        await other.engine.close()


class Driven:
    """A switch that an engine runs, with a guest in memory on each port."""

    def __init__(self, switch: Switch) -> None:
        self.engine = Engine(switch)
        self._ports: list[BridgePort] = []
        self._guests: list[MemoryPort] = []
        self._injected: list[int] = []

    async def attach(self, settings: Sequence[PortSettings]) -> None:
        """Add the ports."""
        for number, each in enumerate(settings):
            port, guest = BridgePort(str(number), each), MemoryPort()
            await self.engine.attach(port, guest)
            self._ports.append(port)
            self._guests.append(guest)
            self._injected.append(0)

    async def exchange(self, batch: Sequence[Sent]) -> list[list[bytes]]:
        """Send the frames into one port in one burst; what left by each port, in order."""
        ingress = batch[0].port
        self._guests[ingress].inject(*(sent.octets for sent in batch))
        self._injected[ingress] += len(batch)
        counters = self._ports[ingress].counters
        while sum(counters.receive.frames) + counters.dropped[Reason.RUNT] < self._injected[ingress]:
            await asyncio.sleep(0)
        left = [[raw[HEADER:] for raw in guest.sent] for guest in self._guests]
        for guest in self._guests:
            guest.sent.clear()
        return left
