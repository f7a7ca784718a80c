"""`vswitch send`: a frame as if a guest had sent it, or to a guest."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer

from vswitch.cli import frames
from vswitch.cli.app import Json, PortName, app, client
from vswitch.control.client import TIMEOUT, Client


@app.command()
def send(
    context: typer.Context,
    port: PortName,
    frame: frames.FrameArgument,
    direction: Annotated[
        Literal["in", "out"], typer.Option(help="in: as if the guest had sent it; out: to the guest.")
    ] = "in",
    count: Annotated[int, typer.Option(metavar="N", help="How often.", min=1)] = 1,
    rate: Annotated[float, typer.Option(metavar="R", help="Frames a second; 0: as fast as may be.", min=0)] = 0.0,
    as_json: Json = False,
) -> None:
    """Put FRAME on PORT, as if its guest had sent it, or send it to the guest; Control-C ends it early.

    What goes `out` passes the port's impairment and mirrors, and none of the rules of forwarding.

    Example: vswitch send web 'Ether(dst="ff:ff:ff:ff:ff:ff")/ARP(pdst="10.0.0.2")' --count 3 --rate 1
    """
    asked = {"port": port, "frame": frames.octets(frame), "direction": direction, "count": count, "rate": rate}
    switch = client(context)
    patient = Client(switch.path, timeout=TIMEOUT + count / (rate or 1000.0))
    answer = patient.call("POST", "send", asked)
    typer.echo(json.dumps(answer) if as_json else f"{answer['sent']} sent")
