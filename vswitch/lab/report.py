"""What a lab that runs says of itself."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from vswitch.ports.base import PortState

if TYPE_CHECKING:
    from vswitch.control.topology.layout import Plug
    from vswitch.lab.home import Home
    from vswitch.lab.running import RunningLab


def status(lab: RunningLab) -> dict[str, Any]:
    """The lab as it is, for people and scripts."""
    return {
        "name": lab.config.name,
        "pid": os.getpid(),
        "uptime": round(time.monotonic() - lab.started, 3),
        "hosts": str(lab.place.hosts),
        "switches": [_switch(lab, name) for name in lab.config.switches if name in lab.switches],
        "guests": [_guest(lab, lab.homes[name]) for name in lab.config.guests if name in lab.homes],
        "links": [
            [{"node": end.node, "name": end.name} for end in link] for link in lab.config.links
        ],
    }  # fmt: skip


def _switch(lab: RunningLab, name: str) -> dict[str, Any]:
    service = lab.switches[name].service
    states = [attached.port.state for attached in service.engine.attached.values()]
    return {
        "switch": name,
        "name": service.config.name,
        "wire": name in lab.config.wires,
        "ports": len(states),
        "up": sum(state is PortState.UP for state in states),
        "stations": len(service.switch.fdb),
        "control": str(service.config.control_path),
    }


def _guest(lab: RunningLab, home: Home) -> dict[str, Any]:
    config = home.config
    return {
        "guest": config.name,
        "kind": "qemu" if config.options.qemu else "namespace",
        "netns": config.netns,
        "interfaces": [
            {"interface": plug.interface, "switch": plug.switch, "port": plug.port, "mac": plug.mac,
             "addresses": list(plug.addresses), "state": _state(lab, plug)}
            for plug in config.plugs
        ],
        "processes": [process.pid for process in home.processes],
        "failed": [{"command": command, "status": status} for command, status in home.failed],
        "log": str(lab.place.log(config.name)),
        "environment": dict(config.options.environment),
    }  # fmt: skip


def _state(lab: RunningLab, plug: Plug) -> str:
    switch = lab.switches.get(plug.switch)
    attached = switch.service.engine.attached.get(plug.port) if switch else None
    return attached.port.state.value if attached else PortState.NOT_PRESENT.value
