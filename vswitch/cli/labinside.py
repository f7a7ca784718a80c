"""`vswitch lab`, of a lab that runs: its switches and guests, commands in them, and whether all reach each other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from vswitch.cli.app import PASS, Json
from vswitch.cli.lab import lab_app
from vswitch.cli.labs import Named, Which, client, is_file, sockets
from vswitch.control.client import CallError, Client


@lab_app.command()
def status(which: Which = None, as_json: Json = False) -> None:
    """Show a lab's switches and guests, or all labs that run where there are several.

    Example: vswitch lab status --json
    """
    running = sockets()
    if which is None and len(running) != 1:
        if as_json:
            typer.echo(json.dumps([Client(path).call("GET", "lab") for path in running.values()]))
        else:
            typer.echo("\n".join(running) if running else "no lab runs; start one with `vswitch lab up FILE`")
        return
    answer = client(which).call("GET", "lab")
    if as_json:
        typer.echo(json.dumps(answer))
        return
    from vswitch.cli import labtables

    labtables.show(answer)


@lab_app.command("exec", context_settings=PASS)
def execute(
    guest: Annotated[str, typer.Argument(metavar="GUEST", help="A guest of the lab.")],
    command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="What to run there.")],
    lab: Named = None,
) -> None:
    """Run COMMAND in a guest: in its network, with its environment, and with the names of the other guests.

    The exit status is that of COMMAND. The lab's file may stand before the guest, in place of --lab.

    Example: vswitch lab exec h1 -- ping -c 1 h2
    """
    from vswitch.lab.entering import Quarters, become
    from vswitch.ports import PortError

    lab, words = _of_file(lab, [guest, *command])
    guest, *command = words
    if not command:
        raise CallError(f"say what to run in {guest}: vswitch lab exec {guest} -- COMMAND", 2)
    answer = client(lab).call("GET", "lab")
    row = next((row for row in answer["guests"] if row["guest"] == guest), None)
    if row is None:
        there = ", ".join(row["guest"] for row in answer["guests"][:20]) or "none"
        raise CallError(f"there is no guest {guest} in {answer['name']}; the guests are {there}", 2)
    if row["kind"] == "qemu":
        raise CallError(f"{guest} is a virtual machine: what is inside is reached by its own network or console", 2)
    try:
        become(Quarters(guest, row["netns"], Path(answer["hosts"])), command, row["environment"])
    except PortError as error:
        raise CallError(str(error)) from error
    except OSError as error:
        print(f"vswitch: cannot run {command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
        sys.exit(127 if isinstance(error, FileNotFoundError) else 126)


@lab_app.command()
def ping(
    lab: Named = None,
    guests: Annotated[list[str] | None, typer.Argument(metavar="[GUEST]...", help="Only from and to these.")] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=60, help="How long an answer may take.")
    ] = 2.0,
    as_json: Json = False,
) -> None:
    """Ping from every guest to every other one, as Mininet's pingall; exit status 1 where an answer is missing.

    Example: vswitch lab ping --json
    """
    from vswitch.lab import pinging
    from vswitch.ports import PortError

    lab, guests = _of_file(lab, guests or [])
    answer = client(lab).call("GET", "lab")
    try:
        result = pinging.ping_all(pinging.hosts(answer, guests or None), timeout)
    except PortError as error:
        raise CallError(str(error)) from error
    if as_json:
        typer.echo(json.dumps(result.as_json()))
    else:
        for line in result.lines():
            typer.echo(line)
    if result.lost:
        sys.exit(1)


def _of_file(lab: str | None, words: list[str]) -> tuple[str | None, list[str]]:
    """The lab and the words that are left, where the first of them is the lab's file, which no guest's name can be."""
    return (words[0], words[1:]) if lab is None and words and is_file(words[0]) else (lab, words)
