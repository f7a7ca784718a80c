"""Guests of a lab that is up, as a program has them: addresses, programs that run there, sockets."""

from __future__ import annotations

import os
import subprocess
import threading
from ipaddress import ip_address
from socket import AF_INET, SOCK_STREAM
from typing import TYPE_CHECKING, Any, Final, TypeVar

from vswitch.lab import guest as driven
from vswitch.lab.entering import Quarters
from vswitch.lab.home import SHELL
from vswitch.lab.nodes import Node
from vswitch.lab.session import LabError
from vswitch.ports.base import PortError

if TYPE_CHECKING:
    import socket as sockets
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from vswitch.control.topology.layout import GuestConfig

T = TypeVar("T")

LAST_WORDS: Final = 2000
"""Characters of what a program said that a failure shows."""


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
    def _namespaced(self) -> GuestConfig:
        """The same for what is done inside. Raises LabError for a virtual machine."""
        config = self._config
        if config.options.qemu is not None:
            raise LabError(f"{self.name} is a virtual machine: what runs inside is its own affair")
        return config

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
        config = self._namespaced
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
        made = driven.Guest(self._namespaced.netns).open_socket(family, kind, protocol)
        self.session.keep(made)
        return made

    def wire(self, interface: str = "eth0") -> sockets.socket:
        """A packet socket on an interface: whole frames out, and in."""
        made = driven.Guest(self._namespaced.netns).wire(interface)
        self.session.keep(made)
        return made

    def _ping(self, other: GuestNode | str, timeout: float) -> float | None:
        return driven.Guest(self._namespaced.netns).ping(self._address(other), timeout=timeout)

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
