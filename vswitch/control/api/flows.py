"""Who talks to whom: the conversations that a switch remembers, those with the last frames first."""

from __future__ import annotations

import asyncio
from heapq import nlargest
from typing import TYPE_CHECKING, Final, Self

from pydantic import Field

from vswitch.control.api.models import Model
from vswitch.control.api.route import Route, common, number
from vswitch.core.mac import format_mac, parse_mac
from vswitch.units import parse_vid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiohttp import web

    from vswitch.control.service import Service
    from vswitch.core.port import BridgePort
    from vswitch.fastpath.conversations import Conversation, Conversations

MOST: Final = 1000
"""Rows of one answer."""

LIMIT: Final = {"type": "integer", "minimum": 1, "maximum": MOST, "default": MOST, "description": "rows at most"}

Found = tuple["BridgePort", "Conversation"]


class FlowRow(Model):
    """What came in by `port` from `source` for `destination`, as `show flows --json` has it.

    vlan: null where the frames were admitted to none.  egress: the ports that such a frame left by when the switch last
    decided of one.  reason: why it left by none.  frames, bytes: as on the wire, without FCS.
    age: seconds since the last frame.  one_way: it is unicast, and no port had a frame from `destination` for `source`.
    """

    port: str
    source: str
    destination: str
    vlan: int | None
    egress: list[str]
    reason: str | None
    frames: int = Field(ge=0)
    bytes: int = Field(ge=0)
    age: float
    one_way: bool

    @classmethod
    def of(cls, port: str, conversation: Conversation, now: float, *, answered: bool) -> Self:
        """A copy of the counters."""
        vid, source, destination = conversation.parties
        frames, octets, _ = conversation.values
        return cls.model_construct(
            port=port,
            source=format_mac(source),
            destination=format_mac(destination),
            vlan=vid or None,
            egress=[each.name for each in conversation.ports],
            reason=conversation.reason,
            frames=frames,
            bytes=octets,
            age=round(max(0.0, now - conversation.last), 1),
            one_way=conversation.unicast and not answered,
        )


async def _flows(service: Service, request: web.Request) -> list[FlowRow]:
    """The loop has its turn after each port, of which some thousand conversations may be remembered."""
    engine, limit = (
        service.engine,
        number(request.query.get("limit", str(MOST)), "how many conversations to show", MOST),
    )
    wanted = _wanted(service, request)
    everybody = [(bridge, engine.conversations(bridge)) for bridge in service.switch.ports.values()]
    found: list[Found] = []
    for bridge, conversations in everybody:
        here = [(bridge, each) for each in conversations if wanted(bridge, each)]
        found = nlargest(limit, [*found, *here], key=_last)
        await asyncio.sleep(0)
    answers = await answered(everybody, [conversation for _, conversation in found])
    now = engine.clock()
    return [FlowRow.of(bridge.name, each, now, answered=at in answers) for at, (bridge, each) in enumerate(found)]


async def answered(
    everybody: Sequence[tuple[BridgePort, Conversations]], conversations: Sequence[Conversation]
) -> set[int]:
    """Which of the conversations, by their places, have an answer at some port; each port is one turn of the loop."""
    found = set[int]()
    for _, those in everybody:
        found.update(number for number, each in enumerate(conversations) if _answers(those, each))
        await asyncio.sleep(0)
    return found


def _wanted(service: Service, request: web.Request) -> Callable[[BridgePort, Conversation], bool]:
    """Whether a conversation is asked for: by a station, a port that it comes or leaves by, a VLAN. Raises."""
    name, vlan, mac = (request.query.get(key) for key in ("port", "vlan", "mac"))
    port = None if name is None else service.bridge(name)
    vid = None if vlan is None else parse_vid(vlan)
    station = None if mac is None else parse_mac(mac)

    def wanted(bridge: BridgePort, conversation: Conversation) -> bool:
        return (
            (port is None or port is bridge or port in conversation.ports)
            and vid in (None, conversation.parties[0])
            and (station is None or station in conversation.parties)
        )

    return wanted


def _last(found: Found) -> float:
    return found[1].last


def _answers(conversations: Conversations, conversation: Conversation) -> bool:
    vid, source, destination = conversation.parties
    return conversations.get((vid, destination, source)) is not None


ROUTES = (
    Route("GET", "/v1/flows", "Who talks to whom, the last heard first", list[FlowRow], _flows,
          query={**common("mac", "port", "vlan"), "limit": LIMIT}, open=True),
)  # fmt: skip
