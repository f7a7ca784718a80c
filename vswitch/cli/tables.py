"""Answers of the API as tables for people: colour on a terminal, none in a pipe."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

PIPE_WIDTH = 240  # nothing wraps where no terminal says how wide it is

STATE_STYLE = {"up": "green", "down": "red", "not_present": "red", "forwarded": "bold green", "dropped": "bold red"}


def console(*, stderr: bool = False) -> Console:
    """Where to print."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else PIPE_WIDTH, highlight=False)


def ports(rows: Sequence[dict[str, Any]]) -> Table:
    """`show ports`."""
    table = _table("PORT", "ATTACHMENT", "DEVICE", "STATE", "MTU", "VLAN", ">RX FRAMES", ">RX BYTES", ">TX FRAMES",
                   ">TX BYTES", "DROPPED")  # fmt: skip
    for row in rows:
        cells = [row["port"], row["attachment"], row["device"] or "-", _state(row["state"]), str(row["mtu"])]
        cells.append(vlan(row["vlan"]))
        for direction in (row["receive"], row["transmit"]):
            cells.append(f"{sum(direction[cast] for cast in ('unicast', 'multicast', 'broadcast')):,}")
            cells.append(f"{direction['bytes']:,}")
        cells.append(dropped(row["dropped"]))
        table.add_row(*cells)
    return table


def fdb(rows: Sequence[dict[str, Any]]) -> Table:
    """`show fdb`."""
    table = _table("MAC", ">VLAN", "PORT", "KIND", ">AGE")
    for row in rows:
        age = "-" if row["kind"] == "static" else f"{row['age']:.1f} s"
        table.add_row(row["mac"], str(row["vlan"]), row["port"], row["kind"], age)
    return table


def vlans(rows: Sequence[dict[str, Any]]) -> Table:
    """`show vlans`."""
    table = _table(">VLAN", "UNTAGGED", "TAGGED", "PVID OF")
    for row in rows:
        table.add_row(str(row["vlan"]), *(" ".join(row[key]) or "-" for key in ("untagged", "tagged", "pvid")))
    return table


def history(rows: Sequence[dict[str, Any]]) -> Table:
    """`show history`."""
    table = _table("TIME", ">AGE", "MAC", ">VLAN", "WHAT", "PORT", "FROM", "FLAPS")
    for row in rows:
        cells = [row["time"], f"{row['age']:.1f} s", row["mac"], str(row["vlan"]), row["kind"], row["port"]]
        table.add_row(*cells, row["from_port"] or "-", Text("yes", "bold red") if row["flapping"] else Text("no"))
    return table


def flows(rows: Sequence[dict[str, Any]]) -> Table:
    """`show flows`."""
    table = _table("PORT", "SOURCE", "DESTINATION", ">VLAN", "EGRESS", ">FRAMES", ">BYTES", ">AGE", "NOTE")
    for row in rows:
        table.add_row(
            row["port"],
            row["source"],
            row["destination"],
            str(row["vlan"] or "-"),
            _decision(row["reason"], " ".join(row["egress"]) or "-"),
            f"{row['frames']:,}",
            f"{row['bytes']:,}",
            f"{row['age']:.1f} s",
            "one-way" if row["one_way"] else "-",
        )
    return table


def mirrors(rows: Sequence[dict[str, Any]]) -> Table:
    """`show mirrors`."""
    table = _table("MIRROR", "PORTS", "VLANS", "DIRECTION", "TO")
    for row in rows:
        watched = (" ".join(map(str, row[key])) if row[key] else "all" for key in ("ports", "vlans"))
        table.add_row(row["mirror"], *watched, row["direction"], row["to"])
    return table


def explanation(answer: dict[str, Any]) -> Table:
    """`explain`: every rule, then every port, then every copy of a mirror, then the verdict."""
    table = _table("RULE", "WHAT IT SAW", "DECISION")
    for step in answer["steps"]:
        table.add_row(step["rule"], step["saw"], _decision(step["reason"], "goes on"))
    for port in answer["ports"]:
        table.add_row(f"egress {port['port']}", port["saw"], _decision(port["reason"], "leaves"))
    for copy in answer["mirrors"]:
        table.add_row(f"mirror {copy['mirror']} to {copy['port']}", copy["saw"], _decision(copy["reason"], "leaves"))
    words = f"{answer['reason']}: {answer['meaning']}" if answer["reason"] else _destinations(answer)
    table.add_row("verdict", words, _state(answer["verdict"]))
    return table


def became(row: dict[str, Any]) -> Text:
    """`explain --last`: one line of what became of a real frame, then."""
    fates = [f"leaves by {' '.join(row['egress'])}"] if row["egress"] else []
    fates += [f"held by the impairment of {' '.join(row['held'])}"] if row["held"] else []
    fates += [f"lost at {port} ({reason})" for port, reason in row["lost"].items()]
    fate = row["reason"] or ", ".join(fates)
    skipped = f", {row['skipped']} before it not explained" if row["skipped"] else ""
    line = Text(f"{row['time']} {row['port']}: {row['length']} octets {row['frame'][:64]}: ")
    return line.append(fate, "bold red" if row["reason"] or row["lost"] else "bold green").append(skipped)


def vlan(settings: dict[str, Any]) -> str:
    """A port's VLANs as `access 10` or `trunk 10,20-29 native 1`."""
    return " ".join(
        f"{key} {','.join(map(str, value)) if isinstance(value, list) else value}" for key, value in settings.items()
    )


def dropped(reasons: dict[str, int]) -> str:
    """The reasons that were met: `vlan_filtered 3`."""
    return ", ".join(f"{reason} {count:,}" for reason, count in reasons.items() if count) or "-"


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        right = heading.startswith(">")
        table.add_column(heading.removeprefix(">"), justify="right" if right else "left", overflow="fold")
    return table


def _state(word: str) -> Text:
    return Text(word, STATE_STYLE.get(word, ""))


def _decision(reason: str | None, otherwise: str) -> Text:
    return Text(reason, "red") if reason else Text(otherwise, "green")


def _destinations(answer: dict[str, Any]) -> str:
    leaving = [
        f"{port['port']} ({', '.join(f'{len(frame) // 2} octets' for frame in port['frames'])})"
        for port in answer["ports"]
        if port["frames"]
    ]
    return "leaves by " + ", ".join(leaving) if leaving else "lost at every port that it was meant for"
