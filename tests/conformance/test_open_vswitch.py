"""Our switch against Open vSwitch's userspace datapath, with VLANs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.comparison import compare
from tests.conformance.differences import OPEN_VSWITCH
from tests.conformance.openvswitch import OpenVSwitch
from tests.conformance.ours import Ours
from tests.conformance.settings import CONNECTED_VLAN_PORTS as PORTS
from tests.conformance.taps import Guests

if TYPE_CHECKING:
    from pathlib import Path

FRAMES = 100_000
MTU = 9000
"""Octets, more than any frame has: Open vSwitch leaves sizes to the kernel, which refuses what is too long, and the
rest of the burst with it. Sizes are compared with the kernel's own bridge."""


@pytest.mark.program("ovsdb-server", "ovs-vswitchd")
@pytest.mark.usefixtures("powers")
def test_same_frames_as_open_vswitch(tmp_path: Path) -> None:
    with Guests(len(PORTS), mtu=MTU) as guests, OpenVSwitch(tmp_path, guests, PORTS) as other:
        ours = Ours(PORTS, vlan_filtering=True, mtu=MTU)
        compare(ours, other, OPEN_VSWITCH, count=FRAMES)
