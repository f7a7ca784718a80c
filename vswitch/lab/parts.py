"""Switches, ports, guests and links for a program that has no loop: described first, and once the lab is up, alive."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, TypeAlias

from vswitch.lab.capture import capture
from vswitch.lab.living import GuestNode
from vswitch.lab.nodes import LinkNode, PortNode, SwitchNode, impairment
from vswitch.lab.session import LabError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from vswitch.lab.capture import Capturing


class Switch(SwitchNode):
    """A switch of a lab."""

    def __init__(self, name: str, **options: Any) -> None:
        """options: of a switch in a topology, such as vlan_filtering=True."""
        super().__init__(name)
        self.options = options

    def port(self, name: str) -> Port:
        """Raises NotFoundError where there is none."""
        return Port(self.session, self.name, name)

    def capture(self, *ports: str, as_on_wire: bool = False) -> AbstractContextManager[Capturing]:
        """What passes at these ports, or at all, while the body of `with` runs."""
        return capture(ports, switch=self.control, as_on_wire=as_on_wire)


class Port(PortNode):
    """A port of a switch of a lab that is up."""

    def impair(
        self,
        *,
        out: Mapping[str, Any] | None = None,
        in_: Mapping[str, Any] | None = None,
        preset: str | None = None,
        seed: int | None = None,
    ) -> None:
        """Impair what goes to the guest (`out`), what comes from it (`in_`), or both by a preset.

        In the words of a configuration: out={"delay": "10ms", "loss": "1%"}. What is said takes the place of what was;
        a direction that is not mentioned stays. Raises ConfigError.
        """
        self.session.do(self._impair(impairment(preset, seed, in_, out)))

    def clear(self) -> None:
        """Impair it no more; what is on its way arrives at once."""
        self.session.do(self._clear())

    def capture(self, *, as_on_wire: bool = False) -> AbstractContextManager[Capturing]:
        """What passes there while the body of `with` runs."""
        return capture(self.name, switch=self.control, as_on_wire=as_on_wire)


class Guest(GuestNode):
    """A guest of a lab."""

    def __init__(self, name: str, *, switch: str | Switch | None = None, **options: Any) -> None:
        """switch: where it is plugged in, unless a link says so.  options: of a guest in a topology: address, …"""
        super().__init__(name)
        self.options = options if switch is None else {"switch": _name(switch), **options}

    @property
    def ports(self) -> list[Port]:
        """The port of each of its interfaces."""
        return [Port(self.session, *place) for place in self.places]

    def run(
        self,
        command: Sequence[str] | str,
        *,
        check: bool = True,
        timeout: float | None = None,
        input: str | None = None,  # noqa: A002
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program there to its end, as subprocess.run with capture_output and text; a string goes to the shell.

        Raises CalledProcessError with the output where it fails, unless check=False; TimeoutExpired after `timeout`
        seconds; OSError where there is no such program.
        """
        return self._run(command, check=check, timeout=timeout, given=input, options=options)

    def ping(self, other: GuestNode | str, timeout: float = 5.0) -> float | None:
        """Seconds that one ICMP echo took to another guest or an address, ARP included; None: no answer in time."""
        return self._ping(other, timeout)


class Link(LinkNode):
    """A link of a lab."""

    def __init__(
        self,
        one: str | Mapping[str, Any] | Switch | Guest,
        other: str | Mapping[str, Any] | Switch | Guest,
        **options: Any,
    ) -> None:
        """The ends: a switch or a guest, "GUEST:INTERFACE", or a mapping as in a topology, {"node": "s1", …}.

        options: of the end named first, such as impair={"out": {"delay": "10ms"}}: `out` is what leaves by it.
        """
        super().__init__(_name(one), _name(other), options)

    @property
    def ports(self) -> list[Port]:
        """The port at each end, that of the end named first first; one alone where a guest is plugged in."""
        return [Port(self.session, *place) for place in self._places()]

    def impair(
        self,
        *,
        out: Mapping[str, Any] | None = None,
        in_: Mapping[str, Any] | None = None,
        preset: str | None = None,
        seed: int | None = None,
    ) -> None:
        """Impair the port of the end named first, as `Port.impair` does: `out` is what leaves by it."""
        self.ports[0].impair(out=out, in_=in_, preset=preset, seed=seed)

    def clear(self) -> None:
        """Impair it no more, at either end."""
        for port in self.ports:
            port.clear()


Part: TypeAlias = Switch | Guest | Link


def with_parts(data: Mapping[str, Any], new: Iterable[Part]) -> dict[str, Any]:
    """A topology that has these, too. Raises LabError for what is no part, or goes by the name of another."""
    found = copy.deepcopy(dict(data))
    for part in new:
        if isinstance(part, Link):
            found.setdefault("links", []).append({"ends": list(part.ends), **part.options})
            continue
        if not isinstance(part, (Switch, Guest)):
            raise LabError(f"{part!r} is neither a Switch, nor a Guest, nor a Link")
        section = found.setdefault("guests" if isinstance(part, Guest) else "switches", {})
        if part.name in section:
            raise LabError(f"there is a {'guest' if isinstance(part, Guest) else 'switch'} {part.name} already")
        section[part.name] = part.options
    return found


def _name(part: SwitchNode | GuestNode | Mapping[str, Any] | str) -> Any:
    return part.name if isinstance(part, (SwitchNode, GuestNode)) else part
