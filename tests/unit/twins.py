"""The flow tables under test: each twin, and both at once."""

from __future__ import annotations

import socket
from array import array
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pytest

from vswitch.core.offload import HEADER, Capability
from vswitch.core.port import BridgePort
from vswitch.core.stats import PortCounters
from vswitch.fastpath.conversations import Conversation
from vswitch.fastpath.flowcache import KEY, ROOM, TAG_END, TYPE, Exit, Flow
from vswitch.fastpath.twins import FastPath, FastPathError, choose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vswitch.fastpath.twins import Table

MODES: Final = {"python": "off", "native": "require", "shadow": "shadow"}


def fast_path(name: str) -> FastPath:
    """One of MODES; the test is skipped where that is not built."""
    try:
        return choose(MODES[name])
    except FastPathError as error:
        pytest.skip(str(error))


class Guest:
    """A port, and who is at the other end of its descriptor."""

    def __init__(self, name: str) -> None:
        self.counters = PortCounters()
        self.bridge = BridgePort(name, counters=self.counters)
        self.exit = Exit(self.counters.values)
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self.near, self.far):
            end.setblocking(False)
        self.exit.state[0] = self.near.fileno()

    def send(self, *raws: bytes) -> None:
        for raw in raws:
            self.far.send(raw)

    def received(self) -> list[bytes]:
        """What came since."""
        return list(self._waiting())

    def fill(self) -> None:
        """Have the descriptor say: not now."""
        with suppress(BlockingIOError):
            while True:
                self.near.send(b"x" * 2000)

    def close(self) -> None:
        self.near.close()
        self.far.close()

    def _waiting(self) -> Iterator[bytes]:
        with suppress(BlockingIOError):
            while True:
                yield self.far.recv(2 * ROOM)


class Lab:
    """Guest `a` with the table of what it sends, and guests that it sends to."""

    def __init__(self, path: FastPath) -> None:
        self.a, self.b, self.c, self.d = self.guests = [Guest(name) for name in "abcd"]
        self.buffer = bytearray(ROOM)
        self.clock = array("Q", (0,))
        self.table: Table = path.table(self.a.counters.values, self.buffer, self.clock)

    def burst(self, frames: int = 64, octets: int = 1 << 20) -> tuple[int, list[Flow], int, Flow | None, int]:
        return self.table.burst(self.a.near.fileno(), frames, octets)

    def burst_below(
        self, limit: int, frames: int = 64, octets: int = 1 << 20
    ) -> tuple[int, list[Flow], int, Flow | None, int]:
        return self.table.burst_below(self.a.near.fileno(), frames, octets, False, limit)

    def knows(self, raw: bytes, *exits: Guest | tuple[Guest, bytes | None], **changes: Any) -> Flow:
        """Add the flow of this frame."""
        flow = make_flow(raw, *exits, **changes)
        self.table.add(flow)
        return flow

    def close(self) -> None:
        for guest in self.guests:
            guest.close()


def make_flow(raw: bytes, *exits: Guest | tuple[Guest, bytes | None], **changes: Any) -> Flow:
    """The flow that a frame belongs to; by default it is unicast, and any frame of it fits."""
    pairs = [exit_ if isinstance(exit_, tuple) else (exit_, None) for exit_ in exits]
    fields: dict[str, Any] = {
        "key": flow_key(raw),
        "station": (1, raw.ljust(TYPE, b"\0")[HEADER + 6 : TYPE]),
        "needs": (),
        "cast": 0,
        "drop": -1,
        "longest": 1 << 30,
        "offload": Capability.ALL,
        "exits": tuple((guest.exit, tag) for guest, tag in pairs),
        "ports": tuple(guest.bridge for guest, _ in pairs),
        "conversation": Conversation((1, b"", b"")),
    }
    return Flow(**{**fields, **changes})


def flow_key(raw: bytes) -> bytes:
    """A plain header, addresses and ethertype, and what follows a tag's."""
    padded = raw.ljust(TAG_END, b"\0")
    return bytes(HEADER) + padded[HEADER : TAG_END if padded[TYPE:KEY] in (b"\x81\x00", b"\x88\xa8") else KEY]
