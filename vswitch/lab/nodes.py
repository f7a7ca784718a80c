"""What a lab is made of, as a program has it once the lab runs: switches, ports, guests and links.

All of it answers from any thread. What waits for the lab to change, or for packets, has two faces: see `python` and
`awaitable`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from vswitch.control.api.explain import recent
from vswitch.control.api.models import ExplanationModel
from vswitch.control.config.impairamend import amended
from vswitch.core.explain import explain
from vswitch.core.offload import PLAIN
from vswitch.lab.session import LabError
from vswitch.stages.impair import OPTION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from vswitch.control.api.explain import RecentModel
    from vswitch.control.api.history import HistoryRow
    from vswitch.control.api.models import FdbRowModel, PortRow, VlanRow
    from vswitch.control.service import Service
    from vswitch.lab.session import Session

T = TypeVar("T")


class Node:
    """A part of a lab; what needs the lab to run says so where it does not."""

    _session: Session | None = None

    @property
    def session(self) -> Session:
        """The lab that it is in. Raises LabError where that does not run."""
        if self._session is None:
            raise LabError(f"{self!r} is in no lab that runs: put it into one, and bring that up")
        return self._session


class Questions(ABC):
    """What a switch says of itself."""

    @property
    @abstractmethod
    def _service(self) -> Service:
        """The switch, asked on its loop alone."""

    @abstractmethod
    def _ask(self, question: Callable[[], T]) -> T:
        """The answer to a question, from its loop."""

    def ports(self) -> dict[str, PortRow]:
        """`show ports`, by name."""
        return {row.port: row for row in self._ask(self._service.ports)}

    def fdb(self) -> list[FdbRowModel]:
        """`show fdb`."""
        return self._ask(self._service.fdb)

    def vlans(self) -> list[VlanRow]:
        """`show vlans`."""
        return self._ask(self._service.vlans)

    def history(self) -> list[HistoryRow]:
        """`show history`."""
        return self._ask(self._service.chronicle.rows)

    def explain(self, port: str, frame: Any) -> ExplanationModel:
        """What would happen to a frame that came in by `port`: octets, or a packet of scapy. Raises NotFoundError."""
        service, octets = self._service, bytes(frame)

        def answer() -> ExplanationModel:
            bridge = service.bridge(port)
            return ExplanationModel.of(port, explain(service.switch, PLAIN + octets, bridge, service.engine.clock()))

        return self._ask(answer)

    def last(self, count: int = 10, *, port: str | None = None, drops: bool = False) -> list[RecentModel]:
        """What became of the last frames, as `explain --last` says it. Raises NotFoundError."""
        service = self._service
        return self._ask(lambda: recent(service, count, port=port, drops=drops))


class SwitchNode(Questions, Node):
    """One switch of a lab."""

    def __init__(self, name: str) -> None:
        """name: as in the topology."""
        self.name = name

    def __repr__(self) -> str:
        """Whichever face it has."""
        return f"<switch {self.name}>"

    @property
    def _service(self) -> Service:
        return self.session.service(self.name)

    def _ask(self, question: Callable[[], T]) -> T:
        return self.session.ask(question)

    @property
    def control(self) -> Path:
        """Its control socket: what `vswitch --control` and `capture(switch=…)` take."""
        return self._service.config.control_path


class PortNode(Node):
    """One port of a switch of a lab."""

    def __init__(self, session: Session, switch: str, name: str) -> None:
        """Raises NotFoundError where there is no such port, LabError where there is no such switch."""
        self._session = session
        self.switch = switch
        self.name = name
        self._service.bridge(name)

    def __repr__(self) -> str:
        """Whichever face it has."""
        return f"<port {self.name} of {self.switch}>"

    @property
    def _service(self) -> Service:
        return self.session.service(self.switch)

    @property
    def control(self) -> Path:
        """The control socket of its switch."""
        return self._service.config.control_path

    def row(self) -> PortRow:
        """As `show ports` has it, the impairment and what it achieved included."""
        return self.session.ask(lambda: self._service.port(self.name))

    async def _impair(self, said: Mapping[str, Any]) -> None:
        """What is said takes the place of what was; a direction that is not mentioned stays."""
        service = self._service
        async with service.editing() as data:
            service.bridge(self.name)
            data["ports"][self.name][OPTION] = amended(service.config.ports[self.name].impair, said)

    async def _clear(self) -> None:
        await self._service.set_port(self.name, {OPTION: None})


class LinkNode(Node):
    """A link of a lab: between switches, between guests, or between a guest and its switch."""

    def __init__(
        self, one: Mapping[str, Any] | str, other: Mapping[str, Any] | str, options: Mapping[str, Any] | None = None
    ) -> None:
        """The ends, as in the topology: NODE, GUEST:INTERFACE, SWITCH:PORT, or a mapping with `node`."""
        self.ends = one, other
        self.options = dict(options or {})

    def __repr__(self) -> str:
        """Whichever face it has."""
        return f"<link from {_node(self.ends[0])} to {_node(self.ends[1])}>"

    def _places(self) -> list[tuple[str, str]]:
        """Switch and port at each end, that of the end named first first; one alone where a guest is plugged in.

        Raises LabError where there is no such link, or more than one.
        """
        wanted = [_node(end) for end in self.ends]
        found = [
            list(dict.fromkeys(self._place(*end) for end in ends))
            for link in self.session.config.links
            for ends in (
                [[(end.node, end.name) for end in turned] for turned in (link, link[::-1])
                 if all(want in (end.node, f"{end.node}:{end.name}") for want, end in zip(wanted, turned, strict=True))]
            )
        ]  # fmt: skip
        if len(found) != 1:
            known = ", ".join(
                " to ".join(f"{end.node}:{end.name}" for end in link) for link in self.session.config.links
            )
            many = "no link" if not found else f"{len(found)} links"
            raise LabError(f"there is {many} from {wanted[0]} to {wanted[1]}; there are {known or 'none'}")
        return found[0]

    def _place(self, node: str, name: str) -> tuple[str, str]:
        guest = self.session.config.guests.get(node)
        if guest is None:
            return node, name
        plug = next(plug for plug in guest.plugs if plug.interface == name)
        return plug.switch, plug.port


def impairment(preset: str | None, seed: int | None, received: object, sent: object) -> dict[str, Any]:
    """What was said of an impairment, in the words of a configuration."""
    said = {"preset": preset, "seed": seed, "in": received, "out": sent}
    return {key: value for key, value in said.items() if value is not None}


def _node(end: Mapping[str, Any] | str) -> str:
    return end if isinstance(end, str) else str(end.get("node"))
