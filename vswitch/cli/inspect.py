"""`vswitch inspect`: what is connected to what, for every TAP of the host."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vswitch.cli.app import app
from vswitch.control.client import CallError, Client, find, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vswitch.observe.taps import Survey, Switch, Tap

PATIENCE = 5.0  # seconds for one answer of a switch: the others are to be shown all the same


@app.command()
def inspect(
    context: typer.Context,
    interface: Annotated[str | None, typer.Argument(metavar="[INTERFACE]", help="Only the TAP of this name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """Say of every TAP of the host who holds it, who is at its far end, and which bridge or switch it is in.

    Example: vswitch inspect vnet0
    """
    from vswitch.observe.taps import survey

    switches, silent = _ask(*context.obj)
    found = survey(switches)
    unseen = " ".join([*_unseen(found), *silent])
    taps = [tap for tap in found.taps if interface in (None, tap.near.interface)]
    if interface is not None and not taps:
        raise CallError(" ".join(filter(None, [_no_tap(interface, found), unseen])))
    if as_json:
        typer.echo(json.dumps([tap.as_json() for tap in taps]))
    else:
        _print(taps, detailed=interface is not None)
    if unseen:
        typer.echo(unseen, err=True)


def _print(taps: list[Tap], *, detailed: bool) -> None:
    from vswitch.cli import cables, tables

    console = tables.console()
    if not detailed:
        console.print(cables.table(taps) if taps else "There is no TAP.")
        return
    for position, tap in enumerate(taps):
        console.print(*([""] if position else []), cables.details(tap), "", cables.sentence(tap), sep="\n")


def _ask(name: str | None, control: Path | None) -> tuple[list[Switch], list[str]]:
    """What every running switch of this user says, one named in the call too; a sentence for each that is silent."""
    from vswitch.observe.taps import Switch

    sockets = dict.fromkeys(running())
    if name is not None or control is not None:
        sockets[find(name, control).path] = None
    switches: list[Switch] = []
    silent: list[str] = []
    for path in sockets:
        client = Client(path, timeout=PATIENCE)
        try:
            info = client.call("GET", "switch")
            switches.append(Switch(info["name"], info["pid"], client.call("GET", "ports"), client.call("GET", "fdb")))
        except CallError as error:
            sentence = str(error)
            silent.append(f"{sentence[:1].upper()}{sentence[1:]}.")
    return switches, silent


def _no_tap(interface: str, found: Survey) -> str:
    from vswitch.cli.cables import printable

    if interface in found.others:
        return f"the interface {printable(interface)} is no TAP: it is {found.others[interface]}."
    return f"there is no interface {printable(interface)}; `vswitch inspect` shows every TAP."


def _unseen(found: Survey) -> Iterator[str]:
    """In one sentence what could not be looked at."""
    parts: list[Any] = []
    if found.closed:
        parts.append(f"{found.closed} network namespace{'' if found.closed == 1 else 's'} could not be entered")
    if found.hidden:
        parts.append("the descriptors of some processes could not be looked at")
    if parts:
        sentence = " and ".join(parts)
        yield f"{sentence[0].upper()}{sentence[1:]}: run as root, with every capability, to see all."
