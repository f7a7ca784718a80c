"""Mirrors: copies of what passes watched ports, for whoever is behind one port more (SPAN).

The copies are egresses of the verdict, so that the flow cache keeps them as it keeps the others. They never decide of
the frame itself: what a mirror's destination cannot take is lost there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from vswitch.core.size import oversize
from vswitch.core.verdict import Egress, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vswitch.core.frame import Frame, TagEdit
    from vswitch.core.port import BridgePort


@dataclass(frozen=True, slots=True)
class Mirror:
    """What a configuration says of a mirror.

    ports, vlans: what it watches, by name and by VID; None is all there are. With both, the ports in those VLANs.
    received, sent: whether it copies what comes in by those ports, as it came, and what leaves by them, as it leaves.
    to: the name of the port that the copies leave by.
    """

    name: str
    ports: frozenset[str] | None
    vlans: frozenset[int] | None
    received: bool
    sent: bool
    to: str


class Watch(NamedTuple):
    """A mirror whose ports were found: those watched in either direction, and the one that copies leave by."""

    name: str
    received: frozenset[BridgePort]
    sent: frozenset[BridgePort]
    vlans: frozenset[int] | None
    to: BridgePort


def watches(mirrors: Sequence[Mirror], ports: Mapping[str, BridgePort]) -> tuple[Watch, ...]:
    """The mirrors that have a destination now. Tells each port whether it is one: none of those is watched."""
    destinations = {mirror.to for mirror in mirrors}
    for name, port in ports.items():
        port.takes_copies = name in destinations
    return tuple(_watch(mirror, ports) for mirror in mirrors if mirror.to in ports)


def _watch(mirror: Mirror, ports: Mapping[str, BridgePort]) -> Watch:
    watched = frozenset(
        port for name, port in ports.items() if not port.takes_copies and (mirror.ports is None or name in mirror.ports)
    )
    return Watch(
        mirror.name,
        watched if mirror.received else frozenset(),
        watched if mirror.sent else frozenset(),
        mirror.vlans,
        ports[mirror.to],
    )


def copies(
    watching: Iterable[Watch], frame: Frame, egress: Iterable[Egress], *, received: bool = True
) -> Iterator[tuple[Watch, Egress]]:
    """What the mirrors send of a frame that leaves by `egress`, or by no port.

    One copy as it came, unless it was `received` before, and one in each form that it leaves in. A frame that no VLAN
    took in is in none.
    """
    for watch in watching:
        if watch.vlans is not None and frame.vid not in watch.vlans:
            continue
        if received and frame.port in watch.received:
            yield watch, Egress(watch.to, frame, None)
        forms: dict[tuple[int, TagEdit | None], Egress] = {}
        for port, form, edit in egress:
            if port in watch.sent:
                forms.setdefault((id(form), edit), Egress(watch.to, form, edit))
        for each in forms.values():
            yield watch, each


def loss(frame: Frame, port: BridgePort) -> Reason | None:
    """Why a copy cannot leave by its mirror's destination, as it is now; None: it can."""
    if not port.up:
        return Reason.PORT_DOWN
    return Reason.OVERSIZE if oversize(frame, port) else None


def lost(frame: Frame, port: BridgePort) -> bool:
    """Whether a copy is lost at its mirror's destination, where that counts."""
    reason = loss(frame, port)
    if reason is not None:
        port.counters.drop(reason, frame.segments)
    return reason is not None
