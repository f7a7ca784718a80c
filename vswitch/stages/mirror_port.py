"""The destination of a mirror: nothing comes in by it, and nothing but the mirror's copies leaves by it.

So a mirror makes no loop, and there is no mirror of a mirror. Open vSwitch's `output_port` does the same
(ovs-vswitchd.conf.db(5), Mirror table).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.core.stage import Stage
from vswitch.core.verdict import Reason, Verdict, drop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vswitch.core.frame import Frame
    from vswitch.core.port import BridgePort


class MirrorPort(Stage):
    """Keeps the destinations of mirrors apart from the switch."""

    name = "mirror_port"

    def ports_changed(self, ports: Sequence[BridgePort]) -> None:
        """Without such a port there is no rule."""
        self.active = any(port.takes_copies for port in ports)

    def ingress(self, frame: Frame, _now: float) -> Verdict | None:
        """Nobody behind it has a part in the switch."""
        return drop(Reason.MIRROR_PORT) if frame.port.takes_copies else None

    def egress(self, _frame: Frame, port: BridgePort, _now: float) -> Reason | None:
        """Only copies leave there."""
        return Reason.MIRROR_PORT if port.takes_copies else None

    def describe(self, frame: Frame) -> str:
        """Whether the ingress port is one."""
        return f"port {frame.port.name} is {'the' if frame.port.takes_copies else 'no'} destination of a mirror"
