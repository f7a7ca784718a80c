"""What it takes to run a switch on real TAPs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.running import Running, need_taps, unique
from vswitch.lab.guest import Guest
from vswitch.ports import netns
from vswitch.ports.host import Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any


@pytest.fixture(autouse=True)
def powers() -> None:
    """Nothing here runs without TAPs."""
    need_taps()


class Lab:
    """Guests of one switch by the names of their ports; devices and namespaces have names no other test has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tag = unique("v")
        self.running: list[Running] = []

    def name(self, port: str) -> str:
        """The device and the namespace of a port."""
        return f"{self.tag}{port}"

    def tap(self, port: str, **options: Any) -> dict[str, Any]:
        """A port with a guest."""
        return {"tap": self.name(port), "netns": self.name(port), **options}

    def config(self, ports: dict[str, dict[str, Any]], **options: Any) -> dict[str, Any]:
        """A configuration."""
        return {"name": self.tag, **options, "ports": {port: self.tap(port, **more) for port, more in ports.items()}}

    def start(self, ports: dict[str, dict[str, Any]], **options: Any) -> Running:
        """A running switch with a guest on each port."""
        running = Running(self.folder, self.config(ports, **options))
        self.running.append(running)
        running.start()
        return running

    def guest(self, port: str) -> Guest:
        """Who is behind a port."""
        return Guest(self.name(port))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Switches and guests that are gone after the test."""
    lab = Lab(tmp_path)
    yield lab
    for running in lab.running:
        running.__exit__()


@pytest.fixture
def three(lab: Lab) -> Callable[..., Running]:
    """Start three guests on one VLAN, the first configuration of all."""

    def start(**options: Any) -> Running:
        addresses = {port: [f"10.88.0.{n}/24", f"fd88::{n}/64"] for n, port in enumerate("abc", 1)}
        return lab.start({port: {"address": address} for port, address in addresses.items()}, **options)

    return start


@pytest.fixture
def fresh() -> Iterator[Callable[[], str]]:
    """Names for namespaces that no other test has; what has such a name is removed after."""
    given: list[str] = []

    def name() -> str:
        given.append(unique("v"))
        return given[-1]

    yield name
    for used in given:
        netns.remove(used)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host with a ledger of its own."""
    return Host(tmp_path / "switch.ledger")
