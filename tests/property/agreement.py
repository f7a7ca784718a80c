"""Both twins of the flow table, each with guests of its own, given the same: they have to answer alike."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from tests.unit.twins import Lab, flow_key, make_flow
from vswitch.fastpath.twins import PYTHON, FastPathError, choose

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from vswitch.core.offload import Buffer
    from vswitch.fastpath.flowcache import Flow
    from vswitch.fastpath.twins import FastPath

Tags = tuple[bytes | None, ...]
"""The tag with which a frame leaves each of up to three guests."""


class Twins:
    """The Python table and the C one, with the same flows."""

    def __init__(self, native: FastPath) -> None:
        self.labs = Lab(PYTHON), Lab(native)
        self.numbers: dict[Flow | None, int] = {None: -1}
        self.flows: dict[Lab, deque[Flow]] = {lab: deque(maxlen=10) for lab in self.labs}

    def __enter__(self) -> Twins:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for lab in self.labs:
            lab.close()

    def know(self, raw: bytes, tags: Tags = (None,), **changes: Any) -> None:
        """Add the flow of this frame to both."""
        number = len(self.numbers)
        for lab in self.labs:
            flow = make_flow(raw, *zip((lab.b, lab.c, lab.d), tags, strict=False), **changes)
            self.numbers[flow] = number
            lab.table.add(flow)
            self.flows[lab].append(flow)

    def forget(self, raw: bytes | None) -> None:
        """One flow, or all."""
        for lab in self.labs:
            if raw is None:
                lab.table.clear()
            else:
                lab.table.discard(flow_key(raw))

    def hold(self, exit_: int, *, held: bool) -> None:
        """Frames wait at that exit, or no longer."""
        for lab in self.labs:
            lab.guests[1 + exit_].exit.state[1] = held

    def tick(self) -> None:
        """It is later."""
        for lab in self.labs:
            lab.clock[0] += 1

    def match(self, raw: Buffer) -> bool:
        """Whether they know the frame."""
        answers = [lab.table.match(raw) for lab in self.labs]
        ours, theirs = (answer and (self.numbers[answer[0]], *answer[1:]) for answer in answers)
        assert ours == theirs, (bytes(raw).hex(), answers)
        return ours is not None

    def carry(self, raw: Buffer) -> None:
        """Forward one frame."""
        self.tick()
        ours, theirs = ((self.numbers[flow], done) for flow, done in (lab.table.carry(raw) for lab in self.labs))
        assert ours == theirs, bytes(raw).hex()
        self.compare()

    def burst(self, raws: Sequence[bytes], frames: int = 64, octets: int = 1 << 20, limit: int = 0) -> None:
        """Forward frames that wait, and go on behind each that is handed back.  limit: of segments, 0: none."""
        for lab in self.labs:
            lab.a.send(*raws)
        left = len(raws)
        while left:
            self.tick()
            ours, theirs = (self._turn(lab, frames, octets, limit) for lab in self.labs)
            assert ours == theirs, [raw.hex() for raw in raws]
            left -= ours[0]
            self.compare()

    def compare(self) -> None:
        """What guests received, and what was counted."""
        for ours, theirs in zip(self.labs[0].guests, self.labs[1].guests, strict=True):
            assert [each.hex() for each in theirs.received()] == [each.hex() for each in ours.received()]
            assert list(theirs.counters.values) == list(ours.counters.values)
        counted = [[list(flow.conversation.values) for flow in self.flows[lab]] for lab in self.labs]
        assert counted[0] == counted[1]

    def _turn(self, lab: Lab, frames: int, octets: int, limit: int) -> tuple[int, list[int], int, int, int, bytes]:
        turn = lab.burst_below(limit, frames, octets) if limit else lab.burst(frames, octets)
        read, met, length, flow, done = turn
        handed = bytes(lab.buffer[: max(length, 0)])
        return read, [self.numbers[each] for each in met], length, self.numbers[flow], done, handed


def native_twin() -> FastPath | None:
    """The C one, or None where it is not built."""
    try:
        return choose("require")
    except FastPathError:
        return None
