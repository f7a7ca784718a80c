"""Our switch, in memory: the core and every stage, as the engine puts them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tests.conformance.frames import VIDS
from vswitch.core.explain import explain
from vswitch.core.offload import HEADER
from vswitch.core.port import DEFAULT_MTU, BridgePort
from vswitch.core.switch import Switch
from vswitch.stages import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.conformance.frames import Sent
    from vswitch.core.port import PortSettings
    from vswitch.core.verdict import Egress as CoreEgress

Egress = tuple[tuple[int, bytes], ...]
"""What left by which port, in the order of the ports; a duplicate would stand there twice."""

_TICK = 1e-6  # seconds between two frames, as far as ageing goes
_NO_OFFLOAD = bytes(HEADER)


class Outcome(NamedTuple):
    """What a frame led to: what left, and where its source is known to be afterwards, per VLAN."""

    egress: Egress
    places: tuple[int | None, ...]


class Ours:
    """The switch with ports numbered like the guests."""

    def __init__(self, ports: Sequence[PortSettings], *, vlan_filtering: bool, mtu: int = DEFAULT_MTU) -> None:
        """Ports with these settings and this MTU, up and without offload."""
        self.switch = Switch((stage() for stage in STAGES), vlan_filtering=vlan_filtering)
        self._ports = [BridgePort(str(number), settings, mtu) for number, settings in enumerate(ports)]
        self.ports = len(self._ports)
        self._now = 0.0
        for port in self._ports:
            self.switch.add_port(port)

    def relay(self, sent: Sent) -> Egress:
        """Let the frame in; what leaves."""
        self._now += _TICK
        verdict = self.switch.receive_raw(_NO_OFFLOAD + sent.octets, self._ports[sent.port], self._now)
        return _frames(verdict.egress)

    def foresee(self, sent: Sent) -> Outcome:
        """What `relay` would lead to, changing nothing."""
        port = self._ports[sent.port]
        explanation = explain(self.switch, _NO_OFFLOAD + sent.octets, port, self._now)
        places = self.places(sent)
        if any(step.rule == "learning" for step in explanation.steps):
            places = tuple(sent.port if vid == explanation.vid else old for vid, old in zip(VIDS, places, strict=True))
        return Outcome(_frames(explanation.egress), places)

    def places(self, sent: Sent) -> tuple[int | None, ...]:
        """The ports that the frame's source is behind, one for each VLAN that is in use."""
        found = (self.switch.fdb.lookup(vid, sent.source, self._now) for vid in VIDS)
        return tuple(None if port is None else int(port.name) for port in found)


def _frames(leaving: Iterable[CoreEgress]) -> Egress:
    """The frames without their virtio-net header, in which there is nothing to say."""
    forms = [(int(port.name), bytes(form)) for port, frame, edit in leaving for form in frame.form(edit, port.offload)]
    assert all(form[:HEADER] == _NO_OFFLOAD for _, form in forms)
    return tuple(sorted((number, form[HEADER:]) for number, form in forms))
