"""Reserved group addresses 01-80-C2-00-00-00 … 0F: which of them pass a port, as its profile says.

IEEE 802.1Q-2018 Tables 8-1 and 8-2 list what each kind of bridge keeps to itself. A port's profile holds in both
directions: a frame passes only where both the port it comes from and the port it leaves by relay the address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from vswitch.core.mac import format_mac
from vswitch.core.stage import PortOption, Stage
from vswitch.core.verdict import Reason, Verdict, drop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vswitch.core.frame import Frame
    from vswitch.core.port import BridgePort

PREFIX: Final = bytes.fromhex("0180c20000")

PROFILES: Final = {
    "bridge": frozenset[int](),
    "provider": frozenset((0x00, 0x0B, 0x0C, 0x0D, 0x0F)),
    "wire": frozenset(range(16)),
}
"""Last octets of the addresses that each profile relays."""


class ReservedAddresses(Stage):
    """Stops reserved addresses that a port's profile does not relay."""

    name = "reserved_addresses"
    option = PortOption(
        "reserved",
        Literal["bridge", "provider", "wire"],
        "bridge",
        "which of 01:80:c2:00:00:00 … 0f pass: none (bridge), customer protocols (provider), all of them (wire)",
    )

    def __init__(self) -> None:
        """Without ports at first."""
        self._relayed: dict[BridgePort, frozenset[int]] = {}

    def ports_changed(self, ports: Sequence[BridgePort]) -> None:
        """Look each port's profile up once."""
        self._relayed = {port: PROFILES[str(port.settings.options.get("reserved", "bridge"))] for port in ports}

    def ingress(self, frame: Frame, _now: float) -> Verdict | None:
        """Drop what the ingress port does not take in."""
        return None if self._relays(frame, frame.port) else drop(Reason.RESERVED_ADDRESS)

    def egress(self, frame: Frame, port: BridgePort, _now: float) -> Reason | None:
        """Keep it from a port that would not take it in either."""
        return None if self._relays(frame, port) else Reason.RESERVED_ADDRESS

    def describe(self, frame: Frame) -> str:
        """The address and the profile."""
        if not _is_reserved(frame.destination):
            return f"{format_mac(frame.destination)} is not a reserved address"
        return f"{format_mac(frame.destination)} is reserved; {frame.port.name} relays {self._profile(frame.port)}"

    def _relays(self, frame: Frame, port: BridgePort) -> bool:
        return not _is_reserved(frame.destination) or frame.destination[5] in self._relayed[port]

    def _profile(self, port: BridgePort) -> str:
        return " ".join(f"{octet:02x}" for octet in sorted(self._relayed[port])) or "none of them"


def _is_reserved(destination: bytes) -> bool:
    return destination[:5] == PREFIX and destination[5] < 16
