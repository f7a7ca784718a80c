"""VLANs of a port, and the two questions 802.1Q asks of them: which VLAN is this frame in, and how does it leave?

IEEE 802.1Q-2018 clauses 6.9 (ingress classification, egress tagging), 8.6.2 (ingress filtering), 8.6.4 (egress);
Linux `net/bridge/br_vlan.c` answers alike where the standard leaves a choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vswitch.core.frame import C_TAG, UNTAGGED, TagEdit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vswitch.core.frame import Frame

DEFAULT_VID: Final = 1
MAX_VID: Final = 4094  # 0 means "no VLAN, only a priority", 0xFFF is reserved: 802.1Q Table 9-2
VID_BITS: Final = 0x0FFF
PRIORITY_BITS: Final = 0xF000  # PCP and DEI


@dataclass(frozen=True, slots=True)
class PortVlan:
    """A port's VLANs: the PVID that untagged frames take, and the VIDs that leave tagged and untagged."""

    pvid: int | None = DEFAULT_VID
    tagged: frozenset[int] = frozenset()
    untagged: frozenset[int] = frozenset((DEFAULT_VID,))

    @classmethod
    def access(cls, vid: int) -> PortVlan:
        """A port for a station that knows nothing of VLANs."""
        return cls(vid, frozenset(), frozenset((vid,)))

    @classmethod
    def trunk(cls, vids: Iterable[int], native: int | None = None) -> PortVlan:
        """A port that carries `vids` tagged, and `native` (a member whether named or not) untagged."""
        untagged = frozenset(() if native is None else (native,))
        return cls(native, frozenset(vids) - untagged, untagged)

    @property
    def members(self) -> frozenset[int]:
        """Every VID that may pass this port."""
        return self.tagged | self.untagged


def classify(frame: Frame, vlan: PortVlan) -> int | None:
    """The VID that a frame takes on this port, or None where ingress filtering stops it.

    An untagged or priority-tagged (VID 0) frame takes the PVID; any other must belong to a VLAN of the port.
    """
    vid = frame.tci & VID_BITS
    if vid == 0:
        return vlan.pvid
    return vid if vid in vlan.untagged or vid in vlan.tagged else None


def egress_edit(frame: Frame, vid: int, vlan: PortVlan) -> TagEdit | None:
    """How the frame's tag changes where it leaves in VLAN `vid` by a member port; None: not at all.

    The priority of a priority-tagged frame stays in the tag that takes its place.
    """
    if vid in vlan.untagged:
        return UNTAGGED if frame.tpid else None
    if frame.tci & VID_BITS == vid:
        return None
    return TagEdit(frame.tpid or C_TAG, frame.tci & PRIORITY_BITS | vid)
