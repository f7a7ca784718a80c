"""Whatever the configuration and whatever came before, an explanation changes nothing and comes true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.property.checks import receive_as_explained
from tests.property.strategies import any_octets, capabilities, mtus, port_settings, stations, vids
from vswitch.core.port import BridgePort, PortSettings
from vswitch.core.switch import Switch
from vswitch.stages import STAGES

if TYPE_CHECKING:
    from vswitch.core.offload import Capability

NAMES = ("a", "b", "c", "d", "e")


@dataclass(frozen=True)
class Described:
    """A port as it is to be."""

    settings: PortSettings
    mtu: int
    offload: Capability
    up: bool


described = st.builds(Described, port_settings, mtus, capabilities, st.sampled_from((True, True, True, False)))
statics = st.lists(st.tuples(vids, stations, st.integers(0, 4)), max_size=3)
history = st.lists(
    st.tuples(st.sampled_from((0.0, 0.0, 0.0, 9.0, 31.0)), st.integers(0, 4), any_octets),
    min_size=10,
    max_size=30,
)


@given(st.booleans(), st.integers(1, 5), st.lists(described, min_size=2, max_size=5), statics, history)
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_explanation_comes_true(
    vlan_filtering: bool,
    limit: int,
    ports: list[Described],
    tied: list[tuple[int, bytes, int]],
    happened: list[tuple[float, int, bytes]],
) -> None:
    switch = Switch((stage() for stage in STAGES), vlan_filtering=vlan_filtering, ageing=30.0, limit=limit)
    for name, port in zip(NAMES, ports, strict=False):
        switch.add_port(BridgePort(name, port.settings, port.mtu, port.offload))
        switch.set_port_state(switch.ports[name], up=port.up)
    bridges = tuple(switch.ports.values())
    for vid, mac, index in tied[:limit]:
        switch.fdb.add_static(vid, mac, bridges[index % len(bridges)], 0.0)
    now = 0.0
    for seconds, index, raw in happened:
        now += seconds
        verdict = receive_as_explained(switch, raw, bridges[index % len(bridges)], now)
        event(verdict.reason or "forwarded")
