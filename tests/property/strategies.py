"""Ports, settings and frames at random, few enough of each that histories meet themselves again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.property.octets import IPV4, IPV6, OTHER, Octets
from vswitch.core.mac import BROADCAST, ZERO
from vswitch.core.mirror import Mirror
from vswitch.core.offload import PLAIN, Capability
from vswitch.core.port import PortSettings
from vswitch.core.vlan import PortVlan

if TYPE_CHECKING:
    from collections.abc import Sequence

STATIONS = tuple(bytes((2, 0, 0, 0, 0, last)) for last in range(1, 6))
MULTICAST = bytes.fromhex("01005e000005")
RESERVED = tuple(bytes.fromhex("0180c20000") + bytes((last,)) for last in (0, 1, 0x0B, 0x0D, 0x0E, 0x0F, 0x10))
VIDS = (1, 10, 20)

stations = st.sampled_from(STATIONS)
vids = st.sampled_from(VIDS)
vlans = vids.map(PortVlan.access) | st.builds(PortVlan.trunk, st.frozensets(vids), st.none() | vids)
options: st.SearchStrategy[dict[str, object]] = st.fixed_dictionaries(
    {}, optional={"isolated": st.booleans(), "reserved": st.sampled_from(("bridge", "provider", "wire"))}
)
port_settings = st.builds(PortSettings, vlans, options)
mtus = st.sampled_from((1500, 1500, 9000, 100))
capabilities = st.sampled_from((Capability.NONE, Capability.CSUM, Capability.TSO, Capability.ALL))

destinations = st.sampled_from((*STATIONS, *STATIONS, *STATIONS, BROADCAST, MULTICAST, *RESERVED, ZERO))
sources = st.sampled_from((*STATIONS, *STATIONS, *STATIONS, MULTICAST, ZERO))
tags = st.tuples(
    st.sampled_from((0x8100, 0x88A8)),
    st.builds(
        lambda vid, priority: priority << 12 | vid,
        st.sampled_from((*VIDS, *VIDS, 0, 0, 0, 30, 0xFFF)),
        st.integers(0, 15),
    ),
)


@st.composite
def frames(draw: st.DrawFn) -> Octets:
    """A frame that its sender means well: plain, with a partial checksum, or a superframe."""
    fields: dict[str, Any] = {"tags": tuple(draw(st.lists(tags, max_size=2)))}
    if draw(st.booleans()):
        length = draw(st.sampled_from((0, 30, 45, 46, 86, 87, 90, 104, 105, 1500, 1504, 1505)))
        fields |= {"ethertype": OTHER, "length": length}
    else:
        size = draw(st.sampled_from((None, 0, 8, 40, 100, 1448)))
        length = (size or 50) * draw(st.sampled_from((0, 1, 2, 5))) + draw(st.sampled_from((0, 1)))
        fields |= {"ethertype": draw(st.sampled_from((IPV4, IPV6))), "tcp": draw(st.booleans()), "size": size}
        fields |= {"extra": draw(st.integers(0, 2)), "length": length}
    return Octets(draw(destinations), draw(sources), **fields)


broken = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=100).map(lambda octets: PLAIN + octets),
    st.builds(lambda sent, cut: sent.raw[:cut], frames(), st.integers(0, 100)),
    st.builds(lambda sent, header: header + sent.frame, frames(), st.binary(min_size=10, max_size=10)),
)
"""What nobody means well."""

any_octets = st.integers(0, 7).flatmap(lambda luck: frames().map(lambda sent: sent.raw) if luck else broken)
"""Mostly frames."""


def mirrors(names: Sequence[str]) -> st.SearchStrategy[Mirror]:
    """A mirror among ports of these names."""
    some = st.frozensets(st.sampled_from(names), min_size=1, max_size=2)
    directions = st.sampled_from(((True, True), (True, False), (False, True)))
    return st.builds(
        lambda ports, vlans, way, to: Mirror("mirror", ports, vlans, way[0], way[1], to),
        st.none() | some | some,
        st.none() | st.none() | st.frozensets(vids, min_size=1),
        directions,
        st.sampled_from(names),
    )
