"""Fills the flow tables with verdicts of the switch, and empties them of those that no longer hold.

A verdict is kept from the second frame of its flow on, so that a flood of random addresses, each seen once, leaves the
tables as they are. Each port has a table of its own, of bounded size: whoever overfills one empties only that.
What came is counted by conversation: by the tables, and here for each frame that the switch had to decide of.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from vswitch.core.mac import is_group
from vswitch.core.offload import PLAIN, Capability
from vswitch.core.size import longest
from vswitch.fastpath.conversations import TICK, Conversation, Conversations
from vswitch.fastpath.flowcache import KEY, TYPE, Exit, Flow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vswitch.core.fdb import Key
    from vswitch.core.frame import Frame, TagEdit
    from vswitch.core.port import BridgePort
    from vswitch.core.switch import Switch
    from vswitch.core.verdict import Verdict
    from vswitch.fastpath.twins import Table, TableType

MOST: Final = 8192
"""Flows, and exits of them all, that one port's table holds at most: some 4000 flows from station to station."""

HEARD: Final = 512
"""Flows of which one frame came that are remembered, for a port, until their second one comes."""

UNBOUNDED: Final = 1 << 30


class Entrance:
    """One port's table, what is remembered to fill it, and who talks to whom there."""

    __slots__ = ("conversations", "flows", "heard", "table", "weight")

    def __init__(self, table: Table) -> None:
        """Nothing is known yet."""
        self.table = table
        self.flows: dict[bytes, Flow] = {}
        self.heard: set[bytes] = set()
        self.weight = 0
        self.conversations = Conversations()

    def clear(self) -> None:
        """Know nothing again."""
        self.table.clear()
        self.flows.clear()
        self.weight = 0
        self.conversations.part_all()


