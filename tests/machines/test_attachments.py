"""Real machines under QEMU, through every kind of attachment, to each other and to a guest in a namespace.

Two machines have a network card for each kind, each kind in a VLAN of its own; one has offloads, the other has none.
"""

from __future__ import annotations

import os
import shlex
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyroute2 import IPRoute

from tests.machines import traffic
from tests.machines.machine import Machine, device, hardware
from tests.running import VSWITCH, Running, unique, until
from vswitch.lab import rootless
from vswitch.lab.guest import Guest
from vswitch.ports import tun

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.program("qemu-system-x86_64", "busybox", "apt-get", "dpkg-deb"),
    pytest.mark.skipif(rootless.needed(), reason="needs root"),
]

KINDS = ("stream", "called", "inet", "dgram", "tap", "handed", "exec", "vde")
NUMBERS = {"a": 1, "b": 2}
SIDES = tuple(NUMBERS)


class Lab:
    """The switch, the machines, and a namespace with an interface in each VLAN."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tag = unique("m")
        self.guest = Guest(self.tag)
        self.taps: dict[str, int] = {}
        self.handed: dict[str, socket.socket] = {}
        self.switch = Running(folder, {"name": self.tag, "ports": dict(self._ports())})
        self.machines: dict[str, Machine] = {}

    def start(self) -> None:
        """The switch, then the machines side by side."""
        self.switch.start()
        for side in SIDES:
            self.boot(side)
        for side in SIDES:
            self.wait(side)

    def boot(self, side: str) -> None:
        """Start a machine, for the first time or again."""
        cards = [word for kind in KINDS for word in self._card(kind, side)]
        wrapper = [*VSWITCH, "--control", str(self.switch.control), "exec", f"{side}-exec", "--"]
        fds = [self.handed[side].fileno(), self.taps[side]]
        self.machines[side] = Machine(self.folder, side, *cards, wrapper=wrapper, fds=fds).start()

    def kill(self, side: str) -> None:
        """Pull a machine's plug."""
        self.machines.pop(side).kill()
        self.handed.pop(side).close()

    def wait(self, side: str) -> None:
        """Until it has its addresses, and the switch has all of its cards."""
        machine = self.machines[side].wait()
        for card, _ in enumerate(KINDS):
            machine.run(f"ip addr add 10.86.{card}.{NUMBERS[side]}/24 dev eth{card}; ip link set eth{card} up")
        until(lambda: set(self.states(side).values()) == {"up"}, f"all ports of machine {side}: {self.states(side)}")

    def states(self, side: str) -> dict[str, str]:
        """Of the ports of a machine, by kind."""
        ports = self.switch.ports()
        return {kind: ports[f"{side}-{kind}"]["state"] for kind in KINDS}

    def stop(self) -> None:
        """Nothing stays."""
        for side in list(self.machines):
            self.kill(side)
        self.switch.__exit__()
        for fd in self.taps.values():
            os.close(fd)

    def _ports(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for number, kind in enumerate(KINDS):
            address = f"10.86.{number}.254/24"
            tap = {"tap": f"{self.tag}n{number}", "netns": self.tag, "address": [address], "mtu": 9000}
            yield f"n-{kind}", {**tap, "access": 100 + number}
            for side in SIDES:
                yield f"{side}-{kind}", {**self._attachment(kind, side), "access": 100 + number}

    def _attachment(self, kind: str, side: str) -> dict[str, Any]:
        place = str(self.folder / f"{side}-{kind}")
        return {
            "stream": {"qemu": place, "mtu": 9000},
            "called": {"qemu": place, "server": False, "mtu": 9000},
            "inet": {"qemu": f"127.0.0.1:{_free_port()}", "mtu": 9000},
            "dgram": {"qemu": place, "netdev": "dgram", "mtu": 9000},
            "vde": {"vde": str(self.folder / "vde"), "number": NUMBERS[side], "mtu": 9000},
            "tap": {"interface": f"{self.tag}{side}", "wait": True},
            "handed": {"fd": f"{side}-handed", "mtu": 9000},
            "exec": {"fd": f"{side}-exec", "mtu": 9000},
        }[kind]

    def _card(self, kind: str, side: str) -> list[str]:
        """QEMU's arguments for the card of a kind."""
        if kind == "tap" and side not in self.taps:
            self.taps[side], device_name = tun.attach(f"{self.tag}{side}")
            with IPRoute() as route:
                route.link("set", index=socket.if_nametoindex(device_name), state="up", mtu=9000)
        elif kind == "handed":
            self.handed[side], near = socket.socketpair()
            with near:
                self.switch.client.call("PUT", f"ports/{side}-handed/fd", fd=near.fileno())
        handed = self.handed[side].fileno() if side in self.handed else ""
        given = {
            "tap": f"tap,id=tap,fd={self.taps.get(side)}",
            "handed": f"stream,id=handed,addr.type=fd,addr.str={handed}",
            "exec": "stream,id=exec,addr.type=fd,addr.str={fd}",
        }
        mac = f"52:54:00:00:{KINDS.index(kind):02x}:{NUMBERS[side]:02x}"
        if kind in given:
            return ["-netdev", given[kind], "-device", device(kind, mac, offload=side == "a", mtu=9000)]
        result = self.switch.vswitch("qemu-args", f"{side}-{kind}", "--mac", mac)
        words = shlex.split(result.stdout)
        assert words[3].endswith(f"mac={mac},host_mtu=9000")
        return [*words[:3], words[3] + hardware(offload=side == "a")]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_machines_and_a_namespace_talk(lab: Lab, kind: str) -> None:
    number = KINDS.index(kind)
    a, b = lab.machines["a"], lab.machines["b"]
    traffic.ping(a, f"10.86.{number}.2")
    traffic.ping(b, f"10.86.{number}.254")
    traffic.between(a, b, f"10.86.{number}.2")
    traffic.between(b, a, f"10.86.{number}.1")
    traffic.to_machine(lab.guest, a, f"10.86.{number}.1")
    traffic.from_machine(a, lab.guest, f"10.86.{number}.254")
    traffic.to_machine(lab.guest, b, f"10.86.{number}.2")
    traffic.from_machine(b, lab.guest, f"10.86.{number}.254")
    for side in SIDES:
        port = lab.switch.ports()[f"{side}-{kind}"]
        assert port["receive"]["bytes"] > traffic.SIZE
        assert port["transmit"]["bytes"] > traffic.SIZE


@pytest.mark.parametrize("kind", ["stream", "dgram", "tap"])
def test_frames_of_9000_octets_pass_whole(lab: Lab, kind: str) -> None:
    number = KINDS.index(kind)
    for machine in lab.machines.values():
        machine.run(f"ip link set eth{number} mtu 9000")
    traffic.ping(lab.machines["a"], f"10.86.{number}.2")
    before = lab.switch.ports()[f"a-{kind}"]["receive"]["unicast"]
    lab.machines["a"].run(f"ping -c 4 -s 8900 10.86.{number}.2")
    assert lab.switch.ports()[f"a-{kind}"]["receive"]["unicast"] - before < 8  # a fragment each would be 24
    traffic.between(lab.machines["a"], lab.machines["b"], f"10.86.{number}.2")
    traffic.between(lab.machines["b"], lab.machines["a"], f"10.86.{number}.1")


@pytest.mark.parametrize("kind", ["stream", "tap", "exec"])
def test_tags_of_the_machines_own_pass(lab: Lab, kind: str) -> None:
    number, vlan = KINDS.index(kind), 300 + KINDS.index(kind)
    for side, machine in lab.machines.items():
        lab.switch.client.call(
            "PATCH", f"ports/{side}-{kind}", {"trunk": [vlan], "native": 100 + number, "access": None}
        )
        machine.run(f"ip link add link eth{number} name tagged{number} type vlan id {vlan}")
        machine.run(f"ip addr add 10.85.{number}.{NUMBERS[side]}/24 dev tagged{number}; ip link set tagged{number} up")
    traffic.ping(lab.machines["a"], f"10.85.{number}.2")
    traffic.between(lab.machines["a"], lab.machines["b"], f"10.85.{number}.2")
    traffic.between(lab.machines["b"], lab.machines["a"], f"10.85.{number}.1")
    fdb = lab.switch.client.call("GET", "fdb", vlan=vlan)
    assert {row["port"] for row in fdb} == {f"a-{kind}", f"b-{kind}"}


def test_a_machine_that_is_killed_comes_back_by_every_kind(lab: Lab) -> None:
    lab.kill("b")
    gone = set(KINDS) - {"tap"}  # which the test holds open
    for kind in KINDS:
        traffic.ping(lab.machines["a"], f"10.86.{KINDS.index(kind)}.254")  # the others go on
    dgram = KINDS.index("dgram")  # whose end shows when something is sent there
    lab.machines["a"].run(f"arping -c 1 -w 1 -I eth{dgram} 10.86.{dgram}.2 || true")
    until(lambda: {lab.states("b")[kind] for kind in gone} == {"not_present"}, "its ports to be down")
    lab.boot("b")
    lab.wait("b")
    for kind in KINDS:
        traffic.ping(lab.machines["a"], f"10.86.{KINDS.index(kind)}.2")
        traffic.ping(lab.machines["b"], f"10.86.{KINDS.index(kind)}.254")


def test_scripts_of_qemu_s_make_the_port_and_remove_it(lab: Lab, tmp_path: Path) -> None:
    tap, scripts = unique("s"), Path(__file__).parents[2] / "configs/qemu"
    programs = tmp_path / "bin"
    programs.mkdir()
    words = shlex.join([*VSWITCH, "--control", str(lab.switch.control)])
    (programs / "vswitch").write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    (programs / "vswitch").chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "VSWITCH_OPTIONS": "--access 100"}
    netdev = f"tap,id=n,ifname={tap},script={scripts}/qemu-ifup,downscript={scripts}/qemu-ifdown"
    wrapper = ["env", *(f"{key}={value}" for key, value in environment.items())]
    cards = ["-netdev", netdev, "-device", device("n", "52:54:00:00:99:01")]
    with Machine(tmp_path, "scripts", *cards, wrapper=wrapper) as machine:
        machine.run("ip addr add 10.86.0.77/24 dev eth0; ip link set eth0 up")
        traffic.ping(machine, "10.86.0.254")
        row = lab.switch.ports()[tap]
        assert (row["attachment"], row["vlan"]) == ("interface", {"access": 100})
        assert machine.process is not None
        machine.process.terminate()  # killed, it would run no script
        machine.process.wait()
    assert tap not in lab.switch.ports()
