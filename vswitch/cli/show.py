"""`vswitch show`: what the switch knows, as tables. One line in VIEWS for each."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vswitch.cli.app import Json, app, client
from vswitch.control.client import CallError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.table import Table

    from vswitch.control.client import Client


@dataclass(frozen=True, slots=True)
class View:
    """One thing to show.

    table: its name in `cli.tables`.  narrows: the parameter that a word behind the name gives.
    takes: those that options give.
    """

    table: str
    narrows: str | None = None
    takes: tuple[str, ...] = ()


VIEWS: dict[str, View] = {
    "ports": View("ports"),
    "fdb": View("fdb", takes=("port", "vlan")),
    "vlans": View("vlans"),
    "history": View("history", narrows="mac", takes=("port", "vlan", "flapping")),
    "flows": View("flows", narrows="mac", takes=("port", "vlan")),
    "mirrors": View("mirrors"),
}
_NAMES = "|".join(VIEWS)


@app.command()
def show(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar=_NAMES, autocompletion=lambda: list(VIEWS))],
    only: Annotated[
        str | None, typer.Argument(metavar="[MAC]", help="Of history or flows: this station.", show_default=False)
    ] = None,
    port: Annotated[str | None, typer.Option(help="Of fdb, history or flows: what concerns this port.")] = None,
    vlan: Annotated[int | None, typer.Option(metavar="VID", help="Of the same: this VLAN.", min=1, max=4094)] = None,
    flapping: Annotated[bool, typer.Option("--flapping", help="Of history: stations that flap now.")] = False,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every second until Control-C.")] = False,
) -> None:
    """Show ports with their counters, stations known, VLANs, what became of stations, who talks to whom, or mirrors.

    A MAC behind `history` or `flows` shows what concerns that one.

    Example: vswitch show ports --watch
    """
    view = VIEWS.get(what)
    if view is None:
        raise CallError(f"there is no {what!r} to show; show {_alternatives()}", 2)
    if only is not None and view.narrows is None:
        raise CallError(f"`show {what}` shows all of them: leave out {only!r}", 2)
    given = {"port": port, "vlan": vlan, "flapping": "true" if flapping else None}
    asked = {name: value for name, value in given.items() if value is not None}
    for name in asked:
        if name not in view.takes:
            raise CallError(f"`show {what}` has no --{name}: leave it out", 2)
    rows = _rows(client(context), what, {**asked, **({view.narrows: only} if view.narrows and only else {})})
    if as_json:
        _print_json(rows, watch=watch)
    else:
        _print_table(rows, view, watch=watch)


def _alternatives() -> str:
    *first, last = VIEWS
    return f"{', '.join(first)} or {last}"


def _rows(switch: Client, what: str, narrowed: dict[str, Any]) -> Callable[[], Any]:
    return lambda: switch.call("GET", what, **narrowed)


def _print_json(rows: Callable[[], Any], *, watch: bool) -> None:
    typer.echo(json.dumps(rows()))
    while watch:
        time.sleep(1)
        typer.echo(json.dumps(rows()))


def _print_table(rows: Callable[[], Sequence[dict[str, Any]]], view: View, *, watch: bool) -> None:
    from vswitch.cli import tables

    draw: Callable[[Sequence[dict[str, Any]]], Table] = getattr(tables, view.table)
    if watch:
        _refresh(lambda: draw(rows()))
    else:
        tables.console().print(draw(rows()))


def _refresh(table: Callable[[], Any]) -> None:
    from rich.live import Live

    from vswitch.cli.tables import console

    with Live(table(), console=console(), screen=sys.stdout.isatty(), auto_refresh=False) as live:
        while True:
            time.sleep(1)
            live.update(table(), refresh=True)
