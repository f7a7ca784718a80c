"""The one shape of a feature: a stage. It defines the hooks it needs; only those are called.

A stage decides on bytes and given times alone. It keeps state only in itself, draws random numbers only from a
generator it was given, and is registered by one line in `vswitch.stages`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vswitch.core.frame import Frame
    from vswitch.core.port import BridgePort
    from vswitch.core.verdict import Held, Reason, Verdict


@dataclass(frozen=True, slots=True)
class PortOption:
    """An option that a stage adds to every port of the configuration.

    type: an annotation that the schema checks (`bool`, `Literal[...]`, a model).  description: one line for people.
    """

    name: str
    type: Any
    default: Any
    description: str


@dataclass(frozen=True, slots=True)
class Step:
    """One rule's part in an explanation: what it saw, in words, and the reason where it dropped the frame."""

    rule: str
    saw: str
    reason: Reason | None = None


class Stage:
    """A rule on the way of a frame. Subclasses define any of the hooks; the base class defines none of them.

    ingress(frame, now) -> Verdict | None
        Before learning. A verdict ends the frame's way, or says that it is held; None lets it go on.
    egress(frame, port, now) -> Frame | Reason | Hold | None
        For each port that the frame would leave by. A reason keeps it from leaving there, a frame takes its place,
        HELD means that it will leave later. What a stage keeps is `Frame.kept`.
    ports_changed(ports) -> None
        The ports, their settings or their states are now these. The stage says here whether it is `active`.
    next_deadline() -> float | None, handle_timer(now) -> Sequence[Held]
        When the stage wants to be called, and that call; it returns the frames that it lets go now. It may take ports
        out of `singly_in` and `singly_out` then, and be `active` no more.
    """

    name: ClassVar[str]
    option: ClassVar[PortOption | None] = None
    active: bool = True
    is_wire: ClassVar[bool] = False
    """Whether it is the wire between a port and its guest: frames that nobody forwarded there pass it as well."""
    cacheable: bool = True
    """Whether the stage decides alike for all frames of one flow until a generation passes."""
    singly_in: frozenset[BridgePort] = frozenset()
    singly_out: frozenset[BridgePort] = frozenset()
    """The ports for which it decides, all the same, of each frame anew: of those that come in there, and that leave."""

    def ports_changed(self, ports: Sequence[BridgePort]) -> None:
        """Take note of the ports as they are now."""

    def next_deadline(self) -> float | None:
        """When `handle_timer` is wanted, in seconds of the engine's clock; None: never."""
        return None

    def handle_timer(self, now: float) -> Sequence[Held]:  # noqa: ARG002
        """Do what was due; the frames that were held until now."""
        return ()

    def explain_ingress(self, frame: Frame, now: float) -> Step:
        """What `ingress` would do, in words, changing nothing. A stage whose `ingress` changes state overrides it."""
        ingress = getattr(self, "ingress", None)
        verdict: Verdict | None = ingress(frame, now) if ingress else None
        return Step(self.name, self.describe(frame), verdict.reason if verdict else None)

    def explain_egress(self, frame: Frame, port: BridgePort, now: float) -> Frame | Reason | None:
        """What `egress` would answer, changing nothing. A stage whose `egress` changes state overrides it."""
        egress = getattr(self, "egress", None)
        outcome: Frame | Reason | None = egress(frame, port, now) if egress else None
        return outcome

    def foretell(self, frame: Frame, port: BridgePort, now: float) -> str:  # noqa: ARG002
        """What else will happen to the frame on its way out there, in words; nothing, usually."""
        return ""

    def describe(self, frame: Frame) -> str:
        """What the stage looks at in this frame, in words."""
        return repr(frame)
