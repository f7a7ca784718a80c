"""Who talks to whom by one port, and how much: what the flow tables count, and the frames that passed them by.

A conversation owns its counters, and the flows of it that a table knows count in them too. So nothing has to be fetched
when a table forgets a flow, and a frame is counted once, where the port's own counters count it as received.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from vswitch.core.mac import is_group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vswitch.core.frame import Frame
    from vswitch.core.port import BridgePort
    from vswitch.core.verdict import Reason, Verdict

FRAMES, OCTETS, LAST = range(3)
"""Where in `Conversation.values` what stands; LAST is a time in ticks."""

TICK: Final = 1 / 16
"""Seconds of the engine's clock. The flow tables copy a number of ticks: it is small, and seldom another."""

MOST: Final = 4096
"""Conversations of one port, beside those whose flows its table knows, that are remembered."""

_ZEROS: Final = array("Q", (0, 0, 0))
_port: Final = itemgetter(0)  # of an Egress

Parties = tuple[int, bytes, bytes]
"""The VLAN, 0 where the frame was admitted to none; source and destination."""


class Conversation:
    """What came in by one port from one station for another one, or for a group, in one VLAN.

    values: frames and octets as on the wire, and when the last of them came.
    ports: those that such a frame left by when the switch last decided of one.  reason: why it was dropped then.
    flows: how many flows of it the port's table knows.
    """

    __slots__ = ("flows", "parties", "ports", "reason", "values")

    def __init__(self, parties: Parties) -> None:
        """No frame came yet."""
        self.parties = parties
        self.values = _ZEROS[:]
        self.ports: tuple[BridgePort, ...] = ()
        self.reason: Reason | None = None
        self.flows = 0

    @property
    def last(self) -> float:
        """When the last frame came, in seconds of the engine's clock, to a tick."""
        return self.values[LAST] * TICK

    @property
    def unicast(self) -> bool:
        """Whether it is for one station, which may answer."""
        return not is_group(self.parties[2])


class Conversations:
    """Those of one port: the ones that its flow table counts in, and of all others the last heard."""

    __slots__ = ("_known", "_others", "_ports")

    def __init__(self) -> None:
        """Nobody has spoken yet."""
        self._known: dict[Parties, Conversation] = {}
        self._others: OrderedDict[Parties, Conversation] = OrderedDict()
        self._ports: tuple[BridgePort, ...] = ()

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._known) + len(self._others)

    def __iter__(self) -> Iterator[Conversation]:
        """Each of them once."""
        return chain(self._known.values(), self._others.values())

    def get(self, parties: Parties) -> Conversation | None:
        """The one between these, if it is remembered."""
        return self._known.get(parties) or self._others.get(parties)

    def count(self, frame: Frame, verdict: Verdict, ticks: int) -> Conversation:
        """Count a frame that the switch decided of; ticks: when it came."""
        parties = (frame.vid, frame.source, frame.destination)
        conversation = self._known.get(parties)
        if conversation is None:
            conversation = self._others.get(parties)
            if conversation is None:
                conversation = Conversation(parties)
                self._put(conversation)
            else:
                self._others.move_to_end(parties)
        values = conversation.values
        values[FRAMES] += frame.segments
        values[OCTETS] += frame.octets
        values[LAST] = ticks
        self._settle(conversation, verdict)
        return conversation

    def settle(self, frame: Frame, verdict: Verdict) -> None:
        """Note what became of a frame that was counted when it came, and held."""
        conversation = self.get((frame.vid, frame.source, frame.destination))
        if conversation is not None:
            self._settle(conversation, verdict)

    def _settle(self, conversation: Conversation, verdict: Verdict) -> None:
        ports = (*map(_port, verdict.egress), *verdict.held)
        if ports != self._ports:
            self._ports = ports
        conversation.ports = self._ports  # one for all, not one each, in a flood of random addresses
        conversation.reason = verdict.reason
        if verdict.lost and not ports:
            conversation.reason = verdict.lost[0][1]

    def join(self, conversation: Conversation) -> None:
        """The port's table knows one more flow of it: as long as it does, the conversation is remembered."""
        if not conversation.flows:
            self._others.pop(conversation.parties, None)
            self._known[conversation.parties] = conversation
        conversation.flows += 1

    def part(self, conversation: Conversation) -> None:
        """The port's table knows one flow of it less."""
        conversation.flows -= 1
        if not conversation.flows:
            self._put(self._known.pop(conversation.parties))

    def part_all(self) -> None:
        """The port's table knows no flow any more: those heard last are remembered longest."""
        known = sorted(self._known.values(), key=lambda each: each.values[LAST])
        self._known.clear()
        for conversation in known:
            conversation.flows = 0
            self._put(conversation)

    def _put(self, conversation: Conversation) -> None:
        if len(self._others) >= MOST:
            self._others.popitem(last=False)
        self._others[conversation.parties] = conversation
