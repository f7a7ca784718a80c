"""Features on the way of a frame: one file each, one line here that registers it. The order is the frame's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vswitch.stages.impair import Impair
from vswitch.stages.isolation import Isolation
from vswitch.stages.mirror_port import MirrorPort
from vswitch.stages.reserved import ReservedAddresses

if TYPE_CHECKING:
    from vswitch.core.stage import Stage

STAGES: tuple[type[Stage], ...] = (MirrorPort, ReservedAddresses, Isolation, Impair)
"""Impairments last: a frame that one let go has passed all others."""
