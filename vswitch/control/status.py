"""What a running switch says of itself: rows for whoever asks, made of what it is at that moment."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any, Final

from vswitch import __version__
from vswitch.control.api import guests
from vswitch.control.api.impairmodels import impairment_of
from vswitch.control.api.models import FdbRowModel, GuestModel, MirrorRow, PortRow, Queue, SwitchInfo, VlanRow
from vswitch.core.mac import parse_mac
from vswitch.core.vlan import MAX_VID
from vswitch.outlet import QUEUE
from vswitch.units import vlan_ranges

if TYPE_CHECKING:
    from vswitch.control.api.history import Chronicle
    from vswitch.control.config.schema import SwitchConfig
    from vswitch.core.port import BridgePort
    from vswitch.core.stats import PortCounters
    from vswitch.core.switch import Switch
    from vswitch.core.vlan import PortVlan
    from vswitch.engine import Engine
    from vswitch.observe.capture import Capture


SLICE: Final = 200e-6
"""Seconds for which rows are made, or copied for the metrics, before frames have their turn."""


class NotFoundError(Exception):
    """There is no such port or entry: one sentence that names it."""


class ConflictError(Exception):
    """The switch, as it is, does not permit this: one sentence."""


class Status:
    """One switch, which can be asked."""

    chronicle: Chronicle

    def __init__(self, config: SwitchConfig, switch: Switch, engine: Engine) -> None:
        """From now on it runs."""
        self.config = config
        self.switch = switch
        self.engine = engine
        self.started = time.time()
        """When, in seconds since the epoch."""
        self._started = engine.clock()
        self.captures: set[Capture] = set()
        """Those that run."""
        self.captures_lost = 0
        """Frames that those lost which have ended."""

    def info(self) -> SwitchInfo:
        """The switch as a whole."""
        fdb = self.switch.fdb
        return SwitchInfo(
            name=self.config.name,
            version=__version__,
            fastpath=self.engine.fast_path.name,
            pid=os.getpid(),
            uptime=round(self.engine.clock() - self._started, 3),
            vlan_filtering=self.switch.vlan_filtering,
            ageing=fdb.ageing,
            ports=len(self.switch.ports),
            fdb_entries=len(fdb),
            fdb_limit=fdb.limit,
            fdb_moves=fdb.moves,
            fdb_evictions=fdb.evictions,
            captures=len(self.captures),
            fdb_flaps=self.chronicle.history.flaps,
        )

    def ports(self) -> list[PortRow]:
        """Every port with its counters, at one moment."""
        return [self.port(name) for name in self.switch.ports]

    async def ports_in_slices(self) -> list[PortRow]:
        """The same, counters at one moment; frames have their turn after each slice, in which ports may come and go."""
        counted = [(name, bridge, bridge.counters.copy()) for name, bridge in self.switch.ports.items()]
        rows = []
        began = time.perf_counter()
        for name, bridge, counters in counted:
            if self.switch.ports.get(name) is bridge:
                rows.append(self.port(name, counters))
            if time.perf_counter() - began > SLICE:
                await asyncio.sleep(0)
                began = time.perf_counter()
        return rows

    def port(self, name: str, counters: PortCounters | None = None) -> PortRow:
        """One port with its counters: those of now, unless others are given."""
        bridge = self.bridge(name)
        attached = self.engine.attached[name]
        attachment = attached.port
        config = self.config.ports.get(name)  # none of a port that is being added
        return PortRow.model_construct(
            port=name,
            attachment=attachment.kind,
            device=attachment.device,
            netns=namespace.inode if (namespace := attachment.namespace) else None,
            state=attachment.state.value,
            state_changes=bridge.state_changes,
            mtu=bridge.mtu,
            speed=attachment.capabilities.speed,
            queue=Queue.model_construct(length=len(attached.queue), limit=QUEUE),
            vlan=_vlan(bridge.settings.vlan),
            impair=config and impairment_of(self.switch, bridge, config.impair, self.engine.clock()),
            **PortRow.counters(counters or bridge.counters),
        )

    def bridge(self, name: str) -> BridgePort:
        """A port, to the rules. Raises NotFoundError."""
        try:
            return self.switch.ports[name]
        except KeyError:
            raise NotFoundError(
                f"there is no port {name}; the ports are {', '.join(self.switch.ports) or 'none'}"
            ) from None

    def guest(self, name: str, *, mac: str | None, model: str) -> GuestModel:
        """What makes a virtual machine the guest of a port. Raises ConflictError where none can be."""
        self.bridge(name)
        attachment = self.engine.attached[name].port
        cable = attachment.cable()
        if cable is None:
            raise ConflictError(
                f"port {name} has no end for a virtual machine, since its attachment is {attachment.kind}: take a port "
                "with qemu: or vde:, or interface: with a TAP, or start QEMU with `vswitch exec`"
            )
        mac = mac or guests.guest_mac(self.config.name, name)
        position, mtu = list(self.switch.ports).index(name), attachment.capabilities.mtu
        return guests.describe(name, cable, mac=mac, model=model, mtu=mtu, position=position)

    def fdb(self, *, port: str | None = None, vlan: int | None = None, mac: str | None = None) -> list[FdbRowModel]:
        """Stations known, those of a port, a VLAN or an address if asked."""
        bridge = None if port is None else self.bridge(port)
        address = None if mac is None else parse_mac(mac)
        return [
            FdbRowModel.of(row)
            for row in self.switch.fdb.rows(self.engine.clock())
            if bridge in (None, row.port) and vlan in (None, row.vid) and address in (None, row.mac)
        ]

    def vlans(self) -> list[VlanRow]:
        """VLANs and their ports; none while VLAN filtering is off."""
        if not self.switch.vlan_filtering:
            return []
        vlans = {name: port.settings.vlan for name, port in self.switch.ports.items()}
        return [
            VlanRow(
                vlan=vid,
                tagged=[name for name, vlan in vlans.items() if vid in vlan.tagged],
                untagged=[name for name, vlan in vlans.items() if vid in vlan.untagged],
                pvid=[name for name, vlan in vlans.items() if vid == vlan.pvid],
            )
            for vid in range(1, MAX_VID + 1)
            if any(vid in vlan.members for vlan in vlans.values())
        ]

    def mirrors(self) -> list[MirrorRow]:
        """Every mirror."""
        return [MirrorRow.of(name, mirror) for name, mirror in self.config.mirrors.items()]


def _vlan(vlan: PortVlan) -> dict[str, Any]:
    """A port's VLANs in the words of the configuration."""
    if not vlan.tagged and vlan.untagged == {vlan.pvid}:
        return {"access": vlan.pvid}
    trunk = {"trunk": vlan_ranges(vlan.tagged)}
    return trunk if vlan.pvid is None else {**trunk, "native": vlan.pvid}
