"""`vswitch lab status` as tables."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from vswitch.cli.tables import console


def show(answer: dict[str, Any]) -> None:
    """Switches, then guests."""
    switches = Table("switch", "ports up", "stations", "as", box=None, title_justify="left")
    for row in answer["switches"]:
        switches.add_row(row["switch"], f"{row['up']}/{row['ports']}", str(row["stations"]), row["name"])
    guests = Table("guest", "interface", "switch", "addresses", "state", "processes", "netns", box=None)
    for row in answer["guests"]:
        for at, plug in enumerate(row["interfaces"] or [None]):
            head = (row["guest"], _processes(row), row["netns"]) if at == 0 else ("", "", "")
            cells = _plug(plug) if plug else ("", "", "", "")
            guests.add_row(head[0], *cells, *head[1:])
    console().print(switches)
    console().print()
    console().print(guests)


def _processes(row: dict[str, Any]) -> str:
    """How many run, and how many failed."""
    failed = len(row["failed"])
    return f"{len(row['processes'])}, {failed} failed" if failed else str(len(row["processes"]))


def _plug(plug: dict[str, Any]) -> tuple[str, str, str, str]:
    return plug["interface"], plug["switch"], " ".join(plug["addresses"]), plug["state"]
