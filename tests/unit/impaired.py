"""A switch with one impaired port, whose time a test steps by hand."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from tests.unit.frames import BROADCAST, A, B, raw
from vswitch.core.offload import HEADER, PLAIN, Capability
from vswitch.core.port import BridgePort, PortSettings
from vswitch.core.switch import Switch
from vswitch.stages.impair import OPTION, Impair
from vswitch.stages.impairment.spec import Impairment, Line

if TYPE_CHECKING:
    from vswitch.core.verdict import Reason, Verdict
    from vswitch.stages.impairment.wire import Wire


class Link:
    """Guests a and b, and between them the impairment of port b: `out`, unless said otherwise."""

    def __init__(self, *, seed: int = 1, received: bool = False, **line: Any) -> None:
        self.stage = Impair()
        self.switch = Switch([self.stage])
        self.now = 1000.0
        self.came: list[tuple[float, bytes]] = []
        """When each frame left for the other guest, and what it was."""
        self.lost: list[Reason] = []
        for name in "ab":
            self.switch.add_port(BridgePort(name, offload=Capability.ALL))
        for name, mac in (("a", A), ("b", B)):
            self.switch.receive_raw(raw(BROADCAST, mac), self.port(name), self.now)
        self.received = received
        self.set(seed=seed, **line)
        self.run(0.0)
        self.came.clear()

    def port(self, name: str) -> BridgePort:
        return self.switch.ports[name]

    def set(self, *, seed: int = 1, **line: Any) -> None:
        """Impair it so; nothing clears it."""
        made = Line(**line) if line else None
        impairment = Impairment(seed, random.Random, *((made, None) if self.received else (None, made)))
        self.switch.configure_port("b", PortSettings(options={OPTION: impairment if line else None}))

    @property
    def wire(self) -> Wire:
        wire = self.stage.wire(self.port("b"), sent=not self.received)
        assert wire is not None
        return wire

    def send(self, number: int = 0, size: int = 64, *, octets: bytes | None = None) -> Verdict:
        """A frame from one guest to the other, through the impairment."""
        name, to, source = ("b", A, B) if self.received else ("a", B, A)
        frame = octets or raw(to, source, payload=number.to_bytes(4) + bytes(size - 18))
        buffer = bytearray(frame)
        verdict = self.switch.receive_raw(memoryview(buffer), self.port(name), self.now)
        self._note(verdict)
        buffer[:] = bytes(len(buffer))  # buffers are used again
        return verdict

    def run(self, seconds: float, *, late: float = 0.0) -> None:
        """Let time pass; the engine rings when it is asked to, or so much later."""
        end = self.now + seconds
        while (deadline := self.switch.stage_deadline()) is not None and deadline + late <= end:
            self.now = max(self.now, deadline + late)
            for _, verdict in self.switch.release(self.now):
                self._note(verdict)
        self.now = end

    def numbers(self) -> list[int]:
        return [int.from_bytes(frame[14:18]) for _, frame in self.came]

    def delays(self, sent: list[float]) -> list[float]:
        return [time - then for (time, _), then in zip(self.came, sent, strict=True)]

    def _note(self, verdict: Verdict) -> None:
        self.lost += [reason for _, reason in verdict.lost] + ([verdict.reason] if verdict.reason else [])
        for port, frame, edit in verdict.egress:
            forms = frame.form(edit, port.offload)
            self.came += [(self.now, bytes(form[HEADER:] if form[:HEADER] == PLAIN else form)) for form in forms]
