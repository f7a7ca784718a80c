"""What switch and page say to each other by the WebSocket `/v1/live`, as models: one JSON text a message."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import ConfigDict, Field, ValidationError

from vswitch.control.api.flows import FlowRow
from vswitch.control.api.history import HistoryRow
from vswitch.control.api.models import Model, PortRow
from vswitch.units import PortName


class Ask(Model):
    """From the page. interval: seconds from state to state.  frames: the port whose frames to show; null: none."""

    model_config = ConfigDict(extra="forbid", title="LiveAsk")

    interval: float | None = Field(None, ge=0.25, le=10, allow_inf_nan=False)
    frames: PortName | None = None


def understood(text: str) -> Ask:
    """What the page asks for. Raises ValueError: one sentence."""
    try:
        return Ask.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:100]
        raise ValueError(f"this is not understood: {where}{': ' if where else ''}{first['msg']}"[:300]) from None


class Hello(Model):
    """The first message. interval: seconds from state to state.  may: what this page may ask for.

    started: when the switch did, in seconds since the epoch.  reasons: what each drop reason means.
    """

    model_config = ConfigDict(extra="forbid", title="LiveHello")

    type: Literal["hello"] = "hello"
    switch: str
    version: str
    fastpath: str
    interval: float
    may: list[str]
    started: float
    reasons: dict[str, str]


class Fdb(Model):
    """The filtering database: stations known and the most there may be; moves and episodes of flapping so far."""

    model_config = ConfigDict(extra="forbid", title="LiveFdb")

    entries: int
    limit: int
    moves: int
    flaps: int


class Loop(Model):
    """How late the switch's loop was, in seconds: it grows where something holds the switch up."""

    model_config = ConfigDict(extra="forbid", title="LiveLoop")

    lag: float


class Talker(FlowRow):
    """A conversation. rate: bit/s, lately."""

    rate: float = 0.0


class State(Model):
    """Everything that counts. at: seconds of a clock that never goes back: rates are differences over its differences.

    flows: the conversations that carried most lately.
    """

    model_config = ConfigDict(extra="forbid", title="LiveState")

    type: Literal["state"] = "state"
    at: float
    ports: list[PortRow]
    fdb: Fdb
    flows: list[Talker]
    loop: Loop


class HistoryNews(Model):
    """What became of stations since the last such message. skipped: events between, of which there were too many."""

    model_config = ConfigDict(extra="forbid", title="LiveHistory")

    type: Literal["history"] = "history"
    events: list[HistoryRow]
    skipped: int = 0


class FrameLine(Model):
    """A frame at a port. at: seconds since the epoch.  direction: from the guest (in), or to it (out).

    vlan: the switch's, null where it got into none.  length: octets without FCS.  reason: why it was dropped there.
    line: what it says.  marks: what is remarkable about it.
    """

    at: float
    port: str
    direction: Literal["in", "out"]
    vlan: int | None
    length: int
    reason: str | None
    line: str
    marks: list[str]


class FrameNews(Model):
    """Frames that passed. lost: how many did that are not shown, since the last such message."""

    model_config = ConfigDict(extra="forbid", title="LiveFrames")

    type: Literal["frames"] = "frames"
    port: str
    frames: list[FrameLine]
    lost: int


class Mistake(Model):
    """What is wrong with what the page asked for."""

    model_config = ConfigDict(extra="forbid", title="LiveError")

    type: Literal["error"] = "error"
    message: str


SAID: Final = (Hello, State, HistoryNews, FrameNews, Mistake)
"""All that the switch says."""
