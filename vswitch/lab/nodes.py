"""What a lab is made of, as a program has it once the lab runs: switches, ports, guests and links.

All of it answers from any thread. What waits for the lab to change, or for packets, has two faces: see `python` and
`awaitable`.
"""

from __future__ import annotations

import os
import subprocess
import threading
from abc import ABC, abstractmethod
from ipaddress import ip_address
from socket import AF_INET, SOCK_STREAM
from typing import TYPE_CHECKING, Any, Final, TypeVar

from vswitch.control.explain import recent
from vswitch.control.models import ExplanationModel
from vswitch.core.explain import explain
from vswitch.core.offload import PLAIN
from vswitch.lab import guest as driven
from vswitch.lab.entering import Quarters
from vswitch.lab.home import SHELL
from vswitch.lab.session import LabError
from vswitch.ports.base import PortError
from vswitch.stages.impair import OPTION

if TYPE_CHECKING:
    import socket as sockets
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from vswitch.control.explain import RecentModel
    from vswitch.control.history import HistoryRow
    from vswitch.control.layout import GuestConfig
    from vswitch.control.models import FdbRowModel, PortRow, VlanRow
    from vswitch.control.service import Service
    from vswitch.lab.session import Session

T = TypeVar("T")

LAST_WORDS: Final = 2000
"""Characters of what a program said that a failure shows."""


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
            impair = {} if said.get("preset") else data["ports"][self.name].get(OPTION) or {}
            data["ports"][self.name][OPTION] = {
                **impair,
                **{key: value for key, value in said.items() if value is not None},
            }

    async def _clear(self) -> None:
        await self._service.set_port(self.name, {OPTION: None})


class GuestNode(Node):
    """One guest of a lab."""

    def __init__(self, name: str) -> None:
        """name: as in the topology."""
        self.name = name

    def __repr__(self) -> str:
        """Whichever face it has."""
        return f"<guest {self.name}>"

    @property
    def _config(self) -> GuestConfig:
        return self.session.guest(self.name)

    @property
    def addresses(self) -> list[str]:
        """Of all its interfaces, without prefix length."""
        return self._config.addresses()

    @property
    def interfaces(self) -> dict[str, str]:
        """Its interfaces, and the MAC address of each."""
        return {plug.interface: plug.mac for plug in self._config.plugs}

    @property
    def places(self) -> list[tuple[str, str]]:
        """Switch and port of each of its interfaces."""
        return [(plug.switch, plug.port) for plug in self._config.plugs]

    @property
    def netns(self) -> str:
        """The name of its namespace, as `ip netns` has it."""
        return self._config.netns

    @property
    def log(self) -> Path:
        """What the commands of its `setup` and `run` say."""
        return self.session.running.place.log(self.name)

    def popen(self, command: Sequence[str] | str, **options: Any) -> subprocess.Popen[Any]:
        """Start a program there; a string is a line for the shell. options: of subprocess.Popen.

        It ends with the lab at the latest. Raises OSError, or LabError for a virtual machine.
        """
        config = self._config
        if config.options.qemu is not None:
            raise LabError(f"{self.name} is a virtual machine: what runs inside is its own affair")
        session = self.session
        words = [*SHELL, command] if isinstance(command, str) else list(command)
        environment = {**(options.pop("env", None) or os.environ), **config.options.environment}
        quarters = Quarters(self.name, config.netns, session.running.place.hosts)

        def start() -> subprocess.Popen[Any]:
            quarters.enter()
            return subprocess.Popen(words, env=environment, **options)

        process = _elsewhere(start)
        session.keep(process)
        return process

    def socket(self, family: int = AF_INET, kind: int = SOCK_STREAM, protocol: int = 0) -> sockets.socket:
        """A socket of this guest, which the program uses as its own. It is closed with the lab at the latest."""
        made = driven.Guest(self.netns).open_socket(family, kind, protocol)
        self.session.keep(made)
        return made

    def wire(self, interface: str = "eth0") -> sockets.socket:
        """A packet socket on an interface: whole frames out, and in."""
        made = driven.Guest(self.netns).wire(interface)
        self.session.keep(made)
        return made

    def _ping(self, other: GuestNode | str, timeout: float) -> float | None:
        return driven.Guest(self.netns).ping(self._address(other), timeout=timeout)

    def _address(self, other: GuestNode | str) -> str:
        """Of another guest: the first of a family that this one has, too. Raises LabError."""
        if isinstance(other, str) and _is_address(other):
            return other
        name = other if isinstance(other, str) else other.name
        mine = {ip_address(address).version for address in self.addresses}
        for address in self.session.guest(name).addresses():
            if ip_address(address).version in mine:
                return address
        raise LabError(f"{self.name} and {name} have no addresses of one family")

    def _run(
        self,
        command: Sequence[str] | str,
        *,
        check: bool,
        timeout: float | None,
        given: str | None,
        options: Mapping[str, Any],
    ) -> subprocess.CompletedProcess[str]:
        """As subprocess.run does it."""
        stdin = subprocess.DEVNULL if given is None else subprocess.PIPE
        pipe = subprocess.PIPE
        with self.popen(command, stdin=stdin, stdout=pipe, stderr=pipe, text=True, **options) as process:
            try:
                out, errors = process.communicate(given, timeout)
            except BaseException:
                process.kill()
                raise
        if check and process.returncode:
            error = subprocess.CalledProcessError(process.returncode, command, out, errors)
            error.add_note(f"in guest {self.name}: {(errors or out)[-LAST_WORDS:].strip() or 'it said nothing'}")
            raise error
        return subprocess.CompletedProcess(command, process.returncode, out, errors)


class LinkNode(Node):
    """A link of a lab: between switches, between guests, or between a guest and its switch."""

    def __init__(self, one: Mapping[str, Any] | str, other: Mapping[str, Any] | str) -> None:
        """The ends, as in the topology: NODE, GUEST:INTERFACE, SWITCH:PORT, or a mapping with `node`."""
        self.ends = one, other

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
    return {"preset": preset, "seed": seed, "in": received, "out": sent}


def _node(end: Mapping[str, Any] | str) -> str:
    return end if isinstance(end, str) else str(end.get("node"))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _elsewhere(work: Callable[[], T]) -> T:
    """Do this in a thread of its own, whose namespaces end with it. Raises what it raises."""
    made: list[T] = []
    failed: list[Exception] = []

    def run() -> None:
        try:
            made.append(work())
        except (OSError, PortError, ValueError, TypeError) as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for error in failed:
        raise error
    return made[0]
