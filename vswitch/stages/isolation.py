"""Isolated ports: they reach every port but one another (the `isolated` flag of a Linux bridge port)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.core.stage import PortOption, Stage
from vswitch.core.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vswitch.core.frame import Frame
    from vswitch.core.port import BridgePort


class Isolation(Stage):
    """Keeps isolated ports apart."""

    name = "isolation"
    option = PortOption("isolated", bool, False, "reaches only ports that are not isolated")

    def __init__(self) -> None:
        """Nobody is isolated at first."""
        self._isolated: frozenset[BridgePort] = frozenset()

    def ports_changed(self, ports: Sequence[BridgePort]) -> None:
        """Only two isolated ports make a rule."""
        self._isolated = frozenset(port for port in ports if port.settings.options.get("isolated", False))
        self.active = len(self._isolated) > 1

    def egress(self, frame: Frame, port: BridgePort, _now: float) -> Reason | None:
        """No way from one isolated port to another."""
        return Reason.ISOLATED if port in self._isolated and frame.port in self._isolated else None
