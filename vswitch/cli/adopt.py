"""`vswitch adopt` and `vswitch release`: a bridge of the kernel taken over, and given back."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from vswitch.cli.app import Json, app, client
from vswitch.control.client import CallError, Client, listens, running
from vswitch.control.place import control_socket, make_folder, runtime_directory

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE: Final = 30.0  # seconds for a switch to start


@app.command()
def adopt(
    context: typer.Context,
    bridge: Annotated[str, typer.Argument(metavar="BRIDGE", help="A bridge of the kernel.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")] = False,
    netns: Annotated[str | None, typer.Option(metavar="NAME", help="The namespace that the bridge is in.")] = None,
    as_json: Json = False,
) -> None:
    """Take over the ports of a kernel bridge, with its VLANs, static entries and learned stations.

    The host keeps its address on the bridge. Where no switch runs, one is started in the background, named after the
    bridge. `vswitch release` gives the ports back, and so does any end of the switch.

    Example: vswitch adopt br0 --dry-run
    """
    asked = {"bridge": bridge, "netns": netns, "dry_run": dry_run}
    if context.obj != (None, None) or running():
        answer = client(context).call("POST", "adopt", asked)
    elif dry_run:
        answer = _plan(bridge, netns)
    else:
        answer = _with_new_switch(bridge, asked)
    if as_json:
        typer.echo(json.dumps(answer))
        return
    for line in [*answer["changes"], *(f"! {line}" for line in answer["left"])]:
        typer.echo(line)
    if answer["applied"]:
        count = len(answer["ports"]) - 1
        took, outage = (f"{answer[key] * 1e3:.1f} ms" for key in ("took", "outage"))
        typer.echo(f"{bridge}: {count} ports moved within {took}, none of them out for longer than {outage}")


@app.command()
def release(
    context: typer.Context,
    bridge: Annotated[str | None, typer.Argument(metavar="[BRIDGE]", help="The bridge; by default all.")] = None,
    as_json: Json = False,
) -> None:
    """Give the ports of kernel bridges back, as they were.

    Example: vswitch release br0
    """
    from vswitch.control.pinned import give_back_left

    bridges = give_back_left()
    if (context.obj != (None, None) or running()) and bridge not in bridges:
        bridges += client(context).call("POST", "release", {"bridge": bridge})["bridges"]
    if as_json:
        typer.echo(json.dumps({"bridges": bridges}))
    elif bridges:
        typer.echo(f"given back: {', '.join(bridges)}")
    else:
        typer.echo("nothing to give back: what a switch has taken comes back by itself as soon as that ends")


def _plan(bridge: str, netns: str | None) -> dict[str, Any]:
    """What a switch would do that does not run yet."""
    from vswitch.control import adoption
    from vswitch.ports import PortError, kernel_bridge

    try:
        plan = adoption.plan(kernel_bridge.read(bridge, netns), netns, ())
    except (adoption.AdoptionError, PortError) as error:
        raise CallError(str(error)) from error
    return {"bridge": bridge, "ports": [*plan.host, *plan.ports], "changes": list(adoption.changes(plan)),
            "left": plan.left, "applied": False, "outage": None, "took": None}  # fmt: skip


def _with_new_switch(bridge: str, asked: dict[str, Any]) -> Any:
    """Have a switch in the background do it, which ends once it has given everything back."""
    name = "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in bridge).lstrip("_-") or "bridge"
    folder, control = runtime_directory(), control_socket(name)
    try:
        make_folder(folder)
    except OSError as error:
        raise CallError(f"cannot write to {folder}: {error.strerror}") from error
    file, log = folder / f"{name}.yml", folder / f"{name}.log"
    file.write_text(json.dumps({"name": name, "ports": {}}))
    with log.open("wb") as out:
        switch = subprocess.Popen(
            [sys.executable, "-m", "vswitch", "run", "--until-released", str(file)],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd="/",
        )  # fmt: skip
    try:
        _wait(switch, control, log)
        answer = Client(control).call("POST", "adopt", asked)
    except BaseException:
        switch.terminate()
        switch.wait()
        raise
    typer.echo(f"switch {name} runs in the background (pid {switch.pid}); it says what it does in {log}", err=True)
    return answer


def _wait(switch: subprocess.Popen[bytes], control: Path, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not listens(control):
        if switch.poll() is not None or time.monotonic() > deadline:
            words = log.read_text().strip().splitlines()
            ended = (
                f"it ended with status {switch.returncode}" if switch.returncode is not None else "it takes too long"
            )
            raise CallError(f"the switch did not start: {words[-1] if words else ended}")
        time.sleep(0.02)
