"""What the switch decides of one frame, and the words for why it drops one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from vswitch.core.frame import Frame, TagEdit
    from vswitch.core.port import BridgePort


class Reason(StrEnum):
    """Why a frame is dropped. The names are stable: metrics, `explain` and captures use the same word."""

    meaning: str
    number: int

    def __new__(cls, value: str, meaning: str) -> Reason:
        """A member is its name; what it means, in one sentence, and its place in the order come along."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.number = len(cls.__members__)
        member.meaning = meaning
        return member

    RUNT = "runt", "The frame has fewer than 14 octets, so it has no whole Ethernet header."
    OVERSIZE = "oversize", "The frame, or one segment of it, is longer than the MTU of the port it would leave by."
    OFFLOAD_INVALID = "offload_invalid", "The virtio-net header contradicts the frame it stands before."
    SOURCE_INVALID = "source_invalid", "The source is a group address or all zeros; no station can have it."
    VLAN_FILTERED = "vlan_filtered", "The port is not a member of the frame's VLAN, or has none for untagged frames."
    RESERVED_ADDRESS = "reserved_address", "The port's profile does not relay this 01:80:c2:00:00:0x address."
    SAME_PORT = "same_port", "No frame leaves by the port that it came from."
    ISOLATED = "isolated", "Both ports are isolated, and isolated ports do not talk to each other."
    MIRROR_PORT = "mirror_port", "The port is the destination of a mirror, and takes no part in the switch otherwise."
    IMPAIRED = "impaired", "The impairment of the port lost the frame, as it was told to."
    PORT_DOWN = "port_down", "The port is down."
    QUEUE_FULL = "queue_full", "The port, or its impairment, takes frames too slowly, and its queue is full."
    IO_ERROR = "io_error", "The operating system refused the frame."
    TRUNCATED = "truncated", "The far end of a socket hung up, or paused for too long, before the frame was whole."
    TUNNEL_LOOP = "tunnel_loop", "The frame is one that the port's own tunnel sent: it would carry itself."
    NO_EGRESS = "no_egress", "There is no other port that the frame may leave by."


LOSSES = frozenset((Reason.OVERSIZE, Reason.IMPAIRED, Reason.QUEUE_FULL))
"""Reasons of the egress rule by which a frame that was meant for a port is lost there; the others are filtering."""

RECEIVE_ERRORS = (Reason.RUNT, Reason.OFFLOAD_INVALID, Reason.TRUNCATED)
TRANSMIT_ERRORS = (Reason.IO_ERROR,)
"""Reasons that are ifInErrors and ifOutErrors of RFC 2863: the frame itself, or the sending of it, went wrong. All
others are discards, the MTU of a port included (dot1dBasePortMtuExceededDiscards of RFC 4188)."""


class Hold(Enum):
    """The type of HELD."""

    HELD = "held"


HELD: Final = Hold.HELD
"""A stage's answer for a frame that it keeps, to let it leave later."""


class Egress(NamedTuple):
    """One port that a frame leaves by: `frame` in the form that `edit` gives its tag (None keeps it)."""

    port: BridgePort
    frame: Frame
    edit: TagEdit | None


@dataclass(slots=True)
class Verdict:
    """The whole of a decision: dropped with a reason, or forwarded to each of `egress`.

    `lost` names the ports that the frame was meant for and could not leave by, each with its reason: those are
    drops of the egress port. `learned` says whether the source was learned. `cacheable` says whether the next frame of
    the same flow, if it is no longer than this one, would fare the same until the switch tells of a change.
    `mirrored` is what mirrors send of it, whatever becomes of the frame, and whether or not their ports can take it.
    `held` names the ports at which a stage keeps it: the one that it came in by, or some that it will leave by.
    """

    reason: Reason | None = None
    egress: tuple[Egress, ...] = ()
    lost: tuple[tuple[BridgePort, Reason], ...] = ()
    cacheable: bool = True
    learned: bool = False
    mirrored: tuple[Egress, ...] = ()
    held: tuple[BridgePort, ...] = ()


class Held(NamedTuple):
    """A frame that a stage kept, and now lets go.

    port: the one that it leaves by; None: it goes on from the port that it came in by.
    reason: why it is dropped there instead.
    """

    frame: Frame
    port: BridgePort | None = None
    reason: Reason | None = None


class Released(NamedTuple):
    """A frame that was held, and what the switch decides of it now."""

    frame: Frame
    verdict: Verdict


def drop(reason: Reason) -> Verdict:
    """The verdict that drops a frame."""
    return Verdict(reason)
