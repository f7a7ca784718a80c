"""`vswitch top`: what the ports carry now, and who talks most."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from vswitch.cli.app import Json, app, client
from vswitch.cli.keys import Keys
from vswitch.control.client import CallError
from vswitch.observe import rates

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from vswitch.control.client import Client

TALKERS: Final = 10
"""Conversations that are shown."""

COLUMNS: Final = ("PORT", "STATE", "RX FRAMES/S", "RX BIT/S", "TX FRAMES/S", "TX BIT/S", "DROPS/S")
_HELP: Final = "q quit  s sort  r reverse  / filter"
_UNITS: Final = ("", "k", "M", "G", "T")
_ENTER, _ESCAPE, _ERASE = "\r\n", "\x1b", "\x7f\x08"


@app.command()
def top(
    context: typer.Context,
    interval: Annotated[float, typer.Option(metavar="S", help="Seconds between two looks.", min=0.1, max=3600)] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="One look, over one interval.")] = False,
    as_json: Json = False,
) -> None:
    """Show what each port receives, transmits and drops a second, and who talks most.

    Keys: q quits, s sorts by the next column, r turns the order round, / shows ports whose name has the letters typed.

    Example: vswitch top --once --json
    """
    sampler = Sampler(client(context))
    with suppress(KeyboardInterrupt):
        if sys.stdout.isatty() and not as_json and not once:
            _live(sampler, interval)
            return
        while True:
            time.sleep(interval)
            _print(sampler.sample(), as_json=as_json)
            if once:
                return


class Sampler:
    """Looks at the counters of a switch, again and again."""

    def __init__(self, switch: Client) -> None:
        """The first look. Raises CallError."""
        self._switch = switch
        self._counts_flows = True
        self._ports, self._flows, self._at = self._look()

    def _look(self) -> tuple[Any, Any, float]:
        return self._switch.call("GET", "ports"), self._conversations(), time.monotonic()

    def _conversations(self) -> Any:
        """None where the switch does not count them."""
        if not self._counts_flows:
            return []
        try:
            return self._switch.call("GET", "flows")
        except CallError as error:
            if error.status != 2:
                raise
            self._counts_flows = False
            return []

    def rest(self) -> dict[str, Any]:
        """What is shown before there is a second look: no rates."""
        return {"ports": rates.ports(self._ports, self._ports, 1.0), "flows": []}

    def sample(self) -> dict[str, Any]:
        """The rates since the look before. Raises CallError."""
        ports, flows, at = self._look()
        seconds = max(at - self._at, 1e-3)
        sample = {
            "seconds": round(seconds, 3),
            "ports": rates.ports(self._ports, ports, seconds),
            "flows": rates.flows(self._flows, flows, seconds)[:TALKERS],
        }
        self._ports, self._flows, self._at = ports, flows, at
        return sample


@dataclass(slots=True)
class View:
    """How ports are shown, as the keys say. typing: letters of a filter that is being written."""

    column: int = 0
    reverse: bool = False
    filter: str = ""
    typing: bool = False
    left: bool = field(default=False, init=False)

    def press(self, key: str) -> None:
        """One key."""
        if self.typing:
            self._type(key)
        elif key == "q":
            self.left = True
        elif key == "s":
            self.column = (self.column + 1) % len(COLUMNS)
        elif key == "r":
            self.reverse = not self.reverse
        elif key == "/":
            self.typing, self.filter = True, ""

    def _type(self, key: str) -> None:
        if key in _ENTER:
            self.typing = False
        elif key in _ESCAPE:
            self.typing, self.filter = False, ""
        elif key in _ERASE:
            self.filter = self.filter[:-1]
        elif key.isprintable():
            self.filter += key

    def rows(self, ports: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The ports that are shown, in their order: the busiest first where a number orders them."""
        shown = [row for row in ports if self.filter in row["port"]]
        return sorted(shown, key=lambda row: _cells(row)[self.column], reverse=self.descends)

    @property
    def descends(self) -> bool:
        """Numbers do, unless they are turned round; names and states do not."""
        return self.reverse != (self.column > 1)


def _cells(row: dict[str, Any]) -> tuple[Any, ...]:
    receive, transmit = row["receive"], row["transmit"]
    drops = sum(row["dropped"].values())
    return (row["port"], row["state"], receive["frames"], receive["bits"], transmit["frames"], transmit["bits"], drops)


def _print(sample: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(sample), flush=True)  # noqa: T201
        return
    from vswitch.cli.tables import console

    console().print(picture(sample, View()))


def _live(sampler: Sampler, interval: float) -> None:
    """Until q or Control-C. A key shows at once, counters at their time."""
    from rich.live import Live

    from vswitch.cli.tables import console

    view, sample = View(), sampler.rest()
    with (
        Keys() as keys,
        Live(picture(sample, view, keys=True), console=console(), screen=True, auto_refresh=False) as live,
    ):
        due = time.monotonic() + interval
        while not view.left:
            for key in keys.wait(due - time.monotonic()):
                view.press(key)
            if time.monotonic() >= due:
                sample, due = sampler.sample(), time.monotonic() + interval
            live.update(picture(sample, view, keys=True), refresh=True)


def picture(sample: dict[str, Any], view: View, *, keys: bool = False) -> Group:
    """The ports, and beneath them who talks most."""
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [_ports(view.rows(sample["ports"]), view)]
    if sample["flows"]:
        parts += [Text(), _talkers(sample["flows"])]
    if keys:
        filtered = f"  ports with {view.filter!r}" if view.filter or view.typing else ""
        parts = [Text(_HELP + filtered + ("_" if view.typing else ""), "dim"), *parts]
    return Group(*parts)


def _ports(rows: list[dict[str, Any]], view: View) -> Table:
    from rich.table import Table
    from rich.text import Text

    from vswitch.cli.tables import STATE_STYLE

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, heading in enumerate(COLUMNS):
        mark = ("v" if view.descends else "^") if number == view.column else ""
        table.add_column(heading + mark, justify="right" if 1 < number < 6 else "left", no_wrap=True)
    for row in rows:
        port, state, *numbers, _ = _cells(row)
        drops = ", ".join(f"{reason} {short(rate)}" for reason, rate in row["dropped"].items()) or "-"
        style = "red" if row["dropped"] else ""
        table.add_row(Text(port), Text(state, STATE_STYLE.get(state, "")), *map(short, numbers), Text(drops, style))
    return table


def _talkers(rows: list[dict[str, Any]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from vswitch.cli.cables import printable

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("PORT", "SOURCE", "DESTINATION", "VLAN", "FRAMES/S", "BIT/S"):
        table.add_column(heading, justify="right" if heading in ("VLAN", "FRAMES/S", "BIT/S") else "left", no_wrap=True)
    for row in rows:
        names = [Text(printable(str(row[key]))) for key in ("port", "source", "destination", "vlan")]
        table.add_row(*names, short(row["frames"]), short(row["bits"]))
    return table


def short(rate: float) -> str:
    """A rate in four letters or so: `0`, `0.4`, `980`, `12.3k`, `1.25G`."""
    unit = 0
    while rate >= 999.5 and unit < len(_UNITS) - 1:
        rate, unit = rate / 1000, unit + 1
    digits = 0 if rate >= 100 or rate == 0 else 1 if rate >= 10 or not unit else 2
    return f"{rate:.{digits}f}{_UNITS[unit]}"
