"""Our switch against the bridge of the Linux kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.comparison import compare
from tests.conformance.differences import BRIDGE_NETFILTER, KERNEL, VLAN_KERNEL
from tests.conformance.kernel import KernelBridge, has_netfilter, has_vlan_filtering
from tests.conformance.ours import Ours
from tests.conformance.settings import PORTS, VLAN_PORTS
from tests.conformance.taps import Guests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conformance.comparison import Difference
    from vswitch.core.port import PortSettings

FRAMES = 200_000


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Compare in each mode that this kernel's bridge has: VLAN filtering is an option of its build."""
    if "vlan_filtering" in metafunc.fixturenames:
        offered = [False, True] if _offers_vlan_filtering() else [False]
        names = {False: "vlan_filtering=off", True: "vlan_filtering=on"}
        metafunc.parametrize("vlan_filtering", offered, ids=names.get)


@pytest.mark.usefixtures("powers")
def test_same_frames_as_the_kernel_bridge(vlan_filtering: bool) -> None:
    if not _offers_vlan_filtering():
        print("this kernel's bridge was built without CONFIG_BRIDGE_VLAN_FILTERING")
    ports, differences = (VLAN_PORTS, VLAN_KERNEL) if vlan_filtering else (PORTS, KERNEL)
    if has_netfilter():
        differences = (BRIDGE_NETFILTER, *differences)  # it stands before the bridge
    _compare(ports, differences, vlan_filtering=vlan_filtering)


def _compare(ports: Sequence[PortSettings], differences: Sequence[Difference], *, vlan_filtering: bool) -> None:
    with Guests(len(ports)) as guests:
        other = KernelBridge(guests, ports, vlan_filtering=vlan_filtering)
        compare(Ours(ports, vlan_filtering=vlan_filtering), other, differences, count=FRAMES)


def _offers_vlan_filtering() -> bool:
    try:
        return has_vlan_filtering()
    except OSError:  # no privileges: the test says so
        return False
