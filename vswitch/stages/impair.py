"""Impairments: links that lose, delay and spoil frames as they are told to, in either direction of a port.

It comes last of all stages: on the wire between the port and its guest. What a port's guest sends is impaired before
the switch learns from it, what goes to the guest after everything else was decided.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from vswitch.core.stage import Stage, Step
from vswitch.core.verdict import HELD, Hold, Reason, Verdict, drop
from vswitch.stages.impairment.spec import Impairment
from vswitch.stages.impairment.wire import Wire
from vswitch.stages.impairment.words import foretold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vswitch.core.frame import Frame
    from vswitch.core.port import BridgePort
    from vswitch.core.verdict import Held
    from vswitch.stages.impairment.spec import Line

OPTION = "impair"
"""The option of a port that is its `Impairment`, or None."""


class Impair(Stage):
    """Impairs frames at the ports that have it."""

    name = "impair"
    is_wire = True

    def __init__(self) -> None:
        """No port has an impairment."""
        self._wires: tuple[dict[BridgePort, Wire], dict[BridgePort, Wire]] = {}, {}
        self._received, self._sent = self._wires
        self._soonest = inf

    def wire(self, port: BridgePort, *, sent: bool) -> Wire | None:
        """One direction of a port, if it has an impairment."""
        wire = self._wires[sent].get(port)
        return wire if wire is not None and _line(port, sent=sent) is not None else None

    def ports_changed(self, ports: Sequence[BridgePort]) -> None:
        """Set, change and clear what the ports' settings say; what is unchanged goes on as it was."""
        for sent, wires in enumerate(self._wires):
            for port in [*wires]:
                if port not in ports:
                    del wires[port]
            for port in ports:
                self._settle(port, wires, sent=bool(sent))
        self._choose()

    def _settle(self, port: BridgePort, wires: dict[BridgePort, Wire], *, sent: bool) -> None:
        line, wire = _line(port, sent=sent), wires.get(port)
        if line is None:
            if wire is not None and len(wire):
                wire.hurry()
            else:
                wires.pop(port, None)
            return
        impairment = _impairment(port)
        if impairment is None or (wire is not None and wire.line == line and wire.seed == impairment.seed):
            return
        generator = impairment.seeded(f"{impairment.seed}/{port.name}/{'out' if sent else 'in'}")
        if wire is None:
            wires[port] = Wire(port if sent else None, line, impairment.seed, generator)
        else:
            wire.change(line, impairment.seed, generator)

    def _choose(self) -> None:
        """What is idle costs nothing."""
        self.singly_in, self.singly_out = (frozenset(wires) for wires in self._wires)
        self.active = bool(self._received or self._sent)
        self._wait()

    def _wait(self) -> None:
        self._soonest = min((wire.due() for wires in self._wires for wire in wires.values()), default=inf)

    # Frames

    def ingress(self, frame: Frame, now: float) -> Verdict | None:
        """Hold or lose what comes in by an impaired port."""
        wire = self._received.get(frame.port)
        outcome = self._take(wire, frame, now) if wire is not None else None
        if outcome is None:
            return None
        return drop(outcome) if isinstance(outcome, Reason) else Verdict(held=(frame.port,), cacheable=False)

    def egress(self, frame: Frame, port: BridgePort, now: float) -> Reason | Hold | None:
        """Hold or lose what leaves by one."""
        wire = self._sent.get(port)
        return self._take(wire, frame, now) if wire is not None else None

    def _take(self, wire: Wire, frame: Frame, now: float) -> Reason | Hold | None:
        outcome = wire.take(frame, now)
        if outcome is HELD:
            self._soonest = min(self._soonest, wire.due())
        return outcome

    # Time

    def next_deadline(self) -> float | None:
        """When the next frame is to be let go."""
        return None if self._soonest == inf else self._soonest

    def handle_timer(self, now: float) -> Sequence[Held]:
        """Let frames go, what comes in first."""
        released: list[Held] = []
        idle = False
        for sent, wires in enumerate(self._wires):
            for port, wire in wires.items():
                if wire.due() <= now:
                    released += wire.release(now)
                    idle |= not len(wire) and _line(port, sent=bool(sent)) is None
        if idle:
            self._let_go()
        self._wait()
        return released

    def _let_go(self) -> None:
        """Forget the wires that have no impairment, and hold nothing, any more."""
        for sent, wires in enumerate(self._wires):
            for port in [
                port for port, wire in wires.items() if not len(wire) and _line(port, sent=bool(sent)) is None
            ]:
                del wires[port]
        self._choose()

    # Explanations

    def explain_ingress(self, frame: Frame, now: float) -> Step:
        """What would be done, without a chance being drawn."""
        wire = self._received.get(frame.port)
        if wire is None:
            return Step(self.name, f"nothing is done to what comes in by port {frame.port.name}")
        return Step(self.name, foretold(wire, frame, now), wire.doomed(frame, now))

    def explain_egress(self, frame: Frame, port: BridgePort, now: float) -> Reason | None:
        """Why it would be lost, if that is certain."""
        wire = self._sent.get(port)
        return wire.doomed(frame, now) if wire is not None else None

    def foretell(self, frame: Frame, port: BridgePort, now: float) -> str:
        """What would be done."""
        wire = self._sent.get(port)
        return foretold(wire, frame, now) if wire is not None else ""


def _impairment(port: BridgePort) -> Impairment | None:
    impairment = port.settings.options.get(OPTION)
    return impairment if isinstance(impairment, Impairment) else None


def _line(port: BridgePort, *, sent: bool) -> Line | None:
    impairment = _impairment(port)
    if impairment is None:
        return None
    return impairment.sent if sent else impairment.received
