"""libvirt's own machines on ports of a switch, by the XML that the switch prints for them."""

from __future__ import annotations

import json
import shlex
import socket
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyroute2 import IPRoute

from tests.machines import traffic
from tests.machines.libvirt import Libvirt
from tests.netns import guest
from tests.running import VSWITCH, Running, unique, until
from vswitch.lab import rootless
from vswitch.lab.guest import Guest
from vswitch.ports import netns

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.program("libvirtd", "virsh", "qemu-system-x86_64", "busybox", "unshare", "nsenter"),
    pytest.mark.skipif(rootless.needed(), reason="needs root"),
]

KINDS = ("ethernet", "made", "stream", "dgram", "client", "vde")


@pytest.fixture(scope="module")
def libvirt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Libvirt]:
    with Libvirt(tmp_path_factory.mktemp("libvirt")) as libvirt:
        yield libvirt


@pytest.fixture
def persistent() -> Iterator[str]:
    """A TAP that is there before the machine: as `ip tuntap add mode tap vnet_hdr` makes it."""
    name = unique("p")
    with closing(netns.current()) as here:
        guest.persist(here, name)
        with IPRoute() as route:
            route.link("set", index=socket.if_nametoindex(name), state="up")
        yield name
        guest.persist(here, name, on=False)


def test_a_machine_of_libvirt_s_by_every_kind_of_port(libvirt: Libvirt, persistent: str, tmp_path: Path) -> None:
    tag, made = unique("l"), unique("q")
    attachments: dict[str, dict[str, Any]] = {
        "ethernet": {"interface": persistent},
        "made": {"interface": made, "wait": True},
        "stream": {"qemu": str(tmp_path / "stream")},
        "dgram": {"qemu": str(tmp_path / "dgram"), "netdev": "dgram"},
        "client": {"qemu": f"127.0.0.1:{_free_port()}"},
        "vde": {"vde": str(tmp_path / "vde")},
    }
    ports: dict[str, dict[str, Any]] = {
        kind: {**attachments[kind], "access": 2 + number} for number, kind in enumerate(KINDS)
    }
    for number, kind in enumerate(KINDS):
        tap = {"tap": f"{tag}{number}", "netns": tag, "address": [f"10.84.{number}.254/24"]}
        ports[f"n-{kind}"] = {**tap, "access": 2 + number}
    with Running(tmp_path, {"name": tag, "ports": ports}) as switch:
        answers = {kind: json.loads(switch.vswitch("libvirt-xml", kind, "--json").stdout) for kind in KINDS}
        assert [answers[kind]["parent"] for kind in KINDS] == ["devices"] * 2 + ["domain"] * 2 + ["devices", "domain"]
        pieces = [(answer["xml"], answer["parent"]) for answer in answers.values()]
        assert ['managed="no"' in pieces[made][0] for made in (0, 1)] == [True, False], "libvirt makes the second"
        with libvirt.start(tag, tmp_path, _merged(pieces)) as machine:
            listing = machine.run("grep -H . /sys/class/net/*/address")
            for number, kind in enumerate(KINDS):
                card = _card(listing, _mac(answers[kind]["xml"]))
                machine.run(f"ip addr add 10.84.{number}.1/24 dev {card}; ip link set {card} up")
            until(lambda: {switch.ports()[kind]["state"] for kind in KINDS} == {"up"}, "all of its cards")
            for number, _ in enumerate(KINDS):
                traffic.ping(machine, f"10.84.{number}.254")
                traffic.from_machine(machine, Guest(tag), f"10.84.{number}.254")
                traffic.to_machine(Guest(tag), machine, f"10.84.{number}.1")
            listed = libvirt.virsh("domiflist", tag)
            for name, kind in ((persistent, "ethernet"), (made, "made")):
                [tap] = json.loads(switch.vswitch("inspect", name, "--json").stdout)
                mac = _mac(answers[kind]["xml"])
                assert [name, mac] in [[words[0], words[-1]] for words in map(str.split, listed.splitlines()) if words]
                assert [(end["mac"], set(end["known_by"])) for end in tap["far"]] == [(mac, {"qemu", "switch"})]
                assert [holder["guest"] for holder in tap["holders"]] == [tag]
                assert [(port["switch"], port["port"]) for port in tap["ports"]] == [(tag, kind)]
        until(lambda: switch.ports()["made"]["state"] == "not_present", "the TAP to be gone")


def test_scripts_that_libvirt_runs_make_the_port_and_remove_it(libvirt: Libvirt, tmp_path: Path) -> None:
    tag, tap, scripts = unique("l"), unique("s"), Path(__file__).parents[2] / "configs/qemu"
    with Running(
        tmp_path, {"name": tag, "ports": {"n": {"tap": tag, "netns": tag, "address": "10.84.9.254/24"}}}
    ) as switch:
        words = shlex.join([*VSWITCH, "--control", str(switch.control)])
        programs = {"vswitch": f'exec {words} "$@"'}
        for name in ("qemu-ifup", "qemu-ifdown"):
            programs[name] = f'PATH={tmp_path}:$PATH exec {scripts / name} "$@"'
        for name, line in programs.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
            (tmp_path / name).chmod(0o755)
        card = f'''<interface type="ethernet"><mac address="52:54:00:84:09:01"/><target dev="{tap}"/>
            <script path="{tmp_path}/qemu-ifup"/><downscript path="{tmp_path}/qemu-ifdown"/>
            <model type="virtio"/></interface>'''
        with libvirt.start(tag, tmp_path, [(card, "devices")]) as machine:
            machine.run("ip addr add 10.84.9.1/24 dev eth0; ip link set eth0 up")
            traffic.ping(machine, "10.84.9.254")
            assert switch.ports()[tap]["attachment"] == "interface"
        until(lambda: tap not in switch.ports(), "the port to be removed")


def _merged(pieces: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """One `<qemu:commandline>` with the arguments of all: a machine has one at most."""
    lines = [xml for xml, parent in pieces if parent == "domain"]
    head, end = lines[0].split("\n", 1)[0], "</qemu:commandline>"
    inner = "".join(xml.split("\n", 1)[1].removesuffix(end) for xml in lines)
    return [piece for piece in pieces if piece[1] == "devices"] + [(head + inner + end, "domain")]


def _mac(xml: str) -> str:
    at = xml.index("52:54:00")
    return xml[at : at + 17]


def _card(listing: str, mac: str) -> str:
    """The machine's interface that has this address: `/sys/class/net/eth3/address:52:54:…`."""
    return next(line.split("/")[4] for line in listing.splitlines() if line.endswith(mac))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
