"""What a virtual machine is told: words that QEMU and libvirt take as they are meant."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswitch.control.api.guests import describe, guest_mac
from vswitch.observe import qemu
from vswitch.ports import ATTACHMENTS
from vswitch.ports.host import Host
from vswitch.units import parse_port_name, parse_station

if TYPE_CHECKING:
    from vswitch.ports.base import Cable

MAC = "52:54:00:a8:32:d7"


def cable(kind: str, **options: object) -> Cable:
    port = ATTACHMENTS[kind]
    found = port(port.options_type.model_validate({kind: options.pop(kind), **options}), Host()).cable()
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("found", "netdev"),
    [
        (cable("qemu", qemu="/r/a"), "stream,server=off,addr.type=unix,addr.path=/r/a"),
        (cable("qemu", qemu="/r/a", server=False), "stream,server=on,addr.type=unix,addr.path=/r/a"),
        (cable("qemu", qemu="/r/a,b"), "stream,server=off,addr.type=unix,addr.path=/r/a,,b"),
        (
            cable("qemu", qemu="/r/a", netdev="dgram"),
            "dgram,local.type=unix,local.path=/r/a.guest,remote.type=unix,remote.path=/r/a",
        ),
        (
            cable("qemu", qemu="/r/a", netdev="dgram", remote="/r/b"),
            "dgram,local.type=unix,local.path=/r/b,remote.type=unix,remote.path=/r/a",
        ),
        (cable("qemu", qemu="127.0.0.1:55"), "socket,connect=127.0.0.1:55"),
        (cable("qemu", qemu="127.0.0.1:55", server=False), "socket,listen=127.0.0.1:55"),
        (cable("vde", vde="/r/d"), "vde,sock=/r/d"),
        (cable("vde", vde="/r/d", number=7), "vde,sock=/r/d,port=7"),
        (cable("interface", interface="web0"), "tap,ifname=web0,script=no,downscript=no"),
    ],
)
def test_the_other_end_of_each_kind(found: Cable, netdev: str) -> None:
    assert found.netdev == netdev


@pytest.mark.parametrize(("kind", "value"), [("tap", "t0"), ("fd", 3)])
def test_ports_without_an_end_for_a_machine(kind: str, value: object) -> None:
    port = ATTACHMENTS[kind]
    assert port(port.options_type.model_validate({kind: value}), Host()).cable() is None


def test_an_interface_has_to_be_set_up() -> None:
    assert cable("interface", interface="web0").interface == "web0"
    assert cable("vde", vde="/r/d").interface is None


def test_an_address_is_always_the_same_and_another_for_each_port() -> None:
    macs = {guest_mac(switch, port) for switch in ("a", "b") for port in ("x", "y")}
    assert len(macs) == 4
    assert all(mac.startswith("52:54:00:") and parse_station(mac) == mac for mac in macs)
    assert guest_mac("lab0", "vm1") == guest_mac("lab0", "vm1") == "52:54:00:8e:51:65"


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,31}", fullmatch=True), st.integers(68, 65535), st.integers(0, 500))
def test_every_name_of_a_port_is_taken(name: str, mtu: int, position: int) -> None:
    assert parse_port_name(name) == name
    found = describe(name, cable("interface", interface="w"), mac=MAC, model="virtio", mtu=mtu, position=position)
    _, netdev, _, card = found.qemu_args
    identifier = re.search(r",id=([^,]+),", netdev)
    assert identifier is not None
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", identifier[1])  # id_wellformed() in QEMU's util/id.c
    assert card.split(",")[1] == f"netdev={identifier[1]}"
    assert qemu.read(["qemu", *found.qemu_args]).macs(9, "w") == [MAC]


def test_frames_of_more_than_1500_octets() -> None:
    ethernet = describe("p", cable("interface", interface="w"), mac=MAC, model="virtio", mtu=9000, position=0)
    assert ethernet.qemu_args[3] == f"virtio-net-pci,netdev=p,mac={MAC},host_mtu=9000"
    assert _found(ethernet.libvirt_xml, "mtu") == {"size": "9000"}
    client = cable("qemu", qemu="127.0.0.1:55")
    assert describe("p", client, mac=MAC, model="virtio", mtu=1500, position=0).libvirt_parent == "devices"
    large = describe("p", client, mac=MAC, model="virtio", mtu=9000, position=0)
    assert large.libvirt_parent == "domain", "libvirt refuses <mtu> there"
    assert f"virtio-net-pci,netdev=p,mac={MAC},host_mtu=9000,addr=0x10" in large.libvirt_xml
    assert (
        describe("p", client, mac=MAC, model="e1000", mtu=9000, position=0).qemu_args[3] == f"e1000,netdev=p,mac={MAC}"
    )


def test_cards_of_one_machine_are_in_slots_of_their_own() -> None:
    stream = cable("qemu", qemu="/r/a")
    slots = {
        describe("p", stream, mac=MAC, model="virtio", mtu=1500, position=n).libvirt_xml.split("addr=0x")[1][:2]
        for n in range(13)
    }
    assert len(slots) == 13


def _found(xml: str, tag: str) -> dict[str, str]:
    element = ElementTree.fromstring(xml).find(tag)
    assert element is not None
    return element.attrib
