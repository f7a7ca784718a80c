"""A topology that is known to be right: what every switch and guest of a lab is, and where they are plugged in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vswitch.control.config.schema import SwitchConfig
    from vswitch.control.topology.models import GuestOptions


@dataclass(frozen=True)
class Plug:
    """A guest's interface, and the switch and port that it is plugged into."""

    interface: str
    switch: str
    port: str
    addresses: tuple[str, ...]
    mac: str


@dataclass(frozen=True)
class GuestConfig:
    """A guest: what it is, where it lives and where it is plugged in."""

    name: str
    netns: str
    options: GuestOptions
    plugs: tuple[Plug, ...]

    def addresses(self) -> list[str]:
        """Of all its interfaces, without prefix length."""
        return [address.partition("/")[0] for plug in self.plugs for address in plug.addresses]


@dataclass(frozen=True)
class End:
    """One end of a link: the node, its interface or port, and the port's options as they are written."""

    node: str
    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class LabConfig:
    """A whole topology, known to be right.

    switches, guests: by the names of the file; a link between two guests has a switch too, which is in `wires`.
    data: what it was made of, as JSON that `validate` takes again.
    """

    name: str
    switches: dict[str, SwitchConfig]
    guests: dict[str, GuestConfig]
    links: tuple[tuple[End, End], ...]
    wires: frozenset[str]
    data: Mapping[str, Any]

    def counts(self) -> str:
        """How much of everything there is, for people."""
        switches = len(self.switches) - len(self.wires)
        return f"{_many(len(self.guests), 'guest')}, {_many(switches, 'switch')}, {_many(len(self.links), 'link')}"


def _many(count: int, what: str) -> str:
    plural = f"{what}es" if what.endswith("ch") else f"{what}s"
    return f"{count} {what if count == 1 else plural}"