class FlowCache:
    """The flow tables of one switch."""

    def __init__(self, switch: Switch, table_type: TableType, buffer: bytearray) -> None:
        """Tables are made by `table_type`, and read into `buffer`."""
        self._switch = switch
        self._table_type = table_type
        self._buffer = buffer
        self._clock = array("Q", (0,))
        self._next_tick = 0.0
        self._generation = switch.generation
        self._entrances: dict[BridgePort, Entrance] = {}
        self._exits: dict[BridgePort, Exit] = {}
        self._stations: dict[Key, dict[Flow, Entrance]] = {}
        switch.fdb.changed = self._station_changed

    def add_port(self, port: BridgePort) -> tuple[Table, Exit]:
        """A port's table, and where it is written to."""
        table = self._table_type(port.counters.values, self._buffer, self._clock)
        self._entrances[port] = Entrance(table)
        self._exits[port] = Exit(port.counters.values)
        return table, self._exits[port]

    def remove_port(self, port: BridgePort) -> None:
        """Forget a port, and every flow: any may leave by it."""
        self._clear()
        del self._entrances[port], self._exits[port]

    def conversations(self, port: BridgePort) -> Conversations:
        """Who talks to whom, of what comes in by a port. Raises KeyError where there is no such port."""
        return self._entrances[port].conversations

    def keep_up(self, now: float) -> None:
        """Forget verdicts that a change of ports and rules made void. now: when the frames came that are next."""
        if now >= self._next_tick:
            self._clock[0] = ticks = int(now / TICK)
            self._next_tick = (ticks + 1) * TICK
        if self._generation != self._switch.generation:
            self._clear()

    def heard(self, flows: Iterable[Flow], port: BridgePort, now: float) -> None:
        """Frames of these flows came in by `port`, those of the last flow last: their stations are still there."""
        for flow in flows:
            if flow.station is not None:
                self._switch.fdb.learn(*flow.station, port, now)

    def offer(self, frame: Frame, verdict: Verdict, *, keep: bool = True) -> None:
        """Count the frame, and keep its verdict if the next one of the flow fares the same and it is not the first.

        keep: false where somebody wants to see each frame of the flow.
        """
        entrance = self._entrances[frame.port]
        conversation = entrance.conversations.count(frame, verdict, self._clock[0])
        if not keep or not verdict.cacheable or any(egress.frame is not frame for egress in verdict.egress):
            return
        key = _key(frame)
        if key in entrance.flows or self._generation != self._switch.generation:
            return
        if key not in entrance.heard:
            if len(entrance.heard) >= HEARD:
                entrance.heard.clear()
            entrance.heard.add(key)
            return
        entrance.heard.discard(key)
        flow = self._flow(key, frame, verdict, conversation)
        if entrance.weight + _weight(flow) > MOST:
            self._empty(entrance)
        self._add(flow, entrance)

    def settle(self, frame: Frame, verdict: Verdict) -> None:
        """Note what became of a frame that was offered before, and held where it came in."""
        entrance = self._entrances.get(frame.port)
        if entrance is not None and verdict.learned:
            entrance.conversations.settle(frame, verdict)

    def _flow(self, key: bytes, frame: Frame, verdict: Verdict, conversation: Conversation) -> Flow:
        tagged = frame.tpid != 0
        fits, offload = UNBOUNDED, Capability.ALL
        for port, _, _ in verdict.egress or verdict.mirrored:
            fits, offload = min(fits, longest(port, tagged=tagged)), offload & port.offload
        return Flow(
            key=key,
            station=(frame.vid, frame.source) if verdict.learned else None,
            needs=_needs(frame) if verdict.learned else (),
            cast=frame.cast,
            drop=-1 if verdict.reason is None else verdict.reason.number,
            longest=fits,
            offload=offload,
            exits=(
                *((self._exits[port], _tag(edit)) for port, _, edit in verdict.egress),
                *((self._copies(port, fits, offload, tagged), _tag(edit)) for port, _, edit in verdict.mirrored),
            ),
            ports=tuple(port for port, _, _ in (*verdict.egress, *verdict.mirrored)),
            conversation=conversation,
        )

    def _copies(self, port: BridgePort, fits: int, offload: Capability, tagged: bool) -> Exit:
        """Where a mirror's copies leave, behind all others; one that is never open, if not all of them could.

        The frame itself is not to suffer from that: it leaves by the fast path, and the engine sees to the copy.
        """
        whole = port.up and fits <= longest(port, tagged=tagged) and offload in port.offload
        return self._exits[port] if whole else Exit(port.counters.values)

    def _add(self, flow: Flow, entrance: Entrance) -> None:
        entrance.flows[flow.key] = flow
        entrance.weight += _weight(flow)
        entrance.table.add(flow)
        entrance.conversations.join(flow.conversation)
        for station in flow.needs:
            self._stations.setdefault(station, {})[flow] = entrance

    def _forget(self, flow: Flow) -> None:
        for station in flow.needs:
            flows = self._stations[station]
            del flows[flow]
            if not flows:
                del self._stations[station]

    def _empty(self, entrance: Entrance) -> None:
        for flow in entrance.flows.values():
            self._forget(flow)
        entrance.clear()

    def _clear(self) -> None:
        self._generation = self._switch.generation
        self._stations.clear()
        for entrance in self._entrances.values():
            entrance.clear()

    def _station_changed(self, station: Key) -> None:
        for flow, entrance in list(self._stations.get(station, {}).items()):
            del entrance.flows[flow.key]
            entrance.weight -= _weight(flow)
            entrance.table.discard(flow.key)
            entrance.conversations.part(flow.conversation)
            self._forget(flow)


def _weight(flow: Flow) -> int:
    return 1 + len(flow.exits)


def _key(frame: Frame) -> bytes:
    tag = frame.tpid.to_bytes(2) + frame.tci.to_bytes(2) if frame.tpid else bytes(frame.raw[TYPE:KEY])
    return b"".join((PLAIN, frame.destination, frame.source, tag))


def _tag(edit: TagEdit | None) -> bytes | None:
    if edit is None:
        return None
    return edit.tpid.to_bytes(2) + edit.tci.to_bytes(2) if edit.tpid else b""


def _needs(frame: Frame) -> tuple[Key, ...]:
    """The stations whose changes make the verdict of an admitted frame void."""
    source, destination = (frame.vid, frame.source), (frame.vid, frame.destination)
    return (source,) if source == destination or is_group(frame.destination) else (source, destination)
