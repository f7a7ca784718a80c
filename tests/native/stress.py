"""Uses one native flow table many times, wrongly too, and says what that cost: `python -m tests.native.stress ROUNDS`.

Prints as JSON how much grew since the first rounds: blocks of Python's memory, references to objects that every round
uses, and resident octets.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
from array import array
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from vswitch.core.offload import HEADER, PLAIN
from vswitch.core.stats import DROPPED
from vswitch.fastpath._flowcache import FlowTable
from vswitch.fastpath.conversations import Conversation
from vswitch.fastpath.flowcache import ROOM, Exit, Flow

if TYPE_CHECKING:
    from collections.abc import Callable

TAG = bytes.fromhex("8100200a")
STATIONS = 40
NOT_OPEN = 1 << 30
WRONG: tuple[dict[str, Any], ...] = (
    {"cast": 3},
    {"drop": 10**30},
    {"longest": None},
    {"offload": -1},
    {"key": bytes(5)},
    {"key": "text"},
    {"station": b""},
    {"station": (1, b"short")},
    {"station": (-1, bytes(6))},
    {"station": ()},
    {"station": (0, bytes(6))},
    {"exits": None},
    {"exits": [()]},
    {"exits": ((1, 2, 3),)},
    {"exits": (("no exit", None),)},
    {"conversation": None},
    {"conversation": SimpleNamespace(values=array("Q"))},
)


class Stress:
    """A table, and a socket that its frames come from and go to."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.near, self.far):
            end.setblocking(False)
        self.values = array("Q", bytes(8 * (DROPPED + 12)))
        self.buffer = bytearray(ROOM)
        self.clock = array("Q", (0,))
        self.exit = Exit(array("Q", bytes(8 * (DROPPED + 12))))
        self.exit.state[0] = self.near.fileno()
        self.table = FlowTable(self.values, self.buffer, self.clock, 1)
        self.frames = [frame(number) for number in range(STATIONS)]
        self.flows = [self.flow(raw) for raw in self.frames]

    def flow(self, raw: bytes) -> Flow:
        """Of this frame: it leaves as it came, and with a tag."""
        exits = ((self.exit, None), (self.exit, TAG))
        conversation = Conversation((1, raw[16:22], raw[10:16]))
        return Flow(raw[: HEADER + 14], (1, raw[16:22]), (), 0, -1, 1 << 30, 127, exits, (), conversation)

    def play(self) -> None:
        """All that can be done with a table, some 400 operations."""
        for flow, raw in zip(self.flows, self.frames, strict=True):
            self.table.add(flow)
            self.table.add(self.flow(raw))
            self.table.match(raw)
            self.table.carry(raw)
            self.far.send(raw)
            self.table.burst(self.near.fileno(), 8, 1 << 20)
            self.drain()
            self.table.discard(flow.key)
            self.table.add(flow)
        self.fail()
        self.table.match(frame(STATIONS))
        self.table.clear()
        FlowTable(self.values, self.buffer, self.clock, 2).add(self.flows[0])

    def fail(self) -> None:
        """All that is refused."""
        table: Any = self.table
        fields = {name: getattr(self.flows[0], name) for name in Flow.__slots__}
        short = Exit(array("Q", bytes(8)))
        half = ((self.exit, TAG), (self.exit, b"x"))
        for wrong in (*WRONG, {"exits": half}, {"exits": ((self.exit, None), (short, None))}):
            refused(table.add, SimpleNamespace(**fields | wrong))
        for name in ("key", "station", "cast", "drop", "longest", "offload", "exits", "conversation"):
            refused(table.add, SimpleNamespace(**{each: fields[each] for each in fields if each != name}))
        for method in (table.discard, table.match, table.carry, table.burst):
            refused(method, 5)
        refused(table.match, bytes(ROOM + 1))
        refused(table.burst, NOT_OPEN, 1, 1)
        for values, buffer in ((self.values, bytearray(5)), (short.values, self.buffer), (5, 5)):
            refused(FlowTable, values, buffer, self.clock, 1)
        refused(FlowTable, self.values, self.buffer, array("Q"), 1)

    def drain(self) -> None:
        """Read what arrived at both ends."""
        for end in (self.near, self.far):
            with suppress(BlockingIOError):
                while True:
                    end.recv(ROOM)

    def references(self) -> int:
        """To what every round uses."""
        shared = (self.values, self.buffer, self.clock, self.exit, self.exit.state, self.exit.values, TAG, *self.flows)
        return sum(sys.getrefcount(each) for each in shared)


def refused(call: Callable[..., object], *arguments: object) -> None:
    """Call what has to raise."""
    try:
        call(*arguments)
    except (TypeError, ValueError, AttributeError, OverflowError, OSError):
        return
    raise AssertionError("it was not refused")


def frame(number: int) -> bytes:
    """From station `number`."""
    return PLAIN + bytes((2, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, number)) + b"\x88\xb5" + bytes(50)


def resident() -> int:
    """Octets of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(stress: Stress, rounds: int) -> dict[str, int]:
    """Play so many rounds; what there is then."""
    for _ in range(rounds):
        stress.play()
    gc.collect()
    return {"blocks": sys.getallocatedblocks(), "references": stress.references(), "resident": resident()}


def main(rounds: int) -> None:
    """Print what grew."""
    stress = Stress()
    before = measure(stress, 1 + rounds // 10)
    after = measure(stress, rounds)
    print(json.dumps({name: after[name] - before[name] for name in before}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
