"""The conversations that carry most just now: the differences between two looks at counters that only grow."""

from __future__ import annotations

import asyncio
from heapq import nlargest
from typing import TYPE_CHECKING, Final

from vswitch.control.api.flows import answered
from vswitch.control.page.said import Talker
from vswitch.fastpath.conversations import OCTETS

if TYPE_CHECKING:
    from vswitch.control.service import Service
    from vswitch.fastpath.conversations import Parties

MOST: Final = 20
"""Rows."""

APART: Final = 0.9
"""Seconds from look to look, at least: the conversations of a large switch are many."""


class Talkers:
    """What the last look found. It costs nothing while nobody asks."""

    def __init__(self, service: Service) -> None:
        """No look yet."""
        self._service = service
        self._before: dict[tuple[str, Parties], int] | None = None
        self._at = 0.0
        self._rows: list[Talker] = []

    def forget(self) -> None:
        """Nobody wants to know any longer."""
        self._before = None
        self._rows = []

    async def busiest(self) -> list[Talker]:
        """The busiest since the look before, that is for a second or so; the loop has its turn after each port."""
        engine = self._service.engine
        now = engine.clock()
        if self._before is not None and now - self._at < APART:
            return self._rows
        before, seconds = self._before, now - self._at
        counted: dict[tuple[str, Parties], int] = {}
        found = []
        everybody = [(bridge, engine.conversations(bridge)) for bridge in self._service.switch.ports.values()]
        for bridge, conversations in everybody:
            for each in conversations:
                key, octets = (bridge.name, each.parties), each.values[OCTETS]
                counted[key] = octets
                if before is not None:
                    grown = octets - before.get(key, 0)
                    found.append((grown if grown >= 0 else octets, bridge, each))
            found = nlargest(MOST, (each for each in found if each[0]), key=lambda each: each[0])
            await asyncio.sleep(0)
        answers = await answered(everybody, [each for _, _, each in found])
        self._before, self._at, self._rows = counted, now, []
        for number, (grown, bridge, each) in enumerate(found):
            row = Talker.of(bridge.name, each, engine.clock(), answered=number in answers)
            row.rate = round(8 * grown / seconds, 1)
            self._rows.append(row)
        return self._rows
