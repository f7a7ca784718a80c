"""What became of stations, to those who ask (`/v1/history`), and in the log where one flaps.

Inside, times are of the engine's clock, which nobody sets. Here they become an age and a time of day.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from vswitch.control.api.models import Model
from vswitch.control.api.route import Route, common, number
from vswitch.core.fdb import Change
from vswitch.core.history import RECORDS, Flap, History
from vswitch.core.mac import format_mac, parse_mac
from vswitch.core.vlan import MAX_VID
from vswitch.units import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web

    from vswitch.control.service import Service
    from vswitch.core.fdb import Key
    from vswitch.core.history import Record
    from vswitch.core.port import BridgePort
    from vswitch.core.switch import Switch

log = logging.getLogger(__name__)

LINES: Final = 5
"""Stations that the log names in a second, at most."""


class HistoryRow(Model):
    """One event, as `show history --json` has it.

    time: ISO 8601, UTC.  age: seconds.  from_port: where the station was before.  flapping: whether it does now.
    """

    time: str = Field(examples=["2025-01-31T12:00:00.000Z"])
    age: float
    mac: str
    vlan: int
    kind: Change
    port: str
    from_port: str | None
    flapping: bool

    @classmethod
    def of(cls, record: Record, now: float, wall: float) -> HistoryRow:
        """A record, where the engine's clock says `now` and that of the host `wall`."""
        age = max(0.0, now - record.time)
        moment = datetime.fromtimestamp(wall - age, UTC)
        return cls.model_construct(
            time=moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            age=round(age, 3),
            mac=format_mac(record.mac),
            vlan=record.vid,
            kind=record.change,
            port=record.port,
            from_port=record.came_from,
            flapping=record.flapping,
        )


class Chronicle:
    """The history of a switch that runs, and its voice in the log."""

    def __init__(
        self, switch: Switch, clock: Callable[[], float], happened: Callable[..., object] = lambda *_: None
    ) -> None:
        """Listen to the filtering database of `switch`, in time by `clock`. happened: as of `Observers`."""
        self.history = History(switch.ports, self._flapping)
        self._clock = clock
        self._happened = happened
        self._second = 0
        self._lines = 0
        switch.fdb.tell = self._tell

    def rows(self, **wanted: Any) -> list[HistoryRow]:
        """The answer to a question that `History.query` takes."""
        now, wall = self._clock(), time.time()
        return [HistoryRow.of(record, now, wall) for record in self.history.query(now, **wanted)]

    def _tell(self, change: Change, key: Key, port: BridgePort, before: BridgePort | None) -> None:
        self.history.note(self._clock(), change, key, port, before)
        if change == "moved" and before is not None:
            self._happened("moved", before.name, port.name)

    def _flapping(self, flap: Flap) -> None:
        """An episode began: say so, unless many did within this second."""
        self._happened("flap", *flap.ports)
        second = int(self._clock())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines <= LINES:
            log.warning(
                "station %s in VLAN %d flaps between ports %s and %s: is there a loop, or the same address twice?",
                format_mac(flap.mac),
                flap.vid,
                ", ".join(flap.ports[:-1]),
                flap.ports[-1],
            )
        elif self._lines == LINES + 1:
            log.warning("more stations flap than are named here; /v1/history?flapping=true has them all")


async def _history(service: Service, request: web.Request) -> list[HistoryRow]:
    query = request.query
    port, mac, vlan, flapping = (query.get(name) for name in ("port", "mac", "vlan", "flapping"))
    if port is not None and port not in service.chronicle.history:
        service.bridge(port)
    return service.chronicle.rows(
        mac=None if mac is None else parse_mac(mac),
        vid=None if vlan is None else number(vlan, "a VLAN", MAX_VID),
        port=port,
        flapping=None if flapping is None else _truth(flapping),
        limit=number(query.get("limit", str(RECORDS)), "how many events to show", RECORDS),
    )


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"flapping is true or false, not {shown(text)}")
    return text == "true"


QUERY: Final[Mapping[str, dict[str, Any]]] = {
    **common("mac", "port", "vlan"),
    "flapping": {"type": "boolean", "description": "of stations that flap now, or of those that do not"},
    "limit": {"type": "integer", "minimum": 1, "maximum": RECORDS, "description": "so many events, the last ones"},
}

ROUTES: Final = (
    Route("GET", "/v1/history", "What became of stations", list[HistoryRow], _history, query=QUERY, open=True),
)
