"""What a virtual machine is to be told so that it becomes the guest of a port: for QEMU, and for libvirt."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

from vswitch.control.api.models import GuestModel
from vswitch.core.mac import format_mac
from vswitch.core.port import DEFAULT_MTU

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vswitch.ports.base import Cable

_PREFIX: Final = bytes.fromhex("525400")  # locally administered, and what QEMU and libvirt use
_QEMU: Final = "http://libvirt.org/schemas/domain/qemu/1.0"
_SLOTS: Final = range(0x10, 0x1D)
"""Of the PCI bus: libvirt fills it from the other end, and puts what belongs to a q35's chipset behind."""

_VIRTIO: Final = "virtio"
_WITH_MTU: Final = "ethernet"  # of those here: qemuDomainNetSupportsMTU() in libvirt's qemu_domain.c


def guest_mac(switch: str, port: str) -> str:
    """The address that a port's machine has unless it is given another: the same each time, and one a port."""
    return format_mac(_PREFIX + hashlib.sha256(f"{switch}/{port}".encode()).digest()[:3])


def describe(port: str, cable: Cable, *, mac: str, model: str, mtu: int, position: int) -> GuestModel:
    """The arguments of QEMU and the XML of libvirt for one network card.

    model: libvirt's word for it, which is QEMU's too but for virtio.  mtu: octets, told to a virtio card.
    position: of the port among those of its switch, so that two ports of one machine do not meet on its PCI bus.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "-", port)  # what QEMU takes as an id begins with a letter
    netdev = name if name[0].isalpha() else f"net-{name}"
    kind, _, rest = cable.netdev.partition(",")
    more = f",host_mtu={mtu}" if model == _VIRTIO and mtu != DEFAULT_MTU else ""
    driver = "virtio-net-pci" if model == _VIRTIO else model
    arguments = ["-netdev", f"{kind},id={netdev},{rest}", "-device", f"{driver},netdev={netdev},mac={mac}{more}"]
    within = cable.libvirt is not None and (mtu == DEFAULT_MTU or cable.libvirt[0] == _WITH_MTU)
    xml = _interface(cable, mac, model, mtu) if within else _command_line(arguments, position)
    ElementTree.indent(xml)
    return GuestModel(
        port=port, mac=mac, netns=cable.netns, interface=cable.interface, qemu_args=arguments,
        libvirt_xml=ElementTree.tostring(xml, encoding="unicode"), libvirt_parent="devices" if within else "domain",
    )  # fmt: skip


def _interface(cable: Cable, mac: str, model: str, mtu: int) -> ElementTree.Element:
    """https://libvirt.org/formatdomain.html#network-interfaces"""
    kind, elements = cable.libvirt or ("", {})
    interface = ElementTree.Element("interface", type=kind)
    ElementTree.SubElement(interface, "mac", address=mac)
    for tag, attributes in elements.items():
        ElementTree.SubElement(interface, tag, attributes)
    ElementTree.SubElement(interface, "model", type=model)
    if mtu != DEFAULT_MTU:
        ElementTree.SubElement(interface, "mtu", size=str(mtu))
    return interface


def _command_line(arguments: Sequence[str], position: int) -> ElementTree.Element:
    """https://libvirt.org/drvqemu.html#pass-through-of-arbitrary-qemu-commands

    QEMU would give the card the first slot, before it reads that libvirt has other plans for that.
    """
    ElementTree.register_namespace("qemu", _QEMU)
    line = ElementTree.Element(f"{{{_QEMU}}}commandline")
    slot = _SLOTS[position % len(_SLOTS)]
    for argument in (*arguments[:-1], f"{arguments[-1]},addr={slot:#x}"):
        ElementTree.SubElement(line, f"{{{_QEMU}}}arg", value=argument)
    return line
