"""`vswitch qemu-args` and `vswitch libvirt-xml`: what makes a virtual machine the guest of a port."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vswitch.cli.app import Json, PortName, app, client

if TYPE_CHECKING:
    from vswitch.control.client import Client

Mac = Annotated[
    str | None, typer.Option(metavar="MAC", help="The card's address; by default one that the port always has.")
]
Model = Annotated[str, typer.Option(metavar="MODEL", help="The card: virtio, e1000, rtl8139 …")]


@app.command("qemu-args")
def qemu_args(
    context: typer.Context, port: PortName, mac: Mac = None, model: Model = "virtio", as_json: Json = False
) -> None:
    """Print what QEMU is to be given so that its machine is the guest of PORT.

    Example: vswitch qemu-args vm1, as in qemu-system-x86_64 -m 512 disk.img $(vswitch qemu-args vm1)
    """
    answer = _guest(client(context), port, mac, model)
    typer.echo(json.dumps(answer["qemu_args"]) if as_json else shlex.join(answer["qemu_args"]))
    if answer["netns"]:
        typer.echo(f"QEMU has to run in the namespace {answer['netns']}, where the interface is.", err=True)
    if answer.get("interface"):  # a switch that was started long ago does not say it
        typer.echo(f"Once QEMU runs, set the interface up: ip link set {answer['interface']} up", err=True)


@app.command("libvirt-xml")
def libvirt_xml(
    context: typer.Context, port: PortName, mac: Mac = None, model: Model = "virtio", as_json: Json = False
) -> None:
    """Print what goes into a machine's XML, as of `virsh edit`, so that it is the guest of PORT.

    Example: vswitch libvirt-xml vm1 > card.xml && virsh attach-device web card.xml --config
    """
    answer = _guest(client(context), port, mac, model)
    if as_json:
        typer.echo(json.dumps({"xml": answer["libvirt_xml"], "parent": answer["libvirt_parent"]}))
        return
    typer.echo(answer["libvirt_xml"])
    if answer["libvirt_parent"] == "domain":
        typer.echo("It goes at the end of <domain>: libvirt itself has no word for this kind of port.", err=True)


def _guest(switch: Client, port: str, mac: str | None, model: str) -> Any:
    return switch.call("GET", f"ports/{port}/guest", mac=mac, model=model)
